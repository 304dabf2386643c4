//! A profile's text while it is not needed: shipped ones stay in the program's file, others are packed.

use std::borrow::Cow;
use std::io::{Read as _, Write as _};

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;

/// Largest profile file.
pub(super) const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024;

/// One profile's text.
#[derive(Debug)]
pub(super) struct Text {
    file: Box<str>,
    kept: Kept,
}

#[derive(Debug)]
enum Kept {
    /// In the program's file, which is read when it is needed.
    Shipped(&'static str),
    /// What a directory held at the start: the file may be another one by now.
    Packed(Box<[u8]>),
    /// What could not be packed.
    Plain(Box<str>),
}

impl Text {
    /// Of a shipped profile.
    pub(super) fn built_in(name: &str, text: &'static str) -> Self {
        Text { file: format!("built-in {name}.yaml").into(), kept: Kept::Shipped(text) }
    }

    /// Of a file.
    pub(super) fn own(file: String, text: &str) -> Self {
        let kept = pack(text).map_or_else(|_| Kept::Plain(text.into()), Kept::Packed);
        Text { file: file.into(), kept }
    }

    /// Whether the other one is the same.
    pub(super) fn says_as(&self, other: &Text) -> bool {
        match (&self.kept, &other.kept) {
            (Kept::Shipped(one), Kept::Shipped(other)) => std::ptr::eq(*one, *other),
            _ => self.read() == other.read(),
        }
    }

    /// The file, for messages.
    pub(super) fn file(&self) -> &str {
        &self.file
    }

    /// The text.
    pub(super) fn read(&self) -> Cow<'_, str> {
        match &self.kept {
            Kept::Shipped(text) => Cow::Borrowed(text),
            Kept::Plain(text) => Cow::Borrowed(text),
            Kept::Packed(packed) => {
                let mut text = String::new();
                // We packed it ourselves: this cannot fail.
                let _ =
                    DeflateDecoder::new(&**packed).take(MAX_FILE_BYTES).read_to_string(&mut text);
                Cow::Owned(text)
            }
        }
    }
}

fn pack(text: &str) -> std::io::Result<Box<[u8]>> {
    let mut packer = DeflateEncoder::new(Vec::new(), Compression::default());
    packer.write_all(text.as_bytes())?;
    Ok(packer.finish()?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_is_read_as_it_was() {
        let words = "metrics: [{ symbol: { OID: 1.3.6.1, name: 风扇 } }]\n".repeat(200);
        let text = Text::own("a.yaml".to_owned(), &words);
        assert_eq!(text.read(), words);
        let Kept::Packed(packed) = &text.kept else { panic!("not packed") };
        assert!(packed.len() * 20 < words.len(), "{} bytes", packed.len());
    }
}
