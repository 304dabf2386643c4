//! What the CA issues, and which CA it takes.

use super::*;
use callhome_shared::tls::{Peer, peer};

#[test]
fn issues_what_the_tls_side_understands() {
    let ca = Authority::generate("Example", "CA").unwrap();
    let server = ca.server(&["collector.example".into(), "::1".into()]).unwrap();
    let chain = tls::read_certificates(server.chain.as_bytes()).unwrap();
    assert_eq!(chain.len(), 2);
    assert_eq!(&chain[1], ca.certificate());
    assert_eq!(sans(&chain[0]).unwrap(), ["::1", "collector.example"]);
    let collector = ca.collector("main").unwrap();
    let chain = tls::read_certificates(collector.chain.as_bytes()).unwrap();
    assert_eq!(peer(&chain[0]).unwrap(), Peer::Collector("main".into()));

    let id = AgentId::new("a-1").unwrap();
    let key = KeyPair::generate().unwrap();
    let agent = ca.agent(&id, &key.subject_public_key_info()).unwrap();
    assert_eq!(peer(&agent).unwrap(), Peer::Agent(id));
    let serial = tls::serial(&agent).unwrap();
    assert_eq!(serial.len(), 32);
    let crl = ca.revocation_list(&[(serial, Time::now())]).unwrap();
    assert!(!read_crl(crl.as_bytes()).unwrap().is_empty());
}

#[test]
fn a_given_ca_is_checked() {
    let ca = Authority::generate("Example", "CA").unwrap();
    let other = Authority::generate("Example", "CA").unwrap();
    let again = Authority::from_pem(ca.pem().as_bytes(), ca.key_pem().unwrap().as_bytes()).unwrap();
    assert_eq!(again.certificate(), ca.certificate());
    let leaf = again.server(&["x".into()]).unwrap();
    for (certificate, key) in [
        (ca.pem(), other.key_pem().unwrap()),
        (leaf.chain.as_str(), leaf.key.clone()),
        ("", ca.key_pem().unwrap()),
    ] {
        assert!(Authority::from_pem(certificate.as_bytes(), key.as_bytes()).is_err());
    }
}

#[test]
fn renews_for_other_names_or_another_ca() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("server.pem");
    let ca = Authority::generate("Example", "CA").unwrap();
    let names = vec!["b".to_owned(), "a".to_owned(), "127.0.0.1".to_owned()];
    assert!(must_renew(&path, &ca, &names));
    std::fs::write(&path, ca.server(&names).unwrap().chain).unwrap();
    assert!(!must_renew(&path, &ca, &names));
    assert!(must_renew(&path, &ca, &names[1..]));
    assert!(must_renew(&path, &Authority::generate("Example", "CA").unwrap(), &names));
}
