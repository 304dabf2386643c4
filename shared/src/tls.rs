//! TLS settings and what a certificate says about its owner. TLS 1.2 and 1.3, ring.

mod expired;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{
    CertificateDer, CertificateRevocationListDer, PrivateKeyDer, ServerName, UnixTime,
};
use sha2::{Digest, Sha256};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::heartbeat::hex;
use crate::id::{AgentId, COLLECTOR_URN};
use crate::time::Time;

/// Why TLS cannot be set up or a certificate not be understood.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A PEM text holds nothing usable.
    #[error("{what}: {why}")]
    Pem {
        /// Which one.
        what: &'static str,
        /// Why.
        why: String,
    },
    /// A certificate cannot be parsed.
    #[error("certificate cannot be parsed: {0}")]
    Certificate(String),
    /// A certificate names no callhome identity, or two different ones.
    #[error("certificate is not callhome's: {0}")]
    Identity(String),
    /// rustls refuses.
    #[error("TLS: {0}")]
    Rustls(String),
}

impl From<rustls::Error> for TlsError {
    fn from(e: rustls::Error) -> Self {
        TlsError::Rustls(e.to_string())
    }
}

/// The only crypto provider in use.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Who holds a client certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// `urn:callhome:agent:<id>`.
    Agent(AgentId),
    /// `urn:callhome:collector:<name>`.
    Collector(String),
}

/// Reads the identity from subject CN and SAN URI; both must name the same one.
pub fn peer(certificate: &CertificateDer<'_>) -> Result<Peer, TlsError> {
    let cert = parse(certificate)?;
    let cn = cert
        .subject()
        .iter_common_name()
        .next()
        .and_then(|cn| cn.as_str().ok())
        .ok_or_else(|| TlsError::Identity("no common name".into()))?;
    let san = cert
        .subject_alternative_name()
        .map_err(|e| TlsError::Certificate(e.to_string()))?
        .ok_or_else(|| TlsError::Identity("no subject alternative name".into()))?;
    let uris: Vec<&str> = san
        .value
        .general_names
        .iter()
        .filter_map(|name| match name {
            GeneralName::URI(uri) if uri.starts_with("urn:callhome:") => Some(*uri),
            _ => None,
        })
        .collect();
    let [uri] = uris[..] else {
        return Err(TlsError::Identity(format!("{} callhome URIs", uris.len())));
    };
    let (peer, name) = match uri.strip_prefix(COLLECTOR_URN) {
        Some(name) => (Peer::Collector(name.to_owned()), name.to_owned()),
        None => {
            let id = AgentId::from_urn(uri).map_err(|e| TlsError::Identity(e.to_string()))?;
            (Peer::Agent(id.clone()), id.to_string())
        }
    };
    if name != cn {
        return Err(TlsError::Identity(format!("CN {cn:?} and URI {uri:?} differ")));
    }
    Ok(peer)
}

/// `sha256:<hex>` over the DER form.
pub fn fingerprint(certificate: &CertificateDer<'_>) -> String {
    format!("sha256:{}", hex(&Sha256::digest(certificate)))
}

/// When the certificate ends.
pub fn not_after(certificate: &CertificateDer<'_>) -> Result<Time, TlsError> {
    Ok(Time(parse(certificate)?.validity().not_after.timestamp().saturating_mul(1000)))
}

/// When the certificate begins and ends.
pub fn validity(certificate: &CertificateDer<'_>) -> Result<(Time, Time), TlsError> {
    let parsed = parse(certificate)?;
    let validity = parsed.validity();
    let time = |at: i64| Time(at.saturating_mul(1000));
    Ok((time(validity.not_before.timestamp()), time(validity.not_after.timestamp())))
}

/// Name of a CA, as RFC 4514 writes it.
pub fn subject(certificate: &CertificateDer<'_>) -> Result<String, TlsError> {
    Ok(parse(certificate)?.subject().to_string())
}

/// Whether the certificate is a CA's (basic constraints).
pub fn is_ca(certificate: &CertificateDer<'_>) -> Result<bool, TlsError> {
    Ok(parse(certificate)?.is_ca())
}

/// Whether both hold the same public key.
pub fn same_key(one: &CertificateDer<'_>, other: &CertificateDer<'_>) -> bool {
    let key = |c| parse(c).map(|c: X509Certificate<'_>| c.public_key().raw.to_vec()).ok();
    matches!((key(one), key(other)), (Some(one), Some(other)) if one == other)
}

/// Header in which an agent names the [`roots_digest`] of what it trusts when it asks for the CA
/// certificates.
pub const ROOTS_HEADER: &str = "callhome-roots";

/// One word for a set of CA certificates: SHA-256 over their sorted fingerprints, one a line.
pub fn roots_digest(roots: &[CertificateDer<'_>]) -> String {
    let mut lines: Vec<String> = roots.iter().map(|r| format!("{}\n", fingerprint(r))).collect();
    lines.sort_unstable();
    lines.dedup();
    format!("sha256:{}", hex(&Sha256::digest(lines.concat())))
}

/// The serial number, lower-case hex.
pub fn serial(certificate: &CertificateDer<'_>) -> Result<String, TlsError> {
    Ok(hex(parse(certificate)?.raw_serial()))
}

fn parse<'a>(certificate: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, TlsError> {
    X509Certificate::from_der(certificate)
        .map(|(_, cert)| cert)
        .map_err(|e| TlsError::Certificate(e.to_string()))
}

/// All certificates of a PEM text; at least one.
pub fn read_certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match all {
        Ok(all) if !all.is_empty() => Ok(all),
        Ok(_) => Err(TlsError::Pem { what: "certificates", why: "no certificate in it".into() }),
        Err(e) => Err(TlsError::Pem { what: "certificates", why: e.to_string() }),
    }
}

/// The private key of a PEM text.
pub fn read_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(pem)
        .map_err(|e| TlsError::Pem { what: "private key", why: e.to_string() })
}

/// A certificate chain with its key.
pub struct Identity {
    /// Leaf first.
    pub chain: Vec<CertificateDer<'static>>,
    /// The leaf's key.
    pub key: PrivateKeyDer<'static>,
}

impl Identity {
    /// Reads both from PEM. Of several keys the one that is the leaf's is taken: while a pair is
    /// exchanged the key file holds the old and the new one, so that whichever certificate is there
    /// has its key.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        let chain = read_certificates(chain)?;
        let keys: Result<Vec<PrivateKeyDer<'static>>, _> =
            PrivateKeyDer::pem_slice_iter(key).collect();
        let keys = keys.map_err(|e| TlsError::Pem { what: "private key", why: e.to_string() })?;
        let fits = |key: &PrivateKeyDer<'static>| is_key_of(key, chain.first());
        let fitting = keys.iter().position(fits).unwrap_or(0);
        let Some(key) = keys.into_iter().nth(fitting) else {
            return Err(TlsError::Pem { what: "private key", why: "no key in it".into() });
        };
        Ok(Identity { chain, key })
    }

    /// Whether the key is the leaf's.
    pub fn is_pair(&self) -> bool {
        is_key_of(&self.key, self.chain.first())
    }
}

fn is_key_of(key: &PrivateKeyDer<'static>, leaf: Option<&CertificateDer<'_>>) -> bool {
    let Some(Ok(leaf)) = leaf.map(parse) else { return false };
    let key = provider().key_provider.load_private_key(key.clone_key());
    let public = key.as_ref().ok().and_then(|key| key.public_key());
    public.is_some_and(|public| public.as_ref() == leaf.public_key().raw)
}

fn root_store(roots: &[CertificateDer<'static>]) -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    for root in roots {
        store.add(root.clone())?;
    }
    Ok(store)
}

/// A client that trusts `roots` and shows `identity`, if any.
pub fn client_config(
    roots: &[CertificateDer<'static>],
    identity: Option<Identity>,
) -> Result<ClientConfig, TlsError> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(root_store(roots)?);
    Ok(match identity {
        Some(id) => builder.with_client_auth_cert(id.chain, id.key)?,
        None => builder.with_no_client_auth(),
    })
}

/// A client for the first contact: it trusts only a server whose presented chain holds the CA with
/// this [`fingerprint`] and verifies under it.
pub fn pinned_client_config(ca_fingerprint: &str) -> Result<ClientConfig, TlsError> {
    let verifier = PinnedCa { fingerprint: ca_fingerprint.to_owned(), provider: provider() };
    Ok(ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth())
}

/// What a server asks of its clients.
pub enum ClientAuth {
    /// Nothing.
    None,
    /// A certificate under these roots, not revoked by these lists; connections without one are let in.
    Optional(Vec<CertificateDer<'static>>, Vec<CertificateRevocationListDer<'static>>),
    /// The same; a certificate that was good until it ended is let in too. The server must look at
    /// the end of each and say what its holder may do.
    OptionalEvenExpired(Vec<CertificateDer<'static>>, Vec<CertificateRevocationListDer<'static>>),
    /// The same as `Optional`, and nobody is let in without one.
    Required(Vec<CertificateDer<'static>>, Vec<CertificateRevocationListDer<'static>>),
}

/// A server with `identity`.
pub fn server_config(identity: Identity, clients: ClientAuth) -> Result<ServerConfig, TlsError> {
    let builder =
        ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
    let builder = match clients {
        ClientAuth::None => builder.with_no_client_auth(),
        ClientAuth::Optional(roots, crls) => {
            let verifier = client_verifier(&roots, crls)?.allow_unauthenticated();
            builder.with_client_cert_verifier(build(verifier)?)
        }
        ClientAuth::OptionalEvenExpired(roots, crls) => {
            let strict = build(client_verifier(&roots, crls)?)?;
            builder.with_client_cert_verifier(Arc::new(expired::EvenExpired { strict }))
        }
        ClientAuth::Required(roots, crls) => {
            builder.with_client_cert_verifier(build(client_verifier(&roots, crls)?)?)
        }
    };
    Ok(builder.with_single_cert(identity.chain, identity.key)?)
}

fn client_verifier(
    roots: &[CertificateDer<'static>],
    crls: Vec<CertificateRevocationListDer<'static>>,
) -> Result<rustls::server::ClientCertVerifierBuilder, TlsError> {
    let store = Arc::new(root_store(roots)?);
    Ok(WebPkiClientVerifier::builder_with_provider(store, provider())
        .with_crls(crls)
        .allow_unknown_revocation_status()
        .only_check_end_entity_revocation())
}

fn build(
    builder: rustls::server::ClientCertVerifierBuilder,
) -> Result<Arc<dyn rustls::server::danger::ClientCertVerifier>, TlsError> {
    builder.build().map_err(|e| TlsError::Rustls(e.to_string()))
}

#[derive(Debug)]
struct PinnedCa {
    fingerprint: String,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for PinnedCa {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let pinned =
            intermediates.iter().find(|c| fingerprint(c) == self.fingerprint).ok_or_else(|| {
                rustls::Error::General(format!(
                    "the server does not show the CA {} named in the token",
                    self.fingerprint
                ))
            })?;
        let mut roots = RootCertStore::empty();
        roots.add(pinned.clone().into_owned())?;
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), self.provider.clone())
            .build()
            .map_err(|e| rustls::Error::General(e.to_string()))?
            .verify_server_cert(end_entity, intermediates, server_name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
