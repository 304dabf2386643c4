//! Views of the queue that people keep.

use callhome_shared::time::Time;

use super::World;
use crate::flow::views::{Keeper, MAX_OWN, ViewError, Wish, change, keep, remove};
use crate::store::views;

fn by(user: &str, manager: bool) -> Keeper<'_> {
    Keeper { user, manager, at: Time(7) }
}

fn wish(name: &str, shared: bool) -> Wish {
    let columns = vec!["left".to_owned(), "what".to_owned()];
    Wish { name: name.to_owned(), shared, query: "state=open&sort=left".to_owned(), columns }
}

pub(super) async fn views_are_kept_shared_and_taken_from_nobody(world: World) {
    let db = &world.db;
    let mine = keep(db, &wish(" mine ", false), by("li", false)).await.unwrap();
    assert_eq!((mine.name.as_str(), mine.version, mine.columns.len()), ("mine", 1, 2));
    let twice = keep(db, &wish("mine", false), by("li", false)).await.unwrap_err();
    assert!(matches!(&twice, ViewError::Exists(name) if name == "mine"), "{twice}");
    let other = keep(db, &wish("mine", true), by("wang", false)).await.unwrap();
    let names = async |user: &str| {
        let all = views::seen_by(db, user, 99).await.unwrap();
        all.into_iter().map(|row| (row.owner, row.shared)).collect::<Vec<_>>()
    };
    assert_eq!(names("li").await, [("li".into(), false), ("wang".into(), true)], "own ones first");
    assert_eq!(names("wang").await, [("wang".into(), true)]);
    // What is another person's own is not there; what is shared is changed by its owner and managers.
    let hidden = change(db, &mine.id, 1, &wish("x", false), by("boss", true)).await.unwrap_err();
    assert!(matches!(hidden, ViewError::NotFound), "{hidden}");
    let foreign = change(db, &other.id, 1, &wish("x", true), by("li", false)).await.unwrap_err();
    assert!(matches!(foreign, ViewError::NotYours), "{foreign}");
    let (first, second) = (wish("p1 first", true), wish("p2 first", true));
    let (a, b) = tokio::join!(
        change(db, &other.id, 1, &first, by("wang", false)),
        change(db, &other.id, 1, &second, by("boss", true))
    );
    let lost = match (a, b) {
        (Ok(won), Err(lost)) | (Err(lost), Ok(won)) => {
            assert_eq!((won.version, won.owner.as_str()), (2, "wang"));
            lost
        }
        both => panic!("one wins: {both:?}"),
    };
    assert!(matches!(lost, ViewError::Version(_) | ViewError::Store(_)), "{lost}");
    let old = remove(db, &other.id, 1, by("wang", false)).await.unwrap_err();
    assert!(matches!(old, ViewError::Version(2)), "{old}");
    remove(db, &other.id, 2, by("boss", true)).await.unwrap();
    assert_eq!(names("wang").await, []);
    // Bad ones and too many.
    let column = Wish { columns: vec!["sevrity".into()], ..wish("y", false) };
    let wrong = keep(db, &column, by("li", false)).await.unwrap_err().to_string();
    assert!(
        wrong.contains("\"sevrity\"") && wrong.contains("did you mean \"severity\""),
        "{wrong}"
    );
    let twice = Wish { columns: vec!["what".into(), "what".into()], ..wish("y", false) };
    assert!(matches!(keep(db, &twice, by("li", false)).await, Err(ViewError::Wrong("columns", _))));
    for n in 1..MAX_OWN {
        keep(db, &wish(&format!("v{n}"), false), by("li", false)).await.unwrap();
    }
    let full = keep(db, &wish("one more", false), by("li", false)).await.unwrap_err();
    assert!(matches!(full, ViewError::Full(_)), "{full}");
}
