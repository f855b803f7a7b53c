//! What operators do: pause queues, and send workers home.

use super::Coordinator;
use super::control::Command;
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::id::WorkerId;
use crate::protocol::QueueInfo;

impl Coordinator {
    /// Pauses a queue, durably: it accepts, and nothing of it is given to a worker until it is [resumed](Self::resume_queue). What a worker was
    /// given before goes on; retries wait. Pausing what is paused changes nothing.
    ///
    /// # Errors
    /// `NotFound` for a queue of which nothing is known, `StorageFull` when that cannot be recorded, `Closed`.
    pub async fn pause_queue(&self, queue: &str) -> Result<QueueInfo> {
        self.set_paused(queue, true).await
    }

    /// Lets a queue go on. Resuming what is not paused changes nothing.
    ///
    /// # Errors
    /// Those of [`pause_queue`](Self::pause_queue).
    pub async fn resume_queue(&self, queue: &str) -> Result<QueueInfo> {
        self.set_paused(queue, false).await
    }

    /// Sends a worker home: it is given nothing new, is told to end when its attempts have ended, and goes on until then. Whether its program
    /// does is for that to say: [`Worker::drain_requested`](crate::Worker::drain_requested).
    ///
    /// # Errors
    /// `NotFound` when there is no such live worker, `Closed`.
    pub async fn drain_worker(&self, worker: &WorkerId) -> Result<()> {
        self.ask(|reply| Command::Drain { worker: worker.clone(), reply }).await?
    }

    async fn set_paused(&self, queue: &str, paused: bool) -> Result<QueueInfo> {
        let command = |reply| Command::SetPaused { queue: queue.to_owned(), paused, reply };
        self.ask(command).await??;
        let queues = self.queues().await?;
        let view = queues.into_iter().find(|view| *view.name == *queue);
        // The last thing that was known of it may have been that it was paused.
        view.ok_or_else(|| {
            Error::new(ErrorKind::NotFound, format!("nothing is known of queue {queue:?} any more"))
        })
    }
}
