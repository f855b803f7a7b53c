//! Debian's Prometheus as a process of its own, and its `promtool`.

use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::thread;

use serde_json::Value;
use ureq::Agent;

use crate::{DEADLINE, free_port, wait_for};

/// The advice for a machine without it.
const MISSING: &str = "prometheus is needed: install it, or run `cargo xtask test`, which does";

/// A Prometheus on a free port of loopback that reads targets every second; killed when dropped.
#[derive(Debug)]
pub struct Prometheus {
    agent: Agent,
    port: u16,
    _directory: tempfile::TempDir,
    child: Child,
}

impl Prometheus {
    /// Starts one that reads these targets: each a job and an address.
    pub fn start(targets: &[(&str, String)]) -> Self {
        let (directory, port) = (tempfile::tempdir().expect("a directory"), free_port());
        let job = |(job, address): &(&str, String)| {
            format!("  - job_name: {job}\n    static_configs:\n      - targets: [\"{address}\"]\n")
        };
        let jobs: String = targets.iter().map(job).collect();
        let text = format!("global:\n  scrape_interval: 1s\nscrape_configs:\n{jobs}");
        let config = directory.path().join("prometheus.yaml");
        std::fs::write(&config, text).expect("a file");
        let log = std::fs::File::create(directory.path().join("log")).expect("a file");
        let option = |name: &str, value: &dyn std::fmt::Display| format!("--{name}={value}");
        let child = Command::new("prometheus")
            .arg(option("config.file", &config.display()))
            .arg(option("storage.tsdb.path", &directory.path().join("data").display()))
            .arg(option("web.listen-address", &format!("127.0.0.1:{port}")))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect(MISSING);
        let agent = Agent::config_builder().http_status_as_error(false);
        let agent = agent.timeout_global(Some(DEADLINE)).build().into();
        let prometheus = Self { agent, port, _directory: directory, child };
        wait_for("prometheus", || prometheus.ask("up"));
        prometheus
    }

    /// Evaluates an expression: the series that it has.
    ///
    /// # Errors
    /// The reason why it cannot be evaluated, or why there was no answer.
    pub fn ask(&self, expression: &str) -> Result<Vec<Value>, String> {
        let url = format!("http://127.0.0.1:{}/api/v1/query", self.port);
        let asked = self.agent.post(url).send_form([("query", expression)]);
        let mut answer = asked.map_err(|error| error.to_string())?;
        let answer: Value = answer.body_mut().read_json().map_err(|error| error.to_string())?;
        match answer["data"]["result"].as_array() {
            Some(series) if answer["status"] == "success" => Ok(series.clone()),
            _ => Err(answer.to_string()),
        }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Checks the text of metrics as `promtool` does.
///
/// # Panics
/// Panics with its complaints.
pub fn check_metrics(text: &str) {
    let mut child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect(MISSING);
    let (mut input, text) = (child.stdin.take().expect("a pipe"), text.to_owned());
    let writer = thread::spawn(move || input.write_all(text.as_bytes()));
    let checked = child.wait_with_output().expect("an end");
    let _ = writer.join();
    let said = String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success() && said.is_empty(), "{said}");
}
