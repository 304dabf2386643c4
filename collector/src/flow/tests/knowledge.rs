//! Articles about faults that were solved.

use callhome_shared::severity::Severity;
use callhome_shared::time::Time;

use super::World;
use super::agent::Agent;
use crate::flow::knowledge::{
    Author, KnowledgeError, change, create, from_ticket, offered, remove, search,
};
use crate::knowledge::Article;
use crate::store::timeline;
use crate::ticket::State;

fn li() -> Author<'static> {
    Author { user: "li", at: Time::now() }
}

fn article(code: &str, title: &str) -> Article {
    Article { code: code.into(), title: title.into(), ..Article::default() }
}

pub(super) async fn an_article_is_drawn_from_a_closed_ticket_and_offered_to_the_next(world: World) {
    let mut agent = Agent::new("a-1");
    let (_, raise) = agent.raise_at("PSU 1", Severity::Major);
    world.feed([raise]).await;
    let early = from_ticket(&world.db, "T-000001", li()).await.unwrap_err();
    assert!(matches!(early, KnowledgeError::NotClosed), "{early}");
    let before = offered(&world.db, "T-000001").await.unwrap().unwrap();
    assert_eq!((before.own, before.similar.len()), (None, 0));
    world.take("T-000001", &[State::InDiagnosis, State::Resolved, State::Closed]).await;
    let row = from_ticket(&world.db, "T-000001", li()).await.unwrap();
    assert_eq!((row.version, row.ticket.as_deref()), (1, Some("T-000001")));
    assert!(!row.article.cause.is_empty() && !row.article.fix.is_empty(), "{:?}", row.article);
    let twice = from_ticket(&world.db, "T-000001", li()).await.unwrap_err();
    assert!(
        matches!(&twice, KnowledgeError::Exists(code) if Some(code) == before.code.as_ref()),
        "{twice}"
    );
    let ticket = world.ticket().await;
    let entries = timeline::of_ticket(&world.db, &ticket.id, 99).await.unwrap();
    assert_eq!(entries.iter().filter(|e| e.what == "article").count(), 1);
    // Another device's fault of the same code finds it.
    let (_, raise) = agent.raise_at("PSU 2", Severity::Major);
    world.feed([raise]).await;
    let next = offered(&world.db, "T-000002").await.unwrap().unwrap();
    assert_eq!(next.own.map(|own| own.id), Some(row.id));
    assert_eq!(offered(&world.db, "T-000009").await.unwrap(), None);
    let none = from_ticket(&world.db, "T-000009", li()).await.unwrap_err();
    assert!(matches!(none, KnowledgeError::NotFound("ticket")), "{none}");
    world.check().await;
}

pub(super) async fn articles_are_found_by_their_words(world: World) {
    // Power supply of the array; disk of the array; disk.
    for (code, title) in [
        ("E1", "\u{9635}\u{5217}\u{7535}\u{6e90}\u{6545}\u{969c}"),
        ("E2", "\u{9635}\u{5217}\u{786c}\u{76d8}\u{6545}\u{969c}"),
        ("E20", "disk 100% worn_out"),
    ] {
        create(&world.db, &article(code, title), li()).await.unwrap();
    }
    let found = async |question: &str| {
        let rows = search(&world.db, question, "", 10).await.unwrap();
        rows.into_iter().map(|row| row.article.code).collect::<Vec<_>>()
    };
    assert_eq!(found("\u{7535}\u{6e90}").await, ["E1"]);
    assert_eq!(found("\u{9635}\u{5217}").await, ["E1", "E2"]);
    assert_eq!(found("\u{9635}\u{5217} \u{786c}\u{76d8}").await, ["E2"]);
    assert_eq!(found("\u{6e90}\u{7535}").await, [""; 0], "letters in another order");
    assert_eq!(found("e2").await, ["E2", "E20"], "both begin so, and weigh the same");
    assert_eq!(found("worn 100").await, ["E20"]);
    assert_eq!(found("% _").await, ["E1", "E2", "E20"], "signs ask for nothing: all, by code");
    assert_eq!(found("'; DROP TABLE articles; --").await, [""; 0]);
    let rest = search(&world.db, "", "e1", 10).await.unwrap();
    assert_eq!(rest.len(), 2, "after the first one");
}

pub(super) async fn two_authors_lose_nothing(world: World) {
    let row = create(&world.db, &article(" E7 ", "fan"), li()).await.unwrap();
    assert_eq!((row.id.as_str(), row.article.code.as_str()), ("e7", "E7"));
    let again = create(&world.db, &article("e7", "fan"), li()).await.unwrap_err();
    assert!(matches!(again, KnowledgeError::Exists(_)), "{again}");
    let (a, b) = (article("", "fan stands"), article("", "fan is loud"));
    let (a, b) =
        tokio::join!(change(&world.db, "E7", 1, &a, li()), change(&world.db, "E7", 1, &b, li()));
    let (won, lost) = match (a, b) {
        (Ok(won), Err(lost)) | (Err(lost), Ok(won)) => (won, lost),
        both => panic!("one wins: {both:?}"),
    };
    assert!(matches!(lost, KnowledgeError::Version(_) | KnowledgeError::Store(_)), "{lost}");
    assert_eq!((won.version, won.article.code.as_str()), (2, "E7"), "the code stays");
    let wrong = change(&world.db, "E7", 2, &article("", ""), li()).await.unwrap_err();
    assert!(wrong.to_string().starts_with("title: expected one line"), "{wrong}");
    let old = remove(&world.db, "E7", 1).await.unwrap_err();
    assert!(matches!(old, KnowledgeError::Version(2)), "{old}");
    remove(&world.db, "E7", 2).await.unwrap();
    let gone = remove(&world.db, "E7", 2).await.unwrap_err();
    assert!(matches!(gone, KnowledgeError::NotFound("article")), "{gone}");
    assert!(
        search(&world.db, "fan", "", 9).await.unwrap().is_empty(),
        "its words are gone with it"
    );
}
