//! What happens in the year: causes from a seed, and what agents tell of each.

use callhome_shared::alarm::{Alarm, Device, Message, RuleRef, Transition};
use callhome_shared::id::new_uuid;
use callhome_shared::severity::Severity;
use callhome_shared::time::Time;

use super::almanac::MIN;
use super::house::Site;

/// A sequence from a seed: xorshift.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn below(&mut self, n: i64) -> i64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        i64::try_from(self.0 % u64::try_from(n).unwrap()).unwrap()
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::try_from(self.below(i64::try_from(of.len()).unwrap())).unwrap()]
    }
}

/// What kind of cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// One part fails.
    Part,
    /// The same part again and again, within hours.
    Again,
    /// A port goes down and up thirty times.
    Flapping,
    /// Gone before its hold-down is over: no ticket.
    Transient,
    /// A site's feed: everything behind it tells of it.
    Feed,
    /// A site's switch.
    Switch,
    /// One bug of a firmware, on twelve sites at once: a ticket each.
    Fleet,
}

/// One cause and how it goes.
pub(super) struct Cause {
    pub(super) kind: Kind,
    /// The last of its alarms is over, ms.
    pub(super) over: i64,
}

/// What an agent says, and when, ms.
pub(super) struct Word {
    pub(super) at: i64,
    pub(super) site: usize,
    pub(super) alarm: Alarm,
}

/// All of it: each alarm's `fault_code` is the number of its cause.
#[derive(Default)]
pub(super) struct Year {
    pub(super) causes: Vec<Cause>,
    pub(super) words: Vec<Word>,
}

/// The part types and how bad they usually are.
const PARTS: [(&str, &str, Severity); 8] = [
    ("disk-failed", "Disk", Severity::Minor),
    ("disk-predictive-failure", "Disk", Severity::Warning),
    ("fan-failed", "Fan", Severity::Minor),
    ("battery-failed", "Battery", Severity::Warning),
    ("controller-failed", "Controller", Severity::Critical),
    ("memory-error", "DIMM", Severity::Major),
    ("pool-degraded", "Pool", Severity::Major),
    ("temperature-high", "Sensor", Severity::Minor),
];

struct Life<'a> {
    site: usize,
    device: &'a str,
    kind: &'a str,
    part: &'a str,
    severity: Severity,
}

impl Year {
    /// Causes of so many days in that house; about `a_year` faults a year and device.
    pub(super) fn of(house: &[Site], start: i64, days: i64, a_year: f64, dice: &mut Dice) -> Self {
        let mut year = Year::default();
        let devices: usize = house.iter().map(|site| site.devices).sum();
        #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)]
        let single = (devices as f64 * a_year * days as f64 / 365.0) as i64;
        // The last week is quiet: what began can end.
        let moment = |dice: &mut Dice| start + (1 + dice.below(days * 1440 * 9 / 10)) * MIN;
        let sites = i64::try_from(house.len()).unwrap();
        for n in 0..single {
            let at = moment(dice);
            let site = usize::try_from(dice.below(sites)).unwrap();
            match n % 20 {
                17 => year.again(house, site, at, dice),
                18 => year.flapping(house, site, at, dice),
                19 => year.transient(house, site, at, dice),
                _ => year.part(house, site, at, dice, Kind::Part),
            }
        }
        // A site loses its feed every other year, its switch every fourth; six bugs a year.
        for n in 0..(sites * days / 365).max(2) {
            let at = moment(dice);
            let site = usize::try_from(dice.below(sites)).unwrap();
            match n % 4 {
                0 | 2 => year.storm(house, site, at, dice, true),
                1 => year.storm(house, site, at, dice, false),
                _ => {}
            }
        }
        for bug in 0..(6 * days / 365).max(1) {
            let at = moment(dice);
            for step in 0..sites.min(12) {
                let site = usize::try_from((bug * 7 + step) % sites).unwrap();
                year.bug(house, site, at + step * 2 * MIN, bug);
            }
        }
        year.words.sort_by_key(|word| word.at);
        year
    }

    fn begin(&mut self, kind: Kind) -> usize {
        self.causes.push(Cause { kind, over: 0 });
        self.causes.len() - 1
    }

    /// One life: raised, and cleared at `to`.
    fn life(&mut self, cause: usize, of: &Life<'_>, from: i64, to: i64) {
        let model = format!("M{}", of.device.len() + of.site % 40);
        let raised = Alarm {
            alarm_id: new_uuid(),
            transition: Transition::Raised,
            severity: of.severity,
            kind: of.kind.into(),
            qualifier: String::new(),
            fault_code: Some(cause.to_string()),
            message: Message { key: "state.bad".into(), arguments: Default::default() },
            text: format!("{} {}", of.part, of.kind),
            device: Device {
                id: of.device.into(),
                name: of.device.into(),
                serial: Some(of.device.into()),
                model: Some(model),
                ..Device::default()
            },
            resource: of.part.into(),
            occurred_at: None,
            observed_at: Time(from),
            raised_at: None,
            reason: None,
            clock_skew_s: None,
            rule: RuleRef { pack: "p".into(), version: "1".into(), id: of.kind.into() },
            proposed_repair: None,
            evidence: vec![],
            flapping: false,
            test: false,
        };
        let over = Alarm {
            transition: Transition::Cleared,
            observed_at: Time(to),
            raised_at: Some(Time(from)),
            ..raised.clone()
        };
        self.words.push(Word { at: from, site: of.site, alarm: raised });
        self.words.push(Word { at: to, site: of.site, alarm: over });
        let over = &mut self.causes[cause].over;
        *over = (*over).max(to);
    }

    /// A part that no other cause has.
    fn any_part(
        &mut self,
        house: &[Site],
        site: usize,
        dice: &mut Dice,
    ) -> (String, String, usize) {
        let device = dice.below(i64::try_from(house[site].devices).unwrap());
        let what = usize::try_from(dice.below(PARTS.len() as i64)).unwrap();
        let part = format!("{} {}", PARTS[what].1, self.causes.len());
        (house[site].device(usize::try_from(device).unwrap()), part, what)
    }

    fn part(&mut self, house: &[Site], site: usize, at: i64, dice: &mut Dice, kind: Kind) {
        let (device, part, what) = self.any_part(house, site, dice);
        let cause = self.begin(kind);
        let (name, _, severity) = PARTS[what];
        let of = Life { site, device: &device, kind: name, part: &part, severity };
        self.life(cause, &of, at, at + (20 + dice.below(2 * 1440)) * MIN);
    }

    fn again(&mut self, house: &[Site], site: usize, at: i64, dice: &mut Dice) {
        let (device, part, what) = self.any_part(house, site, dice);
        let cause = self.begin(Kind::Again);
        let (name, _, severity) = PARTS[what];
        let of = Life { site, device: &device, kind: name, part: &part, severity };
        for n in 0..3 {
            let from = at + n * 90 * MIN;
            self.life(cause, &of, from, from + (10 + dice.below(60)) * MIN);
        }
    }

    fn flapping(&mut self, house: &[Site], site: usize, at: i64, dice: &mut Dice) {
        let (device, _, _) = self.any_part(house, site, dice);
        let cause = self.begin(Kind::Flapping);
        let part = format!("Port {cause}");
        let severity = Severity::Minor;
        let of = Life { site, device: &device, kind: "port-down", part: &part, severity };
        for n in 0..30 {
            self.life(cause, &of, at + n * 2 * MIN, at + (n * 2 + 1) * MIN);
        }
    }

    fn transient(&mut self, house: &[Site], site: usize, at: i64, dice: &mut Dice) {
        let (device, _, _) = self.any_part(house, site, dice);
        let cause = self.begin(Kind::Transient);
        let part = format!("Sensor {cause}");
        let severity = Severity::Minor;
        let of = Life { site, device: &device, kind: "temperature-high", part: &part, severity };
        self.life(cause, &of, at, at + (1 + dice.below(4)) * MIN);
    }

    /// The feed (or only the switch) fails: all that hangs on it tells of it within two minutes, in any order.
    fn storm(&mut self, house: &[Site], site: usize, at: i64, dice: &mut Dice, feed: bool) {
        let cause = self.begin(if feed { Kind::Feed } else { Kind::Switch });
        let to = at + (30 + dice.below(300)) * MIN;
        let here = &house[site];
        let mut tell = |year: &mut Year, device: &str, kind: &str, part: &str, severity| {
            let from = at + dice.below(3) * MIN;
            let of = Life { site, device, kind, part, severity };
            year.life(cause, &of, from, to + dice.below(5) * MIN);
        };
        let worst = Severity::Critical;
        if feed {
            tell(self, &here.feed(), "power-lost", "", worst);
            tell(self, &here.pdu(), "input-power-bad", "", Severity::Major);
        }
        tell(self, &here.switch(), "device-unreachable", "", worst);
        for n in 0..here.devices {
            let device = here.device(n);
            tell(self, &device, "device-unreachable", "", worst);
            if feed {
                tell(self, &device, "psu-failed", "PSU 1", Severity::Minor);
            }
        }
        if dice.one(&[true, false]) {
            // And a disk, which has nothing to do with it.
            self.part(house, site, at + MIN, dice, Kind::Part);
        }
    }

    fn bug(&mut self, house: &[Site], site: usize, at: i64, bug: i64) {
        let cause = self.begin(Kind::Fleet);
        let device = house[site].device(0);
        let part = format!("Bug {bug} of {cause}");
        let severity = Severity::Major;
        let of = Life { site, device: &device, kind: "software-fault", part: &part, severity };
        self.life(cause, &of, at, at + 300 * MIN);
    }
}
