//! The collector's HTTPS API as a person's browser uses it.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use callhome_shared::tls;
use serde_json::{Value, json};

/// A logged-in client.
pub struct Api {
    client: reqwest::Client,
    base: String,
    csrf: String,
}

impl Api {
    /// Logs in; a password that must be changed is changed to `<password>-changed`.
    pub async fn login(base: &str, ca_pem: &Path, name: &str, password: &str) -> Result<Self> {
        let roots = tls::read_certificates(&std::fs::read(ca_pem)?)?;
        let config = tls::client_config(&roots, None)?;
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(config)
            .cookie_store(true)
            .timeout(Duration::from_secs(30))
            .build()?;
        let mut api = Api { client, base: base.to_owned(), csrf: String::new() };
        let answer =
            api.post("/api/v1/login", &json!({"name": name, "password": password})).await?;
        api.csrf = answer["csrf"].as_str().context("no csrf")?.to_owned();
        if answer["user"]["must_change_password"] == json!(true) {
            let new = format!("{password}-changed");
            api.post("/api/v1/me/password", &json!({"old": password, "new": new})).await?;
        }
        Ok(api)
    }

    /// GET, JSON.
    pub async fn get(&self, path: &str) -> Result<Value> {
        let answer = self.client.get(format!("{}{path}", self.base)).send().await?;
        read(path, answer).await
    }

    /// POST, JSON.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        let answer = self
            .client
            .post(format!("{}{path}", self.base))
            .header("x-csrf-token", &self.csrf)
            .header("content-type", "application/json")
            .body(body.to_string())
            .send()
            .await?;
        read(path, answer).await
    }

    /// DELETE.
    pub async fn delete(&self, path: &str) -> Result<Value> {
        let answer = self
            .client
            .delete(format!("{}{path}", self.base))
            .header("x-csrf-token", &self.csrf)
            .send()
            .await?;
        read(path, answer).await
    }

    /// The response itself, for streams.
    pub async fn stream(&self, path: &str) -> Result<reqwest::Response> {
        let answer = self
            .client
            .get(format!("{}{path}", self.base))
            .timeout(Duration::from_secs(24 * 3600))
            .send()
            .await?;
        if !answer.status().is_success() {
            bail!("{path}: {}", answer.status());
        }
        Ok(answer)
    }

    /// Every ticket, oldest page last, following the cursor.
    pub async fn all_tickets(&self) -> Result<Vec<Value>> {
        self.all("/api/v1/tickets?state=all&limit=200").await
    }

    /// Every item of a list that pages with `next`/`before`.
    pub async fn all(&self, path: &str) -> Result<Vec<Value>> {
        let mut items = Vec::new();
        let mut next: Option<String> = None;
        loop {
            let page = match &next {
                None => self.get(path).await?,
                Some(cursor) => self.get(&format!("{path}&before={cursor}")).await?,
            };
            items.extend(page["items"].as_array().cloned().unwrap_or_default());
            match &page["next"] {
                Value::String(cursor) => next = Some(cursor.clone()),
                Value::Number(cursor) => next = Some(cursor.to_string()),
                _ => return Ok(items),
            }
        }
    }

    /// Number of tickets by (device name, resource).
    pub async fn tickets_by_fault(&self) -> Result<BTreeMap<(String, String), Vec<Value>>> {
        let mut by_fault: BTreeMap<(String, String), Vec<Value>> = BTreeMap::new();
        for ticket in self.all_tickets().await? {
            let device = ticket["device"]["name"].as_str().unwrap_or_default().to_owned();
            let resource = ticket["resource"].as_str().unwrap_or_default().to_owned();
            by_fault.entry((device, resource)).or_default().push(ticket);
        }
        Ok(by_fault)
    }
}

async fn read(path: &str, answer: reqwest::Response) -> Result<Value> {
    let status = answer.status();
    let text = answer.text().await?;
    if !status.is_success() {
        bail!("{path}: {status}: {text}");
    }
    if text.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_str(&text).with_context(|| format!("{path}: no JSON: {text}"))
}
