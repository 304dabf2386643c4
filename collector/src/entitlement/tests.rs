use proptest::prelude::*;

use super::*;

fn contract(number: &str, covers: Cover, from: &str, until: &str) -> Contract {
    Contract {
        number: number.into(),
        customer: "c".into(),
        plan: format!("plan of {number}"),
        from: from.parse().unwrap(),
        until: until.parse().unwrap(),
        covers,
        sites: vec!["SH-01".into()],
        serials: vec!["S1".into(), "S2".into()],
    }
}

fn ask(contract: &str, serial: &str, site: &str, customer: &str) -> Ask {
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    Ask {
        contract: some(contract),
        serial: some(serial),
        site: some(site),
        customer: some(customer),
    }
}

fn at(text: &str) -> Time {
    Time::parse(text).unwrap()
}

/// `number plan` or the reason with contract and day.
fn told(ask: &Ask, zone: Option<&str>, all: &[Contract], when: &str) -> String {
    match judge(ask, zone, all, at(when)) {
        Verdict::Covered { contract, plan, until } => {
            assert_eq!(plan, format!("plan of {contract}"));
            format!("{contract} until {until}")
        }
        Verdict::NotCovered { why, contract, day } => {
            format!("{why:?} {} {}", contract.unwrap_or_default(), day.unwrap_or_default())
        }
    }
}

#[test]
fn by_serial_site_customer_and_number_with_reasons() {
    let year = |number, covers| contract(number, covers, "2026-01-01", "2026-12-31");
    let all = [
        year("all", Cover::Customer),
        year("site", Cover::Sites),
        year("serials", Cover::Devices),
        contract("old", Cover::Devices, "2020-01-01", "2020-12-31"),
    ];
    let now = "2026-06-01T00:00:00Z";
    for (asked, expected) in [
        (ask("", "S1", "SH-01", "c"), "serials until 2026-12-31"),
        (ask("", "S9", "SH-01", "c"), "site until 2026-12-31"),
        (ask("", "S9", "BJ-01", "c"), "all until 2026-12-31"),
        (ask("", "S9", "BJ-01", "other"), "None  "),
        (ask("", "", "", ""), "None  "),
        (ask("all", "S1", "SH-01", "c"), "all until 2026-12-31"),
        (ask("serials", "", "", ""), "serials until 2026-12-31"),
        (ask("serials", "S9", "", ""), "OtherDevice serials "),
        (ask("nonsense", "", "", ""), "UnknownContract nonsense "),
        (ask("nonsense", "S1", "", ""), "serials until 2026-12-31"),
        (ask("old", "S1", "", ""), "serials until 2026-12-31"),
    ] {
        assert_eq!(told(&asked, None, &all, now), expected, "{asked:?}");
    }
    let alone = &all[3..];
    assert_eq!(told(&ask("", "S1", "", ""), None, alone, now), "Expired old 2020-12-31");
    assert_eq!(
        told(&ask("", "S1", "", ""), None, alone, "2019-06-01T00:00:00Z"),
        "NotYet old 2020-01-01"
    );
}

#[test]
fn a_day_is_the_sites_day() {
    let all = [contract("k", Cover::Devices, "2026-01-01", "2026-12-31")];
    let s1 = ask("", "S1", "", "");
    let shanghai = Some("Asia/Shanghai");
    assert_eq!(told(&s1, shanghai, &all, "2026-12-31T15:59:59Z"), "k until 2026-12-31");
    assert_eq!(told(&s1, shanghai, &all, "2026-12-31T16:00:00Z"), "Expired k 2026-12-31");
    assert_eq!(told(&s1, shanghai, &all, "2025-12-31T15:59:59Z"), "NotYet k 2026-01-01");
    assert_eq!(told(&s1, shanghai, &all, "2025-12-31T16:00:00Z"), "k until 2026-12-31");
    // Where the zone is not known the contract holds as long as it is its day anywhere.
    assert_eq!(told(&s1, None, &all, "2027-01-01T11:59:59Z"), "k until 2026-12-31");
    assert_eq!(told(&s1, None, &all, "2027-01-01T12:00:00Z"), "Expired k 2026-12-31");
    assert_eq!(told(&s1, Some("No/Where"), &all, "2027-01-01T11:59:59Z"), "k until 2026-12-31");
}

proptest! {
    #[test]
    fn prop_covered_means_valid_and_about_it(
        rows in proptest::collection::vec((0_usize..3, 0_i32..400, 0_i32..400, 0_usize..3, 0_usize..3), 0..8),
        (serial, site, customer, number) in (0_usize..4, 0_usize..4, 0_usize..4, 0_usize..12), now in 0_i64..500,
    ) {
        let base: Date = "2026-01-01".parse().unwrap();
        let later = |days: i32| base.checked_add(jiff::Span::new().days(days)).unwrap();
        let names = ["a", "b", "c", ""];
        let all: Vec<Contract> = rows.into_iter().enumerate().map(|(n, (covers, from, life, one, other))| Contract {
            number: format!("k{n}"),
            customer: names[one].into(),
            plan: format!("p{n}"),
            from: later(from),
            until: later(from + life),
            covers: [Cover::Customer, Cover::Sites, Cover::Devices][covers],
            sites: vec![names[one].into()],
            serials: vec![names[one].into(), names[other].into()],
        }).collect();
        let asked = ask(&if number < 8 { format!("k{number}") } else { String::new() }, names[serial], names[site], names[customer]);
        let when = Time(at("2026-01-01T00:00:00Z").millis() + now * 86_400_000);
        let today = later(i32::try_from(now).unwrap());
        let verdict = judge(&asked, Some("UTC"), &all, when);
        let valid = |c: &&Contract| c.from <= today && c.until >= today;
        let about = |c: &&Contract| {
            let named = asked.contract.as_deref() == Some(c.number.as_str());
            let yes = |given: &Option<String>, has: bool| if given.is_some() { has } else { named };
            match c.covers {
                Cover::Customer => yes(&asked.customer, asked.customer.as_deref() == Some(c.customer.as_str())),
                Cover::Sites => yes(&asked.site, c.sites.iter().any(|s| asked.site.as_ref() == Some(s))),
                Cover::Devices => yes(&asked.serial, c.serials.iter().any(|s| asked.serial.as_ref() == Some(s))),
            }
        };
        let any = all.iter().filter(valid).find(about).is_some();
        prop_assert_eq!(verdict.is_covered(), any, "{:?}", &verdict);
        if let Verdict::Covered { contract, plan, .. } = &verdict {
            let found = all.iter().find(|c| c.number == *contract).unwrap();
            prop_assert!(valid(&found) && about(&found));
            prop_assert_eq!(plan, &found.plan);
        }
        let text = serde_json::to_string(&verdict).unwrap();
        prop_assert_eq!(serde_json::from_str::<Verdict>(&text).unwrap(), verdict);
    }
}
