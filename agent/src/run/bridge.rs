//! Between link and outbox, which do not know each other.

use tokio::sync::mpsc;

use crate::control::Board;
use crate::link::{Pending, Request};
use crate::outbox::Handle;

/// Requests that wait; the link waits when there are more.
pub(super) const REQUESTS: usize = 64;

/// Answers the link until it is gone.
pub(super) async fn run(mut requests: mpsc::Receiver<Request>, outbox: Handle, board: Board) {
    while let Some(request) = requests.recv().await {
        match request {
            Request::Pending(query, reply) => {
                let page =
                    outbox.pending(query.lane, query.after, query.max_count, query.max_bytes);
                match page.await {
                    Ok(page) => {
                        let (epoch, ahead, envelopes) = (page.epoch, page.ahead, page.envelopes);
                        let _ = reply.send(Pending { epoch, ahead, envelopes });
                    }
                    // A dropped reply: the link asks again.
                    Err(error) => {
                        let error = &error as &dyn std::error::Error;
                        tracing::warn!(error, "the outbox cannot be read");
                    }
                }
            }
            Request::Acked(ack) => note("ack", outbox.ack(ack).await),
            // Shadow tickets prove a path; the outbox keeps the tickets of faults.
            Request::Receipt(receipt) if board.probes().receipt(&receipt) => {}
            Request::Receipt(receipt) => note("receipt", outbox.receipt(receipt).await),
            Request::Control(control) => board.control(control),
            Request::Heartbeat(reply) => {
                let _ = reply.send(board.heartbeat());
            }
        }
    }
}

/// What is not noted comes again: unacknowledged envelopes are sent again, receipts at reconnect.
fn note(what: &'static str, noted: Result<(), crate::outbox::OutboxError>) {
    if let Err(error) = noted {
        tracing::warn!(what, error = &error as &dyn std::error::Error, "not noted in the outbox");
    }
}
