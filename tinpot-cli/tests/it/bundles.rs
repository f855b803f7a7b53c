//! Workers that share no disk with their coordinator fetch the apps that they run.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use rustix::process::Signal;

use crate::broker_acl::{Mosquitto, mosquitto};
use crate::support::{PATIENCE, Process, Ran, file, free_port, tinpot};

const TOWERFILE: &str = r#"
[app]
name = "greet"
script = "main.sh"

[[parameters]]
name = "name"
default = "World"
"#;

/// The ways of a worker to its coordinator.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum By {
    Mosquitto,
    EmbeddedBroker,
    Http,
}

/// A coordinator, an app to deploy, and folders for workers.
pub(crate) struct Place {
    pub(crate) folder: tempfile::TempDir,
    by: By,
    pub(crate) port: u16,
    broker: String,
    pub(crate) coordinator: Process,
    _mosquitto: Option<Mosquitto>,
}

impl Place {
    pub(crate) fn start(by: By) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("actions")).expect("a folder");
        file(folder.path(), "greet/Towerfile", TOWERFILE);
        let script = "printf '\"hello %s\"' \"$name\" > \"$TINPOT_RESULT\"\n";
        file(folder.path(), "greet/main.sh", script);
        let (port, at) = (free_port(), free_port());
        let mosquitto =
            (by == By::Mosquitto).then(|| mosquitto(folder.path(), at, "allow_anonymous true"));
        let broker = format!("tcp://127.0.0.1:{at}");
        let coordinator = Self::begin(folder.path(), by, port, &broker, &[]);
        Self { folder, by, port, broker, coordinator, _mosquitto: mosquitto }
    }

    fn begin(
        folder: &Path,
        by: By,
        port: u16,
        broker: &str,
        environment: &[(&str, &str)],
    ) -> Process {
        let mut command = tinpot();
        command.args(["coordinator", "--port", &port.to_string()]).current_dir(folder);
        command.env("TINPOT_STORE", folder.join("tinpot.db")).env("RUST_LOG", "debug");
        command.envs(environment.iter().copied());
        match by {
            By::Mosquitto => command.args(["--broker", broker]),
            // What joins learns the URL.
            By::EmbeddedBroker => {
                let url = format!("http://127.0.0.1:{port}");
                command.args(["--embedded-broker", "--broker", broker, "--public-url", &url])
            }
            By::Http => command.arg("--broker=none"),
        };
        let mut process = Process::start(command);
        process.line("Tinpot listens on http");
        process
    }

    pub(crate) fn restart(&mut self) {
        self.restart_with(&[]);
    }

    /// Kills the coordinator, unless it has ended, and starts it with these variables.
    pub(crate) fn restart_with(&mut self, environment: &[(&str, &str)]) {
        self.coordinator.kill();
        let (folder, broker) = (self.folder.path(), &self.broker);
        self.coordinator = Self::begin(folder, self.by, self.port, broker, environment);
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) fn run(&self, words: &[&str]) -> Ran {
        let mut command = tinpot();
        command.env("TINPOT_SERVER", self.url()).current_dir(self.folder.path()).args(words);
        Ran::of(command)
    }

    /// Returns a command in the folder of a worker, which has a cache of its own.
    pub(crate) fn worker(&self, name: &str, words: &[&str]) -> Command {
        let place = self.folder.path().join(name);
        std::fs::create_dir_all(&place).expect("a folder");
        let mut command = tinpot();
        command.arg("worker").args(words).current_dir(&place);
        command.env("ACTIONS_DIR", self.folder.path().join("actions"));
        command.env("WORKER_NAME", name).env("RUST_LOG", "debug");
        command.env("XDG_CACHE_HOME", place.join("cache"));
        command
    }

    /// Lets a worker join, by HTTP or by the broker, and returns the command that starts it.
    pub(crate) fn joined(&self, name: &str) -> Command {
        let mut command = tinpot();
        command.env("TINPOT_STORE", self.folder.path().join("tinpot.db"));
        command.current_dir(self.folder.path());
        command.args(["workers", "join-token", "--names", name]);
        let token = file(self.folder.path(), "token", Ran::of(command).ok().trim());
        let token = token.to_str().expect("a path");
        let at = if self.by == By::Http { self.url() } else { self.broker.clone() };
        Ran::of(self.worker(name, &["join", "--join-token-file", token, &at])).ok();
        self.worker(name, &[])
    }

    /// Returns the command that starts a worker without a key, which fetches bundles there.
    pub(crate) fn plain(&self, name: &str, bundles: &str) -> Command {
        self.worker(name, &["--broker", &self.broker, "--bundle-server", bundles])
    }

    /// Starts a run, and returns its id.
    fn begin_run(&self, name: &str) -> String {
        self.run(&["run", "greet", "--name", name, "--detach"]).ok().trim().to_owned()
    }

    #[track_caller]
    pub(crate) fn wait_for(&self, id: &str, status: &str) -> serde_json::Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let shown = self.run(&["executions", "show", id, "--json"]).json();
            if shown["status"] == status {
                return shown;
            }
            assert!(Instant::now() < deadline, "{id} should be {status}: {shown}");
        }
    }

    fn bundle(&self) -> String {
        let shown = self.run(&["versions", "show", "greet", "--json"]).json();
        shown["bundle"].as_str().expect("a digest").to_owned()
    }
}

/// Ends a process, and asserts that it has printed no ticket: each begins with the fence, and has
/// this digest and another one.
fn ends_without_telling(mut process: Process, bundle: &str) {
    process.signal(Signal::TERM);
    assert!(process.end().success(), "{:#?}", process.seen);
    let tells = process.seen.iter().find(|line| line.contains(&format!(".{bundle}.")));
    assert_eq!(tells, None);
}

/// A way to the server on which answers stop after a number of bytes, until it is opened.
pub(crate) struct Tap {
    port: u16,
    state: Arc<TapState>,
}

#[derive(Default)]
pub(crate) struct TapState {
    server: u16,
    passed: AtomicU64,
    limit: Mutex<Option<u64>>,
    opened: Condvar,
    heads: Mutex<String>,
    is_over: AtomicBool,
}

impl Tap {
    pub(crate) fn start(server: u16, limit: Option<u64>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let state = Arc::new(TapState { server, limit: Mutex::new(limit), ..TapState::default() });
        let shared = state.clone();
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if shared.is_over.load(Ordering::Relaxed) {
                    return;
                }
                let shared = shared.clone();
                thread::spawn(move || drop(shared.carry(client)));
            }
        });
        Self { port, state }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    #[track_caller]
    pub(crate) fn wait_for(&self, bytes: u64) {
        let deadline = Instant::now() + PATIENCE;
        while self.state.passed.load(Ordering::Relaxed) < bytes {
            assert!(Instant::now() < deadline, "the worker does not fetch");
            thread::yield_now();
        }
    }

    pub(crate) fn open(&self) {
        *self.state.limit.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.state.opened.notify_all();
    }

    /// The heads of all requests.
    pub(crate) fn heads(&self) -> String {
        self.state.heads.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.state.is_over.store(true, Ordering::Relaxed);
        self.open();
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl TapState {
    fn carry(self: Arc<Self>, mut client: TcpStream) -> std::io::Result<()> {
        let mut server = TcpStream::connect(("127.0.0.1", self.server))?;
        let (mut from, mut to, this) = (client.try_clone()?, server.try_clone()?, self.clone());
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = from.read(&mut buffer) {
                let mut heads = this.heads.lock().unwrap_or_else(PoisonError::into_inner);
                heads.push_str(&String::from_utf8_lossy(&buffer[..read]));
                drop(heads);
                if to.write_all(&buffer[..read]).is_err() {
                    return;
                }
            }
            let _ = to.shutdown(std::net::Shutdown::Both);
        });
        let mut buffer = [0; 4096];
        loop {
            let limit = self.limit.lock().unwrap_or_else(PoisonError::into_inner);
            let is_full = |limit: &mut Option<u64>| {
                limit.is_some_and(|limit| self.passed.load(Ordering::Relaxed) >= limit)
            };
            drop(self.opened.wait_while(limit, is_full));
            let read = server.read(&mut buffer).unwrap_or(0);
            if read == 0 {
                return client.shutdown(std::net::Shutdown::Both);
            }
            client.write_all(&buffer[..read])?;
            self.passed.fetch_add(read as u64, Ordering::Relaxed);
        }
    }
}

fn runs_on_a_worker_elsewhere(by: By, start: impl FnOnce(&Place) -> Command) {
    let place = Place::start(by);
    let mut worker = Process::start(start(&place));
    worker.line("reaches its coordinator by");
    place.run(&["deploy", "greet"]).ok();
    assert_eq!(place.run(&["run", "greet", "--name", "Ada"]).ok(), "hello Ada\n");
    let trees = place.folder.path().join("web/cache/tinpot/trees");
    let tree: PathBuf = trees.join(place.bundle());
    assert!(tree.join("main.sh").exists());

    // What is damaged in the cache is fetched again by the next worker.
    worker.signal(Signal::TERM);
    assert!(worker.end().success(), "{:#?}", worker.seen);
    file(&tree, "main.sh", "echo spoiled\n");
    let mut worker = Process::start(place.worker("web", &[]));
    worker.line("reaches its coordinator by");
    assert_eq!(place.run(&["run", "greet", "--name", "Eve"]).ok(), "hello Eve\n");
    let bundle = place.bundle();
    ends_without_telling(worker, &bundle);
    ends_without_telling(place.coordinator, &bundle);
}

#[test]
fn a_worker_of_the_embedded_broker_runs_a_deployed_app() {
    runs_on_a_worker_elsewhere(By::EmbeddedBroker, |place| {
        let command = place.joined("web");
        let facts = file_text(&place.folder.path().join("web/worker.toml"));
        assert!(facts.contains(&format!("server = \"{}\"", place.url())), "{facts}");
        command
    });
}

#[test]
fn a_worker_by_http_runs_a_deployed_app() {
    runs_on_a_worker_elsewhere(By::Http, |place| place.joined("web"));
}

fn file_text(path: &Path) -> String {
    std::fs::read_to_string(path).expect("a file")
}

#[test]
fn a_fetch_goes_on_after_the_coordinator_was_killed_in_the_middle_of_it() {
    let mut place = Place::start(By::Mosquitto);
    // More than fits into the buffers of sockets, and cannot be compressed.
    const SIZE: u64 = 14 << 20;
    let mut random = vec![0; SIZE as usize];
    std::fs::File::open("/dev/urandom").expect("a file").read_exact(&mut random).expect("bytes");
    std::fs::write(place.folder.path().join("greet/data"), random).expect("a file");
    place.run(&["deploy", "greet"]).ok();

    // Without a URL there is no runtime, and a reason.
    let mut idle = Process::start(place.worker("idle", &["--broker", &place.broker]));
    idle.line("--bundle-server (TINPOT_BUNDLE_SERVER)");

    let tap = Tap::start(place.port, Some(1 << 20));
    let mut worker = Process::start(place.plain("web", &tap.url()));
    worker.line("reaches its coordinator by");
    let id = place.begin_run("Ada");
    tap.wait_for(1 << 20);
    place.restart();
    tap.open();
    let shown = place.wait_for(&id, "succeeded");
    assert_eq!(shown["attempts"].as_array().map(Vec::len), Some(1), "{shown}");
    let passed = tap.state.passed.load(Ordering::Relaxed);
    assert!((SIZE..SIZE + SIZE / 2).contains(&passed), "{passed} bytes");
    assert!(tap.heads().to_lowercase().contains("range: bytes="), "{}", tap.heads());

    // A second worker with the same cache fetches nothing.
    let mut second = place.plain("second", &tap.url());
    second.env("XDG_CACHE_HOME", place.folder.path().join("web/cache"));
    worker.signal(Signal::TERM);
    assert!(worker.end().success(), "{:#?}", worker.seen);
    let mut second = Process::start(second);
    second.line("reaches its coordinator by");
    place.wait_for(&place.begin_run("Eve"), "succeeded");
    assert_eq!(tap.state.passed.load(Ordering::Relaxed), passed);

    // A ticket of another server: another coordinator knows none of these attempts.
    let other = Place::start(By::Http);
    let stranger = place.plain("stranger", &other.url());
    second.signal(Signal::TERM);
    assert!(second.end().success(), "{:#?}", second.seen);
    let _stranger = Process::start(stranger);
    place.begin_run("Zoe");
    let deadline = Instant::now() + PATIENCE;
    loop {
        let workers = place.run(&["workers", "list", "--json"]);
        if workers.ok().contains("the ticket is not one of this server") {
            break;
        }
        assert!(Instant::now() < deadline, "{workers:?}");
    }
}
