//! Paused queues: they accept executions but grant no attempts. Granted attempts continue.

use std::sync::Arc;

use super::{CoordinatorEffect, CoordinatorMachine};
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::id::WorkerId;
use crate::model::transition::Transition;
use crate::protocol::tick::Tick;

impl CoordinatorMachine {
    /// Pauses a queue: nothing of it is granted until it is resumed. Pausing a paused queue changes
    /// nothing.
    ///
    /// # Errors
    /// `NotFound` for an unknown queue.
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

    /// Resumes a queue. Resuming a queue that is not paused changes nothing.
    ///
    /// # Errors
    /// `NotFound` for an unknown queue.
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

    /// Checks that a queue is known, so that a mistyped name does not look paused.
    fn check_known(&self, queue: &str) -> Result<()> {
        match self.queue_names().contains(queue) {
            true => Ok(()),
            false => Err(unknown_queue(queue)),
        }
    }
}

/// Returns the error for a queue that is unknown, or that is hidden from the caller.
pub(crate) fn unknown_queue(queue: &str) -> Error {
    let message = format!("queue {queue:?} not found: no action or worker names it");
    Error::new(ErrorKind::NotFound, message)
}
