//! Redaction: what is taken out of every text before it is stored in the outbox. Pure.
//!
//! ```text
//! reading ─► Blocks (key material over several lines) ─► rules look at the raw line
//!                                                           │ captures, text, evidence
//!                                                           ▼
//!                      Redactor: secrets → [redacted:rule], addresses and names → ip-3fa9…
//! ```
//!
//! Rules look at what the device really said; every word that leaves them is redacted. What a capture
//! takes out of a line is cut along the line's own findings, so that a secret does not lose its keyword
//! and pass as an ordinary word. In the parts of an alarm's identity a secret becomes a keyed
//! fingerprint, so that two faults never become one and one fault never becomes two.
//!
//! Everything runs in time linear in the text: no look-around, no backtracking, no text over
//! [`MAX_TEXT`] bytes.

mod address;
mod blocks;
mod builtin;
mod inventory;
mod material;
mod names;
mod pseudonym;
mod secret;
mod span;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use callhome_shared::alarm::{Device, Identity};
use callhome_shared::limits::cut;
use regex::Regex;

pub use blocks::Blocks;
pub use builtin::names as builtin_names;
pub use pseudonym::{KEY_BYTES, Key, Kind};
pub use span::Span;

use names::Names;
use span::What;

/// Longer texts are cut, at a blank where there is one, before anything is looked for in them. What is
/// stored is shorter still.
pub const MAX_TEXT: usize = 64 * 1024;
/// What rules see of a line of a private key.
pub const HIDDEN: &str = "[redacted:private-key]";
/// A text is looked through at most so often.
const MAX_ROUNDS: usize = 8;
/// Own rules at most.
pub const MAX_RULES: usize = 64;

/// What is taken out.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Built-in rules that are not wanted.
    pub disabled: Vec<String>,
    /// What becomes a pseudonym.
    pub pseudonyms: Vec<Kind>,
    /// Domains whose host names become pseudonyms, in small letters.
    pub domains: Vec<String>,
    /// Names of devices, and of sources that are named after them, for [`Kind::Device`].
    pub devices: Vec<String>,
    /// Own rules.
    pub rules: Vec<OwnRule>,
}

impl Settings {
    /// A source that is named after a device (`sw-1-console`) must not tell the device's name either: its
    /// own name becomes one as a whole.
    pub fn note_sources<'a>(&mut self, sources: impl Iterator<Item = &'a str>) {
        let low: Vec<String> = self.devices.iter().map(|d| d.to_ascii_lowercase()).collect();
        let named_after = |source: &&str| {
            let source = source.to_ascii_lowercase();
            low.iter().any(|device| source.contains(device.as_str()) && source != *device)
        };
        let more: Vec<String> = sources.filter(named_after).map(str::to_owned).collect();
        self.devices.extend(more);
        self.devices.sort_unstable();
        self.devices.dedup();
    }
}

/// One own rule.
#[derive(Clone, Debug)]
pub struct OwnRule {
    /// Its name, as counted.
    pub name: String,
    /// What is looked for. Where it has a group `secret`, only that is replaced.
    pub regex: Regex,
    /// What is put in its place; `${group}` is filled. `None` = `[redacted:<name>]`.
    pub replacement: Option<String>,
}

/// How often a rule replaced something.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct RuleCount {
    /// The rule.
    pub rule: String,
    /// Replacements since the start.
    pub count: u64,
}

/// Takes out what must not leave. Cheap to share; counts what it does.
#[derive(Debug)]
pub struct Redactor {
    settings: Settings,
    names: Names,
    key: Key,
    fingerprint: String,
    /// By [`What::index`].
    counts: Vec<AtomicU64>,
    /// Short parts of identities in which nothing was found: the same ones come with every poll.
    harmless: Mutex<HashSet<Box<str>>>,
}

/// Longest text that is remembered as harmless, bytes.
const MAX_HARMLESS: usize = 96;
/// So many are remembered; then anew.
const HARMLESS: usize = 2048;

impl Default for Redactor {
    /// Built-in rules, no pseudonyms, a key of zeros: for tests of other rooms.
    fn default() -> Self {
        Redactor::new(Settings::default(), Key::zero())
    }
}

impl Redactor {
    /// `key` is the site's own.
    pub fn new(settings: Settings, key: Key) -> Self {
        let wanted = settings.pseudonyms.contains(&Kind::Device);
        let names = Names::new(if wanted { &settings.devices } else { &[] });
        let rules = builtin::RULES.len() + settings.rules.len() + Kind::ALL.len() + 1;
        let fingerprint = fingerprint(&settings, &key);
        let counts = (0..rules).map(|_| AtomicU64::new(0)).collect();
        Redactor { settings, names, key, fingerprint, counts, harmless: Mutex::default() }
    }

    /// Another one that says the same and counts for itself.
    pub fn apart(&self) -> Self {
        Redactor::new(self.settings.clone(), self.key.clone())
    }

    /// Tells two redactors apart that would make other words of the same text.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// What is to be replaced in `text`: in order, not overlapping.
    pub fn spans(&self, text: &str) -> Vec<Span> {
        let mut found = Vec::new();
        let low = text.to_ascii_lowercase();
        self.secrets(text, &low, &mut found);
        self.pseudonyms(text, &low, &mut found);
        span::merge(text, found)
    }

    /// A text without what must not leave; counted.
    pub fn text<'t>(&self, raw: &'t str) -> Cow<'t, str> {
        self.settled(raw, |raw, spans| self.slice(raw, spans, 0..raw.len()).into_owned())
    }

    /// A part of an alarm's identity: like a text, but two secrets stay two. Not counted.
    pub fn id<'t>(&self, raw: &'t str) -> Cow<'t, str> {
        if raw.len() > MAX_HARMLESS {
            return self.searched_id(raw);
        }
        if self.harmless().contains(raw) {
            return Cow::Borrowed(raw);
        }
        let told = self.searched_id(raw);
        if told == raw {
            let mut harmless = self.harmless();
            if harmless.len() >= HARMLESS {
                harmless.clear();
            }
            harmless.insert(raw.into());
        }
        told
    }

    fn searched_id<'t>(&self, raw: &'t str) -> Cow<'t, str> {
        self.settled(raw, |raw, spans| self.replace(raw, spans, 0..raw.len(), true).into_owned())
    }

    fn harmless(&self) -> MutexGuard<'_, HashSet<Box<str>>> {
        self.harmless.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Again until nothing more is found: what was taken out may lay bare what stood beside it. So the
    /// same text told twice is the same.
    fn settled<'t>(&self, raw: &'t str, replace: impl Fn(&str, &[Span]) -> String) -> Cow<'t, str> {
        let mut text = Cow::Borrowed(searched(raw));
        for _ in 0..MAX_ROUNDS {
            let spans = self.spans(&text);
            if spans.is_empty() {
                break;
            }
            text = Cow::Owned(replace(&text, &spans));
        }
        text
    }

    /// The part `range` of a text whose `spans` are known; counted.
    pub fn slice<'t>(&self, raw: &'t str, spans: &[Span], range: Range<usize>) -> Cow<'t, str> {
        let inside = |span: &&Span| span.range.start < range.end && span.range.end > range.start;
        for span in spans.iter().filter(inside) {
            self.count(&span.what);
        }
        self.replace(raw, spans, range, false)
    }

    /// The same for an identity.
    pub fn slice_id<'t>(&self, raw: &'t str, spans: &[Span], range: Range<usize>) -> Cow<'t, str> {
        self.replace(raw, spans, range, true)
    }

    /// Counts a line that [`Blocks`] hid.
    pub fn count_hidden(&self) {
        if let Some(index) = builtin::index_of(builtin::PRIVATE_KEY) {
            self.count(&What::Builtin(index));
        }
    }

    /// The device as it is told. Serial number, site, customer and contract are exempt: they are what
    /// the support centre knows the device by.
    pub fn device(&self, device: &Arc<Device>) -> Arc<Device> {
        let secrets = |text: &Option<String>| text.as_ref().map(|text| self.without_secrets(text));
        let told = Device {
            id: self.device_id(device).into_owned(),
            name: self.id(&device.name).into_owned(),
            parent: device.parent.as_ref().map(|parent| self.id(parent).into_owned()),
            parent_resource: device.parent_resource.as_ref().map(|p| self.id(p).into_owned()),
            vendor: secrets(&device.vendor),
            model: secrets(&device.model),
            firmware: secrets(&device.firmware),
            ..(**device).clone()
        };
        if told == **device { device.clone() } else { Arc::new(told) }
    }

    /// The device's id in alarms: a serial number as it is, a name like any other text.
    pub fn device_id<'d>(&self, device: &'d Device) -> Cow<'d, str> {
        let id = if device.id.is_empty() { &device.name } else { &device.id };
        if device.serial.as_ref() == Some(id) { id.into() } else { self.id(id) }
    }

    /// Whether an alarm with this identity, told under the redaction `told_under`, would be told
    /// under the same identity now.
    pub fn still_says(&self, told_under: &str, device: &Device, identity: &Identity) -> bool {
        let parts = [&identity.resource, &identity.kind, &identity.qualifier];
        if told_under == self.fingerprint {
            return true;
        }
        let made_by_redaction = |text: &str| !span::atoms(text).is_empty();
        parts.iter().all(|part| !made_by_redaction(part) && self.id(part) == part.as_str())
            && (device.serial.as_ref() == Some(&identity.device)
                || (!made_by_redaction(&identity.device)
                    && self.id(&identity.device) == identity.device.as_str()))
    }

    /// What was replaced so far, by rule; rules that replaced nothing are left out.
    pub fn counts(&self) -> Vec<RuleCount> {
        let names = builtin::RULES
            .iter()
            .map(|rule| rule.name)
            .chain(self.settings.rules.iter().map(|rule| rule.name.as_str()))
            .chain(Kind::ALL.iter().map(|kind| kind.as_str()))
            .chain([builtin::KEY_MATERIAL]);
        let mut counts: Vec<RuleCount> = Vec::new();
        for (name, count) in names.zip(&self.counts) {
            let count = count.load(Ordering::Relaxed);
            match counts.iter_mut().find(|known| known.rule == name) {
                _ if count == 0 => {}
                Some(known) => known.count += count,
                None => counts.push(RuleCount { rule: name.to_owned(), count }),
            }
        }
        counts
    }

    fn secrets(&self, text: &str, low: &str, found: &mut Vec<Span>) {
        for (index, rule) in self.settings.rules.iter().enumerate() {
            for captures in rule.regex.captures_iter(text) {
                let Some(whole) = captures.get(0) else { continue };
                let range = captures.name("secret").unwrap_or(whole).range();
                let by = rule.replacement.as_ref().map(|template| {
                    let mut by = String::new();
                    captures.expand(template, &mut by);
                    by.into()
                });
                found.push(Span { range, what: What::Own { index, by } });
            }
        }
        for (index, rule) in builtin::RULES.iter().enumerate() {
            if !self.settings.disabled.iter().any(|name| name == rule.name) {
                rule.find(text, low, |range| {
                    found.push(Span { range, what: What::Builtin(index) });
                });
            }
        }
        self.key_material(text, found);
    }

    fn key_material(&self, text: &str, found: &mut Vec<Span>) {
        if !self.settings.disabled.iter().any(|name| name == builtin::KEY_MATERIAL) {
            material::lines(text, |range| {
                found.push(Span { range, what: What::Material });
            });
        }
    }

    fn pseudonyms(&self, text: &str, low: &str, found: &mut Vec<Span>) {
        let wanted = &self.settings.pseudonyms;
        if wanted.contains(&Kind::Host) {
            names::hosts(low, &self.settings.domains, |range| {
                let what =
                    What::Pseudonym(Kind::Host, low.get(range.clone()).unwrap_or_default().into());
                found.push(Span { range, what });
            });
        }
        if wanted.iter().any(|kind| matches!(kind, Kind::Ipv4 | Kind::Ipv6 | Kind::Mac)) {
            address::find(text, |range, kind, canonical| {
                if wanted.contains(&kind) {
                    found.push(Span { range, what: What::Pseudonym(kind, canonical.into()) });
                }
            });
        }
        self.names.find(text, |range, name| {
            found.push(Span { range, what: What::Pseudonym(Kind::Device, name.into()) });
        });
    }

    fn replace<'t>(
        &self,
        raw: &'t str,
        spans: &[Span],
        range: Range<usize>,
        identity: bool,
    ) -> Cow<'t, str> {
        let whole = raw.get(range.clone()).unwrap_or_default();
        let mut out = String::new();
        let mut at = range.start;
        let mut changed = false;
        for span in spans {
            if span.range.end <= range.start || span.range.start >= range.end {
                continue;
            }
            changed = true;
            out.push_str(raw.get(at..span.range.start.max(at)).unwrap_or_default());
            self.put(&mut out, raw, span, identity);
            at = span.range.end.min(range.end);
        }
        if !changed {
            return whole.into();
        }
        out.push_str(raw.get(at..range.end).unwrap_or_default());
        out.into()
    }

    fn put(&self, out: &mut String, raw: &str, span: &Span, identity: bool) {
        let secret = raw.get(span.range.clone()).unwrap_or_default();
        let name = match &span.what {
            What::Pseudonym(kind, canonical) => {
                return out.push_str(&self.key.pseudonym(*kind, canonical));
            }
            What::Own { by: Some(by), .. } => return out.push_str(by),
            What::Own { index, by: None } => {
                self.settings.rules.get(*index).map_or("own", |rule| &rule.name)
            }
            What::Material => builtin::KEY_MATERIAL,
            What::Builtin(index) => builtin::RULES.get(*index).map_or("secret", |rule| rule.name),
        };
        out.push_str(span::OPEN);
        out.push_str(name);
        if identity {
            out.push(':');
            out.push_str(&self.key.fingerprint_of(secret));
        }
        out.push(span::CLOSE);
    }

    fn count(&self, what: &What) {
        if let Some(count) = self.counts.get(what.index(self.settings.rules.len())) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// At most [`MAX_TEXT`] bytes, cut at a blank where one is near: half a token might not be known as one.
pub fn searched(raw: &str) -> &str {
    if raw.len() <= MAX_TEXT {
        return raw;
    }
    let mut end = MAX_TEXT;
    while !raw.is_char_boundary(end) {
        end -= 1;
    }
    let kept = raw.get(..end).unwrap_or_default();
    kept.rfind([' ', '\t', '\n']).and_then(|at| kept.get(..at)).unwrap_or_default()
}

fn fingerprint(settings: &Settings, key: &Key) -> String {
    let mut all = format!(
        "{:?}\n{:?}\n{:?}\n{:?}\n",
        settings.disabled, settings.pseudonyms, settings.domains, settings.devices
    );
    for rule in &settings.rules {
        all.push_str(&format!("{}\n{}\n{:?}\n", rule.name, rule.regex, rule.replacement));
    }
    let mut fingerprint = key.fingerprint_of(&all);
    cut(&mut fingerprint, 8);
    fingerprint
}
