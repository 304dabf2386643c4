use proptest::prelude::*;

use super::*;

fn wrong(read: Result<Read, callhome_shared::config_error::Problems>) -> Vec<String> {
    let told = read.unwrap_err().0.into_iter().map(|p| {
        let hint = p.hint.map(|h| format!(" ({h})")).unwrap_or_default();
        format!("{}:{}: {}{hint}", p.line, p.column, p.message)
    });
    told.collect()
}

#[test]
fn every_fault_has_its_place_what_was_expected_and_the_nearest_name() {
    let text = "id,name,time_zone\nSH-01,上海,Asia/Shangai\n\"SH\n-02\",x,asia/tokyo\nSH-03,x\nSH-01,,\nSH-01,,\n";
    assert_eq!(
        wrong(read_csv(Kind::Sites, "f", text)),
        [
            "5:1: expected 3 cells as in the first line, found 2",
            "2:10: time_zone: expected an IANA time zone such as Asia/Shanghai, found \"Asia/Shangai\" \
             (did you mean \"Asia/Shanghai\"?)",
            "3:1: id: expected an id of 1 to 100 characters without ';'",
            "7:1: the site \"SH-01\" is there twice, first in line 6",
        ]
    );
    let head = wrong(read_csv(Kind::Sites, "f", "id,nme\n"));
    assert!(
        head[0].starts_with("1:4: there is no column \"nme\"; expected id, name, customer"),
        "{head:?}"
    );
    assert!(head[0].ends_with("(did you mean \"name\"?)"), "{head:?}");
    let json = "[\n {\"id\": \"K-1\",\n  \"covers\": \"site\", \"valid_from\": \"2026-02-30\"},\n {\"id\": \"K-2\", \"tier\": {}}\n]";
    assert_eq!(
        wrong(read_json(Kind::Contracts, "f", json)),
        ["4:24: tier: expected a text, a number, null or a list of texts"]
    );
    let json = json.replace("{}", "\"Gold\"");
    assert_eq!(
        wrong(read_json(Kind::Contracts, "f", &json)),
        [
            "3:13: covers: expected one of customer, sites, devices, found \"site\" (did you mean \"sites\"?)",
            "3:35: valid_from: expected a day such as 2026-01-31, found \"2026-02-30\"",
            "4:24: tier: expected one of standard, gold, platinum, diamond, found \"Gold\" (did you mean \"gold\"?)",
        ]
    );
    assert_eq!(
        wrong(read_csv(Kind::Sites, "f", "id\n\"x"))[0],
        "2:1: expected a closing quote, found the end of the file"
    );
    let many: String = (0..150).map(|_| ",\n".to_owned()).collect();
    assert_eq!(
        read_csv(Kind::Sites, "f", &format!("id,name\n{many}")).unwrap().rows.len(),
        0,
        "empty lines"
    );
    let many: String = (0..150).map(|_| ",x\n".to_owned()).collect();
    let told = wrong(read_csv(Kind::Sites, "f", &format!("id,name\n{many}")));
    assert_eq!(
        (told.len(), told[99].ends_with("(and 50 more faults)")),
        (100, true),
        "{}",
        told[99]
    );
}

#[test]
fn what_is_written_goes_together() {
    let with = |more: &[(&'static str, &str)]| {
        let base = [
            ("customer", "c"),
            ("plan", "p"),
            ("valid_from", "2026-01-01"),
            ("valid_until", "2026-12-31"),
        ];
        let values: Values =
            base.iter().chain(more).map(|(name, value)| (*name, (*value).to_owned())).collect();
        across(Kind::Contracts, &values)
            .map_err(|(name, refusal)| format!("{name}: {}", refusal.text))
    };
    assert_eq!(with(&[("covers", "customer")]), Ok(()));
    assert_eq!(with(&[("covers", "devices"), ("serials", "1")]), Ok(()));
    for (more, expected) in [
        (&[][..], "covers: expected one of customer, sites, devices, found nothing"),
        (&[("covers", "sites")], "sites: expected sites, found none: the contract covers sites"),
        (
            &[("covers", "customer"), ("serials", "1")],
            "serials: expected no serials: the contract covers customer",
        ),
        (
            &[("covers", "customer"), ("valid_until", "2025-12-31")],
            "valid_until: expected a day from 2026-01-01 on: the contract ends before it begins",
        ),
    ] {
        assert_eq!(with(more), Err(expected.to_owned()));
    }
}

#[test]
fn references_are_known_both_ways() {
    let to_sites: Vec<_> = Kind::Sites.referred_by().map(|(kind, f)| (kind, f.name)).collect();
    assert_eq!(
        to_sites,
        [(Kind::Contacts, "sites"), (Kind::Contracts, "sites"), (Kind::Devices, "site")]
    );
    for kind in Kind::ALL {
        assert_eq!(Kind::parse(kind.as_str()), Some(kind));
        for (_, to) in kind.fields().iter().filter_map(|f| f.shape.refers_to().map(|to| (f, to))) {
            assert!(to < kind, "{kind:?} refers to {to:?}: import would have no order");
        }
    }
}

#[test]
fn what_is_kept_stays_when_it_is_read_again() {
    let note = Kind::Customers.field("note").unwrap();
    for text in ["a\r\nb", "a\r\r\nb", "a\rb", " \r\n a \r", "\ta"] {
        let kept = check::value(note, text).unwrap();
        assert_eq!(check::value(note, &kept).as_ref(), Ok(&kept), "{text:?}");
        assert!(!kept.contains('\r'), "{text:?}");
    }
}

fn texts() -> impl Strategy<Value = String> {
    "[a-z0-9,\"\r\n ;'=+@äé站点-]{0,20}"
}

proptest! {
    #[test]
    fn prop_what_is_exported_is_read_back(rows in proptest::collection::btree_map("[A-Z0-9站, \"-]{1,12}", (texts(), texts()), 0..8)) {
        let rows: Vec<(String, Values)> = rows.into_iter().filter_map(|(id, (name, note))| {
            let id = check::id(&id).ok()?;
            let one = |field: &str, text: &str| check::value(Kind::Customers.field(field)?, text).ok();
            Some((id, Values::from([("name", one("name", &name)?), ("note", one("note", &note)?)])))
        }).collect();
        let rows: std::collections::BTreeMap<String, Values> = rows.into_iter().collect();
        let written = || rows.iter().map(|(id, values)| (id.as_str(), 7, values));
        let csv = read_csv(Kind::Customers, "f", &export_csv(Kind::Customers, written()));
        let json = read_json(Kind::Customers, "f", &export_json(Kind::Customers, written()));
        for read in [csv, json] {
            let read = read.map_err(|e| TestCaseError::fail(e.to_string()))?;
            prop_assert!(read.rows.iter().all(|row| row.version == Some(7)));
            let back: std::collections::BTreeMap<String, Values> =
                read.rows.into_iter().map(|row| (row.id, row.values)).collect();
            prop_assert_eq!(&back, &rows);
        }
    }

    #[test]
    fn fuzz_no_file_panics(text in ".{0,200}", like in "(id|name|,|\"|\n|\r|\\[|\\{|\\}|\\]|:|é|1){0,60}") {
        for kind in Kind::ALL {
            for text in [&text, &like, &format!("id,name\n{like}"), &format!("[{{\"id\":{like}}}]")] {
                for read in [read_csv(kind, "f", text), read_json(kind, "f", text)] {
                    if let Err(problems) = read {
                        prop_assert!(!problems.0.is_empty());
                        prop_assert!(problems.0.iter().all(|p| p.line >= 1 && p.column >= 1));
                    }
                }
            }
        }
    }
}
