//! Debian's mosquitto as a process of its own.

use std::process::{Child, Command, Stdio};

use crate::{free_port, wait_for};

/// A broker on a free port of loopback, without persistence; killed when dropped.
#[derive(Debug)]
pub struct Mosquitto {
    port: u16,
    directory: tempfile::TempDir,
    child: Option<Child>,
}

impl Mosquitto {
    /// Starts one.
    pub fn start() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let mut broker = Self { port: free_port(), directory, child: None };
        broker.restart();
        broker
    }

    /// Where it listens.
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
        let config = self.directory.path().join("mosquitto.conf");
        let text =
            format!("listener {} 127.0.0.1\nallow_anonymous true\npersistence false\n", self.port);
        std::fs::write(&config, text).expect("a file");
        // A distribution puts it where only root's PATH leads.
        let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/usr/local/sbin";
        let child = Command::new("mosquitto")
            .env("PATH", path)
            .arg("-c")
            .arg(config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
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
