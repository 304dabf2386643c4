//! Evidence bundles as people see them, and their content.

use std::io::SeekFrom;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::header::{
    ACCEPT_RANGES, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG,
    IF_RANGE, RANGE,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use callhome_shared::bundle::{CONTENT_DIGEST, Declaration, How, Redacted, digest_value};
use callhome_shared::time::Time;
use serde::Serialize;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use tokio_stream::StreamExt as _;
use tokio_util::io::ReaderStream;
use utoipa::ToSchema;

use super::Api;
use super::error::{Answer, Problem, ProblemBody};
use super::extract::Name;
use super::model::At;
use super::session::LoggedIn;
use crate::audit::{Deed, Entry};
use crate::store::audit;
use crate::store::bundles::{self, BundleRow};

/// Read and sent at a time, bytes.
const PIECE: usize = 64 * 1024;
/// RFC 9530, §3: of the whole file, whatever part is sent.
const REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");

/// A file in a bundle.
#[derive(Serialize, ToSchema)]
pub struct BundleContent {
    /// Its name.
    name: String,
    /// Bytes.
    size: u64,
    /// So many places were replaced by redaction; null: a binary file, packed as it was.
    #[schema(required)]
    replaced: Option<u64>,
}

/// An evidence bundle.
#[derive(Serialize, ToSchema)]
pub struct Bundle {
    /// Its id.
    id: String,
    /// The agent that uploads it.
    agent: String,
    /// The ticket's number.
    ticket: String,
    /// The alarm that it is about, if one was named.
    #[schema(required)]
    alarm_id: Option<String>,
    /// The file's name, as given.
    name: String,
    /// Bytes.
    size: u64,
    /// SHA-256 of the whole file, hex.
    sha256: String,
    /// `open`, `complete`, `refused` or `removed` (its time was over).
    state: String,
    /// Why it is refused.
    #[schema(required)]
    reason: Option<String>,
    /// Bytes that are here; of an open upload as last noted.
    received: u64,
    /// Complete, but its file is missing.
    missing: bool,
    /// The collector that keeps the file.
    collector: String,
    /// What who made it says about it.
    #[schema(required)]
    note: Option<String>,
    /// What is in it.
    contents: Vec<BundleContent>,
    /// Who at the customer's let it go.
    #[schema(required)]
    approved_by: Option<String>,
    /// When.
    #[schema(required)]
    approved_at: Option<At>,
    /// `person` or `rule`.
    #[schema(required)]
    approved_how: Option<String>,
    /// When it was declared.
    declared_at: At,
    /// When it was complete.
    #[schema(required)]
    completed_at: Option<At>,
    /// When its file was removed.
    #[schema(required)]
    removed_at: Option<At>,
}

impl Bundle {
    /// The bundle of a ticket.
    pub(super) fn of(row: BundleRow, ticket: &str) -> Self {
        let said: Option<Declaration> = serde_json::from_str(&row.declaration).ok();
        let (note, contents, approved) = match said {
            Some(said) => (said.note, said.contents, Some(said.approved)),
            None => (None, Vec::new(), None),
        };
        let contents = contents.into_iter().map(|content| BundleContent {
            name: content.name,
            size: content.size,
            replaced: match content.redacted {
                Redacted::Replaced(times) => Some(times),
                Redacted::Binary => None,
            },
        });
        let how = approved.as_ref().map(|a| match a.how {
            How::Person => "person".to_owned(),
            How::Rule => "rule".to_owned(),
        });
        Bundle {
            id: row.id,
            agent: row.agent_id,
            ticket: ticket.to_owned(),
            alarm_id: row.alarm_id,
            name: row.name,
            size: u64::try_from(row.size).unwrap_or(0),
            sha256: row.sha256,
            state: row.state,
            reason: row.reason,
            received: u64::try_from(row.received).unwrap_or(0),
            missing: row.missing,
            collector: row.collector,
            note,
            contents: contents.collect(),
            approved_at: approved.as_ref().map(|a| At(a.at)),
            approved_by: approved.map(|a| a.by),
            approved_how: how,
            declared_at: At(row.declared_at),
            completed_at: row.completed_at.map(At),
            removed_at: row.removed_at.map(At),
        }
    }
}

/// The content of a bundle.
#[utoipa::path(get, path = "/api/v1/bundles/{id}/content", operation_id = "get_bundle_content", tag = "tickets",
    params(("id" = String, Path, description = "The bundle's id"),
        ("range" = Option<String>, Header, description = "One range of bytes (RFC 9110); several are answered with the whole file")), responses(
    (status = 200, description = "The file, as an attachment; Repr-Digest has its SHA-256", body = Vec<u8>, content_type = "application/octet-stream"),
    (status = 206, description = "The range of it", body = Vec<u8>, content_type = "application/octet-stream"),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "Not with this role", body = ProblemBody),
    (status = 404, description = "No such bundle, or it is not complete", body = ProblemBody),
    (status = 410, description = "Its file is missing, or its time was over", body = ProblemBody),
    (status = 416, description = "The range is not in it", body = ProblemBody),
    (status = 421, description = "Another collector keeps it", body = ProblemBody),
    (status = 503, description = "Too many downloads", body = ProblemBody),
))]
pub async fn content(
    State(api): State<Arc<Api>>,
    Extension(logged_in): Extension<LoggedIn>,
    Name(id): Name,
    headers: HeaderMap,
) -> Answer<Response> {
    let row = bundles::get(&api.db, &id).await.map_err(Problem::internal)?;
    let row = row.filter(|row| row.state == "complete" || row.state == "removed");
    let row = row.ok_or(Problem::NotFound("such complete bundle"))?;
    if row.state == "removed" {
        return Err(Problem::FileMissing("the bundle's time was over: its file was removed"));
    }
    let desk = api.bundles.get().ok_or(Problem::Busy)?;
    if !desk.keeps(&row) {
        return Err(Problem::Elsewhere(row.collector));
    }
    let etag = format!("\"{}\"", row.sha256);
    let size = u64::try_from(row.size).unwrap_or(0);
    let part = wanted(&headers, &etag, size)?;
    if !desk.may_read() {
        return Err(Problem::Busy);
    }
    let opened = desk.read(&row).await.map_err(Problem::internal)?;
    let missing = Problem::FileMissing("the bundle's file is missing at the collector");
    let (file, size, permit) = opened.ok_or(missing)?;
    record(&api, &logged_in, &row, part).await?;
    api.metrics.bundle_event("read");

    let mut file = tokio::fs::File::from_std(file);
    let (first, length) = part.unwrap_or((0, size));
    file.seek(SeekFrom::Start(first)).await.map_err(Problem::internal)?;
    let stream = ReaderStream::with_capacity(file.take(length), PIECE);
    // The permit lives as long as the stream.
    let body = Body::from_stream(stream.map(move |piece| {
        let _ = &permit;
        piece
    }));
    let mut response = body.into_response();
    head(response.headers_mut(), &row, &etag, length);
    if part.is_some() {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        let range = format!("bytes {first}-{}/{size}", first + length.saturating_sub(1));
        put(response.headers_mut(), CONTENT_RANGE, &range);
    } else if let Some(digest) = digest(&row.sha256) {
        put(response.headers_mut(), HeaderName::from_static(CONTENT_DIGEST), &digest);
    }
    Ok(response)
}

/// Who read what, in the record of trust: it is the customer's.
async fn record(
    api: &Api,
    who: &LoggedIn,
    row: &BundleRow,
    part: Option<(u64, u64)>,
) -> Answer<()> {
    let detail = json!({
        "agent": row.agent_id, "name": row.name, "sha256": row.sha256,
        "from": part.map(|(first, _)| first), "bytes": part.map(|(_, length)| length),
    });
    let user = format!("user:{}", who.user.name);
    let entry = Entry::new(Time::now(), &user, Deed::BundleRead, &row.id, detail);
    audit::note(&api.db, &entry).await.map(drop).map_err(Problem::internal)
}

fn put(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

fn head(headers: &mut HeaderMap, row: &BundleRow, etag: &str, length: u64) {
    // Whatever it is called: it is never shown, only saved.
    put(headers, CONTENT_TYPE, "application/octet-stream");
    put(headers, CONTENT_DISPOSITION, &disposition(&row.name));
    put(headers, ACCEPT_RANGES, "bytes");
    put(headers, ETAG, etag);
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    if let Some(digest) = digest(&row.sha256) {
        put(headers, REPR_DIGEST, &digest);
    }
}

/// The hex digest as RFC 9530 writes it.
fn digest(sha256: &str) -> Option<String> {
    let mut bytes = [0u8; 32];
    if sha256.len() != 64 {
        return None;
    }
    for (n, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(sha256.get(2 * n..2 * n + 2)?, 16).ok()?;
    }
    Some(digest_value(&bytes))
}

/// `Content-Disposition` (RFC 6266): a plain name for old programs, the real one after RFC 8187.
fn disposition(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._- ()+@".contains(c);
    // What would make a saved file look like one of another kind.
    let hidden = |c: char| matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
    let name: String = name.chars().map(|c| if hidden(c) { '_' } else { c }).collect();
    let ascii: String = name.chars().map(|c| if plain(c) { c } else { '_' }).collect();
    let mut coded = String::new();
    for byte in name.bytes() {
        // attr-char of RFC 8187, §3.2.1.
        if byte.is_ascii_alphanumeric() || b"!#$&+-.^_`|~".contains(&byte) {
            coded.push(char::from(byte));
        } else {
            coded.push_str(&format!("%{byte:02X}"));
        }
    }
    format!("attachment; filename=\"{ascii}\"; filename*=UTF-8''{coded}")
}

/// First byte and length of the one range that is asked for; `None`: the whole file.
fn wanted(headers: &HeaderMap, etag: &str, size: u64) -> Answer<Option<(u64, u64)>> {
    let Some(range) = headers.get(RANGE).and_then(|value| value.to_str().ok()) else {
        return Ok(None);
    };
    // Of another file than the one that the asker has a part of, all is wanted.
    if headers.get(IF_RANGE).is_some_and(|value| value.as_bytes() != etag.as_bytes()) {
        return Ok(None);
    }
    match parse_range(range, size) {
        Ranged::Whole => Ok(None),
        Ranged::Part(first, length) => Ok(Some((first, length))),
        Ranged::Outside => Err(Problem::NoSuchRange(size)),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ranged {
    Whole,
    /// First byte, length.
    Part(u64, u64),
    Outside,
}

/// RFC 9110, §14.1.2. What is not understood, and several ranges, are passed over (§14.2).
fn parse_range(range: &str, size: u64) -> Ranged {
    let Some((first, last)) =
        range.trim().strip_prefix("bytes=").and_then(|spec| spec.trim().split_once('-'))
    else {
        return Ranged::Whole;
    };
    let number = |text: &str| {
        let digits = (1..=19).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        if digits { text.parse::<u64>().ok() } else { None }
    };
    match (number(first), last, number(last)) {
        (None, _, Some(suffix)) if first.is_empty() => match suffix.min(size) {
            0 => Ranged::Outside,
            length => Ranged::Part(size - length, length),
        },
        (Some(first), "", None) if first < size => Ranged::Part(first, size - first),
        (Some(_), "", None) => Ranged::Outside,
        (Some(first), _, Some(last)) if first > last => Ranged::Whole,
        (Some(first), _, Some(_)) if first >= size => Ranged::Outside,
        (Some(first), _, Some(last)) => Ranged::Part(first, last.min(size - 1) - first + 1),
        _ => Ranged::Whole,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ranges_of_rfc_9110() {
        for (range, expected) in [
            ("bytes=0-499", Ranged::Part(0, 500)),
            ("bytes=500-", Ranged::Part(500, 500)),
            ("bytes=-1", Ranged::Part(999, 1)),
            ("bytes=-5000", Ranged::Part(0, 1000)),
            ("bytes=999-5000", Ranged::Part(999, 1)),
            ("bytes=1000-", Ranged::Outside),
            ("bytes=1000-2000", Ranged::Outside),
            ("bytes=-0", Ranged::Outside),
            ("bytes=5-4", Ranged::Whole),
            ("bytes=0-0,5-6", Ranged::Whole),
            ("lines=0-1", Ranged::Whole),
            ("bytes=a-b", Ranged::Whole),
            ("bytes=-", Ranged::Whole),
        ] {
            assert_eq!(parse_range(range, 1000), expected, "{range}");
        }
    }

    #[test]
    fn names_cannot_leave_their_header() {
        assert_eq!(
            disposition("日志 \"x\"; a=b.tar.gz"),
            "attachment; filename=\"__ _x__ a_b.tar.gz\"; \
             filename*=UTF-8''%E6%97%A5%E5%BF%97%20%22x%22%3B%20a%3Db.tar.gz"
        );
        assert!(disposition("a\u{202e}zg.rat.exe").ends_with("UTF-8''a_zg.rat.exe"));
        assert_eq!(disposition("a%b"), "attachment; filename=\"a_b\"; filename*=UTF-8''a%25b");
    }

    proptest! {
        #[test]
        fn no_range_panics(range in ".{0,40}", near in "bytes=[0-9]{0,21}-[0-9]{0,21}", size: u64) {
            for text in [range, near] {
                if let Ranged::Part(first, length) = parse_range(&text, size) {
                    prop_assert!(length >= 1 && first + length <= size);
                }
            }
        }

        #[test]
        fn prop_every_name_is_a_header(name in ".{0,80}") {
            let value = disposition(&name);
            prop_assert!(value.is_ascii() && HeaderValue::from_str(&value).is_ok());
            prop_assert_eq!(value.matches('"').count(), 2);
        }
    }
}
