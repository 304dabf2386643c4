//! Certificate requests (PKCS#10): whether one is that of the agent that may ask for it.

use callhome_shared::id::AgentId;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer;

/// Largest request (DER). One with a P-256 key has about 300 bytes.
pub const MAX_REQUEST_BYTES: usize = 8 * 1024;

/// Why a request is not granted.
#[derive(Debug, thiserror::Error)]
pub enum BadRequest {
    /// It is no request, or of a kind that is not taken.
    #[error("{0}")]
    Malformed(String),
    /// It asks for a name that is not the agent's.
    #[error("{0}")]
    Foreign(String),
}

/// Checks a request (DER) and answers its public key (`SubjectPublicKeyInfo`, DER). Only the
/// key, the subject and the alternative names count; everything else in it is ignored: what the
/// certificate says is decided by us.
pub fn public_key(der: &[u8], agent: &AgentId) -> Result<Vec<u8>, BadRequest> {
    let malformed = |why: &str| BadRequest::Malformed(why.to_owned());
    if der.len() > MAX_REQUEST_BYTES {
        return Err(malformed("the request is too large"));
    }
    let (rest, request) = X509CertificationRequest::from_der(der)
        .map_err(|_| malformed("the request is no PKCS#10"))?;
    if !rest.is_empty() {
        return Err(malformed("bytes follow the request"));
    }
    request
        .verify_signature()
        .map_err(|_| malformed("the request's signature is not that of its key"))?;
    let info = &request.certification_request_info;
    let names: Vec<_> = info.subject.iter_attributes().collect();
    let cn = info.subject.iter_common_name().next().and_then(|cn| cn.as_str().ok());
    if names.len() != 1 || cn != Some(agent.as_str()) {
        let why = format!("the request's subject is not CN={agent} alone");
        return Err(BadRequest::Foreign(why));
    }
    let wanted = agent.urn();
    for extension in request.requested_extensions().into_iter().flatten() {
        if let ParsedExtension::SubjectAlternativeName(san) = extension {
            let ours =
                |name: &GeneralName<'_>| matches!(name, GeneralName::URI(uri) if *uri == wanted);
            if !san.general_names.iter().all(ours) {
                let why = format!("the request's alternative names are not {wanted} alone");
                return Err(BadRequest::Foreign(why));
            }
        }
    }
    let key = info.subject_pki.raw;
    // What the CA can sign for, before a token is used up.
    rcgen::SubjectPublicKeyInfo::from_der(key)
        .map_err(|_| malformed("the request's key is of a kind that is not taken"))?;
    Ok(key.to_vec())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    /// A request with this subject and these URIs.
    pub(in crate::enrol) fn request(cn: &str, uris: &[&str]) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, cn);
        params.subject_alt_names =
            uris.iter().map(|u| SanType::URI((*u).try_into().unwrap())).collect();
        params.serialize_request(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn only_the_agents_own() {
        let a = AgentId::new("a").unwrap();
        assert!(public_key(&request("a", &["urn:callhome:agent:a"]), &a).is_ok());
        assert!(public_key(&request("a", &[]), &a).is_ok());
        for (cn, uris) in [
            ("b", &["urn:callhome:agent:a"][..]),
            ("a", &["urn:callhome:agent:b"]),
            ("a", &["urn:callhome:agent:a", "urn:callhome:collector:main"]),
        ] {
            assert!(public_key(&request(cn, uris), &a).is_err(), "{cn} {uris:?}");
        }
        let mut forged = request("a", &[]);
        let last = forged.len() - 1;
        forged[last] ^= 1;
        assert!(public_key(&forged, &a).is_err());
        let mut longer = request("a", &[]);
        longer.push(0);
        assert!(public_key(&longer, &a).is_err());
        assert!(public_key(b"", &a).is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_input_panics(bytes in proptest::collection::vec(0_u8.., 0..300)) {
            let _ = public_key(&bytes, &AgentId::new("a").unwrap());
        }
    }
}
