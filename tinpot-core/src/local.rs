//! A deployment within one process: network, coordinator and worker.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use crate::coordinator::Coordinator;
use crate::executor::Executor;
use crate::log_sink::LogSink;
use crate::model::error::Result;
use crate::observer::Observer;
use crate::protocol::ProtocolConfig;
use crate::store::Store;
use crate::transport::{MemoryNetwork, MemoryTransport};
use crate::worker::Worker;

/// Starts a coordinator and a worker in this process, and waits until the actions of `executor` are
/// available.
///
/// Executions are kept in memory. [`Local::builder`] has options, such as a store.
///
/// ```
/// use std::time::Duration;
/// use tinpot_core::{Failure, FunctionExecutor, local};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> tinpot_core::Result<()> {
/// let executor = FunctionExecutor::builder()
///     .action("tick", |_, ()| async { Ok::<_, Failure>("tock") })
///     .build()?;
/// let tinpot = local(executor).await?;
/// assert_eq!(tinpot.call::<String>("tick", ()).await?, "tock");
/// tinpot.shutdown(Duration::from_secs(10)).await;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// `InvalidInput` if the executor cannot be used, and the errors of [`LocalBuilder::start`].
pub async fn local(executor: impl Executor) -> Result<Local> {
    Local::builder(executor).start().await
}

/// A coordinator and a worker in one process. It dereferences to its [`Coordinator`].
///
/// Dropping it kills the running attempts; [`shutdown`](Self::shutdown) drains them first.
///
/// ```
/// use tinpot_core::{Failure, FunctionExecutor, Worker, local};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> tinpot_core::Result<()> {
/// # let executor = FunctionExecutor::builder()
/// #     .action("tick", |_, ()| async { Ok::<_, Failure>("tock") })
/// #     .build()?;
/// let tinpot = local(executor).await?;
/// // A second worker joins, with actions of its own.
/// let reports = FunctionExecutor::builder()
///     .action("count", |_, ()| async { Ok::<_, Failure>(1) })
///     .build()?;
/// let worker = Worker::builder(tinpot.transport()).executor(reports).start().await?;
/// tinpot.action_available("count").await?;
/// assert_eq!(tinpot.call::<u32>("count", ()).await?, 1);
/// worker.shutdown(std::time::Duration::from_secs(10)).await;
/// tinpot.shutdown(std::time::Duration::from_secs(10)).await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "dropping a local deployment ends it: keep it, and end it with `shutdown`"]
pub struct Local {
    network: MemoryNetwork,
    coordinator: Coordinator,
    worker: Worker,
}

impl Local {
    /// Creates a builder for a deployment that runs the actions of `executor`.
    pub fn builder(executor: impl Executor) -> LocalBuilder {
        let network = MemoryNetwork::new();
        LocalBuilder {
            coordinator: Coordinator::builder(network.transport()),
            worker: Worker::builder(network.transport()).executor(executor),
            network,
        }
    }

    /// Returns the coordinator.
    pub fn coordinator(&self) -> &Coordinator {
        &self.coordinator
    }

    /// Returns the worker.
    pub fn worker(&self) -> &Worker {
        &self.worker
    }

    /// Returns a transport on which another worker can join.
    pub fn transport(&self) -> MemoryTransport {
        self.network.transport()
    }

    /// Shuts down the worker, then the coordinator. Running attempts have `patience` to end; then
    /// they are stopped, with the usual grace period.
    ///
    /// Resolves when nothing of the deployment is alive.
    pub async fn shutdown(self, patience: Duration) {
        self.worker.shutdown(patience).await;
        self.coordinator.shutdown().await;
    }
}

impl Deref for Local {
    type Target = Coordinator;

    fn deref(&self) -> &Coordinator {
        &self.coordinator
    }
}

/// The options of a [`Local`] deployment.
///
/// ```
/// # use std::time::Duration;
/// # use tinpot_core::{Failure, FunctionExecutor, Local, MemoryStore};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> tinpot_core::Result<()> {
/// # let executor = FunctionExecutor::builder()
/// #     .action("tick", |_, ()| async { Ok::<_, Failure>("tock") })
/// #     .build()?;
/// let tinpot = Local::builder(executor).store(MemoryStore::new()).slots(8).start().await?;
/// # tinpot.shutdown(Duration::ZERO).await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "a builder does nothing until it is started"]
pub struct LocalBuilder {
    network: MemoryNetwork,
    coordinator: crate::coordinator::CoordinatorBuilder,
    worker: crate::worker::WorkerBuilder,
}

impl LocalBuilder {
    /// Adds another executor.
    pub fn executor(mut self, executor: impl Executor) -> Self {
        self.worker = self.worker.executor(executor);
        self
    }

    /// Sets the store. By default, executions and logs are kept in memory.
    pub fn store(mut self, store: impl Store) -> Self {
        self.coordinator = self.coordinator.store(store);
        self
    }

    /// Adds a log sink.
    pub fn log_sink(mut self, sink: impl LogSink) -> Self {
        self.coordinator = self.coordinator.log_sink(sink);
        self
    }

    /// Sets the observer of the coordinator, for metrics.
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.coordinator = self.coordinator.observer(observer);
        self
    }

    /// Sets the number of attempts that run at once. The default is 2.
    pub fn slots(mut self, slots: u32) -> Self {
        self.worker = self.worker.slots(slots);
        self
    }

    /// Sets the times and bounds of the protocol.
    pub fn config(mut self, config: ProtocolConfig) -> Self {
        self.coordinator = self.coordinator.config(config.clone());
        self.worker = self.worker.config(config);
        self
    }

    /// Starts coordinator and worker on the current tokio runtime, and waits until the actions are
    /// available. An action that cannot be offered is among the load errors of
    /// [`Coordinator::workers`].
    ///
    /// # Errors
    /// The errors of [`CoordinatorBuilder::start`](crate::CoordinatorBuilder::start) and
    /// [`WorkerBuilder::start`](crate::WorkerBuilder::start).
    pub async fn start(self) -> Result<Local> {
        let executors = self.worker.executors().to_vec();
        let coordinator = self.coordinator.start().await?;
        let worker = match self.worker.start().await {
            Ok(worker) => worker,
            Err(error) => {
                coordinator.shutdown().await;
                return Err(error);
            }
        };
        let local = Local { network: self.network, coordinator, worker };
        local.offered(&executors).await?;
        Ok(local)
    }
}

impl Local {
    /// Waits until the coordinator knows the worker, and every action is available or a load error.
    async fn offered(&self, executors: &[Arc<dyn Executor>]) -> Result<()> {
        let mut changes = self.coordinator.changes();
        let load_errors = loop {
            let workers = self.coordinator.workers().await?;
            if let Some(worker) = workers.into_iter().find(|worker| worker.id == *self.worker.id())
            {
                break worker.load_errors;
            }
            changes.next().await;
        };
        for executor in executors {
            let actions = executor.actions().current().actions.clone();
            for action in actions {
                if !load_errors.iter().any(|error| error.place == action.name) {
                    self.coordinator.action_available(&action.name).await?;
                }
            }
        }
        Ok(())
    }
}
