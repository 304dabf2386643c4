//! What each kind of receiver takes, and how it is signed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use callhome_shared::heartbeat::hex;
use callhome_shared::limits::cut;
use callhome_shared::time::Time;
use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::words::{Language, summary, text};
use super::{Facts, Kind};

/// WeCom's limit of a text, bytes.
const WECOM_BYTES: usize = 2048;
/// DingTalk's and Feishu's limits are 20,000 bytes and more; nobody reads that much.
const ROBOT_BYTES: usize = 16_000;
/// The header of the signature.
pub const SIGNATURE: &str = "x-callhome-signature";

/// A notice as it is to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// Body: JSON.
    pub body: String,
    /// What is added to the address: `timestamp=…&sign=…`.
    pub query: Option<String>,
    /// The value of [`SIGNATURE`].
    pub signature: Option<String>,
}

/// What it is made of.
#[derive(Clone, Copy, Debug)]
pub struct Content<'a> {
    /// One, or several in one.
    pub facts: &'a [Facts],
    /// Its id, by which a receiver knows that it comes again.
    pub id: &'a str,
    /// The receiver's name.
    pub receiver: &'a str,
    /// Its language.
    pub language: Language,
    /// Where the console is: `https://host:port`.
    pub base: &'a str,
}

fn mac(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    // HMAC takes keys of every length (RFC 2104).
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return Vec::new() };
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().to_vec()
}

/// Puts it together; `secret`: what it is signed with, if it is.
pub fn letter(kind: Kind, content: Content<'_>, secret: Option<&str>, now: Time) -> Letter {
    let plain = |body: Value| Letter { body: body.to_string(), query: None, signature: None };
    match kind {
        Kind::Webhook => signed(webhook(content), secret, now),
        Kind::Alertmanager => signed(alertmanager(content), secret, now),
        Kind::Wecom => plain(wecom(content)),
        Kind::Dingtalk => {
            Letter { query: secret.map(|key| dingtalk_sign(key, now)), ..plain(dingtalk(content)) }
        }
        Kind::Feishu => plain(feishu(content, secret, now)),
    }
}

/// `t=<seconds since 1970>,v1=<hex of HMAC-SHA-256 over "<t>.<body>">`.
fn signed(body: Value, secret: Option<&str>, now: Time) -> Letter {
    let body = body.to_string();
    let signature = secret.map(|key| {
        let at = (now.millis() / 1000).to_string();
        let mac = mac(key.as_bytes(), &[at.as_bytes(), b".", body.as_bytes()]);
        format!("t={at},v1={}", hex(&mac))
    });
    Letter { body, query: None, signature }
}

fn link(content: Content<'_>, facts: &Facts) -> String {
    format!("{}/tickets/{}", content.base, facts.number)
}

/// Subject and text, of one or of several.
fn said(content: Content<'_>) -> (String, String) {
    match content.facts {
        [one] => text(one, content.language, &link(content, one)),
        all => summary(all, content.language),
    }
}

fn webhook(content: Content<'_>) -> Value {
    let (subject, text) = said(content);
    let notices: Vec<Value> = content
        .facts
        .iter()
        .map(|facts| {
            let mut one = serde_json::to_value(facts).unwrap_or_default();
            if let Some(object) = one.as_object_mut() {
                object.insert("link".to_owned(), link(content, facts).into());
            }
            one
        })
        .collect();
    json!({ "version": 1, "id": content.id, "receiver": content.receiver, "subject": subject, "text": text, "notices": notices })
}

/// As Alertmanager's webhook receiver gets it (version "4").
fn alertmanager(content: Content<'_>) -> Value {
    let over = |facts: &Facts| facts.event == "resolved";
    let alerts: Vec<Value> = content
        .facts
        .iter()
        .map(|facts| {
            let (subject, text) = text(facts, content.language, &link(content, facts));
            let ends = if over(facts) { facts.at.as_str() } else { "0001-01-01T00:00:00Z" };
            let fingerprint = hex(&Sha256::digest(facts.number.as_bytes()));
            json!({
                "status": if over(facts) { "resolved" } else { "firing" },
                "labels": {
                    "alertname": facts.kind, "ticket": facts.number, "severity": facts.severity,
                    "priority": facts.priority, "event": facts.event, "instance": facts.device,
                    "resource": facts.resource, "site": facts.site, "customer": facts.customer,
                },
                "annotations": { "summary": subject, "description": text },
                "startsAt": facts.opened_at, "endsAt": ends,
                "generatorURL": link(content, facts), "fingerprint": fingerprint.get(..16),
            })
        })
        .collect();
    let status = if content.facts.iter().all(over) { "resolved" } else { "firing" };
    let number = content.facts.first().map(|f| f.number.as_str()).unwrap_or_default();
    let group = if content.facts.len() == 1 { json!({ "ticket": number }) } else { json!({}) };
    let key = if content.facts.len() == 1 {
        format!("{{}}:{{ticket=\"{number}\"}}")
    } else {
        "{}:{}".to_owned()
    };
    json!({
        "version": "4", "groupKey": key, "truncatedAlerts": 0, "status": status,
        "receiver": content.receiver, "groupLabels": group, "commonLabels": group,
        "commonAnnotations": {}, "externalURL": content.base, "alerts": alerts,
    })
}

/// Telephone numbers of people who are called: the robots name them so that their telephones ring.
fn phones(content: Content<'_>) -> Vec<&str> {
    let called = content.facts.iter().filter(|f| f.event == "called" && !f.phone.is_empty());
    called.map(|f| f.phone.as_str()).collect()
}

fn bounded(mut text: String, bytes: usize) -> String {
    cut(&mut text, bytes);
    text
}

fn wecom(content: Content<'_>) -> Value {
    let (subject, text) = said(content);
    let text = bounded(format!("{subject}\n{text}"), WECOM_BYTES);
    json!({ "msgtype": "text", "text": { "content": text, "mentioned_mobile_list": phones(content) } })
}

fn dingtalk(content: Content<'_>) -> Value {
    let (subject, text) = said(content);
    let phones = phones(content);
    let at: String = phones.iter().map(|phone| format!(" @{phone}")).collect();
    let text = bounded(format!("{subject}\n{text}"), ROBOT_BYTES) + &at;
    json!({ "msgtype": "text", "text": { "content": text }, "at": { "atMobiles": phones, "isAtAll": false } })
}

/// DingTalk: base64 of HMAC-SHA-256 of "<ms>\n<secret>" with the secret, in the address.
fn dingtalk_sign(secret: &str, now: Time) -> String {
    let at = now.millis().to_string();
    let mac = mac(secret.as_bytes(), &[at.as_bytes(), b"\n", secret.as_bytes()]);
    let sign: String = STANDARD
        .encode(mac)
        .chars()
        .map(|c| match c {
            '+' => "%2B".to_owned(),
            '/' => "%2F".to_owned(),
            '=' => "%3D".to_owned(),
            c => c.to_string(),
        })
        .collect();
    format!("timestamp={at}&sign={sign}")
}

/// Feishu: base64 of HMAC-SHA-256 of nothing with "<s>\n<secret>", in the body.
fn feishu(content: Content<'_>, secret: Option<&str>, now: Time) -> Value {
    let (subject, text) = said(content);
    let text = bounded(format!("{subject}\n{text}"), ROBOT_BYTES);
    let mut body = json!({ "msg_type": "text", "content": { "text": text } });
    if let (Some(secret), Some(object)) = (secret, body.as_object_mut()) {
        let at = (now.millis() / 1000).to_string();
        let sign = STANDARD.encode(mac(format!("{at}\n{secret}").as_bytes(), &[]));
        object.insert("timestamp".to_owned(), at.into());
        object.insert("sign".to_owned(), sign.into());
    }
    body
}

/// Whether a robot has taken it: they answer 200 to everything and say in the body what they think of it.
pub fn taken(kind: Kind, answer: &str) -> Result<(), String> {
    let key = match kind {
        Kind::Webhook | Kind::Alertmanager => return Ok(()),
        Kind::Wecom | Kind::Dingtalk => "errcode",
        Kind::Feishu => "code",
    };
    let body: Value = serde_json::from_str(answer).unwrap_or_default();
    // Feishu's older robots say StatusCode.
    let code = body.get(key).or_else(|| body.get("StatusCode")).and_then(Value::as_i64);
    match code {
        Some(0) => Ok(()),
        _ => {
            let mut said: String = answer.chars().filter(|c| !c.is_control()).collect();
            cut(&mut said, 300);
            Err(format!("refused: {said}"))
        }
    }
}
