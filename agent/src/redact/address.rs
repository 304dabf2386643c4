//! Addresses in a text: IPv4, IPv6, MAC. Written by hand: one pass over the text, no look-around.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use super::pseudonym::Kind;

/// Longest run that can be one address.
const LONGEST: usize = 50;

/// Calls `found` with each address's place, kind and canonical form.
pub(super) fn find(text: &str, mut found: impl FnMut(Range<usize>, Kind, String)) {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if !begins(bytes, at) {
            at += 1;
            continue;
        }
        let start = at;
        while bytes.get(at).is_some_and(|b| in_run(*b)) {
            at += 1;
        }
        run(text, start..at, &mut found);
    }
}

fn in_run(byte: u8) -> bool {
    byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.' | b'-')
}

/// A run begins where none of its characters stands before, nor a letter. The letter of an escape
/// (`\n10.0.0.1` in a JSON log) does not count.
fn begins(bytes: &[u8], at: usize) -> bool {
    if !bytes.get(at).is_some_and(|b| in_run(*b)) {
        return false;
    }
    let Some(before) = at.checked_sub(1) else { return true };
    let letter = bytes.get(before).is_some_and(u8::is_ascii_alphanumeric);
    let escape = before.checked_sub(1).and_then(|at| bytes.get(at)) == Some(&b'\\');
    !letter || escape || !bytes.get(at).is_some_and(u8::is_ascii_hexdigit)
}

/// Looks for addresses in a run of hexadecimal digits, colons, dots and dashes.
fn run(text: &str, range: Range<usize>, found: &mut impl FnMut(Range<usize>, Kind, String)) {
    let Some(all) = text.get(range.clone()) else { return };
    let whole = trimmed(text, range.clone());
    if let Some(mac) = text.get(whole.clone()).and_then(mac)
        && !goes_on(text, whole.end)
    {
        return found(whole, Kind::Mac, mac);
    }
    // A run that hangs on a word: `v1.2.3.4.5`, `std::deed`.
    let hangs = range.start.checked_sub(1).and_then(|at| text.as_bytes().get(at));
    let hangs = hangs.is_some_and(u8::is_ascii_alphanumeric) && all.starts_with(['.', ':']);
    let mut start = 0;
    for end in all.match_indices('-').map(|(at, _)| at).chain([all.len()]) {
        let part = range.start + start..range.start + end;
        let hangs = hangs && start == 0;
        if !(hangs && all.starts_with("::")) {
            piece(text, part, hangs && all.starts_with('.'), found);
        }
        start = end + 1;
    }
}

/// Looks for addresses in what stands between dashes. `hangs`: its first part belongs to a word.
fn piece(
    text: &str,
    range: Range<usize>,
    hangs: bool,
    found: &mut impl FnMut(Range<usize>, Kind, String),
) {
    let whole = trimmed(text, range.clone());
    let inner = text.get(whole.clone()).unwrap_or_default();
    if !hangs && inner.len() <= LONGEST && !goes_on(text, whole.end) {
        if let Some(mac) = mac(inner) {
            return found(whole, Kind::Mac, mac);
        }
        if let Some((inside, address)) = ipv6(inner) {
            let place = whole.start + inside.start..whole.start + inside.end;
            return match address.to_ipv4_mapped() {
                Some(v4) => found(place, Kind::Ipv6, v4.to_string()),
                None => found(place, Kind::Ipv6, address.to_string()),
            };
        }
    }
    let all = text.get(range.clone()).unwrap_or_default();
    let mut start = 0;
    for end in all.match_indices(':').map(|(at, _)| at).chain([all.len()]) {
        let place = trimmed(text, range.start + start..range.start + end);
        let part = text.get(place.clone()).unwrap_or_default();
        if hangs && start == 0 {
            // Belongs to the word before.
        } else if let Some(address) = ipv4(part) {
            found(place, Kind::Ipv4, address.to_string());
        } else if let Some(mac) = mac(part)
            && !goes_on(text, place.end)
        {
            found(place, Kind::Mac, mac);
        }
        start = end + 1;
    }
}

/// Without dots and dashes of the sentence around it.
fn trimmed(text: &str, range: Range<usize>) -> Range<usize> {
    let all = text.get(range.clone()).unwrap_or_default();
    let behind = all.trim_start_matches(['-', '.']);
    let inner = behind.trim_end_matches(['-', '.']);
    let start = range.start + all.len() - behind.len();
    start..start + inner.len()
}

/// Whether a letter follows: `dead::beefy` is no address.
fn goes_on(text: &str, at: usize) -> bool {
    text.as_bytes().get(at).is_some_and(u8::is_ascii_alphanumeric)
}

/// Four decimals up to 255; leading zeros are allowed, as some devices write them.
fn ipv4(text: &str) -> Option<Ipv4Addr> {
    let mut octets = [0u8; 4];
    let mut parts = text.split('.');
    for octet in &mut octets {
        let part = parts.next()?;
        if part.is_empty() || part.len() > 3 || !part.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        *octet = part.parse().ok()?;
    }
    parts.next().is_none().then(|| Ipv4Addr::from(octets))
}

/// An IPv6 address, perhaps with a colon of the sentence around it.
fn ipv6(text: &str) -> Option<(Range<usize>, Ipv6Addr)> {
    if text.bytes().filter(|b| *b == b':').count() < 2 {
        return None;
    }
    let end = text.len();
    let inner = end.saturating_sub(1);
    for range in [0..end, 0..inner, 1.min(end)..end, 1.min(inner)..inner] {
        let candidate = text.get(range.clone()).unwrap_or_default();
        if let Ok(address) = candidate.parse::<Ipv6Addr>()
            && !address.is_unspecified()
        {
            return Some((range, address));
        }
    }
    None
}

/// `xx:xx:xx:xx:xx:xx` (also with dashes, also eight pairs: EUI-64 and world-wide names),
/// `xxxx.xxxx.xxxx`, `xxxx-xxxx-xxxx`. Canonical: the digits alone.
fn mac(text: &str) -> Option<String> {
    for (separator, width, groups) in
        [(':', 2, 6), ('-', 2, 6), (':', 2, 8), ('-', 2, 8), ('.', 4, 3), ('-', 4, 3)]
    {
        if text.len() != groups * (width + 1) - 1 {
            continue;
        }
        let mut parts = text.split(separator);
        let fits = |part: &str| part.len() == width && part.bytes().all(|b| b.is_ascii_hexdigit());
        if parts.clone().count() == groups && parts.all(fits) {
            let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
            return Some(digits.to_ascii_lowercase());
        }
    }
    None
}
