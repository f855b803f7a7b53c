//! A coordinator with users, as a process.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::AnyError;
use crate::http::{Client, Request, Response};
use crate::process::Process;

/// The password of every user.
pub const PASSWORD: &str = "correct horse battery";
const ACTIONS: &str = "import time\n\nfrom tinpot import action\n\n\n@action\ndef noop():\n    pass\n\n\n\
                       @action\ndef wait():\n    time.sleep(120)\n";
const PATIENCE: Duration = Duration::from_secs(60);

/// The server, the folder of its files, and perhaps a worker.
#[derive(Debug)]
pub struct Server {
    /// The address of the API.
    pub address: SocketAddr,
    program: PathBuf,
    folder: tempfile::TempDir,
    worker: Option<Process>,
    process: Process,
}

impl Server {
    /// Starts a coordinator with these further options. With users, there is the admin `root`.
    pub fn start(program: &Path, has_users: bool, options: &[&str]) -> Result<Self, AnyError> {
        let program = program.canonicalize()?;
        let folder = tempfile::tempdir()?;
        fs::write(folder.path().join("password"), PASSWORD)?;
        if has_users {
            operate(
                &program,
                folder.path(),
                &["users", "add", "root", "--admin", "--password-file", "password"],
            )?;
        }
        let mut command = Command::new(&program);
        command.args(["coordinator", "--broker=none", "--port=0"]).args(options);
        if has_users {
            command.arg("--auth=users");
        }
        command.env("TINPOT_STORE", folder.path().join("tinpot.db")).current_dir(folder.path());
        let (process, address) = Process::listen(&mut command)?;
        Ok(Self { address, program, folder, worker: None, process })
    }

    /// The id of the process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Runs a command on the store, as another process, and returns what it prints.
    pub fn operate(&self, words: &[&str]) -> Result<String, AnyError> {
        operate(&self.program, self.folder.path(), words)
    }

    /// Makes a token of a user.
    pub fn token(&self, user: &str) -> Result<String, AnyError> {
        Ok(self.operate(&["tokens", "create", "bench", "--user", user])?.trim().to_owned())
    }

    /// Adds a user with a role. Returns the id of the grant.
    pub fn user(&self, name: &str, role: &str) -> Result<String, AnyError> {
        self.operate(&["users", "add", name, "--password-file", "password"])?;
        let added = self.operate(&["grants", "add", role, "--user", name])?;
        let id = added.split_whitespace().nth(1).ok_or("no grant was added")?;
        Ok(id.to_owned())
    }

    /// Sends one request over a connection of its own.
    pub fn send(&self, request: &Request) -> Result<Response, AnyError> {
        Ok(Client::connect(self.address)?.send(request)?)
    }

    /// Sends one request and returns the cookie that the answer sets.
    pub fn cookie(&self, request: &Request) -> Result<String, AnyError> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(request.as_bytes())?;
        for line in BufReader::new(stream).lines() {
            let line = line?;
            let header =
                line.split_once(": ").filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie"));
            if let Some((_, value)) = header {
                return Ok(value.split(';').next().unwrap_or_default().to_owned());
            }
            if line.is_empty() {
                break;
            }
        }
        Err("the answer sets no cookie".into())
    }

    /// The JSON of an answer.
    pub fn json(&self, request: &Request) -> Result<Value, AnyError> {
        Ok(serde_json::from_slice(&self.send(request)?.body)?)
    }

    /// Lets a worker join and starts it. Returns the id of its key.
    pub fn add_worker(&mut self) -> Result<String, AnyError> {
        let folder = self.folder.path();
        let actions = folder.join("actions");
        fs::create_dir_all(&actions)?;
        fs::write(actions.join("actions.py"), ACTIONS)?;
        let token = self.operate(&["workers", "join-token", "--names", "w"])?;
        fs::write(folder.join("join"), token.trim())?;
        let url = format!("http://{}", self.address);
        let worker = |words: &[&str]| {
            let mut command = Command::new(&self.program);
            command.arg("worker").args(words).current_dir(folder).env("ACTIONS_DIR", &actions);
            command.env("TINPOT_NO_RELOAD", "true").env("WORKER_NAME", "w");
            command
        };
        let joined = worker(&["join", "--join-token-file", "join", &url]).output()?;
        if !joined.status.success() {
            return Err(String::from_utf8_lossy(&joined.stderr).into());
        }
        self.worker = Some(Process::start(worker(&[]).stderr(Stdio::null()))?);
        let token = self.token("root")?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let actions = self.json(&Request::get("/api/actions").bearer(&token))?;
            let all = actions.as_object();
            if all.is_some_and(|all| all.values().any(|one| one["available"] == true)) {
                break;
            }
            if Instant::now() > deadline {
                return Err(format!("the worker does not come: {actions}").into());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let keys: Value = serde_json::from_str(&self.operate(&["workers", "keys", "--json"])?)?;
        Ok(keys["keys"][0]["id"].as_str().ok_or("there is no key")?.to_owned())
    }
}

impl Request {
    /// Adds an API token.
    #[must_use]
    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }
}

fn operate(program: &Path, folder: &Path, words: &[&str]) -> Result<String, AnyError> {
    let mut command = Command::new(program);
    command.env("TINPOT_STORE", folder.join("tinpot.db")).current_dir(folder).args(words);
    let output = command.stdin(Stdio::null()).output()?;
    if !output.status.success() {
        return Err(format!("{words:?}: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}
