//! ID tokens: signed by one of the provider's keys (RFC 7515, 7517, 7518), for us, now, for this log-in (OpenID Connect
//! Core 1.0, 3.1.3.7). What is not named here is not believed: no symmetric algorithms, no `none`. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey};
use serde::Deserialize;
use serde_json::{Map, Value};
use subtle::ConstantTimeEq;

/// Largest token that is looked at, bytes.
const MAX_BYTES: usize = 64 * 1024;
/// Keys of a set that are looked at.
const MAX_KEYS: usize = 100;
/// How far the provider's clock may be from ours, seconds.
const LEEWAY_S: f64 = 60.0;

/// Why a token is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is no signed token, or lacks what one must have.
    Malformed,
    /// It is not signed, or by an algorithm that is not taken.
    Algorithm,
    /// It is signed by a key that the provider does not name.
    Key,
    /// The signature does not fit.
    Signature,
    /// It is from another issuer.
    Issuer,
    /// It is for another program.
    Audience,
    /// It has ended.
    Expired,
    /// It begins later.
    NotYet,
    /// It is of another log-in.
    Nonce,
    /// It names nobody.
    Subject,
}

impl Fault {
    /// The word in the record, and for the console.
    pub fn as_str(self) -> &'static str {
        match self {
            Fault::Malformed => "oidc-token",
            Fault::Algorithm => "oidc-algorithm",
            Fault::Key => "oidc-key",
            Fault::Signature => "oidc-signature",
            Fault::Issuer => "oidc-issuer",
            Fault::Audience => "oidc-audience",
            Fault::Expired => "oidc-expired",
            Fault::NotYet => "oidc-not-yet",
            Fault::Nonce => "oidc-nonce",
            Fault::Subject => "oidc-subject",
        }
    }
}

/// The keys of a provider.
#[derive(Clone, Debug, Default)]
pub struct Keys(Vec<Key>);

#[derive(Clone, Debug)]
struct Key {
    kid: Option<String>,
    alg: Option<String>,
    material: Material,
}

#[derive(Clone, Debug)]
enum Material {
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    /// Of the curve `P-256` or `P-384`: an uncompressed point.
    Ec {
        curve: String,
        point: Vec<u8>,
    },
    Ed25519(Vec<u8>),
}

#[derive(Deserialize)]
struct WrittenKey {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl Keys {
    /// Reads a JWK set. Keys that we cannot use are passed over (RFC 7517, 5); `None` if it is no set.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let set: Value = serde_json::from_slice(text).ok()?;
        let all = set.get("keys")?.as_array()?;
        Some(Keys(all.iter().take(MAX_KEYS).filter_map(key).collect()))
    }

    /// Whether there is one of that name.
    fn knows(&self, kid: Option<&str>) -> bool {
        kid.is_none_or(|kid| self.0.iter().any(|key| key.kid.as_deref() == Some(kid)))
    }
}

fn key(written: &Value) -> Option<Key> {
    let written = WrittenKey::deserialize(written).ok()?;
    if written.purpose.as_deref().is_some_and(|purpose| purpose != "sig") {
        return None;
    }
    let bytes = |text: &Option<String>| URL_SAFE_NO_PAD.decode(text.as_deref()?).ok();
    let material = match written.kty.as_str() {
        "RSA" => Material::Rsa { n: bytes(&written.n)?, e: bytes(&written.e)? },
        "EC" => {
            let point = [vec![4], bytes(&written.x)?, bytes(&written.y)?].concat();
            Material::Ec { curve: written.crv?, point }
        }
        "OKP" if written.crv.as_deref() == Some("Ed25519") => Material::Ed25519(bytes(&written.x)?),
        _ => return None,
    };
    Some(Key { kid: written.kid, alg: written.alg, material })
}

/// What a token must say.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// The provider.
    pub issuer: &'a str,
    /// We.
    pub client: &'a str,
    /// Of this log-in.
    pub nonce: &'a str,
    /// Seconds since 1970.
    pub now: f64,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<Value>,
}

/// The claims of a token that is signed by one of `keys` and says what it must.
pub fn verify(
    token: &str,
    keys: &Keys,
    expected: Expected<'_>,
) -> Result<Map<String, Value>, Fault> {
    let claims = signed(token, keys)?;
    believe(&claims, expected)?;
    Ok(claims)
}

/// The claims, if the signature fits.
fn signed(token: &str, keys: &Keys) -> Result<Map<String, Value>, Fault> {
    if token.len() > MAX_BYTES {
        return Err(Fault::Malformed);
    }
    let (message, signature) = token.rsplit_once('.').ok_or(Fault::Malformed)?;
    let (header, payload) = message.split_once('.').ok_or(Fault::Malformed)?;
    let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_| Fault::Malformed);
    let header: Header = serde_json::from_slice(&decode(header)?).map_err(|_| Fault::Malformed)?;
    // Extensions that have to be understood: we understand none (RFC 7515, 4.1.11).
    if header.crit.is_some() {
        return Err(Fault::Malformed);
    }
    let algorithm = algorithm(&header.alg).ok_or(Fault::Algorithm)?;
    let (payload, signature) = (decode(payload)?, decode(signature)?);
    if !keys.knows(header.kid.as_deref()) {
        return Err(Fault::Key);
    }
    let named = keys.0.iter().filter(|key| {
        (header.kid.is_none() || key.kid == header.kid)
            && key.alg.as_ref().is_none_or(|alg| *alg == header.alg)
    });
    let fits = |key: &Key| algorithm.fits(&key.material, message.as_bytes(), &signature);
    if !named.into_iter().any(fits) {
        return Err(Fault::Signature);
    }
    serde_json::from_slice(&payload).map_err(|_| Fault::Malformed)
}

/// An algorithm that is taken.
enum Algorithm {
    Rsa(&'static signature::RsaParameters),
    Ec(&'static str, &'static signature::EcdsaVerificationAlgorithm),
    Ed25519,
}

fn algorithm(name: &str) -> Option<Algorithm> {
    Some(match name {
        "RS256" => Algorithm::Rsa(&signature::RSA_PKCS1_2048_8192_SHA256),
        "RS384" => Algorithm::Rsa(&signature::RSA_PKCS1_2048_8192_SHA384),
        "RS512" => Algorithm::Rsa(&signature::RSA_PKCS1_2048_8192_SHA512),
        "PS256" => Algorithm::Rsa(&signature::RSA_PSS_2048_8192_SHA256),
        "PS384" => Algorithm::Rsa(&signature::RSA_PSS_2048_8192_SHA384),
        "PS512" => Algorithm::Rsa(&signature::RSA_PSS_2048_8192_SHA512),
        "ES256" => Algorithm::Ec("P-256", &signature::ECDSA_P256_SHA256_FIXED),
        "ES384" => Algorithm::Ec("P-384", &signature::ECDSA_P384_SHA384_FIXED),
        "EdDSA" | "Ed25519" => Algorithm::Ed25519,
        _ => return None,
    })
}

impl Algorithm {
    fn fits(&self, key: &Material, message: &[u8], signature: &[u8]) -> bool {
        match (self, key) {
            (Algorithm::Rsa(parameters), Material::Rsa { n, e }) => {
                let key = RsaPublicKeyComponents { n, e };
                key.verify(parameters, message, signature).is_ok()
            }
            (Algorithm::Ec(wanted, algorithm), Material::Ec { curve, point }) => {
                let key = UnparsedPublicKey::new(*algorithm, point);
                curve == wanted && key.verify(message, signature).is_ok()
            }
            (Algorithm::Ed25519, Material::Ed25519(key)) => {
                let key = UnparsedPublicKey::new(&signature::ED25519, key);
                key.verify(message, signature).is_ok()
            }
            _ => false,
        }
    }
}

/// Whether the claims are for us, now, of this log-in.
fn believe(claims: &Map<String, Value>, expected: Expected<'_>) -> Result<(), Fault> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    if text("iss") != Some(expected.issuer) {
        return Err(Fault::Issuer);
    }
    let audience: Vec<&str> = match claims.get("aud") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).collect(),
        _ => return Err(Fault::Malformed),
    };
    if !audience.contains(&expected.client) {
        return Err(Fault::Audience);
    }
    // For whom it was made, where it is good for several.
    match claims.get("azp") {
        Some(azp) if azp.as_str() != Some(expected.client) => return Err(Fault::Audience),
        None if audience.len() > 1 => return Err(Fault::Audience),
        _ => {}
    }
    let moment = |name: &str| match claims.get(name) {
        Some(value) => value.as_f64().ok_or(Fault::Malformed).map(Some),
        None => Ok(None),
    };
    let end = moment("exp")?.ok_or(Fault::Malformed)?;
    if end + LEEWAY_S <= expected.now {
        return Err(Fault::Expired);
    }
    moment("iat")?.ok_or(Fault::Malformed)?;
    for name in ["iat", "nbf"] {
        if moment(name)?.is_some_and(|begin| begin > expected.now + LEEWAY_S) {
            return Err(Fault::NotYet);
        }
    }
    let nonce = text("nonce").unwrap_or_default();
    if !bool::from(nonce.as_bytes().ct_eq(expected.nonce.as_bytes())) {
        return Err(Fault::Nonce);
    }
    let subject = text("sub").unwrap_or_default();
    // OpenID Connect Core 1.0, 2: at most 255 characters.
    if subject.is_empty() || subject.len() > 255 {
        return Err(Fault::Subject);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
    use serde_json::json;

    const NOW: f64 = 1_800_000_000.0;

    fn expected() -> Expected<'static> {
        Expected { issuer: "https://id.example", client: "callhome", nonce: "n-1", now: NOW }
    }

    fn encode(value: &Value) -> String {
        URL_SAFE_NO_PAD.encode(value.to_string())
    }

    /// A provider with an elliptic key.
    struct Signer(EcdsaKeyPair, Keys);

    fn signer() -> Signer {
        let random = SystemRandom::new();
        let pkcs8 =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).unwrap();
        let point = pair.public_key().as_ref();
        let part = |range: std::ops::Range<usize>| URL_SAFE_NO_PAD.encode(&point[range]);
        let jwk = json!({ "kty": "EC", "crv": "P-256", "kid": "k1", "use": "sig", "alg": "ES256",
            "x": part(1..33), "y": part(33..65) });
        let unknown = json!({ "kty": "new", "kid": "k2" });
        let keys = Keys::parse(json!({ "keys": [unknown, jwk] }).to_string().as_bytes()).unwrap();
        Signer(pair, keys)
    }

    impl Signer {
        fn token(&self, header: &Value, claims: &Value) -> String {
            let message = format!("{}.{}", encode(header), encode(claims));
            let signature = self.0.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
            format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
        }

        fn said(&self, changed: Value) -> Result<Map<String, Value>, Fault> {
            let mut claims = json!({ "iss": "https://id.example", "aud": "callhome", "sub": "42",
                "nonce": "n-1", "iat": NOW - 5.0, "exp": NOW + 300.0 });
            for (name, value) in changed.as_object().unwrap() {
                claims[name] = value.clone();
            }
            let header = json!({ "alg": "ES256", "kid": "k1" });
            verify(&self.token(&header, &claims), &self.1, expected())
        }
    }

    #[test]
    fn only_what_is_for_us_now_and_of_this_log_in_is_believed() {
        let signer = signer();
        assert_eq!(signer.said(json!({})).unwrap()["sub"], "42");
        assert!(signer.said(json!({ "aud": ["callhome"] })).is_ok());
        assert!(signer.said(json!({ "aud": ["x", "callhome"], "azp": "callhome" })).is_ok());
        assert!(signer.said(json!({ "exp": NOW - 59.0 })).is_ok(), "within the leeway");
        for (changed, fault) in [
            (json!({ "iss": "https://id.example/" }), Fault::Issuer),
            (json!({ "aud": "other" }), Fault::Audience),
            (json!({ "aud": [] }), Fault::Audience),
            (json!({ "aud": ["x", "callhome"] }), Fault::Audience),
            (json!({ "azp": "x" }), Fault::Audience),
            (json!({ "azp": 1 }), Fault::Audience),
            (json!({ "aud": 7 }), Fault::Malformed),
            (json!({ "exp": NOW - 60.0 }), Fault::Expired),
            (json!({ "exp": "2099" }), Fault::Malformed),
            (json!({ "exp": null }), Fault::Malformed),
            (json!({ "nbf": NOW + 61.0 }), Fault::NotYet),
            (json!({ "nbf": "soon" }), Fault::Malformed),
            (json!({ "iat": NOW + 61.0 }), Fault::NotYet),
            (json!({ "nonce": "n-2" }), Fault::Nonce),
            (json!({ "nonce": null }), Fault::Nonce),
            (json!({ "sub": "" }), Fault::Subject),
            (json!({ "sub": 42 }), Fault::Subject),
        ] {
            assert_eq!(signer.said(changed.clone()), Err(fault), "{changed}");
        }
    }

    #[test]
    fn only_signatures_of_the_providers_keys_are_taken() {
        let signer = signer();
        let claims = json!({ "iss": "https://id.example" });
        let asked = |header: Value| signed(&signer.token(&header, &claims), &signer.1);
        assert!(asked(json!({ "alg": "ES256", "kid": "k1" })).is_ok());
        assert!(asked(json!({ "alg": "ES256" })).is_ok(), "a token that names no key");
        for (header, fault) in [
            (json!({ "alg": "none" }), Fault::Algorithm),
            (json!({ "alg": "None", "kid": "k1" }), Fault::Algorithm),
            (json!({ "alg": "HS256", "kid": "k1" }), Fault::Algorithm),
            (json!({ "alg": "RS256", "kid": "k1" }), Fault::Signature),
            (json!({ "alg": "ES384", "kid": "k1" }), Fault::Signature),
            (json!({ "alg": "ES256", "kid": "k9" }), Fault::Key),
            (json!({ "alg": "ES256", "kid": "k1", "crit": ["b64"] }), Fault::Malformed),
            (json!({ "kid": "k1" }), Fault::Malformed),
        ] {
            assert_eq!(asked(header.clone()), Err(fault), "{header}");
        }
        let header = json!({ "alg": "ES256", "kid": "k1" });
        let other = self::signer().token(&header, &claims);
        assert_eq!(signed(&other, &signer.1), Err(Fault::Signature));
        let unsigned = format!("{}.{}.", encode(&json!({ "alg": "none" })), encode(&claims));
        assert_eq!(signed(&unsigned, &signer.1), Err(Fault::Algorithm));
        let stripped = format!("{}.{}.", encode(&header), encode(&claims));
        assert_eq!(signed(&stripped, &signer.1), Err(Fault::Signature));
        // A key that is for something else, or for another algorithm.
        for wrong in [json!({ "use": "enc" }), json!({ "alg": "ES384" })] {
            let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
            let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap();
            let x = URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
            let mut jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": x });
            let message = format!("{}.{}", encode(&json!({ "alg": "EdDSA" })), encode(&claims));
            let sign = URL_SAFE_NO_PAD.encode(pair.sign(message.as_bytes()));
            let token = format!("{message}.{sign}");
            let set = |jwk: &Value| Keys::parse(json!({ "keys": [jwk] }).to_string().as_bytes());
            assert!(signed(&token, &set(&jwk).unwrap()).is_ok());
            for (name, value) in wrong.as_object().unwrap() {
                jwk[name] = value.clone();
            }
            assert_eq!(signed(&token, &set(&jwk).unwrap()), Err(Fault::Signature), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn fuzz_no_token_and_no_key_set_panics(
            junk in ".{0,200}", set in ".{0,200}", n in proptest::collection::vec(any::<u8>(), 0..80),
            alg in "(RS256|PS256|ES256|ES384|EdDSA|none)", at in 0usize..300, other: u8
        ) {
            let _ = Keys::parse(set.as_bytes());
            let odd = URL_SAFE_NO_PAD.encode(&n);
            let set = json!({ "keys": [
                { "kty": "RSA", "n": odd, "e": odd }, { "kty": "EC", "crv": "P-256", "x": odd, "y": odd },
                { "kty": "EC", "crv": "P-384", "x": odd, "y": odd }, { "kty": "OKP", "crv": "Ed25519", "x": odd },
            ] });
            let keys = Keys::parse(set.to_string().as_bytes()).unwrap();
            let token = format!("{}.{}.{odd}", encode(&json!({ "alg": alg })), encode(&json!({ "x": junk })));
            prop_assert!(verify(&token, &keys, expected()).is_err());
            prop_assert!(verify(&junk, &keys, expected()).is_err());
            // One byte of a good token changed: refused, whatever it was.
            let signer = signer();
            let header = json!({ "alg": "ES256", "kid": "k1" });
            let claims = json!({ "iss": "https://id.example", "aud": "callhome", "sub": "42",
                "nonce": "n-1", "iat": NOW, "exp": NOW + 300.0 });
            let good = signer.token(&header, &claims);
            prop_assert!(verify(&good, &signer.1, expected()).is_ok());
            let mut bytes = good.clone().into_bytes();
            let at = at % bytes.len();
            // The last character of a part has bits that mean nothing; decoding refuses those that are set.
            bytes[at] = other % 128;
            let bent = String::from_utf8(bytes).unwrap();
            prop_assert_eq!(verify(&bent, &signer.1, expected()).is_ok(), bent == good);
        }
    }
}
