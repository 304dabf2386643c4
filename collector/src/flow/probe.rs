//! A probe: through diagnosis, case and ticket like a fault, as a *shadow ticket* apart from all others.

use callhome_shared::alarm::{Alarm, Transition};
use callhome_shared::probe::Probe;

use super::batch::Entry;
use super::fault::Origin;
use super::ledger::Ledger;
use crate::diagnosis;
use crate::inbox::{Reason, Rejection};
use crate::store::Result;
use crate::store::probes::ProbeRow;
use crate::ticket::State;

impl Ledger {
    /// Applies it, or says why it is refused. It is over in the same transaction that opens it.
    pub(super) fn take_probe(&mut self, entry: &Entry, probe: &Probe) -> Result<Option<Rejection>> {
        let alarm = Alarm { evidence: Vec::new(), ..probe.alarm.clone() };
        let id = alarm.alarm_id.to_string();
        let identity = diagnosis::identity(&entry.agent, &alarm.identity(), true);
        if self.alarms.contains_key(&id) || self.open_case.contains_key(&identity) {
            let text = "a probe is a fault of its own: this one is known already";
            return Ok(Some(Rejection::new(Reason::AlarmMismatch, text)));
        }
        let place = (entry.agent.clone(), alarm.device.id.clone());
        let device = self.devices.get(&place).cloned();
        let over = Alarm { transition: Transition::Cleared, ..alarm.clone() };
        let begun = Alarm { transition: Transition::Raised, ..alarm };
        for transition in [begun, over] {
            if let Some(rejection) = self.fault(&Origin::of(entry), &transition)? {
                return Ok(Some(rejection));
            }
        }
        // It says nothing of its device.
        match device {
            Some(device) => self.devices.insert(place, device),
            None => self.devices.remove(&place),
        };
        self.shadow(entry, probe, &id, &identity);
        Ok(None)
    }

    /// Sets alarm, case and ticket apart, all of them closed.
    fn shadow(&mut self, entry: &Entry, probe: &Probe, alarm_id: &str, identity: &str) {
        let now = self.now;
        if let Some(held) = self.alarms.get_mut(alarm_id) {
            held.row.shadow = true;
        }
        let case_id = self.case_of_alarm.get(alarm_id).cloned().unwrap_or_default();
        self.open_case.remove(identity);
        let cases = self.added.cases.iter_mut().chain(self.cases.get_mut(&case_id));
        let mut ticket_id = String::new();
        for case in cases.filter(|case| case.id == case_id) {
            case.closed_at = Some(now);
            ticket_id.clone_from(&case.ticket_id);
        }
        if let Some(ticket) = self.tickets.get_mut(&ticket_id) {
            ticket.row.shadow = true;
            ticket.row.state = State::Closed.as_str().to_owned();
            ticket.row.closed_at = Some(now);
        }
        self.added.probes.push(ProbeRow {
            alarm_id: alarm_id.to_owned(),
            agent_id: entry.agent.clone(),
            source: probe.source.clone(),
            kind: probe.source_kind.clone(),
            started_at: probe.started_at,
            proven_at: now,
            interval_s: i64::try_from(probe.interval_s).unwrap_or(i64::MAX),
            ticket: ticket_id,
        });
    }

    /// Shadow tickets have their numbers: the proofs name them.
    pub(super) fn number_probes(&mut self) {
        for probe in &mut self.added.probes {
            if let Some(ticket) = self.tickets.get(&probe.ticket) {
                probe.ticket.clone_from(&ticket.row.number);
            }
        }
    }
}
