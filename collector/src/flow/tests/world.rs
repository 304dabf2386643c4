//! A store with the intake in front of it.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use callhome_shared::ack::{Ack, Receipt};
use callhome_shared::control::Control;
use callhome_shared::time::Time;
use callhome_shared::topic::Down;
use tokio::sync::{broadcast, mpsc};
use tokio_util::sync::CancellationToken;

use super::postgres::Server;
use crate::flow::diagnosis::Diagnosis;
use crate::flow::intake::{self, Outlets};
use crate::flow::{Event, findings, tickets};
use crate::link::{Delivery, Downward};
use crate::metrics::Metrics;
use crate::settings::Database;
use crate::store::tickets::TicketRow;
use crate::store::{self, Db, agents};
use crate::ticket::{Closing, Level, State, Wish};

pub(super) struct World {
    pub(super) db: Db,
    pub(super) settings: Database,
    pub(super) events: broadcast::Sender<Event>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) diagnosis: Arc<Diagnosis>,
    /// What the intake takes for the time.
    pub(super) clock: intake::Clock,
}

/// What was said to agents.
#[derive(Default)]
pub(super) struct Answers {
    pub(super) acks: Vec<Ack>,
    pub(super) receipts: Vec<Receipt>,
    pub(super) controls: Vec<Control>,
}

impl Answers {
    pub(super) fn last_seq(&self) -> u64 {
        self.acks.last().expect("an ack").seq
    }

    pub(super) fn reasons(&self) -> Vec<&str> {
        self.acks.iter().flat_map(|a| &a.rejects).map(|r| r.reason.as_str()).collect()
    }
}

fn run<F: Future<Output = ()>>(scenario: F) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        tokio::time::timeout(Duration::from_secs(300), scenario).await.expect("in time");
    });
}

pub(super) fn on_sqlite<F: Future<Output = ()>>(scenario: impl FnOnce(World) -> F) {
    let dir = tempfile::tempdir().unwrap();
    let settings = Database::Sqlite { path: dir.path().join("callhome.db") };
    run(async { scenario(World::open(settings).await).await });
}

pub(super) fn on_postgres<F: Future<Output = ()>>(
    server: &Server,
    scenario: impl FnOnce(World) -> F,
) {
    run(async {
        let settings = Database::Postgres { url: server.new_database().await };
        scenario(World::open(settings).await).await;
    });
}

impl World {
    pub(super) async fn open(settings: Database) -> Self {
        let db = Db::open(&settings).await.unwrap();
        for agent in ["a-1", "a-2"] {
            agents::create_alone(&db, agent, Some("SH-01"), None, Time(1)).await.unwrap();
        }
        let (events, _) = broadcast::channel(4096);
        let diagnosis = Arc::new(Diagnosis::default());
        let (metrics, clock) = (Arc::new(Metrics::new()), intake::Clock::default());
        World { db, settings, events, metrics, diagnosis, clock }
    }

    /// A second store of the same settings, as after a restart.
    pub(super) async fn reopen(self) -> Self {
        self.db.close().await;
        World::open(self.settings).await
    }

    /// The SQLite file, where it is one.
    pub(super) fn file(&self) -> Option<PathBuf> {
        match &self.settings {
            Database::Sqlite { path } => Some(path.clone()),
            Database::Postgres { .. } => None,
        }
    }

    /// Feeds deliveries and waits until all are settled.
    pub(super) async fn feed(&self, deliveries: impl IntoIterator<Item = Delivery>) -> Answers {
        let deliveries: Vec<Delivery> = deliveries.into_iter().collect();
        let (tx, rx) = mpsc::channel(deliveries.len().max(1));
        for delivery in deliveries {
            tx.send(delivery).await.unwrap();
        }
        drop(tx);
        let (downward, mut said) = mpsc::channel(8);
        let reader = tokio::spawn(async move {
            let mut answers = Answers::default();
            while let Some(message) = said.recv().await {
                answers.add(&message);
            }
            answers
        });
        let outlets = self.outlets(downward);
        intake::run(self.db.clone(), rx, outlets, CancellationToken::new()).await.unwrap();
        reader.await.unwrap()
    }

    pub(super) fn outlets(&self, downward: mpsc::Sender<Downward>) -> Outlets {
        let (events, metrics) = (self.events.clone(), self.metrics.clone());
        let (diagnosis, clock) = (self.diagnosis.clone(), self.clock.clone());
        Outlets { downward, events, metrics, diagnosis, clock }
    }

    /// Diagnosis looks at what is due then.
    pub(super) async fn find_out(&self, now: Time) -> usize {
        let (events, metrics) = (&self.events, &self.metrics);
        findings::look(&self.db, &self.diagnosis, events, metrics, now).await.unwrap()
    }

    pub(super) async fn tickets(&self) -> Vec<TicketRow> {
        let filter = store::tickets::Filter {
            states: store::tickets::States::All,
            limit: 10_000,
            ..Default::default()
        };
        let mut all = store::tickets::list(&self.db, &filter).await.unwrap();
        all.reverse();
        all
    }

    /// The only ticket there is.
    pub(super) async fn ticket(&self) -> TicketRow {
        let mut all = self.tickets().await;
        assert_eq!(all.len(), 1, "{all:#?}");
        all.remove(0)
    }

    /// What its timeline says happened.
    pub(super) async fn timeline(&self, ticket: &TicketRow) -> Vec<String> {
        let all = store::timeline::of_ticket(&self.db, &ticket.id, 1000).await.unwrap();
        all.into_iter().map(|e| e.what).collect()
    }

    /// A person moves a ticket to its next states, one after the other. Closing is asked for by itself: what
    /// comes before it is done, too.
    pub(super) async fn take(&self, number: &str, states: &[State]) {
        for to in states {
            let before: &[State] = match to {
                State::Closed => &[State::Verified, State::Confirmed, State::Closed],
                other => std::slice::from_ref(other),
            };
            for to in before {
                let version = store::tickets::get(&self.db, number).await.unwrap().unwrap().version;
                self.go(number, *to, version, Some("because")).await.unwrap();
            }
        }
    }

    /// One step of a person, with everything that it may need.
    pub(super) async fn go(
        &self,
        number: &str,
        to: State,
        version: i64,
        comment: Option<&str>,
    ) -> Result<TicketRow, tickets::ActionError> {
        let action = tickets::Action { user: "li", number, at: Time::now() };
        let closing = Closing { cause: "worn".into(), fix: "new".into(), category: "a".into() };
        let wish = Wish {
            level: Some(Level::Engineering),
            closing: Some(&closing),
            ..Wish::to(to, comment)
        };
        tickets::transition(&self.db, &self.events, action, version, &wish).await
    }

    /// A number by SQL.
    pub(super) async fn count(&self, sql: &'static str) -> i64 {
        self.db.read_one(sql, vec![]).await.unwrap().unwrap().int("n").unwrap()
    }
}

impl Answers {
    fn add(&mut self, message: &Downward) {
        match message.down {
            Down::Ack => self.acks.push(serde_json::from_slice(&message.payload).unwrap()),
            Down::Receipt => self.receipts.push(serde_json::from_slice(&message.payload).unwrap()),
            Down::Control => self.controls.push(serde_json::from_slice(&message.payload).unwrap()),
        }
    }
}
