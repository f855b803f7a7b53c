//! Debian's mosquitto: one process per test, on a port of its own.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use tempfile::TempDir;

/// A mosquitto with a configuration and a directory of its own; it ends with this.
#[derive(Debug)]
pub(crate) struct Mosquitto {
    port: u16,
    directory: TempDir,
    process: Mutex<Option<Child>>,
}

/// Returns a port that is free now.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

fn program() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/usr/local/sbin".into(), "/opt/homebrew/sbin".into()])
        .map(|place| place.join("mosquitto"))
        .find(|program| program.is_file())
        .expect("these tests need the broker mosquitto: `apt-get install mosquitto`, or the like")
}

impl Mosquitto {
    /// Starts a broker without access control.
    pub(crate) async fn start() -> Self {
        Self::with(tempfile::tempdir().unwrap(), "allow_anonymous true").await
    }

    /// One with these lines for its listener, in this directory, which is its working directory.
    pub(crate) async fn with(directory: TempDir, lines: &str) -> Self {
        Self::with_port(directory, free_port(), lines).await
    }

    /// The same on a certain port.
    pub(crate) async fn with_port(directory: TempDir, port: u16, lines: &str) -> Self {
        // Started by root it would become another user, who cannot read the directory.
        let config = format!("user root\nlistener {port} 127.0.0.1\n{lines}\n");
        std::fs::write(directory.path().join("mosquitto.conf"), config).unwrap();
        let process = spawn(directory.path());
        let broker = Self { port, directory, process: Mutex::new(Some(process)) };
        assert!(broker.takes_connections().await, "mosquitto does not start: {}", broker.log());
        broker
    }

    /// Returns its log so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap()
    }

    /// Returns the lines that make the listener one for WebSockets.
    ///
    /// mosquitto 2.0.11 ends when it has no other listener: "Unable to start any listening
    /// sockets".
    pub(crate) fn websockets() -> String {
        format!("allow_anonymous true\nprotocol websockets\nlistener {} 127.0.0.1", free_port())
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }

    /// Ends it as a crash would.
    pub(crate) fn kill(&self) {
        if let Some(mut process) = self.process.lock().unwrap().take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    /// Starts it again, on the same port.
    pub(crate) async fn restart(&self) {
        self.kill();
        *self.process.lock().unwrap() = Some(spawn(self.directory.path()));
        assert!(self.takes_connections().await, "mosquitto starts again on its port");
    }

    fn has_ended(&self) -> bool {
        let mut process = self.process.lock().unwrap();
        process.as_mut().is_none_or(|process| process.try_wait().unwrap().is_some())
    }

    /// Waits until it accepts connections. Returns false if it ended instead.
    async fn takes_connections(&self) -> bool {
        let wait = async {
            while tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).await.is_err() {
                if self.has_ended() {
                    return false;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            true
        };
        tokio::time::timeout(Duration::from_secs(20), wait).await.expect("mosquitto starts or ends")
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        self.kill();
    }
}

fn spawn(directory: &Path) -> Child {
    let log = std::fs::File::create(directory.join("log")).unwrap();
    Command::new(program())
        .args(["-c", "mosquitto.conf"])
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}
