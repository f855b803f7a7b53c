//! The worker: offers actions, runs attempts, and reports until it is heard.

mod builder;
mod control;
mod logs;
mod offers;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

pub use self::builder::WorkerBuilder;
use self::control::Command;
use crate::model::id::WorkerId;
use crate::transport::Transport;

/// A running worker.
///
/// Dropping it aborts its tasks, which kills what runs; [`shutdown`](Self::shutdown) drains it first.
#[derive(Debug)]
pub struct Worker {
    id: WorkerId,
    commands: mpsc::Sender<Command>,
    drain_requested: watch::Receiver<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Worker {
    /// Starts to describe a worker that reaches its coordinator by `transport`.
    pub fn builder(transport: impl Transport) -> WorkerBuilder {
        WorkerBuilder::new(Arc::new(transport))
    }

    /// Its id: another one after every start.
    pub fn id(&self) -> &WorkerId {
        &self.id
    }

    /// Resolves when the coordinator asks this worker to end ([`Coordinator::drain_worker`](crate::Coordinator::drain_worker)), and never else.
    /// It takes nothing on any more then; a program should do what it does when it is told to end: [`shutdown`](Self::shutdown).
    pub fn drain_requested(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut requested = self.drain_requested.clone();
        async move {
            if requested.wait_for(|requested| *requested).await.is_err() {
                // It has ended for another reason.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Ends the worker in order: it takes nothing new, gives back what waits, lets what runs go on for `patience`, then ends it, reports
    /// everything, says goodbye and closes its executors. Resolves when nothing of it is alive.
    pub async fn shutdown(mut self, patience: Duration) {
        let (reply, done) = oneshot::channel();
        if self.commands.send(Command::Shutdown { patience, reply }).await.is_ok() {
            let _ = done.await;
        }
        for task in self.tasks.drain(..) {
            task.abort();
            let _ = task.await;
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}
