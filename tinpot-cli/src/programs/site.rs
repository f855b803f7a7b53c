//! Coordinator, worker and API in one process, on this machine only.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tinpot_core::{Coordinator, Executor, MemoryNetwork, Offer, Store, Worker};
use tinpot_http::HttpConfig;
use tinpot_python::{ContainmentMode, PythonPool};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::serve::AnyError;
use crate::settings::RESULT_BYTES;

/// How long open requests may take once the end has begun.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long actions that have been imported may take to be known to the coordinator.
const KNOWN: Duration = Duration::from_secs(30);

/// What is to be assembled.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) dir: PathBuf,
    pub(crate) python: Option<PathBuf>,
    pub(crate) concurrency: u32,
    pub(crate) reload: bool,
    pub(crate) containment: ContainmentMode,
    pub(crate) store: Box<dyn Store>,
    pub(crate) http: HttpConfig,
}

/// A running assembly. [`close`](Self::close) ends it in order.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) address: SocketAddr,
    pub(crate) offer: watch::Receiver<Arc<Offer>>,
    pub(crate) coordinator: Coordinator,
    worker: JoinHandle<()>,
    server: JoinHandle<()>,
    /// With how long running attempts may go on.
    leave: watch::Sender<Option<Duration>>,
    end: watch::Sender<bool>,
}

impl Plan {
    /// For the actions of a folder, a few at once, kept in memory.
    pub(crate) fn new(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            python: None,
            concurrency: 2,
            reload: true,
            containment: ContainmentMode::Auto,
            store: Box::new(tinpot_core::MemoryStore::new()),
            http: HttpConfig::default(),
        }
    }

    /// A pool that has imported the actions.
    pub(crate) async fn pool(&self) -> Result<PythonPool, AnyError> {
        let mut builder = PythonPool::builder(&self.dir)
            .size(self.concurrency as usize)
            .containment(self.containment)
            .reload(self.reload);
        if let Some(python) = &self.python {
            builder = builder.python(python);
        }
        Ok(builder.start().await?)
    }
}

/// How long running attempts may go on in a worker that was asked to end by the coordinator.
const DRAIN: Duration = Duration::from_secs(3600);

/// Ends a worker with everything else, or alone when somebody sends it home.
async fn until_sent_home(worker: Worker, mut leaving: watch::Receiver<Option<Duration>>) {
    let mut asked = leaving.clone();
    tokio::select! {
        _ = leaving.wait_for(Option::is_some) => {}
        () = worker.drain_requested() => {}
    }
    let patience = *asked.borrow_and_update();
    let mut ending = std::pin::pin!(worker.shutdown(patience.unwrap_or(DRAIN)));
    tokio::select! {
        () = &mut ending => return,
        // The end of everything cuts it short.
        _ = asked.wait_for(Option::is_some), if patience.is_none() => {}
    }
    let _ = tokio::time::timeout(PATIENCE, ending).await;
}

impl Site {
    /// Starts everything, and waits until the actions can be asked for.
    pub(crate) async fn start(plan: Plan, listener: TcpListener) -> Result<Self, AnyError> {
        let address = listener.local_addr()?;
        let pool = plan.pool().await?;
        let offer = pool.actions();
        let network = MemoryNetwork::new();
        let coordinator =
            Coordinator::builder(network.transport()).store(plan.store).start().await?;
        let worker = Worker::builder(network.transport())
            .name("dev")
            .executor(pool)
            .slots(plan.concurrency)
            .max_result_bytes(RESULT_BYTES)
            .start()
            .await?;
        let (leave, leaving) = watch::channel(None);
        let worker = tokio::spawn(until_sent_home(worker, leaving));
        let (end, mut ended) = watch::channel(false);
        let ended = async move {
            let _ = ended.wait_for(|ended| *ended).await;
        };
        let mut shutdown = end.subscribe();
        let config = plan.http.shutdown_signal(async move {
            let _ = shutdown.wait_for(|ended| *ended).await;
        });
        let router = tinpot_http::router(coordinator.clone(), config);
        let server = crate::serve::serve_on(listener, router, ended);
        let names: Vec<_> =
            offer.borrow().actions.iter().map(|action| action.name.clone()).collect();
        let mut catalogue = coordinator.watch_catalogue();
        let known =
            catalogue.wait_for(|known| names.iter().all(|name| known.contains_key(&**name)));
        let _ = tokio::time::timeout(KNOWN, known).await.map_err(
            |_| "the actions were imported, but the coordinator did not come to know them",
        )?;
        Ok(Self { address, offer, coordinator, worker, server, leave, end })
    }

    /// Where clients find it.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Lets running attempts go on for `patience`, then ends everything.
    pub(crate) async fn close(self, patience: Duration) {
        self.leave.send_replace(Some(patience));
        let _ = self.worker.await;
        self.end.send_replace(true);
        self.coordinator.shutdown().await;
        let _ = tokio::time::timeout(PATIENCE, self.server).await;
    }
}
