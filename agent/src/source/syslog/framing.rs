//! Bytes of a connection → messages (RFC 6587). Pure; the same whatever way the bytes are cut.
//!
//! Octet counting (`123 <34>…`) or an end of line, told apart by the first bytes of the connection: only
//! a number, a space and a `<` begin a counted message.

/// Digits of the longest length that is believed: 99,999,999 bytes.
const MAX_DIGITS: usize = 8;

/// One message as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    /// Its bytes, without frame.
    pub bytes: Vec<u8>,
    /// Whether it was cut at the limit.
    pub truncated: bool,
}

/// Octet counting was begun and what follows is none: where a message begins is not known any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a length and a space before a message (RFC 6587), found something else")]
pub(super) struct Unframed;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The first bytes are looked at.
    Begin,
    /// Octet counting: a length is read.
    Length,
    /// Octet counting: so many bytes are missing.
    Body(usize),
    /// Messages end with LF or NUL.
    Lines,
}

/// Puts messages together. Holds at most one of `max` bytes.
#[derive(Debug)]
pub(super) struct Framer {
    max: usize,
    state: State,
    partial: Vec<u8>,
    truncated: bool,
}

impl Framer {
    pub(super) fn new(max: usize) -> Self {
        Framer { max: max.max(1), state: State::Begin, partial: Vec::new(), truncated: false }
    }

    /// Takes bytes, gives each message that they complete to `found`.
    pub(super) fn push(
        &mut self,
        bytes: &[u8],
        found: &mut impl FnMut(Frame),
    ) -> Result<(), Unframed> {
        let mut rest = bytes;
        while let Some((&byte, behind)) = rest.split_first() {
            match self.state {
                State::Begin => {
                    rest = behind;
                    self.begin(byte, found);
                }
                State::Length => {
                    rest = behind;
                    self.length(byte)?;
                }
                State::Body(missing) => {
                    let (part, behind) = rest.split_at(missing.min(rest.len()));
                    rest = behind;
                    self.add(part);
                    self.state = State::Body(missing - part.len());
                    if missing == part.len() {
                        self.state = State::Length;
                        self.end(found);
                    }
                }
                State::Lines => {
                    let end = rest.iter().position(|b| matches!(b, b'\n' | 0));
                    let (line, behind) = rest.split_at(end.unwrap_or(rest.len()));
                    rest = behind.get(1..).unwrap_or_default();
                    self.add(line);
                    if end.is_some() {
                        self.end(found);
                    }
                }
            }
        }
        Ok(())
    }

    /// The connection has ended: a line without its end is one; half a counted message is one, cut.
    pub(super) fn finish(&mut self, found: &mut impl FnMut(Frame)) {
        match self.state {
            State::Length => self.partial.clear(),
            State::Body(_) => {
                self.truncated = true;
                self.end(found);
            }
            State::Begin | State::Lines => self.end(found),
        }
    }

    /// Whether part of a message is held.
    pub(super) fn has_partial(&self) -> bool {
        !self.partial.is_empty()
    }

    /// `123 <` is octet counting; anything else is the beginning of a line.
    fn begin(&mut self, byte: u8, found: &mut impl FnMut(Frame)) {
        self.partial.push(byte);
        let digits = self.partial.iter().take_while(|b| b.is_ascii_digit()).count();
        match self.partial.get(digits..) {
            Some([] | [b' ']) if (1..=MAX_DIGITS).contains(&digits) => {}
            Some([b' ', b'<']) if digits > 0 => {
                let counted = std::mem::take(&mut self.partial);
                self.state = State::Length;
                // Looked at already: a length cannot be wrong here, and its body is begun below.
                for byte in counted.into_iter().take(digits + 1) {
                    let _ = self.length(byte);
                }
                let State::Body(missing) = self.state else { return };
                self.partial.push(b'<');
                self.state = State::Body(missing.saturating_sub(1));
                if missing <= 1 {
                    self.state = State::Length;
                    self.end(found);
                }
            }
            _ => {
                let line = std::mem::take(&mut self.partial);
                self.state = State::Lines;
                // Lines cannot fail.
                let _ = self.push(&line, found);
            }
        }
    }

    fn length(&mut self, byte: u8) -> Result<(), Unframed> {
        match byte {
            b'0'..=b'9' if self.partial.len() < MAX_DIGITS => self.partial.push(byte),
            // Some senders end a counted message with a line feed that they did not count.
            b'\n' | b'\r' | 0 if self.partial.is_empty() => {}
            b' ' if !self.partial.is_empty() => {
                let length = std::mem::take(&mut self.partial);
                let length = length.iter().fold(0, |n, d| n * 10 + usize::from(d - b'0'));
                self.state = if length == 0 { State::Length } else { State::Body(length) };
            }
            _ => return Err(Unframed),
        }
        Ok(())
    }

    fn add(&mut self, part: &[u8]) {
        let room = self.max.saturating_sub(self.partial.len());
        self.truncated |= part.len() > room;
        self.partial.extend_from_slice(part.get(..room.min(part.len())).unwrap_or_default());
    }

    fn end(&mut self, found: &mut impl FnMut(Frame)) {
        let mut bytes = std::mem::take(&mut self.partial);
        let truncated = std::mem::take(&mut self.truncated);
        while matches!(bytes.last(), Some(b'\n' | b'\r' | 0)) {
            bytes.pop();
        }
        if !bytes.is_empty() {
            found(Frame { bytes, truncated });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Told = (Vec<(String, bool)>, bool);

    fn split(max: usize, chunks: &[&[u8]]) -> Told {
        let mut framer = Framer::new(max);
        let mut out = Vec::new();
        let mut found =
            |f: Frame| out.push((String::from_utf8_lossy(&f.bytes).into_owned(), f.truncated));
        let mut good = true;
        for chunk in chunks {
            good = good && framer.push(chunk, &mut found).is_ok();
        }
        if good {
            framer.finish(&mut found);
        }
        (out, good)
    }

    fn texts(input: &[u8]) -> Vec<String> {
        split(100, &[input]).0.into_iter().map(|(text, _)| text).collect()
    }

    #[test]
    fn both_framings_are_told_apart() {
        assert_eq!(texts(b"<34>a\n<34>b\r\n\n<34>c"), ["<34>a", "<34>b", "<34>c"]);
        assert_eq!(texts(b"5 <34>a6 <34>b\n6 <34>cd"), ["<34>a", "<34>b", "<34>cd"]);
        assert_eq!(
            texts(b"10 <34>a\nb\ncx"),
            ["<34>a\nb\ncx"],
            "a counted one may hold ends of line"
        );
        assert_eq!(
            texts(b"5 <34>a\n5 <34>b\n"),
            ["<34>a", "<34>b"],
            "line feeds that were not counted"
        );
        assert_eq!(texts(b"123: Jan 1: %X\n45 y\n"), ["123: Jan 1: %X", "45 y"], "no priority");
        assert_eq!(texts(b"<34>a\0<34>b\0"), ["<34>a", "<34>b"]);
        assert_eq!(texts(b"12"), ["12"]);
        assert_eq!(texts(b"20 <34>half"), ["<34>half"]);
        assert!(split(100, &[b"20 <34>half"]).0[0].1, "it is marked as cut");
        assert_eq!(split(100, &[b"5 <34>a<34>b\n"]), (vec![("<34>a".into(), false)], false));
    }

    #[test]
    fn too_long_is_cut_and_its_rest_skipped() {
        let cut = |t: &str| (t.to_owned(), true);
        let whole = |t: &str| (t.to_owned(), false);
        assert_eq!(split(6, &[b"<34>abcdef\n<34>x\n"]).0, [cut("<34>ab"), whole("<34>x")]);
        assert_eq!(split(6, &[b"10 <34>abcdef5 <34>x"]).0, [cut("<34>ab"), whole("<34>x")]);
    }

    proptest! {
        #[test]
        fn prop_chunking_makes_no_difference(
            input in proptest::collection::vec(prop_oneof![
                2 => any::<u8>(), 2 => Just(b'\n'), 2 => Just(b' '), 2 => Just(b'<'), 3 => b'0'..=b'9'], 0..200),
            cuts in proptest::collection::vec(0usize..200, 0..20), max in 1usize..40)
        {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(input.len())).collect();
            cuts.extend([0, input.len()]);
            cuts.sort_unstable();
            let chunks: Vec<&[u8]> = cuts.windows(2).map(|w| &input[w[0]..w[1]]).collect();
            let whole = split(max, &[&input]);
            prop_assert_eq!(&split(max, &chunks), &whole);
            for (text, _) in whole.0 {
                prop_assert!(!text.is_empty());
            }
        }

        #[test]
        fn prop_what_is_framed_comes_out(
            bodies in proptest::collection::vec("<[0-9]{1,3}>[a-z \n]{0,30}[a-z]", 1..10), counted: bool)
        {
            let mut sent = Vec::new();
            let mut expected = Vec::new();
            for body in bodies {
                let body = if counted { body } else { body.replace('\n', " ") };
                let framed = match counted {
                    true => format!("{} {body}", body.len()),
                    false => format!("{body}\n"),
                };
                sent.extend_from_slice(framed.as_bytes());
                expected.push((body, false));
            }
            prop_assert_eq!(split(8192, &[&sent]), (expected, true));
        }
    }
}
