//! The road of last resort: HTTPS POST where MQTT cannot pass. The session is the same; only what
//! carries it differs: one connection brings envelopes, another waits for what comes down.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use callhome_shared::envelope::{CONTENT_TYPE, Envelope, SPEC_VERSION};
use callhome_shared::id::{AgentId, new_uuid};
use callhome_shared::limits::{MAX_POST_BYTES, MAX_POST_EVENTS};
use callhome_shared::post::{Answer, BATCH_TYPE, MAX_WAIT_S, Message, PATH, Standing};
use callhome_shared::time::Time;
use callhome_shared::topic::Down;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONTENT_TYPE as TYPE_HEADER, HOST, RETRY_AFTER, USER_AGENT};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::SubscribeReasonCode;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::Failure;
use super::client::{CHANNEL, Client, Connected, EVENTS, News, Poller};
use super::dial::Dialer;
use super::downward;
use crate::settings::Road;

/// Beyond the time that the collector was asked to wait.
const ANSWER: Duration = Duration::from_secs(25);
/// Largest answer that is read: the collector keeps at most 4 MiB for us.
const MAX_ANSWER_BYTES: usize = 8 * 1024 * 1024;
/// Bytes after which no further event is put into a request.
const ENOUGH_BYTES: usize = MAX_POST_BYTES / 2;
/// Longest pause that the collector may impose.
const MAX_PAUSE: Duration = Duration::from_secs(30);
/// Between two requests that wait, when the first was answered at once with nothing.
const PAUSE: Duration = Duration::from_secs(1);

/// What a session hands over.
#[derive(Debug)]
pub enum Letter {
    /// Wants a sign that messages come down.
    Subscribe,
    /// To be delivered.
    Envelope(Envelope),
    /// The agent's state, JSON.
    Heartbeat(Vec<u8>),
    /// The end.
    Leave,
}

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

/// What goes out in one request.
#[derive(Default)]
struct Batch {
    events: Vec<Vec<u8>>,
    bytes: usize,
    envelopes: usize,
    subscribe: bool,
    leave: bool,
}

impl Batch {
    fn add(&mut self, agent: &AgentId, letter: Letter) {
        let event = match letter {
            Letter::Subscribe => {
                self.subscribe = true;
                return;
            }
            Letter::Leave => {
                self.leave = true;
                return;
            }
            Letter::Heartbeat(json) => heartbeat(agent, &json),
            Letter::Envelope(envelope) => {
                self.envelopes += 1;
                match envelope.to_structured() {
                    Ok(event) => event,
                    Err(error) => {
                        tracing::error!(seq = envelope.seq, error = %error, "not to be posted");
                        return;
                    }
                }
            }
        };
        self.bytes += event.len() + 1;
        self.events.push(event);
    }

    fn has_room(&self) -> bool {
        !self.leave && self.events.len() < MAX_POST_EVENTS && self.bytes < ENOUGH_BYTES
    }

    fn body(&self) -> Bytes {
        let mut body = Vec::with_capacity(self.bytes + 2);
        body.push(b'[');
        for (i, event) in self.events.iter().enumerate() {
            if i > 0 {
                body.push(b',');
            }
            body.extend_from_slice(event);
        }
        body.push(b']');
        body.into()
    }
}

/// A heartbeat as a CloudEvent; it has no place in a stream.
fn heartbeat(agent: &AgentId, json: &[u8]) -> Vec<u8> {
    let head = format!(
        "{{\"specversion\":\"{SPEC_VERSION}\",\"id\":\"{}\",\"source\":\"{}\",\"type\":\"heartbeat\",\
         \"time\":\"{}\",\"datacontenttype\":\"{CONTENT_TYPE}\",\"data\":",
        new_uuid(),
        agent.urn(),
        Time::now()
    );
    let mut event = head.into_bytes();
    event.extend_from_slice(json);
    event.push(b'}');
    event
}

/// What a request led to.
enum Reply {
    /// It was taken.
    Answer(Answer),
    /// It may be repeated after a pause; why.
    Later(Duration, String),
}

/// One connection, dialed when it is needed.
struct Http {
    dialer: Dialer,
    road: Arc<Road>,
    open: Option<Open>,
}

struct Open {
    sender: SendRequest<Full<Bytes>>,
    task: JoinHandle<()>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Http {
    fn new(dialer: Dialer, road: Arc<Road>) -> Self {
        Http { dialer, road, open: None }
    }

    async fn post(&mut self, body: Bytes, wait_s: u64) -> Result<Reply, Failure> {
        let limit = Duration::from_secs(wait_s) + ANSWER;
        timeout(limit, self.post_unlimited(body, wait_s))
            .await
            .unwrap_or(Err(Failure::Timeout("no answer to an HTTPS request")))
    }

    async fn post_unlimited(&mut self, body: Bytes, wait_s: u64) -> Result<Reply, Failure> {
        // A connection that the other side closed while it idled is made anew, once.
        let reused = self.open.is_some();
        let sent = match self.send(body.clone(), wait_s).await {
            Err(Failed::Unsent(_)) if reused => self.send(body, wait_s).await,
            sent => sent,
        };
        let answer = sent.map_err(|failed| {
            self.open = None;
            match failed {
                Failed::Dial(failure) => failure,
                Failed::Unsent(e) | Failed::Http(e) => from_hyper(&e),
            }
        })?;
        read(answer).await.inspect_err(|_| self.open = None)
    }

    async fn send(
        &mut self,
        body: Bytes,
        wait_s: u64,
    ) -> Result<Response<hyper::body::Incoming>, Failed> {
        if self.open.as_ref().is_some_and(|open| open.sender.is_closed()) {
            self.open = None;
        }
        if self.open.is_none() {
            self.open = Some(self.dial().await?);
        }
        let Some(open) = &mut self.open else {
            return Err(Failed::Dial(Failure::Lost("no connection".into())));
        };
        let request = Request::post(format!("{PATH}?wait={wait_s}"))
            .header(HOST, self.road.authority())
            .header(USER_AGENT, concat!("callhome-agent/", env!("CARGO_PKG_VERSION")))
            .header(TYPE_HEADER, BATCH_TYPE)
            .body(Full::new(body))
            .map_err(|e| Failed::Dial(Failure::Post(e.to_string())))?;
        open.sender.ready().await.map_err(Failed::Unsent)?;
        let sent = open.sender.send_request(request).await;
        sent.map_err(|e| {
            let unsent = e.is_canceled() || e.is_incomplete_message();
            self.open = None;
            if unsent { Failed::Unsent(e) } else { Failed::Http(e) }
        })
    }

    async fn dial(&self) -> Result<Open, Failed> {
        let stream = self.dialer.dial(&self.road).await.map_err(Failed::Dial)?;
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(Failed::Http)?;
        let task = tokio::spawn(async move {
            // Its error is told to the request that meets it.
            let _ = connection.await;
        });
        Ok(Open { sender, task })
    }
}

/// Why a request has no answer.
enum Failed {
    Dial(Failure),
    /// The connection was closed before an answer began. Sending twice is safe: the collector
    /// recognises what it has.
    Unsent(hyper::Error),
    Http(hyper::Error),
}

fn from_hyper(error: &hyper::Error) -> Failure {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = std::error::Error::source(error);
    while let Some(inner) = cause {
        if let Some(io) = inner.downcast_ref::<std::io::Error>() {
            return Failure::from_stream(io, Failure::Lost);
        }
        cause = inner.source();
    }
    Failure::Lost(error.to_string())
}

async fn read(answer: Response<hyper::body::Incoming>) -> Result<Reply, Failure> {
    let (head, body) = answer.into_parts();
    let body = Limited::new(body, MAX_ANSWER_BYTES).collect().await;
    let body = body.map_err(|e| Failure::Lost(format!("answer: {e}")))?.to_bytes();
    let said = || {
        let text = String::from_utf8_lossy(&body);
        text.trim().chars().filter(|c| !c.is_control()).take(200).collect::<String>()
    };
    match head.status {
        StatusCode::OK => serde_json::from_slice(&body)
            .map(Reply::Answer)
            .map_err(|e| Failure::Post(format!("the answer is not a collector's: {e}"))),
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            let seconds = head.headers.get(RETRY_AFTER).and_then(|v| v.to_str().ok()?.parse().ok());
            let pause = Duration::from_secs(seconds.unwrap_or(1)).clamp(PAUSE, MAX_PAUSE);
            Ok(Reply::Later(pause, said()))
        }
        StatusCode::FORBIDDEN => Err(Failure::Refused(said())),
        StatusCode::NOT_FOUND => Err(Failure::Post("there is no delivery at this address".into())),
        status => Err(Failure::Post(format!("the collector answers {status}: {}", said()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use callhome_shared::envelope::{Kind, Lane};
    use serde_json::Value;
    use uuid::Uuid;

    #[test]
    fn a_batch_is_json_and_bounded() {
        let agent = AgentId::new("a-1").unwrap();
        let mut batch = Batch::default();
        batch.add(&agent, Letter::Subscribe);
        batch.add(&agent, Letter::Heartbeat(br#"{"online":true}"#.to_vec()));
        let mut seq = 0;
        while batch.has_room() {
            seq += 1;
            let envelope = Envelope {
                id: Uuid::from_u128(7),
                source: agent.clone(),
                kind: Kind::Alarm,
                time: Time(0),
                epoch: Uuid::nil(),
                lane: Lane::Alarm,
                seq,
                data: format!("\"{}\"", "x".repeat(100_000)).into_bytes(),
            };
            batch.add(&agent, Letter::Envelope(envelope));
        }
        let body = batch.body();
        assert!(body.len() < MAX_POST_BYTES && batch.envelopes == 6, "{}", body.len());
        let read: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(read[0]["type"], "heartbeat");
        assert_eq!(read[0]["data"]["online"], true);
        assert_eq!(read[6]["seq"], "6");
        assert!(batch.subscribe && !batch.leave);
    }
}
