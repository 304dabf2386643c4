//! One connection: subscribe, then send what is pending and take acknowledgements until it ends.

use std::collections::BTreeSet;
use std::time::Duration;

use callhome_shared::ack::Ack;
use callhome_shared::envelope::{Envelope, Lane};
use callhome_shared::heartbeat::Heartbeat;
use callhome_shared::limits::{INFLIGHT, MAX_PAYLOAD_BYTES, MAX_TEXT_BYTES, cut};
use callhome_shared::logging::STAGE;
use rumqttc::v5::mqttbytes::v5::SubscribeReasonCode;
use tokio::sync::oneshot;
use tokio::time::{Instant, MissedTickBehavior, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::client::{self, Connected, News};
use super::downward::Downward;
use super::outgoing::{Pending, PendingQuery, Request};
use super::status::Count;
use super::window::{Limits, Window};
use super::{Departure, Ended, Failure, Link};

/// Per lane: sent and not acknowledged end to end.
const WINDOW_COUNT: usize = 256;
/// Per lane: their payload bytes.
const WINDOW_BYTES: usize = 1024 * 1024;
/// At most so much of the outbox is in memory per question.
const PENDING_BYTES: usize = 2 * MAX_PAYLOAD_BYTES;
/// From SUBSCRIBE to SUBACK.
const SUBACK_TIMEOUT: Duration = Duration::from_secs(10);
/// The outbox answers within this or is asked again.
const OUTBOX_TIMEOUT: Duration = Duration::from_secs(10);

/// What one lane has on its way and whether the outbox may have more.
struct LaneOut {
    lane: Lane,
    window: Window,
    /// The outbox may hold something that was not asked for yet.
    more: bool,
    /// What was sent ahead of its place since the last going back.
    ahead: BTreeSet<Uuid>,
}

/// A connection's state.
pub(super) struct Session<'a> {
    link: &'a Link,
    /// Which of the link's roads.
    road: usize,
    connected: Connected,
    lanes: [LaneOut; 2],
    /// QoS 1 publishes handed to the client and not answered. Kept under the client's own limit, so
    /// that its channel never fills and nothing here ever waits for the network.
    unanswered: u16,
    /// When the last of them was answered, or the first one handed over.
    answered_at: Instant,
    /// When the polling task last reported anything.
    heard_at: Instant,
    /// The last heartbeat asked for, until it comes.
    heartbeat: Option<oneshot::Receiver<Heartbeat>>,
}

impl<'a> Session<'a> {
    pub(super) fn new(link: &'a Link, road: usize, connected: Connected) -> Self {
        let limits = Limits {
            count: WINDOW_COUNT,
            bytes: WINDOW_BYTES,
            ack_timeout: link.settings.ack_timeout,
        };
        let lanes = Lane::ALL.map(|lane| LaneOut {
            lane,
            window: Window::new(limits),
            more: true,
            ahead: BTreeSet::new(),
        });
        let now = Instant::now();
        let (answered_at, heard_at) = (now, now);
        Session {
            link,
            road,
            connected,
            lanes,
            unanswered: 0,
            answered_at,
            heard_at,
            heartbeat: None,
        }
    }

    /// Runs until the connection fails, or to the end of a drain after `stop`, or until `leave`: then
    /// another connection takes over, and this one goes without a word about us.
    pub(super) async fn run(
        mut self,
        stop: &CancellationToken,
        leave: &CancellationToken,
    ) -> Result<Ended, Failure> {
        tokio::select! {
            subscribed = self.subscribe() => subscribed?,
            () = stop.cancelled() => return Ok(Ended::WithRemainder),
        }
        self.link.status.connected(self.road);
        let mut heartbeat = tokio::time::interval(self.link.heartbeat);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut second = tokio::time::interval(Duration::from_secs(1));
        second.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut until: Option<Instant> = None;
        loop {
            self.fill().await?;
            if until.is_some_and(|until| Instant::now() >= until || self.is_drained()) {
                return Ok(self.leave().await);
            }
            tokio::select! {
                news = self.connected.news.recv() => match news {
                    Some(news) => self.take(news).await?,
                    None => return Err(self.end().await),
                },
                () = self.link.nudge.notified() => {
                    self.lanes.iter_mut().for_each(|lane| lane.more = true);
                }
                _ = heartbeat.tick() => self.ask_heartbeat(),
                Some(beat) = wait_for(&mut self.heartbeat) => self.publish_heartbeat(&beat)?,
                _ = second.tick() => self.look_at_the_clock()?,
                () = stop.cancelled(), if until.is_none() => {
                    let hurry = self.link.hurry.is_cancelled();
                    let drain = if hurry { Duration::ZERO } else { self.link.drain };
                    until = Some(Instant::now() + drain);
                }
                () = leave.cancelled() => {
                    self.say_goodbye().await;
                    return Ok(Ended::WithRemainder);
                }
            }
        }
    }

    /// Subscribes and waits for the answer: sending before it would lose the acknowledgements.
    async fn subscribe(&mut self) -> Result<(), Failure> {
        self.connected.client.subscribe(&self.connected.agent).await?;
        let until = Instant::now() + SUBACK_TIMEOUT;
        loop {
            let news = tokio::time::timeout_at(until, self.connected.news.recv())
                .await
                .map_err(|_| Failure::Timeout("no answer to the subscription"))?;
            match news {
                Some(News::SubAck(reasons)) => return check_subscription(&reasons),
                Some(news) => self.take(news).await?,
                None => return Err(self.end().await),
            }
        }
    }

    /// Hands over what fits, the alarm lane first; bulk only when no alarm waits.
    async fn fill(&mut self) -> Result<(), Failure> {
        for index in 0..self.lanes.len() {
            while let Some(query) = self.next_query(index) {
                let Some(pending) = self.ask(query).await? else { return Ok(()) };
                self.publish_all(index, pending)?;
            }
            if self.lanes.get(index).is_some_and(|lane| lane.more) {
                return Ok(());
            }
        }
        Ok(())
    }

    fn next_query(&self, index: usize) -> Option<PendingQuery> {
        let lane = self.lanes.get(index)?;
        let (count, bytes) = lane.window.room();
        let max_count = count.min(usize::from(INFLIGHT.saturating_sub(self.unanswered)));
        (lane.more && max_count > 0 && bytes > 0).then(|| PendingQuery {
            lane: lane.lane,
            after: lane.window.after(),
            max_count,
            max_bytes: bytes.min(PENDING_BYTES),
        })
    }

    /// `None`: the outbox cannot answer now; the next second asks again.
    async fn ask(&mut self, query: PendingQuery) -> Result<Option<Pending>, Failure> {
        let (reply, answer) = oneshot::channel();
        self.tell(Request::Pending(query, reply)).await?;
        match timeout(OUTBOX_TIMEOUT, answer).await {
            Ok(Ok(pending)) => Ok(Some(pending)),
            Ok(Err(_)) => {
                self.lanes.iter_mut().filter(|l| l.lane == query.lane).for_each(|l| l.more = false);
                Ok(None)
            }
            Err(_) => Err(Failure::Stalled("the outbox does not answer")),
        }
    }

    async fn tell(&self, request: Request) -> Result<(), Failure> {
        match timeout(OUTBOX_TIMEOUT, self.link.requests.send(request)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Failure::Stalled("the outbox is gone")),
            Err(_) => Err(Failure::Stalled("the outbox does not take requests")),
        }
    }

    fn publish_all(&mut self, index: usize, pending: Pending) -> Result<(), Failure> {
        let Some(lane) = self.lanes.get_mut(index) else { return Ok(()) };
        if !lane.window.enter(pending.epoch) {
            return Ok(());
        }
        lane.more = !pending.envelopes.is_empty();
        let mut ahead = pending.ahead;
        // The client takes so many at once; envelopes that do not fit beside are asked for again.
        let room = usize::from(INFLIGHT.saturating_sub(self.unanswered));
        ahead.retain(|envelope| !lane.ahead.contains(&envelope.id));
        ahead.truncate(room);
        lane.ahead.extend(ahead.iter().map(|envelope| envelope.id));
        let room = room.saturating_sub(ahead.len());
        for envelope in ahead {
            self.publish(envelope)?;
        }
        for envelope in pending.envelopes.into_iter().take(room) {
            let (seq, size) = (envelope.seq, envelope.data.len());
            self.publish(envelope)?;
            if let Some(lane) = self.lanes.get_mut(index) {
                lane.window.sent(seq, size, Instant::now());
            }
        }
        Ok(())
    }

    fn publish(&mut self, envelope: Envelope) -> Result<(), Failure> {
        let (lane, seq) = (envelope.lane, envelope.seq);
        self.link.exit.passes(Departure::of(&envelope, &self.road_name()));
        self.connected.client.publish(&self.connected.agent, envelope)?;
        let now = Instant::now();
        if self.unanswered == 0 {
            self.answered_at = now;
        }
        self.unanswered += 1;
        self.link.status.add(Count::Published, 1);
        tracing::trace!(target: STAGE, at = "link.publishing", lane = lane.as_str(), seq);
        Ok(())
    }

    async fn take(&mut self, news: News) -> Result<(), Failure> {
        self.heard_at = Instant::now();
        if matches!(news, News::Down(_)) {
            // Only the collector speaks there: it is back, whatever it was that kept it.
            self.lanes.iter_mut().for_each(|lane| lane.window.alive());
        }
        let status = &self.link.status;
        match news {
            News::PubAck { id, refused } => {
                self.unanswered = self.unanswered.saturating_sub(1);
                self.answered_at = Instant::now();
                status.add(Count::Pubacks, 1);
                if let Some(reason) = refused {
                    status.add(Count::Refused, 1);
                    tracing::warn!(link.reason = ?reason, "a publish was refused; it is sent again");
                }
                tracing::trace!(target: STAGE, at = "link.puback", id);
            }
            News::Down(Downward::Ack(ack)) => self.take_ack(ack).await?,
            News::Down(Downward::Receipt(receipt)) => {
                status.add(Count::Receipts, 1);
                self.tell(Request::Receipt(receipt)).await?;
            }
            News::Down(Downward::Control(control)) => {
                tracing::info!(control.id = %control.id, control.kind, "the collector asks");
                self.tell(Request::Control(control)).await?;
            }
            News::Malformed(why) => {
                status.add(Count::Malformed, 1);
                tracing::warn!(link.why = %why, "message from the collector not understood");
            }
            News::SubAck(_) | News::Alive => {}
        }
        Ok(())
    }

    async fn take_ack(&mut self, ack: Ack) -> Result<(), Failure> {
        let (lane, seq) = (ack.lane.as_str(), ack.seq);
        tracing::trace!(target: STAGE, at = "link.ack", lane, seq);
        self.link.status.acked();
        self.link.status.add(Count::Rejects, ack.rejects.len().try_into().unwrap_or(u64::MAX));
        for lane in self.lanes.iter_mut().filter(|lane| lane.lane == ack.lane) {
            lane.window.acked(ack.epoch, ack.seq);
        }
        self.tell(Request::Acked(ack)).await
    }

    /// Once a second: resend what waits too long, find stalls, show that the loop is alive.
    fn look_at_the_clock(&mut self) -> Result<(), Failure> {
        let now = Instant::now();
        let settings = &self.link.settings;
        self.link.status.moved();
        for lane in &mut self.lanes {
            let again = lane.window.overdue(now);
            if again > 0 {
                lane.ahead.clear();
                self.link.status.add(Count::Resent, again.try_into().unwrap_or(u64::MAX));
                let name = lane.lane.as_str();
                tracing::warn!(
                    link.lane = name,
                    link.count = again,
                    "no acknowledgement in time; sending again"
                );
            }
            lane.more = true;
        }
        let patience = settings.ack_timeout.max(Duration::from_secs(5));
        if self.unanswered > 0 && now.duration_since(self.answered_at) > patience {
            return Err(Failure::Stalled("publishes are not answered"));
        }
        if now.duration_since(self.heard_at) > settings.keep_alive * 2 + Duration::from_secs(5) {
            return Err(Failure::Stalled("not even pings move"));
        }
        Ok(())
    }

    fn ask_heartbeat(&mut self) {
        let (reply, answer) = oneshot::channel();
        if self.link.requests.try_send(Request::Heartbeat(reply)).is_ok() {
            self.heartbeat = Some(answer);
        }
    }

    /// QoS 0: only the newest counts, so a lost one is not sent again.
    fn publish_heartbeat(&mut self, beat: &Heartbeat) -> Result<(), Failure> {
        self.heartbeat = None;
        let mut road = self.link.exit.told(&self.road_name());
        cut(&mut road, MAX_TEXT_BYTES);
        let beat = Heartbeat {
            road: Some(road),
            connection: Some(self.connected.connection),
            ..beat.clone()
        };
        let payload = serde_json::to_vec(&beat).unwrap_or_default();
        if payload.is_empty() || payload.len() > MAX_PAYLOAD_BYTES {
            tracing::error!(bytes = payload.len(), "heartbeat too large, not sent");
            return Ok(());
        }
        let (envelope, road) = (None, &*self.road_name());
        let departure = Departure { kind: "heartbeat", envelope, road, payload: &payload };
        self.link.exit.passes(departure);
        self.connected.client.heartbeat(&self.connected.agent, payload)?;
        self.link.status.add(Count::Heartbeats, 1);
        Ok(())
    }

    fn road_name(&self) -> String {
        self.link.settings.roads.get(self.road).map(ToString::to_string).unwrap_or_default()
    }

    fn is_drained(&self) -> bool {
        self.lanes.iter().all(|lane| !lane.more && lane.window.is_empty())
    }

    /// Says good-bye: an offline heartbeat, since a clean DISCONNECT discards the last will.
    async fn leave(mut self) -> Ended {
        let ended = if self.is_drained() { Ended::Drained } else { Ended::WithRemainder };
        if self.publish_heartbeat(&client::good_bye()).is_ok() {
            self.say_goodbye().await;
        }
        ended
    }

    async fn say_goodbye(&mut self) {
        if self.connected.client.leave() {
            let _ = timeout(Duration::from_secs(2), &mut self.connected.poller.0).await;
        }
    }

    /// Why the polling task ended.
    async fn end(&mut self) -> Failure {
        match (&mut self.connected.poller.0).await {
            Ok(failure) => failure,
            Err(e) => Failure::Lost(format!("the client failed: {e}")),
        }
    }
}

fn check_subscription(reasons: &[SubscribeReasonCode]) -> Result<(), Failure> {
    let granted = |reason: &SubscribeReasonCode| matches!(reason, SubscribeReasonCode::Success(_));
    match reasons.iter().find(|reason| !granted(reason)) {
        Some(reason) => Err(Failure::Subscription(format!("{reason:?}"))),
        None => Ok(()),
    }
}

/// The heartbeat that was asked for; pends while none is.
async fn wait_for(asked: &mut Option<oneshot::Receiver<Heartbeat>>) -> Option<Heartbeat> {
    match asked {
        Some(answer) => {
            let beat = answer.await.ok();
            *asked = None;
            beat
        }
        None => std::future::pending().await,
    }
}
