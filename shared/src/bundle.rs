//! Evidence bundles: packed files that an agent uploads over HTTPS in chunks that can be resumed.
//!
//! The words are those of the IETF draft "Resumable Uploads for HTTP" (`Upload-Offset`,
//! `Upload-Complete`, `application/partial-upload`) and of RFC 9530 (`Content-Digest`). One upload:
//! `POST` a [`Declaration`], `PATCH` its bytes chunk by chunk, `POST …/complete`. `HEAD` says how far
//! it is, `DELETE` gives it up. What is wrong is answered with a [`Refusal`].

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::alarm::Evidence;
use crate::limits::MAX_ID_BYTES;
use crate::time::Time;

/// Prefix of the routes: `POST` here, everything else at `PATH/{id}` and `PATH/{id}/complete`.
pub const PATH: &str = "/callhome/v1/bundles";
/// Largest chunk, bytes.
pub const MAX_CHUNK: usize = 1024 * 1024;
/// Largest declaration, bytes of JSON.
pub const MAX_DECLARATION: usize = 64 * 1024;
/// Files in one bundle that a declaration may list.
pub const MAX_CONTENTS: usize = 200;
/// Longest file name, bytes.
pub const MAX_NAME: usize = 200;
/// Longest note, bytes.
pub const MAX_NOTE: usize = 2000;
/// An upload whose whole SHA-256 was wrong so many times is refused for good.
pub const MAX_MISMATCHES: u32 = 3;
/// The content type of a chunk.
pub const CHUNK_TYPE: &str = "application/partial-upload";
/// Where a chunk begins, and how far an upload is, bytes.
pub const UPLOAD_OFFSET: &str = "upload-offset";
/// Whether an upload is complete: `?1` or `?0` (RFC 9651 booleans).
pub const UPLOAD_COMPLETE: &str = "upload-complete";
/// The digest of a body (RFC 9530); see [`content_digest`].
pub const CONTENT_DIGEST: &str = "content-digest";

/// What a bundle is about; at least one of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// A ticket's number, `T-000123`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<String>,
    /// An alarm life of this agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alarm_id: Option<Uuid>,
}

/// What redaction did to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Redacted {
    /// A text: so many places were replaced.
    Replaced(u64),
    /// No text: packed as it was.
    Binary,
}

impl Serialize for Redacted {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            Redacted::Replaced(n) => s.serialize_u64(*n),
            Redacted::Binary => s.serialize_str("binary"),
        }
    }
}

impl<'de> Deserialize<'de> for Redacted {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Either;
        impl de::Visitor<'_> for Either {
            type Value = Redacted;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of replacements or \"binary\"")
            }
            fn visit_u64<E: de::Error>(self, n: u64) -> Result<Redacted, E> {
                Ok(Redacted::Replaced(n))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Redacted, E> {
                match text {
                    "binary" => Ok(Redacted::Binary),
                    other => Err(E::invalid_value(de::Unexpected::Str(other), &self)),
                }
            }
        }
        d.deserialize_any(Either)
    }
}

/// One file in a bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// Its name in the archive.
    pub name: String,
    /// Its size as packed, bytes.
    pub size: u64,
    /// What redaction did to it.
    pub redacted: Redacted,
}

/// Whether a person or the agent's configuration let a bundle go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum How {
    /// A person looked at it and approved it.
    Person,
    /// The configuration approves without asking.
    Rule,
}

/// Who at the customer's let a bundle go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approved {
    /// A user's name, or a rule's.
    pub by: String,
    /// When.
    pub at: Time,
    /// How.
    pub how: How,
}

/// The body of `POST` [`PATH`]: what is going to be uploaded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Declaration {
    /// UUIDv7, made by the agent: the upload's name and its idempotency key.
    pub id: Uuid,
    /// What it is about.
    pub subject: Subject,
    /// The file's name, for people only.
    pub name: String,
    /// Its size, bytes.
    pub size: u64,
    /// SHA-256 of the whole file, 64 lower-case hex digits.
    pub sha256: String,
    /// When the bundle was made.
    pub created_at: Time,
    /// What the person who made it says about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// What is in it.
    #[serde(default)]
    pub contents: Vec<Content>,
    /// Who let it go.
    pub approved: Approved,
}

impl Declaration {
    /// Checks what both sides hold to; the text says which part is wrong and what was expected.
    pub fn check(&self) -> Result<(), String> {
        if self.id.get_version_num() != 7 {
            return Err("id: expected a UUID of version 7".to_owned());
        }
        check_subject(&self.subject)?;
        check_name("name", &self.name)?;
        check_sha256(&self.sha256)?;
        if i64::try_from(self.size).is_err() {
            return Err("size: expected fewer than 2^63 bytes".to_owned());
        }
        if self.size == 0 {
            return Err("size: expected at least 1 byte".to_owned());
        }
        if let Some(note) = &self.note
            && (note.len() > MAX_NOTE || note.chars().any(|c| c.is_control() && c != '\n'))
        {
            return Err(format!(
                "note: expected at most {MAX_NOTE} bytes without control characters"
            ));
        }
        if self.contents.len() > MAX_CONTENTS {
            return Err(format!("contents: expected at most {MAX_CONTENTS} files"));
        }
        for (n, content) in self.contents.iter().enumerate() {
            check_path(&format!("contents[{n}].name"), &content.name)?;
            let replaced = match content.redacted {
                Redacted::Replaced(times) => times,
                Redacted::Binary => 0,
            };
            if i64::try_from(content.size.max(replaced)).is_err() {
                return Err(format!("contents[{n}]: expected numbers below 2^63"));
            }
        }
        let by = &self.approved.by;
        if by.is_empty() || by.len() > MAX_ID_BYTES || by.chars().any(char::is_control) {
            return Err(format!(
                "approved.by: expected 1 to {MAX_ID_BYTES} bytes without control characters"
            ));
        }
        Ok(())
    }

    /// What the `evidence` envelope tells of it when it has arrived.
    pub fn reference(&self) -> Reference {
        Reference {
            id: self.id,
            name: self.name.clone(),
            size: self.size,
            sha256: self.sha256.clone(),
            subject: self.subject.clone(),
        }
    }
}

fn check_subject(subject: &Subject) -> Result<(), String> {
    if subject.ticket.is_none() && subject.alarm_id.is_none() {
        return Err("subject: expected a ticket or an alarm_id".to_owned());
    }
    match &subject.ticket {
        Some(number) if !is_ticket(number) => {
            Err("subject.ticket: expected a number such as T-000123".to_owned())
        }
        _ => Ok(()),
    }
}

/// Whether it has the form of a ticket's number.
pub fn is_ticket(text: &str) -> bool {
    text.strip_prefix("T-").is_some_and(|digits| {
        (6..=18).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit())
    })
}

fn check_name(what: &str, name: &str) -> Result<(), String> {
    let forbidden = |c: char| c.is_control() || c == '/' || c == '\\';
    if name.is_empty() || name.len() > MAX_NAME || name.chars().any(forbidden) {
        return Err(format!(
            "{what}: expected 1 to {MAX_NAME} bytes without control characters, '/' and '\\'"
        ));
    }
    if name == "." || name == ".." {
        return Err(format!("{what}: {name:?} is no file name"));
    }
    Ok(())
}

/// A file's name within the archive: parts joined by '/', none of them a way out.
fn check_path(what: &str, path: &str) -> Result<(), String> {
    if path.len() > MAX_NAME {
        return Err(format!("{what}: expected at most {MAX_NAME} bytes"));
    }
    path.split('/').try_for_each(|part| check_name(what, part))
}

fn check_sha256(text: &str) -> Result<(), String> {
    let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    if text.len() == 64 && text.bytes().all(hex) {
        return Ok(());
    }
    Err("sha256: expected 64 lower-case hex digits".to_owned())
}

/// How an upload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Bytes are expected.
    Open,
    /// All of it is there and verified.
    Complete,
    /// Refused for good; the reason says why.
    Refused,
    /// Given up by the agent.
    Cancelled,
}

impl State {
    /// The word on the wire and in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Open => "open",
            State::Complete => "complete",
            State::Refused => "refused",
            State::Cancelled => "cancelled",
        }
    }

    /// Reads [`State::as_str`] back.
    pub fn parse(text: &str) -> Option<Self> {
        [State::Open, State::Complete, State::Refused, State::Cancelled]
            .into_iter()
            .find(|state| state.as_str() == text)
    }
}

/// The answer to a declaration and to `…/complete`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// The upload.
    pub id: Uuid,
    /// How it is.
    pub state: State,
    /// Bytes that are kept.
    pub offset: u64,
    /// Why it is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The body of an answer that refuses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// What is wrong.
    pub error: RefusalDetail,
}

/// What is wrong, for programs and for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusalDetail {
    /// A stable word.
    pub code: String,
    /// For people, English.
    pub message: String,
}

/// A bundle that has arrived, as the `evidence` envelope names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reference {
    /// [`Declaration::id`].
    pub id: Uuid,
    /// [`Declaration::name`].
    pub name: String,
    /// [`Declaration::size`].
    pub size: u64,
    /// [`Declaration::sha256`].
    pub sha256: String,
    /// [`Declaration::subject`].
    pub subject: Subject,
}

impl Reference {
    /// Checks what both sides hold to; the text says which part is wrong.
    pub fn check(&self) -> Result<(), String> {
        check_subject(&self.subject)?;
        check_name("name", &self.name)?;
        check_sha256(&self.sha256)
    }
}

/// The payload of an `evidence` envelope that tells of a bundle. A collector that does not know
/// bundles reads it as evidence without items where the subject is an alarm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// The subject's alarm life.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alarm_id: Option<Uuid>,
    /// None: the bundle is the evidence.
    #[serde(default)]
    pub evidence: Vec<Evidence>,
    /// The bundle.
    pub bundle: Reference,
}

impl Told {
    /// Puts it together.
    pub fn new(bundle: Reference) -> Self {
        Told { alarm_id: bundle.subject.alarm_id, evidence: Vec::new(), bundle }
    }
}

/// The value of `Content-Digest` for `body`: `sha-256=:<base64>:` (RFC 9530, §2).
pub fn content_digest(body: &[u8]) -> String {
    digest_value(&Sha256::digest(body).into())
}

/// The value of `Content-Digest` for a SHA-256 that is known.
pub fn digest_value(sha256: &[u8; 32]) -> String {
    format!("sha-256=:{}:", BASE64.encode(sha256))
}

/// Reads the SHA-256 out of a `Content-Digest`; other algorithms beside it are passed over (RFC 9530,
/// §2; a dictionary of byte sequences, RFC 9651). `None` where there is none or it is no SHA-256.
pub fn parse_digest(value: &str) -> Option<[u8; 32]> {
    let mut found = None;
    for member in value.split(',') {
        let (algorithm, bytes) = member.trim_matches([' ', '\t']).split_once('=')?;
        if algorithm == "sha-256" {
            // Of a key that is given twice the last one counts (RFC 9651, §4.2.2).
            let coded = bytes.strip_prefix(':')?.strip_suffix(':')?;
            found = Some(BASE64.decode(coded).ok()?.try_into().ok()?);
        }
    }
    found
}

/// Bytes as lower-case hex: the form of [`Declaration::sha256`].
pub fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Reads `Upload-Offset`: an RFC 9651 integer that is not negative, at most 15 digits.
pub fn parse_offset(value: &str) -> Option<u64> {
    let digits = (1..=15).contains(&value.len()) && value.bytes().all(|b| b.is_ascii_digit());
    if digits { value.parse().ok() } else { None }
}

#[cfg(test)]
mod tests;
