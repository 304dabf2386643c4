//! Delivers what is due. Each lane (mail, each receiver) has its own task: one that is dead delays no other. The
//! truth is in the rows: what was claimed by a collector that died is due again after ten minutes.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use callhome_shared::limits::cut;
use callhome_shared::time::Time;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::MAIL;
use super::courier::{Courier, Parcel};
use super::mail::Undelivered;
use crate::flow::rounds::Rounds;
use crate::metrics::Metrics;
use crate::notice::Facts;
use crate::notice::pace::{again_after, pace};
use crate::store::notices::{self as rows, NoticeRow, Outcome};
use crate::store::{Db, Result, duty};

/// Between two looks.
const EVERY: Duration = Duration::from_secs(1);
/// A claim's life: longer than everything that is done with it takes, by far.
const CLAIM_MS: i64 = 10 * 60_000;
/// A look at a lane goes back to its beginning after this.
const LONGEST: Duration = Duration::from_secs(5 * 60);
/// Notices of one look at a lane.
const MOST: i64 = 200;
/// Notices that did not go for two days are given up.
const OLD_MS: i64 = 48 * 3600 * 1000;
/// What finds no room now is looked at again after this.
const LATER_MS: i64 = 5_000;
/// Longest result that is kept, bytes.
const MOST_RESULT: usize = 500;

/// Delivers until `stop` is cancelled.
pub async fn run(db: Db, courier: Arc<Courier>, metrics: Arc<Metrics>, stop: CancellationToken) {
    let mut rounds = Rounds::new(EVERY, stop);
    let mut lanes: JoinSet<String> = JoinSet::new();
    let mut busy: HashSet<String> = HashSet::new();
    while rounds.next().await {
        while let Some(done) = lanes.try_join_next() {
            match done {
                Ok(lane) => {
                    busy.remove(&lane);
                }
                // Which one it was is not known: all that still run are busy again at the next look.
                Err(error) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "flow.notices.died");
                    lanes.abort_all();
                    busy.clear();
                }
            }
        }
        let due = match rows::lanes(&db, Time::now()).await {
            Ok(due) => due,
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "flow.notices.failed");
                continue;
            }
        };
        for lane in due {
            if busy.insert(lane.clone()) {
                let (db, courier, metrics) = (db.clone(), courier.clone(), metrics.clone());
                lanes.spawn(async move {
                    tell(round_of(&db, &courier, &metrics, &lane, Time::now()).await);
                    lane
                });
            }
        }
    }
}

fn tell(done: Result<usize>) {
    if let Err(error) = done {
        tracing::warn!(error = &error as &dyn std::error::Error, "flow.notices.failed");
    }
}

/// Looks at every lane once, one after the other; answers how many letters went.
pub async fn round(db: &Db, courier: &Courier, metrics: &Metrics, now: Time) -> Result<usize> {
    let mut count = 0;
    for lane in rows::lanes(db, now).await? {
        count += round_of(db, courier, metrics, &lane, now).await?;
    }
    Ok(count)
}

async fn round_of(
    db: &Db,
    courier: &Courier,
    metrics: &Metrics,
    lane: &str,
    now: Time,
) -> Result<usize> {
    let due = rows::claim(db, lane, now, now.plus_ms(CLAIM_MS), MOST).await?;
    let mut groups: BTreeMap<&str, Vec<&NoticeRow>> = BTreeMap::new();
    for row in &due {
        groups.entry(&row.recipient).or_default().push(row);
    }
    let mut van =
        Van { db, courier, metrics, lane, now, down: None, sent: 0, begun: Instant::now() };
    for (recipient, group) in groups {
        van.group(recipient, &group).await?;
    }
    Ok(van.sent)
}

/// One look at one lane.
struct Van<'a> {
    db: &'a Db,
    courier: &'a Courier,
    metrics: &'a Metrics,
    lane: &'a str,
    now: Time,
    /// Since it did not take something: nothing else is tried now.
    down: Option<Time>,
    sent: usize,
    begun: Instant,
}

impl Van<'_> {
    async fn group(&mut self, recipient: &str, group: &[&NoticeRow]) -> Result<()> {
        let address = match self.lane {
            MAIL => self.address(recipient).await?,
            _ => Some(String::new()),
        };
        let Some(address) = address else {
            let outcome = Outcome {
                state: "dropped",
                next_at: self.now,
                result: "no e-mail address is known any more",
                tried: false,
            };
            let all: Vec<_> = group.iter().map(|row| (*row, outcome.clone())).collect();
            return rows::note(self.db, &all, self.now).await;
        };
        let pace = pace(group.len(), self.courier.left(self.lane, recipient, self.now));
        let (alone, rest) = group.split_at(pace.alone);
        let (folded, late) = rest.split_at(pace.folded);
        for row in alone {
            self.letter(recipient, &address, std::slice::from_ref(row)).await?;
        }
        if !folded.is_empty() {
            self.letter(recipient, &address, folded).await?;
        }
        self.back(late, self.now.plus_ms(LATER_MS)).await
    }

    /// Where a person's mail goes now; `None`: nowhere.
    async fn address(&self, person: &str) -> Result<Option<String>> {
        let mut tx = self.db.begin().await?;
        let row = duty::one(&mut tx, person).await?;
        tx.rollback().await?;
        Ok(row.filter(|p| !p.disabled && !p.mail.is_empty()).map(|p| p.mail))
    }

    /// Nobody needs it any more.
    fn is_old(&self, row: &NoticeRow) -> bool {
        self.now.since_ms(row.created_at) > OLD_MS
    }

    /// They go back untried.
    async fn back(&self, all: &[&NoticeRow], at: Time) -> Result<()> {
        let mut untried = Vec::new();
        for row in all {
            let (state, result) = ("waiting", row.result.as_str());
            untried.push((*row, Outcome { state, next_at: at, result, tried: false }));
        }
        rows::note(self.db, &untried, self.now).await
    }

    async fn letter(&mut self, recipient: &str, address: &str, all: &[&NoticeRow]) -> Result<()> {
        if let Some(at) = self.down {
            let (old, young): (Vec<&NoticeRow>, Vec<_>) =
                all.iter().copied().partition(|row| self.is_old(row));
            let result = "the way was closed for two days";
            let outcome = Outcome { state: "failed", next_at: self.now, result, tried: false };
            let old: Vec<_> = old.into_iter().map(|row| (row, outcome.clone())).collect();
            self.metrics.count_notices("failed", old.len());
            rows::note(self.db, &old, self.now).await?;
            return self.back(&young, at).await;
        }
        if self.begun.elapsed() > LONGEST {
            return self.back(all, self.now).await;
        }
        let Some(first) = all.first() else { return Ok(()) };
        let facts: Vec<Facts> =
            all.iter().map(|row| serde_json::from_str(&row.facts).unwrap_or_default()).collect();
        let parcel = Parcel { id: &first.id, facts: &facts, language: &first.language };
        let now = Time::now();
        let done = match self.lane {
            MAIL => self.courier.mail(recipient, address, &parcel, self.now).await,
            lane => self.courier.post(lane, recipient, &parcel, self.now).await,
        };
        match done {
            Ok(mut said) => {
                self.sent += 1;
                self.metrics.count_notices("sent", all.len());
                cut(&mut said, MOST_RESULT);
                let state = if all.len() == 1 { "sent" } else { "folded" };
                let outcome = Outcome { state, next_at: now, result: &said, tried: true };
                let all: Vec<_> = all.iter().map(|row| (*row, outcome.clone())).collect();
                rows::note(self.db, &all, now).await
            }
            Err(failed) => self.failed(all, failed, now).await,
        }
    }

    async fn failed(&mut self, all: &[&NoticeRow], failed: Undelivered, now: Time) -> Result<()> {
        let Undelivered { mut why, for_good, server } = failed;
        cut(&mut why, MOST_RESULT);
        tracing::warn!(lane = self.lane, notices = all.len(), why, "flow.notices.undelivered");
        let mut outcomes = Vec::new();
        for row in all {
            let useless = for_good || self.is_old(row);
            let again = again_after(row.attempts + 1).filter(|_| !useless);
            let state = if again.is_some() { "waiting" } else { "failed" };
            self.metrics.count_notices(if again.is_some() { "again" } else { "failed" }, 1);
            let next_at = self.now.plus_ms(again.unwrap_or_default() * 1000);
            if server && again.is_some() {
                self.down = Some(next_at);
            }
            outcomes.push((*row, Outcome { state, next_at, result: &why, tried: true }));
        }
        rows::note(self.db, &outcomes, now).await
    }
}
