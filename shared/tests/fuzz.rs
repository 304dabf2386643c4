//! Whatever comes in from outside is read or refused, never a panic: every decoder of what both
//! sides agree on, with noise and with nearly good input.

#![allow(clippy::unwrap_used)]

use callhome_shared::ack::{Ack, Receipt};
use callhome_shared::alarm::Alarm;
use callhome_shared::envelope::Envelope;
use callhome_shared::heartbeat::Heartbeat;
use callhome_shared::id::AgentId;
use callhome_shared::time::Time;
use callhome_shared::tls;
use callhome_shared::token::TokenFile;
use proptest::prelude::*;
use rcgen::{CertificateParams, DnType, KeyPair, SanType};
use rustls_pki_types::CertificateDer;

/// `good` with a few bytes cut out, put in or changed.
fn damaged(good: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
    let edits = proptest::collection::vec((any::<usize>(), any::<u8>(), 0..3_u8), 0..6);
    (Just(good), edits).prop_map(|(mut bytes, edits)| {
        for (at, byte, how) in edits {
            if bytes.is_empty() {
                break;
            }
            let at = at % bytes.len();
            match how {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => drop(bytes.remove(at)),
            }
        }
        bytes
    })
}

fn certificate() -> Vec<u8> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "site-1");
    params.subject_alt_names = vec![SanType::URI("urn:callhome:agent:site-1".try_into().unwrap())];
    let key = KeyPair::generate().unwrap();
    params.self_signed(&key).unwrap().der().to_vec()
}

const ACK: &str = r#"{"store":"018f0000-0000-7000-8000-000000000001","epoch":"018f0000-0000-7000-8000-000000000002","lane":"alarm","seq":"17","rejects":[{"seq":"3","id":"018f0000-0000-7000-8000-000000000003","reason":"too-large","text":"x"}]}"#;
const RECEIPT: &str = r#"{"envelope":"018f0000-0000-7000-8000-000000000001","alarm_id":"018f0000-0000-7000-8000-000000000002","case":"c","ticket":"T-000001","committed_at":"2026-01-31T08:00:00Z"}"#;
const TOKEN: &str = "agent = \"a\"\ncollector = \"https://c:8443\"\nmqtt = \"mqtts://c:8883\"\nca_fingerprint = \"sha256:00\"\nroot_fingerprint = \"sha256:00\"\nsecret = \"s\"\nexpires_at = \"2026-01-31T08:00:00Z\"\n";

fn json(bytes: &[u8]) {
    let _ = serde_json::from_slice::<Ack>(bytes);
    let _ = serde_json::from_slice::<Receipt>(bytes);
    let _ = serde_json::from_slice::<Heartbeat>(bytes);
    let _ = serde_json::from_slice::<Alarm>(bytes);
    let _ = Envelope::from_structured(bytes);
}

fn identity(bytes: &[u8]) {
    let certificate = CertificateDer::from(bytes.to_vec());
    if let Ok(tls::Peer::Agent(agent)) = tls::peer(&certificate) {
        assert!(AgentId::new(agent.as_str()).is_ok(), "{agent} is an agent's name");
    }
    let _ =
        (tls::serial(&certificate), tls::not_after(&certificate), tls::fingerprint(&certificate));
}

proptest! {
    #[test]
    fn no_json_panics(noise: Vec<u8>, text in "[\\[\\]{}\":,a-z0-9 ]{0,120}",
                      ack in damaged(ACK.into()), receipt in damaged(RECEIPT.into())) {
        for bytes in [&noise[..], text.as_bytes(), &ack, &receipt] {
            json(bytes);
        }
    }

    #[test]
    fn no_token_file_panics(text in ".{0,200}", token in damaged(TOKEN.into())) {
        let _ = toml::from_str::<TokenFile>(&text);
        let _ = toml::from_str::<TokenFile>(&String::from_utf8_lossy(&token));
    }

    #[test]
    fn no_certificate_panics(noise: Vec<u8>, nearly in damaged(certificate())) {
        identity(&noise);
        identity(&nearly);
    }

    #[test]
    fn no_pem_panics(noise: Vec<u8>, nearly in damaged(pem())) {
        for bytes in [&noise, &nearly] {
            let _ = tls::read_certificates(bytes);
            let _ = tls::read_key(bytes);
        }
    }

    #[test]
    fn no_name_or_time_panics(text in ".{0,80}", urn in "urn:callhome:agent:.{0,20}") {
        let _ = (AgentId::new(&text), AgentId::from_urn(&text), AgentId::from_urn(&urn));
        let _ = Time::parse(&text);
    }

    /// A name that is let through holds nothing that a topic, a path or a log could misread.
    #[test]
    fn prop_agents_names_are_harmless(text in ".{0,70}") {
        if let Ok(id) = AgentId::new(&text) {
            prop_assert!(id.as_str().bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'));
        }
    }

    /// Identities with wildcards, slashes, dots, control characters: refused at admission.
    #[test]
    fn prop_strange_certificates_are_nobody(name in "[ -~]{0,6}[+#/.\\\\\u{1b}\n ][ -~]{0,6}") {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name.as_str());
        let uri = format!("urn:callhome:agent:{name}");
        if let Ok(uri) = uri.as_str().try_into() {
            params.subject_alt_names = vec![SanType::URI(uri)];
            let der = params.self_signed(key()).unwrap().der().clone();
            prop_assert!(tls::peer(&der).is_err());
        }
    }
}

/// One key for all cases: making one costs more than the rest of a case.
fn key() -> &'static KeyPair {
    static KEY: std::sync::OnceLock<KeyPair> = std::sync::OnceLock::new();
    KEY.get_or_init(|| KeyPair::generate().unwrap())
}

fn pem() -> Vec<u8> {
    let params = CertificateParams::default();
    let certificate = params.self_signed(key()).unwrap();
    format!("{}{}", certificate.pem(), key().serialize_pem()).into_bytes()
}

#[test]
fn fuzz_starts_from_good_input() {
    serde_json::from_str::<Ack>(ACK).unwrap();
    serde_json::from_str::<Receipt>(RECEIPT).unwrap();
    toml::from_str::<TokenFile>(TOKEN).unwrap();
    assert!(tls::peer(&CertificateDer::from(certificate())).is_ok());
    assert!(tls::read_certificates(&pem()).is_ok() && tls::read_key(&pem()).is_ok());
}
