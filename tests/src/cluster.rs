//! A coordinator and workers as processes, as most tests need them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::{Api, Program, actions, free_port, wait_for};

/// The times of the protocol for tests that wait for the end of a lease: short, and long enough for a machine that is busy with other tests.
pub const QUICK: [(&str, &str); 4] = [
    ("TINPOT_HEARTBEAT_INTERVAL", "0.25"),
    ("TINPOT_WORKER_LEASE", "3"),
    ("TINPOT_COORDINATOR_LEASE", "4.5"),
    ("TINPOT_KILL_AFTER", "1"),
];

/// A coordinator that dies and comes back: on the same port, with the same store.
#[derive(Debug)]
pub struct Durable {
    broker: String,
    port: u16,
    directory: PathBuf,
    _own: Option<tempfile::TempDir>,
    environment: Vec<(String, String)>,
}

impl Durable {
    /// One that is not started yet.
    pub fn new(broker: &str, environment: &[(&str, &str)]) -> Self {
        let own = tempfile::tempdir().expect("a directory");
        let mut durable = Self::at(own.path(), broker, environment);
        durable._own = Some(own);
        durable
    }

    /// One that is not started yet, with its store and the log of all its lives in a directory.
    pub fn at(directory: &Path, broker: &str, environment: &[(&str, &str)]) -> Self {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Self {
            broker: broker.to_owned(),
            port: free_port(),
            directory: directory.to_owned(),
            _own: None,
            environment: environment.iter().map(owned).collect(),
        }
    }

    /// The same with more in its environment.
    #[must_use]
    pub fn with(mut self, environment: impl IntoIterator<Item = (&'static str, String)>) -> Self {
        let owned = |(name, value): (&str, String)| (name.to_owned(), value);
        self.environment.extend(environment.into_iter().map(owned));
        self
    }

    /// The path of its store.
    pub fn store(&self) -> PathBuf {
        self.directory.join("tinpot.db")
    }

    /// A client of it, whether it is there or not.
    pub fn api(&self) -> Api {
        Api::of(self.port)
    }

    /// Starts it, and does not wait. It kills itself at `failpoint`, where there is one.
    pub fn begin(&self, failpoint: Option<&str>) -> Program {
        let (port, store) = (self.port.to_string(), self.store());
        let mut all = vec![
            ("PORT", port.as_str()),
            ("MQTT_BROKER", &self.broker),
            ("TINPOT_STORE", store.to_str().expect("a path in UTF-8")),
        ];
        all.extend(self.environment.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        all.extend(failpoint.map(|name| ("TINPOT_FAILPOINT", name)));
        Program::start_in(&self.directory, "coordinator", "coordinator", &all)
    }

    /// Starts it and waits until it answers.
    pub fn start(&self) -> (Program, Api) {
        (self.begin(None), Api::answering(self.port))
    }
}

/// Starts a coordinator and waits until it answers.
pub fn coordinator(broker: &str, env: &[(&str, &str)]) -> (Program, Api) {
    let port = free_port();
    let port_text = port.to_string();
    let mut all = vec![("PORT", port_text.as_str()), ("MQTT_BROKER", broker)];
    all.extend(env);
    let program = Program::start("coordinator", &all);
    (program, Api::answering(port))
}

/// Starts a coordinator that is the broker too, and waits until it answers; the last is the port of the broker.
pub fn coordinator_with_broker(env: &[(&str, &str)]) -> (Program, Api, u16) {
    let (port, broker) = (free_port(), free_port());
    let port_text = port.to_string();
    let mut all = vec![("PORT", port_text.as_str())];
    all.extend(env);
    let address = format!("127.0.0.1:{broker}");
    let program = Program::start_with("coordinator", &["--embedded-broker", &address], &all);
    (program, Api::answering(port), broker)
}

/// Starts a worker with the actions of these tests.
pub fn worker(broker: &str, env: &[(&str, &str)]) -> Program {
    let mut all = vec![("MQTT_BROKER", broker), ("ACTIONS_DIR", actions())];
    all.extend(env);
    Program::start("worker", &all)
}

/// Waits until workers of all these names are there, and their actions can be submitted.
pub fn wait_for_workers(api: &Api, names: &[&str]) {
    wait_for("the workers", || {
        let (_, body) = api.get("/api/workers");
        let workers = body["workers"].as_array().cloned().unwrap_or_default();
        let there: BTreeSet<&str> =
            workers.iter().filter_map(|worker| worker["name"].as_str()).collect();
        // Actions are known once they are recorded, which is a moment later.
        let (_, catalogue) = api.get("/api/actions");
        let mut offered =
            workers.iter().filter_map(|worker| worker["actions"].as_array()).flatten();
        let known =
            offered.all(|action| catalogue.get(action.as_str().unwrap_or_default()).is_some());
        if names.iter().all(|name| there.contains(name)) && known { Ok(()) } else { Err(body) }
    });
}
