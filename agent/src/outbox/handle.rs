//! The outbox's own thread, and the handle through which everybody else speaks to it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use callhome_shared::ack::{Ack, Receipt};
use callhome_shared::envelope::Lane;
use callhome_shared::time::Time;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use uuid::Uuid;

use super::{Checked, Committed, Decision, Outbox, OutboxError, Page, RejectRow, Status};

/// Requests that wait for the thread; further callers wait.
const REQUESTS: usize = 64;
/// Callers that wait for a receipt; further ones are answered at once that there is none.
const WAITERS: usize = 64;
/// The thread's stack.
const STACK_BYTES: usize = 1024 * 1024;

enum Request {
    Commit(Arc<Decision>, oneshot::Sender<Result<Committed, OutboxError>>),
    Pending(PageRequest, oneshot::Sender<Result<Page, OutboxError>>),
    Ack(Ack, oneshot::Sender<()>),
    Receipt(Receipt, oneshot::Sender<()>),
    ReceiptOf(Uuid, oneshot::Sender<Option<Receipt>>),
    AwaitReceipt(Uuid, oneshot::Sender<Receipt>),
    Rejects(oneshot::Sender<Result<Vec<RejectRow>, OutboxError>>),
    Check((Lane, u64, u64), oneshot::Sender<Result<Checked, OutboxError>>),
    Settle(oneshot::Sender<Result<(), OutboxError>>),
    #[cfg(test)]
    Break(fn(&mut Outbox), oneshot::Sender<()>),
}

struct PageRequest {
    lane: Lane,
    after_seq: u64,
    max_count: usize,
    max_bytes: usize,
}

/// Speaks to the outbox. Cheap to clone; the thread ends, settled, when the last one is dropped.
#[derive(Clone)]
pub struct Handle {
    requests: mpsc::Sender<Request>,
    status: watch::Receiver<Status>,
    added: Arc<Notify>,
    freed: Arc<Notify>,
}

/// Gives the outbox its thread.
pub fn spawn(mut outbox: Outbox) -> std::io::Result<(Handle, std::thread::JoinHandle<()>)> {
    let (requests, queue) = mpsc::channel(REQUESTS);
    let (publish, status) = watch::channel(outbox.status());
    let handle =
        Handle { requests, status, added: Arc::new(Notify::new()), freed: Arc::new(Notify::new()) };
    let owner = Owner {
        outbox,
        publish,
        added: handle.added.clone(),
        freed: handle.freed.clone(),
        waiters: BTreeMap::new(),
    };
    let thread = std::thread::Builder::new()
        .name("outbox".to_owned())
        .stack_size(STACK_BYTES)
        .spawn(move || owner.run(queue))?;
    Ok((handle, thread))
}

impl Handle {
    /// Stores a decision; see [`Outbox::commit`].
    pub async fn commit(&self, decision: Arc<Decision>) -> Result<Committed, OutboxError> {
        self.ask(|reply| Request::Commit(decision, reply)).await?
    }

    /// The next envelopes to send; see [`Outbox::pending`].
    pub async fn pending(
        &self,
        lane: Lane,
        after_seq: u64,
        max_count: usize,
        max_bytes: usize,
    ) -> Result<Page, OutboxError> {
        let request = PageRequest { lane, after_seq, max_count, max_bytes };
        self.ask(|reply| Request::Pending(request, reply)).await?
    }

    /// Takes an acknowledgement; see [`Outbox::ack`].
    pub async fn ack(&self, ack: Ack) -> Result<(), OutboxError> {
        self.ask(|reply| Request::Ack(ack, reply)).await
    }

    /// Takes a receipt; see [`Outbox::receipt`].
    pub async fn receipt(&self, receipt: Receipt) -> Result<(), OutboxError> {
        self.ask(|reply| Request::Receipt(receipt, reply)).await
    }

    /// The receipt of an alarm life, if it is here.
    pub async fn receipt_of(&self, alarm_id: Uuid) -> Result<Option<Receipt>, OutboxError> {
        self.ask(|reply| Request::ReceiptOf(alarm_id, reply)).await
    }

    /// Waits for the receipt of an alarm life; none in time: `None`.
    pub async fn wait_receipt(&self, alarm_id: Uuid, timeout: Duration) -> Option<Receipt> {
        let waiting = self.ask(|reply| Request::AwaitReceipt(alarm_id, reply));
        tokio::time::timeout(timeout, waiting).await.ok()?.ok()
    }

    /// Refused envelopes; see [`Outbox::rejects`].
    pub async fn rejects(&self) -> Result<Vec<RejectRow>, OutboxError> {
        self.ask(Request::Rejects).await?
    }

    /// Reads stored entries against their checksums; see [`Outbox::check`].
    pub async fn check(
        &self,
        lane: Lane,
        after_seq: u64,
        count: u64,
    ) -> Result<Checked, OutboxError> {
        self.ask(|reply| Request::Check((lane, after_seq, count), reply)).await?
    }

    /// Writes down what acknowledgements and receipts left to do. The line calls it every second.
    pub async fn settle(&self) -> Result<(), OutboxError> {
        self.ask(Request::Settle).await?
    }

    /// A picture of the outbox, kept up to date.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// Notified when there is something new to send (the link waits on it). One waiter at a time.
    pub fn added(&self) -> Arc<Notify> {
        self.added.clone()
    }

    /// Notified when acknowledgements make room (the line waits on it when the outbox is full).
    pub fn freed(&self) -> Arc<Notify> {
        self.freed.clone()
    }

    /// As after an I/O error: the next call opens the file anew.
    #[cfg(test)]
    pub(crate) async fn break_database(&self) {
        self.ask(|reply| Request::Break(Outbox::break_database, reply)).await.unwrap();
    }

    /// The next commit is stored, but the disk fails before it is known.
    #[cfg(test)]
    pub(crate) async fn lose_answer(&self) {
        self.ask(|reply| Request::Break(Outbox::lose_answer, reply)).await.unwrap();
    }

    async fn ask<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<T>) -> Request,
    ) -> Result<T, OutboxError> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(request(reply)).await.map_err(|_| OutboxError::Closed)?;
        answer.await.map_err(|_| OutboxError::Closed)
    }
}

/// What runs on the thread.
struct Owner {
    outbox: Outbox,
    publish: watch::Sender<Status>,
    added: Arc<Notify>,
    freed: Arc<Notify>,
    /// Who waits for the receipt of which alarm life.
    waiters: BTreeMap<Uuid, Vec<oneshot::Sender<Receipt>>>,
}

impl Owner {
    fn run(mut self, mut queue: mpsc::Receiver<Request>) {
        while let Some(request) = queue.blocking_recv() {
            self.serve(request);
        }
        if let Err(error) = self.outbox.settle() {
            tracing::error!(error = &error as &dyn std::error::Error, "outbox not settled");
        }
    }

    /// The status is told before the answer: who has his answer finds in it what he asked for.
    /// A caller that has gone away does not want its answer.
    fn answer<T>(&mut self, reply: oneshot::Sender<T>, answer: T) {
        let status = self.outbox.status();
        self.publish.send_if_modified(|old| {
            let changed = *old != status;
            *old = status;
            changed
        });
        let _ = reply.send(answer);
    }

    fn serve(&mut self, request: Request) {
        match request {
            Request::Commit(decision, reply) => {
                let result = self.outbox.commit(&decision);
                if result.is_ok() && !decision.drafts.is_empty() {
                    self.added.notify_one();
                }
                self.answer(reply, result);
            }
            Request::Pending(page, reply) => {
                let PageRequest { lane, after_seq, max_count, max_bytes } = page;
                let page = self.outbox.pending(lane, after_seq, max_count, max_bytes);
                self.answer(reply, page);
            }
            Request::Ack(ack, reply) => {
                let epoch = self.outbox.epoch();
                if self.outbox.ack(&ack, Time::now()) {
                    self.freed.notify_one();
                }
                if self.outbox.epoch() != epoch {
                    self.added.notify_one();
                }
                self.answer(reply, ());
            }
            Request::Receipt(receipt, reply) => {
                self.outbox.receipt(&receipt);
                for waiter in self.waiters.remove(&receipt.alarm_id).unwrap_or_default() {
                    let _ = waiter.send(receipt.clone());
                }
                self.answer(reply, ());
            }
            Request::ReceiptOf(alarm_id, reply) => {
                self.answer(reply, self.outbox.receipt_of(alarm_id).cloned());
            }
            Request::AwaitReceipt(alarm_id, reply) => self.wait(alarm_id, reply),
            Request::Rejects(reply) => {
                let rejects = self.outbox.rejects();
                self.answer(reply, rejects);
            }
            Request::Check((lane, after_seq, count), reply) => {
                let checked = self.outbox.check(lane, after_seq, count);
                self.answer(reply, checked);
            }
            Request::Settle(reply) => {
                let settled = self.outbox.settle();
                self.answer(reply, settled);
            }
            #[cfg(test)]
            Request::Break(how, reply) => {
                how(&mut self.outbox);
                self.answer(reply, ());
            }
        }
    }

    fn wait(&mut self, alarm_id: Uuid, reply: oneshot::Sender<Receipt>) {
        if let Some(receipt) = self.outbox.receipt_of(alarm_id) {
            let _ = reply.send(receipt.clone());
            return;
        }
        self.waiters.retain(|_, waiting| {
            waiting.retain(|w| !w.is_closed());
            !waiting.is_empty()
        });
        if self.waiters.values().map(Vec::len).sum::<usize>() < WAITERS {
            self.waiters.entry(alarm_id).or_default().push(reply);
        }
    }
}
