//! What must hold whatever happened.

use super::World;

impl World {
    /// Every alarm life is in exactly one case, every case has a ticket, no identity has two open
    /// ones, and what tickets say of their alarms is true.
    pub(super) async fn check(&self) {
        let wrong = [
            (
                "alarms without a case",
                "SELECT COUNT(*) AS n FROM alarms a LEFT JOIN case_alarms ca \
                 ON ca.alarm_id = a.alarm_id WHERE ca.alarm_id IS NULL AND NOT EXISTS \
                 (SELECT 1 FROM decisions x WHERE x.alarm_id = a.alarm_id AND x.outcome IN ('waits', 'recorded', 'transient'))",
            ),
            (
                "alarms in a case that are said to be in none",
                "SELECT COUNT(*) AS n FROM decisions x JOIN case_alarms ca ON ca.alarm_id = x.alarm_id \
                 WHERE x.outcome IN ('waits', 'recorded', 'transient')",
            ),
            (
                "consequences that are open and over",
                "SELECT COUNT(*) AS n FROM cases c JOIN tickets t ON t.id = c.ticket_id WHERE c.consequence = 1 \
                 AND t.state NOT IN ('closed', 'reviewed', 'rejected', 'merged') AND c.closed_at IS NULL AND NOT EXISTS \
                 (SELECT 1 FROM case_alarms ca JOIN alarms a ON a.alarm_id = ca.alarm_id WHERE ca.case_id = c.id AND a.active = 1)",
            ),
            (
                "alarms in the case of another identity",
                "SELECT COUNT(*) AS n FROM alarms a JOIN case_alarms ca ON ca.alarm_id = a.alarm_id \
                 JOIN cases c ON c.id = ca.case_id WHERE c.identity <> a.identity",
            ),
            (
                "identities with two open tickets",
                "SELECT COUNT(*) AS n FROM (SELECT c.identity FROM cases c JOIN tickets t ON t.id = c.ticket_id \
                 WHERE (c.consequence = 0 OR c.closed_at IS NULL) AND t.state NOT IN ('closed', 'reviewed', 'rejected', 'merged') \
                 GROUP BY c.identity HAVING COUNT(*) > 1) x",
            ),
            (
                "cases open beside a closed ticket, or closed beside an open one",
                "SELECT COUNT(*) AS n FROM cases c JOIN tickets t ON t.id = c.ticket_id \
                 WHERE c.consequence = 0 AND (t.state IN ('closed', 'reviewed', 'rejected', 'merged')) <> (c.closed_at IS NOT NULL)",
            ),
            (
                "tickets whose recurrences are not their alarms",
                "SELECT COUNT(*) AS n FROM tickets t WHERE t.state <> 'merged' AND t.recurrences \
                 + CASE WHEN t.opened_by IS NULL THEN 1 ELSE 0 END + (SELECT COUNT(*) FROM ticket_events e \
                 WHERE e.ticket_id = t.id AND e.what = 'confirmed' AND EXISTS (SELECT 1 FROM case_alarms xa \
                 JOIN cases xc ON xc.id = xa.case_id WHERE xc.ticket_id = t.id \
                 AND e.detail LIKE '%' || xa.alarm_id || '%')) <> (SELECT COUNT(*) FROM cases c \
                 JOIN case_alarms ca ON ca.case_id = c.id WHERE c.ticket_id = t.id AND c.consequence = 0)",
            ),
            (
                "tickets that are wrong about the condition",
                "SELECT COUNT(*) AS n FROM tickets t WHERE EXISTS (SELECT 1 FROM cases c WHERE c.ticket_id = t.id) \
                 AND (t.condition_cleared_at IS NULL) <> EXISTS \
                 (SELECT 1 FROM cases c JOIN case_alarms ca ON ca.case_id = c.id \
                 JOIN alarms a ON a.alarm_id = ca.alarm_id WHERE c.ticket_id = t.id AND a.active = 1)",
            ),
            (
                "tickets without the entry that opened them",
                "SELECT COUNT(*) AS n FROM tickets t WHERE (SELECT COUNT(*) FROM ticket_events e \
                 WHERE e.ticket_id = t.id AND e.what = 'opened') <> 1",
            ),
            (
                "gaps in the ticket numbers",
                "SELECT COALESCE(MAX(ordinal), 0) - COUNT(*) AS n FROM tickets",
            ),
        ];
        for (what, sql) in wrong {
            assert_eq!(self.count(sql).await, 0, "{what}");
        }
    }
}
