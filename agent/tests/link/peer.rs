//! The collector's role, on a client of its own.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use callhome_shared::ack::{Ack, Receipt};
use callhome_shared::alarm::Alarm;
use callhome_shared::envelope::{Envelope, Lane};
use callhome_shared::heartbeat::Heartbeat;
use callhome_shared::limits::MAX_PACKET_BYTES;
use callhome_shared::time::Time;
use callhome_shared::tls::{Identity, client_config, read_certificates};
use callhome_shared::topic::{UP_FILTER, Up};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{ConnectProperties, Packet, Publish};
use rumqttc::v5::{AsyncClient, Event, MqttOptions};
use rumqttc::{TlsConfiguration, Transport};
use uuid::Uuid;

use crate::mosquitto::Certificates;

#[derive(Default)]
struct Heard {
    envelopes: Vec<(Lane, u64)>,
    heartbeats: Vec<Heartbeat>,
    /// Alarms with their payload.
    alarms: Vec<Alarm>,
    /// Acknowledge what comes, and give alarms a ticket.
    answers: bool,
}

pub struct Collector {
    client: AsyncClient,
    heard: Arc<Mutex<Heard>>,
}

impl Collector {
    /// Connected and subscribed.
    pub async fn start(certificates: &Certificates, port: u16) -> Self {
        let read = |name: &str| std::fs::read(certificates.path(name)).unwrap();
        let identity = Identity::from_pem(&read("collector.pem"), &read("collector.key")).unwrap();
        let roots = read_certificates(&read("ca.pem")).unwrap();
        let tls = client_config(&roots, Some(identity)).unwrap();
        let mut options = MqttOptions::new("main", "localhost", port);
        let mut properties = ConnectProperties::new();
        properties.max_packet_size = Some(MAX_PACKET_BYTES);
        options
            .set_connect_properties(properties)
            .set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(Arc::new(tls))))
            .set_keep_alive(Duration::from_secs(5));
        let (client, mut events) = AsyncClient::new(options, 256);
        let heard = Arc::new(Mutex::new(Heard::default()));
        let (subscribed_tx, mut subscribed) = tokio::sync::mpsc::channel(1);
        let (to_subscribe, to_hear) = (client.clone(), heard.clone());
        tokio::spawn(async move {
            loop {
                match events.poll().await {
                    Ok(Event::Incoming(Packet::ConnAck(_))) => {
                        to_subscribe.try_subscribe(UP_FILTER, QoS::AtLeastOnce).unwrap();
                    }
                    Ok(Event::Incoming(Packet::SubAck(_))) => {
                        let _ = subscribed_tx.try_send(());
                    }
                    Ok(Event::Incoming(Packet::Publish(message))) => {
                        for (topic, payload) in hear(&to_hear, &message) {
                            let topic = format!("callhome/v1/a-1/{topic}");
                            let _ =
                                to_subscribe.try_publish(topic, QoS::AtLeastOnce, false, payload);
                        }
                    }
                    Ok(_) => {}
                    Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                }
            }
        });
        tokio::time::timeout(Duration::from_secs(10), subscribed.recv()).await.unwrap();
        Collector { client, heard }
    }

    pub async fn say(&self, topic: &str, payload: &[u8]) {
        let topic = format!("callhome/v1/a-1/{topic}");
        self.client.publish(topic, QoS::AtLeastOnce, false, payload.to_vec()).await.unwrap();
    }

    pub async fn ack(&self, ack: &Ack) {
        self.say("down/ack", &serde_json::to_vec(ack).unwrap()).await;
    }

    pub async fn receipt(&self, receipt: &Receipt) {
        self.say("down/receipt", &serde_json::to_vec(receipt).unwrap()).await;
    }

    pub fn acknowledge_from_now_on(&self) {
        self.heard.lock().unwrap().answers = true;
    }

    pub fn alarms(&self) -> Vec<Alarm> {
        self.heard.lock().unwrap().alarms.clone()
    }

    pub fn seen(&self, lane: Lane) -> Vec<u64> {
        let heard = self.heard.lock().unwrap();
        heard.envelopes.iter().filter(|(l, _)| *l == lane).map(|(_, seq)| *seq).collect()
    }

    pub fn count(&self, lane: Lane) -> usize {
        self.seen(lane).len()
    }

    pub fn heartbeats(&self) -> Vec<Heartbeat> {
        self.heard.lock().unwrap().heartbeats.clone()
    }
}

/// Takes a message in; what is to be said to it: topic and payload.
fn hear(heard: &Mutex<Heard>, message: &Publish) -> Vec<(&'static str, Vec<u8>)> {
    let topic = std::str::from_utf8(&message.topic).unwrap();
    let (_, up) = Up::parse(topic).unwrap();
    let mut heard = heard.lock().unwrap();
    if up == Up::Heartbeat {
        heard.heartbeats.push(serde_json::from_slice(&message.payload).unwrap());
        return Vec::new();
    }
    let properties = message.properties.clone().unwrap();
    assert_eq!(properties.content_type.as_deref(), Some("application/json"));
    let envelope = Envelope::from_binary(&properties.user_properties, &message.payload).unwrap();
    assert_eq!(up, if envelope.lane == Lane::Alarm { Up::Event } else { Up::Bulk });
    heard.envelopes.push((envelope.lane, envelope.seq));
    let (store, epoch, lane, seq) =
        (Uuid::from_u128(1), envelope.epoch, envelope.lane, envelope.seq);
    let ack = Ack { store, epoch, lane, seq, rejects: Vec::new() };
    let mut answers = vec![("down/ack", serde_json::to_vec(&ack).unwrap())];
    if let Ok(alarm) = serde_json::from_slice::<Alarm>(&envelope.data) {
        let receipt = Receipt {
            envelope: envelope.id,
            alarm_id: alarm.alarm_id,
            case: "c".into(),
            ticket: format!("T-{seq}"),
            committed_at: Time::now(),
        };
        answers.push(("down/receipt", serde_json::to_vec(&receipt).unwrap()));
        heard.alarms.push(alarm);
    }
    if heard.answers { answers } else { Vec::new() }
}
