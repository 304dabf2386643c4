//! Identities, pairs, and who is let in.

use super::*;
use rcgen::{CertificateParams, DnType, KeyPair, SanType};

fn certificate(cn: &str, uris: &[&str]) -> CertificateDer<'static> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, cn);
    params.subject_alt_names =
        uris.iter().map(|u| SanType::URI((*u).try_into().unwrap())).collect();
    let key = KeyPair::generate().unwrap();
    params.self_signed(&key).unwrap().der().clone()
}

#[test]
fn identity_needs_cn_and_uri_to_agree() {
    let agent = certificate("a-1", &["urn:callhome:agent:a-1"]);
    assert_eq!(peer(&agent).unwrap(), Peer::Agent(AgentId::new("a-1").unwrap()));
    let collector = certificate("main", &["urn:callhome:collector:main"]);
    assert_eq!(peer(&collector).unwrap(), Peer::Collector("main".into()));
    for (cn, uris) in [
        ("a-2", &["urn:callhome:agent:a-1"][..]),
        ("a-1", &[]),
        ("a-1", &["urn:callhome:agent:a-1", "urn:callhome:agent:b"]),
        ("a/1", &["urn:callhome:agent:a/1"]),
    ] {
        assert!(peer(&certificate(cn, uris)).is_err(), "{cn} {uris:?}");
    }
    assert!(fingerprint(&agent).starts_with("sha256:"));
    assert!(not_after(&agent).unwrap() > Time::now());
}

/// A CA and a leaf for `a-1` that it signed with this validity (days from now).
fn issued(
    days: (i64, i64),
) -> (CertificateDer<'static>, Identity, rcgen::Issuer<'static, KeyPair>) {
    let ca_key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::default();
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    ca.distinguished_name.push(DnType::CommonName, "test CA");
    let root = ca.self_signed(&ca_key).unwrap().der().clone();
    let issuer = rcgen::Issuer::new(ca, ca_key);
    let day = |n: i64| {
        let now = std::time::SystemTime::now();
        let by = std::time::Duration::from_secs(86_400 * n.unsigned_abs());
        if n < 0 { now - by } else { now + by }
    };
    let mut leaf = CertificateParams::default();
    leaf.distinguished_name.push(DnType::CommonName, "a-1");
    leaf.subject_alt_names = vec![SanType::URI("urn:callhome:agent:a-1".try_into().unwrap())];
    leaf.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    (leaf.not_before, leaf.not_after) = (day(days.0).into(), day(days.1).into());
    let key = KeyPair::generate().unwrap();
    let leaf = leaf.signed_by(&key, &issuer).unwrap();
    let identity =
        Identity::from_pem(leaf.pem().as_bytes(), key.serialize_pem().as_bytes()).unwrap();
    (root, identity, issuer)
}

#[test]
fn a_key_file_with_two_keys_fits_either_certificate() {
    let pair = |_| {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::default().self_signed(&key).unwrap();
        (certificate.pem(), key.serialize_pem())
    };
    let [old, new] = [0, 1].map(pair);
    let both = format!("{}{}", new.1, old.1);
    for (chain, key) in [(&old.0, &old.1), (&old.0, &both), (&new.0, &both), (&new.0, &new.1)] {
        let identity = Identity::from_pem(chain.as_bytes(), key.as_bytes()).unwrap();
        assert!(identity.is_pair());
        client_config(&[], Some(identity)).unwrap();
    }
    let wrong = Identity::from_pem(old.0.as_bytes(), new.1.as_bytes()).unwrap();
    assert!(!wrong.is_pair());
    assert!(Identity::from_pem(old.0.as_bytes(), b"").is_err());
}

#[test]
fn an_ended_certificate_is_let_in_only_by_the_one_that_says_so_and_only_if_all_else_is_good() {
    use rustls::server::danger::ClientCertVerifier as _;
    let verify = |root: &CertificateDer<'static>, crls: Vec<_>, leaf: &CertificateDer<'_>| {
        let strict = build(client_verifier(std::slice::from_ref(root), crls).unwrap()).unwrap();
        let lenient = expired::EvenExpired { strict: strict.clone() };
        let now = UnixTime::now();
        let strict = strict.verify_client_cert(leaf, &[], now).is_ok();
        (strict, lenient.verify_client_cert(leaf, &[], now).is_ok())
    };
    let (root, valid, _) = issued((-1, 1));
    assert_eq!(verify(&root, vec![], &valid.chain[0]), (true, true));
    let (root, ended, issuer) = issued((-2, -1));
    assert_eq!(verify(&root, vec![], &ended.chain[0]), (false, true));
    let (_, not_yet, _) = issued((1, 2));
    assert_eq!(verify(&root, vec![], &not_yet.chain[0]), (false, false), "another CA's, too early");
    let (other, ..) = issued((-1, 1));
    assert_eq!(verify(&other, vec![], &ended.chain[0]), (false, false), "another CA");
    let now = std::time::SystemTime::now();
    let crl = rcgen::CertificateRevocationListParams {
        this_update: now.into(),
        next_update: (now + std::time::Duration::from_secs(60)).into(),
        crl_number: rcgen::SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: vec![rcgen::RevokedCertParams {
            serial_number: parse(&ended.chain[0]).unwrap().raw_serial().to_vec().into(),
            revocation_time: now.into(),
            reason_code: None,
            invalidity_date: None,
        }],
        key_identifier_method: rcgen::KeyIdMethod::Sha256,
    };
    let crl = crl.signed_by(&issuer).unwrap().der().clone();
    assert_eq!(verify(&root, vec![crl], &ended.chain[0]), (false, false), "revoked");
}
