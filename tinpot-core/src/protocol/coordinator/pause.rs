//! Queues that are paused: they accept, and nothing of them is granted. What a worker was given before goes on.

use std::sync::Arc;

use super::{CoordinatorEffect, CoordinatorMachine};
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::id::WorkerId;
use crate::model::transition::Transition;
use crate::protocol::tick::Tick;

impl CoordinatorMachine {
    /// Grants nothing more of a queue, until it is resumed. Pausing what is paused changes nothing.
    ///
    /// # Errors
    /// `NotFound` for a queue of which nothing is known.
    pub fn pause_queue(
        &mut self,
        now: Tick,
        queue: &str,
        out: &mut Vec<CoordinatorEffect>,
    ) -> Result<()> {
        self.check_known(queue)?;
        if !self.is_paused(queue) {
            let (queue, since) = (Arc::<str>::from(queue), self.time(now));
            self.paused.insert(queue.clone(), since);
            out.push(CoordinatorEffect::Persist(Transition::Pause { queue, since }));
        }
        Ok(())
    }

    /// Grants again what waits in a queue. Resuming what is not paused changes nothing.
    ///
    /// # Errors
    /// `NotFound` for a queue of which nothing is known.
    pub fn resume_queue(
        &mut self,
        now: Tick,
        queue: &str,
        out: &mut Vec<CoordinatorEffect>,
    ) -> Result<()> {
        self.check_known(queue)?;
        if let Some((queue, _)) = self.paused.remove_entry(queue) {
            out.push(CoordinatorEffect::Persist(Transition::Resume { queue: queue.clone() }));
            let able = self.workers.iter().filter(|(_, worker)| worker.serves(&queue));
            let able: Vec<WorkerId> = able.map(|(id, _)| id.clone()).collect();
            for id in able {
                self.fill(now, &id, out);
            }
        }
        Ok(())
    }

    pub(super) fn is_paused(&self, queue: &str) -> bool {
        self.paused.contains_key(queue)
    }

    /// A mistyped name must not look as if it had been paused.
    fn check_known(&self, queue: &str) -> Result<()> {
        match self.queue_names().contains(queue) {
            true => Ok(()),
            false => {
                let message = format!("queue {queue:?} not found: no action or worker names it");
                Err(Error::new(ErrorKind::NotFound, message))
            }
        }
    }
}
