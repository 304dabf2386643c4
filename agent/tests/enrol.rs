//! Enrolment against a small EST server with every kind of bad manners.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::convert::Infallible;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use callhome_agent::enrol::identity::Enrolment;
use callhome_agent::enrol::{EnrolRequest, Enrolled, enrol};
use callhome_agent::link::Exit;
use callhome_shared::id::AgentId;
use callhome_shared::time::Time;
use callhome_shared::tls::{self, ClientAuth, Identity};
use callhome_shared::token::TokenFile;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType,
};
use rustls_pki_types::{CertificateDer, CertificateSigningRequestDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

const SECRET: &str = "s3cret";

/// What the server does with a request for a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manners {
    Good,
    /// Signs the name of another agent.
    AnotherName,
    /// Answers with something that is no PKCS#7.
    Garbage,
}

struct Est {
    issuer: Issuer<'static, KeyPair>,
    ca: CertificateDer<'static>,
    manners: Mutex<Manners>,
    used: AtomicBool,
}

/// A server on a free port; its CA's fingerprint; its address.
async fn start(manners: Manners) -> (Arc<Est>, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "test CA");
    let ca = params.self_signed(&key).unwrap().der().clone();
    let issuer = Issuer::new(params, key);
    let leaf_key = KeyPair::generate().unwrap();
    let mut leaf = CertificateParams::default();
    leaf.subject_alt_names = vec![SanType::DnsName("localhost".try_into().unwrap())];
    let leaf = leaf.signed_by(&leaf_key, &issuer).unwrap().der().clone();
    let key = PrivateKeyDer::try_from(leaf_key.serialize_der()).unwrap();
    let config =
        tls::server_config(Identity { chain: vec![leaf, ca.clone()], key }, ClientAuth::None)
            .unwrap();
    let manners = Mutex::new(manners);
    let est = Arc::new(Est { issuer, ca, manners, used: AtomicBool::new(false) });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let served = est.clone();
    tokio::spawn(async move {
        loop {
            let (tcp, _) = listener.accept().await.unwrap();
            let Ok(tls) = acceptor.accept(tcp).await else { continue };
            let est = served.clone();
            let service = service_fn(move |request| {
                let est = est.clone();
                async move { Ok::<_, Infallible>(est.answer(request).await) }
            });
            let serving = hyper::server::conn::http1::Builder::new();
            let _ = serving.serve_connection(TokioIo::new(tls), service).await;
        }
    });
    (est, url)
}

impl Est {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        match request.uri().path() {
            "/.well-known/est/cacerts" => reply(StatusCode::OK, signed_data(&[&self.ca])),
            "/.well-known/est/simpleenroll" => self.enroll(request).await,
            _ => reply(StatusCode::NOT_FOUND, Vec::new()),
        }
    }

    async fn enroll(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let wanted = format!("Basic {}", STANDARD.encode(format!("a-1:{SECRET}")));
        let authorization = request.headers()["authorization"].to_str().unwrap().to_owned();
        if authorization != wanted || self.used.swap(true, Ordering::SeqCst) {
            let body = br#"{"error":{"code":"token","message":"token used at 08:00"}}"#.to_vec();
            return reply(StatusCode::UNAUTHORIZED, body);
        }
        assert_eq!(request.headers()["content-type"], "application/pkcs10");
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let csr = CertificateSigningRequestDer::from(STANDARD.decode(body).unwrap());
        let mut csr = CertificateSigningRequestParams::from_der(&csr).unwrap();
        let manners = *self.manners.lock().unwrap();
        if manners == Manners::AnotherName {
            csr.params.distinguished_name.push(DnType::CommonName, "a-2");
            let uri = SanType::URI("urn:callhome:agent:a-2".try_into().unwrap());
            csr.params.subject_alt_names = vec![uri];
        }
        csr.params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let leaf = csr.signed_by(&self.issuer).unwrap().der().clone();
        match manners {
            Manners::Garbage => reply(StatusCode::OK, b"hello".to_vec()),
            _ => reply(StatusCode::OK, signed_data(&[&self.ca, &leaf])),
        }
    }
}

/// 200 as base64 in lines, as EST wants it.
fn reply(status: StatusCode, body: Vec<u8>) -> Response<Full<Bytes>> {
    let body = match status {
        StatusCode::OK => {
            let text = STANDARD.encode(body);
            text.as_bytes().chunks(64).flat_map(|line| [line, b"\r\n"].concat()).collect()
        }
        _ => body,
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response
}

/// Certs-only PKCS#7.
fn signed_data(certificates: &[&CertificateDer<'_>]) -> Vec<u8> {
    fn wrap(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let content = parts.concat();
        let length = u16::try_from(content.len()).unwrap().to_be_bytes();
        [&[tag, 0x82], &length[..], &content].concat()
    }
    let kind = [0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 2];
    let data = [0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 1];
    let all: Vec<&[u8]> = certificates.iter().map(|c| c.as_ref()).collect();
    let signed = wrap(
        0x30,
        &[&[0x02, 1, 1], &[0x31, 0], &wrap(0x30, &[&data]), &wrap(0xa0, &all), &[0x31, 0]],
    );
    wrap(0x30, &[&kind, &wrap(0xa0, &[&signed])])
}

fn token(est: &Est, url: &str) -> TokenFile {
    TokenFile {
        agent: AgentId::new("a-1").unwrap(),
        collector: url.to_owned(),
        mqtt: "mqtts://localhost:8883".into(),
        ca_fingerprint: tls::fingerprint(&est.ca),
        root_fingerprint: "sha256:00".into(),
        secret: SECRET.into(),
        expires_at: Time::now().plus_ms(60_000),
    }
}

async fn try_enrol(dir: &Path, token: &TokenFile, replace: bool) -> Result<Enrolled, String> {
    let token_file = dir.join("token.toml");
    std::fs::write(&token_file, toml::to_string(token).unwrap()).unwrap();
    let state_dir = dir.join("state");
    let request = EnrolRequest {
        collector: None,
        token_file,
        state_dir,
        replace,
        proxy: None,
        exit: Exit::default(),
        meters: callhome_agent::link::dial::meter::Meters::default(),
    };
    let result = enrol(&request).await.map_err(|e| e.to_string());
    if let Err(text) = &result {
        assert!(!text.contains(SECRET), "{text}");
        assert!(request.token_file.exists(), "a failed attempt keeps the token file");
    }
    result
}

#[tokio::test]
async fn an_identity_is_made_and_the_token_is_gone() {
    let (est, url) = start(Manners::Good).await;
    let dir = tempfile::tempdir().unwrap();
    let enrolled = try_enrol(dir.path(), &token(&est, &url), false).await.unwrap();
    assert!(enrolled.token_removed && !dir.path().join("token.toml").exists());
    let state = dir.path().join("state");
    let stored = Enrolment::load(&state).unwrap().unwrap();
    assert_eq!((stored.mqtt.as_str(), stored.agent.as_str()), ("mqtts://localhost:8883", "a-1"));
    let read = |name: &str| std::fs::read(state.join("identity").join(name)).unwrap();
    let identity = Identity::from_pem(&read("agent.pem"), &read("agent.key")).unwrap();
    assert_eq!(identity.chain.len(), 1);
    tls::client_config(&tls::read_certificates(&read("ca.pem")).unwrap(), Some(identity)).unwrap();

    // The token has served; an identity is not overwritten unasked.
    let error = try_enrol(dir.path(), &token(&est, &url), false).await.unwrap_err();
    assert!(error.contains("already") && error.contains("--replace"), "{error}");
    let error = try_enrol(dir.path(), &token(&est, &url), true).await.unwrap_err();
    assert!(error.contains("401") && error.contains("token used at 08:00"), "{error}");
    assert_eq!(Enrolment::load(&state).unwrap().unwrap(), stored, "a failure changes nothing");
}

#[tokio::test]
async fn each_failing_step_says_which() {
    let (est, url) = start(Manners::Good).await;
    let good = token(&est, &url);
    let another_ca = format!("sha256:{}", "0".repeat(64));
    let closed = "https://localhost:1".to_owned();
    let by_address = url.replace("localhost", "127.0.0.1");
    let wrong_secret = "guessed".to_owned();
    for (token, words) in [
        (TokenFile { ca_fingerprint: another_ca, ..good.clone() }, "does not show the CA"),
        (TokenFile { collector: closed, ..good.clone() }, "refused"),
        (TokenFile { collector: by_address, ..good.clone() }, "another name"),
        (TokenFile { collector: "http://x".into(), ..good.clone() }, "expected https://"),
        (TokenFile { secret: wrong_secret, ..good.clone() }, "ask for a new one"),
        (TokenFile { expires_at: Time(0), ..good.clone() }, "expired at"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let error = try_enrol(dir.path(), &token, false).await.unwrap_err();
        assert!(error.contains(words), "expected {words:?} in {error}");
        assert!(!dir.path().join("state/identity").exists());
    }
    for (manners, words) in
        [(Manners::AnotherName, "it is for a-2, not for a-1"), (Manners::Garbage, "PKCS#7")]
    {
        *est.manners.lock().unwrap() = manners;
        est.used.store(false, Ordering::SeqCst);
        let dir = tempfile::tempdir().unwrap();
        let error = try_enrol(dir.path(), &good, false).await.unwrap_err();
        assert!(error.contains(words), "expected {words:?} in {error}");
        assert!(!dir.path().join("state/identity").exists());
    }
}
