//! Lines of key material whose beginning nobody saw.

use std::ops::Range;

/// A line of a PEM or OpenSSH body has 64 or 70 characters; this is asked for at least.
const LINE: usize = 60;

/// Calls `found` for every run of base64 that is long enough to be such a line.
pub(super) fn lines(text: &str, mut found: impl FnMut(Range<usize>)) {
    let bytes = text.as_bytes();
    let base64 = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/');
    let mut at = 0;
    while at < bytes.len() {
        let run = bytes.iter().skip(at).take_while(|b| base64(b)).count();
        if run >= LINE {
            let end =
                at + run + bytes.iter().skip(at + run).take(2).take_while(|b| **b == b'=').count();
            if text.get(at..at + run).is_some_and(like_base64) {
                found(at..end);
            }
        }
        at += run + 1;
    }
}

/// Letters of both sizes and digits, no path, no hexadecimal digest.
fn like_base64(secret: &str) -> bool {
    let count = |fits: fn(&u8) -> bool| secret.bytes().filter(&fits).count();
    count(u8::is_ascii_lowercase) > 0
        && count(u8::is_ascii_uppercase) > 0
        && count(u8::is_ascii_digit) > 0
        && count(|b| *b == b'/') <= secret.len() / 12
}
