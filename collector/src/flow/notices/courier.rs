//! Carries letters: to the mail server, to the receivers of the configuration. Keeps what each may get a minute.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use callhome_shared::limits::cut;
use callhome_shared::time::Time;
use callhome_shared::tls;
use reqwest::header::CONTENT_TYPE;
use rustls::{ClientConfig, RootCertStore};

use super::mail::{Postman, Undelivered};
use crate::notice::shapes::{self, Content, Letter, SIGNATURE};
use crate::notice::{Facts, Language, summary, text};
use crate::settings::{Notices, OutletAddress, Secret};

/// For one letter.
const TIMEOUT: Duration = Duration::from_secs(10);
/// So much of an answer is read, bytes.
const MOST_ANSWER: usize = 4096;
const MINUTE_MS: i64 = 60_000;
/// Mails a minute to one person.
const MAILS: usize = 20;

/// Carries letters.
pub struct Courier {
    postman: Option<Postman>,
    client: reqwest::Client,
    outlets: HashMap<String, OutletAddress>,
    base: String,
    /// By lane and recipient: when the letters of the last minute went.
    gone: Mutex<HashMap<String, VecDeque<Time>>>,
}

/// One letter, of one notice or several.
pub(super) struct Parcel<'a> {
    pub(super) id: &'a str,
    pub(super) facts: &'a [Facts],
    pub(super) language: &'a str,
}

impl Courier {
    /// Gets ready.
    pub fn new(settings: &Notices) -> anyhow::Result<Arc<Self>> {
        let postman = settings.mail.as_ref().map(Postman::new).transpose().context("mail")?;
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let config = ClientConfig::builder_with_provider(tls::provider())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(config)
            .redirect(reqwest::redirect::Policy::none())
            .timeout(TIMEOUT)
            .user_agent(concat!("callhome-collector/", env!("CARGO_PKG_VERSION")))
            .build()
            .context("HTTP")?;
        let outlets = settings.outlets.iter().map(|o| (o.outlet.name.clone(), o.clone())).collect();
        let base = settings.base.clone();
        Ok(Arc::new(Courier { postman, client, outlets, base, gone: Mutex::default() }))
    }

    /// How many letters may go there now.
    pub(super) fn left(&self, lane: &str, recipient: &str, now: Time) -> usize {
        let most = match lane {
            super::MAIL => MAILS,
            _ => self.outlets.get(recipient).map_or(1, |outlet| outlet.per_minute),
        };
        let mut gone = self.gone.lock().unwrap_or_else(PoisonError::into_inner);
        gone.retain(|_, times| {
            times.retain(|at| now.since_ms(*at) < MINUTE_MS);
            !times.is_empty()
        });
        let used = gone.get(&format!("{lane} {recipient}")).map_or(0, VecDeque::len);
        most.saturating_sub(used)
    }

    fn note(&self, lane: &str, recipient: &str, now: Time) {
        let mut gone = self.gone.lock().unwrap_or_else(PoisonError::into_inner);
        gone.entry(format!("{lane} {recipient}")).or_default().push_back(now);
    }

    /// Mails a parcel.
    pub(super) async fn mail(
        &self,
        person: &str,
        address: &str,
        parcel: &Parcel<'_>,
        now: Time,
    ) -> Result<String, Undelivered> {
        let Some(postman) = &self.postman else {
            return Err(lost("no mail server is configured here"));
        };
        let language = Language::of(parcel.language);
        let (subject, text) = match parcel.facts {
            [one] => text(one, language, &format!("{}/tickets/{}", self.base, one.number)),
            all => summary(all, language),
        };
        self.note(super::MAIL, person, now);
        postman.send(parcel.id, address, &subject, &text).await
    }

    /// Posts a parcel to a receiver.
    pub(super) async fn post(
        &self,
        lane: &str,
        name: &str,
        parcel: &Parcel<'_>,
        now: Time,
    ) -> Result<String, Undelivered> {
        let Some(outlet) = self.outlets.get(name) else {
            return Err(lost("the configuration has no such outlet any more"));
        };
        let content = Content {
            facts: parcel.facts,
            id: parcel.id,
            receiver: name,
            language: Language::of(parcel.language),
            base: &self.base,
        };
        let kind = outlet.outlet.kind;
        let secret = outlet.secret.as_ref().map(Secret::reveal);
        let Letter { body, query, signature } = shapes::letter(kind, content, secret, now);
        let url = match query {
            None => outlet.url.reveal().to_owned(),
            Some(query) => {
                let mark = if outlet.url.reveal().contains('?') { '&' } else { '?' };
                format!("{}{mark}{query}", outlet.url.reveal())
            }
        };
        let mut request = self.client.post(url).header(CONTENT_TYPE, "application/json").body(body);
        if let Some(signature) = signature {
            request = request.header(SIGNATURE, signature);
        }
        self.note(lane, name, now);
        // The address may be a secret: errors are told without it.
        let mut answer = request.send().await.map_err(|e| unreached(e.without_url()))?;
        let status = answer.status();
        let mut read = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|e| unreached(e.without_url()))? {
            read.extend_from_slice(&chunk);
            if read.len() >= MOST_ANSWER {
                break;
            }
        }
        read.truncate(MOST_ANSWER);
        let mut said: String =
            String::from_utf8_lossy(&read).chars().filter(|c| !c.is_control()).collect();
        if !status.is_success() {
            cut(&mut said, 300);
            let why = format!("answered {}: {said}", status.as_u16());
            return Err(Undelivered { why, for_good: false, server: true });
        }
        shapes::taken(kind, &said).map_err(|why| Undelivered {
            why,
            for_good: false,
            server: true,
        })?;
        Ok(format!("taken: {}", status.as_u16()))
    }
}

fn lost(why: &str) -> Undelivered {
    Undelivered { why: why.to_owned(), for_good: true, server: false }
}

fn unreached(error: reqwest::Error) -> Undelivered {
    let mut why = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(inner) = cause {
        why = format!("{why}: {inner}");
        cause = inner.source();
    }
    Undelivered { why, for_good: false, server: true }
}
