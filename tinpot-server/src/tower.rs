//! `tinpot tower`: a server in place of MiniTower's.

mod import;
mod metrics;
mod settings;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::middleware::{self, Next};
use axum::response::Response;
use futures::future::BoxFuture;
use tinpot_access::Secret;
use tinpot_core::transport::JoinedTransport;
use tinpot_core::{Coordinator, Error, ErrorKind, MemoryNetwork, Result, Transport, Worker};
use tinpot_http::PeerAddress;
use tinpot_metrics::PrometheusObserver;
use tinpot_process::StoredBlobs;
use tinpot_python::ContainmentMode;
use tinpot_tower::{ClientAddress, Gateway, RunnerUpkeep, Tower, TowerConfig};
use tokio::net::TcpListener;

pub use self::import::{ActiveChoice, TowerImport, TowerImported};
use self::metrics::TowerMetrics;
use self::settings::TowerValues;
use crate::access::Access;
use crate::serve::ConnectionLimits;
use crate::settings::{LOG_BYTES, LogSettings, PageSettings, RESULT_BYTES, StoreSettings};
use crate::shutdown::Shutdown;
use crate::traces::Traces;

/// The longest wait for open requests once the shutdown has begun.
const PATIENCE: Duration = Duration::from_secs(5);
/// The time that running attempts have to end.
const GRACE: Duration = Duration::from_secs(3);
/// The interval of the work on the list of runners.
const UPKEEP: Duration = Duration::from_secs(60);
/// The name of the worker in this process.
const WORKER: &str = "tower";
/// The time for which runs are kept, in days: as good as for ever, as with MiniTower.
const KEEP_DAYS: u64 = 36_500;

/// The settings of a server in place of MiniTower's: its variables, with its defaults. An empty text
/// is the default.
#[derive(Debug)]
#[cfg_attr(feature = "clap", derive(clap::Args))]
#[non_exhaustive]
pub struct TowerSettings {
    /// The address to listen on, as `host:port`; `:8080` is port 8080 of all addresses.
    #[cfg_attr(
        feature = "clap",
        arg(long, env = "MINITOWER_LISTEN_ADDR", value_name = "ADDRESS", default_value = ":8080")
    )]
    pub listen_addr: String,
    /// The file that keeps teams, apps and runs, created if missing.
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            env = "MINITOWER_DB_PATH",
            value_name = "PATH",
            default_value = "./minitower.db"
        )
    )]
    pub db_path: String,
    /// The directory that keeps the bundles of apps, created if missing.
    #[cfg_attr(
        feature = "clap",
        arg(long, env = "MINITOWER_OBJECTS_DIR", value_name = "DIR", default_value = "./objects")
    )]
    pub objects_dir: String,
    /// Sign-up for all visitors, who make a team each: true or false. If false,
    /// MINITOWER_BOOTSTRAP_TOKEN has the token with which the first team is made.
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            env = "MINITOWER_PUBLIC_SIGNUP_ENABLED",
            value_name = "BOOLEAN",
            default_value = "true"
        )
    )]
    pub public_signup_enabled: String,
    /// The origins of pages that may use the API, separated by commas.
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            env = "MINITOWER_CORS_ORIGINS",
            value_name = "ORIGINS",
            default_value = "",
            hide_default_value = true
        )
    )]
    pub cors_origins: String,
    /// The time after which a runner that is not heard from loses its run, such as 90s or 1m30s.
    #[cfg_attr(
        feature = "clap",
        arg(long, env = "MINITOWER_LEASE_TTL", value_name = "DURATION", default_value = "60s")
    )]
    pub lease_ttl: String,
    /// Ignored: leases end at their time.
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            env = "MINITOWER_EXPIRY_CHECK_INTERVAL",
            value_name = "DURATION",
            default_value = "10s"
        )
    )]
    pub expiry_check_interval: String,
    /// The time after which a runner that is offline and never had a run is forgotten.
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            env = "MINITOWER_RUNNER_PRUNE_AFTER",
            value_name = "DURATION",
            default_value = "24h"
        )
    )]
    pub runner_prune_after: String,
    /// The size of the body of a request, apart from uploads, in bytes.
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            env = "MINITOWER_MAX_REQUEST_BODY_SIZE",
            value_name = "BYTES",
            default_value = "10485760"
        )
    )]
    pub max_request_body_size: String,
    /// The size of an upload, in bytes.
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            env = "MINITOWER_MAX_ARTIFACT_SIZE",
            value_name = "BYTES",
            default_value = "104857600"
        )
    )]
    pub max_artifact_size: String,
    /// The number of runs that this process runs itself at once; 0 leaves all of them to runners.
    #[cfg_attr(
        feature = "clap",
        arg(long, env = "CONCURRENCY", value_name = "NUMBER", default_value_t = 2)
    )]
    pub concurrency: u32,
    /// The Python interpreters, or the virtual environments, from which those of apps are made,
    /// separated by commas; python3 by default. An app gets the first one of the version that it asks
    /// for.
    #[cfg_attr(
        feature = "clap",
        arg(long, env = "TINPOT_PYTHON", value_name = "PATH", value_delimiter = ',')
    )]
    pub python: Vec<std::path::PathBuf>,
    /// The token with which the first team is made.
    #[cfg_attr(feature = "clap", arg(skip))]
    pub bootstrap_token: Option<Secret>,
    /// The token with which runners register.
    #[cfg_attr(feature = "clap", arg(skip))]
    pub registration_token: Option<Secret>,
    /// The log.
    #[cfg_attr(feature = "clap", command(flatten))]
    pub log: LogSettings,
    /// The export of traces.
    #[cfg(feature = "otel")]
    #[cfg_attr(feature = "clap", command(flatten))]
    pub traces: crate::settings::TraceSettings,
}

impl Default for TowerSettings {
    fn default() -> Self {
        let nothing = String::new;
        Self {
            listen_addr: nothing(),
            db_path: nothing(),
            objects_dir: nothing(),
            public_signup_enabled: nothing(),
            cors_origins: nothing(),
            lease_ttl: nothing(),
            expiry_check_interval: nothing(),
            runner_prune_after: nothing(),
            max_request_body_size: nothing(),
            max_artifact_size: nothing(),
            concurrency: 2,
            python: Vec::new(),
            bootstrap_token: None,
            registration_token: None,
            log: LogSettings::default(),
            #[cfg(feature = "otel")]
            traces: crate::settings::TraceSettings::default(),
        }
    }
}

impl TowerSettings {
    /// Takes the tokens from the variables MINITOWER_BOOTSTRAP_TOKEN and
    /// MINITOWER_RUNNER_REGISTRATION_TOKEN. They have no flags, since others can read those.
    #[must_use]
    pub fn with_tokens(mut self, variable: impl Fn(&str) -> Option<String>) -> Self {
        let token = |name: &str| {
            let text = variable(name).map(|text| text.trim().to_owned());
            text.filter(|text| !text.is_empty()).map(Secret::new)
        };
        self.bootstrap_token = token("MINITOWER_BOOTSTRAP_TOKEN");
        self.registration_token = token("MINITOWER_RUNNER_REGISTRATION_TOKEN");
        self
    }

    /// Checks that all values can be read and fit together.
    ///
    /// ```
    /// use tinpot_server::TowerSettings;
    ///
    /// let mut settings = TowerSettings::default();
    /// settings.check()?;
    /// settings.lease_ttl = "1 minute".to_owned();
    /// assert!(settings.check().is_err());
    /// # Ok::<_, tinpot_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// `InvalidInput`, naming the variable.
    pub fn check(&self) -> Result<()> {
        TowerValues::of(self).map(drop)
    }

    /// Runs the server until `shutdown` begins, then ends it in order. Prints its address to standard
    /// output.
    ///
    /// # Errors
    /// Those of [`check`](Self::check); fails if the address cannot be bound, the store cannot be
    /// opened, or the coordinator stops by itself.
    // A future of a function that is not inlined is compiled here, and not again in each program.
    #[inline(never)]
    pub fn serve(self, shutdown: Shutdown) -> BoxFuture<'static, Result<()>> {
        Box::pin(self.serve_until(shutdown))
    }

    async fn serve_until(self, shutdown: Shutdown) -> Result<()> {
        let values = TowerValues::of(&self)?;
        if tinpot_tower::is_minitower(&values.db) {
            let shown = values.db.display();
            let message = format!(
                "{shown} (MINITOWER_DB_PATH) is the database of a MiniTower: make a store of it with \
                 \"tinpot tower import --database {shown}\", and name that"
            );
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        // First of all: a port in use must not leave a store behind.
        let listener = listen(&values).await?;
        let server = TowerServer::start(self, values, listener, shutdown.clone()).await?;
        tokio::select! {
            () = shutdown.begun() => {}
            () = server.coordinator.stopped() => {
                let message = "the coordinator stopped; the log above has the reason";
                return Err(Error::new(ErrorKind::Closed, message));
            }
        }
        server.end().await;
        Ok(())
    }
}

/// Binds the address. A port without a host is that of all addresses, of both families if there are
/// two.
async fn listen(values: &TowerValues) -> Result<TcpListener> {
    let (host, port) = &values.listen;
    let bound = match host.as_deref() {
        Some(host) => TcpListener::bind((host, *port)).await,
        None => match TcpListener::bind(("::", *port)).await {
            Ok(listener) => Ok(listener),
            Err(_) => TcpListener::bind(("0.0.0.0", *port)).await,
        },
    };
    bound.map_err(|error| {
        let host = host.as_deref().unwrap_or_default();
        let message = format!("cannot listen on {host}:{port} (MINITOWER_LISTEN_ADDR): {error}");
        Error::new(ErrorKind::Unavailable, message)
    })
}

/// The running parts.
struct TowerServer {
    coordinator: Coordinator,
    worker: Option<Worker>,
    server: tokio::task::JoinHandle<()>,
    /// The runners, and the task that keeps their list.
    runners: RunnerUpkeep,
    upkeep: tokio::task::JoinHandle<()>,
    traces: Traces,
    _access: Access,
    /// The folder of the worker's own apps, of which there are none.
    _none: tempfile::TempDir,
}

impl TowerServer {
    async fn start(
        settings: TowerSettings,
        values: TowerValues,
        listener: TcpListener,
        shutdown: Shutdown,
    ) -> Result<Self> {
        let store = StoreSettings {
            store: Some(values.db.clone()),
            blobs: Some(values.objects.clone()),
            keep_days: KEEP_DAYS,
            keep_executions: i64::MAX as u64,
            ..StoreSettings::default()
        };
        tracing::warn!("passwords of any length are taken, as MiniTower does (tinpot tower)");
        if values.sign_up {
            tracing::warn!("all who reach the port can make a team and run programs");
        }
        let file = values.db.display().to_string();
        crate::restored::check(&store, &file).await?;
        let opened = store.store(&file).await?;
        let access = Access::of_tower(&store, &file).await?;
        let login = access.login();
        let network = MemoryNetwork::new();
        let gateway = Gateway::open(access.records()).await?.lease(values.lease);
        let runners = gateway.upkeep();
        let upkeep = tokio::spawn(keep_runners(runners.clone(), values.prune_after));
        let ends: [Arc<dyn Transport>; 2] =
            [Arc::new(network.transport()), Arc::new(gateway.transport())];
        let native = Arc::new(PrometheusObserver::of_coordinator("memory")?);
        let metrics = Arc::new(TowerMetrics::new(native.clone(), login.directory().clone())?);
        #[cfg(feature = "otel")]
        let traces = Traces::start(&settings.traces, "tinpot-tower")?;
        #[cfg(not(feature = "otel"))]
        let traces = Traces::default();
        let builder = Coordinator::builder(JoinedTransport::new(ends)?);
        let mut builder = traces
            .of_coordinator(builder, metrics.clone())
            .store(opened)
            .max_parameters_bytes(values.max_body_bytes.min(RESULT_BYTES))
            .policy(access.rules())
            .audit(access.audit())
            .teams(true)
            .plain_workers_serve_all_teams(true)
            // Nothing outside this process can read or write the frames of this network.
            .plain_secrets(true);
        let mut accounts = access.accounts();
        if let Some(secrets) = store.secrets(&file).await? {
            let secrets = secrets.audit(Arc::new(access.audit()));
            accounts = accounts.secrets(secrets.clone());
            builder = builder.secrets(secrets);
        }
        let apps = store.apps(&file).await?.audit(Arc::new(access.audit()));
        let apps = apps.observer(native.clone());
        let coordinator = builder.start().await?;
        let apps = apps.attach(coordinator.clone()).await?;
        let none = tempfile::tempdir().map_err(|error| {
            Error::new(ErrorKind::Unavailable, format!("cannot create a directory: {error}"))
        })?;
        let worker = match settings.concurrency {
            0 => None,
            slots => {
                let programs = crate::programs::builder(none.path(), ContainmentMode::Auto, None)
                    .bundles(Arc::new(StoredBlobs::new(apps.blobs().clone())))
                    .pythons(&settings.python)
                    .reload(false);
                let worker = traces
                    .of_worker(Worker::builder(network.transport()), None)
                    .name(WORKER)
                    .executor(programs.start().await?)
                    .slots(slots)
                    .max_result_bytes(RESULT_BYTES)
                    .log_limit_bytes(LOG_BYTES);
                Some(worker.start().await?)
            }
        };
        let config = PageSettings::default().config();
        let config = traces.of_api(config.accounts(accounts).apps(apps.clone()), native);
        let config = config.shutdown_signal(shutdown.clone().begun());
        let others = tinpot_http::router(coordinator.clone(), config);
        let others =
            metrics.router(coordinator.clone(), store.file(&file)).fallback_service(others);
        let mut tower_config = TowerConfig::default()
            .sign_up(values.sign_up)
            .cors_origins(values.cors_origins)
            .max_body_bytes(values.max_body_bytes)
            .max_artifact_bytes(values.max_artifact_bytes)
            .lease(values.lease);
        tower_config.bootstrap_token = settings.bootstrap_token;
        tower_config.registration_token = settings.registration_token;
        let tower = Tower::new(coordinator.clone(), apps, login, access.records(), tower_config);
        let tower = tower.gateway(gateway);
        let tower = match traces.sampling() {
            Some(sampling) => tower.traces(sampling),
            None => tower,
        };
        let spans = traces.observer();
        let tower = tower.on_request(move |request| metrics.request(request, spans.as_deref()));
        let router = tinpot_tower::router_before(tower, others);
        let router = router.layer(middleware::from_fn(with_address));
        let address = crate::serve::local_address(&listener)?;
        println!("Tinpot listens on http://{}", reachable(address));
        tracing::info!(addr = %address, "minitower listening");
        let limits = ConnectionLimits::default();
        let server = crate::serve::serve_on(listener, router, limits, shutdown.begun());
        let _access = access;
        Ok(Self { coordinator, worker, server, runners, upkeep, traces, _access, _none: none })
    }

    async fn end(self) {
        if let Some(worker) = self.worker {
            worker.shutdown(GRACE).await;
        }
        self.coordinator.shutdown().await;
        let _ = tokio::time::timeout(PATIENCE, self.server).await;
        self.upkeep.abort();
        if let Err(error) = self.runners.run(None).await {
            tracing::warn!("the times of the runners' last requests are not kept: {error}");
        }
        self.traces.end().await;
    }
}

/// Writes when runners were seen, and forgets those that were silent for long.
async fn keep_runners(runners: RunnerUpkeep, prune_after: Option<Duration>) {
    let mut turns = tokio::time::interval(UPKEEP);
    turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        turns.tick().await;
        match runners.run(prune_after).await {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "forgot runners that were silent for long"),
            Err(error) => tracing::warn!("the list of runners is not kept: {error}"),
        }
    }
}

/// Returns an address at which the server is reached from this machine.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
    }
    address
}

/// Tells the API of MiniTower the address of the client, as the server knows it.
async fn with_address(mut request: Request, next: Next) -> Response {
    if let Some(PeerAddress(peer)) = request.extensions().get().copied() {
        request.extensions_mut().insert(ClientAddress(peer.ip()));
    }
    next.run(request).await
}
