//! Certs-only PKCS#7 (RFC 5652 `SignedData` without signers), as EST answers it. DER by hand: it
//! is five fixed values around the certificates.

/// `1.2.840.113549.1.7.2` signedData.
const SIGNED_DATA: &[u8] = &[0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 2];
/// `1.2.840.113549.1.7.1` data.
const DATA: &[u8] = &[0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 1];

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
/// `[0]`, constructed.
const CONTEXT_0: u8 = 0xa0;

/// The certificates (DER) in one degenerate `SignedData`.
pub fn certs_only(certificates: &[&[u8]]) -> Vec<u8> {
    let content = [
        &[0x02, 1, 1][..],    // version 1
        &tlv(SET, &[]),       // digestAlgorithms: none
        &tlv(SEQUENCE, DATA), // encapContentInfo without content
        &tlv(CONTEXT_0, &certificates.concat()),
        &tlv(SET, &[]), // signerInfos: none
    ]
    .concat();
    let signed = tlv(CONTEXT_0, &tlv(SEQUENCE, &content));
    tlv(SEQUENCE, &[SIGNED_DATA, &signed].concat())
}

fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    match u8::try_from(content.len()) {
        Ok(short) if short < 0x80 => out.push(short),
        _ => {
            let bytes = content.len().to_be_bytes();
            let significant: Vec<u8> = bytes.into_iter().skip_while(|b| *b == 0).collect();
            // At most eight bytes of length: fits.
            out.push(0x80 | u8::try_from(significant.len()).unwrap_or(8));
            out.extend(significant);
        }
    }
    out.extend_from_slice(content);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths() {
        assert_eq!(tlv(0x30, &[7; 127])[..2], [0x30, 127]);
        assert_eq!(tlv(0x30, &[7; 128])[..3], [0x30, 0x81, 128]);
        assert_eq!(tlv(0x30, &[7; 300])[..4], [0x30, 0x82, 1, 44]);
    }

    #[test]
    fn openssl_reads_it() {
        use base64::Engine;
        let certificate = |cn: &str| {
            let mut params = rcgen::CertificateParams::default();
            params.distinguished_name.push(rcgen::DnType::CommonName, cn);
            params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().der().to_vec()
        };
        let (a, b) = (certificate("first one"), certificate("second one"));
        let der = certs_only(&[&a, &b]);
        let body = base64::engine::general_purpose::STANDARD.encode(der);
        let pem = format!("-----BEGIN PKCS7-----\n{body}\n-----END PKCS7-----\n");
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("certs.p7");
        // openssl wants lines of at most 64 characters.
        let lines: Vec<String> =
            body.as_bytes().chunks(64).map(|c| String::from_utf8(c.to_vec()).unwrap()).collect();
        std::fs::write(&path, pem.replace(&body, &lines.join("\n"))).unwrap();
        let out = std::process::Command::new("openssl")
            .args(["pkcs7", "-print_certs", "-in"])
            .arg(&path)
            .output();
        let Ok(out) = out else {
            eprintln!("skipped: openssl is not installed");
            return;
        };
        let text = String::from_utf8_lossy(&out.stdout);
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        assert!(text.contains("first one") && text.contains("second one"), "{text}");
    }
}
