//! The provider: asked where its doors are, for its keys, and what a code is good for.

use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use callhome_shared::tls;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use reqwest::{Client, RequestBuilder, StatusCode};
use rustls::{ClientConfig, RootCertStore};
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::sync::Mutex;
use url::form_urlencoded;
use zeroize::Zeroizing;

use crate::access::oidc::jwt::{self, Expected, Fault, Keys};
use crate::access::oidc::{Refusal, may_be_asked};
use crate::settings::Oidc;

/// Of every answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Largest answer, bytes.
const MAX_ANSWER: usize = 256 * 1024;
/// What was learnt is asked for again after this.
const FRESH: Duration = Duration::from_secs(600);

/// What the provider says about itself (OpenID Connect Discovery 1.0).
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Metadata {
    issuer: String,
    pub(super) authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    #[serde(default)]
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    /// Its answers name it (RFC 9207).
    #[serde(default)]
    pub(super) authorization_response_iss_parameter_supported: bool,
}

#[derive(Clone)]
struct Learnt {
    at: Instant,
    metadata: Metadata,
    keys: Keys,
}

/// What the token endpoint answers.
#[derive(Deserialize)]
struct Answered {
    id_token: Option<Zeroizing<String>>,
    error: Option<String>,
}

/// The one provider of the configuration.
pub(super) struct Provider {
    pub(super) settings: Oidc,
    client: Client,
    /// One asks, the others wait for it.
    learnt: Mutex<Option<Learnt>>,
}

/// What the browser's cookie and the provider's answer hold.
pub(super) struct Shown<'a> {
    pub(super) code: &'a str,
    pub(super) verifier: &'a str,
    pub(super) nonce: &'a str,
    /// Seconds since 1970.
    pub(super) now: f64,
}

impl Provider {
    pub(super) fn new(settings: Oidc) -> anyhow::Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if let Some(pem) = &settings.ca {
            roots.add_parsable_certificates(tls::read_certificates(pem.as_bytes())?);
        }
        let config = ClientConfig::builder_with_provider(tls::provider())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let client = Client::builder()
            .tls_backend_preconfigured(config)
            .redirect(reqwest::redirect::Policy::none())
            .timeout(TIMEOUT)
            .user_agent(concat!("callhome-collector/", env!("CARGO_PKG_VERSION")))
            .build()
            .context("HTTP")?;
        Ok(Provider { settings, client, learnt: Mutex::default() })
    }

    /// What it says about itself, asked now or lately.
    pub(super) async fn metadata(&self) -> anyhow::Result<Metadata> {
        Ok(self.learn(false).await?.metadata)
    }

    async fn learn(&self, anew: bool) -> anyhow::Result<Learnt> {
        let mut learnt = self.learnt.lock().await;
        if let Some(known) = learnt.as_ref().filter(|known| !anew && known.at.elapsed() < FRESH) {
            return Ok(known.clone());
        }
        let issuer = &self.settings.issuer;
        let place = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let (status, text) = self.ask(self.client.get(&place)).await?;
        ensure!(status.is_success(), "{place} answers {status}");
        let metadata: Metadata = serde_json::from_slice(&text).context(place)?;
        ensure!(metadata.issuer == *issuer, "the provider calls itself {:?}", metadata.issuer);
        let doors =
            [&metadata.authorization_endpoint, &metadata.token_endpoint, &metadata.jwks_uri];
        for door in doors {
            ensure!(may_be_asked(door), "the provider names {door:?}: expected https://");
        }
        let (status, text) = self.ask(self.client.get(&metadata.jwks_uri)).await?;
        ensure!(status.is_success(), "{} answers {status}", metadata.jwks_uri);
        let keys = Keys::parse(&text).context("the provider's keys are no JWK set")?;
        let now = Learnt { at: Instant::now(), metadata, keys };
        *learnt = Some(now.clone());
        Ok(now)
    }

    /// The claims of whom a code is for.
    pub(super) async fn claims(&self, shown: &Shown<'_>) -> Result<Map<String, Value>, Refusal> {
        let failed = |error: anyhow::Error| {
            tracing::warn!(error = format!("{error:#}"), "api.oidc.provider");
            Refusal::Provider
        };
        let learnt = self.learn(false).await.map_err(failed)?;
        let token = self.exchange(&learnt.metadata, shown).await.map_err(failed)?;
        let token = token.ok_or(Refusal::Code)?;
        let expected = Expected {
            issuer: &self.settings.issuer,
            client: &self.settings.client_id,
            nonce: shown.nonce,
            now: shown.now,
        };
        match jwt::verify(&token, &learnt.keys, expected) {
            // Its keys are others now. The token came from the provider itself, so nobody makes us ask in vain.
            Err(Fault::Key | Fault::Signature) => {
                let learnt = self.learn(true).await.map_err(failed)?;
                jwt::verify(&token, &learnt.keys, expected).map_err(Refusal::Token)
            }
            known => known.map_err(Refusal::Token),
        }
    }

    /// The ID token for a code; `None` when the provider does not take the code.
    async fn exchange(
        &self,
        metadata: &Metadata,
        shown: &Shown<'_>,
    ) -> anyhow::Result<Option<Zeroizing<String>>> {
        let request = self.question(metadata, shown);
        let (status, text) = self.ask(request).await?;
        let answered: Option<Answered> = serde_json::from_slice(&text).ok();
        let error = answered.as_ref().and_then(|answered| answered.error.clone());
        if status == StatusCode::BAD_REQUEST && error.as_deref() == Some("invalid_grant") {
            return Ok(None);
        }
        if !status.is_success() {
            let error = error.unwrap_or_default();
            bail!("{} answers {status} {error:?}", metadata.token_endpoint);
        }
        let token = answered.and_then(|answered| answered.id_token);
        token.map(Some).ok_or_else(|| anyhow!("the provider gave no ID token"))
    }

    /// What is asked of the token endpoint.
    fn question(&self, metadata: &Metadata, shown: &Shown<'_>) -> RequestBuilder {
        let id = &self.settings.client_id;
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "authorization_code")
            .append_pair("code", shown.code)
            .append_pair("redirect_uri", &self.settings.redirect)
            .append_pair("code_verifier", shown.verifier);
        let mut request = self.client.post(&metadata.token_endpoint);
        let methods = metadata.token_endpoint_auth_methods_supported.as_deref();
        let offered = |method: &str| {
            methods.map_or(method == "client_secret_basic", |all| all.iter().any(|m| m == method))
        };
        match &self.settings.secret {
            Some(secret) if offered("client_secret_basic") || !offered("client_secret_post") => {
                let text =
                    Zeroizing::new(format!("{}:{}", *encoded(id), *encoded(secret.reveal())));
                let basic = Zeroizing::new(format!("Basic {}", STANDARD.encode(text.as_bytes())));
                request = request.header(AUTHORIZATION, basic.as_str());
            }
            Some(secret) => {
                form.append_pair("client_id", id).append_pair("client_secret", secret.reveal());
            }
            None => {
                form.append_pair("client_id", id);
            }
        }
        request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form.finish())
    }

    async fn ask(&self, request: RequestBuilder) -> anyhow::Result<(StatusCode, Vec<u8>)> {
        let mut answer = request.header(ACCEPT, "application/json").send().await?;
        let mut text = Vec::new();
        while let Some(chunk) = answer.chunk().await? {
            ensure!(text.len() + chunk.len() <= MAX_ANSWER, "more than {MAX_ANSWER} bytes");
            text.extend_from_slice(&chunk);
        }
        Ok((answer.status(), text))
    }
}

/// `application/x-www-form-urlencoded`, as RFC 6749, 2.3.1 wants it in the header.
fn encoded(text: &str) -> Zeroizing<String> {
    Zeroizing::new(form_urlencoded::byte_serialize(text.as_bytes()).collect())
}
