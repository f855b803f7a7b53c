//! The systems under test, each as processes of its own.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::http::{Client, Request};
use crate::process::{Process, free_port};

/// A Python environment may have to be made first.
const START_LIMIT: Duration = Duration::from_secs(60);

/// A system that is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Kind {
    /// Ours, everything in one process.
    Standalone,
    /// Ours, coordinator and worker as processes, over a mosquitto, with nothing on disk.
    Mosquitto,
    /// The same with a durable store: every acceptance and every result is synchronised to disk
    /// before it is acknowledged.
    Durable,
    /// Celery and Redis behind FastAPI.
    Celery,
    /// Dramatiq and Redis behind FastAPI.
    Dramatiq,
}

impl Kind {
    /// The heading of its column.
    pub fn title(self) -> &'static str {
        match self {
            Self::Standalone => "standalone",
            Self::Mosquitto => "mosquitto",
            Self::Durable => "mosquitto, durable",
            Self::Celery => "Celery",
            Self::Dramatiq => "Dramatiq",
        }
    }

    /// Returns true for the systems of this workspace.
    pub fn is_ours(self) -> bool {
        matches!(self, Self::Standalone | Self::Mosquitto | Self::Durable)
    }
}

/// A system that answers; dropping it ends its processes.
#[derive(Debug)]
pub struct System {
    /// The address of its HTTP API.
    pub address: SocketAddr,
    /// The process that serves HTTP.
    pub api: u32,
    /// The process that the workers' children belong to, when it is another one.
    pub worker: Option<u32>,
    client: Option<OwnClient>,
    // Dropped in this order: the users of a broker end before it.
    _processes: Vec<Process>,
}

/// The command that measures a system through its own client instead of HTTP.
#[derive(Debug)]
enum OwnClient {
    /// A supervisor that answers commands line by line.
    Peer { input: ChildStdin, output: BufReader<ChildStdout> },
    /// A program per command, which prints the answer.
    Sdk { program: PathBuf, broker: String, durable: bool },
}

impl System {
    /// Starts a system and waits until it answers.
    pub fn start(kind: Kind) -> io::Result<Self> {
        let system = match kind {
            Kind::Standalone => Self::standalone()?,
            Kind::Mosquitto => Self::mosquitto("memory")?,
            Kind::Durable => Self::mosquitto(&new_store("coordinator")?)?,
            Kind::Celery | Kind::Dramatiq => Self::peer(kind)?,
        };
        system.wait_until_ready()?;
        Ok(system)
    }

    /// Measures through the system's own client; `None` when there is no program for it.
    pub fn own_client(&mut self, measurement: &str, count: usize) -> io::Result<Option<Value>> {
        let answer = match &mut self.client {
            None => return Ok(None),
            Some(OwnClient::Peer { input, output }) => {
                writeln!(input, "{measurement} {count}")?;
                let mut line = String::new();
                output.read_line(&mut line)?;
                line
            }
            Some(OwnClient::Sdk { program, broker, durable }) => {
                let store = if *durable { new_store("sdk")? } else { "memory".to_owned() };
                let output = Command::new(&*program)
                    .args([measurement, &count.to_string()])
                    .envs(environment())
                    .env("MQTT_BROKER", &*broker)
                    .env("TINPOT_NAMESPACE", "sdk")
                    .env("TINPOT_STORE", store)
                    .stderr(Stdio::inherit())
                    .output()?;
                String::from_utf8_lossy(&output.stdout).into_owned()
            }
        };
        let wrong = |error| io::Error::other(format!("{measurement}: {error}: {answer}"));
        serde_json::from_str(&answer).map(Some).map_err(wrong)
    }

    fn standalone() -> io::Result<Self> {
        let port = free_port()?;
        let memory = ("TINPOT_STORE", "memory".to_owned());
        let process = ours("standalone", &[("PORT", port.to_string()), memory])?;
        let api = process.id();
        Ok(Self {
            address: local(port),
            api,
            worker: None,
            client: None,
            _processes: vec![process],
        })
    }

    fn mosquitto(store: &str) -> io::Result<Self> {
        let (broker_port, port) = (free_port()?, free_port()?);
        let broker_process = start_mosquitto(broker_port)?;
        let broker = format!("tcp://127.0.0.1:{broker_port}");
        let with_broker = |more: (&'static str, String)| [("MQTT_BROKER", broker.clone()), more];
        let [broker_setting, port_setting] = with_broker(("PORT", port.to_string()));
        let settings = [broker_setting, port_setting, ("TINPOT_STORE", store.to_owned())];
        let coordinator = ours("coordinator", &settings)?;
        let worker = ours("worker", &with_broker(("RUST_LOG", "warn".to_owned())))?;
        let program = PathBuf::from("target/release/sdk_throughput");
        let durable = store != "memory";
        let client = program.is_file().then_some(OwnClient::Sdk { program, broker, durable });
        Ok(Self {
            address: local(port),
            api: coordinator.id(),
            worker: Some(worker.id()),
            client,
            _processes: vec![worker, coordinator, broker_process],
        })
    }

    fn peer(kind: Kind) -> io::Result<Self> {
        let mut child = Command::new("python3")
            .args(["benches/peers/serve.py", &kind.title().to_lowercase()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        let process = Process(child);
        let (input, output) = pipes.ok_or_else(|| io::Error::other("no pipes"))?;
        let mut output = BufReader::new(output);
        let mut line = String::new();
        output.read_line(&mut line)?;
        let told: Value = serde_json::from_str(&line)
            .map_err(|error| io::Error::other(format!("{}: {error}: {line}", kind.title())))?;
        let number = |key: &str| told[key].as_u64().and_then(|number| u32::try_from(number).ok());
        let missing = || io::Error::other(format!("{}: {line}", kind.title()));
        let port = number("port").and_then(|port| u16::try_from(port).ok()).ok_or_else(missing)?;
        Ok(Self {
            address: local(port),
            api: number("api_pid").ok_or_else(missing)?,
            worker: number("worker_pid"),
            client: Some(OwnClient::Peer { input, output }),
            _processes: vec![process],
        })
    }

    fn wait_until_ready(&self) -> io::Result<()> {
        let deadline = Instant::now() + START_LIMIT;
        let ready = Request::get("/ready");
        loop {
            let answer = Client::connect(self.address).and_then(|mut client| client.send(&ready));
            if answer.as_ref().is_ok_and(|answer| answer.status == 200) {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(io::Error::other(format!("not ready in time: {answer:?}")));
            }
            thread::sleep(Duration::from_millis(50));
        }
    }
}

/// The path of a store that does not exist yet.
fn new_store(name: &str) -> io::Result<String> {
    fs::create_dir_all("target/bench")?;
    let path = format!("target/bench/{name}.db");
    for suffix in ["", "-wal", "-shm", "-lock"] {
        match fs::remove_file(format!("{path}{suffix}")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(path)
}

/// One of our examples, built with `--release`.
fn ours(name: &str, env: &[(&str, String)]) -> io::Result<Process> {
    let program = Path::new("target/release/examples").join(name);
    let mut command = Command::new(program);
    Process::start(command.envs(environment()).envs(env.iter().map(|(key, value)| (key, value))))
}

/// The common settings of ours: as many Python processes as the peers have.
fn environment() -> [(&'static str, &'static str); 3] {
    [("ACTIONS_DIR", "benches/actions"), ("CONCURRENCY", "2"), ("RUST_LOG", "warn")]
}

/// A mosquitto with the distribution's defaults, but open to this machine and with nothing on disk.
///
/// # Errors
/// It is not installed, or does not come up.
pub fn start_mosquitto(port: u16) -> io::Result<Process> {
    let folder = Path::new("target/bench");
    fs::create_dir_all(folder)?;
    let path = folder.join("mosquitto.conf");
    let settings = format!(
        "listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\nlog_type error\n"
    );
    fs::write(&path, settings)?;
    // Debian keeps daemons where a user's `PATH` does not look.
    let daemon = Path::new("/usr/sbin/mosquitto");
    let program = if daemon.is_file() { daemon } else { Path::new("mosquitto") };
    let process = Process::start(Command::new(program).arg("-c").arg(path))?;
    let deadline = Instant::now() + Duration::from_secs(5);
    while Client::connect(local(port)).is_err() {
        if Instant::now() > deadline {
            return Err(io::Error::other("mosquitto does not listen"));
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(process)
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}
