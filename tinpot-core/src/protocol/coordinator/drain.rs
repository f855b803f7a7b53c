//! Draining workers: they are granted nothing new, and end when their attempts have ended.

use super::{CoordinatorEffect, CoordinatorMachine};
use crate::model::address::Address;
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::id::WorkerId;
use crate::protocol::message::{Drain, Message};
use crate::protocol::tick::Tick;

impl CoordinatorMachine {
    /// Drains a worker: it is granted nothing new, and is asked to end when its attempts have
    /// ended. The request is resent until the worker confirms it. Draining a draining worker
    /// changes nothing. The request is not durable: a worker that has not received it before the
    /// coordinator restarts continues.
    ///
    /// # Errors
    /// `NotFound` when there is no such live worker.
    pub fn drain_worker(
        &mut self,
        now: Tick,
        id: &WorkerId,
        out: &mut Vec<CoordinatorEffect>,
    ) -> Result<()> {
        let worker = self.workers.get_mut(id).filter(|worker| worker.introduced);
        let Some(worker) = worker else { return Err(unknown_worker(id)) };
        if !std::mem::replace(&mut worker.draining, true) {
            self.ask_to_drain(now, id, out);
            self.refresh_catalogue(now);
        }
        Ok(())
    }

    /// Asks a worker to drain if it has not confirmed that it does.
    pub(super) fn ask_to_drain(
        &mut self,
        now: Tick,
        id: &WorkerId,
        out: &mut Vec<CoordinatorEffect>,
    ) {
        if self.workers.get(id).is_some_and(|worker| worker.draining && worker.slots > 0) {
            let drain = Message::Drain(Drain { epoch: self.epoch });
            out.push(CoordinatorEffect::Send(Address::Worker(id.clone()), drain));
            self.arm_resend(now, id);
        }
    }
}

/// Returns the error for a worker that is not live, or that is hidden from the caller.
pub(crate) fn unknown_worker(id: &WorkerId) -> Error {
    Error::new(ErrorKind::NotFound, format!("worker {:?} not found", id.as_str()))
}
