//! The loop: datagrams in, batches out, answers to informs back.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use callhome_shared::alarm::Device;
use callhome_shared::logging::STAGE;
use callhome_shared::time::Time;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::decode::{self, Kind, Message, Notification};
use super::own::Kept;
use super::security::{Judged, Own, Reply, Security, answer_v2c};
use super::socket::{Datagram, receive};
use super::tell::{Heard, Reader, Told};
use super::{TrapSettings, db::Db};
use crate::profile::oid::Oid;
use crate::source::known::Known;
use crate::source::listener::{Listener, Recents};
use crate::source::missed::{KernelDrops, Missed};
use crate::source::origins::Origins;
use crate::source::senders::Senders;
use crate::source::snmp::keys::{User, same};
use crate::source::snmp::names::Names;
use crate::source::{Assignment, Batch, Gap, Reading, SourceKind, Stored};

/// Datagrams between the sockets and the loop.
const DATAGRAMS: usize = 256;
/// Batches that wait for the line; what comes beyond is dropped and declared.
const WAITING: usize = 2048;
/// Informs that wait to be stored; further ones are not answered, so that their senders repeat them.
const INFORMS: usize = 512;
/// An inform whose batch was never stored is forgotten after this long.
const INFORM_LIFE: Duration = Duration::from_secs(120);
/// Notifications of devices whose identity is not known yet.
const HELD: usize = 256;
/// Between two looks at what is due.
const TICK: Duration = Duration::from_secs(1);
/// Without anything to say a batch goes out this often, so that `heard_until` moves.
const SIGN_OF_LIFE: Duration = Duration::from_secs(5);
/// What waits in the kernel or in a channel for a moment is not "surely heard".
const CERTAINTY_MS: i64 = 1000;
/// When stopping, the line gets this long to take what was heard.
const LAST_HAND_OVER: Duration = Duration::from_secs(1);
/// Marks the batch that holds our engine's boots.
const ENGINE: u64 = 0;

/// Why listening ended.
pub(super) enum Ended {
    /// Stopped, or nobody takes batches any more.
    Stopped,
    /// The sockets are gone.
    Lost { why: String, heard_until: Time },
}

/// A notification on its way to its device.
struct Said {
    configured: Arc<Device>,
    notification: Notification,
    origin: String,
    at: Time,
    inform: Option<Inform>,
}

/// An inform that is answered once it is stored.
struct Inform {
    to: SocketAddr,
    socket: usize,
    /// Its number: the same one is not taken twice.
    id: i64,
    answer: Answer,
    since: Instant,
}

enum Answer {
    Plain(Vec<u8>),
    Sealed(Reply),
}

/// What outlives a loss of the sockets.
pub(super) struct Ear<'a> {
    assignment: &'a Assignment,
    settings: &'a TrapSettings,
    db: Arc<Db>,
    known: Known,
    names: Names,
    pub(super) origins: Origins,
    senders: Arc<Mutex<Senders>>,
    security: Security,
    /// Our engine's boots are stored: what is secured with it may be answered.
    engine_stored: bool,
    waiting: VecDeque<Batch>,
    held: VecDeque<Said>,
    informs: HashMap<u64, Inform>,
    next_inform: u64,
    stored: (mpsc::Sender<u64>, mpsc::Receiver<u64>),
    overflow: Missed,
    limited: Missed,
    kernel: Missed,
    gaps: Vec<Gap>,
    report: Listener,
    unknown: Recents,
    listened: Option<Time>,
    last_sign: Instant,
    /// Where our own probe comes from.
    probe_from: Arc<Mutex<Option<SocketAddr>>>,
    probe_began: Instant,
}

impl<'a> Ear<'a> {
    pub(super) async fn new(
        assignment: &'a Assignment,
        settings: &'a TrapSettings,
        known: Known,
        names: Names,
    ) -> Self {
        let kept = Kept::next(assignment.position.as_ref(), settings.engine_id.as_deref());
        let written = settings.users.clone();
        // Milliseconds of computing for each password: not on the runtime's own thread.
        let users = tokio::task::spawn_blocking(move || {
            written.iter().map(|u| User::new(&u.credentials, u.engine.clone())).collect()
        });
        let users: Vec<User> = users.await.unwrap_or_default();
        let now = Instant::now();
        let (boots, since) = (i64::from(kept.boots), now);
        let security = Security::new(users, Own { id: kept.engine.clone(), boots, since });
        let mut ear = Ear {
            assignment,
            settings,
            db: settings.db.clone(),
            known,
            names,
            origins: settings.origins.clone(),
            senders: Arc::new(Mutex::new(Senders::new(settings.limits))),
            security,
            engine_stored: false,
            waiting: VecDeque::new(),
            held: VecDeque::new(),
            informs: HashMap::new(),
            next_inform: ENGINE + 1,
            stored: mpsc::channel(INFORMS * 2),
            overflow: Missed::new("overflow"),
            limited: Missed::new("rate-limited"),
            kernel: Missed::new("kernel-overflow"),
            gaps: Vec::new(),
            report: Listener::default(),
            unknown: Recents::default(),
            listened: None,
            last_sign: now,
            probe_from: Arc::default(),
            probe_began: now,
        };
        let stored = Some(Stored::new(ear.stored.0.clone(), ENGINE));
        let first = Batch { position: kept.position(), stored, ..ear.empty() };
        ear.waiting.push_back(first);
        ear
    }

    /// Listens until the sockets are gone or the source is stopped.
    pub(super) async fn listen(&mut self, sockets: Vec<Arc<UdpSocket>>, gap: Option<Gap>) -> Ended {
        self.gaps.extend(gap);
        self.listened = Some(Time::now());
        self.last_sign = Instant::now();
        let mut drops: Vec<KernelDrops> =
            sockets.iter().filter_map(|socket| KernelDrops::of(&**socket)).collect();
        let (heard, mut datagrams) = mpsc::channel(DATAGRAMS);
        let mut receivers = JoinSet::new();
        for (number, socket) in sockets.iter().enumerate() {
            let (senders, own) = (self.senders.clone(), self.probe_from.clone());
            receivers.spawn(receive(socket.clone(), number, senders, own, heard.clone()));
        }
        drop(heard);
        self.told();
        // The first batch says that it listens.
        self.sign_of_life();
        let Assignment { out, stop, health, .. } = self.assignment;
        // Kept across turns: asking anew each time would lose the place in the channel's queue.
        let reserve = out.reserve();
        tokio::pin!(reserve);
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => {
                    self.hand_over_rest(&sockets).await;
                    return Ended::Stopped;
                }
                _ = receivers.join_next() => {
                    let heard_until = self.heard_until();
                    return Ended::Lost { why: "a socket's task ended".to_owned(), heard_until };
                }
                which = self.stored.1.recv() => if let Some(which) = which {
                    self.answer(which, &sockets).await;
                },
                permit = &mut reserve, if !self.waiting.is_empty() => {
                    let Ok(permit) = permit else { return Ended::Stopped };
                    if let Some(batch) = self.waiting.pop_front() {
                        mark(&batch);
                        permit.send(batch);
                    }
                    reserve.set(out.reserve());
                }
                datagram = datagrams.recv() => if let Some(datagram) = datagram {
                    self.listened = Some(datagram.at);
                    self.hear(datagram, &sockets).await;
                },
                () = health.probe().rung() => self.prove(&sockets).await,
                _ = ticks.tick() => self.on_time(&mut drops),
            }
        }
    }

    /// One message, whoever sent it.
    async fn hear(&mut self, datagram: Datagram, sockets: &[Arc<UdpSocket>]) {
        if self.is_probe(&datagram) {
            return;
        }
        let Datagram { bytes, from, at, socket } = datagram;
        let address = from.ip().to_canonical();
        let configured = self.origins.by_address(address);
        if configured.is_none() && !self.origins.is_relay(address) {
            return self.refuse("unknown-sender", from, "no device has this address");
        }
        let message = match decode::decode(&bytes) {
            Ok(message) => message,
            Err(error) => return self.refuse("malformed", from, &error.to_string()),
        };
        let (notification, version, id, answer) = match message {
            Message::Community { community, notification } => {
                if !self.settings.communities.iter().any(|c| same(&c.0, community)) {
                    return self.refuse("wrong-community", from, "its community is not accepted");
                }
                let answer = (notification.kind == Kind::Inform)
                    .then(|| Answer::Plain(answer_v2c(community, &notification)));
                let id = i64::from(notification.request_id);
                let version = if notification.list.is_empty() { "v1" } else { "v2c" };
                (notification, version, id, answer)
            }
            Message::V3(v3) => match self.security.judge(&v3, &bytes, Instant::now()) {
                Judged::Accepted { notification, reply } => {
                    (notification, "v3", v3.id, reply.map(Answer::Sealed))
                }
                judged => return self.not_taken(judged, (from, socket), sockets).await,
            },
        };
        let about = notification.about.filter(|_| self.origins.is_relay(address));
        let about =
            about.and_then(|ip| self.origins.by_address(std::net::Ipv4Addr::from(ip).into()));
        let Some(configured) = about.or(configured) else {
            return self.refuse("unknown-sender", from, "no device has the address that it names");
        };
        let inform =
            answer.map(|answer| Inform { to: from, socket, id, answer, since: Instant::now() });
        let origin = format!("trap {address} {version}");
        self.said(Said { configured, notification, origin, at, inform });
    }

    /// A version 3 message that says nothing to us.
    async fn not_taken(
        &mut self,
        judged: Judged,
        (from, socket): (SocketAddr, usize),
        sockets: &[Arc<UdpSocket>],
    ) {
        let report = match judged {
            Judged::Asked { report } => {
                self.count("engine-asked");
                Some(report)
            }
            Judged::Refused { why, report } => {
                self.refuse(why.as_str(), from, "refused by SNMPv3's security");
                report
            }
            Judged::Malformed(why) => {
                self.refuse("malformed", from, &why);
                None
            }
            Judged::Accepted { .. } => None,
        };
        // Boots that may be given a second time after a crash are told to nobody.
        let (Some(report), true) = (report, self.engine_stored) else { return };
        if let Some(socket) = sockets.get(socket) {
            let _ = socket.send_to(&report, from).await;
        }
    }

    /// Decides what a notification means, once its device is known.
    fn said(&mut self, said: Said) {
        if let Some(inform) = &said.inform {
            let repeated = |known: &Inform| known.to == inform.to && known.id == inform.id;
            if self.informs.values().any(repeated) {
                return self.count("inform-repeated");
            }
            if self.informs.len() >= INFORMS {
                return self.count("inform-refused");
            }
        }
        if self.waiting.len() >= WAITING {
            self.count("overflow");
            return self.overflow.add(said.at, 1);
        }
        let Some(device) = self.known.device(&said.configured) else {
            if self.held.len() >= HELD {
                self.count("overflow");
                return self.overflow.add(said.at, 1);
            }
            return self.held.push_back(said);
        };
        let readings = self.readings(&said, &device);
        let stored = said.inform.map(|inform| {
            let which = self.next_inform;
            self.next_inform += 1;
            self.informs.insert(which, inform);
            Stored::new(self.stored.0.clone(), which)
        });
        if !readings.is_empty() || stored.is_some() {
            let heard_until = Some(self.heard_until().min(said.at));
            let batch = Batch { device, readings, stored, heard_until, ..self.empty() };
            self.waiting.push_back(batch);
        }
    }

    fn readings(&mut self, said: &Said, device: &Arc<Device>) -> Vec<Reading> {
        let db = self.db.clone();
        let heard = Heard { device, origin: &said.origin, at: said.at };
        let reader = Reader::new(&db, &said.notification, heard);
        let ends_s = i64::try_from(self.settings.clear_after.as_secs()).unwrap_or(i64::MAX);
        let names = self.names.clone();
        let named = |column: &Oid, index: &[u32]| names.row(&said.configured.name, column, index);
        self.count(match said.notification.kind {
            Kind::Trap => "traps",
            Kind::Inform => "informs",
        });
        match reader.told(&named, ends_s) {
            Told::Faults(readings) => {
                self.count("faults");
                readings
            }
            Told::Event(name) => {
                self.count("events");
                tracing::debug!(trap = %name, device = %device.name, "trap: no fault");
                Vec::new()
            }
            Told::Ignored(_) => {
                self.count("ignored");
                Vec::new()
            }
            Told::Unknown(name) => {
                self.count("unknown");
                let line = reader.line();
                tracing::info!(trap = %name, device = %device.name, "unknown trap: {line}");
                self.unknown.add(&device.name, &name, &line, said.at);
                let alarm = self.settings.unknown_is_alarm;
                alarm.then(|| reader.unknown(ends_s)).into_iter().collect()
            }
        }
    }

    /// What a batch held is stored: its inform is answered.
    async fn answer(&mut self, which: u64, sockets: &[Arc<UdpSocket>]) {
        if which == ENGINE {
            self.engine_stored = true;
            return;
        }
        let Some(inform) = self.informs.remove(&which) else { return };
        let bytes = match &inform.answer {
            Answer::Plain(bytes) => Some(bytes.clone()),
            Answer::Sealed(reply) => self.security.seal(reply, rand::random(), Instant::now()),
        };
        let (Some(bytes), Some(socket)) = (bytes, sockets.get(inform.socket)) else { return };
        match socket.send_to(&bytes, inform.to).await {
            Ok(_) => self.count("informs-answered"),
            Err(error) => tracing::debug!(%error, to = %inform.to, "inform not answered"),
        }
    }

    /// A probe: a trap of our own to our own socket, by the same way as any other.
    async fn prove(&mut self, sockets: &[Arc<UdpSocket>]) {
        let Some(nonce) = self.assignment.health.probe().asked() else { return };
        let Some(socket) = sockets.first() else { return };
        self.probe_began = Instant::now();
        let sent = async {
            let to = super::probe::to(socket.local_addr()?);
            let from = UdpSocket::bind(super::probe::from(to)).await?;
            let own = from.local_addr()?;
            *self.probe_from.lock().unwrap_or_else(PoisonError::into_inner) = Some(own);
            from.send_to(&super::probe::datagram(nonce), to).await
        };
        if let Err(error) = sent.await {
            tracing::debug!(%error, "probe: not sent");
        }
    }

    /// Whether it is our own probe, which then goes on as a reading.
    fn is_probe(&mut self, datagram: &Datagram) -> bool {
        let own = *self.probe_from.lock().unwrap_or_else(PoisonError::into_inner);
        if own.is_none_or(|own| {
            super::socket::canonical(own) != super::socket::canonical(datagram.from)
        }) {
            return false;
        }
        let slot = self.assignment.health.probe();
        let asked = slot.asked().filter(|nonce| super::probe::says(&datagram.bytes, *nonce));
        let entered = asked.and_then(|nonce| slot.enter(nonce, self.probe_began));
        if let Some(entered) = entered {
            *self.probe_from.lock().unwrap_or_else(PoisonError::into_inner) = None;
            let readings = vec![entered.reading("trap from our own address")];
            let batch = Batch { readings, ..self.empty() };
            self.waiting.push_back(batch);
        }
        true
    }

    /// Whatever is due now.
    fn on_time(&mut self, drops: &mut [KernelDrops]) {
        let (now, at) = (Instant::now(), Time::now());
        self.listened = Some(at);
        for _ in 0..self.held.len() {
            if let Some(said) = self.held.pop_front() {
                // Goes to the end again while its device is not known.
                self.said(said);
            }
        }
        self.informs.retain(|_, inform| inform.since.elapsed() < INFORM_LIFE);
        let dropped = self.senders.lock().unwrap_or_else(PoisonError::into_inner).take_dropped();
        if dropped > 0 {
            self.limited.add(at, dropped);
        }
        let lost: u64 = drops.iter_mut().map(KernelDrops::look).sum();
        if lost > 0 {
            self.kernel.add(at, lost);
        }
        let missed = [&mut self.overflow, &mut self.limited, &mut self.kernel];
        self.gaps.extend(missed.into_iter().filter_map(|missed| missed.due(now)));
        if !self.gaps.is_empty() || self.last_sign.elapsed() >= SIGN_OF_LIFE {
            self.sign_of_life();
        }
        self.told();
    }

    fn sign_of_life(&mut self) {
        self.last_sign = Instant::now();
        // While the line takes nothing, what waits says enough.
        if self.waiting.len() >= WAITING {
            return;
        }
        let gaps = std::mem::take(&mut self.gaps);
        let heard_until = Some(self.heard_until());
        let batch = Batch { gaps, heard_until, ..self.empty() };
        self.waiting.push_back(batch);
    }

    /// Everything heard until then is handed over, or waits in order.
    fn heard_until(&self) -> Time {
        let listened = self.listened.unwrap_or_default().plus_ms(-CERTAINTY_MS);
        let held = self.held.front().map(|said| said.at);
        let missed = [&self.overflow, &self.limited, &self.kernel].map(Missed::since);
        missed.into_iter().chain([held]).flatten().fold(listened, Time::min)
    }

    fn empty(&self) -> Batch {
        Batch {
            source: Arc::clone(&self.assignment.source),
            kind: SourceKind::Trap,
            device: Arc::clone(&self.assignment.device),
            rules: None,
            readings: Vec::new(),
            position: None,
            gaps: Vec::new(),
            heard_until: None,
            stored: None,
            inventory: None,
        }
    }

    fn count(&mut self, what: &'static str) {
        self.report.count(what);
    }

    fn refuse(&mut self, why: &'static str, from: SocketAddr, detail: &str) {
        self.count(why);
        tracing::debug!(%from, why, detail, "trap refused");
        self.report.refused(why, from.ip(), detail);
    }

    /// Says how it is doing.
    fn told(&mut self) {
        let senders = self.senders.lock().unwrap_or_else(PoisonError::into_inner);
        self.report.senders = senders.worst(crate::source::listener::SENDERS);
        self.report.set("rate-limited", senders.counts().dropped);
        drop(senders);
        self.report.set("kernel-overflow", self.kernel.total());
        self.report.recent = self.unknown.newest();
        let health = &self.assignment.health;
        health.listener(&self.report);
        health.ok();
    }

    async fn hand_over_rest(&mut self, sockets: &[Arc<UdpSocket>]) {
        let now = Instant::now();
        let missed = [&mut self.overflow, &mut self.limited, &mut self.kernel];
        self.gaps.extend(missed.into_iter().filter_map(|missed| missed.take(now)));
        self.sign_of_life();
        let deadline = tokio::time::Instant::now() + LAST_HAND_OVER;
        let out = self.assignment.out.clone();
        while let Some(batch) = self.waiting.pop_front() {
            let sent = tokio::time::timeout_at(deadline, out.send(batch)).await;
            if !matches!(sent, Ok(Ok(()))) {
                return;
            }
        }
        while !self.informs.is_empty() {
            match tokio::time::timeout_at(deadline, self.stored.1.recv()).await {
                Ok(Some(which)) => self.answer(which, sockets).await,
                _ => return,
            }
        }
    }
}

fn mark(batch: &Batch) {
    if !batch.readings.is_empty() {
        let readings = batch.readings.len();
        tracing::trace!(target: STAGE, at = "source.read", source = %batch.source, readings);
    }
}
