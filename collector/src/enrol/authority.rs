//! The certificate authority: signs the server's, the collector's and the agents' certificates and
//! the revocation list.

use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, SystemTime};

use callhome_shared::id::{AgentId, COLLECTOR_URN};
use callhome_shared::time::Time;
use callhome_shared::tls;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName,
    DnType, DnValue, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    PublicKeyData, RevokedCertParams, SanType, SerialNumber, SubjectPublicKeyInfo,
};
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};
use x509_parser::asn1_rs::Tag;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::x509::X509Name;

use super::EnrolError;
use super::files;

const DAY: Duration = Duration::from_secs(86_400);
/// Clocks of agents and collectors may differ by this much (by a tenth of its life for a certificate
/// that lives less than ten days).
const BACKDATED: Duration = DAY;
/// CA and offline root.
const CA_LIFE: Duration = Duration::from_secs(20 * 365 * 86_400);
/// A revocation list is renewed long before it ends; brokers that enforce its end need it to last
/// over a collector's outage.
const CRL_LIFE: Duration = Duration::from_secs(30 * 86_400);

/// How long certificates live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lives {
    /// Agents'.
    pub agent: Duration,
    /// The servers' and the collector's own.
    pub server: Duration,
}

impl Default for Lives {
    fn default() -> Self {
        Lives { agent: 365 * DAY, server: 365 * DAY }
    }
}

/// A certificate with its key, both PEM.
pub struct Issued {
    /// The chain: leaf first.
    pub chain: String,
    /// The key.
    pub key: zeroize::Zeroizing<String>,
}

/// A CA, with its key or without.
pub struct Authority {
    /// Its certificate.
    certificate: CertificateDer<'static>,
    /// The same in PEM.
    pem: String,
    /// What follows a server's certificate in its chain (PEM): the CA itself and whatever leads from
    /// it to CAs that clients may know.
    tail: String,
    /// `None`: it verifies, and issues nothing.
    issuer: Option<Issuer<'static, KeyPair>>,
    lives: Lives,
}

impl Authority {
    /// Makes a new CA.
    pub fn generate(organisation: &str, what: &str) -> Result<Self, EnrolError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = name(&format!("{organisation} {what}"), organisation);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = ca_usages();
        lasts(&mut params, CA_LIFE)?;
        let key = new_key()?;
        let certificate = params.self_signed(&key)?;
        let issuer = Some(Issuer::new(params, key));
        Ok(Authority::new(certificate.der().clone(), issuer))
    }

    fn new(certificate: CertificateDer<'static>, issuer: Option<Issuer<'static, KeyPair>>) -> Self {
        let pem = pem_of(&certificate);
        Authority { certificate, tail: pem.clone(), pem, issuer, lives: Lives::default() }
    }

    /// Takes a given CA; refuses what cannot work as one. Of several keys the one that is the
    /// certificate's is taken: while a CA is exchanged its file holds two.
    pub fn from_pem(certificate: &[u8], key: &[u8]) -> Result<Self, EnrolError> {
        let first = first(certificate)?;
        let key =
            std::str::from_utf8(key).map_err(|_| EnrolError::BadCa("key is no PEM".into()))?;
        let key = fitting_key(&first, key)?;
        check_ca(&first, Some(&key))?;
        let issuer = Issuer::from_ca_cert_der(&first, key)?;
        Ok(Authority::new(first, Some(issuer)))
    }

    /// Takes a given CA without its key: it can verify, and nothing else.
    pub fn verifying(certificate: &[u8]) -> Result<Self, EnrolError> {
        let first = first(certificate)?;
        check_ca(&first, None)?;
        Ok(Authority::new(first, None))
    }

    /// Reads a CA from its files; without a key file it only verifies.
    pub fn load(certificate: &Path, key: &Path) -> Result<Self, EnrolError> {
        let pem = files::read(certificate)?;
        if !key.exists() {
            return Authority::verifying(&pem);
        }
        let key = zeroize::Zeroizing::new(files::read(key)?);
        Authority::from_pem(&pem, &key)
    }

    /// The same CA with other lives for what it issues.
    pub fn with_lives(self, lives: Lives) -> Self {
        Authority { lives, ..self }
    }

    /// The same CA whose servers show these certificates after their own.
    pub fn with_tail(self, tail: &[&CertificateDer<'_>]) -> Self {
        let tail = tail.iter().map(|certificate| pem_of(certificate)).collect();
        Authority { tail, ..self }
    }

    /// Whether it can issue.
    pub fn has_key(&self) -> bool {
        self.issuer.is_some()
    }

    fn issuer(&self) -> Result<&Issuer<'static, KeyPair>, EnrolError> {
        self.issuer.as_ref().ok_or(EnrolError::NoCaKey)
    }

    /// What follows a server's certificate in its chain, PEM.
    pub fn tail(&self) -> &str {
        &self.tail
    }

    /// A certificate for `other`'s key and name, signed by this CA: who knows only this CA can
    /// verify what `other` issued (RFC 7030 calls it NewWithOld).
    pub fn cross_sign(&self, other: &Authority) -> Result<CertificateDer<'static>, EnrolError> {
        let (_, parsed) = X509Certificate::from_der(&other.certificate)
            .map_err(|e| EnrolError::BadCa(format!("cannot be parsed: {e}")))?;
        let public_key = SubjectPublicKeyInfo::from_der(parsed.public_key().raw)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = same_name(parsed.subject())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = ca_usages();
        params.use_authority_key_identifier_extension = true;
        let left = tls::not_after(&self.certificate)?.since_ms(Time::now()).max(1000);
        lasts(&mut params, Duration::from_millis(u64::try_from(left).unwrap_or(1000)))?;
        Ok(params.signed_by(&public_key, self.issuer()?)?.der().clone())
    }

    /// Its certificate.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// Its certificate in PEM.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Its key in PEM.
    pub fn key_pem(&self) -> Result<zeroize::Zeroizing<String>, EnrolError> {
        Ok(zeroize::Zeroizing::new(self.issuer()?.key().serialize_pem()))
    }

    /// A server certificate for these host names and addresses.
    pub fn server(&self, names: &[String]) -> Result<Issued, EnrolError> {
        let mut params = CertificateParams::default();
        let first = names.first().map_or("callhome", String::as_str);
        params.distinguished_name = common_name(first);
        params.subject_alt_names = names.iter().map(|n| san(n)).collect::<Result<_, _>>()?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.leaf(params)
    }

    /// The collector's client certificate.
    pub fn collector(&self, collector: &str) -> Result<Issued, EnrolError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = common_name(collector);
        params.subject_alt_names = vec![uri(&format!("{COLLECTOR_URN}{collector}"))?];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.leaf(params)
    }

    /// An agent's certificate for the public key (`SubjectPublicKeyInfo`, DER) of its request.
    pub fn agent(
        &self,
        agent: &AgentId,
        public_key: &[u8],
    ) -> Result<CertificateDer<'static>, EnrolError> {
        let public_key = SubjectPublicKeyInfo::from_der(public_key)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = common_name(agent.as_str());
        params.subject_alt_names = vec![uri(&agent.urn())?];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(params, &public_key, self.lives.agent).map(|c| c.der().clone())
    }

    /// A revocation list of these serial numbers (hex) and times.
    pub fn revocation_list(&self, revoked: &[(String, Time)]) -> Result<String, EnrolError> {
        let now = SystemTime::now();
        let revoked_certs = revoked
            .iter()
            .map(|(serial, at)| {
                Ok(RevokedCertParams {
                    serial_number: SerialNumber::from_slice(&unhex(serial)?),
                    revocation_time: system_time(*at).into(),
                    reason_code: None,
                    invalidity_date: None,
                })
            })
            .collect::<Result<Vec<_>, EnrolError>>()?;
        let params = CertificateRevocationListParams {
            this_update: (now - BACKDATED).into(),
            next_update: (now + CRL_LIFE).into(),
            crl_number: SerialNumber::from_slice(&Time::now().millis().to_be_bytes()),
            issuing_distribution_point: None,
            revoked_certs,
            key_identifier_method: KeyIdMethod::Sha256,
        };
        Ok(params.signed_by(self.issuer()?)?.pem()?)
    }

    fn leaf(&self, params: CertificateParams) -> Result<Issued, EnrolError> {
        let key = new_key()?;
        let certificate = self.sign(params, &key, self.lives.server)?;
        let chain = format!("{}{}", certificate.pem(), self.tail);
        Ok(Issued { chain, key: zeroize::Zeroizing::new(key.serialize_pem()) })
    }

    fn sign(
        &self,
        mut params: CertificateParams,
        key: &impl PublicKeyData,
        life: Duration,
    ) -> Result<rcgen::Certificate, EnrolError> {
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        lasts(&mut params, life)?;
        Ok(params.signed_by(key, self.issuer()?)?)
    }
}

/// Whether a stored certificate of ours must be made anew: other names, another chain, or less than
/// a third of its life is left.
pub fn must_renew(chain: &Path, authority: &Authority, names: &[String]) -> bool {
    let Ok(chain) = files::read(chain) else { return true };
    let Ok(chain) = tls::read_certificates(&chain) else { return true };
    let Ok(tail) = tls::read_certificates(authority.tail.as_bytes()) else { return true };
    let Some((leaf, rest)) = chain.split_first() else { return true };
    let ends_soon = tls::validity(leaf)
        .is_ok_and(|(from, to)| to.since_ms(Time::now()) < to.since_ms(from) / 3);
    ends_soon || rest != tail || sans(leaf) != Some(wanted(names))
}

fn wanted(names: &[String]) -> Vec<String> {
    let mut names = names.to_vec();
    names.sort();
    names
}

fn sans(certificate: &CertificateDer<'_>) -> Option<Vec<String>> {
    use x509_parser::extensions::GeneralName;
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let san = certificate.subject_alternative_name().ok()??;
    let mut names: Vec<String> = san
        .value
        .general_names
        .iter()
        .filter_map(|name| match name {
            GeneralName::DNSName(name) | GeneralName::URI(name) => Some((*name).to_owned()),
            GeneralName::IPAddress(bytes) => ip(bytes).map(|ip| ip.to_string()),
            _ => None,
        })
        .collect();
    names.sort();
    Some(names)
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    <[u8; 4]>::try_from(bytes)
        .map(IpAddr::from)
        .or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from))
        .ok()
}

/// The first certificate of a PEM text.
pub fn first(pem: &[u8]) -> Result<CertificateDer<'static>, EnrolError> {
    let all = tls::read_certificates(pem)?;
    all.into_iter().next().ok_or(EnrolError::BadCa("no certificate".into()))
}

/// Reads a PEM revocation list.
pub fn read_crl(pem: &[u8]) -> Result<CertificateRevocationListDer<'static>, EnrolError> {
    use rustls_pki_types::pem::PemObject;
    CertificateRevocationListDer::from_pem_slice(pem)
        .map_err(|e| EnrolError::BadCa(format!("revocation list: {e}")))
}

fn ca_usages() -> Vec<KeyUsagePurpose> {
    vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature]
}

/// Of the keys in a PEM text the one that is the certificate's, else the first one.
fn fitting_key(certificate: &CertificateDer<'_>, pem: &str) -> Result<KeyPair, EnrolError> {
    let public = X509Certificate::from_der(certificate).map(|(_, c)| c.public_key().raw.to_vec());
    let blocks = pem.match_indices("-----BEGIN ").map(|(at, _)| pem.get(at..).unwrap_or_default());
    let mut first = None;
    for block in blocks {
        let key = KeyPair::from_pem(block)?;
        if public.as_ref().is_ok_and(|public| *public == key.subject_public_key_info()) {
            return Ok(key);
        }
        first = first.or(Some(key));
    }
    first.ok_or_else(|| EnrolError::BadCa("the key file holds no key".into()))
}

fn check_ca(certificate: &CertificateDer<'_>, key: Option<&KeyPair>) -> Result<(), EnrolError> {
    let bad = |why: &str| Err(EnrolError::BadCa(why.to_owned()));
    let (_, parsed) = X509Certificate::from_der(certificate)
        .map_err(|e| EnrolError::BadCa(format!("the certificate cannot be parsed: {e}")))?;
    if key.is_some_and(|key| parsed.public_key().raw != key.subject_public_key_info().as_slice()) {
        return bad("the key is not the certificate's");
    }
    if !parsed.is_ca() {
        return bad("the certificate is not a CA's (basic constraints)");
    }
    let usage = parsed.key_usage().ok().flatten();
    if usage.is_some_and(|u| !u.value.key_cert_sign() || !u.value.crl_sign()) {
        return bad("the certificate's key usage lacks keyCertSign or cRLSign");
    }
    if parsed.validity().not_after.timestamp().saturating_mul(1000) <= Time::now().millis() {
        return bad("the certificate has expired");
    }
    Ok(())
}

pub(super) fn pem_of(certificate: &CertificateDer<'_>) -> String {
    use base64::Engine;
    let body = base64::engine::general_purpose::STANDARD.encode(certificate);
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in body.as_bytes().chunks(64) {
        pem.extend(line.iter().map(|b| char::from(*b)));
        pem.push('\n');
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    pem
}

fn new_key() -> Result<KeyPair, EnrolError> {
    Ok(KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?)
}

fn common_name(cn: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, cn);
    name
}

fn name(cn: &str, organisation: &str) -> DistinguishedName {
    // X.520 allows 64 characters.
    let mut name = common_name(&cn.chars().take(64).collect::<String>());
    name.push(DnType::OrganizationName, organisation);
    name
}

/// The name as it is written in a certificate, string types included: chains compare its bytes.
fn same_name(subject: &X509Name<'_>) -> Result<DistinguishedName, EnrolError> {
    let cannot = || EnrolError::BadCa("its name is of a kind that cannot be signed here".into());
    let mut name = DistinguishedName::new();
    for rdn in subject.iter() {
        let mut attributes = rdn.iter();
        let (Some(attribute), None) = (attributes.next(), attributes.next()) else {
            return Err(cannot());
        };
        let oid: Vec<u64> = attribute.attr_type().iter().ok_or_else(cannot)?.collect();
        let text = std::str::from_utf8(attribute.attr_value().data).map_err(|_| cannot())?;
        let value = match attribute.attr_value().tag() {
            Tag::Utf8String => DnValue::Utf8String(text.to_owned()),
            Tag::PrintableString => DnValue::PrintableString(text.try_into()?),
            Tag::Ia5String => DnValue::Ia5String(text.try_into()?),
            _ => return Err(cannot()),
        };
        name.push(DnType::from_oid(&oid), value);
    }
    Ok(name)
}

fn san(name: &str) -> Result<SanType, EnrolError> {
    Ok(match name.parse::<IpAddr>() {
        Ok(ip) => SanType::IpAddress(ip),
        Err(_) => SanType::DnsName(name.try_into()?),
    })
}

fn uri(uri: &str) -> Result<SanType, EnrolError> {
    Ok(SanType::URI(uri.try_into()?))
}

/// Validity, and a random serial number that needs no leading zero in DER.
fn lasts(params: &mut CertificateParams, life: Duration) -> Result<(), EnrolError> {
    let now = SystemTime::now();
    params.not_before = (now - BACKDATED.min(life / 10)).into();
    params.not_after = (now + life).into();
    let mut serial = [0_u8; 16];
    getrandom::fill(&mut serial).map_err(|e| EnrolError::Random(e.to_string()))?;
    serial[0] = serial[0] & 0x3f | 0x40;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    Ok(())
}

fn system_time(at: Time) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(at.millis()).unwrap_or(0))
}

fn unhex(text: &str) -> Result<Vec<u8>, EnrolError> {
    let digits = |pair: &[u8]| {
        std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok())
    };
    let bytes: Option<Vec<u8>> = text.as_bytes().chunks(2).map(digits).collect();
    bytes
        .filter(|_| text.len().is_multiple_of(2))
        .ok_or(EnrolError::BadCa(format!("serial {text:?}")))
}

#[cfg(test)]
mod tests;
