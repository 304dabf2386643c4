//! Log-in at a real OpenID provider (the certified `oidc-provider`, run by Node.js), and what attackers try.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::process::Stdio;

use callhome_shared::tls;
use reqwest::header::{COOKIE, LOCATION, SET_COOKIE};
use reqwest::{Client, Response, Url};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use super::site::{PASSWORD, Site};
use crate::api::oidc::Door;
use crate::settings::{Oidc, Secret};
use crate::store::{audit, users};

/// The provider's process.
struct Provider {
    issuer: String,
    client: Client,
    _child: Child,
}

fn client(site: &Site) -> Client {
    let tls = tls::client_config(std::slice::from_ref(&site.root), None).unwrap();
    let client = Client::builder()
        .tls_backend_preconfigured(tls)
        .resolve("localhost", site.address)
        .redirect(reqwest::redirect::Policy::none());
    client.build().unwrap()
}

fn redirect(site: &Site) -> String {
    format!("https://localhost:{}/api/v1/oidc/callback", site.address.port())
}

impl Provider {
    /// `None`, said aloud, where it is not installed.
    async fn start(site: &Site) -> Option<Provider> {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/oidc");
        if !dir.join("node_modules/oidc-provider").is_dir() {
            eprintln!(
                "skipped: no OpenID provider in tests/oidc (make deps-test, or npm ci there)"
            );
            return None;
        }
        let mut child = Command::new("node")
            .arg("provider.mjs")
            .arg(redirect(site))
            .current_dir(dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut issuer = lines.next_line().await.unwrap().expect("the provider's address");
        while !issuer.starts_with("http://") {
            issuer = lines.next_line().await.unwrap().expect("the provider's address");
        }
        Some(Provider { issuer, client: client(site), _child: child })
    }

    fn settings(&self, site: &Site, alg: &str) -> Oidc {
        let roles = [("desk", "service_desk"), ("boss", "manager"), ("root", "administrator")];
        Oidc {
            issuer: self.issuer.clone(),
            client_id: format!("callhome-{alg}"),
            secret: Some(Secret::new("a/secret+with:odd &signs".to_owned())),
            label: Some("工号登录".to_owned()),
            role_claim: "groups".to_owned(),
            roles: BTreeMap::from(roles.map(|(value, role)| (value.into(), role.into()))),
            scopes: vec!["openid".to_owned(), "profile".to_owned()],
            ca: None,
            administrators_only: true,
            redirect: redirect(site),
        }
    }

    async fn control(&self, what: &str, how: Value) {
        let request = self.client.post(format!("{}/-/{what}", self.issuer));
        assert_eq!(request.body(how.to_string()).send().await.unwrap().status(), 200);
    }

    async fn bend(&self, how: Value) {
        self.control("bend", json!({ "how": how })).await;
    }

    /// Logs in there as a person does; answers where the browser is sent back to.
    async fn walk(&self, place: &str, login: &str) -> Url {
        let mut jar: HashMap<String, String> = HashMap::new();
        let (mut place, mut form) = (Url::parse(place).unwrap(), None::<&str>);
        for _ in 0..20 {
            let cookies: Vec<String> = jar.iter().map(|(k, v)| format!("{k}={v}")).collect();
            let request = match form.take() {
                Some(prompt) => {
                    let fields = [("prompt", prompt), ("login", login), ("password", "x")];
                    self.client.post(place.clone()).form(&fields)
                }
                None => self.client.get(place.clone()),
            };
            let answer = request.header(COOKIE, cookies.join("; ")).send().await.unwrap();
            for (name, value) in set_cookies(&answer) {
                jar.insert(name, value);
            }
            if let Some(next) = answer.headers().get(LOCATION) {
                place = place.join(next.to_str().unwrap()).unwrap();
                if place.path() == "/api/v1/oidc/callback" {
                    return place;
                }
                continue;
            }
            let page = answer.text().await.unwrap();
            let prompts = ["login", "consent"];
            let asked = |prompt: &&str| page.contains(&format!("value=\"{prompt}\""));
            form = Some(prompts.into_iter().find(asked).unwrap_or_else(|| panic!("{page}")));
        }
        panic!("the provider never sends the browser back");
    }
}

fn set_cookies(answer: &Response) -> Vec<(String, String)> {
    let all = answer.headers().get_all(SET_COOKIE).iter();
    let pair = |text: &str| {
        let (name, rest) = text.split_once('=').unwrap();
        (name.to_owned(), rest.split(';').next().unwrap().to_owned())
    };
    all.map(|cookie| pair(cookie.to_str().unwrap())).collect()
}

/// A browser.
struct Person<'a> {
    site: &'a Site,
    client: Client,
}

/// How a log-in ended.
#[derive(Debug)]
struct Ended {
    to: String,
    session: Option<String>,
}

impl Person<'_> {
    /// Begins; answers the cookie and where the provider is.
    async fn begin(&self) -> (String, String) {
        let start = redirect(self.site).replace("callback", "start");
        let answer = self.client.get(start).send().await.unwrap();
        assert_eq!(answer.status(), 303);
        let cookie = answer.headers()[SET_COOKIE].to_str().unwrap().to_owned();
        let said = ["__Host-callhome_oidc=", "Path=/", "HttpOnly", "Secure", "SameSite=Lax"];
        assert!(said.iter().all(|part| cookie.contains(part)), "{cookie}");
        let cookie = cookie.split(';').next().unwrap().to_owned();
        (cookie, answer.headers()[LOCATION].to_str().unwrap().to_owned())
    }

    async fn back(&self, cookie: &str, place: Url) -> Ended {
        let answer = self.client.get(place).header(COOKIE, cookie).send().await.unwrap();
        assert_eq!(answer.status(), 303, "{:?}", answer.text().await);
        let to = answer.headers()[LOCATION].to_str().unwrap().to_owned();
        let session = set_cookies(&answer).into_iter().find(|(name, _)| name == "callhome_session");
        Ended { to, session: session.map(|(_, value)| value) }
    }

    async fn log_in(&self, provider: &Provider, login: &str) -> Ended {
        let (cookie, place) = self.begin().await;
        self.back(&cookie, provider.walk(&place, login).await).await
    }

    /// Logs in; who that is here.
    async fn known(&self, provider: &Provider, login: &str) -> Value {
        let ended = self.log_in(provider, login).await;
        assert_eq!(ended.to, "/", "{ended:?}");
        let mut browser = self.site.browser();
        browser.cookie = ended.session.expect("a session");
        browser.get("/api/v1/me").await.json().await.unwrap()
    }
}

async fn refusals(site: &Site) -> Vec<String> {
    let mut rows = audit::after(&site.db, 0, 10_000).await.unwrap();
    rows.retain(|row| row.what == "login-refused");
    let why = |detail: &str| {
        let detail: Value = serde_json::from_str(detail).unwrap();
        detail["why"].as_str().unwrap().to_owned()
    };
    rows.iter().map(|row| why(&row.detail)).collect()
}

#[tokio::test]
async fn people_of_a_real_provider_log_in_with_the_role_that_it_gives() {
    let site = Site::start().await;
    let Some(provider) = Provider::start(&site).await else { return };
    site.user("wang", "manager").await;
    site.user("root", "administrator").await;
    let ways: Value = site.browser().get("/api/v1/login").await.json().await.unwrap();
    assert_eq!(ways, json!({ "password": "all" }));
    site.api.let_in(Door::new(provider.settings(&site, "RS256")).unwrap());
    let ways: Value = site.browser().get("/api/v1/login").await.json().await.unwrap();
    assert_eq!(ways, json!({ "password": "administrators", "oidc": { "label": "工号登录" } }));
    let person = Person { site: &site, client: client(&site) };

    let me = person.known(&provider, "li.na:other,desk").await;
    let user = json!({ "name": "li.na", "display_name": "li.na 先生", "role": "service_desk",
        "language": "en", "must_change_password": false });
    assert_eq!(me["user"], user);
    assert_eq!(person.known(&provider, "li.na:desk").await["user"], user, "the same one again");
    assert_eq!(person.known(&provider, "li.na:boss,desk").await["user"]["role"], "manager");
    // A name that is taken is another person's.
    let other = person.known(&provider, "wang:desk").await["user"]["name"].clone();
    assert!(other.as_str().unwrap().starts_with("wang-"), "{other}");
    assert_eq!(users::count(&site.db).await.unwrap(), 4);
    // Who has no role here is no user, or is one no longer.
    for login in ["eve", "eve:other", "li.na:other"] {
        let ended = person.log_in(&provider, login).await;
        assert_eq!((ended.to.as_str(), ended.session), ("/?login=oidc-role", None), "{login}");
    }
    let sql = "UPDATE users SET disabled_at = 1 WHERE name = 'li.na'";
    site.db.execute(sql, vec![]).await.unwrap();
    let ended = person.log_in(&provider, "li.na:boss").await;
    assert_eq!((ended.to.as_str(), ended.session), ("/?login=oidc-disabled", None));
    assert_eq!(users::count(&site.db).await.unwrap(), 4);

    // The session ends as any other.
    let mut browser = site.browser();
    browser.cookie = person.log_in(&provider, "wang:desk").await.session.unwrap();
    let me: Value = browser.get("/api/v1/me").await.json().await.unwrap();
    browser.csrf = me["csrf"].as_str().unwrap().to_owned();
    assert_eq!(browser.post("/api/v1/logout", json!({})).await.status(), 204);
    assert_eq!(browser.get("/api/v1/me").await.status(), 401);

    // By password only administrators; what is wrong is not told to who does not know the password.
    let mut browser = site.browser();
    assert_eq!(browser.log_in("wang", "wrong password").await.status(), 401);
    let refused = browser.log_in("wang", PASSWORD).await;
    assert_eq!(refused.status(), 403);
    let refused: Value = refused.json().await.unwrap();
    assert_eq!(refused["error"]["code"], "password_login_off");
    assert_eq!(browser.log_in("root", PASSWORD).await.status(), 200);
    let mut told = refusals(&site).await;
    told.sort();
    let role = ["oidc-disabled", "oidc-role", "oidc-role", "oidc-role", "password", "password-off"];
    assert_eq!(told, role);
}

#[tokio::test]
async fn what_attackers_try_at_the_log_in_is_refused_and_new_keys_are_learnt() {
    let site = Site::start().await;
    let Some(provider) = Provider::start(&site).await else { return };
    site.api.let_in(Door::new(provider.settings(&site, "ES256")).unwrap());
    let person = Person { site: &site, client: client(&site) };
    let mut expected = Vec::new();
    let mut refused = |ended: Ended, why: &'static str| {
        assert_eq!((ended.to, ended.session), (format!("/?login={why}"), None));
        expected.push(why.to_owned());
    };

    // Somebody else's answer, an answer without a log-in, another state, another provider.
    let (cookie, place) = person.begin().await;
    let (other, _) = person.begin().await;
    let answer = provider.walk(&place, "li.na:desk").await;
    refused(person.back(&other, answer.clone()).await, "oidc-state");
    refused(person.back("", answer.clone()).await, "oidc-state");
    let changed = |name: &str, value: &str| {
        let mut changed = answer.clone();
        let pairs: Vec<_> = answer.query_pairs().into_owned().collect();
        changed.query_pairs_mut().clear();
        for (key, old) in pairs {
            let value = if key == name { value } else { &old };
            changed.query_pairs_mut().append_pair(&key, value);
        }
        changed
    };
    refused(person.back(&cookie, changed("state", "x")).await, "oidc-state");
    let elsewhere = changed("iss", "https://elsewhere.example");
    refused(person.back(&cookie, elsewhere).await, "oidc-mixed");
    let mut without = answer.clone();
    let state = answer.query_pairs().find(|(key, _)| key == "state").unwrap().1.into_owned();
    without.query_pairs_mut().clear().append_pair("state", &state).append_pair("code", "x");
    refused(person.back(&cookie, without).await, "oidc-mixed");
    let mut denied = answer.clone();
    denied.query_pairs_mut().append_pair("error", "access_denied");
    refused(person.back(&cookie, denied).await, "oidc-denied");
    refused(person.back(&cookie, changed("code", "made-up")).await, "oidc-code");
    // Another verifier than that of the challenge.
    let (parts, verifier) = cookie.rsplit_once('.').unwrap();
    let bent = format!("{parts}.{}", verifier.chars().rev().collect::<String>());
    refused(person.back(&bent, answer.clone()).await, "oidc-code");
    assert_eq!(users::count(&site.db).await.unwrap(), 0, "nobody was let in so far");

    // The right one, once.
    let (cookie, place) = person.begin().await;
    let answer = provider.walk(&place, "li.na:desk").await;
    assert_eq!(person.back(&cookie, answer.clone()).await.to, "/");
    refused(person.back(&cookie, answer).await, "oidc-code");

    for (how, why) in [
        ("nonce", "oidc-nonce"),
        ("issuer", "oidc-issuer"),
        ("audience", "oidc-audience"),
        ("expired", "oidc-expired"),
        ("none", "oidc-algorithm"),
        ("signature", "oidc-signature"),
        ("foreign", "oidc-key"),
    ] {
        provider.bend(json!(how)).await;
        refused(person.log_in(&provider, "li.na:root").await, why);
    }
    provider.bend(Value::Null).await;
    assert_eq!(person.known(&provider, "li.na:desk").await["user"]["role"], "service_desk");

    provider.control("rotate", Value::Null).await;
    assert_eq!(person.known(&provider, "li.na:desk").await["user"]["name"], "li.na");
    assert_eq!(users::count(&site.db).await.unwrap(), 1);
    let mut told = refusals(&site).await;
    told.sort();
    expected.sort();
    assert_eq!(told, expected);
}

#[tokio::test]
async fn a_provider_that_is_another_one_or_is_not_there_is_not_asked_for_anything() {
    let site = Site::start().await;
    let Some(provider) = Provider::start(&site).await else { return };
    // It calls itself 127.0.0.1.
    let mut settings = provider.settings(&site, "RS256");
    settings.issuer = settings.issuer.replace("127.0.0.1", "localhost");
    site.api.let_in(Door::new(settings.clone()).unwrap());
    let start = redirect(&site).replace("callback", "start");
    let answer = client(&site).get(&start).send().await.unwrap();
    assert_eq!(answer.headers()[LOCATION], "/?login=oidc-provider");

    let site = Site::start().await;
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    settings.issuer = format!("http://{}", closed.local_addr().unwrap());
    drop(closed);
    site.api.let_in(Door::new(settings).unwrap());
    let start = redirect(&site).replace("callback", "start");
    let answer = client(&site).get(&start).send().await.unwrap();
    assert_eq!(answer.headers()[LOCATION], "/?login=oidc-provider");
}
