//! A worker as a program: runs actions for a coordinator that it reaches through MQTT, HTTP or
//! ZeroMQ.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tinpot_core::observer::Observer;
use tinpot_core::{Error, ErrorKind, Result, Worker, WorkerId};
use tinpot_metrics::PrometheusObserver;
use tinpot_python::FetchUploads;

use crate::identity::Identity;
use crate::incarnation::Incarnation;
use crate::metrics::serve_worker;
use crate::settings::{
    ActionsSettings, BrokerSettings, BundleSettings, IdentitySettings, LOG_BYTES, LogSettings,
    RESULT_BYTES, SelectionSettings, WorkerProtocolSettings,
};
use crate::shutdown::Shutdown;
use crate::traces::Traces;

/// The settings of a worker.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "clap", derive(clap::Args))]
#[non_exhaustive]
pub struct WorkerSettings {
    /// The broker.
    #[cfg_attr(feature = "clap", command(flatten))]
    pub broker: BrokerSettings,
    /// The grace period, and the leases for coordinators of earlier versions.
    #[cfg_attr(feature = "clap", command(flatten))]
    pub protocol: WorkerProtocolSettings,
    /// The actions.
    #[cfg_attr(feature = "clap", command(flatten))]
    pub actions: ActionsSettings,
    /// The place of the bundles of deployed apps.
    #[cfg_attr(feature = "clap", command(flatten))]
    pub bundles: BundleSettings,
    /// The selection of groups and queues.
    #[cfg_attr(feature = "clap", command(flatten))]
    pub selection: SelectionSettings,
    /// The time that running actions have to end after SIGTERM.
    #[cfg_attr(
        feature = "clap",
        arg(long, env = "GRACE", value_name = "SECONDS", default_value_t = 10)
    )]
    pub grace: u64,
    /// The name of the worker, for people.
    #[cfg_attr(feature = "clap", arg(long, env = "WORKER_NAME", default_value = "worker"))]
    pub name: String,
    /// The key.
    #[cfg_attr(feature = "clap", command(flatten))]
    pub identity: IdentitySettings,
    /// The directory on this machine in which the worker records its incarnation. After a crash,
    /// the next worker of the same name proves from it that nothing of the last one is alive, and
    /// executions do not wait for the lease to end.
    #[cfg_attr(feature = "clap", arg(long, env = "TINPOT_STATE_DIR", value_name = "DIRECTORY"))]
    pub state_dir: Option<PathBuf>,
    /// The address at which the worker serves its metrics, like 127.0.0.1:9108; everyone who can
    /// reach it may read them.
    #[cfg_attr(feature = "clap", arg(long, env = "TINPOT_METRICS_LISTEN", value_name = "ADDRESS"))]
    pub metrics_listen: Option<SocketAddr>,
    /// The log.
    #[cfg_attr(feature = "clap", command(flatten))]
    pub log: LogSettings,
    /// The export of traces.
    #[cfg(feature = "otel")]
    #[cfg_attr(feature = "clap", command(flatten))]
    pub traces: crate::settings::TraceSettings,
}

impl Default for WorkerSettings {
    fn default() -> Self {
        Self {
            broker: BrokerSettings::default(),
            protocol: WorkerProtocolSettings::default(),
            actions: ActionsSettings::default(),
            bundles: BundleSettings::default(),
            selection: SelectionSettings::default(),
            grace: 10,
            name: "worker".to_owned(),
            identity: IdentitySettings::default(),
            state_dir: None,
            metrics_listen: None,
            log: LogSettings::default(),
            #[cfg(feature = "otel")]
            traces: crate::settings::TraceSettings::default(),
        }
    }
}

impl WorkerSettings {
    /// Runs the worker until `shutdown` begins or the coordinator drains it, then waits for running
    /// actions and ends.
    ///
    /// The actions are those of `default_dir` unless the settings name a directory. Prints the
    /// worker's id to standard output.
    ///
    /// ```no_run
    /// use std::path::Path;
    /// use tinpot_server::WorkerSettings;
    ///
    /// # async fn example() -> tinpot_core::Result<()> {
    /// let mut settings = WorkerSettings::default();
    /// settings.name = "web".to_owned();
    /// settings.broker.url = "mqtts://tinpot@broker.example.org".to_owned();
    /// settings.serve(Path::new("actions"), tinpot_server::shutdown()?).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Fails if the directory of the actions or the interpreter does not exist, a certificate
    /// cannot be read, or the state directory cannot be used.
    // A future of a function that is not inlined is compiled here, and not again in each program.
    #[inline(never)]
    pub fn serve(self, default_dir: &Path, shutdown: Shutdown) -> BoxFuture<'_, Result<()>> {
        Box::pin(self.serve_until(default_dir, shutdown))
    }

    async fn serve_until(mut self, default_dir: &Path, shutdown: Shutdown) -> Result<()> {
        // First of all: a mistake in the actions must not cost a use of a join token.
        let transport = match () {
            () if self.broker.is_server() => "http",
            () if self.broker.is_zmq() => "zmq",
            () => "mqtt",
        };
        let metrics = self.metrics_listen.map(|_| PrometheusObserver::of_worker(transport));
        let metrics = metrics.transpose()?.map(Arc::new);
        #[cfg(feature = "otel")]
        let traces = Traces::start(&self.traces, "tinpot-worker")?;
        #[cfg(not(feature = "otel"))]
        let traces = Traces::default();
        let observer = || metrics.clone().map(|metrics| metrics as Arc<dyn Observer>);
        let (python, containment) = self.actions.python_executor(default_dir, observer()).await?;
        let identity = Identity::of(&self.identity, &self.name, &self.broker, &self.bundles);
        let identity = identity.await?;
        let login = match &identity {
            Some(identity) => self.assume(identity)?,
            None => None,
        };
        let learned = identity.as_ref().and_then(|identity| identity.facts.server.as_deref());
        let bundles = self.bundles.source(&self.broker, learned)?;
        if bundles.is_none() {
            tracing::info!(
                "this worker runs no deployed apps and takes no uploads, since it does not know where to \
                 fetch them: name the URL of the coordinator's HTTP server with --bundle-server (TINPOT_BUNDLE_SERVER)"
            );
        }
        let uploads = bundles.clone();
        let (of_python, source) = (containment.as_ref(), bundles.clone());
        let programs = self.actions.programs(default_dir, of_python, source, observer()).await?;
        let deployed = bundles
            .map(|bundles| self.actions.bundle_pools(of_python, bundles, &programs, observer()));
        let id = WorkerId::generate(&self.name);
        let begin = |directory: &PathBuf| {
            Incarnation::begin(directory, &id, containment.as_ref()).map_err(|e| {
                let message = format!("cannot use {} (TINPOT_STATE_DIR): {e}", directory.display());
                Error::new(ErrorKind::InvalidInput, message)
            })
        };
        let (_incarnation, ended) = self.state_dir.as_ref().map(begin).transpose()?.unzip();
        let transport = self.broker.connect(Some(&id), login).await?;
        let mut builder = Worker::builder(transport)
            .id(id)
            .clean_slate(ended.into_iter().flatten())
            .config(self.protocol.config())
            .name(&self.name)
            .slots(self.actions.concurrency)
            .max_result_bytes(RESULT_BYTES)
            .log_limit_bytes(LOG_BYTES)
            .groups(self.selection.groups())
            .queues(self.selection.queues());
        builder = builder.executor(FetchUploads::new(python, uploads.clone()));
        // Closed first, since the other one makes its environments.
        if let Some(deployed) = deployed {
            builder = builder.executor(FetchUploads::new(deployed, uploads));
        }
        builder = builder.executor(programs);
        if let Some(identity) = &identity {
            builder = builder.sealed(identity.suite(), identity.pins()?);
        }
        builder = traces.of_worker(builder, observer());
        if let (Some(address), Some(metrics)) = (self.metrics_listen, metrics) {
            // It ends with the shutdown; the task needs no one who waits for it.
            drop(serve_worker(address, metrics, shutdown.clone()).await?);
        }
        let worker = builder.start().await?;
        let broker = self.broker.url_without_password();
        println!("Worker {} reaches its coordinator by {broker}", worker.id());
        let (key_path, days) = (self.identity.key_path(), self.identity.worker_key_days);
        let keeping = Box::pin(async {
            if let Some(identity) = identity {
                identity.keep_keys(&worker, key_path, days).await;
            }
            std::future::pending::<()>().await;
        });
        tokio::select! {
            () = keeping => {}
            () = shutdown.begun() => {}
            // The process manager decides whether another worker follows.
            () = worker.drain_requested() => println!("The coordinator drains this worker"),
        }
        worker.shutdown(Duration::from_secs(self.grace)).await;
        traces.end().await;
        Ok(())
    }

    /// Takes what the worker learned when it joined, unless the settings say something else. Returns
    /// its login at the broker.
    fn assume(&mut self, identity: &Identity) -> Result<Option<(String, String)>> {
        let (facts, usual) = (&identity.facts, Self::default());
        if self.name != facts.name && self.name != usual.name {
            let message = format!(
                "this worker has joined as {:?}, and not as {:?}: leave out --name (WORKER_NAME), or \
                 join again",
                facts.name, self.name
            );
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        self.name.clone_from(&facts.name);
        if self.broker.namespace == usual.broker.namespace {
            self.broker.namespace.clone_from(&facts.namespace);
        }
        if self.broker.url == usual.broker.url {
            self.broker.url.clone_from(&facts.broker);
        }
        // A login in the settings wins.
        Ok(identity.login())
    }

    /// Has the key of this worker enrolled with the token that the settings name, and writes the key
    /// and what it learned. Prints both to standard output. If `replaces` is true, the key takes the
    /// place of the present one, which stays enrolled until it is revoked.
    ///
    /// # Errors
    /// `InvalidInput` without a token, or for files that cannot be used; `Conflict` if there is a
    /// key that is not to be replaced; `Forbidden` with the reason of the coordinator; those of the broker.
    #[inline(never)]
    pub fn join(self, replaces: bool) -> BoxFuture<'static, Result<()>> {
        Box::pin(async move {
            let missing = || {
                let message = "name the file of a join token with --join-token-file";
                Error::new(ErrorKind::InvalidInput, message)
            };
            let token = self.identity.token()?.ok_or_else(missing)?;
            let Some(path) = self.identity.key_path() else {
                let message = "--worker-key memory joins at each start of \"tinpot worker\": there is \
                               nothing to write now";
                return Err(Error::new(ErrorKind::InvalidInput, message));
            };
            // One that cannot be read is replaced, too.
            let former = Identity::load(&path).ok().filter(|_| replaces);
            let (broker, bundles) = (&self.broker, &self.bundles);
            let joined = Identity::join(Some(&path), replaces, &token, &self.name, broker, bundles);
            let joined = joined.await?;
            let (key, path) = (joined.key_id(), path.display());
            println!("This worker has joined as {:?}. Its key is {path}, {key}", joined.facts.name);
            if let Some(former) = former {
                println!(
                    "Start the worker again, then end its former key: tinpot workers revoke {}",
                    former.key_id()
                );
            }
            Ok(())
        })
    }
}
