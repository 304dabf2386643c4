//! Templates: `${name}` filled from captures, labels and the reading; and texts made fit for an alarm.

use std::borrow::Cow;
use std::fmt::Write as _;

use callhome_shared::limits::{MAX_ID_BYTES, MAX_TEXT_BYTES, cut};
use regex::Captures;

use super::Context;
use crate::redact::{Redactor, Span, searched};
use crate::source::{Reading, Value};

/// Longest evidence of one reading. JSON can double it, and an envelope must hold it.
pub(super) const MAX_EVIDENCE_BYTES: usize = 32 * 1024;

/// What placeholders stand for.
pub(super) struct Words<'a> {
    captures: Option<&'a Captures<'a>>,
    pub(super) reading: &'a Reading,
    device: &'a str,
    redactor: &'a Redactor,
    /// The reading's own text, as far as anything is looked for in it.
    text: &'a str,
    /// What must not leave of it. A capture is cut along it: without the words
    /// around it a secret would look like any other word.
    spans: Vec<Span>,
}

impl<'a> Words<'a> {
    pub(super) fn new(
        reading: &'a Reading,
        captures: Option<&'a Captures<'a>>,
        context: Context<'a>,
    ) -> Self {
        let Context { device, redactor, .. } = context;
        let text = match &reading.value {
            Value::Text(text) | Value::Line { text, .. } => searched(text),
            Value::Number(_) | Value::Probe(_) => "",
        };
        let spans = if text.is_empty() { Vec::new() } else { redactor.spans(text) };
        Words { captures, reading, device: &device.name, redactor, text, spans }
    }

    /// Fills `${…}`: a capture, a label of the reading, or one of its own parts; unknown ones become
    /// empty. A `${` that is never closed stays as it is.
    pub(super) fn fill(&self, template: &str) -> String {
        self.filled(template, false)
    }

    /// The same for a part of an identity.
    pub(super) fn fill_id(&self, template: &str) -> String {
        self.filled(template, true)
    }

    fn filled(&self, template: &str, identity: bool) -> String {
        let mut out = String::with_capacity(template.len());
        let mut rest = template;
        while let Some((before, after)) = rest.split_once("${") {
            out.push_str(before);
            let Some((name, behind)) = after.split_once('}') else {
                out.push_str("${");
                rest = after;
                continue;
            };
            out.push_str(&self.word(name, identity));
            rest = behind;
        }
        out.push_str(rest);
        out
    }

    fn word(&self, name: &str, identity: bool) -> Cow<'_, str> {
        if let Some(captures) = self.captures {
            let found = match name.parse::<usize>() {
                Ok(number) => captures.get(number),
                Err(_) => captures.name(name),
            };
            if let Some(found) = found {
                return self.part(found.range(), identity);
            }
        }
        if let Some((_, label)) = self.reading.labels.iter().find(|(n, _)| &**n == name) {
            return label.into();
        }
        match name {
            "resource" => self.reading.resource.as_str().into(),
            "metric" => (&*self.reading.metric).into(),
            "value" => match &self.reading.value {
                Value::Text(_) | Value::Line { .. } => self.part(0..self.text.len(), identity),
                Value::Number(number) => number_text(*number).into(),
                Value::Probe(entered) => entered.nonce().to_string().into(),
            },
            "unit" => (&*self.reading.unit).into(),
            "device" => self.device.into(),
            _ => "".into(),
        }
    }

    /// A part of the reading's own text.
    fn part(&self, range: std::ops::Range<usize>, identity: bool) -> Cow<'_, str> {
        let end = range.end.min(self.text.len());
        let range = range.start.min(end)..end;
        match identity {
            true => self.redactor.slice_id(self.text, &self.spans, range),
            false => self.redactor.slice(self.text, &self.spans, range),
        }
    }
}

/// The value as text; numbers without superfluous zeros.
pub(super) fn value_text(value: &Value) -> Cow<'_, str> {
    match value {
        Value::Number(number) => number_text(*number).into(),
        Value::Text(text) | Value::Line { text, .. } => text.as_str().into(),
        Value::Probe(entered) => entered.nonce().to_string().into(),
    }
}

/// At most three decimals, none that is zero.
pub(super) fn number_text(number: f64) -> String {
    if number.fract() == 0.0 && number.abs() < 1e15 {
        return format!("{number:.0}");
    }
    let mut text = String::new();
    let _ = write!(text, "{number:.3}");
    if text.contains('.') {
        text.truncate(text.trim_end_matches('0').trim_end_matches('.').len());
    }
    text
}

/// What the reading says in one line: the line itself, or `metric = value unit`.
pub(super) fn reading_text(reading: &Reading) -> String {
    let value = value_text(&reading.value);
    match reading.value {
        Value::Line { .. } => value.into_owned(),
        _ => {
            let (metric, unit) = (&reading.metric, &reading.unit);
            let text = match reading.resource.as_str() {
                "" => format!("{metric} = {value} {unit}"),
                resource => format!("{metric}[{resource}] = {value} {unit}"),
            };
            text.trim_end().to_owned()
        }
    }
}

/// A free text: no control characters, at most [`MAX_TEXT_BYTES`].
pub(super) fn text(raw: &str) -> String {
    bounded(raw, MAX_TEXT_BYTES).0
}

/// Evidence: no control characters, at most [`MAX_EVIDENCE_BYTES`]; says whether it was cut.
pub(super) fn evidence(raw: &str) -> (String, bool) {
    bounded(raw, MAX_EVIDENCE_BYTES)
}

/// One part of an identity: no control characters, at most [`MAX_ID_BYTES`]. What is cut off is told
/// apart by a hash, so that two faults never become one.
pub(super) fn id(raw: &str) -> String {
    const HASH_BYTES: usize = 17;
    let plain = |b: u8| matches!(b, b' '..=b'~');
    if raw.len() <= MAX_ID_BYTES && raw.bytes().all(plain) && raw.trim().len() == raw.len() {
        return raw.to_owned();
    }
    let mut clean: String = raw.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let trimmed = clean.trim();
    if trimmed.len() != clean.len() {
        clean = trimmed.to_owned();
    }
    if clean.len() <= MAX_ID_BYTES {
        return clean;
    }
    let hash = fnv1a(clean.as_bytes());
    cut(&mut clean, MAX_ID_BYTES - HASH_BYTES);
    let _ = write!(clean, "~{hash:016x}");
    clean
}

/// FNV-1a, 64 bits: stable over versions, which the standard library's hashes are not.
pub(super) fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

fn bounded(raw: &str, max: usize) -> (String, bool) {
    let mut out = String::with_capacity(raw.len().min(max));
    for c in raw.chars() {
        let c = if c.is_control() && c != '\t' && c != '\n' { '\u{fffd}' } else { c };
        if out.len() + c.len_utf8() > max {
            return (out, true);
        }
        out.push(c);
    }
    (out, false)
}
