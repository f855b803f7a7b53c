//! Processes that end with their test, and a server that the tests share.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// The time limit of every wait: more than a busy machine needs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

const ACTIONS: &str = include_str!("actions.py");

/// Returns the command, without the environment of the user who runs the tests.
pub(crate) fn tinpot() -> Command {
    // The parent of the tests may ignore SIGINT, as shells do for background jobs.
    let mut command = Command::new("env");
    command.args(["--default-signal=INT", env!("CARGO_BIN_EXE_tinpot")]);
    let ours = [
        "TINPOT",
        "MINITOWER",
        "MQTT",
        "OTEL",
        "NO_COLOR",
        "RUST_LOG",
        "BROKER_USER",
        "http_proxy",
        "HTTP_PROXY",
        "ALL_PROXY",
    ];
    let exact = [
        "HOST",
        "PORT",
        "ACTIONS_DIR",
        "ACTION_GROUPS",
        "QUEUES",
        "CONCURRENCY",
        "GRACE",
        "WORKER_NAME",
    ];
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if ours.iter().any(|start| text.starts_with(start)) || exact.contains(&&*text) {
            command.env_remove(&name);
        }
    }
    command.env("XDG_CONFIG_HOME", "/nonexistent").env("TERM", "xterm");
    // Here are the tokens of `tinpot dev`.
    command.env("XDG_STATE_HOME", state()).env_remove("XDG_RUNTIME_DIR");
    command.stdin(Stdio::null());
    command
}

/// Returns the directory of the tokens of `tinpot dev`: one for each run of the tests, since servers
/// that are killed leave theirs, and later ones may have their ports.
pub(crate) fn state() -> &'static Path {
    static STATE: OnceLock<tempfile::TempDir> = OnceLock::new();
    let create = || tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    STATE.get_or_init(create).path()
}

/// A server in a process of its own; killed when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    process: Process,
    pub(crate) url: String,
    _folder: tempfile::TempDir,
}

impl Server {
    /// Returns the server that all tests without side effects share.
    pub(crate) fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = shared.upgrade() {
            return server;
        }
        let server = Arc::new(Self::start());
        *shared = Arc::downgrade(&server);
        server
    }

    /// Starts a server for one test.
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("actions.py"), ACTIONS).expect("a file");
        let mut command = tinpot();
        command.args(["dev", "--port", "0", "--concurrency", "8"]).arg(folder.path());
        let mut process = Process::start(command);
        let url = process.url();
        Self { process, url, _folder: folder }
    }

    /// Returns the command for this server.
    pub(crate) fn tinpot(&self, arguments: &[&str]) -> Command {
        let mut command = tinpot();
        command.env("TINPOT_SERVER", &self.url).args(arguments);
        command
    }

    /// Runs the command to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(self.tinpot(arguments))
    }

    /// Starts an execution that runs until it is cancelled.
    pub(crate) fn running(&self) -> String {
        let id = self.run(&["run", "slow", "--detach"]).ok().trim().to_owned();
        self.wait_for(&id, "running");
        id
    }

    /// Waits until an execution has a status.
    pub(crate) fn wait_for(&self, id: &str, status: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let shown = self.run(&["executions", "show", id, "--json"]).json();
            if shown["status"] == status {
                return;
            }
            assert!(Instant::now() < deadline, "{id} should be {status}: {shown}");
        }
    }

    pub(crate) fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

/// The result of a command.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    pub(crate) fn of(mut command: Command) -> Self {
        Self::from(command.output().expect("the command starts"))
    }

    /// Runs a command with text on standard input.
    pub(crate) fn with_input(mut command: Command, input: &str) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the command starts");
        std::io::Write::write_all(&mut child.stdin.take().expect("a pipe"), input.as_bytes())
            .expect("it reads");
        Self::from(child.wait_with_output().expect("it ends"))
    }

    /// Returns standard output, and asserts success.
    #[track_caller]
    pub(crate) fn ok(&self) -> &str {
        assert_eq!(self.code, Some(0), "{self:?}");
        &self.stdout
    }

    /// Returns standard output as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(self.ok()).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// Returns standard error, and asserts the exit code.
    #[track_caller]
    pub(crate) fn failed(&self, code: i32) -> &str {
        assert_eq!(self.code, Some(code), "{self:?}");
        &self.stderr
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self {
            code: output.status.code(),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        }
    }
}

/// A running command whose lines are read while it runs; killed when dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    /// A lock, since the tests share servers.
    lines: Mutex<Receiver<String>>,
    pub(crate) seen: Vec<String>,
}

impl Process {
    /// Starts a command, and merges the lines of standard output and standard error.
    pub(crate) fn start(mut command: Command) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the command starts");
        let (to, lines) = channel();
        let pipes: [Box<dyn Read + Send>; 2] = [
            Box::new(child.stdout.take().expect("a pipe")),
            Box::new(child.stderr.take().expect("a pipe")),
        ];
        for pipe in pipes {
            let to = to.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                    if to.send(line).is_err() {
                        return;
                    }
                }
            });
        }
        Self { child, lines: Mutex::new(lines), seen: Vec::new() }
    }

    fn next(&mut self, deadline: Instant) -> Result<String, RecvTimeoutError> {
        let lines = self.lines.get_mut().unwrap_or_else(PoisonError::into_inner);
        lines.recv_timeout(deadline.saturating_duration_since(Instant::now()))
    }

    /// Waits for a line that contains the text.
    #[track_caller]
    pub(crate) fn line(&mut self, part: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.next(deadline) {
                Ok(line) => {
                    self.seen.push(line.clone());
                    if line.contains(part) {
                        return line;
                    }
                }
                Err(RecvTimeoutError::Timeout) => panic!("{part:?} did not come: {:#?}", self.seen),
                Err(RecvTimeoutError::Disconnected) => {
                    panic!("it ended without {part:?}: {:#?}", self.seen)
                }
            }
        }
    }

    /// Waits for the address that a server prints.
    #[track_caller]
    pub(crate) fn url(&mut self) -> String {
        let line = self.line("Tinpot listens on http://");
        line.split_whitespace().last().expect("an address").to_owned()
    }

    /// Returns the id of the process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id()).expect("an id");
        kill_process(Pid::from_raw(id).expect("an id"), signal).expect("it is there");
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("it is there");
        self.child.wait().expect("it was started here");
    }

    /// Waits for the end of the process.
    #[track_caller]
    pub(crate) fn end(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        // The output ends with the process.
        loop {
            match self.next(deadline) {
                Ok(line) => self.seen.push(line),
                Err(RecvTimeoutError::Disconnected) => {
                    return self.child.wait().expect("it was started here");
                }
                Err(RecvTimeoutError::Timeout) => panic!("it does not end: {:#?}", self.seen),
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns a port that is free now, and that stays free while a server restarts: the system gives
/// outgoing connections those from 32768 on.
pub(crate) fn free_port() -> u16 {
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    // Other processes of tests begin elsewhere.
    let begin = std::process::id().wrapping_mul(97);
    loop {
        let number = begin.wrapping_add(NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
        let port = 15_000 + (number % 17_000) as u16;
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Writes a file.
pub(crate) fn file(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    std::fs::write(&path, text).expect("a file");
    path
}

/// Returns head and body of a page, as a browser asks for it.
pub(crate) fn page(url: &str, path: &str) -> String {
    ask(url, "GET", path, "accept: text/html\r\n", "")
}

/// Sends a request with further lines of the head, and returns the answer with its head.
pub(crate) fn ask(url: &str, method: &str, path: &str, head: &str, body: &str) -> String {
    let host = url.trim_start_matches("http://");
    let mut connection = std::net::TcpStream::connect(host).expect("the server is there");
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {host}\r\n{head}content-length: {length}\r\n\
         connection: close\r\n\r\n{body}"
    );
    std::io::Write::write_all(&mut connection, request.as_bytes()).expect("it reads");
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer).expect("it answers");
    String::from_utf8_lossy(&answer).into_owned()
}
