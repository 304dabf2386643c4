//! Names: hosts in configured domains, and configured devices.

use std::ops::Range;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

/// Names of devices, found whatever their capitals.
#[derive(Debug, Default)]
pub(super) struct Names {
    names: Vec<String>,
    search: Option<AhoCorasick>,
}

impl Names {
    pub(super) fn new(names: &[String]) -> Self {
        let names: Vec<String> = names.iter().filter(|name| !name.is_empty()).cloned().collect();
        if names.is_empty() {
            return Names::default();
        }
        let search = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .match_kind(MatchKind::LeftmostLongest)
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .build(&names)
            .ok();
        Names { names, search }
    }

    /// Every whole word that is a device's name, with the name as configured.
    pub(super) fn find(&self, text: &str, mut found: impl FnMut(Range<usize>, &str)) {
        let Some(search) = &self.search else { return };
        for hit in search.find_iter(text) {
            let range = hit.start()..hit.end();
            if stands_alone(text, &range)
                && let Some(name) = self.names.get(hit.pattern().as_usize())
            {
                found(range, name);
            }
        }
    }
}

/// `sw-1` is not in `sw-10`, nor in `my-sw-1`.
fn stands_alone(text: &str, range: &Range<usize>) -> bool {
    let word = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    let bytes = text.as_bytes();
    let before = range.start.checked_sub(1).and_then(|at| bytes.get(at));
    !before.is_some_and(word) && !bytes.get(range.end).is_some_and(word)
}

/// Every host name in one of the `domains`, and the domains themselves. All in small letters.
pub(super) fn hosts(low: &str, domains: &[String], mut found: impl FnMut(Range<usize>)) {
    let bytes = low.as_bytes();
    let label = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    for domain in domains {
        // Never look twice at what a hit has covered: that keeps it linear.
        let mut covered = 0;
        for (at, _) in low.match_indices(domain.as_str()) {
            let end = at + domain.len();
            let longer = match (bytes.get(end), bytes.get(end + 1)) {
                (Some(b'.'), Some(next)) => label(*next),
                (Some(next), _) => label(*next),
                (None, _) => false,
            };
            let before = at.checked_sub(1).and_then(|at| bytes.get(at)).copied();
            if longer || before.is_some_and(label) {
                continue;
            }
            let mut start = at;
            while start > covered && bytes.get(start - 1).is_some_and(|b| label(*b) || *b == b'.') {
                start -= 1;
            }
            while start < at && bytes.get(start) == Some(&b'.') {
                start += 1;
            }
            covered = end;
            found(start..end);
        }
    }
}
