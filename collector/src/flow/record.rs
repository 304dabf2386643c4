//! Goes along the whole record of everything that touches trust and keeps what it found: at the start,
//! every hour, and when somebody asks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use callhome_shared::time::Time;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::audit::{Break, Chain};
use crate::metrics::Metrics;
use crate::store::{Db, Result, audit};

/// Between two looks.
const EVERY: Duration = Duration::from_secs(3600);
/// Rows read at a time.
const PAGE: i64 = 1000;

/// What one look along the chain found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// When it began.
    pub at: Time,
    /// Rows that were looked at.
    pub rows: u64,
    /// The last row, as the head said at the beginning.
    pub head: i64,
    /// Its hash, as the head said.
    pub hash: String,
    /// The broken places, the earliest first; at most twenty.
    pub breaks: Vec<Break>,
}

impl Verdict {
    /// Up to this row everything is as it was written.
    pub fn good_up_to(&self) -> i64 {
        let first = self.breaks.iter().map(Break::row).min();
        first.map_or(self.head, |row| row.saturating_sub(1).clamp(0, self.head.max(0)))
    }
}

/// Looks once; `noted` are rows with the hashes that somebody kept of them.
pub async fn verify(db: &Db, noted: Vec<(i64, String)>) -> Result<Verdict> {
    let at = Time::now();
    // The head first: what is appended meanwhile is checked as far as the head went.
    let (head, hash) = audit::head(db).await?;
    let mut chain = Chain::new(noted);
    let mut rows = 0_u64;
    'all: loop {
        let page = audit::after(db, chain.seq(), PAGE).await?;
        let full = i64::try_from(page.len()).is_ok_and(|n| n == PAGE);
        let before = chain.seq();
        for row in page {
            // The row came after the head was read: then the head has moved to it or beyond.
            if row.seq > head && head >= 0 && audit::head(db).await?.0 >= row.seq {
                break 'all;
            }
            chain.follow(&row);
            rows += 1;
        }
        if !full || chain.seq() == before {
            break;
        }
    }
    let breaks = chain.end((head, &hash));
    Ok(Verdict { at, rows, head, hash, breaks })
}

/// What is known of the record.
#[derive(Clone, Debug, Default)]
struct Known {
    /// Looks that were asked for and are done.
    done: u64,
    /// Whether the last look could be made.
    read: bool,
    /// What the last one found that could.
    verdict: Option<Arc<Verdict>>,
    /// The head of the last look that found everything whole: a record that is written anew as a whole is
    /// found by it, as long as this program runs.
    noted: Option<(i64, String)>,
}

/// The last verdict, and the way to another one.
pub struct Verifier {
    db: Db,
    metrics: Arc<Metrics>,
    /// Looks that were asked for, all together.
    asked: AtomicU64,
    nudge: Notify,
    known: watch::Sender<Known>,
}

impl Verifier {
    /// Has not looked yet.
    pub fn new(db: Db, metrics: Arc<Metrics>) -> Arc<Self> {
        let known = watch::Sender::new(Known::default());
        Arc::new(Verifier { db, metrics, asked: AtomicU64::new(0), nudge: Notify::new(), known })
    }

    /// What the last look found; none before the first one has ended.
    pub fn last(&self) -> Option<Arc<Verdict>> {
        self.known.borrow().verdict.clone()
    }

    /// Asks for a look that begins from now on, and waits for its verdict at most so long. Whoever asks
    /// while one runs shares the next one. None: it takes longer, or the store cannot be read.
    pub async fn look(&self, within: Duration) -> Option<Arc<Verdict>> {
        let mine = self.asked.fetch_add(1, Ordering::AcqRel) + 1;
        self.nudge.notify_one();
        let mut known = self.known.subscribe();
        let ended = known.wait_for(|known| known.done >= mine);
        let known = tokio::time::timeout(within, ended).await.ok()?.ok()?;
        known.verdict.clone().filter(|_| known.read)
    }

    /// Looks until `stop` is cancelled.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut timer = tokio::time::interval(EVERY);
        timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = timer.tick() => {}
                () = self.nudge.notified() => {}
                () = stop.cancelled() => return,
            }
            if stop.run_until_cancelled(self.once()).await.is_none() {
                return;
            }
        }
    }

    async fn once(&self) {
        let done = self.asked.load(Ordering::Acquire);
        let before = self.known.borrow().clone();
        let looked = verify(&self.db, before.noted.clone().into_iter().collect()).await;
        let known = match looked {
            Ok(verdict) => {
                self.tell(before.verdict.as_deref(), &verdict);
                let whole = verdict.breaks.is_empty() && verdict.head > 0;
                let noted = whole.then(|| (verdict.head, verdict.hash.clone())).or(before.noted);
                Known { done, read: true, verdict: Some(Arc::new(verdict)), noted }
            }
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "flow.record.unread");
                Known { done, read: false, ..before }
            }
        };
        self.known.send_replace(known);
    }

    fn tell(&self, before: Option<&Verdict>, verdict: &Verdict) {
        self.metrics.set_record(verdict.good_up_to(), verdict.breaks.len());
        if before.is_some_and(|before| before.breaks == verdict.breaks) {
            return;
        }
        for broken in &verdict.breaks {
            tracing::error!(row = broken.row(), "flow.record.broken: {broken}");
        }
        if verdict.breaks.is_empty() {
            tracing::info!(rows = verdict.rows, "flow.record.whole");
        }
    }
}
