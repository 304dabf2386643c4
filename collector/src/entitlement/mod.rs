//! Whether a fault is covered by a contract, and what was promised. Pure.
//!
//! Cover never hides a fault: a ticket opens all the same. It only says what is promised, and whether
//! somebody has to decide first.

use callhome_shared::time::Time;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::calendar::{self, Zone};

/// What is known of the device, the place and the contract when a ticket is opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ask {
    /// The contract's number, as somebody named it or as it is kept with the device.
    pub contract: Option<String>,
    /// The device's serial number.
    pub serial: Option<String>,
    /// Its site.
    pub site: Option<String>,
    /// Whose it is.
    pub customer: Option<String>,
}

/// What a contract covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cover {
    /// Everything of the customer.
    Customer,
    /// What stands on listed sites.
    Sites,
    /// Listed serial numbers.
    Devices,
}

impl Cover {
    /// Reads the column.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "customer" => Some(Cover::Customer),
            "sites" => Some(Cover::Sites),
            "devices" => Some(Cover::Devices),
            _ => None,
        }
    }
}

/// A contract that may cover it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contract {
    /// Its number.
    pub number: String,
    /// Whose it is.
    pub customer: String,
    /// The service plan that it promises.
    pub plan: String,
    /// First day.
    pub from: Date,
    /// Last day.
    pub until: Date,
    /// What it covers.
    pub covers: Cover,
    /// The sites that it lists.
    pub sites: Vec<String>,
    /// The serial numbers that it lists.
    pub serials: Vec<String>,
}

/// Why something is not covered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// No contract covers it.
    None,
    /// The contract is over.
    Expired,
    /// The contract has not begun.
    NotYet,
    /// There is no contract of that number.
    UnknownContract,
    /// The contract does not cover this device.
    OtherDevice,
}

/// What is found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
pub enum Verdict {
    /// Covered by this contract: its plan is promised.
    Covered {
        /// The contract's number.
        contract: String,
        /// Its service plan.
        plan: String,
        /// Its last day.
        until: String,
    },
    /// Not covered.
    NotCovered {
        /// Why not.
        why: Why,
        /// The contract that comes nearest, if there is one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        contract: Option<String>,
        /// Its last day (expired) or its first one (not yet).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        day: Option<String>,
    },
}

impl Verdict {
    /// Whether it is covered.
    pub fn is_covered(&self) -> bool {
        matches!(self, Verdict::Covered { .. })
    }

    /// The plan that is promised.
    pub fn plan(&self) -> Option<&str> {
        match self {
            Verdict::Covered { plan, .. } => Some(plan),
            Verdict::NotCovered { .. } => None,
        }
    }

    /// The contract that it names.
    pub fn contract(&self) -> Option<&str> {
        match self {
            Verdict::Covered { contract, .. } => Some(contract),
            Verdict::NotCovered { contract, .. } => contract.as_deref(),
        }
    }
}

impl Contract {
    /// Whether it is about this, whatever the day. `named`: it was asked for by its number, so that a device
    /// of which nothing else is known is believed.
    fn fits(&self, ask: &Ask, named: bool) -> bool {
        let lists = |all: &[String], one: &Option<String>| match one {
            Some(one) => all.contains(one),
            None => named,
        };
        match self.covers {
            Cover::Devices => lists(&self.serials, &ask.serial),
            Cover::Sites => lists(&self.sites, &ask.site),
            Cover::Customer => lists(std::slice::from_ref(&self.customer), &ask.customer),
        }
    }
}

/// The days that it is at `at`: in the site's time zone where that is known; else all days that it is
/// somewhere on earth, so that nobody loses cover by a zone that nobody wrote down.
fn days(at: Time, zone: Option<&str>) -> (Date, Date) {
    match zone.and_then(|name| calendar::zone::zone(name).ok()) {
        Some(zone) => {
            let day = zone.local(at).date();
            (day, day)
        }
        None => {
            const HOUR_MS: i64 = 3_600_000;
            let on = |hours: i64| Zone::utc().local(at.plus_ms(hours * HOUR_MS)).date();
            (on(-12), on(14))
        }
    }
}

/// Whether `ask` is covered at `at`. `zone`: the site's IANA time zone. `candidates`: every contract of the
/// number that is asked for, and every one that lists the serial number, the site or the customer.
pub fn judge(ask: &Ask, zone: Option<&str>, candidates: &[Contract], at: Time) -> Verdict {
    let (earliest, latest) = days(at, zone);
    let named = ask.contract.as_deref().filter(|number| !number.is_empty());
    let by_number = named.and_then(|number| candidates.iter().find(|c| c.number == number));
    let mut fitting: Vec<&Contract> = match by_number {
        Some(contract) if contract.fits(ask, true) => vec![contract],
        _ => Vec::new(),
    };
    if !fitting.iter().any(|c| c.from <= latest && c.until >= earliest) {
        fitting.extend(candidates.iter().filter(|c| c.fits(ask, false)));
    }
    let valid = fitting.iter().filter(|c| c.from <= latest && c.until >= earliest);
    // The one that says most exactly what it covers, then the one that lasts longest.
    if let Some(best) = valid.max_by_key(|c| (c.covers, c.until, std::cmp::Reverse(&c.number))) {
        return Verdict::Covered {
            contract: best.number.clone(),
            plan: best.plan.clone(),
            until: best.until.to_string(),
        };
    }
    let not = |why, contract: &Contract, day: Option<Date>| Verdict::NotCovered {
        why,
        contract: Some(contract.number.clone()),
        day: day.map(|day| day.to_string()),
    };
    let coming = fitting.iter().filter(|c| c.from > latest).min_by_key(|c| c.from);
    let over = fitting.iter().filter(|c| c.until < earliest).max_by_key(|c| c.until);
    match (over, coming, by_number, named) {
        (Some(contract), ..) => not(Why::Expired, contract, Some(contract.until)),
        (_, Some(contract), ..) => not(Why::NotYet, contract, Some(contract.from)),
        (_, _, Some(contract), _) => not(Why::OtherDevice, contract, None),
        (_, _, None, Some(number)) => Verdict::NotCovered {
            why: Why::UnknownContract,
            contract: Some(number.to_owned()),
            day: None,
        },
        (None, None, None, None) => {
            Verdict::NotCovered { why: Why::None, contract: None, day: None }
        }
    }
}

#[cfg(test)]
mod tests;
