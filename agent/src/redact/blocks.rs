//! Private keys that come line by line, as in a log or on a console.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Lines after its beginning in which a block's body is looked for. A key of 16,384 bits has about 200.
const MAX_LINES: u32 = 300;
/// Streams that can be inside a block at once; the one that began first is given up.
const MAX_OPEN: usize = 1024;

/// The streams that are inside a private key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Blocks {
    open: BTreeMap<(Arc<str>, Arc<str>), Open>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Open {
    /// Where in its line the block began: a prefix (time, program) is as long on every line.
    column: usize,
    lines: u32,
}

impl Blocks {
    /// Takes a line of a stream (a source and what of it); says whether it is key material. Other
    /// lines that come in between, as in a system log, are not.
    pub fn hides(&mut self, source: &Arc<str>, stream: &Arc<str>, line: &str) -> bool {
        if let Some(column) = begins(line) {
            if self.open.len() >= MAX_OPEN {
                self.open.pop_first();
            }
            self.open.insert((source.clone(), stream.clone()), Open { column, lines: 0 });
            return false;
        }
        if self.open.is_empty() {
            return false;
        }
        let key = (source.clone(), stream.clone());
        let Some(open) = self.open.get_mut(&key) else { return false };
        open.lines += 1;
        if line.contains("END ") && line.contains("PRIVATE KEY") || open.lines > MAX_LINES {
            self.open.remove(&key);
            return false;
        }
        is_body(line, open.column)
    }

    /// The streams of all other sources are over.
    pub fn only(&mut self, sources: &BTreeSet<Arc<str>>) {
        self.open.retain(|(source, _), _| sources.contains(source));
    }

    /// Whether no stream is inside a block.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }
}

/// The column of a `-----BEGIN … PRIVATE KEY` that does not end in the same line.
fn begins(line: &str) -> Option<usize> {
    let at = line.find("---- BEGIN ").or_else(|| line.find("-----BEGIN "))?;
    let rest = line.get(at..)?;
    let is_key = rest.contains("PRIVATE KEY");
    (is_key && !rest.contains("-END ") && !rest.contains("- END ")).then_some(at)
}

fn is_body(line: &str, column: usize) -> bool {
    let base64 = |text: &str| {
        !text.is_empty()
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'='))
    };
    let rest = line.get(column..).unwrap_or_default().trim();
    let last = line.split_whitespace().next_back().unwrap_or_default();
    base64(rest)
        || base64(last) && (last.len() >= 16 || last.ends_with('='))
        || ["Proc-Type:", "DEK-Info:", "Comment:"].iter().any(|header| rest.starts_with(header))
}
