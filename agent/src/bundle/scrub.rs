//! A text file on its way into a bundle: line by line through the redaction, in bounded memory.
//!
//! A line longer than [`WINDOW`] is looked at in windows that overlap by [`OVERLAP`], so that a secret is
//! found whole wherever a window ends; of one that is longer still, everything is hidden up to the next
//! mark that ends a word.

use std::sync::Arc;

use crate::redact::{Blocks, HIDDEN, Redactor, Span};

/// A longer line is looked at in parts, bytes.
const WINDOW: usize = 24 * 1024;
/// What of a part is looked at again with the next one, bytes.
const OVERLAP: usize = 8 * 1024;
/// So many bytes that are no UTF-8 are taken in any file, and one in [`SPARSE`] beyond.
const STRAY: u64 = 8;
const SPARSE: u64 = 1024;

/// Why a file is no text that can be redacted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoText {
    /// Texts have none.
    #[error("byte {0} is NUL: this is no text")]
    Nul(u64),
    /// Words of another encoding would not be known as secrets.
    #[error(
        "it is no UTF-8 text ({0} places, the first at byte {1}); if it is text, convert it, for \
             instance with iconv -f GB18030 -t UTF-8"
    )]
    Encoding(u64, u64),
}

/// Redacts one text.
pub struct Scrubber<'r> {
    redactor: &'r Redactor,
    blocks: Blocks,
    stream: Arc<str>,
    /// The present line, or its end; what of it was handed out already comes first.
    line: String,
    done: usize,
    /// Bytes of a character that is not whole yet.
    rest: Vec<u8>,
    /// Inside a secret that is longer than a window.
    hiding: bool,
    taken: u64,
    strays: (u64, u64),
}

impl<'r> Scrubber<'r> {
    /// For one text.
    pub fn new(redactor: &'r Redactor) -> Self {
        Scrubber {
            redactor,
            blocks: Blocks::default(),
            stream: "file".into(),
            line: String::new(),
            done: 0,
            rest: Vec::new(),
            hiding: false,
            taken: 0,
            strays: (0, 0),
        }
    }

    /// Places that were no UTF-8 and became U+FFFD.
    pub fn strays(&self) -> u64 {
        self.strays.0
    }

    /// More of the text; what can leave of it is appended to `out`.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), NoText> {
        if let Some(at) = bytes.iter().position(|byte| *byte == 0) {
            return Err(NoText::Nul(self.taken + at as u64));
        }
        let mut first = true;
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let begin = self.taken;
            self.taken += part.len() as u64;
            let rest = std::mem::take(&mut self.rest);
            if rest.is_empty() || !first {
                self.take(part, begin, out);
            } else {
                self.take(&[&rest, part].concat(), begin - rest.len() as u64, out);
            }
            first = false;
            let allowed = STRAY + self.taken / SPARSE;
            if self.strays.0 > allowed {
                return Err(NoText::Encoding(self.strays.0, self.strays.1));
            }
        }
        Ok(())
    }

    /// The end of the text.
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), NoText> {
        if !self.rest.is_empty() {
            self.stray(self.taken - self.rest.len() as u64);
            self.rest.clear();
        }
        if self.strays.0 > STRAY + self.taken / SPARSE {
            return Err(NoText::Encoding(self.strays.0, self.strays.1));
        }
        self.end_line(out);
        Ok(())
    }

    fn stray(&mut self, at: u64) {
        if self.strays.0 == 0 {
            self.strays.1 = at;
        }
        self.strays.0 += 1;
        self.line.push('\u{fffd}');
    }

    /// At most one line of it.
    fn take(&mut self, bytes: &[u8], begin: u64, out: &mut Vec<u8>) {
        let mut at = begin;
        let mut chunks = bytes.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            self.add(chunk.valid(), out);
            at += chunk.valid().len() as u64;
            let bad = chunk.invalid();
            let cut_off = std::str::from_utf8(bad).is_err_and(|e| e.error_len().is_none());
            if chunks.peek().is_none() && cut_off && !bad.is_empty() {
                self.rest = bad.to_vec();
            } else if !bad.is_empty() {
                self.stray(at);
            }
            at += bad.len() as u64;
        }
    }

    fn add(&mut self, mut text: &str, out: &mut Vec<u8>) {
        while !text.is_empty() {
            let mut cut = text.len().min(WINDOW);
            while !text.is_char_boundary(cut) {
                cut += 1;
            }
            let (head, tail) = text.split_at(cut);
            self.line.push_str(head);
            text = tail;
            if self.line.ends_with('\n') {
                self.end_line(out);
            } else if self.line.len() - self.done > WINDOW + OVERLAP {
                self.window(out);
            }
        }
    }

    fn end_line(&mut self, out: &mut Vec<u8>) {
        let whole = std::mem::take(&mut self.line);
        let text = whole.strip_suffix('\n').unwrap_or(&whole);
        let text = text.strip_suffix('\r').unwrap_or(text);
        let (done, hiding) = (std::mem::take(&mut self.done), std::mem::take(&mut self.hiding));
        if done > 0 || hiding || text.len() > WINDOW {
            let begin = if hiding { end_of_word(text, done.min(text.len())) } else { done };
            let begin = begin.min(text.len());
            let spans = self.redactor.spans(text);
            out.extend_from_slice(self.settled(text, &spans, begin..text.len()).as_bytes());
        } else if self.blocks.hides(&self.stream, &self.stream, text) {
            self.redactor.count_hidden();
            out.extend_from_slice(HIDDEN.as_bytes());
        } else {
            out.extend_from_slice(self.redactor.text(text).as_bytes());
        }
        out.extend_from_slice(whole.get(text.len()..).unwrap_or_default().as_bytes());
    }

    /// Hands out what of a long line can be.
    fn window(&mut self, out: &mut Vec<u8>) {
        if self.hiding {
            let end = end_of_word(&self.line, self.done);
            self.hiding = end == self.line.len();
            self.done = end;
        } else {
            let spans = self.redactor.spans(&self.line);
            let end = self.end_of_window(&spans);
            let told = self.settled(&self.line, &spans, self.done..end);
            out.extend_from_slice(told.as_bytes());
            // A secret up to the very end may go on.
            self.hiding = end == self.line.len();
            self.done = end;
        }
        let mut keep = self.done.saturating_sub(OVERLAP);
        while !self.line.is_char_boundary(keep) {
            keep += 1;
        }
        self.line.drain(..keep);
        self.done -= keep;
    }

    /// Before the overlap, at a blank where there is one, and not inside a secret: what is one by the
    /// look of this window is handed out with all of it.
    fn end_of_window(&self, spans: &[Span]) -> usize {
        let mut end = self.line.len() - OVERLAP;
        while !self.line.is_char_boundary(end) {
            end -= 1;
        }
        let blank = self.line.get(self.done..end).and_then(|text| text.rfind([' ', '\t']));
        if let Some(blank) = blank.filter(|blank| *blank > 0) {
            end = self.done + blank;
        }
        match spans.iter().find(|span| span.range.start < end && end < span.range.end) {
            Some(span) if span.range.start > self.done => span.range.start,
            Some(span) => span.range.end,
            None => end,
        }
    }

    /// Again until nothing more is found, as in [`Redactor::text`].
    fn settled(&self, raw: &str, spans: &[Span], range: std::ops::Range<usize>) -> String {
        let mut text = self.redactor.slice(raw, spans, range).into_owned();
        for _ in 0..8 {
            let more = self.redactor.spans(&text);
            if more.is_empty() {
                break;
            }
            text = self.redactor.slice(&text, &more, 0..text.len()).into_owned();
        }
        text
    }
}

/// The first mark from `from` on that ends a word; the text's end where there is none.
fn end_of_word(text: &str, from: usize) -> usize {
    let ends = |c: char| c.is_whitespace() || "\"',;<>&(){}[]".contains(c);
    let rest = text.get(from..).unwrap_or_default();
    rest.find(ends).map_or(text.len(), |at| from + at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn scrubbed(bytes: &[u8], step: usize) -> Result<Vec<u8>, NoText> {
        let redactor = Redactor::default();
        let (mut scrubber, mut out) = (Scrubber::new(&redactor), Vec::new());
        for piece in bytes.chunks(step.max(1)) {
            scrubber.push(piece, &mut out)?;
        }
        scrubber.finish(&mut out)?;
        Ok(out)
    }

    fn text(bytes: &[u8], step: usize) -> String {
        String::from_utf8(scrubbed(bytes, step).unwrap()).unwrap()
    }

    #[test]
    fn ordinary_lines_as_everything_else() {
        let raw = "disk 3 failed\r\nsnmp community public99x ok\nusername admin password Hunter2!x\n\
                   -----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA7bq0\n-----END RSA PRIVATE KEY-----\nlast";
        for step in [1, 7, 1000] {
            let told = text(raw.as_bytes(), step);
            assert!(
                !told.contains("Hunter2!x") && !told.contains("MIIEpAIBAAKCAQEA7bq0"),
                "{told}"
            );
            assert!(told.starts_with("disk 3 failed\r\n") && told.ends_with("\nlast"), "{told}");
        }
    }

    #[test]
    fn what_is_no_text_is_refused() {
        assert_eq!(scrubbed(b"ab\0c", 2), Err(NoText::Nul(2)));
        let gbk = [0xc3, 0xdc, 0xc2, 0xeb, b':', b'x', b'\n'].repeat(20);
        assert!(matches!(scrubbed(&gbk, 5), Err(NoText::Encoding(_, 0))));
        // Noise on a console is no reason to refuse its log.
        assert_eq!(text(b"a\xffb\n\xe4\xb8\xad", 2), "a\u{fffd}b\n\u{4e2d}");
        assert_eq!(text(b"end \xe4\xb8", 3), "end \u{fffd}");
    }

    #[test]
    fn a_secret_longer_than_any_window_leaves_nothing() {
        let secret = "Zq7".repeat(60_000);
        let raw = format!("{} password={secret} after\nnext\n", "x ".repeat(20_000));
        let told = text(raw.as_bytes(), 4096);
        assert!(!told.contains("Zq7Zq7"), "{} bytes", told.len());
        assert!(told.ends_with(" after\nnext\n"), "{:?}", told.get(told.len() - 40..));
    }

    fn filler(len: usize, blanks: bool) -> String {
        let word = if blanks { "fan 3 ok; " } else { "{fan:3}," };
        word.repeat(len / word.len() + 1).chars().take(len).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
        #[test]
        fn prop_a_secret_in_a_long_line_never_leaves(
            before in 0usize..90_000, after in 0usize..60_000, blanks: bool, step in 500usize..70_000,
            spaces in 1usize..3
        ) {
            let (a, b) = (filler(before, blanks), filler(after, blanks));
            let gap = " ".repeat(spaces);
            let raw = format!("{a} password:{gap}Tr0ub4dor {b}\n");
            let told = text(raw.as_bytes(), step);
            prop_assert!(!told.contains("Tr0ub4dor"));
            prop_assert!(told.contains("[redacted:"));
            let kept = told.replace("[redacted:password]", "Tr0ub4dor");
            prop_assert_eq!(kept.len(), raw.len());
        }

        #[test]
        fn prop_what_holds_no_secret_is_not_changed(
            len in 0usize..120_000, blanks: bool, step in 1usize..70_000, lines in 0usize..4
        ) {
            let mut raw = filler(len, blanks);
            for line in 0..lines {
                raw.push_str(&format!("\r\nline {line} \u{98ce}\u{6247}\n"));
            }
            prop_assert_eq!(text(raw.as_bytes(), step.max(1 + raw.len() / 2000)), raw);
        }

        #[test]
        fn no_bytes_panic_and_panics_never(bytes: Vec<u8>, text in "\\PC{0,200}", step in 1usize..40) {
            let _ = scrubbed(&bytes, step);
            let _ = scrubbed(text.as_bytes(), step);
        }
    }
}
