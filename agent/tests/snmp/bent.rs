//! Answers that are bent on their way: late, doubled, swapped, forged, cut off, undecodable. Whatever
//! comes besides the true answer harms nothing but itself.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use callhome_shared::heartbeat::SourceState;
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

use crate::device::{Poll, Watched, array, plain, watch};

/// What becomes of an answer.
enum Sent {
    /// It comes from the device.
    True(Vec<u8>),
    /// It comes from another port of the same address.
    Stranger(Vec<u8>),
}

/// The way between the agent and a device. Ends when dropped.
struct Bent {
    address: SocketAddr,
    /// Answers that the device gave.
    answers: Arc<Mutex<usize>>,
    task: JoinHandle<()>,
}

impl Drop for Bent {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Bent {
    async fn start(
        device: SocketAddr,
        mut bend: impl FnMut(Vec<u8>) -> Vec<Sent> + Send + 'static,
    ) -> Self {
        let ours = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let stranger = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let theirs = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        theirs.connect(device).await.unwrap();
        let address = ours.local_addr().unwrap();
        let answers = Arc::new(Mutex::new(0));
        let counted = answers.clone();
        let task = tokio::spawn(async move {
            let mut buffer = vec![0; 65_536];
            loop {
                let (len, from) = ours.recv_from(&mut buffer).await.unwrap();
                theirs.send(&buffer[..len]).await.unwrap();
                let len = theirs.recv(&mut buffer).await.unwrap();
                *counted.lock().unwrap() += 1;
                for sent in bend(buffer[..len].to_vec()) {
                    let (socket, bytes) = match &sent {
                        Sent::True(bytes) => (&ours, bytes),
                        Sent::Stranger(bytes) => (&stranger, bytes),
                    };
                    socket.send_to(bytes, from).await.unwrap();
                }
            }
        });
        Bent { address, answers, task }
    }

    fn answers(&self) -> usize {
        *self.answers.lock().unwrap()
    }
}

/// A poll of the simulated array through a bent way.
async fn polled(bend: impl FnMut(Vec<u8>) -> Vec<Sent> + Send + 'static) -> (Poll, Watched, usize) {
    let sim = array().await;
    let bent = Bent::start(sim.addr(), bend).await;
    let mut plain = plain(bent.address);
    plain.interval_s = 60;
    plain.timeout_ms = 500;
    plain.retries = 4;
    plain.profiles = Some(["entity-state", "if-mib"].map(str::to_owned).to_vec());
    let mut watched = watch(&plain).await;
    let poll = watched.poll().await;
    (poll, watched, bent.answers())
}

fn assert_whole(what: &str, poll: &Poll, watched: &Watched) {
    let health = watched.health();
    assert_eq!(health.0, SourceState::Ok, "{what}: {health:?}");
    assert_eq!(poll.reachable(), Some(1.0), "{what}");
    assert_eq!(poll.count("entity-state.entStateOper"), 21, "{what}: {:?}", poll.counts());
    assert_eq!(poll.number("if-mib.ifOperStatus", "port A-p1"), Some(1.0), "{what}");
    assert_eq!(poll.number("entity-state.entStateOper", "Disk 0_7"), Some(3.0), "{what}");
    assert_eq!(poll.device.as_ref().unwrap().id, "SIM24-000173", "{what}");
}

/// The answer with other octets in place of the first that are `from`.
fn with(answer: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let at = answer.windows(from.len()).position(|w| w == from).unwrap();
    [&answer[..at], to, &answer[at + from.len()..]].concat()
}

/// The same answer as an error `authorizationError`, which would end a poll that believed it.
fn refusal(answer: &[u8]) -> Vec<u8> {
    let id = answer.iter().position(|b| *b == 0xa2).unwrap();
    // a2 <length> 02 <length> <id…> 02 01 <error status>
    let skip = if answer[id + 1] < 0x80 { 2 } else { 2 + usize::from(answer[id + 1] & 0x7f) };
    let number = id + skip;
    let status = number + 2 + usize::from(answer[number + 1]);
    let mut bytes = answer.to_vec();
    assert_eq!(bytes[status..status + 2], [2, 1]);
    bytes[status + 2] = 16;
    bytes
}

#[tokio::test]
async fn late_and_doubled_answers_do_not_shift_the_others() {
    let mut last: Option<Vec<u8>> = None;
    let (poll, watched, answers) = polled(move |answer| {
        // The answer before this one comes once more first, and this one twice.
        let late = last.replace(answer.clone()).map(Sent::True);
        late.into_iter().chain([Sent::True(answer.clone()), Sent::True(answer)]).collect()
    })
    .await;
    assert_whole("late and doubled", &poll, &watched);
    let counts = watched.transport.counts();
    println!("late and doubled: {answers} answers of the device, {counts:?}");
    assert!(counts.received > counts.sent && counts.unmatched >= 5, "{counts:?}");
}

#[tokio::test]
async fn answers_that_change_places_are_told_apart() {
    let mut held: Option<Vec<u8>> = None;
    let (poll, watched, answers) = polled(move |answer| match held.take() {
        // Its question is repeated; then the answer to the repetition overtakes the first.
        None => {
            held = Some(answer);
            Vec::new()
        }
        Some(before) => vec![Sent::True(answer), Sent::True(before)],
    })
    .await;
    assert_whole("swapped", &poll, &watched);
    println!("swapped: {answers} answers of the device, {:?}", watched.transport.counts());
}

#[tokio::test]
async fn forged_answers_with_the_right_id_are_not_believed() {
    type Bend = fn(&[u8]) -> Sent;
    let forgeries: [(&str, Bend); 4] = [
        ("another community", |a| Sent::True(with(&refusal(a), b"public", b"PUBLIC"))),
        ("another version", |a| Sent::True(with(&refusal(a), &[2, 1, 1, 4], &[2, 1, 0, 4]))),
        ("another port", |a| Sent::Stranger(refusal(a))),
        ("no response", |a| Sent::True(with(&refusal(a), &[0xa2], &[0xa0]))),
    ];
    for (what, forge) in forgeries {
        let (poll, watched, _) =
            polled(move |answer| vec![forge(&answer), Sent::True(answer)]).await;
        assert_whole(what, &poll, &watched);
    }
    // What one that is believed does.
    let sim = array().await;
    let bent = Bent::start(sim.addr(), |answer| vec![Sent::True(refusal(&answer))]).await;
    let (state, detail) = watch(&plain(bent.address)).await.first_health().await;
    assert_eq!(state, SourceState::Failed);
    assert!(detail.contains("authorizationError"), "{detail}");
}

#[tokio::test]
async fn truncated_and_garbled_answers_cost_nothing_but_themselves() {
    let (poll, watched, answers) = polled(|answer| {
        let mut garbled = answer.clone();
        garbled.iter_mut().skip(2).step_by(3).for_each(|byte| *byte ^= 0x55);
        let half = answer[..answer.len() / 2].to_vec();
        vec![Sent::True(half), Sent::True(garbled), Sent::True(answer)]
    })
    .await;
    assert_whole("truncated", &poll, &watched);
    let counts = watched.transport.counts();
    println!("truncated: {answers} answers of the device, {counts:?}");
    assert!(counts.malformed as usize >= answers, "{counts:?}");
}

#[tokio::test]
async fn one_undecodable_value_leaves_the_others_of_its_answer() {
    // ifOperStatus.2, and the value behind its name: an INTEGER becomes what nobody knows.
    let name = [6, 10, 43, 6, 1, 2, 1, 2, 2, 1, 8, 2];
    let (poll, watched, _) = polled(move |answer| {
        let integer = [&name[..], &[2]].concat();
        let odd = [&name[..], &[0x4f]].concat();
        let found = answer.windows(integer.len()).any(|w| w == integer);
        vec![Sent::True(if found { with(&answer, &integer, &odd) } else { answer })]
    })
    .await;
    let (state, detail) = watched.health();
    assert_eq!(state, SourceState::Degraded, "{detail}");
    assert!(detail.contains("1.3.6.1.2.1.2.2.1.8.2: a value of type 0x4f"), "{detail}");
    assert_eq!(poll.number("if-mib.ifOperStatus", "port A-p1"), Some(1.0), "before it");
    assert_eq!(poll.value("if-mib.ifOperStatus", "port A-p2"), None);
    assert_eq!(poll.number("if-mib.ifOperStatus", "port B-p1"), Some(1.0), "behind it");
    assert_eq!(poll.count("entity-state.entStateOper"), 21);
}

#[tokio::test]
async fn a_device_that_answers_too_late_for_every_first_question_is_read() {
    // Each answer comes when its question has been given up once: to the repetition, which then has its
    // own answer during the next question.
    let sim = array().await;
    sim.set_manners(crate::snmp_sim::Manners {
        delay: Duration::from_millis(300),
        ..crate::snmp_sim::Manners::default()
    });
    let mut plain = plain(sim.addr());
    plain.interval_s = 60;
    plain.retries = 4;
    plain.profiles = Some(vec!["if-mib".to_owned()]);
    let mut watched = watch(&plain).await;
    let poll = watched.poll().await;
    assert_eq!(poll.number("if-mib.ifOperStatus", "port A-p1"), Some(1.0));
    assert_eq!(watched.health().0, SourceState::Ok, "{:?}", watched.health());
    let counts = watched.transport.counts();
    println!("every answer late: {counts:?}");
    assert!(counts.sent > counts.received / 2 && counts.unmatched > 0, "{counts:?}");
}
