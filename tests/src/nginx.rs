//! nginx as a process of its own.

use std::process::{Child, Command};

use crate::{free_port, wait_for};

/// A reverse proxy on free ports of loopback; killed when dropped.
#[derive(Debug)]
pub struct Nginx {
    ports: Vec<u16>,
    _directory: tempfile::TempDir,
    child: Child,
}

impl Nginx {
    /// Starts one server for each of these texts: the content of its `server` block.
    pub fn start(servers: &[String]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let here = directory.path().display();
        let ports: Vec<u16> = servers.iter().map(|_| free_port()).collect();
        let servers: String = servers
            .iter()
            .zip(&ports)
            .map(|(server, port)| format!("server {{ listen 127.0.0.1:{port}; {server} }}\n"))
            .collect();
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .iter()
            .map(|what| format!("{what}_temp_path {here}/{what};\n"))
            .collect();
        // Started by root it would become another user, who cannot write here.
        let user = if rustix::process::getuid().is_root() { "user root;" } else { "" };
        let text = format!(
            "daemon off; {user} worker_processes 1; pid {here}/pid; error_log {here}/log;\n\
             events {{ }}\n\
             http {{ access_log off; {temporary} {servers} }}\n"
        );
        let config = directory.path().join("nginx.conf");
        std::fs::write(&config, text).expect("a file");
        let log = std::fs::File::create(directory.path().join("log")).expect("a file");
        // A distribution puts it where only root's PATH leads.
        let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/usr/local/sbin";
        let child = Command::new("nginx")
            .env("PATH", path)
            .arg("-e")
            .arg(directory.path().join("log"))
            .arg("-c")
            .arg(config)
            .stdout(log.try_clone().expect("a file"))
            .stderr(log)
            .spawn()
            .expect("nginx is needed: install it, or run `cargo xtask test`, which does");
        let proxy = Self { ports, _directory: directory, child };
        for port in &proxy.ports {
            wait_for("nginx", || std::net::TcpStream::connect(("127.0.0.1", *port)));
        }
        proxy
    }

    /// Returns the ports, in the order of the servers.
    pub fn ports(&self) -> &[u16] {
        &self.ports
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Its master ends its workers, unless it is killed.
        if let Some(id) = rustix::process::Pid::from_raw(self.child.id().cast_signed()) {
            let _ = rustix::process::kill_process(id, rustix::process::Signal::TERM);
        }
        let _ = self.child.wait();
    }
}
