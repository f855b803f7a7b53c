//! Operators' requests: pausing queues and draining workers.

use super::Coordinator;
use super::command::Command;
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::id::WorkerId;
use crate::protocol::{QueueInfo, unknown_queue};

impl Coordinator {
    /// Pauses a queue durably: it accepts executions, but grants no attempts until it is
    /// [resumed](Self::resume_queue). Granted attempts continue; retries wait. Pausing a paused
    /// queue changes nothing.
    ///
    /// # Errors
    /// `NotFound` for an unknown queue, `StorageFull` if the store cannot write, `Closed` after the
    /// shutdown.
    pub async fn pause_queue(&self, queue: &str) -> Result<QueueInfo> {
        self.set_paused(queue, true).await
    }

    /// Resumes a queue. Resuming a queue that is not paused changes nothing.
    ///
    /// # Errors
    /// The errors of [`pause_queue`](Self::pause_queue).
    pub async fn resume_queue(&self, queue: &str) -> Result<QueueInfo> {
        self.set_paused(queue, false).await
    }

    /// Drains a worker: it receives no new attempts, and its program is asked to end, which it
    /// learns from [`Worker::drain_requested`](crate::Worker::drain_requested). Its attempts
    /// continue.
    ///
    /// # Errors
    /// `NotFound` if there is no such live worker, `Closed` after the shutdown.
    pub async fn drain_worker(&self, worker: &WorkerId) -> Result<()> {
        self.ask(|reply| Command::Drain { worker: worker.clone(), reply }).await?
    }

    /// Pauses or resumes `team/queue`, the part of a queue that belongs to one team.
    pub(super) async fn set_part_paused(&self, part: &str, paused: bool) -> Result<()> {
        let command = |reply| Command::SetPaused { queue: part.to_owned(), paused, reply };
        self.ask(command).await?
    }

    async fn set_paused(&self, queue: &str, paused: bool) -> Result<QueueInfo> {
        if queue.contains('/') {
            return Err(unknown_queue(queue));
        }
        let command = |reply| Command::SetPaused { queue: queue.to_owned(), paused, reply };
        self.ask(command).await??;
        let queues = self.queues().await?;
        let view = queues.into_iter().find(|view| *view.name == *queue);
        // The queue may have been known only because it was paused.
        view.ok_or_else(|| {
            Error::new(ErrorKind::NotFound, format!("queue {queue:?} not found any more"))
        })
    }
}
