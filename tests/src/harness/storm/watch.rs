//! Looks at the centre as a person does: over HTTPS, logged in, again and again.

use std::path::PathBuf;
use std::sync::PoisonError;
use std::time::Duration;

use anyhow::{Context, Result};
use callhome_shared::time::Time;
use serde_json::Value;

use super::inject::Board;
use crate::harness::api::Api;
use crate::harness::oracle::{Seen, SeenAlarm, SeenLoss, SeenTicket};
use crate::harness::world::{AGENT, World};

/// Who looks. Logs in again when a session ended (a clock jumped) or the collector was away.
pub struct Watcher {
    url: String,
    ca: PathBuf,
    password: String,
    api: Option<Api>,
}

impl Watcher {
    /// For a system whose collector answers now.
    pub async fn new(world: &World) -> Result<Self> {
        let password = world.reader_password().await?;
        Ok(Watcher { url: world.url(), ca: world.ca(), password, api: None })
    }

    /// Another one for the same system, not logged in yet.
    pub fn another(&self) -> Self {
        let Watcher { url, ca, password, .. } = self;
        Watcher { url: url.clone(), ca: ca.clone(), password: password.clone(), api: None }
    }

    async fn api(&mut self) -> Result<&Api> {
        if self.api.is_none() {
            let reader = crate::harness::world::READER;
            self.api = Some(Api::login(&self.url, &self.ca, reader, &self.password).await?);
        }
        self.api.as_ref().context("logged in")
    }

    /// Keeps the board up to date for ever.
    pub async fn watch(mut self, board: Board) {
        loop {
            match self.all("/api/v1/alarms?active=1&limit=200").await {
                Ok(alarms) => {
                    let standing =
                        alarms.iter().map(|a| (text(a, "device_name"), text(a, "resource")));
                    *board.lock().unwrap_or_else(PoisonError::into_inner) = standing.collect();
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(300)).await,
            }
            tokio::time::sleep(Duration::from_millis(400)).await;
        }
    }

    async fn all(&mut self, path: &str) -> Result<Vec<Value>> {
        let answer = self.api().await?.all(path).await;
        if answer.is_err() {
            self.api = None;
        }
        answer
    }

    /// Everything that the oracle wants.
    pub async fn seen(&mut self) -> Result<Seen> {
        let alarms = self.all("/api/v1/alarms?limit=200").await?;
        let tickets = self.all("/api/v1/tickets?state=all&limit=200").await?;
        let losses = self.all(&format!("/api/v1/agents/{AGENT}/losses?limit=200")).await?;
        Ok(Seen {
            alarms: alarms.iter().map(alarm).collect(),
            tickets: tickets.iter().map(ticket).collect(),
            losses: losses.iter().filter_map(loss).collect(),
        })
    }

    /// What the collector acknowledged, by epoch, of the alarm lane; and the number of rejects.
    pub async fn acknowledged(&mut self) -> Result<(Vec<(String, u64)>, usize)> {
        let path = format!("/api/v1/agents/{AGENT}");
        let answer = self.api().await?.get(&path).await;
        if answer.is_err() {
            self.api = None;
        }
        let answer = answer?;
        let streams = answer["streams"].as_array().cloned().unwrap_or_default();
        let acked = streams
            .iter()
            .filter(|s| s["lane"] == "alarm")
            .map(|s| (text(s, "epoch"), number(&s["acked_seq"])))
            .collect();
        Ok((acked, answer["rejects"].as_array().map_or(0, Vec::len)))
    }
}

/// A whole number, written as such or as decimal text.
pub fn number(value: &Value) -> u64 {
    value.as_u64().or_else(|| value.as_str().and_then(|t| t.parse().ok())).unwrap_or(0)
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().to_owned()
}

fn alarm(value: &Value) -> SeenAlarm {
    SeenAlarm {
        device: text(value, "device_name"),
        resource: text(value, "resource"),
        about: text(value, "type"),
        active: value["active"] == true,
        ticket: value["ticket"].as_str().map(str::to_owned),
    }
}

fn ticket(value: &Value) -> SeenTicket {
    SeenTicket {
        number: text(value, "number"),
        device: text(&value["device"], "name"),
        resource: text(value, "resource"),
        cleared: !value["condition_cleared_at"].is_null(),
        about: text(&value["title"], "key"),
    }
}

fn loss(value: &Value) -> Option<SeenLoss> {
    let time = |key: &str| Time::parse(value[key].as_str()?).ok().map(Time::millis);
    Some(SeenLoss { source: text(value, "source"), from: time("from_at")?, to: time("to_at")? })
}
