//! Bytes of a file → lines. Pure; the same whatever way the bytes are cut into reads.

use callhome_shared::limits::cut;

/// Memory kept for the next line after a long one.
const KEEP_BYTES: usize = 16 * 1024;

/// One line, without its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FileLine {
    /// Lossy UTF-8.
    pub text: String,
    /// Whether it was cut at the limit.
    pub truncated: bool,
}

/// The line that is not complete yet. Holds at most `max` bytes of it.
#[derive(Debug)]
pub(super) struct Splitter {
    max: usize,
    partial: Vec<u8>,
    truncated: bool,
}

impl Splitter {
    pub(super) fn new(max: usize) -> Self {
        Splitter { max: max.max(1), partial: Vec::new(), truncated: false }
    }

    /// Takes bytes up to the first end of line, all of them if there is none. Says how many it took
    /// and the line that they complete.
    pub(super) fn push(&mut self, bytes: &[u8]) -> (usize, Option<FileLine>) {
        match bytes.iter().position(|b| *b == b'\n') {
            Some(end) => {
                self.add(bytes.get(..end).unwrap_or_default());
                (end + 1, Some(self.take()))
            }
            None => {
                self.add(bytes);
                (bytes.len(), None)
            }
        }
    }

    /// Sends one line through, beside what stands there incomplete. Says whether it came out whole.
    pub(super) fn prove(&mut self, text: &str) -> bool {
        let line = Splitter::new(self.max);
        let interrupted = std::mem::replace(self, line);
        self.push(text.as_bytes());
        let (_, came) = self.push(b"\n");
        *self = interrupted;
        came.is_some_and(|line| line.text == text && !line.truncated)
    }

    /// The line that a finished file leaves without an end.
    pub(super) fn finish(&mut self) -> Option<FileLine> {
        let line = self.take();
        (!line.text.is_empty()).then_some(line)
    }

    fn add(&mut self, bytes: &[u8]) {
        // NULs are what a writer that does not append leaves before its offset after a truncation:
        // they must not use up the line's limit.
        for piece in bytes.split(|b| *b == 0) {
            let room = self.max - self.partial.len();
            self.truncated |= piece.len() > room;
            self.partial.extend_from_slice(piece.get(..room).unwrap_or(piece));
        }
    }

    fn take(&mut self) -> FileLine {
        let bytes = if self.truncated {
            self.partial.as_slice()
        } else {
            self.partial.strip_suffix(b"\r").unwrap_or(&self.partial)
        };
        let mut text = String::from_utf8_lossy(bytes).into_owned();
        // A replaced byte takes three.
        let truncated = cut(&mut text, self.max) || self.truncated;
        self.partial.clear();
        self.partial.shrink_to(KEEP_BYTES);
        self.truncated = false;
        FileLine { text, truncated }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split(max: usize, chunks: &[&[u8]]) -> Vec<(String, bool)> {
        let mut splitter = Splitter::new(max);
        let mut lines = Vec::new();
        for chunk in chunks {
            let mut rest = *chunk;
            while !rest.is_empty() {
                let (took, line) = splitter.push(rest);
                lines.extend(line.map(|l| (l.text, l.truncated)));
                rest = &rest[took..];
            }
        }
        lines.extend(splitter.finish().map(|l| (l.text, l.truncated)));
        lines
    }

    #[test]
    fn ends_nuls_other_encodings_and_the_limit() {
        let got = split(5, &[b"one\r\ntwo\n\0\0\0\0\0\0\0\0three\nsix666666\r\n\xff\xfe\nrest"]);
        let want = [
            ("one", false),
            ("two", false),
            ("three", false),
            ("six66", true),
            ("\u{fffd}", true),
            ("rest", false),
        ];
        assert_eq!(got, want.map(|(text, cut)| (text.to_owned(), cut)));
    }

    #[test]
    fn a_probe_comes_through_and_disturbs_nothing() {
        let probe = "callhome-probe 00000000-0000-0000-0000-000000000001";
        let mut splitter = Splitter::new(80);
        assert_eq!(splitter.push(b"PSU 2 fai"), (9, None));
        assert!(splitter.prove(probe));
        let (took, line) = splitter.push(b"led\n");
        assert_eq!((took, line.unwrap().text.as_str()), (4, "PSU 2 failed"));
        assert!(!Splitter::new(20).prove(probe), "cut at the limit");
    }

    proptest! {
        #[test]
        fn prop_chunking_makes_no_difference(
            input in proptest::collection::vec(
                prop_oneof![4 => any::<u8>(), 1 => Just(b'\n'), 1 => Just(b'\r'), 1 => Just(0)],
                0..400),
            cuts in proptest::collection::vec(0usize..400, 0..20), max in 1usize..40)
        {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(input.len())).collect();
            cuts.extend([0, input.len()]);
            cuts.sort_unstable();
            let chunks: Vec<&[u8]> = cuts.windows(2).map(|w| &input[w[0]..w[1]]).collect();
            prop_assert_eq!(split(max, &chunks), split(max, &[&input]));
        }
    }
}
