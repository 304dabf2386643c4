//! The built-in rules for the host's readings.

use callhome_shared::severity::Severity;

use super::HostLimits;
use crate::rule::{Condition, Level, Limit, Measure, Op, Rule, Template};

/// A value counts as back only this far below its limit, so that it does not flap around it.
const HYSTERESIS_POINTS: f64 = 3.0;
/// The same for load per core, as a share of the limit: its scale is not points of 100.
const LOAD_HYSTERESIS_SHARE: f64 = 0.1;

/// The pack `builtin`: thresholds for disks, memory, temperatures and load.
pub fn builtin_rules(limits: &HostLimits) -> Vec<Rule> {
    let for_ms = limits.for_ms;
    let points = |warning: f64, critical: f64| {
        vec![
            above(Severity::Warning, warning, HYSTERESIS_POINTS),
            above(Severity::Critical, critical, HYSTERESIS_POINTS),
        ]
    };
    vec![
        threshold(
            "disk-space-low",
            "disk.used_percent",
            points(limits.disk_warning_pct, limits.disk_critical_pct),
            for_ms,
            "Free space on the file system or make it larger.",
        ),
        threshold(
            "memory-low",
            "memory.used_percent",
            points(limits.memory_warning_pct, limits.memory_critical_pct),
            for_ms,
            "Find the process that uses the memory, or add memory.",
        ),
        threshold(
            "temperature-high",
            "temperature.celsius",
            points(limits.temperature_warning_c, limits.temperature_critical_c),
            for_ms,
            "Check fans, air filters and the room's cooling.",
        ),
        threshold(
            "load-high",
            "load.per_core",
            vec![above(
                Severity::Warning,
                limits.load_warning_per_core,
                limits.load_warning_per_core * LOAD_HYSTERESIS_SHARE,
            )],
            for_ms,
            "Find the processes that wait for processor or disk.",
        ),
    ]
}

fn above(severity: Severity, limit: f64, hysteresis: f64) -> Limit {
    Level { severity, op: Op::Above, limit, clear: (limit - hysteresis).max(0.0) }.into()
}

fn threshold(kind: &str, metric: &str, levels: Vec<Limit>, for_ms: i64, repair: &str) -> Rule {
    Rule {
        pack: "builtin".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        id: kind.to_owned(),
        metric: metric.to_owned(),
        condition: Condition::Threshold { levels, for_ms, measure: Measure::Value },
        damping: None,
        template: Template {
            kind: kind.to_owned(),
            fault_code: Some(format!("host.{kind}")),
            proposed_repair: Some(repair.to_owned()),
            ..Template::default()
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_level_clears_below_its_limit() {
        let limits = HostLimits {
            disk_warning_pct: 85.0,
            disk_critical_pct: 95.0,
            memory_warning_pct: 90.0,
            memory_critical_pct: 97.0,
            temperature_warning_c: 80.0,
            temperature_critical_c: 95.0,
            load_warning_per_core: 4.0,
            for_ms: 60_000,
        };
        let rules = builtin_rules(&limits);
        let ids: Vec<_> = rules.iter().map(|r| r.id.as_str()).collect();
        assert_eq!(ids, ["disk-space-low", "memory-low", "temperature-high", "load-high"]);
        for rule in &rules {
            let Condition::Threshold { levels, for_ms, .. } = &rule.condition else {
                panic!("{} is no threshold", rule.id)
            };
            assert_eq!(*for_ms, 60_000);
            let right =
                |l: &Limit| matches!(l, Limit::Fixed(l) if l.op == Op::Above && l.clear < l.limit);
            assert!(levels.iter().all(right));
        }
    }
}
