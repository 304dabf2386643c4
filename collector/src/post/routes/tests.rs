//! The route with real channels; the visitor stands in the request as the door puts it there.

use axum::body::Body;
use callhome_shared::topic::{Down, Up};
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;

use super::*;
use crate::link::Downward;

struct House {
    app: Router,
    up: mpsc::Receiver<Delivery>,
    down: mpsc::Sender<Downward>,
    onward: mpsc::Receiver<Downward>,
    metrics: Arc<Metrics>,
    _up: mpsc::Sender<Delivery>,
}

fn id(text: &str) -> AgentId {
    AgentId::new(text).unwrap()
}

fn visitor(name: &str, standing: visitor::Standing) -> Option<Visitor> {
    Some(Visitor { agent: id(name), serial: "01".into(), standing })
}

fn agent(name: &str) -> Option<Visitor> {
    visitor(name, visitor::Standing::Valid)
}

impl House {
    fn start(queue: usize) -> House {
        let metrics = Arc::new(Metrics::new());
        let mailroom = Mailroom::new(100, metrics.clone());
        let (up_tx, up) = mpsc::channel(queue);
        let (down, down_rx) = mpsc::channel(10);
        let (onward_tx, onward) = mpsc::channel(10);
        tokio::spawn(mailroom.clone().run(down_rx, onward_tx, up_tx.downgrade()));
        let app = routes(Post { mailroom, up: up_tx.downgrade(), metrics: metrics.clone() });
        House { app, up, down, onward, metrics, _up: up_tx }
    }

    async fn post(
        &self,
        who: Option<Visitor>,
        path: &str,
        kind: &str,
        body: impl Into<Body>,
    ) -> (StatusCode, String) {
        let mut request = Request::post(path).header(CONTENT_TYPE, kind);
        if let (Some(who), Some(extensions)) = (who, request.extensions_mut()) {
            extensions.insert(who);
        }
        let request = request.body(body.into()).unwrap();
        let answer = self.app.clone().oneshot(request).await.unwrap();
        let (head, body) = answer.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (head.status, String::from_utf8(body.to_vec()).unwrap())
    }

    async fn events(&self, who: Option<Visitor>, body: &str) -> (StatusCode, String) {
        self.post(who, PATH, BATCH_TYPE, body.to_owned()).await
    }
}

#[tokio::test]
async fn what_comes_goes_to_the_flow_and_its_answer_comes_back() {
    let mut house = House::start(10);
    let app = house.app.clone();
    let (down, mut up) = (house.down.clone(), std::mem::replace(&mut house.up, mpsc::channel(1).1));
    let flow = tokio::spawn(async move {
        let first = up.recv().await.unwrap();
        let second = up.recv().await.unwrap();
        let payload = br#"{"seq":"1"}"#.to_vec();
        down.send(Downward { agent: id("a"), down: Down::Ack, payload }).await.unwrap();
        (first, second)
    });
    let body = r#"[{"type":"alarm","id":"1","seq":"1","data":{"x":1}},
                   {"type":"heartbeat","data":{"online":true}}]"#;
    let (status, text) = house.post(agent("a"), &format!("{PATH}?wait=20"), BATCH_TYPE, body).await;
    assert_eq!(status, StatusCode::OK, "{text}");
    let answer: Answer = serde_json::from_str(&text).unwrap();
    assert_eq!((answer.standing, answer.withheld), (Standing::Full, 0));
    assert_eq!(answer.messages[0].topic, "ack");
    assert_eq!(answer.messages[0].payload.get(), r#"{"seq":"1"}"#);
    let (alarm, beat) = flow.await.unwrap();
    assert_eq!(
        (alarm.agent, alarm.up, &alarm.payload[..]),
        (id("a"), Up::Event, &br#"{"x":1}"#[..])
    );
    assert!(alarm.properties.contains(&("seq".to_owned(), "1".to_owned())));
    assert_eq!((beat.up, &beat.payload[..]), (Up::Heartbeat, &br#"{"online":true}"#[..]));
    // The broker hears it as well: the agent may be there too.
    assert_eq!(house.onward.recv().await.unwrap().agent, id("a"));
    drop(app);
}

#[tokio::test]
async fn who_is_refused_and_why() {
    let mut house = House::start(10);
    let (status, text) = house.events(None, "[]").await;
    assert_eq!(status, StatusCode::FORBIDDEN, "{text}");
    assert!(text.contains("client certificate is needed"), "{text}");
    let (status, text) = house.post(agent("a"), PATH, "application/json", "[]").await;
    assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert!(text.contains(BATCH_TYPE));
    let (status, text) = house.events(agent("a"), "{}").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(text.contains("JSON list"), "{text}");
    let large = " ".repeat(MAX_POST_BYTES + 1);
    assert_eq!(house.events(agent("a"), &large).await.0, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(house.up.try_recv().is_err());
    let text = house.metrics.text();
    for what in ["no-certificate", "type-refused", "batch-refused", "body-refused"] {
        assert!(text.contains(&format!("event=\"{what}\"")), "{what}");
    }
}

#[tokio::test]
async fn an_expired_certificate_brings_alarms_and_nothing_else() {
    let mut house = House::start(10);
    let expired = visitor("a", visitor::Standing::Expired(Time(0)));
    let body = r#"[{"type":"alarm"},{"type":"evidence"},{"type":"heartbeat","data":{}}]"#;
    let (status, text) = house.events(expired, body).await;
    assert_eq!(status, StatusCode::OK);
    let answer: Answer = serde_json::from_str(&text).unwrap();
    assert_eq!((answer.standing, answer.withheld), (Standing::AlarmsOnly, 2));
    let delivery = house.up.recv().await.unwrap();
    assert!(delivery.properties.contains(&("type".to_owned(), "alarm".to_owned())));
    assert!(house.up.try_recv().is_err());
}

#[tokio::test]
async fn too_fast_is_slowed_then_sent_away_and_a_full_flow_is_busy() {
    let house = House::start(1000);
    let many = format!("[{}]", vec![r#"{"type":"alarm"}"#; 64].join(","));
    let mut answers = Vec::new();
    let started = Instant::now();
    for _ in 0..5 {
        answers.push(house.events(agent("a"), &many).await.0);
    }
    // 200 at once, the rest at 100 a second.
    assert!(started.elapsed() > Duration::from_millis(800), "{:?}", started.elapsed());
    assert!(answers.iter().all(|status| *status == StatusCode::OK), "{answers:?}");
    assert!(house.metrics.text().contains("event=\"slowed-down\""));
    let full = House::start(1);
    let (status, text) = full.events(agent("a"), r#"[{"type":"alarm"},{"type":"alarm"}]"#).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{text}");
    assert!(full.metrics.text().contains("event=\"store-slow\""));
}
