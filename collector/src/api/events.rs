//! Live events (SSE): what has just changed, so that pages fetch it anew.
//!
//! An event carries only a name: what a page may see it asks for, with its own rights. A receiver
//! that falls behind is told `resync`. A stream ends with its session and with the server.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{Extension, State};
use axum::http::HeaderName;
use axum::http::header::CACHE_CONTROL;
use axum::response::IntoResponse;
use axum::response::sse::{Event as Line, Sse};
use callhome_shared::time::Time;
use serde::Serialize;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;

use super::Api;
use super::error::{Answer, Problem, ProblemBody};
use super::server::Closing;
use super::session::{LoggedIn, Means};
use crate::flow::Event;
use crate::metrics::Metrics;
use crate::store::{api_tokens, sessions};

/// A comment line this often shows that the line is alive; the session is looked at as often.
pub const HEARTBEAT: Duration = Duration::from_secs(15);
/// Streams of one user at the same time.
const PER_USER: usize = 10;
/// Streams at the same time.
const IN_ALL: usize = 500;
/// Lines that wait for a slow client; behind them the broadcast channel makes it lag.
const WAITING: usize = 16;

/// The data of an event.
#[derive(Serialize, ToSchema)]
pub struct Change {
    /// The ticket's number (`ticket`).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    number: Option<String>,
    /// The alarm (`alarm`).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    alarm_id: Option<String>,
    /// The agent (`agent`).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    id: Option<String>,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    at: Time,
}

/// Live events.
#[utoipa::path(get, path = "/api/v1/events", operation_id = "stream_events", tag = "events", responses(
    (status = 200, description = "Events `ticket`, `alarm`, `agent`, and `resync` when some were \
        missed; the data of each is a Change. A comment line every 15 s.",
        content_type = "text/event-stream", body = Change),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "Not with this role", body = ProblemBody),
    (status = 429, description = "Too many streams of this user, or in all", body = ProblemBody),
))]
pub async fn events(
    State(api): State<Arc<Api>>,
    Extension(Closing(closing)): Extension<Closing>,
    Extension(logged_in): Extension<LoggedIn>,
) -> Answer<impl IntoResponse> {
    let place = api.streams.take(&logged_in.user.name).ok_or(Problem::TooManyStreams)?;
    let (sender, receiver) = mpsc::channel(WAITING);
    let stream = Stream {
        changes: api.events.subscribe(),
        ended: api.ended.subscribe(),
        means: logged_in.means,
        api,
        closing,
        sender,
        _place: place,
    };
    tokio::spawn(stream.run());
    let no_buffering = HeaderName::from_static("x-accel-buffering");
    let headers = [(CACHE_CONTROL, "no-store"), (no_buffering, "no")];
    Ok((headers, Sse::new(ReceiverStream::new(receiver))))
}

struct Stream {
    api: Arc<Api>,
    changes: broadcast::Receiver<Event>,
    /// Sessions and tokens that were ended.
    ended: broadcast::Receiver<Arc<str>>,
    /// By what it was opened.
    means: Means,
    closing: CancellationToken,
    sender: mpsc::Sender<Result<Line, Infallible>>,
    _place: Place,
}

impl Stream {
    async fn run(mut self) {
        let mut heartbeat = tokio::time::interval(HEARTBEAT);
        loop {
            let line = tokio::select! {
                () = self.closing.cancelled() => return,
                () = self.sender.closed() => return,
                ended = self.ended.recv() => match ended {
                    Ok(ended) if *ended == *self.name() => return,
                    Err(RecvError::Closed) => return,
                    // Missed some: the next heartbeat asks the database.
                    Ok(_) | Err(RecvError::Lagged(_)) => continue,
                },
                _ = heartbeat.tick() => {
                    if !self.session_lives().await {
                        return;
                    }
                    Line::default().comment("alive")
                }
                change = self.changes.recv() => match change {
                    Ok(event) => line_of(&event),
                    Err(RecvError::Lagged(_)) => resync(),
                    Err(RecvError::Closed) => return,
                },
            };
            if !self.send(line).await {
                return;
            }
        }
    }

    /// Waits for a slow client, but not beyond the server's end. Meanwhile the broadcast channel
    /// fills, and it will be told to resync.
    async fn send(&self, line: Line) -> bool {
        tokio::select! {
            sent = self.sender.send(Ok(line)) => sent.is_ok(),
            () = self.closing.cancelled() => false,
        }
    }

    fn name(&self) -> &str {
        match &self.means {
            Means::Session(session) => &session.id_hash,
            Means::Token(token) => &token.id,
        }
    }

    async fn session_lives(&self) -> bool {
        let (db, now) = (&self.api.db, Time::now());
        let lives = match &self.means {
            Means::Session(session) => {
                sessions::get(db, &session.id_hash, now).await.map(|found| found.is_some())
            }
            Means::Token(token) => api_tokens::get(db, &token.id).await.map(|found| {
                found.is_some_and(|(t, owner)| t.lives(now) && owner.disabled_at.is_none())
            }),
        };
        match lives {
            Ok(lives) => lives,
            Err(e) => {
                tracing::warn!(error = &e as &dyn std::error::Error, "session not looked up");
                false
            }
        }
    }
}

fn line_of(event: &Event) -> Line {
    let none = |at| Change { number: None, alarm_id: None, id: None, at };
    let (name, change) = match event {
        Event::Ticket { number, at } => {
            ("ticket", Change { number: Some(number.clone()), ..none(*at) })
        }
        Event::Alarm { alarm_id, at } => {
            ("alarm", Change { alarm_id: Some(alarm_id.clone()), ..none(*at) })
        }
        Event::Agent { id, at } => ("agent", Change { id: Some(id.clone()), ..none(*at) }),
    };
    line(name, &change)
}

fn resync() -> Line {
    line("resync", &Change { number: None, alarm_id: None, id: None, at: Time::now() })
}

fn line(name: &str, change: &Change) -> Line {
    // Texts of ours in a plain struct: this cannot fail, and if it did the page would load anew.
    let data = serde_json::to_string(change).unwrap_or_else(|_| "{}".to_owned());
    Line::default().event(name).data(data)
}

/// The open streams, by user.
#[derive(Debug)]
pub struct Streams {
    by_user: Mutex<HashMap<String, usize>>,
    metrics: Arc<Metrics>,
}

/// One stream's place; given back when dropped.
struct Place {
    streams: Arc<Streams>,
    user: String,
}

impl Streams {
    /// None open.
    pub fn new(metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Streams { by_user: Mutex::default(), metrics })
    }

    fn take(self: &Arc<Self>, user: &str) -> Option<Place> {
        let mut by_user = self.by_user.lock().unwrap_or_else(PoisonError::into_inner);
        let in_all: usize = by_user.values().sum();
        let own = by_user.get(user).copied().unwrap_or(0);
        if own >= PER_USER || in_all >= IN_ALL {
            return None;
        }
        by_user.insert(user.to_owned(), own + 1);
        self.metrics.set_event_streams(in_all + 1);
        Some(Place { streams: self.clone(), user: user.to_owned() })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut by_user = self.streams.by_user.lock().unwrap_or_else(PoisonError::into_inner);
        match by_user.get_mut(&self.user) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                by_user.remove(&self.user);
            }
        }
        self.streams.metrics.set_event_streams(by_user.values().sum());
    }
}
