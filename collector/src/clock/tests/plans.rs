use serde_json::json;

use super::super::preset::COUNT;
use super::super::*;
use crate::calendar::{Calendar, STANDARD};

fn preset(name: &str) -> Plan {
    presets().into_iter().find(|p| p.name == name).unwrap().plan
}

#[test]
fn every_preset_is_a_good_plan() {
    let all = presets();
    assert_eq!(all.len(), COUNT, "every file can be read");
    for one in &all {
        let base = one.plan.base.as_deref().map(preset);
        assert_eq!(check(&one.plan, base.as_ref()), Ok(()), "{}", one.name);
        assert!(is_name(one.name));
        // What is exported reads back as the same.
        let text = serde_json::to_string(&one.plan).unwrap();
        assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), one.plan);
    }
}

#[test]
fn the_words_for_states_are_those_of_tickets() {
    for state in crate::ticket::State::ALL {
        assert!(WORDS.contains(&state.as_str()), "{} is no word of plans", state.as_str());
    }
}

#[test]
fn the_tables_of_the_field() {
    let table = |plan: &str, priority: &str| -> Vec<(String, String, String)> {
        let body = preset(plan);
        let base = body.base.as_deref().map(preset);
        let named = Named { name: plan.to_owned(), version: 1, body };
        terms(&named, base.as_ref(), None, "Asia/Shanghai", priority)
            .into_iter()
            .filter(|(_, (terms, _))| terms.within != UNLIMITED)
            .map(|(name, (terms, _))| (name, terms.within, terms.hours_name))
            .collect()
    };
    let rows = |all: &[(&str, &str, &str)]| -> Vec<(String, String, String)> {
        all.iter().map(|(a, b, c)| (a.to_string(), b.to_string(), c.to_string())).collect()
    };
    assert_eq!(
        table("carrier", "p1"),
        rows(&[
            ("on_site", "1h", "7x24"),
            ("respond", "at once", "7x24"),
            ("restore", "2h", "7x24")
        ])
    );
    assert_eq!(table("carrier", "p4"), rows(&[("respond", "next day", "5x8")]));
    assert_eq!(
        table("third-party", "p2"),
        rows(&[
            ("diagnose", "24h", "7x24"),
            ("on_site", "2h", "7x24"),
            ("respond", "30min", "7x24")
        ])
    );
    assert_eq!(
        table("vendor-platinum", "p2"),
        rows(&[
            ("on_site", "1h", "7x24"),
            ("part_return", "next 10 days", "5x8"),
            ("replacement", "next day", "7x8"),
            ("respond", "at once", "7x24"),
            ("restore", "4h", "7x24"),
        ])
    );
}

#[test]
fn a_calendar_has_the_last_word_on_hours() {
    let sunday =
        json!({ "hours": { "5x8": { "week": { "sun-thu": ["08:00-16:00"] }, "holidays": true } } });
    let body: Calendar = serde_json::from_value(sunday).unwrap();
    let calendar = Named { name: "gulf".to_owned(), version: 3, body };
    let plan = Named { name: "carrier".to_owned(), version: 1, body: preset("carrier") };
    let all = terms(&plan, None, Some(&calendar), "Asia/Dubai", "p4");
    let (respond, starts) = &all["respond"];
    assert_eq!(respond.hours, calendar.body.hours["5x8"]);
    assert_eq!(respond.calendar, Some(("gulf".to_owned(), 3)));
    assert_eq!(*starts, Start::Opening);
    assert_eq!(all["restore"].0.within, UNLIMITED, "it is there: the priority may change");
    assert!(STANDARD.contains(&respond.hours_name.as_str()));
}

#[test]
fn faults_say_where_what_was_expected_and_what_is_near() {
    let fault = |path: &str, value: serde_json::Value| {
        let mut plan = serde_json::to_value(preset("third-party-windows")).unwrap();
        *plan.pointer_mut(path).unwrap() = value;
        let plan: Plan = serde_json::from_value(plan).unwrap();
        check(&plan, None).unwrap_err().to_string()
    };
    assert_eq!(
        fault("/priorities/p2/respond/within", json!("4 hours")),
        "priorities.p2.respond.within: expected a time such as \"30min\", \"4h\", \"at once\", \"next day\" or \
         \"next 2 days\", found \"4 hours\""
    );
    assert_eq!(
        fault("/priorities/p2/respond/hours", json!("urgnet")),
        "priorities.p2.respond.hours: expected 5x8, 7x8, 7x24 or a name from this plan's hours, found \"urgnet\": \
         did you mean \"urgent\"?"
    );
    assert!(fault("/hours/urgent/week", json!({})).starts_with("hours.urgent.week: expected"));
    assert!(fault("/steps/0/to", json!("L3")).starts_with("steps[0].to: expected one of l1"));
    assert!(fault("/steps/0/at", json!("75")).starts_with("steps[0].at: expected \"75%\""));
    assert!(fault("/steps/1/at", json!("10%")).contains("before the step above"));
    assert!(fault("/warn_at", json!(0)).contains("1 to 100"));
    assert!(fault("/at_once", json!("soon")).starts_with("at_once: expected"));
    assert!(fault("/default_hours", json!("8x5")).starts_with("default_hours: expected"));
    assert!(fault("/title/en", json!(" ")).starts_with("title.en: expected"));
    assert!(fault("/escalation", json!("every_level")).contains("leaves out \"l2\""));
    assert!(
        fault("/pauses/0", json!("waiting_costumer"))
            .contains("did you mean \"waiting_customer\"?")
    );
    assert!(
        fault("/stops", json!({ "restore": ["solved"] })).starts_with("stops.restore[0]: expected")
    );
    let wrong = json!({ "p5": { "respond": { "within": "1h" } } });
    assert!(fault("/priorities", wrong).starts_with("priorities: expected one of p1"));
    let wrong = json!({ "p1": { "restor": { "within": "1h" } } });
    assert!(fault("/priorities", wrong).contains("did you mean \"restore\"?"));
    let mut plan = preset("vendor-gold");
    assert!(check(&plan, None).unwrap_err().to_string().starts_with("base: expected"));
    plan.priorities.clear();
    assert_eq!(check(&plan, Some(&preset("carrier"))), Ok(()), "only what the other promises");
}
