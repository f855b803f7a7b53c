//! Workers that reach their coordinator by HTTP: no broker, with TLS, and behind nginx.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{PATIENCE, Process, Ran, file, free_port, tinpot};

const ACTIONS: &str = r#"
import os
import time

from tinpot import action


@action
def say(text: str = "hello"):
    return text


@action
def large():
    return "x" * 3_000_000


@action
def until(path: str):
    print("started", flush=True)
    while not os.path.exists(path):
        time.sleep(0.02)
    return "there"
"#;

/// A coordinator without a broker, and folders for workers.
struct Place {
    folder: tempfile::TempDir,
    port: u16,
    certificate: Option<PathBuf>,
    coordinator: Process,
}

impl Place {
    fn start(is_encrypted: bool, more: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let actions = folder.path().join("actions");
        std::fs::create_dir(&actions).expect("a folder");
        file(&actions, "actions.py", ACTIONS);
        let certificate = is_encrypted.then(|| certificate(folder.path()));
        let port = free_port();
        let coordinator = Self::begin(folder.path(), port, certificate.as_deref(), more);
        Self { folder, port, certificate, coordinator }
    }

    fn begin(folder: &Path, port: u16, certificate: Option<&Path>, more: &[&str]) -> Process {
        let mut command = tinpot();
        command.args(["coordinator", "--broker=none", "--port", &port.to_string()]).args(more);
        command.env("TINPOT_STORE", folder.join("tinpot.db")).current_dir(folder);
        if let Some(certificate) = certificate {
            command.arg("--tls-cert").arg(certificate);
            command.arg("--tls-key-file").arg(certificate.with_extension("key"));
        }
        let mut process = Process::start(command);
        process.line("Tinpot listens on http");
        process
    }

    fn restart(&mut self) {
        self.coordinator.kill();
        let certificate = self.certificate.as_deref();
        self.coordinator = Self::begin(self.folder.path(), self.port, certificate, &[]);
    }

    fn url(&self) -> String {
        match self.certificate {
            Some(_) => format!("https://localhost:{}", self.port),
            None => format!("http://127.0.0.1:{}", self.port),
        }
    }

    /// Returns a command that trusts the certificate.
    fn command(&self) -> Command {
        let mut command = tinpot();
        if let Some(certificate) = &self.certificate {
            command.env("SSL_CERT_FILE", certificate).env_remove("SSL_CERT_DIR");
        }
        command
    }

    fn operate(&self, words: &[&str]) -> Ran {
        let mut command = self.command();
        command.env("TINPOT_STORE", self.folder.path().join("tinpot.db"));
        command.current_dir(self.folder.path()).args(words);
        Ran::of(command)
    }

    fn run(&self, words: &[&str]) -> Ran {
        let mut command = self.command();
        command.env("TINPOT_SERVER", self.url()).args(words);
        Ran::of(command)
    }

    /// Returns a command in the folder of a worker.
    fn worker(&self, name: &str, words: &[&str]) -> Command {
        let place = self.folder.path().join(name);
        std::fs::create_dir_all(&place).expect("a folder");
        let mut command = self.command();
        command.arg("worker").args(words).current_dir(place);
        command.env("ACTIONS_DIR", self.folder.path().join("actions"));
        command.env("TINPOT_NO_RELOAD", "true").env("WORKER_NAME", name);
        command
    }

    /// Lets a worker join at a URL, and starts it.
    fn joined_worker(&self, name: &str, url: &str) -> Process {
        let token = self.operate(&["workers", "join-token", "--names", name]);
        let token = file(self.folder.path(), "token", token.ok().trim());
        let token = token.to_str().expect("a path");
        let joined = Ran::of(self.worker(name, &["join", "--join-token-file", token, url]));
        assert!(joined.ok().contains("This worker has joined as"), "{joined:?}");
        let mut worker = Process::start(self.worker(name, &[]));
        let line = worker.line("reaches its coordinator by");
        assert!(line.ends_with(url), "{line}");
        worker
    }

    #[track_caller]
    fn wait_for(&self, what: &str, words: &[&str], so: impl Fn(&Ran) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let ran = self.run(words);
            if so(&ran) {
                return;
            }
            assert!(Instant::now() < deadline, "waited for {what}: {ran:?}");
        }
    }
}

/// Writes a certificate of `localhost` and its key.
fn certificate(folder: &Path) -> PathBuf {
    let key = rcgen::KeyPair::generate().expect("a key");
    let names = vec!["localhost".to_owned()];
    let certificate = rcgen::CertificateParams::new(names).expect("a name");
    let certificate = certificate.self_signed(&key).expect("a certificate");
    file(folder, "localhost.key", &key.serialize_pem());
    file(folder, "localhost.pem", &certificate.pem())
}

#[test]
fn a_worker_needs_nothing_but_https_and_outlives_its_coordinator() {
    let mut place = Place::start(true, &[]);
    let mut worker = place.joined_worker("web-1", &place.url());
    place.wait_for("the action", &["actions", "show", "say"], |ran| ran.code == Some(0));
    assert_eq!(place.run(&["run", "say", "--text", "sealed"]).ok().trim(), "sealed");

    let there = place.folder.path().join("there");
    let path = there.to_str().expect("a path");
    let id = place.run(&["run", "until", "--path", path, "--detach"]).ok().trim().to_owned();
    let show = ["executions", "show", &id, "--json"];
    place.wait_for("its start", &show, |ran| ran.json()["status"] == "running");
    place.restart();
    std::fs::write(&there, "").expect("a file");
    place.wait_for("its end", &show, |ran| ran.json()["status"] == "succeeded");
    let shown = place.run(&show).json();
    assert_eq!(shown["attempts"].as_array().map(Vec::len), Some(1), "{shown}");
    assert_eq!(place.run(&["run", "say", "--text", "again"]).ok().trim(), "again");

    let revoked = place.operate(&["workers", "revoke", "web-1"]);
    assert!(revoked.ok().contains("was revoked"), "{revoked:?}");
    place.coordinator.line("available=0");
    worker.line("the key of this worker is unknown or was revoked");
}

#[test]
fn workers_without_a_key_and_settings_that_do_not_fit_get_a_message_each() {
    let place = Place::start(false, &[]);
    let plain = Ran::of(place.worker("plain", &["--broker", &place.url()]));
    assert!(plain.failed(1).contains("needs a key: ask for a join token"), "{plain:?}");
    let bad = Ran::of(place.worker("bad", &["--broker", "https://h/?a=b"]));
    assert_ne!(bad.code, Some(0), "{bad:?}");
    for (words, says) in [
        (&["--broker=none", "--frames=plain"][..], "choose other frames"),
        (&["--broker=none", "--http-workers=off"], "leaves HTTP to workers"),
        (&["--broker=none", "--embedded-broker"], "exclude each other"),
        (&["--broker=https://h"], "must be the URL of a broker, or none"),
        (&["--http-workers=perhaps"], "must be auto, on or off"),
    ] {
        let mut command = tinpot();
        command.args(["coordinator", "--port=0"]).args(words).current_dir(place.folder.path());
        let ran = Ran::of(command);
        assert!(ran.code != Some(0) && ran.stderr.contains(says), "{words:?}: {ran:?}");
    }
    // Without authentication and with a broker, there is no link unless it is turned on.
    let broker = format!("tcp://127.0.0.1:{}", free_port());
    let mut command = tinpot();
    command.args(["coordinator", "--port=0", "--embedded-broker", "--broker", &broker]);
    let folder = tempfile::tempdir().expect("a folder");
    let mut other = Process::start({
        command.current_dir(folder.path());
        command
    });
    let url = other.url();
    let answer = crate::support::ask(&url, "GET", "/api/link/control", "", "");
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    let answer = crate::support::ask(&place.url(), "GET", "/api/link/control", "", "");
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("tinpot-worker"), "{answer}");
    let head = "tinpot-worker: web-1-00000000\r\n";
    let path = "/api/link/logs?session=0123456789abcdef0123456789abcdef";
    let answer = crate::support::ask(&place.url(), "GET", path, head, "");
    assert!(answer.starts_with("HTTP/1.1 401") && answer.contains("not enrolled"), "{answer}");
}

/// nginx on free ports of loopback; ended when dropped.
struct Nginx {
    ports: Vec<u16>,
    child: Child,
    _folder: tempfile::TempDir,
}

impl Nginx {
    /// Starts one server for each of these contents of its block.
    fn start(servers: &[String]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let here = folder.path().display();
        let ports: Vec<u16> = servers.iter().map(|_| free_port()).collect();
        let servers: String = ports
            .iter()
            .zip(servers)
            .map(|(port, server)| format!("server {{ listen 127.0.0.1:{port}; {server} }}\n"))
            .collect();
        let places: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .iter()
            .map(|what| format!("{what}_temp_path {here}/{what};\n"))
            .collect();
        let user = if rustix::process::getuid().is_root() { "user root;" } else { "" };
        let text = format!(
            "daemon off; {user} worker_processes 1; pid {here}/pid; error_log {here}/log;\n\
             events {{ }}\nhttp {{ access_log off; {places} {servers} }}\n"
        );
        let config = file(folder.path(), "nginx.conf", &text);
        let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/usr/local/sbin";
        let child = Command::new("nginx")
            .env("PATH", path)
            .arg("-e")
            .arg(folder.path().join("log"))
            .arg("-c")
            .arg(config)
            .spawn()
            .expect("nginx is needed: install it, or run `cargo xtask test`, which does");
        let deadline = Instant::now() + PATIENCE;
        for port in &ports {
            while std::net::TcpStream::connect(("127.0.0.1", *port)).is_err() {
                assert!(Instant::now() < deadline, "nginx does not start");
            }
        }
        Self { ports, child, _folder: folder }
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Its master ends its workers, unless it is killed.
        if let Some(id) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(id, Signal::TERM);
        }
        let _ = self.child.wait();
    }
}

#[test]
fn workers_reach_their_coordinator_through_nginx_that_buffers_or_does_not() {
    let place = Place::start(false, &["--root-path", "/tinpot"]);
    let upstream = format!("http://127.0.0.1:{}", place.port);
    let headers = "proxy_set_header Host $http_host; proxy_http_version 1.1;";
    let buffers = "proxy_buffering on; proxy_ignore_headers X-Accel-Buffering;";
    let nginx = Nginx::start(&[
        format!("location / {{ proxy_pass {upstream}; {headers} }}"),
        format!("location /tinpot/ {{ proxy_pass {upstream}/tinpot/; {headers} {buffers} }}"),
    ]);
    for (name, path, port) in
        [("passes", "", nginx.ports[0]), ("buffers", "/tinpot", nginx.ports[1])]
    {
        let mut worker = place.joined_worker(name, &format!("http://127.0.0.1:{port}{path}"));
        place.wait_for("the action", &["actions", "show", "say"], |ran| ran.code == Some(0));
        assert_eq!(place.run(&["run", "say", "--text", name]).ok().trim(), name);
        // More than nginx takes in the body of one request.
        assert_eq!(place.run(&["run", "large"]).ok().trim().len(), 3_000_000, "{name}");
        worker.signal(Signal::TERM);
        assert!(worker.end().success(), "{:#?}", worker.seen);
    }
}
