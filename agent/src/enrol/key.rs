//! The agent's key and its certificate request.

use callhome_shared::id::AgentId;
use rcgen::{CertificateParams, DnType, KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData, SanType};
use zeroize::Zeroizing;

use super::EnrolError;

/// ECDSA P-256, made here.
pub struct AgentKey(KeyPair);

impl AgentKey {
    /// A new one.
    pub fn generate() -> Result<Self, EnrolError> {
        KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)
            .map(AgentKey)
            .map_err(|e| EnrolError::Key(e.to_string()))
    }

    /// PKCS#8 PEM, for the key file alone.
    pub fn pem(&self) -> Zeroizing<String> {
        Zeroizing::new(self.0.serialize_pem())
    }

    /// The SubjectPublicKeyInfo, DER.
    pub fn public(&self) -> Vec<u8> {
        self.0.subject_public_key_info()
    }

    /// PKCS#10 with CN and SAN URI of `agent`, DER.
    pub fn request(&self, agent: &AgentId) -> Result<Vec<u8>, EnrolError> {
        let wrong = |e: rcgen::Error| EnrolError::Key(e.to_string());
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, agent.as_str());
        params.subject_alt_names = vec![SanType::URI(agent.urn().try_into().map_err(wrong)?)];
        let request = params.serialize_request(&self.0).map_err(wrong)?;
        Ok(request.der().to_vec())
    }
}
