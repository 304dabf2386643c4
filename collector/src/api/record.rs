//! What of the API goes into the record of trust: log-ins, reads of evidence, exports, changes.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::{FromRequestParts as _, RawPathParams, Request};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use callhome_shared::time::Time;
use serde_json::{Value, json};

use super::Api;
use super::error::{Answer, Problem};
use super::rights::Record;
use super::server::Source;
use super::session::{LoggedIn, Means};
use crate::audit::{Deed, Entry};
use crate::broker::places::network;
use crate::flow::scribe::ScribeError;
use crate::store::users;

/// The same person's reads of the same evidence within this are one entry.
const ONE_READ: Duration = Duration::from_secs(3600);
/// Reads that are remembered for that; the oldest makes room.
const REMEMBERED: usize = 10_000;
/// Refused log-ins of one source that are recorded one by one within an hour.
const REFUSED_PER_SOURCE: u32 = 20;
/// Of all sources.
const REFUSED_IN_ALL: u32 = 500;
const HOUR: Duration = Duration::from_secs(3600);

/// Who read what lately. Pure.
#[derive(Debug, Default)]
pub struct Reads {
    at: HashMap<(String, String), Instant>,
}

impl Reads {
    /// Whether that was recorded lately.
    pub fn knows(&self, who: &str, what: &str, now: Instant) -> bool {
        let at = self.at.get(&(who.to_owned(), what.to_owned()));
        at.is_some_and(|at| now.saturating_duration_since(*at) < ONE_READ)
    }

    /// It is recorded.
    pub fn remember(&mut self, who: &str, what: &str, now: Instant) {
        let key = (who.to_owned(), what.to_owned());
        if self.at.len() >= REMEMBERED && !self.at.contains_key(&key) {
            let oldest = self.at.iter().min_by_key(|(_, at)| **at).map(|(key, _)| key.clone());
            if let Some(oldest) = oldest {
                self.at.remove(&oldest);
            }
        }
        self.at.insert(key, now);
    }
}

/// How many refused log-ins are recorded: the record only grows. Pure.
#[derive(Debug, Default)]
pub struct Refusals {
    since: Option<Instant>,
    all: u32,
    /// Bounded: only what is recorded is counted here.
    by_source: HashMap<IpAddr, u32>,
    beyond: u64,
}

impl Refusals {
    /// Whether one more may be recorded; then with the number of those before it that were not.
    pub fn take(&mut self, source: IpAddr, now: Instant) -> Option<u64> {
        let begun = *self.since.get_or_insert(now);
        if now.saturating_duration_since(begun) >= HOUR {
            *self = Refusals { since: Some(now), beyond: self.beyond, ..Refusals::default() };
        }
        let source = network(source);
        let here = self.by_source.get(&source).copied().unwrap_or(0);
        if here >= REFUSED_PER_SOURCE || self.all >= REFUSED_IN_ALL {
            self.beyond += 1;
            return None;
        }
        self.all += 1;
        self.by_source.insert(source, here + 1);
        Some(std::mem::take(&mut self.beyond))
    }
}

/// Writes an entry; what it tells of is not answered before.
pub async fn note(api: &Api, entry: Entry) -> Answer<()> {
    api.scribe.note(entry).await.map_err(|e| match e {
        ScribeError::Full => Problem::Busy,
        e => Problem::internal(e),
    })
}

/// Somebody logged in or out.
pub async fn session(api: &Api, deed: Deed, name: &str, detail: Value) -> Answer<()> {
    note(api, Entry::new(Time::now(), &format!("user:{name}"), deed, name, detail)).await
}

/// Somebody was not let in. `name`: whom he said he was; it is recorded if there is such a user: people
/// sometimes type their password there.
pub async fn refused(api: &Api, name: &str, source: IpAddr, why: &str) {
    let taken = {
        let mut refusals = api.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        refusals.take(source, Instant::now())
    };
    let Some(unrecorded) = taken else { return };
    let known = users::get(&api.db, name).await.ok().flatten().map(|user| user.name);
    let name = known.unwrap_or_else(|| "unknown".to_owned());
    let detail = json!({ "source": source.to_string(), "why": why, "unrecorded": unrecorded });
    let entry = Entry::new(Time::now(), "collector", Deed::LoginRefused, &name, detail);
    if let Err(e) = note(api, entry).await {
        // He is refused all the same.
        tracing::warn!(error = %e, "a refused log-in is not in the record");
    }
}

/// Runs the request and records what came of it, as the table of rights says. What changes something runs
/// to its end, and into the record, also when nobody waits for the answer any more.
pub async fn through(
    api: Arc<Api>,
    record: Record,
    logged_in: LoggedIn,
    request: Request,
    next: Next,
) -> Response {
    let deed = match record {
        Record::Nothing => return next.run(request).await,
        Record::Change => Deed::Changed,
        Record::Evidence => Deed::EvidenceRead,
        Record::Export => Deed::Exported,
    };
    let doing = async move {
        let (request, entry) = describe(deed, &logged_in, request).await;
        let response = next.run(request).await;
        let done = response.status().is_success() || response.status().is_redirection();
        if !done {
            return response;
        }
        let (who, subject) = (entry.who.clone(), entry.subject.clone());
        match keep(&api, entry).await {
            Ok(()) => response,
            // What is done is done, and told so.
            Err(e) if deed == Deed::Changed => {
                tracing::error!(who, subject, error = %e, "a change is not in the record");
                response
            }
            // On a full disk engineers go on reading tickets; the log says who did.
            Err(e) if deed == Deed::EvidenceRead => {
                tracing::error!(who, subject, error = %e, "evidence was read and is not in the record");
                response
            }
            Err(problem) => problem.into_response(),
        }
    };
    if deed != Deed::Changed {
        // Nothing has left before it is recorded, or before that was tried.
        return doing.await;
    }
    match tokio::spawn(doing).await {
        Ok(response) => response,
        Err(e) => Problem::internal(e).into_response(),
    }
}

async fn keep(api: &Api, entry: Entry) -> Answer<()> {
    if entry.deed != Deed::EvidenceRead {
        return note(api, entry).await;
    }
    let (who, what) = (entry.who.clone(), entry.subject.clone());
    let reads = || api.reads.lock().unwrap_or_else(PoisonError::into_inner);
    if reads().knows(&who, &what, Instant::now()) {
        return Ok(());
    }
    note(api, entry).await?;
    reads().remember(&who, &what, Instant::now());
    Ok(())
}

/// Who does what to what: the subject is what stands in the path's variable parts, else the path.
async fn describe(deed: Deed, logged_in: &LoggedIn, request: Request) -> (Request, Entry) {
    let (mut parts, body) = request.into_parts();
    let path = parts.uri.path().strip_prefix("/api/v1/").unwrap_or_default().to_owned();
    let params = RawPathParams::from_request_parts(&mut parts, &()).await;
    let names: Vec<String> = params
        .map(|params| params.iter().map(|(_, value)| value.to_owned()).collect())
        .unwrap_or_default();
    let subject = if names.is_empty() { path.clone() } else { names.join("/") };
    let source = parts.extensions.get::<Source>().map(|Source(address)| address.ip().to_string());
    let mut detail = json!({
        "request": format!("{} {path}", parts.method), "source": source.unwrap_or_default(),
    });
    if let Means::Token(token) = &logged_in.means {
        detail["token"] = json!(token.id);
    }
    let who = format!("user:{}", logged_in.user.name);
    let entry = Entry::new(Time::now(), &who, deed, &subject, detail);
    (Request::from_parts(parts, body), entry)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_refusals_becomes_a_number_and_hides_nobody() {
        let mut refusals = Refusals::default();
        let start = Instant::now();
        let source = |n: u32| IpAddr::V4(std::net::Ipv4Addr::from(n));
        for _ in 0..REFUSED_PER_SOURCE {
            assert_eq!(refusals.take(source(1), start), Some(0));
        }
        assert!((0..7).all(|_| refusals.take(source(1), start).is_none()));
        assert_eq!(refusals.take(source(2), start), Some(7));
        for n in 0..10_000 {
            refusals.take(source(1000 + n), start);
        }
        assert!(refusals.by_source.len() <= REFUSED_IN_ALL as usize);
        assert!(refusals.take(source(1), start + HOUR).is_some_and(|beyond| beyond > 9000));
    }

    #[test]
    fn reads_are_one_within_an_hour() {
        let (mut reads, start) = (Reads::default(), Instant::now());
        assert!(!reads.knows("user:li", "T-1", start));
        reads.remember("user:li", "T-1", start);
        assert!(reads.knows("user:li", "T-1", start + ONE_READ / 2));
        assert!(!reads.knows("user:li", "T-2", start) && !reads.knows("user:wu", "T-1", start));
        assert!(!reads.knows("user:li", "T-1", start + ONE_READ));
        for n in 0..REMEMBERED {
            reads.remember("user:li", &n.to_string(), start + Duration::from_secs(1));
        }
        assert_eq!(reads.at.len(), REMEMBERED);
        assert!(!reads.knows("user:li", "T-1", start + Duration::from_secs(1)));
    }
}
