//! Settings by flag or environment variable; a wrong value is an error at start that names it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use tinpot_core::protocol::ProtocolConfig;
use tinpot_core::{Executor, MemoryStore, Store, WorkerId};
use tinpot_mqtt::MqttTransport;
use tinpot_python::{Containment, ContainmentMode, Limits, PythonPool};
use tinpot_sqlite::{Retention, SqliteStore};

use crate::serve::AnyError;

/// Where the API listens.
#[derive(Args, Clone, Debug)]
pub struct HttpSettings {
    /// The address to listen on; only this machine by default
    #[arg(long, env = "HOST", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    pub host: IpAddr,
    /// The port to listen on
    #[arg(long, env = "PORT", default_value_t = 8000)]
    pub port: u16,
}

/// How to reach the broker.
#[derive(Args, Clone, Debug)]
pub struct BrokerSettings {
    /// The broker: mqtt://, tcp://, mqtts://, ws:// or wss://, with user and password where it wants them
    #[arg(
        long = "broker",
        env = "MQTT_BROKER",
        hide_env_values = true,
        default_value = BrokerSettings::DEFAULT
    )]
    pub url: String,
    /// How many seconds an idle connection to the broker may stay unchecked, from 5; one that is dead shows after twice that
    #[arg(long, env = "MQTT_KEEP_ALIVE", value_name = "SECONDS", default_value = "10", value_parser = clap::value_parser!(u16).range(5..))]
    pub keep_alive: u16,
    /// What every topic begins with; coordinator and workers must agree
    #[arg(long, env = "TINPOT_NAMESPACE", default_value = "tinpot")]
    pub namespace: String,
    /// A PEM file with the certificates that may have signed the broker's
    #[arg(long, env = "MQTT_CA")]
    pub ca: Option<PathBuf>,
    /// A PEM file with the certificate chain to show to the broker
    #[arg(long, env = "MQTT_CERT")]
    pub cert: Option<PathBuf>,
    /// A PEM file with the private key of that certificate
    #[arg(long, env = "MQTT_KEY")]
    pub key: Option<PathBuf>,
}

impl BrokerSettings {
    /// The broker where nothing names one.
    pub(crate) const DEFAULT: &str = "tcp://localhost:1883";

    /// The address that a broker has to listen on to be found by the URL.
    ///
    /// # Errors
    /// The URL has no host and port that this machine knows.
    pub fn address(&self) -> Result<SocketAddr, AnyError> {
        let (_, host) = self.url.split_once("://").unwrap_or(("", &self.url));
        let host = host.rsplit('@').next().unwrap_or(host).trim_end_matches('/');
        let with_port = if host.contains(':') { host.to_owned() } else { format!("{host}:1883") };
        let cannot =
            |why: String| format!("cannot be a broker at {with_port} (MQTT_BROKER): {why}");
        let addresses = with_port.to_socket_addrs().map_err(|e| cannot(e.to_string()))?;
        let first = addresses.min_by_key(|address| !address.is_ipv4());
        Ok(first.ok_or_else(|| cannot("it has no address".to_owned()))?)
    }

    /// The URL as it may be printed.
    pub fn url_without_password(&self) -> String {
        match (self.url.split_once("://"), self.url.rsplit_once('@')) {
            (Some((scheme, _)), Some((_, host))) => format!("{scheme}://{host}"),
            _ => self.url.clone(),
        }
    }

    /// Connects, as a worker when there is an id, and as `user` when the URL does not say. A broker that is not there yet is waited for in the
    /// background.
    ///
    /// # Errors
    /// A URL or a certificate that can never work.
    pub async fn connect(
        &self,
        worker: Option<&WorkerId>,
        user: Option<(String, String)>,
    ) -> Result<MqttTransport, AnyError> {
        let read = |path: &PathBuf| {
            std::fs::read(path).map_err(|e| format!("cannot read {}: {e}", path.display()))
        };
        let mut builder = MqttTransport::builder(&self.url)
            .namespace(&self.namespace)
            .keep_alive(Duration::from_secs(self.keep_alive.into()));
        if let Some(id) = worker {
            builder = builder.worker(id);
        }
        if let Some((name, password)) = user {
            builder = builder.user(name).password(password);
        }
        if let Some(ca) = &self.ca {
            builder = builder.ca_certificate(read(ca)?);
        }
        // Not clap's `requires`: one of the two may come from a file of settings, which clap takes for a default.
        match (&self.cert, &self.key) {
            (Some(cert), Some(key)) => {
                builder = builder.client_certificate(read(cert)?, read(key)?);
            }
            (Some(_), None) => return Err("--cert (MQTT_CERT) needs --key (MQTT_KEY)".into()),
            (None, Some(_)) => return Err("--key (MQTT_KEY) needs --cert (MQTT_CERT)".into()),
            (None, None) => {}
        }
        Ok(builder.connect().await?)
    }
}

/// Where executions are kept.
#[derive(Args, Clone, Debug)]
pub struct StoreSettings {
    /// The file in which executions are kept, made when it is not there; `memory` keeps them in this process. By default ./tinpot.db for a
    /// coordinator, memory for standalone
    #[arg(long, env = "TINPOT_STORE", value_name = "PATH")]
    pub store: Option<PathBuf>,
    /// How many days executions that have ended are kept in the file
    #[arg(long, env = "TINPOT_KEEP_DAYS", value_name = "DAYS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=36_500))]
    pub keep_days: u64,
    /// How many executions that have ended are kept in the file; the oldest are forgotten first
    #[arg(
        long,
        env = "TINPOT_KEEP_EXECUTIONS",
        value_name = "NUMBER",
        default_value_t = 1_000_000
    )]
    pub keep_executions: u64,
}

impl StoreSettings {
    /// The store, not open yet.
    pub fn store(&self, default: &str) -> Box<dyn Store> {
        // An empty variable is as good as none.
        let named = self.store.clone().filter(|path| !path.as_os_str().is_empty());
        match named.unwrap_or_else(|| default.into()) {
            path if path.as_os_str() == "memory" => Box::new(MemoryStore::new()),
            path => {
                let days = Duration::from_secs(self.keep_days * 86_400);
                let retention = Retention::default().age(days).executions(self.keep_executions);
                Box::new(SqliteStore::builder(path).retention(retention).build())
            }
        }
    }
}

/// How soon silence counts as death. Coordinator and workers must be given the same.
#[derive(Args, Clone, Debug)]
pub struct ProtocolSettings {
    /// How often a worker says that it lives, in seconds
    #[arg(long, env = "TINPOT_BEAT_INTERVAL", value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    pub beat_interval: Duration,
    /// How many seconds a worker that hears nothing may go on with what could be retried elsewhere; at least three beats
    #[arg(long, env = "TINPOT_WORKER_LEASE", value_name = "SECONDS", default_value = "60", value_parser = seconds)]
    pub worker_lease: Duration,
    /// After how many seconds a silent worker is given up, and what it held is lost; at least 1.25 times the worker's lease
    #[arg(long, env = "TINPOT_COORDINATOR_LEASE", value_name = "SECONDS", default_value = "90", value_parser = seconds)]
    pub coordinator_lease: Duration,
    /// How many seconds an action has from being asked to end until it is killed
    #[arg(long, env = "TINPOT_KILL_AFTER", value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    pub kill_after: Duration,
}

impl ProtocolSettings {
    /// The times as the SDK takes them.
    pub fn config(&self) -> ProtocolConfig {
        let mut config = ProtocolConfig::default();
        config.beat_interval = self.beat_interval;
        config.worker_lease = self.worker_lease;
        config.coordinator_lease = self.coordinator_lease;
        config.grace = self.kill_after;
        config
    }
}

/// A time in seconds, fractions allowed, from a millisecond to a year.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().filter(|seconds| (0.001..=31_536_000.0).contains(seconds));
    seconds
        .map(Duration::from_secs_f64)
        .ok_or_else(|| "not a number of seconds from 0.001 to 31536000".to_owned())
}

/// Which Python actions, and how they run.
#[derive(Args, Clone, Debug)]
pub struct ActionsSettings {
    /// The directory of the Python actions; ./actions by default, examples/actions for the example programs
    #[arg(long = "actions", env = "ACTIONS_DIR", value_name = "DIRECTORY")]
    pub dir: Option<PathBuf>,
    /// How many actions run at once
    #[arg(long, env = "CONCURRENCY", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub concurrency: u32,
    /// The Python interpreter, or a virtual environment; VIRTUAL_ENV or python3 by default
    #[arg(long, env = "TINPOT_PYTHON")]
    pub python: Option<PathBuf>,
    /// What keeps hold of everything that actions start: cgroup, process-group, or auto for the first where it can be used
    #[arg(long, env = "TINPOT_CONTAINMENT", value_name = "KIND", default_value_t = ContainmentMode::Auto)]
    pub containment: ContainmentMode,
    /// Leave changes of the Python files alone; by default they are picked up while the worker runs
    #[arg(long, env = "TINPOT_NO_RELOAD")]
    pub no_reload: bool,
    /// What one attempt may use
    #[command(flatten)]
    pub limits: LimitSettings,
    /// Run Python in this very process: faster, but a crash of an action is a crash of the worker
    #[cfg(feature = "embed")]
    #[arg(long, env = "TINPOT_IN_PROCESS")]
    pub in_process: bool,
}

impl ActionsSettings {
    /// Starts Python and imports the actions; those in `default` unless a directory is named.
    ///
    /// # Errors
    /// There is no such directory or interpreter.
    pub async fn executor(&self, default: &str) -> Result<Box<dyn Executor>, AnyError> {
        Ok(self.contained(default).await?.0)
    }

    /// Likewise; with what keeps hold of all that they start, where something does.
    ///
    /// # Errors
    /// There is no such directory or interpreter.
    pub async fn contained(
        &self,
        default: &str,
    ) -> Result<(Box<dyn Executor>, Option<Containment>), AnyError> {
        let dir = self.dir.clone().filter(|dir| !dir.as_os_str().is_empty());
        let dir = dir.unwrap_or_else(|| default.into());
        #[cfg(feature = "embed")]
        if self.in_process {
            let mut builder = tinpot_python::PythonExecutor::builder(&dir);
            if let Some(python) = &self.python {
                builder = builder.python(python);
            }
            return Ok((Box::new(builder.start().await?), None));
        }
        let mut builder = PythonPool::builder(&dir)
            .size(self.concurrency as usize)
            .containment(self.containment)
            .reload(!self.no_reload)
            .limits(self.limits.limits());
        if let Some(python) = &self.python {
            builder = builder.python(python);
        }
        let pool = builder.start().await?;
        let containment = pool.containment().clone();
        Ok((Box::new(pool), Some(containment)))
    }
}

/// The largest result of an attempt, in bytes: what one frame of the MQTT transport carries beside its envelope.
pub const RESULT_BYTES: usize = 15 << 20;

/// What one attempt may use, where its action does not say otherwise.
#[derive(Args, Clone, Debug)]
pub struct LimitSettings {
    /// How much memory one attempt may use, in bytes or like 256M
    #[arg(long, env = "TINPOT_LIMIT_MEMORY", value_name = "SIZE", value_parser = size)]
    pub limit_memory: Option<u64>,
    /// How much processor time one attempt may use, in seconds
    #[arg(long, env = "TINPOT_LIMIT_CPU", value_name = "SECONDS", value_parser = seconds)]
    pub limit_cpu: Option<Duration>,
    /// How many files and connections one attempt may have open at once
    #[arg(long, env = "TINPOT_LIMIT_OPEN_FILES", value_name = "NUMBER")]
    pub limit_open_files: Option<u64>,
    /// How much log one attempt may write, in bytes or like 10M
    #[arg(long, env = "TINPOT_LIMIT_OUTPUT", value_name = "SIZE", value_parser = size)]
    pub limit_output: Option<u64>,
    /// How large the result of one attempt may be as JSON, in bytes or like 10M; at most 15M
    #[arg(long, env = "TINPOT_LIMIT_RESULT", value_name = "SIZE", value_parser = result_size, default_value = "15M")]
    pub limit_result: u64,
}

impl LimitSettings {
    /// The limits as the SDK takes them.
    pub fn limits(&self) -> Limits {
        let mut limits = Limits::default();
        limits.memory_bytes = self.limit_memory;
        limits.cpu = self.limit_cpu;
        limits.open_files = self.limit_open_files;
        limits.output_bytes = self.limit_output;
        limits.result_bytes = Some(self.limit_result);
        limits
    }
}

/// A size in bytes, or with a unit of 1024 each: K, M, G or T.
fn size(text: &str) -> Result<u64, String> {
    let units = [("K", 10), ("M", 20), ("G", 30), ("T", 40)];
    let unit = units.iter().find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, *shift)));
    let (number, shift) = unit.unwrap_or((text, 0));
    let bytes = number.parse::<u64>().ok().and_then(|number| number.checked_mul(1 << shift));
    // As many as Python takes.
    bytes
        .filter(|bytes| (1..=1 << 62).contains(bytes))
        .ok_or_else(|| "not a number of bytes, or one with K, M, G or T, as in 256M".to_owned())
}

fn result_size(text: &str) -> Result<u64, String> {
    size(text).and_then(|bytes| match bytes > RESULT_BYTES as u64 {
        true => Err("more than one message carries: at most 15M".to_owned()),
        false => Ok(bytes),
    })
}

/// What a worker takes on.
#[derive(Args, Clone, Debug)]
pub struct WorkerSettings {
    /// Only actions of these groups, separated by commas; all by default
    #[arg(long, env = "ACTION_GROUPS", value_delimiter = ',')]
    pub groups: Vec<String>,
    /// Only work from these queues, separated by commas; all by default
    #[arg(long, env = "QUEUES", value_delimiter = ',')]
    pub queues: Vec<String>,
    /// How many seconds running actions may go on after SIGTERM
    #[arg(long, env = "GRACE", default_value_t = 10)]
    pub grace: u64,
}

impl WorkerSettings {
    /// How long running actions may go on after SIGTERM.
    pub fn patience(&self) -> Duration {
        Duration::from_secs(self.grace)
    }

    /// The groups, without the blanks and empty entries that environment variables tend to have.
    pub fn groups(&self) -> Vec<String> {
        trimmed(&self.groups)
    }

    /// The queues, likewise.
    pub fn queues(&self) -> Vec<String> {
        trimmed(&self.queues)
    }
}

fn trimmed(labels: &[String]) -> Vec<String> {
    labels.iter().map(|label| label.trim().to_owned()).filter(|label| !label.is_empty()).collect()
}
