//! Log-in by an OpenID provider: what is asked, what of the answer is believed, and which role it gives. After OpenID
//! Connect Core 1.0. Pure.

pub mod jwt;

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use url::Url;

use self::jwt::Fault;

/// Why somebody was not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The answer does not belong to a log-in that this browser began.
    State,
    /// The answer says that it is another provider's (RFC 9207).
    Mixed,
    /// The provider refused.
    Denied,
    /// The provider did not take the code: used, ended or not its own.
    Code,
    /// The provider could not be asked, or what it says cannot be meant.
    Provider,
    /// The ID token is not believed.
    Token(Fault),
    /// The person has no role here.
    Role,
    /// The user is disabled.
    Disabled,
    /// Too many log-ins at the same time.
    Busy,
}

impl Refusal {
    /// All of them, as far as a person is told different words.
    pub const ALL: [Refusal; 18] = [
        Refusal::State,
        Refusal::Mixed,
        Refusal::Denied,
        Refusal::Code,
        Refusal::Provider,
        Refusal::Token(Fault::Malformed),
        Refusal::Token(Fault::Algorithm),
        Refusal::Token(Fault::Key),
        Refusal::Token(Fault::Signature),
        Refusal::Token(Fault::Issuer),
        Refusal::Token(Fault::Audience),
        Refusal::Token(Fault::Expired),
        Refusal::Token(Fault::NotYet),
        Refusal::Token(Fault::Nonce),
        Refusal::Token(Fault::Subject),
        Refusal::Role,
        Refusal::Disabled,
        Refusal::Busy,
    ];

    /// The word in the record, and for the console.
    pub fn as_str(self) -> &'static str {
        match self {
            Refusal::State => "oidc-state",
            Refusal::Mixed => "oidc-mixed",
            Refusal::Denied => "oidc-denied",
            Refusal::Code => "oidc-code",
            Refusal::Provider => "oidc-provider",
            Refusal::Token(fault) => fault.as_str(),
            Refusal::Role => "oidc-role",
            Refusal::Disabled => "oidc-disabled",
            Refusal::Busy => "oidc-busy",
        }
    }
}

/// Which role the provider's claim gives; `None`: none. `order`: all roles; of several that fit the last one counts.
/// The claim is a text or a list of texts; dots in its name go into objects unless there is a claim of that very name.
pub fn role(
    claims: &Map<String, Value>,
    claim: &str,
    map: &BTreeMap<String, String>,
    order: &[&str],
) -> Option<String> {
    let named = claims.get(claim).or_else(|| {
        let mut parts = claim.split('.');
        let first = claims.get(parts.next()?)?;
        parts.try_fold(first, |value, part| value.get(part))
    })?;
    let values: Vec<&str> = match named {
        Value::String(one) => vec![one],
        Value::Array(all) => all.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let given = values.into_iter().filter_map(|value| map.get(value));
    given.max_by_key(|role| order.iter().position(|known| known == role)).cloned()
}

/// Secrets and codes go over TLS, or not beyond this machine.
pub fn may_be_asked(place: &str) -> bool {
    let Ok(place) = Url::parse(place) else { return false };
    let host = place.host_str().unwrap_or_default();
    let here = matches!(host, "localhost" | "127.0.0.1" | "[::1]");
    !host.is_empty() && (place.scheme() == "https" || place.scheme() == "http" && here)
}

/// A log-in name for a new user: what the provider suggests, if that is one.
pub fn login_name(suggested: Option<&str>) -> Option<&str> {
    let letter = |c: char| c.is_alphanumeric() || "-_.@".contains(c);
    let fits = |name: &&str| (1..=64).contains(&name.chars().count()) && name.chars().all(letter);
    suggested.filter(fits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const ORDER: [&str; 3] = ["service_desk", "manager", "administrator"];

    fn given(claims: Value, claim: &str) -> Option<String> {
        let map = [("desk", "service_desk"), ("boss", "manager"), ("root", "administrator")];
        let map = map.map(|(value, role)| (value.to_owned(), role.to_owned())).into();
        role(claims.as_object().unwrap(), claim, &map, &ORDER)
    }

    #[test]
    fn the_highest_role_of_the_claim_counts_and_nothing_gives_none() {
        assert_eq!(given(json!({ "groups": "desk" }), "groups").as_deref(), Some("service_desk"));
        let several = json!({ "groups": ["other", "root", "desk", 7] });
        assert_eq!(given(several, "groups").as_deref(), Some("administrator"));
        let nested = json!({ "realm_access": { "roles": ["boss"] } });
        assert_eq!(given(nested, "realm_access.roles").as_deref(), Some("manager"));
        let literal = json!({ "a.b": "desk", "a": { "b": "root" } });
        assert_eq!(given(literal, "a.b").as_deref(), Some("service_desk"));
        for none in [json!({}), json!({ "groups": "x" }), json!({ "groups": { "desk": true } })] {
            assert_eq!(given(none, "groups"), None);
        }
    }

    #[test]
    fn secrets_go_over_tls_or_stay_on_this_machine() {
        let good =
            ["https://id.example/a", "http://127.0.0.1:1/", "http://[::1]:1", "http://localhost"];
        assert!(good.iter().all(|place| may_be_asked(place)));
        let bad =
            ["http://id.example", "http://127.0.0.1.example", "file:///etc", "id.example", ""];
        assert!(!bad.iter().any(|place| may_be_asked(place)));
    }

    #[test]
    fn words_of_refusals_differ() {
        let words: std::collections::BTreeSet<_> = Refusal::ALL.map(Refusal::as_str).into();
        assert_eq!(words.len(), Refusal::ALL.len());
    }

    #[test]
    fn a_suggested_name_is_a_name_or_nothing() {
        assert_eq!(login_name(Some("li.na@example.com")), Some("li.na@example.com"));
        for none in [None, Some(""), Some("a b"), Some("user:x"), Some("a/b")] {
            assert_eq!(login_name(none), None);
        }
        assert_eq!(login_name(Some("x".repeat(65).as_str())), None);
    }
}
