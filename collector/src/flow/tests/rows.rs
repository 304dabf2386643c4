//! Queries that no flow of envelopes goes through.

use callhome_shared::time::Time;

use super::World;
use super::agent::Agent;
use crate::store::certificates::{self, Certificate};
use crate::store::sessions::{self, Session};
use crate::store::tickets::{self, Filter, States};
use crate::store::tokens::{self, Taken, Token};
use crate::store::users::{self, User};
use crate::store::{agents, alarms};
use crate::ticket::State;

fn token(id: &str, expires_at: i64) -> Token {
    Token {
        id: id.into(),
        agent_id: "a-1".into(),
        secret_hash: format!("hash of {id}"),
        created_at: Time(10),
        created_by: "admin".into(),
        expires_at: Time(expires_at),
        used_at: None,
    }
}

pub(super) async fn tokens_are_taken_once(world: World) {
    assert!(!agents::create_alone(&world.db, "a-1", None, None, Time(5)).await.unwrap());
    tokens::insert_alone(&world.db, &token("t1", 1000)).await.unwrap();
    tokens::insert_alone(&world.db, &token("t2", 50)).await.unwrap();
    let mut all = tokio::task::JoinSet::new();
    for n in 0..6 {
        let db = world.db.clone();
        all.spawn(async move {
            let mut tx = db.begin().await.unwrap();
            let taken = tokens::take(&mut tx, "hash of t1", Time(100 + n)).await.unwrap();
            tx.commit().await.unwrap();
            taken
        });
    }
    let taken = all.join_all().await;
    assert_eq!(taken.iter().filter(|t| matches!(t, Taken::Yes(_))).count(), 1, "{taken:?}");
    assert_eq!(taken.iter().filter(|t| matches!(t, Taken::Used(_))).count(), 5);
    let mut tx = world.db.begin().await.unwrap();
    let late = tokens::take(&mut tx, "hash of t2", Time(100)).await.unwrap();
    assert!(matches!(late, Taken::Expired(_)));
    assert_eq!(tokens::take(&mut tx, "x", Time(100)).await.unwrap(), Taken::Unknown);
    let certificate = Certificate {
        serial: "0a".into(),
        agent_id: "a-1".into(),
        fingerprint: "sha256:00".into(),
        issued_at: Time(100),
        not_after: Time(5000),
        ..Certificate::default()
    };
    certificates::insert(&mut tx, &certificate).await.unwrap();
    tx.commit().await.unwrap();
    assert!(certificates::revoked(&world.db, Time(1000)).await.unwrap().is_empty());
    let summary = agents::list(&world.db).await.unwrap();
    assert_eq!(summary[0].certificate_not_after, Some(Time(5000)));
    assert!(agents::revoke_alone(&world.db, "a-1", Time(200)).await.unwrap());
    assert!(!agents::revoke_alone(&world.db, "a-1", Time(300)).await.unwrap());
    let revoked = certificates::revoked(&world.db, Time(1000)).await.unwrap();
    assert_eq!(revoked.len(), 1);
    assert_eq!(revoked[0].revoked_at, Some(Time(200)));
    assert!(certificates::revoked(&world.db, Time(6000)).await.unwrap().is_empty(), "ended");
    assert_eq!(tokens::of_agent(&world.db, "a-1").await.unwrap().len(), 1, "the used one");
}

pub(super) async fn users_and_sessions(world: World) {
    let li = User {
        name: "li".into(),
        display_name: "\u{674e}".into(),
        role: "engineer".into(),
        password_hash: "$argon2id$…".into(),
        must_change: true,
        language: "zh-CN".into(),
        created_at: Time(1),
        disabled_at: None,
    };
    assert!(users::insert_alone(&world.db, &li).await.unwrap());
    assert!(!users::insert_alone(&world.db, &li).await.unwrap());
    assert_eq!(users::get(&world.db, "li").await.unwrap(), Some(li));
    assert_eq!(users::count(&world.db).await.unwrap(), 1);
    let session = |id: &str| Session {
        id_hash: id.into(),
        user_name: "li".into(),
        csrf: "c".into(),
        created_at: Time(10),
        expires_at: Time(100),
        last_used_at: Time(10),
    };
    for id in ["s1", "s2"] {
        sessions::insert(&world.db, &session(id)).await.unwrap();
    }
    let (found, user) = sessions::get(&world.db, "s1", Time(50)).await.unwrap().unwrap();
    assert_eq!((found, user.name.as_str()), (session("s1"), "li"));
    assert!(sessions::get(&world.db, "s1", Time(100)).await.unwrap().is_none(), "ended");
    sessions::touch(&world.db, "s1", Time(60), Time(160)).await.unwrap();
    let mut tx = world.db.begin().await.unwrap();
    assert!(users::set_password(&mut tx, "li", "new", false, Some("s1")).await.unwrap());
    assert_eq!(users::set_role(&mut tx, "nobody", "expert").await.unwrap(), None);
    tx.commit().await.unwrap();
    assert!(sessions::get(&world.db, "s1", Time(120)).await.unwrap().is_some());
    assert!(sessions::get(&world.db, "s2", Time(50)).await.unwrap().is_none(), "ended by it");
    assert!(users::set_language(&world.db, "li", "en").await.unwrap());
    let li = users::list(&world.db).await.unwrap().remove(0);
    assert_eq!((li.language.as_str(), li.must_change), ("en", false));
    sessions::delete(&world.db, "s1").await.unwrap();
    assert!(sessions::get(&world.db, "s1", Time(60)).await.unwrap().is_none());
}

pub(super) async fn lists_filter_and_page(world: World) {
    let mut agent = Agent::new("a-1");
    let mut other = Agent::new("a-2");
    for n in 1..=4 {
        world.feed([agent.raise(&format!("Fan_{n}%")).1]).await;
    }
    world.feed([other.raise("Slot 9").1]).await;
    world.take("T-000002", &[State::InDiagnosis, State::Resolved, State::Closed]).await;
    let list = async |filter: Filter| {
        let all = tickets::list(&world.db, &filter).await.unwrap();
        all.into_iter().map(|t| t.ordinal).collect::<Vec<_>>()
    };
    let with = || Filter { limit: 100, ..Filter::default() };
    assert_eq!(list(with()).await, [5, 4, 3, 1]);
    assert_eq!(list(Filter { states: States::All, ..with() }).await, [5, 4, 3, 2, 1]);
    assert_eq!(list(Filter { states: States::One("closed".into()), ..with() }).await, [2]);
    let page = Filter { before: Some("T-000005".into()), limit: 2, ..Filter::default() };
    assert_eq!(list(page).await, [4, 3]);
    assert_eq!(list(Filter { before: Some("rubbish".into()), ..with() }).await, [0; 0]);
    let words = |w: &str| Filter { words: Some(w.into()), states: States::All, ..with() };
    assert_eq!(list(words("FAN_3%")).await, [3]);
    assert_eq!(list(words("an%1")).await, [0; 0], "words are found by their beginnings");
    assert_eq!(list(words("\u{7535}\u{6e90}")).await.len(), 5);
    assert_eq!(list(words("t-000004")).await, [4]);
    assert_eq!(list(Filter { agent: Some("a-2".into()), ..with() }).await, [5]);
    assert_eq!(list(Filter { severity: Some("critical".into()), ..with() }).await, [0; 0]);
    assert_eq!(list(Filter { test: Some(true), ..with() }).await, [0; 0]);
    let shown = alarms::Filter {
        active: Some(true),
        agent: Some("a-2".into()),
        limit: 9,
        ..Default::default()
    };
    let shown = alarms::list(&world.db, &shown).await.unwrap();
    assert_eq!(shown.len(), 1);
    assert_eq!(
        (shown[0].device_name.as_str(), shown[0].ticket.as_deref()),
        ("array-1", Some("T-000005"))
    );
    assert_eq!(
        tickets::count_by_state(&world.db).await.unwrap(),
        [("closed".into(), 1), ("recorded".into(), 4)]
    );
}
