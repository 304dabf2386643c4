//! Certs-only PKCS#7 (RFC 5652 `SignedData` without signers): what EST answers with.
//!
//! A walk over definite-length DER, no more: every length is checked against what is left, nothing
//! recurses, and the number of certificates is bounded.

use rustls_pki_types::CertificateDer;

/// Certificates in one answer: a leaf and its CAs.
const MAX_CERTIFICATES: usize = 16;

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const INTEGER: u8 = 0x02;
const OBJECT: u8 = 0x06;
/// `[0]`, constructed.
const CONTEXT_0: u8 = 0xa0;
/// 1.2.840.113549.1.7.2
const SIGNED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02];

/// One element: its tag, its content, itself whole, and what follows it.
struct Element<'a> {
    tag: u8,
    content: &'a [u8],
    whole: &'a [u8],
    rest: &'a [u8],
}

/// Reads all certificates. The error says what was expected where.
pub fn certificates(der: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let info = expect(der, SEQUENCE, "ContentInfo")?;
    let kind = expect(info.content, OBJECT, "contentType")?;
    if kind.content != SIGNED_DATA {
        return Err("contentType is not signedData".into());
    }
    let explicit = expect(kind.rest, CONTEXT_0, "content")?;
    let signed = expect(explicit.content, SEQUENCE, "SignedData")?;
    let version = expect(signed.content, INTEGER, "version")?;
    let digests = expect(version.rest, SET, "digestAlgorithms")?;
    let encapsulated = expect(digests.rest, SEQUENCE, "encapContentInfo")?;
    let mut rest = expect(encapsulated.rest, CONTEXT_0, "certificates")?.content;
    let mut found = Vec::new();
    while !rest.is_empty() {
        if found.len() == MAX_CERTIFICATES {
            return Err(format!("more than {MAX_CERTIFICATES} certificates"));
        }
        let certificate = expect(rest, SEQUENCE, "certificate")?;
        found.push(CertificateDer::from(certificate.whole.to_vec()));
        rest = certificate.rest;
    }
    if found.is_empty() { Err("no certificate in it".into()) } else { Ok(found) }
}

fn expect<'a>(input: &'a [u8], tag: u8, what: &str) -> Result<Element<'a>, String> {
    let element = element(input).ok_or_else(|| format!("{what}: cut off or no DER"))?;
    if element.tag == tag {
        Ok(element)
    } else {
        Err(format!("{what}: expected tag {tag:#04x}, found {:#04x}", element.tag))
    }
}

fn element(input: &[u8]) -> Option<Element<'_>> {
    let (&tag, after_tag) = input.split_first()?;
    let (&first, after_first) = after_tag.split_first()?;
    let (length, body) = match first {
        0..=0x7f => (usize::from(first), after_first),
        0x81..=0x84 => {
            let (digits, body) = after_first.split_at_checked(usize::from(first & 0x0f))?;
            let length = digits.iter().fold(0_usize, |n, d| (n << 8) | usize::from(*d));
            (length, body)
        }
        // Indefinite or absurd lengths are no DER.
        _ => return None,
    };
    let (content, rest) = body.split_at_checked(length)?;
    let whole = input.get(..input.len() - rest.len())?;
    Some(Element { tag, content, whole, rest })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    fn wrap(tag: u8, content: &[u8]) -> Vec<u8> {
        let mut out = vec![tag];
        if content.len() < 0x80 {
            out.push(content.len() as u8);
        } else {
            out.extend([0x82, (content.len() >> 8) as u8, content.len() as u8]);
        }
        out.extend(content);
        out
    }

    /// Certs-only SignedData, as an EST server writes it.
    pub(crate) fn signed_data(certificates: &[&[u8]]) -> Vec<u8> {
        let data = wrap(SEQUENCE, &wrap(OBJECT, &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 1]));
        let body = [
            wrap(INTEGER, &[1]),
            wrap(SET, &[]),
            data,
            wrap(CONTEXT_0, &certificates.concat()),
            wrap(SET, &[]),
        ]
        .concat();
        let content = wrap(CONTEXT_0, &wrap(SEQUENCE, &body));
        wrap(SEQUENCE, &[wrap(OBJECT, SIGNED_DATA), content].concat())
    }

    #[test]
    fn reads_certificates_in_order() {
        let (a, b) = (wrap(SEQUENCE, &[7; 300]), wrap(SEQUENCE, &[8; 10]));
        let found = certificates(&signed_data(&[&a, &b])).unwrap();
        assert_eq!(found.iter().map(|c| c.to_vec()).collect::<Vec<_>>(), [a.clone(), b]);
        assert!(certificates(&signed_data(&[])).unwrap_err().contains("no certificate"));
        assert!(certificates(&signed_data(&vec![&a[..]; 17])).unwrap_err().contains("more than"));
        assert!(certificates(&[0x30, 0x80, 0, 0]).is_err(), "indefinite length");
    }

    proptest! {
        #[test]
        fn no_input_panics(junk: Vec<u8>, at in 0usize..400, byte: u8, cut in 0usize..400) {
            let _ = certificates(&junk);
            let mut nearly = signed_data(&[&wrap(SEQUENCE, &[7; 300])]);
            let len = nearly.len();
            nearly[at % len] = byte;
            let _ = certificates(&nearly);
            nearly.truncate(cut);
            let _ = certificates(&nearly);
        }
    }
}
