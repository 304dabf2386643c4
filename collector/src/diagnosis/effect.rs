//! What a lost parent takes from what hangs on it: classes of alarm types. After X.733's event types, by the
//! names that profiles and catalogues give. A type that is in no table is a fault of its own, wherever it is.

/// What a device misses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It is not reached, or does not reach another one.
    Reach,
    /// It has no power, or less of it than it should.
    Power,
}

/// What is lost with a device that has such an alarm, for what hangs on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Everything: it is gone, or not to be reached.
    Whole,
    /// The power that it gives.
    Power,
    /// The power of one outlet.
    Outlet,
    /// One port or module.
    Part,
}

const REACH: &[&str] = &[
    "device-unreachable",
    "host-connection-lost",
    "link-down",
    "node-down",
    "partner-down",
    "port-down",
    "source-unreadable",
    "stack-port-down",
    "ups-communication-lost",
    "vpc-keepalive-lost",
];
const POWER: &[&str] = &[
    "input-power-bad",
    "output-power-bad",
    "power-abnormal",
    "power-lost",
    "psu-failed",
    "psu-redundancy-lost",
    "system-off",
    "ups-on-battery",
];
const WHOLE_LOST: &[&str] = &["device-unreachable", "node-down", "system-failed", "system-off"];
const POWER_LOST: &[&str] = &[
    "ats-failed",
    "breaker-tripped",
    "input-power-bad",
    "output-power-bad",
    "pdu-failed",
    "power-lost",
    "ups-failed",
];
const OUTLET_LOST: &[&str] = &["outlet-failed", "outlet-off"];
const PART_LOST: &[&str] = &[
    "io-module-failed",
    "link-down",
    "module-failed",
    "module-missing",
    "port-down",
    "port-failed",
    "stack-member-failed",
];

/// What a device with this alarm misses, where a lost parent could be why.
pub fn effect(kind: &str) -> Option<Effect> {
    let of = |all: &[&str], effect| all.contains(&kind).then_some(effect);
    of(REACH, Effect::Reach).or_else(|| of(POWER, Effect::Power))
}

/// What is lost behind a device with this alarm.
pub fn loss(kind: &str) -> Option<Loss> {
    let of = |all: &[&str], loss| all.contains(&kind).then_some(loss);
    of(WHOLE_LOST, Loss::Whole)
        .or_else(|| of(POWER_LOST, Loss::Power))
        .or_else(|| of(OUTLET_LOST, Loss::Outlet))
        .or_else(|| of(PART_LOST, Loss::Part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_nobodys_consequence_and_takes_nothing_along() {
        for kind in ["disk-failed", "raid-degraded", "fan-failed", "temperature-high", ""] {
            assert_eq!((effect(kind), loss(kind)), (None, None), "{kind}");
        }
        assert_eq!(effect("device-unreachable"), Some(Effect::Reach));
        assert_eq!(effect("psu-failed"), Some(Effect::Power));
        assert_eq!(loss("psu-failed"), None, "one supply of a switch is not the switch");
        assert_eq!(loss("outlet-failed"), Some(Loss::Outlet));
    }
}
