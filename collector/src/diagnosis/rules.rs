//! Which alarms call home. Rules are data: the first one that fits an alarm decides.

use callhome_shared::severity::Severity;

/// What becomes of an alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// A ticket at once.
    Open,
    /// A ticket if it still stands after so many milliseconds.
    Hold(i64),
    /// None: the alarm is recorded, and shown.
    Never,
}

/// One rule. An empty list fits everything; in texts `*` stands for anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its name, for reasons.
    pub name: String,
    /// Severities.
    pub severities: Vec<Severity>,
    /// Alarm types.
    pub types: Vec<String>,
    /// Rules of the agent, `pack/id`.
    pub rules: Vec<String>,
    /// Sites.
    pub sites: Vec<String>,
    /// Devices: id or name.
    pub devices: Vec<String>,
    /// What then.
    pub then: Then,
}

/// All of it, with the windows of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// In their order.
    pub call_home: Vec<Rule>,
    /// How long a fault that a lost parent could explain waits for its cause, ms; 0: not at all.
    pub wait_ms: i64,
    /// How far from one another cause and consequence may begin, ms. Also how long a ticket that nobody
    /// has touched can still become part of its cause's.
    pub within_ms: i64,
    /// So many lives of a fault …
    pub flap_lives: i64,
    /// … in this time, ms: it flaps.
    pub flap_ms: i64,
    /// The same fault on so many sites …
    pub fleet_sites: usize,
    /// … in this time, ms: a problem of the fleet.
    pub fleet_ms: i64,
}

impl Default for Rules {
    fn default() -> Self {
        Rules {
            call_home: Vec::new(),
            wait_ms: 30_000,
            within_ms: 600_000,
            flap_lives: 5,
            flap_ms: 3_600_000,
            fleet_sites: 3,
            fleet_ms: 3_600_000,
        }
    }
}

/// What rules look at.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// Severity.
    pub severity: Severity,
    /// Alarm type.
    pub kind: &'a str,
    /// The agent's rule: pack and id.
    pub rule: (&'a str, &'a str),
    /// Site.
    pub site: &'a str,
    /// Device: id and name.
    pub device: (&'a str, &'a str),
}

impl Rules {
    /// What becomes of an alarm, and the rule that says so; without a rule: a ticket at once.
    pub fn call_home(&self, of: &Subject<'_>) -> (Then, Option<&str>) {
        let rule = self.call_home.iter().find(|rule| rule.fits(of));
        rule.map_or((Then::Open, None), |rule| (rule.then, Some(rule.name.as_str())))
    }
}

impl Rule {
    fn fits(&self, of: &Subject<'_>) -> bool {
        let any = |patterns: &[String], texts: &[&str]| {
            patterns.is_empty()
                || patterns.iter().any(|p| texts.iter().any(|text| is_like(text, p)))
        };
        let (pack, id) = of.rule;
        (self.severities.is_empty() || self.severities.contains(&of.severity))
            && any(&self.types, &[of.kind])
            && any(&self.rules, &[&format!("{pack}/{id}"), id])
            && any(&self.sites, &[of.site])
            && any(&self.devices, &[of.device.0, of.device.1])
    }
}

/// Whether the text is like the pattern, in which `*` stands for anything. Both at most once through for
/// each star.
pub fn is_like(text: &str, pattern: &str) -> bool {
    let (text, pattern): (Vec<char>, Vec<char>) =
        (text.chars().collect(), pattern.chars().collect());
    let (mut t, mut p) = (0, 0);
    // Where the last star was, and how much of the text it has taken.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&'*') {
            star = Some((p, t));
            p += 1;
        } else if pattern.get(p) == Some(&text[t]) {
            (t, p) = (t + 1, p + 1);
        } else if let Some((at, taken)) = star {
            star = Some((at, taken + 1));
            (t, p) = (taken + 1, at + 1);
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rule_that_fits_decides() {
        let rule = |name: &str, then| Rule {
            name: name.into(),
            severities: vec![],
            types: vec![],
            rules: vec![],
            sites: vec![],
            devices: vec![],
            then,
        };
        let rules = Rules {
            call_home: vec![
                Rule { types: vec!["disk-*".into()], ..rule("disks", Then::Open) },
                Rule {
                    severities: vec![Severity::Warning],
                    sites: vec!["LAB*".into()],
                    ..rule("lab", Then::Never)
                },
                Rule {
                    rules: vec!["config/*".into()],
                    devices: vec!["sw-?".into(), "sw-*".into()],
                    ..rule("own", Then::Hold(1))
                },
            ],
            ..Rules::default()
        };
        let subject = |severity, kind, site| Subject {
            severity,
            kind,
            site,
            rule: ("config", "r"),
            device: ("S1", "sw-1"),
        };
        let of = |s: Subject<'_>| {
            let (then, name) = rules.call_home(&s);
            (then, name.map(str::to_owned))
        };
        assert_eq!(
            of(subject(Severity::Warning, "disk-failed", "LAB-1")),
            (Then::Open, Some("disks".into()))
        );
        assert_eq!(
            of(subject(Severity::Warning, "fan", "LAB-1")),
            (Then::Never, Some("lab".into()))
        );
        assert_eq!(
            of(subject(Severity::Minor, "fan", "LAB-1")),
            (Then::Hold(1), Some("own".into()))
        );
        let other = Subject { rule: ("p", "r"), ..subject(Severity::Minor, "fan", "") };
        assert_eq!(of(other), (Then::Open, None));
    }

    proptest::proptest! {
        #[test]
        fn prop_stars_stand_for_anything(parts in proptest::collection::vec("[ab*é]{0,4}", 1..6), fill in "[ab]{0,5}") {
            let pattern = parts.join("*");
            proptest::prop_assert!(is_like(&pattern.replace('*', &fill), &pattern));
            proptest::prop_assert!(is_like(&fill, "*"));
            let other = format!("{fill}c");
            proptest::prop_assert!(!is_like(&other, &pattern) || pattern.ends_with('*'));
        }
    }
}
