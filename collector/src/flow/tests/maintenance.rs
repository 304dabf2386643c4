//! Windows of maintenance: who is told what, and until when it is said again.

use callhome_shared::control::MAINTENANCE;
use callhome_shared::heartbeat::Heartbeat;
use callhome_shared::maintenance::{MAX_WINDOWS, Set};
use callhome_shared::time::Time;

use super::agent::Agent;
use super::world::{Answers, World};
use crate::flow::maintenance::{Knows, MaintenanceError, Scope, Wish, begin, end, list, preview};
use crate::link::{Delivery, Downward};
use crate::store::Db;

const HOUR: i64 = 3_600_000;

fn beat(agent: &Agent, revision: Option<&str>) -> Delivery {
    agent.heartbeat(Heartbeat {
        online: true,
        at: Time::now(),
        maintenance: revision.map(str::to_owned),
        ..Heartbeat::default()
    })
}

fn wish(scope: Scope, reason: &str) -> Wish {
    Wish { scope, from: None, until: Time::now().plus_ms(HOUR), reason: reason.to_owned() }
}

fn array() -> Scope {
    Scope::Devices(vec![("a-1".to_owned(), "SN-7".to_owned())])
}

fn set(answers: &Answers) -> Set {
    assert_eq!(answers.controls.len(), 1, "{:?}", answers.controls);
    assert_eq!(answers.controls[0].kind, MAINTENANCE);
    answers.controls[0].maintenance.clone().unwrap()
}

fn told(messages: &[Downward]) -> Vec<&str> {
    messages.iter().map(|message| message.agent.as_str()).collect()
}

async fn knows(db: &Db, agent: &str) -> Option<Knows> {
    list(db, 100, Time::now()).await.unwrap().1.get(agent).copied()
}

pub(super) async fn agents_are_told_until_they_have_them(world: World) {
    let (mut one, two) = (Agent::new("a-1"), Agent::new("a-2"));
    let (_, raised) = one.raise("PSU 1");
    world.feed([raised]).await;
    let none = world.feed([beat(&one, Some("")), beat(&two, None)]).await;
    assert!(none.controls.is_empty(), "there is no window");

    let seen = preview(&world.db, &wish(array(), "firmware"), Time::now()).await.unwrap();
    assert_eq!((seen.devices.len(), seen.devices[0].active_alarms), (1, 1));
    let (row, messages) =
        begin(&world.db, &wish(array(), " firmware "), "li", Time::now()).await.unwrap();
    assert_eq!((told(&messages), &*row.reason), (vec!["a-1"], "firmware"));
    assert_eq!(knows(&world.db, "a-1").await, Some(Knows::NotYet));
    let first = set(&world.feed([beat(&one, Some(""))]).await);
    assert_eq!((first.windows.len(), &*first.windows[0].devices[0]), (1, "array-1"));
    assert_eq!(first.windows[0].id, row.id);
    assert_eq!(set(&world.feed([beat(&one, Some(""))]).await), first, "until it has it");
    assert!(world.feed([beat(&one, Some(&first.revision))]).await.controls.is_empty());
    assert_eq!(knows(&world.db, "a-1").await, Some(Knows::All));

    // A site is all of its agents; one of an older version is told nothing.
    let site = wish(Scope::Site("SH-01".to_owned()), "power");
    let (site, messages) = begin(&world.db, &site, "li", Time::now()).await.unwrap();
    assert_eq!(told(&messages), ["a-1", "a-2"]);
    assert!(world.feed([beat(&two, None)]).await.controls.is_empty());
    assert_eq!(knows(&world.db, "a-2").await, Some(Knows::Cannot));
    let both = set(&world.feed([beat(&one, Some(&first.revision))]).await);
    assert_eq!(both.windows.len(), 2);
    let messages = end(&world.db, &row.id, "wu", Time::now()).await.unwrap();
    assert_eq!(told(&messages), ["a-1"]);
    let left = set(&world.feed([beat(&one, Some(&both.revision))]).await);
    assert_eq!((left.windows.len(), &left.windows[0].sites), (1, &vec!["SH-01".to_owned()]));
    assert!(matches!(
        end(&world.db, &row.id, "wu", Time::now()).await,
        Err(MaintenanceError::NotFound)
    ));

    // What is over by its time is no window any more: the agent is told so.
    let later = site.ends_at;
    let (listed, agents) = list(&world.db, 100, later).await.unwrap();
    assert_eq!((listed.len(), agents.len()), (2, 0));
    let sql =
        "SELECT COUNT(*) AS n FROM audit WHERE what IN ('maintenance-begun', 'maintenance-ended')";
    assert_eq!(world.count(sql).await, 3);
    world.db.execute("UPDATE maintenance SET ends_at = 1, starts_at = 0", vec![]).await.unwrap();
    assert_eq!(set(&world.feed([beat(&one, Some(&left.revision))]).await), Set::default());
    assert!(world.feed([beat(&one, Some(""))]).await.controls.is_empty());
}

pub(super) async fn what_no_agent_could_keep_is_refused(world: World) {
    let now = Time::now();
    let all = || Scope::Agent("a-2".to_owned());
    for (odd, why) in [
        (wish(Scope::Agent("a-9".to_owned()), "x"), "no such agent"),
        (wish(Scope::Site("nowhere".to_owned()), "x"), "no such site"),
        (wish(array(), "x"), "no such device"),
        (wish(Scope::Devices(Vec::new()), "x"), "devices: expected 1 to 100"),
        (wish(all(), "  "), "reason: expected"),
        (wish(all(), "a\nb"), "reason: expected"),
        (Wish { until: now.plus_ms(-1), ..wish(all(), "x") }, "until: expected a time after now"),
        (Wish { until: now.plus_ms(31 * 24 * HOUR), ..wish(all(), "x") }, "30 days at most"),
        (
            Wish {
                from: Some(now.plus_ms(400 * 24 * HOUR)),
                until: now.plus_ms(400 * 24 * HOUR + 1),
                ..wish(all(), "x")
            },
            "within a year",
        ),
    ] {
        let refused = begin(&world.db, &odd, "li", now).await.unwrap_err().to_string();
        assert!(refused.contains(why), "{why}: {refused}");
    }
    for n in 0..MAX_WINDOWS {
        begin(&world.db, &wish(all(), &format!("no {n}")), "li", now).await.unwrap();
    }
    let refused = begin(&world.db, &wish(all(), "one more"), "li", now).await.unwrap_err();
    assert!(matches!(&refused, MaintenanceError::TooMany { agent, .. } if agent == "a-2"));
    assert_eq!(
        world.count("SELECT COUNT(*) AS n FROM maintenance").await,
        64,
        "nothing of it stays"
    );
    let told = set(&world.feed([beat(&Agent::new("a-2"), Some(""))]).await);
    assert_eq!((told.windows.len(), told.validate()), (MAX_WINDOWS, Ok(())));
}
