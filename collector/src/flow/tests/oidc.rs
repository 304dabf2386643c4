//! Whom an identity provider names.

use callhome_shared::time::Time;

use super::World;
use crate::access::oidc::Refusal;
use crate::flow::oidc::{Identity, OidcError, admit};
use crate::store::oidc::{self, Link};
use crate::store::{audit, users};

fn identity(subject: &str, name: &str, role: Option<&str>) -> Identity {
    Identity {
        issuer: "https://id.example".into(),
        subject: subject.into(),
        name: Some(name.into()),
        display_name: None,
        language: "en",
        role: role.map(str::to_owned),
    }
}

async fn refusal(world: &World, who: &Identity) -> (Refusal, Option<String>) {
    match admit(&world.db, who, Time(9)).await {
        Err(OidcError::Refused(refusal, name)) => (refusal, name),
        other => panic!("{other:?}"),
    }
}

pub(super) async fn an_identity_is_one_user_and_never_somebody_elses(world: World) {
    let db = &world.db;
    assert_eq!(refusal(&world, &identity("1", "li", None)).await, (Refusal::Role, None));
    // Four windows of one browser at the same moment.
    let li = identity("1", "li", Some("expert"));
    let all = tokio::join!(
        admit(db, &li, Time(1)),
        admit(db, &li, Time(1)),
        admit(db, &li, Time(1)),
        admit(db, &li, Time(1))
    );
    let all = [all.0, all.1, all.2, all.3];
    let let_in: Vec<_> = all.iter().flatten().collect();
    assert!(!let_in.is_empty() && let_in.iter().all(|user| user.name == "li"), "{all:?}");
    let busy = |e: &OidcError| matches!(e, OidcError::Refused(Refusal::Busy, None));
    assert!(all.iter().filter_map(|one| one.as_ref().err()).all(busy), "{all:?}");
    assert_eq!(users::count(db).await.unwrap(), 1);

    // The same name, another person: of this provider, or of another one.
    let other = admit(db, &identity("2", "li", Some("expert")), Time(2)).await.unwrap();
    let elsewhere = Identity { issuer: "https://other.example".into(), ..li.clone() };
    let elsewhere = admit(db, &elsewhere, Time(2)).await.unwrap();
    let strange = admit(db, &identity("3", "a b", Some("expert")), Time(2)).await.unwrap();
    let names = [&other.name, &elsewhere.name, &strange.name];
    assert!(other.name.starts_with("li-") && elsewhere.name.starts_with("li-"), "{names:?}");
    assert!(strange.name.starts_with("oidc-") && other.name != elsewhere.name, "{names:?}");

    // The role follows the provider; without one he stays out, and out is who is disabled.
    assert_eq!(
        admit(db, &identity("1", "x", Some("manager")), Time(3)).await.unwrap().role,
        "manager"
    );
    assert_eq!(users::get(db, "li").await.unwrap().unwrap().role, "manager");
    let refused = refusal(&world, &identity("1", "li", None)).await;
    assert_eq!(refused, (Refusal::Role, Some("li".into())));
    let mut tx = db.begin().await.unwrap();
    assert!(users::set_disabled(&mut tx, "li", Some(Time(4))).await.unwrap());
    assert!(!users::set_disabled(&mut tx, "nobody", None).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(refusal(&world, &li).await, (Refusal::Disabled, Some("li".into())));

    // Linked by hand: the role is what it is here.
    let mut tx = db.begin().await.unwrap();
    users::set_disabled(&mut tx, "li", None).await.unwrap();
    assert_eq!(oidc::unlink(&mut tx, "li").await.unwrap(), 1);
    let link = Link {
        issuer: li.issuer.clone(),
        subject: "1".into(),
        user_name: "li".into(),
        managed: false,
    };
    assert!(oidc::link(&mut tx, &link, Time(5)).await.unwrap());
    assert!(!oidc::link(&mut tx, &link, Time(5)).await.unwrap(), "once");
    tx.commit().await.unwrap();
    for role in [None, Some("administrator")] {
        let user = admit(db, &identity("1", "li", role), Time(6)).await.unwrap();
        assert_eq!((user.name.as_str(), user.role.as_str()), ("li", "manager"));
    }
    let deeds = audit::after(db, 0, 100).await.unwrap();
    let deeds: Vec<&str> = deeds.iter().map(|row| row.what.as_str()).collect();
    let made = ["user-added"; 4];
    assert_eq!(deeds, [&made[..], &["role-changed"]].concat());
}
