//! Bytes of a console → lines. Pure; the same whatever way the bytes are cut into reads.

/// Longest escape sequence that is taken for one: beyond it the console sent garbage, not an escape.
const MAX_ESCAPE_BYTES: usize = 256;
/// Cancel and substitute abort an escape sequence.
const CAN: u8 = 0x18;
const SUB: u8 = 0x1a;
const ESC: u8 = 0x1b;
const BEL: u8 = 0x07;
const BACKSPACE: u8 = 0x08;

/// One line, without its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ConsoleLine {
    /// Lossy UTF-8, without escape sequences and control characters; never empty.
    pub text: String,
    /// Whether it was cut at the limit.
    pub truncated: bool,
}

/// Where in an escape sequence (ECMA-48) the last byte was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Escape {
    No,
    /// After ESC; intermediate bytes (0x20 to 0x2f) stay here.
    Start,
    /// `ESC [` … final byte.
    Control,
    /// `ESC ]`, `ESC P` and their like, until BEL or `ESC \`.
    Text,
    /// ESC inside of such a text.
    TextEnd,
}

/// Puts lines together. Holds at most one line of `max` bytes.
#[derive(Debug)]
pub(super) struct Lines {
    max: usize,
    partial: Vec<u8>,
    escape: Escape,
    escape_bytes: usize,
    /// The line was handed out at its limit: the rest of it is skipped.
    skipping: bool,
    skipped_bytes: u64,
}

impl Lines {
    pub(super) fn new(max: usize) -> Self {
        Lines {
            max: max.max(1),
            partial: Vec::new(),
            escape: Escape::No,
            escape_bytes: 0,
            skipping: false,
            skipped_bytes: 0,
        }
    }

    /// Takes bytes, gives each line that they complete to `found`.
    pub(super) fn push(&mut self, bytes: &[u8], found: &mut impl FnMut(ConsoleLine)) {
        for &byte in bytes {
            if self.inside_escape(byte) {
                continue;
            }
            match byte {
                b'\r' | b'\n' => {
                    self.skipping = false;
                    self.flush(found);
                }
                // The terminal would show the characters before it replaced ("--More--" and its removal).
                BACKSPACE => while self.partial.pop().is_some_and(|b| b & 0xc0 == 0x80) {},
                b'\t' => self.add(byte, found),
                0x00..=0x1f | 0x7f => {}
                _ => self.add(byte, found),
            }
        }
    }

    /// Sends one line through, beside whatever stands there incomplete. Says whether it came out whole.
    pub(super) fn prove(&mut self, text: &str) -> bool {
        let line = Lines::new(self.max);
        let interrupted = std::mem::replace(self, line);
        let mut came = Vec::new();
        self.push(text.as_bytes(), &mut |line| came.push(line));
        self.push(b"\n", &mut |line| came.push(line));
        *self = interrupted;
        matches!(came.as_slice(), [line] if line.text == text && !line.truncated)
    }

    /// Hands out what stands there without an end of line: a prompt.
    pub(super) fn flush(&mut self, found: &mut impl FnMut(ConsoleLine)) {
        self.take(false, found);
    }

    /// Whether [`Lines::flush`] would hand out something.
    pub(super) fn has_partial(&self) -> bool {
        !self.partial.is_empty()
    }

    /// Bytes skipped behind lines that were cut, ever.
    pub(super) fn skipped_bytes(&self) -> u64 {
        self.skipped_bytes
    }

    fn add(&mut self, byte: u8, found: &mut impl FnMut(ConsoleLine)) {
        if self.skipping {
            self.skipped_bytes += 1;
            return;
        }
        if self.partial.len() == self.max {
            // More than the limit: what fits goes out at once, a line without end must not wait.
            self.take(true, found);
            self.skipping = true;
            self.skipped_bytes += 1;
            return;
        }
        self.partial.push(byte);
    }

    fn take(&mut self, truncated: bool, found: &mut impl FnMut(ConsoleLine)) {
        if !self.partial.is_empty() {
            let text = String::from_utf8_lossy(&self.partial).into_owned();
            self.partial.clear();
            found(ConsoleLine { text, truncated });
        }
    }

    /// Whether the byte belongs to an escape sequence.
    fn inside_escape(&mut self, byte: u8) -> bool {
        if self.escape == Escape::No {
            if byte == ESC {
                self.escape = Escape::Start;
                self.escape_bytes = 0;
            }
            return byte == ESC;
        }
        self.escape_bytes += 1;
        if matches!(byte, b'\r' | b'\n' | CAN | SUB) || self.escape_bytes > MAX_ESCAPE_BYTES {
            self.escape = Escape::No;
            return matches!(byte, CAN | SUB);
        }
        self.escape = match (self.escape, byte) {
            (Escape::Start, b'[') => Escape::Control,
            (Escape::Start, b']' | b'P' | b'X' | b'^' | b'_') => Escape::Text,
            (Escape::Start, 0x20..=0x2f) => Escape::Start,
            (Escape::Control, 0x20..=0x3f) => Escape::Control,
            (Escape::Text, ESC) => Escape::TextEnd,
            (Escape::Text, BEL) | (Escape::TextEnd, b'\\') => Escape::No,
            (Escape::Text | Escape::TextEnd, _) => Escape::Text,
            (_, ESC) => Escape::Start,
            _ => Escape::No,
        };
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split(max: usize, chunks: &[&[u8]]) -> Vec<(String, bool)> {
        let mut lines = Lines::new(max);
        let mut out = Vec::new();
        let mut found = |l: ConsoleLine| out.push((l.text, l.truncated));
        for chunk in chunks {
            lines.push(chunk, &mut found);
        }
        lines.flush(&mut found);
        out
    }

    fn texts(input: &[u8]) -> Vec<String> {
        split(100, &[input]).into_iter().map(|(text, _)| text).collect()
    }

    #[test]
    fn ends_of_line_escapes_and_controls() {
        assert_eq!(texts(b"a\r\nb\n\n\rc\rd"), ["a", "b", "c", "d"]);
        assert_eq!(texts(b"\x1b[1;31mPSU 2\x1b[0m fa\0iled\n"), ["PSU 2 failed"]);
        assert_eq!(texts(b"\x1b]0;title\x07x\x1b(B\x1b=y\n"), ["xy"]);
        assert_eq!(texts(b"\x1bPq#1\x1b\\z\n"), ["z"]);
        assert_eq!(texts(b"--More--\x08\x08\x08\x08\x08\x08\x08\x08next\n"), ["next"]);
        assert_eq!(texts("caf\u{e9}\u{8}e\n".as_bytes()), ["cafe"]);
        assert_eq!(texts(b"bad \xff byte\n"), ["bad \u{fffd} byte"]);
        assert_eq!(texts(b"\x1b[12\nline\n"), ["line"], "an end of line ends a broken escape");
    }

    #[test]
    fn an_escape_without_end_swallows_little() {
        let mut input = b"\x1b]".to_vec();
        input.extend(std::iter::repeat_n(b'x', 300));
        let text = split(1000, &[&input]).concat_texts();
        assert!(!text.is_empty() && text.len() < 100);
    }

    #[test]
    fn a_probe_comes_through_and_disturbs_nothing() {
        let probe = "callhome-probe 00000000-0000-0000-0000-000000000001";
        let mut found = Vec::new();
        let mut lines = Lines::new(80);
        lines.push(b"PSU 2 \x1b[3", &mut |l| found.push(l.text));
        assert!(lines.prove(probe));
        lines.push(b"1mfailed\r\n", &mut |l| found.push(l.text));
        assert_eq!(found, ["PSU 2 failed"]);
        assert!(!Lines::new(20).prove(probe), "cut at the limit");
    }

    trait Concat {
        fn concat_texts(self) -> String;
    }
    impl Concat for Vec<(String, bool)> {
        fn concat_texts(self) -> String {
            self.into_iter().map(|(t, _)| t).collect()
        }
    }

    #[test]
    fn a_line_over_the_limit_is_cut_once_and_its_rest_skipped() {
        let got = split(4, &[b"abcdefgh\nabcd\nx\n"]);
        let want = [("abcd", true), ("abcd", false), ("x", false)];
        assert_eq!(got, want.map(|(t, c)| (t.to_owned(), c)));
        let mut lines = Lines::new(4);
        lines.push(b"abcdefgh\n", &mut |_| ());
        assert_eq!(lines.skipped_bytes(), 4);
    }

    proptest! {
        #[test]
        fn prop_chunking_makes_no_difference(
            input in proptest::collection::vec(
                prop_oneof![4 => any::<u8>(), 1 => Just(b'\n'), 1 => Just(ESC), 1 => Just(b'[')],
                0..400),
            cuts in proptest::collection::vec(0usize..400, 0..20), max in 1usize..40)
        {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(input.len())).collect();
            cuts.extend([0, input.len()]);
            cuts.sort_unstable();
            let chunks: Vec<&[u8]> = cuts.windows(2).map(|w| &input[w[0]..w[1]]).collect();
            let whole = split(max, &[&input]);
            prop_assert_eq!(&split(max, &chunks), &whole);
            for (text, _) in whole {
                let clean = !text.contains(['\n', '\r', '\0', '\x1b']);
                prop_assert!(clean && !text.is_empty());
            }
        }
    }
}
