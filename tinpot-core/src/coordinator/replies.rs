//! The callers that wait for a reply of the control loop.

use tokio::sync::oneshot;

use super::core::{Accepted, Response, Ticket};
use super::watch_registry::Registry;
use crate::model::error::Result;
use crate::protocol::CancelOutcome;

/// The receiver of one reply.
#[derive(Debug)]
pub(super) enum Reply {
    Submit(oneshot::Sender<Result<Accepted>>),
    Cancel(oneshot::Sender<Result<CancelOutcome>>),
    Done(oneshot::Sender<Result<()>>),
}

/// The open requests, by ticket. Tickets are reused, so that the list is as long as the most
/// requests that were ever open at once: no longer than the callers are many.
#[derive(Debug, Default)]
pub(super) struct Replies {
    open: Vec<Option<Reply>>,
    free: Vec<Ticket>,
}

impl Replies {
    /// Returns the ticket of a new request.
    pub(super) fn open(&mut self, reply: Reply) -> Ticket {
        match self.free.pop() {
            Some(ticket) => {
                self.open[ticket.0 as usize] = Some(reply);
                ticket
            }
            None => {
                self.open.push(Some(reply));
                Ticket(self.open.len() as u32 - 1)
            }
        }
    }

    /// Sends a response to the caller that waits for it.
    pub(super) fn send(&mut self, registry: &Registry, ticket: Ticket, response: Response) {
        let Some(reply) = self.open.get_mut(ticket.0 as usize).and_then(Option::take) else {
            return;
        };
        self.free.push(ticket);
        if let Response::Refused { withdrawn: Some(id), .. } = &response {
            registry.refuse(*id);
        }
        // A caller that does not wait any more needs no reply.
        match (reply, response) {
            (Reply::Submit(reply), Response::Submitted(accepted)) => {
                let _ = reply.send(Ok(accepted));
            }
            (Reply::Submit(reply), Response::Refused { error, .. }) => {
                let _ = reply.send(Err(error));
            }
            (Reply::Cancel(reply), Response::Cancelled(outcome)) => {
                let _ = reply.send(outcome);
            }
            (Reply::Done(reply), Response::Done(result)) => {
                let _ = reply.send(result);
            }
            (reply, response) => {
                debug_assert!(false, "{response:?} is no response to {reply:?}");
            }
        }
    }
}
