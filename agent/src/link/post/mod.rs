//! The road of last resort: HTTPS POST where MQTT cannot pass. The session is the same; only what
//! carries it differs: one connection brings envelopes, another waits for what comes down.

mod batch;
mod http;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use callhome_shared::id::{AgentId, new_uuid};
use callhome_shared::post::{Answer, MAX_WAIT_S, Message, Standing};
use callhome_shared::topic::Down;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::SubscribeReasonCode;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use super::client::{CHANNEL, Client, Connected, EVENTS, Letter, News, Poller};
use super::dial::Dialer;
use super::{Failure, downward};
use crate::settings::Road;
use batch::Batch;
use http::{Http, Reply};

/// Between two requests that wait, when the first was answered at once with nothing.
const PAUSE: Duration = Duration::from_secs(1);

/// Asks once, so that every refusal is known, and starts.
pub(super) async fn connect(
    dialer: Dialer,
    road: &Arc<Road>,
    keep_alive: Duration,
) -> Result<Connected, Failure> {
    let agent = dialer.agent.clone();
    let mut bringing = Http::new(dialer.clone(), road.clone());
    let hello = match bringing.post(Bytes::from_static(b"[]"), 0).await? {
        Reply::Answer(answer) => answer,
        Reply::Later(..) => return Err(Failure::Post("the collector is busy".into())),
    };
    if hello.standing == Standing::AlarmsOnly {
        tracing::warn!("our certificate has expired: the collector takes alarms only");
    }
    let (letters, queue) = mpsc::channel(CHANNEL);
    let (tx, news) = mpsc::channel(EVENTS);
    let mailer = Mailer { agent: agent.clone(), news: tx };
    let waiting = Http::new(dialer, road.clone());
    let poller = Poller(tokio::spawn(async move {
        let told = mailer.tell(hello);
        if let Err(failure) = told {
            return failure;
        }
        tokio::select! {
            failure = mailer.bring(bringing, queue) => failure,
            failure = mailer.fetch(waiting, keep_alive) => failure,
        }
    }));
    Ok(Connected { agent, connection: new_uuid(), client: Client::Post(letters), news, poller })
}

/// Between the session and the two connections.
struct Mailer {
    agent: AgentId,
    news: mpsc::Sender<News>,
}

impl Mailer {
    /// Brings what the session hands over, until it leaves or something fails.
    async fn bring(&self, mut http: Http, mut queue: mpsc::Receiver<Letter>) -> Failure {
        while let Some(first) = queue.recv().await {
            let mut batch = Batch::default();
            batch.add(&self.agent, first);
            while batch.has_room()
                && let Ok(next) = queue.try_recv()
            {
                batch.add(&self.agent, next);
            }
            if let Err(failure) = self.deliver(&mut http, &batch).await {
                return failure;
            }
            if batch.leave {
                break;
            }
        }
        Failure::Lost("left".into())
    }

    async fn deliver(&self, http: &mut Http, batch: &Batch) -> Result<(), Failure> {
        if batch.subscribe {
            self.say(News::SubAck(vec![SubscribeReasonCode::Success(QoS::AtLeastOnce)]))?;
        }
        if batch.events.is_empty() {
            return Ok(());
        }
        let body = batch.body();
        loop {
            match http.post(body.clone(), 0).await? {
                Reply::Answer(answer) => {
                    for _ in 0..batch.envelopes {
                        self.say(News::PubAck { id: 0, refused: None })?;
                    }
                    return self.tell(answer);
                }
                Reply::Later(pause, why) => {
                    tracing::debug!(link.why = why, "the collector wants a pause");
                    sleep(pause).await;
                }
            }
        }
    }

    /// Waits at the collector for what comes down.
    async fn fetch(&self, mut http: Http, keep_alive: Duration) -> Failure {
        let wait = keep_alive.as_secs().clamp(1, MAX_WAIT_S);
        loop {
            let asked = Instant::now();
            let pause = match http.post(Bytes::from_static(b"[]"), wait).await {
                Ok(Reply::Answer(answer)) => {
                    let empty = answer.messages.is_empty();
                    if let Err(failure) = self.tell(answer).and_then(|()| self.say(News::Alive)) {
                        return failure;
                    }
                    if empty && asked.elapsed() < PAUSE { PAUSE } else { Duration::ZERO }
                }
                Ok(Reply::Later(pause, _)) => pause,
                Err(failure) => return failure,
            };
            sleep(pause).await;
        }
    }

    fn tell(&self, answer: Answer) -> Result<(), Failure> {
        answer.messages.iter().try_for_each(|message| self.say(self.understand(message)))
    }

    fn understand(&self, message: &Message) -> News {
        let Some(down) = Down::from_name(&message.topic) else {
            let topic: String = message.topic.chars().take(80).collect();
            return News::Malformed(format!("unknown topic {topic:?}"));
        };
        let topic = down.topic(&self.agent);
        match downward::read(&self.agent, topic.as_bytes(), message.payload.get().as_bytes()) {
            Ok(down) => News::Down(down),
            Err(why) => News::Malformed(why),
        }
    }

    fn say(&self, news: News) -> Result<(), Failure> {
        self.news.try_send(news).map_err(|e| match e {
            mpsc::error::TrySendError::Full(_) => Failure::Stalled("the collector outruns us"),
            mpsc::error::TrySendError::Closed(_) => Failure::Lost("given up".into()),
        })
    }
}
