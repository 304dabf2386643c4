//! The API's live events: the first moment at which a client can know that something is committed.

use anyhow::Result;
use serde_json::Value;
use tokio::sync::mpsc;

use super::api::Api;
use super::now_ms;

/// An alarm's event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The alarm life.
    pub alarm_id: String,
    /// When its event arrived here, milliseconds since 1970. The collector tells an event only
    /// after its transaction, so the commit was before that.
    pub at: i64,
}

/// Opens the stream of live events and hands out those of alarms as they arrive.
pub async fn alarms(api: &Api) -> Result<mpsc::UnboundedReceiver<Seen>> {
    let mut answer = api.stream("/api/v1/events").await?;
    let (tx, rx) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut text = String::new();
        while let Ok(Some(chunk)) = answer.chunk().await {
            let at = now_ms();
            text.push_str(&String::from_utf8_lossy(&chunk));
            while let Some(end) = text.find("\n\n") {
                let event: String = text.drain(..end + 2).collect();
                if let Some(alarm_id) = alarm_id(&event) {
                    let _ = tx.send(Seen { alarm_id, at });
                }
            }
        }
    });
    Ok(rx)
}

fn alarm_id(event: &str) -> Option<String> {
    if !event.contains("event: alarm") {
        return None;
    }
    let data = event.lines().find_map(|l| l.strip_prefix("data:"))?;
    let data: Value = serde_json::from_str(data).ok()?;
    Some(data["alarm_id"].as_str()?.to_owned())
}
