//! Coordinator, worker and API in one process, on this machine only.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tinpot_access::{RingSealer, Secret, StoreKeys};
use tinpot_bundle::{Apps, MemoryBlobStore};
use tinpot_core::access::{MemoryRecords, SecretSource};
use tinpot_core::executor::ActionSet;
use tinpot_core::{
    Coordinator, Error, ErrorKind, Executor, MemoryNetwork, ProtocolConfig, Result, Store, Watcher,
    Worker,
};
use tinpot_http::{Anonymous, HttpConfig};
use tinpot_metrics::PrometheusObserver;
use tinpot_process::{FetchBlob, StoredBlobs};
use tinpot_python::{
    BundlePools, Containment, ContainmentMode, EnvironmentOptions, FetchUploads, PythonPool,
};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::access::Access;
use crate::collection::{Collecting, Observing};
use crate::error::error_chain;
use crate::metrics::serve_metrics;
use crate::settings::{LOG_BYTES, RESULT_BYTES};
use crate::traces::Traces;

/// The longest wait for open requests once the shutdown has begun.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest wait for the coordinator to learn of actions that the worker has imported.
const KNOWN: Duration = Duration::from_secs(30);
/// The name of the worker.
const WORKER: &str = "dev";
/// The time that running attempts have in a worker that the coordinator drains.
const DRAIN: Duration = Duration::from_secs(3600);

/// A coordinator, a worker with Python actions and programs, and the HTTP API, in one process.
///
/// [`shutdown`](Self::shutdown) ends them in order.
///
/// ```no_run
/// use std::time::Duration;
/// use tinpot_server::LocalServer;
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
/// let server = LocalServer::builder("actions").concurrency(4).start(listener).await?;
/// println!("{} has {} actions", server.url(), server.actions().current().actions.len());
///
/// let result: String = server.coordinator().call("greet", ()).await?;
/// assert_eq!(result, "hello");
/// server.shutdown(Duration::from_secs(10)).await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct LocalServer {
    address: SocketAddr,
    actions: Watcher<Arc<ActionSet>>,
    coordinator: Coordinator,
    access: Option<Access>,
    worker: JoinHandle<()>,
    server: JoinHandle<()>,
    /// Tells the worker to end, with the time that running attempts have.
    leave: watch::Sender<Option<Duration>>,
    end: watch::Sender<bool>,
    apps: Apps,
    traces: Traces,
    _collecting: Collecting,
}

/// Sets up a [`LocalServer`].
///
/// [`LocalServer`] has an example.
#[derive(Debug)]
pub struct LocalServerBuilder {
    dir: PathBuf,
    pythons: Vec<PathBuf>,
    concurrency: u32,
    reload: bool,
    only: Option<String>,
    pass_env: Vec<String>,
    containment: ContainmentMode,
    store: Box<dyn Store>,
    store_file: Option<PathBuf>,
    secrets: Option<Arc<dyn SecretSource>>,
    forget_secrets: bool,
    secret_digests: Option<RingSealer>,
    apps: Option<Apps>,
    http: HttpConfig,
    local_user: Option<Secret>,
    traces: Traces,
}

impl LocalServerBuilder {
    /// Sets the Python interpreters or virtual environments: the first one for all actions but those
    /// that ask for packages or a version of Python, which may use the others. `VIRTUAL_ENV` or
    /// `python3` by default.
    #[must_use]
    pub fn pythons(mut self, pythons: impl IntoIterator<Item = PathBuf>) -> Self {
        self.pythons = pythons.into_iter().collect();
        self
    }

    /// Sets one Python interpreter or virtual environment, as [`pythons`](Self::pythons) does.
    #[must_use]
    pub fn python(self, path: Option<PathBuf>) -> Self {
        self.pythons(path)
    }

    /// Sets the number of actions that run at once; 2 by default.
    #[must_use]
    pub fn concurrency(mut self, number: u32) -> Self {
        self.concurrency = number;
        self
    }

    /// If true, which is the default, changed Python files are reloaded.
    #[must_use]
    pub fn reload(mut self, yes: bool) -> Self {
        self.reload = yes;
        self
    }

    /// Imports one file of the directory instead of all, and what that file imports.
    #[must_use]
    pub fn only(mut self, file: impl Into<String>) -> Self {
        self.only = Some(file.into());
        self
    }

    /// Passes on variables of this process to actions: names, or their beginnings with a `*`.
    #[must_use]
    pub fn pass_env(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.pass_env.extend(names.into_iter().map(Into::into));
        self
    }

    /// Sets the means to hold all processes that actions start.
    #[must_use]
    pub fn containment(mut self, mode: ContainmentMode) -> Self {
        self.containment = mode;
        self
    }

    /// Sets the store; memory by default.
    #[must_use]
    pub fn store(mut self, store: Box<dyn Store>) -> Self {
        self.store = store;
        self
    }

    /// Names the file of the store, whose size is among the metrics; none by default.
    #[must_use]
    pub fn store_file(mut self, file: Option<PathBuf>) -> Self {
        self.store_file = file;
        self
    }

    /// If true, secret parameters are erased when executions end.
    #[must_use]
    pub fn forget_secrets(mut self, yes: bool) -> Self {
        self.forget_secrets = yes;
        self
    }

    /// Sets the key of the digests by which erased secrets are compared; by default, that of a store in
    /// memory, which ends with the server.
    #[must_use]
    pub fn secret_digests(mut self, key: Option<RingSealer>) -> Self {
        self.secret_digests = key;
        self
    }

    /// Sets the source of the secrets that actions may ask for; none by default.
    #[must_use]
    pub fn secrets(mut self, source: Option<Arc<dyn SecretSource>>) -> Self {
        self.secrets = source;
        self
    }

    /// Sets the apps; an empty set in memory by default.
    #[must_use]
    pub fn apps(mut self, apps: Apps) -> Self {
        self.apps = Some(apps);
        self
    }

    /// Lets in only the person at this machine: with a [ticket](LocalServer::ticket) in a browser, or
    /// with this API token, which [`NewToken::generate_secret`](tinpot_access::NewToken::generate_secret)
    /// has returned. The authenticator of the configuration is replaced.
    #[must_use]
    pub fn local_user(mut self, token: Secret) -> Self {
        self.local_user = Some(token);
        self
    }

    /// Sets the configuration of the router. Its shutdown signal is replaced.
    #[must_use]
    pub fn http(mut self, config: HttpConfig) -> Self {
        self.http = config;
        self
    }

    /// Exports traces, if the settings name a collector. By default, nothing is exported.
    ///
    /// # Errors
    /// `InvalidInput` for settings that cannot be used.
    #[cfg(feature = "otel")]
    pub fn traces(mut self, settings: &crate::settings::TraceSettings) -> Result<Self> {
        self.traces = Traces::start(settings, "tinpot-dev")?;
        Ok(self)
    }

    /// Starts everything on `listener`, and waits until every imported action can be run.
    ///
    /// # Errors
    /// Fails if the directory or the interpreter does not exist, or the store cannot be opened;
    /// [`ErrorKind::TimedOut`] if the coordinator does not learn of the actions.
    // A future of a function that is not inlined is compiled here, and not again in each program.
    #[inline(never)]
    pub fn start(self, listener: TcpListener) -> BoxFuture<'static, Result<LocalServer>> {
        Box::pin(self.start_all(listener))
    }

    async fn start_all(self, listener: TcpListener) -> Result<LocalServer> {
        let address = crate::serve::local_address(&listener)?;
        let mut builder = PythonPool::builder(&self.dir)
            .size(self.concurrency as usize)
            .pass_env(&self.pass_env)
            .surroundings(crate::process::found())
            .containment(self.containment)
            .reload(self.reload);
        let is_whole = self.only.is_none();
        if let Some(file) = self.only {
            builder = builder.only(file);
        }
        builder = builder.pythons(&self.pythons);
        let mut template = builder.clone();
        let pool = builder.start_with_environments(EnvironmentOptions::default()).await?;
        if let Containment::Cgroup { path } = pool.containment() {
            template = template.cgroup_below(path);
        }
        let mut programs =
            crate::programs::builder(&self.dir, self.containment, Some(pool.containment()))
                .pass_env(&self.pass_env)
                .pythons(&self.pythons)
                .reload(self.reload);
        let mut apps = self.apps.unwrap_or_else(|| {
            Apps::new(Arc::new(MemoryBlobStore::new()), Arc::new(MemoryRecords::new()))
        });
        let bundles: Arc<dyn FetchBlob> = Arc::new(StoredBlobs::new(apps.blobs().clone()));
        programs = programs.bundles(bundles.clone());
        // One file of Python needs no programs.
        let programs = match is_whole {
            true => Some(programs.start().await?),
            false => None,
        };
        let watches = std::iter::once(pool.actions()).chain(programs.iter().map(Executor::actions));
        let actions = crate::joint_offer::join(watches.collect());
        let network = MemoryNetwork::new();
        let access = match self.local_user {
            Some(token) => Some(Access::local(token).await?),
            None => None,
        };
        let mut http = self.http;
        let metrics = Arc::new(PrometheusObserver::of_coordinator("memory")?);
        let observer = Arc::new(Observing(metrics.clone(), apps.uses()));
        let traces = self.traces;
        let mut builder = traces
            .of_coordinator(Coordinator::builder(network.transport()), observer)
            .store(self.store)
            .max_parameters_bytes(http.max_body_bytes)
            // Nothing outside this process can read or write the frames of this network.
            .plain_secrets(true)
            .forget_secrets(self.forget_secrets);
        if self.forget_secrets {
            let key = match self.secret_digests {
                Some(key) => key,
                None => StoreKeys::generate()?.sealer(),
            };
            builder = builder.secret_digests(key);
        }
        if let Some(secrets) = self.secrets {
            builder = builder.secrets(secrets);
        }
        if let Some(access) = &access {
            // The only user may fill their own disk.
            let config = ProtocolConfig::new()
                .max_unfinished_of_caller(usize::MAX)
                .max_unfinished_bytes_of_caller(u64::MAX);
            builder = builder.policy(access.rules()).config(config);
            http = http.accounts(access.accounts());
        }
        if let Some(access) = &access {
            apps = apps.audit(Arc::new(access.audit()));
        }
        let coordinator = builder.uploads(apps.uploads()).start().await?;
        let apps = apps.attach(coordinator.clone()).await?;
        let collecting = Collecting::start(apps.clone());
        http = http.apps(apps.clone());
        let mut worker = traces
            .of_worker(Worker::builder(network.transport()), None)
            .name(WORKER)
            .executor(FetchUploads::new(pool, Some(bundles.clone())))
            .slots(self.concurrency)
            .max_result_bytes(RESULT_BYTES)
            .log_limit_bytes(LOG_BYTES);
        if let Some(programs) = programs {
            let uploads = bundles.clone();
            let deployed = BundlePools::builder(template, bundles);
            let deployed = deployed.environments(programs.environments()).build();
            let deployed = FetchUploads::new(deployed, Some(uploads));
            worker = worker.executor(deployed).executor(programs);
        }
        let worker = worker.start().await?;
        let (leave, leaving) = watch::channel(None);
        let worker = tokio::spawn(run_worker(worker, leaving));
        let (end, _) = watch::channel(false);
        let ended = || {
            let mut ended = end.subscribe();
            async move {
                let _ = ended.wait_for(|ended| *ended).await;
            }
        };
        let http = serve_metrics(http.shutdown_signal(ended()), &metrics, self.store_file);
        let http = traces.of_api(http, metrics);
        let router = tinpot_http::router(coordinator.clone(), http);
        let server = crate::serve::serve_on(
            listener,
            router,
            crate::serve::ConnectionLimits::default(),
            ended(),
        );
        let names: Vec<_> =
            actions.current().actions.iter().map(|action| action.name.clone()).collect();
        let mut catalogue = coordinator.watch_catalogue();
        let known =
            catalogue.wait_for(|known| names.iter().all(|name| known.contains_key(&**name)));
        let _ = tokio::time::timeout(KNOWN, known).await.map_err(|_| {
            let message = format!(
                "the coordinator did not learn of the imported actions within {} s",
                KNOWN.as_secs()
            );
            Error::new(ErrorKind::TimedOut, message)
        })?;
        Ok(LocalServer {
            address,
            actions,
            coordinator,
            access,
            worker,
            server,
            leave,
            end,
            apps,
            traces,
            _collecting: collecting,
        })
    }
}

impl LocalServer {
    /// Sets up a server for the actions in a directory: Python files, and folders with a Towerfile.
    pub fn builder(dir: impl AsRef<Path>) -> LocalServerBuilder {
        LocalServerBuilder {
            dir: dir.as_ref().to_owned(),
            pythons: Vec::new(),
            concurrency: 2,
            reload: true,
            only: None,
            pass_env: Vec::new(),
            containment: ContainmentMode::Auto,
            store: Box::new(tinpot_core::MemoryStore::new()),
            store_file: None,
            secrets: None,
            forget_secrets: false,
            secret_digests: None,
            apps: None,
            http: HttpConfig::default().authenticator(Anonymous::default()),
            local_user: None,
            traces: Traces::default(),
        }
    }

    /// Returns the address of the API.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the URL of the API.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns a ticket with which the [local user](LocalServerBuilder::local_user) signs in once,
    /// within 10 minutes; `None` for a server that lets every client in.
    ///
    /// # Errors
    /// `Other` without random numbers.
    pub async fn ticket(&self) -> Result<Option<Secret>> {
        match &self.access {
            Some(access) => access.local_ticket().await.map(Some),
            None => Ok(None),
        }
    }

    /// Watches the imported actions, which a reload changes.
    pub fn actions(&self) -> Watcher<Arc<ActionSet>> {
        self.actions.clone()
    }

    /// Returns the coordinator.
    pub fn coordinator(&self) -> &Coordinator {
        &self.coordinator
    }

    /// Waits up to `patience` for running attempts, then ends worker, API and coordinator.
    pub async fn shutdown(self, patience: Duration) {
        self.leave.send_replace(Some(patience));
        let _ = self.worker.await;
        self.end.send_replace(true);
        self.coordinator.shutdown().await;
        if let Err(error) = self.apps.note_uses().await {
            tracing::warn!("the uses of versions are not written: {}", error_chain(&error));
        }
        let _ = tokio::time::timeout(PATIENCE, self.server).await;
        self.traces.end().await;
    }
}

/// Runs the worker until the server shuts down or the coordinator drains it.
///
/// A drained worker has an hour for its attempts, unless the server shuts down meanwhile.
async fn run_worker(worker: Worker, mut leaving: watch::Receiver<Option<Duration>>) {
    let mut asked = leaving.clone();
    tokio::select! {
        _ = leaving.wait_for(Option::is_some) => {}
        () = worker.drain_requested() => {}
    }
    let patience = *asked.borrow_and_update();
    let mut ending = std::pin::pin!(worker.shutdown(patience.unwrap_or(DRAIN)));
    tokio::select! {
        () = &mut ending => return,
        // The shutdown of the server cuts the drain short.
        _ = asked.wait_for(Option::is_some), if patience.is_none() => {}
    }
    let _ = tokio::time::timeout(PATIENCE, ending).await;
}
