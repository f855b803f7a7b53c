//! Debian's mosquitto as a process of its own.

use std::process::{Child, Command};

use crate::{free_port, wait_for};

/// A broker on a free port of loopback; killed when dropped.
#[derive(Debug)]
pub struct Mosquitto {
    port: u16,
    persistent: bool,
    directory: tempfile::TempDir,
    child: Option<Child>,
}

impl Mosquitto {
    /// Starts one that keeps nothing.
    pub fn start() -> Self {
        Self::new(false)
    }

    /// Starts one that writes what it keeps to a file at every change, and reads it again when it is restarted.
    pub fn start_persistent() -> Self {
        Self::new(true)
    }

    fn new(persistent: bool) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let mut broker = Self { port: free_port(), persistent, directory, child: None };
        broker.restart();
        broker
    }

    /// Returns the address of the broker.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the broker's output since its last start: connections and disconnections.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// Returns the address of the broker.
    pub fn url(&self) -> String {
        format!("tcp://127.0.0.1:{}", self.port)
    }

    /// Kills it, as a crash would.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("the broker is there");
            child.wait().expect("it was started here");
        }
    }

    /// Starts it again on the same port.
    pub fn restart(&mut self) {
        self.kill();
        let here = self.directory.path();
        let config = here.join("mosquitto.conf");
        // Started by root it would become another user, who cannot write here.
        let mut text =
            format!("user root\nlistener {} 127.0.0.1\nallow_anonymous true\n", self.port);
        if self.persistent {
            let place = here.display();
            text += &format!(
                "persistence true\npersistence_location {place}/\nautosave_on_changes true\nautosave_interval 1\n"
            );
        }
        std::fs::write(&config, text).expect("a file");
        let log = std::fs::File::create(here.join("log")).expect("a file");
        // A distribution puts it where only root's PATH leads.
        let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/usr/local/sbin";
        let child = Command::new("mosquitto")
            .env("PATH", path)
            .arg("-c")
            .arg(config)
            .stdout(log.try_clone().expect("a file"))
            .stderr(log)
            .spawn()
            .expect("mosquitto is needed: install it, or run `cargo xtask test`, which does");
        self.child = Some(child);
        let address = ("127.0.0.1", self.port);
        wait_for("mosquitto", || std::net::TcpStream::connect(address));
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        self.kill();
    }
}
