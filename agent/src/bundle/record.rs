//! What is remembered of a bundle. Pure; [`super::shelf`] keeps it.

use callhome_shared::bundle::{
    Approved, Content, Declaration, How, MAX_NOTE, Redacted, Reference, Subject, is_ticket,
};
use callhome_shared::limits::{MAX_ID_BYTES, cut};
use callhome_shared::time::Time;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Whether a bundle goes out without being asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Approve {
    /// A person approves each.
    #[default]
    Hold,
    /// Each goes as soon as it is packed.
    Auto,
}

/// Where a bundle is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Waits for a person. Nothing of it has left.
    Held,
    /// Approved; is being uploaded, or waits for its turn.
    Approved,
    /// The collector has it, whole.
    Sent,
    /// A person said no. Nothing of it has left.
    Denied,
    /// Given up by a person after it was approved.
    Cancelled,
    /// The collector will not take it.
    Refused,
}

impl State {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Held => "held",
            State::Approved => "approved",
            State::Sent => "sent",
            State::Denied => "denied",
            State::Cancelled => "cancelled",
            State::Refused => "refused",
        }
    }

    /// Whether nothing more happens to it.
    pub fn is_over(self) -> bool {
        !matches!(self, State::Held | State::Approved)
    }
}

/// Who asked over the control socket.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// The user id that the kernel tells of the socket's other end; absent where it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// The user's name, where this machine knows it.
    pub user: String,
    /// Who had logged in, where that is another one (sudo).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<String>,
}

impl std::fmt::Display for Person {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.user)?;
        if let Some(login) = &self.login {
            write!(f, " (logged in as {login})")?;
        }
        Ok(())
    }
}

/// Who decided, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decided {
    /// A person; absent where the configuration did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Person>,
    /// When.
    pub at: Time,
}

/// What went wrong last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// When.
    pub at: Time,
    /// What.
    pub text: String,
}

/// How the upload stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Upload {
    /// The collector knows of it.
    pub declared: bool,
    /// Bytes that the collector has on its disk.
    pub offset: u64,
    /// Whether that is known since the last failure; else it is asked.
    #[serde(skip)]
    pub known: bool,
    /// Who approved it, as the collector was told.
    pub by: Option<String>,
    /// All bytes are there and their SHA-256 is right; the envelope that says so is to be stored.
    pub complete: bool,
    /// It was given up: the collector is to be told.
    pub withdraw: bool,
    /// Content bytes handed over so far, those that did not arrive included.
    pub sent_bytes: u64,
    /// Chunks.
    pub chunks: u64,
    /// Times that the whole SHA-256 was another one at the collector.
    pub mismatches: u32,
    /// Failures in a row.
    pub failures: u32,
    /// Not tried before.
    pub not_before: Option<Time>,
    /// The last failure.
    pub trouble: Option<Trouble>,
}

/// One bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Its id: UUIDv7.
    pub id: Uuid,
    /// What it is about.
    pub subject: Subject,
    /// The archive's name.
    pub name: String,
    /// The archive's size, bytes.
    pub size: u64,
    /// The archive's SHA-256.
    pub sha256: String,
    /// Files in it, the manifest not counted.
    pub files: u64,
    /// When it was packed.
    pub created_at: Time,
    /// By whom.
    pub created_by: Person,
    /// What they said about it, redacted.
    #[serde(default)]
    pub note: Option<String>,
    /// Where it is.
    pub state: State,
    /// Who approved or denied it.
    #[serde(default)]
    pub decided: Option<Decided>,
    /// Who cancelled it.
    #[serde(default)]
    pub cancelled: Option<Decided>,
    /// When it was over.
    #[serde(default)]
    pub over_at: Option<Time>,
    /// Why it is refused.
    #[serde(default)]
    pub reason: Option<String>,
    /// Whether the archive is still on the disk.
    pub archive: bool,
    /// The upload.
    #[serde(default)]
    pub upload: Upload,
}

impl Record {
    fn person(&self) -> Option<&Person> {
        self.decided.as_ref().and_then(|decided| decided.by.as_ref())
    }

    /// Who let it go, as the collector is told; `told` makes names of people fit to leave.
    pub fn approver(&self, told: impl Fn(&str) -> String) -> String {
        let mut by = match (&self.upload.by, self.person()) {
            (Some(by), _) => by.clone(),
            (None, Some(person)) => told(&person.to_string()),
            (None, None) => "bundle.approve = \"auto\"".to_owned(),
        };
        by.retain(|c| !c.is_control());
        cut(&mut by, MAX_ID_BYTES);
        by
    }

    /// What the envelope says of it when it has arrived: who let it go, and what is in it, it need not.
    pub fn reference(&self) -> Reference {
        self.declaration(Vec::new(), String::new()).reference()
    }

    /// What the collector is told before any byte; `by` as of [`Record::approver`].
    pub fn declaration(&self, contents: Vec<Content>, by: String) -> Declaration {
        let decided = self.decided.as_ref();
        let how = if self.person().is_some() { How::Person } else { How::Rule };
        Declaration {
            id: self.id,
            subject: self.subject.clone(),
            name: self.name.clone(),
            size: self.size,
            sha256: self.sha256.clone(),
            created_at: self.created_at,
            note: self.note.clone(),
            contents,
            approved: Approved { by, at: decided.map_or(self.created_at, |d| d.at), how },
        }
    }

    /// A person lets it go.
    pub fn approve(&mut self, by: Person, at: Time) -> Result<(), String> {
        self.decide(by, at)?;
        self.state = State::Approved;
        Ok(())
    }

    /// A person says no: it never leaves.
    pub fn deny(&mut self, by: Person, at: Time) -> Result<(), String> {
        self.decide(by, at)?;
        (self.state, self.over_at) = (State::Denied, Some(at));
        Ok(())
    }

    fn decide(&mut self, by: Person, at: Time) -> Result<(), String> {
        if self.state != State::Held {
            return Err(format!("bundle {} is {}, not held", self.id, self.state.as_str()));
        }
        self.decided = Some(Decided { by: Some(by), at });
        Ok(())
    }

    /// A person gives it up before it is sent.
    pub fn cancel(&mut self, by: Person, at: Time) -> Result<(), String> {
        if self.state.is_over() || self.upload.complete {
            let state = if self.upload.complete { "sent" } else { self.state.as_str() };
            return Err(format!("bundle {} is {state} already", self.id));
        }
        // A declaration that failed may have arrived all the same.
        self.upload.withdraw = self.upload.declared || self.upload.failures > 0;
        self.upload.not_before = None;
        self.cancelled = Some(Decided { by: Some(by), at });
        (self.state, self.over_at) = (State::Cancelled, Some(at));
        Ok(())
    }
}

/// A note as it is kept: no control characters, bounded.
pub fn note(text: &str) -> Option<String> {
    let mut note: String = text.trim().chars().filter(|c| !c.is_control() || *c == '\n').collect();
    cut(&mut note, MAX_NOTE);
    Some(note).filter(|note| !note.is_empty())
}

/// Checks what a person said a bundle is about.
pub fn check_subject(subject: &Subject) -> Result<(), String> {
    match (&subject.ticket, subject.alarm_id) {
        (None, None) => Err("expected --ticket T-000123 or --alarm ID".to_owned()),
        (Some(ticket), _) if !is_ticket(ticket) => {
            Err(format!("ticket: expected a number such as T-000123, found {ticket:?}"))
        }
        _ => Ok(()),
    }
}

/// What a bundle is about, for people.
pub fn about(subject: &Subject) -> String {
    match (&subject.ticket, subject.alarm_id) {
        (Some(ticket), _) => ticket.clone(),
        (None, Some(alarm)) => format!("alarm {alarm}"),
        (None, None) => String::new(),
    }
}

/// What redaction did to a file, for people.
pub fn did(redacted: Redacted) -> String {
    match redacted {
        Redacted::Binary => "binary, as it is".to_owned(),
        Redacted::Replaced(0) => "nothing replaced".to_owned(),
        Redacted::Replaced(n) => format!("{n} replaced"),
    }
}
