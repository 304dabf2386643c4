//! The HTTP side: who asks, what it brings, what it gets.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Query, Request, State};
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{Extensions, HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router, extract::FromRequest as _};
use callhome_shared::id::AgentId;
use callhome_shared::limits::MAX_POST_BYTES;
use callhome_shared::logging::STAGE;
use callhome_shared::post::{Answer, BATCH_TYPE, MAX_WAIT_S, Message, PATH, Standing};
use callhome_shared::time::Time;
use callhome_shared::topic::Up;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::mpsc;
use tracing::trace;

use super::batch::{self, Event};
use super::mailroom::{Letter, Mailroom};
use crate::api::server::Closing;
use crate::enrol::visitor::{self, Visitor};
use crate::link::Delivery;
use crate::metrics::Metrics;

/// How long one event waits for room in the flow's channel.
const ROOM: Duration = Duration::from_secs(5);
/// An agent that is further ahead of its rate is sent away instead of being held.
const LONGEST_HOLD: Duration = Duration::from_secs(5);

/// What the route needs.
pub struct Post {
    /// What waits for agents.
    pub mailroom: Arc<Mailroom>,
    /// To the flow. Weak: the flow ends when the others have let go of it.
    pub up: mpsc::WeakSender<Delivery>,
    /// Counters.
    pub metrics: Arc<Metrics>,
}

/// The route, for [`crate::api::routes::app`].
pub fn routes(post_room: Post) -> Router {
    Router::new()
        .route(PATH, post(events))
        .layer(DefaultBodyLimit::max(MAX_POST_BYTES))
        .with_state(Arc::new(post_room))
}

/// Who asks, after its certificate was verified.
struct Caller {
    agent: AgentId,
    /// An expired certificate brings alarms and nothing else.
    standing: Standing,
}

#[derive(Deserialize)]
struct Asked {
    /// Seconds to wait for messages.
    #[serde(default)]
    wait: u64,
}

async fn events(State(post): State<Arc<Post>>, asked: Query<Asked>, request: Request) -> Response {
    match post.answer(asked.wait, request).await {
        Ok(answer) => Json(answer).into_response(),
        Err(refusal) => refusal.into_response(&post.metrics),
    }
}

/// Why a request is refused.
struct Refusal {
    status: StatusCode,
    /// For the counter.
    what: &'static str,
    text: String,
    retry: Option<Duration>,
}

impl Refusal {
    fn new(status: StatusCode, what: &'static str, text: impl Into<String>) -> Self {
        Refusal { status, what, text: text.into(), retry: None }
    }

    fn later(status: StatusCode, what: &'static str, text: &str, wait: Duration) -> Self {
        Refusal { status, what, text: text.to_owned(), retry: Some(wait) }
    }

    fn into_response(self, metrics: &Metrics) -> Response {
        metrics.post_event(self.what);
        let plain = [(CONTENT_TYPE, "text/plain; charset=utf-8")];
        let mut response = (self.status, plain, format!("{}\n", self.text)).into_response();
        if let Some(wait) = self.retry {
            let seconds = HeaderValue::from(wait.as_secs().saturating_add(1));
            response.headers_mut().insert(RETRY_AFTER, seconds);
        }
        response
    }
}

impl Post {
    async fn answer(&self, wait_s: u64, request: Request) -> Result<Answer, Refusal> {
        let caller = caller(request.extensions())?;
        let closing = request.extensions().get::<Closing>().cloned();
        check_type(request.headers())?;
        let visit = self.mailroom.enter(&caller.agent, Instant::now()).map_err(|wait| {
            let text = "too many requests of this agent";
            Refusal::later(StatusCode::TOO_MANY_REQUESTS, "too-many-requests", text, wait)
        })?;
        let body = Bytes::from_request(request, &()).await.map_err(|e| {
            Refusal::new(
                e.status(),
                "body-refused",
                format!("{e} (at most {MAX_POST_BYTES} bytes)"),
            )
        })?;
        let events = batch::read(&body)
            .map_err(|why| Refusal::new(StatusCode::BAD_REQUEST, "batch-refused", why))?;
        drop(body);
        let brought = events.len();
        let events = permitted(events, caller.standing);
        let withheld = brought - events.len();
        let hold = visit.mailbox.events(events.len(), Instant::now());
        if hold > LONGEST_HOLD {
            let text = "more events a second than an agent may bring";
            return Err(Refusal::later(StatusCode::TOO_MANY_REQUESTS, "too-fast", text, hold));
        }
        if !hold.is_zero() {
            self.metrics.post_event("slowed-down");
            tokio::time::sleep(hold).await;
        }
        for beat in events.iter().filter(|event| event.up == Up::Heartbeat) {
            visit.mailbox.heard(&beat.payload);
        }
        self.hand_over(&caller.agent, events).await?;
        let patience = Duration::from_secs(wait_s.min(MAX_WAIT_S));
        let letters = match closing {
            None => visit.mailbox.wait(patience).await,
            Some(Closing(closing)) => tokio::select! {
                letters = visit.mailbox.wait(patience) => letters,
                () = closing.cancelled() => visit.mailbox.wait(Duration::ZERO).await,
            },
        };
        self.metrics.post_event("answered");
        let messages = letters.into_iter().filter_map(message).collect();
        Ok(Answer { standing: caller.standing, withheld, messages })
    }

    async fn hand_over(&self, agent: &AgentId, events: Vec<Event>) -> Result<(), Refusal> {
        if events.is_empty() {
            return Ok(());
        }
        let busy = |what| {
            let text = "the collector is busy; what was not acknowledged may be sent again";
            Refusal::later(StatusCode::SERVICE_UNAVAILABLE, what, text, Duration::from_secs(1))
        };
        let up = self.up.upgrade().ok_or_else(|| busy("closing"))?;
        for Event { up: topic, properties, payload, .. } in events {
            let bytes = payload.len();
            let (agent, received_at) = (agent.clone(), Time::now());
            trace!(target: STAGE, at = "post.received", agent.id = %agent, up = ?topic, bytes);
            let delivery = Delivery { agent, up: topic, properties, payload, received_at };
            up.send_timeout(delivery, ROOM).await.map_err(|_| busy("store-slow"))?;
            self.metrics.post_event("event");
        }
        Ok(())
    }
}

/// Whom the certificate names, and what it may: the door has verified both (see `enrol::visitor`).
fn caller(extensions: &Extensions) -> Result<Caller, Refusal> {
    let visitor = extensions.get::<Visitor>().ok_or_else(|| {
        let text = "an agent's client certificate is needed here";
        Refusal::new(StatusCode::FORBIDDEN, "no-certificate", text)
    })?;
    let standing = match visitor.standing {
        visitor::Standing::Valid => Standing::Full,
        visitor::Standing::Expired(_) => Standing::AlarmsOnly,
    };
    Ok(Caller { agent: visitor.agent.clone(), standing })
}

/// What may come in with this standing. The rest is neither kept nor acknowledged: it comes again
/// when the agent has renewed its certificate.
fn permitted(mut events: Vec<Event>, standing: Standing) -> Vec<Event> {
    if standing == Standing::AlarmsOnly {
        events.retain(|event| event.kind == "alarm");
    }
    events
}

fn check_type(headers: &HeaderMap) -> Result<(), Refusal> {
    let declared = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let mime = declared.split(';').next().unwrap_or_default().trim();
    if mime.eq_ignore_ascii_case(BATCH_TYPE) {
        return Ok(());
    }
    let text = format!("expected content-type {BATCH_TYPE}");
    Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "type-refused", text))
}

/// `None` for what is no JSON: nothing else is ever sent down.
fn message(letter: Letter) -> Option<Message> {
    let text = String::from_utf8(letter.payload).ok()?;
    let payload = RawValue::from_string(text).ok()?;
    Some(Message { topic: letter.down.name().to_owned(), payload })
}

#[cfg(test)]
mod tests;
