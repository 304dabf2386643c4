//! The connection to the plugin: commands to its control topic, answers from beside it.

use std::time::Duration;

use callhome_shared::id::new_uuid;
use callhome_shared::limits::MAX_PACKET_BYTES;
use callhome_shared::tls::{self, Identity};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{ConnectProperties, Packet, SubscribeReasonCode};
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};
use rumqttc::{TlsConfiguration, Transport};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::mpsc;

use super::wanted::{Client, Role};
use super::{SyncError, Target};

/// Where commands go.
const CONTROL: &str = "$CONTROL/dynamic-security/v1";
/// Where answers come from.
const RESPONSE: &str = "$CONTROL/dynamic-security/v1/response";
/// Commands in one message. Each makes the plugin write its whole file, while the broker waits.
pub(super) const COMMANDS: usize = 20;
/// Entries in one page of a list: a page has at most a packet's size.
const PAGE: usize = 50;
/// From connect to SUBACK.
const OPEN: Duration = Duration::from_secs(15);
/// An answer.
const ANSWER: Duration = Duration::from_secs(30);

/// A connection as administrator.
pub(super) struct Admin {
    client: AsyncClient,
    answers: mpsc::Receiver<Vec<u8>>,
}

/// Opens a connection, does `work` with it, closes it.
pub(super) async fn with_admin<T>(
    target: &Target,
    work: impl AsyncFnOnce(&mut Admin) -> Result<T, SyncError>,
) -> Result<T, SyncError> {
    let (client, mut events) = AsyncClient::new(options(target)?, 16);
    let opening = open(target, &client, &mut events);
    tokio::time::timeout(OPEN, opening).await.map_err(|_| SyncError::Silent("SUBACK"))??;
    let (to, answers) = mpsc::channel(16);
    let mut admin = Admin { client, answers };
    let done = tokio::select! {
        done = work(&mut admin) => done,
        ended = poll(&mut events, &to) => Err(ended),
    };
    if admin.client.disconnect().await.is_ok() {
        // Until the DISCONNECT is out or the broker has closed.
        let _ = tokio::time::timeout(Duration::from_secs(2), poll(&mut events, &to)).await;
    }
    done
}

fn options(target: &Target) -> Result<MqttOptions, SyncError> {
    let user = target.admin();
    let cas = target.cas.load();
    let issued = cas.issuing.collector(&user)?;
    let identity = Identity::from_pem(issued.chain.as_bytes(), issued.key.as_bytes())?;
    let config = tls::client_config(&cas.roots(), Some(identity))?;
    let mut options = MqttOptions::new(user, target.host.as_str(), target.port);
    let mut properties = ConnectProperties::new();
    properties.session_expiry_interval = Some(0);
    properties.max_packet_size = Some(MAX_PACKET_BYTES);
    options
        .set_connect_properties(properties)
        .set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(Arc::new(config))))
        .set_clean_start(true)
        .set_keep_alive(Duration::from_secs(30))
        .set_connection_timeout(OPEN.as_secs());
    Ok(options)
}

async fn open(
    target: &Target,
    client: &AsyncClient,
    events: &mut EventLoop,
) -> Result<(), SyncError> {
    loop {
        if let Event::Incoming(Packet::ConnAck(_)) = events.poll().await? {
            break;
        }
    }
    client.subscribe(RESPONSE, QoS::AtLeastOnce).await?;
    loop {
        if let Event::Incoming(Packet::SubAck(ack)) = events.poll().await? {
            return match ack.return_codes.first() {
                Some(SubscribeReasonCode::Success(_)) => Ok(()),
                Some(code) => Err(SyncError::not_admin(&target.admin(), code)),
                None => Err(SyncError::Silent("reason in the SUBACK")),
            };
        }
    }
}

/// Hands answers over; ends when the connection does.
async fn poll(events: &mut EventLoop, to: &mpsc::Sender<Vec<u8>>) -> SyncError {
    loop {
        match events.poll().await {
            Ok(Event::Incoming(Packet::Publish(publish)))
                if &publish.topic[..] == RESPONSE.as_bytes() =>
            {
                // Answers to somebody else's commands come here too: dropped when nobody reads.
                let _ = to.try_send(publish.payload.to_vec());
            }
            Ok(_) => {}
            Err(e) => return e.into(),
        }
    }
}

impl Admin {
    /// All roles with their rules.
    pub(super) async fn roles(&mut self) -> Result<Vec<Role>, SyncError> {
        self.list("listRoles", "roles").await
    }

    /// All clients with their roles.
    pub(super) async fn clients(&mut self) -> Result<Vec<Client>, SyncError> {
        self.list("listClients", "clients").await
    }

    async fn list<T: DeserializeOwned>(
        &mut self,
        command: &str,
        what: &str,
    ) -> Result<Vec<T>, SyncError> {
        let mut all = Vec::new();
        loop {
            let ask = json!({
                "command": command, "verbose": true, "count": PAGE, "offset": all.len()
            });
            let answer = self.send(vec![ask]).await?.pop().unwrap_or_default();
            let page: Vec<T> = serde_json::from_value(answer[what].clone())
                .map_err(|e| SyncError::Unreadable(format!("{command}: {e}")))?;
            let last = page.len() < PAGE;
            all.extend(page);
            if last {
                return Ok(all);
            }
        }
    }

    /// Sends commands as one message and waits for all answers: the `data` of each.
    pub(super) async fn send(&mut self, commands: Vec<Value>) -> Result<Vec<Value>, SyncError> {
        let mark = new_uuid().to_string();
        let count = commands.len();
        let marked: Vec<Value> = commands
            .into_iter()
            .map(|mut command| {
                command["correlationData"] = Value::String(mark.clone());
                command
            })
            .collect();
        let payload = json!({ "commands": marked }).to_string();
        self.client.publish(CONTROL, QoS::AtLeastOnce, false, payload).await?;
        let mut data = Vec::new();
        while data.len() < count {
            let answer = tokio::time::timeout(ANSWER, self.answers.recv()).await;
            let answer = answer.ok().flatten().ok_or(SyncError::Silent("answer of the plugin"))?;
            data.extend(answers(&answer, &mark)?);
        }
        Ok(data)
    }
}

#[derive(Deserialize)]
struct Answers {
    responses: Vec<Answer>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    #[serde(default)]
    command: String,
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    correlation_data: Option<String>,
    #[serde(default)]
    data: Value,
}

/// The data of those answers that carry `mark`.
fn answers(payload: &[u8], mark: &str) -> Result<Vec<Value>, SyncError> {
    let read: Answers =
        serde_json::from_slice(payload).map_err(|e| SyncError::Unreadable(e.to_string()))?;
    let ours = read.responses.into_iter().filter(|a| a.correlation_data.as_deref() == Some(mark));
    ours.map(|answer| match answer.error {
        // Another administrator was faster: what is wanted is there; the next round looks again.
        Some(why)
            if why.ends_with("already exists")
                || answer.command.starts_with("delete") && why.ends_with("not found") =>
        {
            Ok(Value::Null)
        }
        Some(why) => Err(SyncError::Refused { command: answer.command, why }),
        None => Ok(answer.data),
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_answers_and_their_errors() {
        let text = br#"{"responses":[{"command":"x","correlationData":"other","error":"no"},
            {"command":"createRole","correlationData":"m"},
            {"command":"listRoles","correlationData":"m","data":{"roles":[]}}]}"#;
        assert_eq!(answers(text, "m").unwrap(), [Value::Null, json!({"roles": []})]);
        let refused = br#"{"responses":[{"command":"createRole","correlationData":"m","error":"Internal error"}]}"#;
        assert!(matches!(answers(refused, "m"), Err(SyncError::Refused { .. })));
    }

    proptest::proptest! {
        #[test]
        fn no_answer_panics(payload: Vec<u8>, text in "[\\[\\]{}\":a-z,]{0,80}") {
            let _ = answers(&payload, "m");
            let _ = answers(text.as_bytes(), "m");
        }
    }
}
