//! A server's check of clients that also lets in certificates that have ended, if they were good
//! until then. Whoever uses it must look at the end himself and say what such a client may do.

use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, SignatureScheme};
use rustls_pki_types::{CertificateDer, UnixTime};

/// Checks chain, signature, use and revocation as ever; a certificate that has ended is checked as of
/// its last second.
#[derive(Debug)]
pub(super) struct EvenExpired {
    pub(super) strict: Arc<dyn ClientCertVerifier>,
}

impl ClientCertVerifier for EvenExpired {
    fn offer_client_auth(&self) -> bool {
        true
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.strict.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let strict = self.strict.verify_client_cert(end_entity, intermediates, now);
        match &strict {
            Err(rustls::Error::InvalidCertificate(
                CertificateError::Expired | CertificateError::ExpiredContext { .. },
            )) => match last_second(end_entity) {
                Some(then) if then.as_secs() < now.as_secs() => {
                    self.strict.verify_client_cert(end_entity, intermediates, then)
                }
                // Not the client's own certificate has ended but one above it.
                _ => strict,
            },
            _ => strict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.strict.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.strict.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.strict.supported_verify_schemes()
    }
}

fn last_second(certificate: &CertificateDer<'_>) -> Option<UnixTime> {
    let end = super::not_after(certificate).ok()?;
    let seconds = u64::try_from(end.millis() / 1000).ok()?;
    Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
}
