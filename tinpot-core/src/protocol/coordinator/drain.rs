//! Workers that are sent home: they are given nothing new, and end when what they have has ended.

use super::{CoordinatorEffect, CoordinatorMachine};
use crate::model::address::Address;
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::id::WorkerId;
use crate::protocol::message::{Drain, Message};
use crate::protocol::tick::Tick;

impl CoordinatorMachine {
    /// Gives a worker nothing more, and asks it to end when its attempts have ended, until it has heard. Asking again changes nothing. Not
    /// durable: a worker that has not heard before the coordinator starts again goes on.
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
        let Some(worker) = worker else {
            let message = format!("worker {:?} not found", id.as_str());
            return Err(Error::new(ErrorKind::NotFound, message));
        };
        if !std::mem::replace(&mut worker.draining, true) {
            self.ask_to_drain(now, id, out);
            self.refresh_catalogue();
        }
        Ok(())
    }

    /// Asks a worker that is to drain and has not said that it does.
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
