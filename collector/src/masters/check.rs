//! What is wrong with one value, and with values together.

use callhome_shared::config_error::did_you_mean;
use jiff::civil::Date;

use super::{Field, Kind, MAX_ID, SEPARATOR, Shape, Values, list};
use crate::calendar::zone;

/// Longest list of ids or serial numbers, characters.
const MAX_LIST: usize = 200_000;

/// What is wrong, what was expected, and the nearest valid name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What is wrong and what was expected.
    pub text: String,
    /// The nearest valid name or another way out.
    pub hint: Option<String>,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)?;
        self.hint.as_deref().map_or(Ok(()), |hint| write!(f, " ({hint})"))
    }
}

impl Refusal {
    /// Without a hint.
    pub fn new(text: impl Into<String>) -> Self {
        Refusal { text: text.into(), hint: None }
    }

    fn hinted(text: impl Into<String>, hint: Option<String>) -> Self {
        Refusal { text: text.into(), hint }
    }
}

/// An id as it is kept.
pub fn id(text: &str) -> Result<String, Refusal> {
    let text = text.trim();
    let count = text.chars().count();
    if !(1..=MAX_ID).contains(&count) || text.chars().any(|c| c.is_control() || c == SEPARATOR) {
        let text = format!("expected an id of 1 to {MAX_ID} characters without {SEPARATOR:?}");
        return Err(Refusal::new(text));
    }
    Ok(text.to_owned())
}

/// A day as it is written: `2026-01-31`.
pub fn day(text: &str) -> Option<Date> {
    let exact = text.len() == 10 && text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    text.parse().ok().filter(|_| exact)
}

/// A field's value as it is kept, or what is wrong with it. Whether what it refers to exists is not
/// looked at.
pub fn value(field: &Field, text: &str) -> Result<String, Refusal> {
    let text = text.trim();
    if text.is_empty() {
        let missing = || Refusal::new(format!("expected {}, found nothing", expected(field.shape)));
        return if field.required { Err(missing()) } else { Ok(String::new()) };
    }
    let wrong = |hint| {
        let shown: String = text.chars().take(60).collect();
        Refusal::hinted(format!("expected {}, found {shown:?}", expected(field.shape)), hint)
    };
    let line = |max: usize| text.chars().count() <= max && !text.chars().any(char::is_control);
    match field.shape {
        Shape::Line(max) if line(max) => Ok(text.to_owned()),
        Shape::Text(max) => {
            let control = |c: char| c.is_control() && !matches!(c, '\n' | '\t' | '\r');
            let good = text.chars().count() <= max && !text.chars().any(control);
            if good { Ok(text.replace("\r\n", "\n").replace('\r', "\n")) } else { Err(wrong(None)) }
        }
        Shape::Day if day(text).is_some() => Ok(text.to_owned()),
        Shape::Zone => match zone::zone(text) {
            Ok(zone) => Ok(zone.name().to_owned()),
            Err(unknown) => Err(wrong(unknown.hint)),
        },
        Shape::Word(words) if words.contains(&text) => Ok(text.to_owned()),
        Shape::Word(words) => Err(wrong(did_you_mean(text, words.iter().copied()))),
        Shape::Phone if phone(text) => Ok(text.to_owned()),
        Shape::Mail if mail(text) => Ok(text.to_owned()),
        Shape::Plan | Shape::Calendar if crate::clock::is_name(text) => Ok(text.to_owned()),
        Shape::Ref(_) => id(text).map_err(|_| wrong(None)),
        Shape::Refs(_, max) | Shape::Serials(max) => list_of(text, max).ok_or_else(|| wrong(None)),
        Shape::Line(_)
        | Shape::Day
        | Shape::Phone
        | Shape::Mail
        | Shape::Plan
        | Shape::Calendar => Err(wrong(None)),
    }
}

/// Sorted and without repeats.
fn list_of(text: &str, max: usize) -> Option<String> {
    if text.len() > MAX_LIST {
        return None;
    }
    let mut all: Vec<String> = list(text).map(id).collect::<Result<_, _>>().ok()?;
    all.sort_unstable();
    all.dedup();
    (all.len() <= max).then(|| all.join(&SEPARATOR.to_string()))
}

fn phone(text: &str) -> bool {
    let digits = text.chars().filter(char::is_ascii_digit).count();
    let sign = |c: char| c.is_ascii_digit() || " +-()/.,#*extEXT".contains(c);
    (3..=30).contains(&digits) && text.len() <= 60 && text.chars().all(sign)
}

fn mail(text: &str) -> bool {
    let Some((local, host)) = text.rsplit_once('@') else { return false };
    let bad = |c: char| c.is_whitespace() || c.is_control() || c == '@';
    !local.is_empty()
        && text.len() <= 254
        && host.contains('.')
        && !host.starts_with('.')
        && !host.ends_with('.')
        && !local.chars().chain(host.chars()).any(bad)
}

fn expected(shape: Shape) -> String {
    match shape {
        Shape::Line(max) => format!("one line of at most {max} characters"),
        Shape::Text(max) => format!("a text of at most {max} characters"),
        Shape::Day => "a day such as 2026-01-31".to_owned(),
        Shape::Zone => "an IANA time zone such as Asia/Shanghai".to_owned(),
        Shape::Word(words) => format!("one of {}", words.join(", ")),
        Shape::Phone => "a telephone number such as +86 21 5555 0100".to_owned(),
        Shape::Mail => "a mail address such as name@example.org".to_owned(),
        Shape::Plan => "the name of a service plan".to_owned(),
        Shape::Calendar => "the name of a business calendar".to_owned(),
        Shape::Ref(kind) => format!("a {}'s id", kind.one()),
        Shape::Refs(kind, max) => {
            format!("at most {max} ids of {}, separated by {SEPARATOR}", kind.as_str())
        }
        Shape::Serials(max) => format!("at most {max} serial numbers, separated by {SEPARATOR}"),
    }
}

/// What is wrong with whole values: required ones that are missing, and what does not go together; with the
/// field's name.
pub fn across(kind: Kind, values: &Values) -> Result<(), (&'static str, Refusal)> {
    let of = |name: &str| values.get(name).map(String::as_str).unwrap_or_default();
    for field in kind.fields().iter().filter(|f| f.required) {
        value(field, of(field.name)).map_err(|refusal| (field.name, refusal))?;
    }
    if kind != Kind::Contracts {
        return Ok(());
    }
    if day(of("valid_until")) < day(of("valid_from")) {
        let text = format!(
            "expected a day from {} on: the contract ends before it begins",
            of("valid_from")
        );
        return Err(("valid_until", Refusal::new(text)));
    }
    for (word, name) in [("sites", "sites"), ("devices", "serials")] {
        let wanted = of("covers") == word;
        if wanted && of(name).is_empty() {
            let text = format!("expected {name}, found none: the contract covers {word}");
            return Err((name, Refusal::new(text)));
        }
        if !wanted && !of(name).is_empty() {
            let hint = Some(format!("leave {name} empty, or write {word} under covers"));
            let text = format!("expected no {name}: the contract covers {}", of("covers"));
            return Err((name, Refusal { text, hint }));
        }
    }
    Ok(())
}
