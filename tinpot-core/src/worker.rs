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
use crate::protocol::seal::{KeyState, PublicKey, Suite};
use crate::transport::Transport;
use crate::watcher::Watcher;

/// A running worker.
///
/// Dropping it kills its attempts, and logs a warning; [`shutdown`](Self::shutdown) drains it
/// first. Bind it to a name: as a statement, `Worker::builder(…).start().await?;` ends the worker
/// at once.
///
/// [`Coordinator`](crate::Coordinator) has an example of a coordinator and a worker.
///
/// ```
/// # use tinpot_core::{Coordinator, Failure, FunctionExecutor, MemoryNetwork, Worker};
/// # use std::time::Duration;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> tinpot_core::Result<()> {
/// # let executor = FunctionExecutor::builder()
/// #     .action("tick", |_, ()| async { Ok::<_, Failure>("tock") })
/// #     .build()?;
/// # let network = MemoryNetwork::new();
/// # let coordinator = Coordinator::builder(network.transport()).start().await?;
/// let worker = Worker::builder(network.transport()).name("build-1").executor(executor);
/// let worker = worker.start().await?;
/// assert_eq!(worker.id().name(), "build-1");
/// # coordinator.action_available("tick").await?;
/// # coordinator.drain_worker(worker.id()).await?;
///
/// // Runs until an operator drains the worker.
/// worker.drain_requested().await;
/// // Running attempts have ten minutes to end.
/// worker.shutdown(Duration::from_secs(600)).await;
/// # coordinator.shutdown().await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "dropping a worker ends it and kills its attempts: keep it, and end it with `shutdown`"]
pub struct Worker {
    id: WorkerId,
    commands: mpsc::Sender<Command>,
    drain_requested: watch::Receiver<bool>,
    coordinator_keys: watch::Receiver<Vec<PublicKey>>,
    key: Option<watch::Receiver<KeyState>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Worker {
    /// Creates a builder for a worker that reaches its coordinator by `transport`.
    pub fn builder(transport: impl Transport) -> WorkerBuilder {
        WorkerBuilder::new(Arc::new(transport))
    }

    /// Returns the id of this incarnation: every start has another one.
    pub fn id(&self) -> &WorkerId {
        &self.id
    }

    /// Watches the public keys of the coordinators that this worker believes; there are none if its
    /// frames are plain. Before a namespace gets another key, its coordinator tells the workers: keep
    /// the keys, to [pin](crate::seal::Pins) them at the next start.
    pub fn coordinator_keys(&self) -> Watcher<Vec<PublicKey>> {
        self.coordinator_keys.clone().into()
    }

    /// Watches the key of this worker; `None` if its frames are plain.
    pub fn key(&self) -> Option<Watcher<KeyState>> {
        self.key.clone().map(Into::into)
    }

    /// Has the coordinator enrol another key, that of a suite, in place of this worker's. Attempts
    /// continue meanwhile. The caller stores the new key first, so that the next start finds it,
    /// and keeps both keys until [`key`](Self::key) shows that the new one is in use.
    ///
    /// Has no effect if the frames of the worker are plain.
    pub async fn replace_key(&self, suite: impl Suite) {
        // Without its tasks, the worker has ended.
        let _ = self.commands.send(Command::ReplaceKey(Arc::new(suite))).await;
    }

    /// Waits until the coordinator asks this worker to drain
    /// ([`Coordinator::drain_worker`](crate::Coordinator::drain_worker)), and only then. The worker
    /// receives no new attempts from then on; its program should call [`shutdown`](Self::shutdown).
    pub fn drain_requested(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut requested = self.drain_requested.clone();
        async move {
            if requested.wait_for(|requested| *requested).await.is_err() {
                // It has ended for another reason.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Shuts the worker down: it receives no new attempts and returns those that wait. Running
    /// attempts have `patience` to end; then they are stopped, with the usual grace period. The
    /// worker reports every outcome, says goodbye, and closes its executors and its transport.
    ///
    /// Waits until nothing of the worker is alive.
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
        if self.tasks.is_empty() {
            return;
        }
        let worker = &self.id;
        tracing::warn!(%worker, "worker dropped without shutdown: its attempts are killed");
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}
