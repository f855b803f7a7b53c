//! All metrics: names, labels and meanings.

/// The kind of a metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// A count that only grows.
    Counter,
    /// A present value.
    Gauge,
    /// A distribution, with the upper bounds of its buckets.
    Histogram(&'static [f64]),
}

impl Kind {
    /// Returns the name, as Prometheus has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram(_) => "histogram",
        }
    }
}

/// The program that serves a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// A coordinator.
    Coordinator,
    /// A worker.
    Worker,
    /// Either of them.
    Both,
}

impl Program {
    /// Returns the name, for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Program::Coordinator => "coordinator",
            Program::Worker => "worker",
            Program::Both => "both",
        }
    }
}

/// A metric. [`descriptions`] has an example.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Description {
    /// The name.
    pub name: &'static str,
    /// The kind.
    pub kind: Kind,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// The programs that serve it.
    pub program: Program,
    /// The meaning.
    pub help: &'static str,
}

/// Returns all metrics, those of the process last. The latter are there on Linux only.
///
/// ```
/// use tinpot_metrics::{Kind, descriptions};
///
/// let depth = descriptions().find(|metric| metric.name == "tinpot_queue_depth").unwrap();
/// assert_eq!((depth.kind, depth.labels), (Kind::Gauge, &["queue", "state"][..]));
/// ```
pub fn descriptions() -> impl Iterator<Item = &'static Description> {
    METRICS.iter()
}

/// Returns the description of a metric.
pub(crate) fn description(name: &str) -> Option<&'static Description> {
    let own = METRICS.iter().find(|metric| metric.name == name);
    own.or_else(|| crate::minitower::description(name))
}

/// From a transaction in memory to a disk that hangs.
const COMMIT_SECONDS: &[f64] =
    &[0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];
/// Up to what one turn of the coordinator decides.
const COMMIT_BATCH: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];
/// From an idle worker to a queue that is stuck for an hour.
const WAIT_SECONDS: &[f64] =
    &[0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 1_800.0, 3_600.0];
/// From a function that returns at once to a job of hours.
const RUN_SECONDS: &[f64] =
    &[0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 1_800.0, 3_600.0];
const REQUEST_SECONDS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

macro_rules! metrics {
    ($($program:ident $kind:ident $(($buckets:ident))? $name:literal $labels:tt $help:literal;)*) => {
        &[$(Description {
            name: $name,
            kind: Kind::$kind$(($buckets))?,
            labels: &$labels,
            program: Program::$program,
            help: $help,
        },)*]
    };
}

pub(crate) use metrics;

static METRICS: &[Description] = metrics! {
    Coordinator Counter "tinpot_executions_accepted_total" ["action", "queue"]
        "Executions that were accepted";
    Coordinator Counter "tinpot_executions_ended_total" ["action", "queue", "status"]
        "Executions that have ended, by their last status";
    Coordinator Counter "tinpot_attempts_total" ["outcome"]
        "Attempts that may have run and have ended";
    Coordinator Counter "tinpot_attempts_lost_total" ["queue"]
        "Attempts whose outcome is not known, because their worker went away";
    Coordinator Histogram(WAIT_SECONDS) "tinpot_queue_wait_seconds" ["queue"]
        "Time from which on an execution could run until a worker got its attempt";
    Coordinator Histogram(RUN_SECONDS) "tinpot_run_seconds" ["action", "status"]
        "Run times of attempts, as their workers reported them";
    Coordinator Gauge "tinpot_queue_depth" ["queue", "state"]
        "Executions that have not ended: waiting for a worker, granted to one, or delayed";
    Coordinator Gauge "tinpot_queue_oldest_seconds" ["queue"]
        "Age of the execution that has waited for a worker the longest; 0 if none waits";
    Coordinator Gauge "tinpot_queue_paused" ["queue"]
        "1 if the queue is paused";
    Coordinator Gauge "tinpot_workers" ["state"]
        "Workers: live, silent (they have missed heartbeats), or draining";
    Coordinator Gauge "tinpot_worker_slots" ["queue", "state"]
        "Slots of the workers that serve the queue, busy and free; a worker of several queues counts in each";
    Coordinator Counter "tinpot_lease_expiries_total" []
        "Workers that were given up, because their leases have expired";
    Coordinator Counter "tinpot_dispatch_resends_total" []
        "Dispatches that were sent again, because no worker had answered";
    Coordinator Counter "tinpot_log_bytes_total" ["stream"]
        "Text of log lines in the store, in bytes";
    Both Counter "tinpot_log_cut_total" ["reason"]
        "Logs that are not complete: longer than the limit of the worker, or lost on the way";
    Coordinator Histogram(COMMIT_SECONDS) "tinpot_store_commit_seconds" []
        "Times that the store took to commit a batch of transitions";
    Coordinator Histogram(COMMIT_BATCH) "tinpot_store_commit_batch" []
        "Transitions in a batch";
    Coordinator Counter "tinpot_store_commit_failures_total" []
        "Commits that failed and are tried again";
    Coordinator Gauge "tinpot_store_problems" ["blocking"]
        "Known problems of the store; with a blocking one, it takes nothing new";
    Coordinator Gauge "tinpot_store_bytes" []
        "Size of the files of the store, in bytes; 0 for a store without files";
    Coordinator Gauge "tinpot_store_free_bytes" []
        "Free space on the file system of the store, in bytes; 0 for a store without files";
    Both Gauge "tinpot_transport_up" ["transport"]
        "1 if the transport is connected";
    Both Counter "tinpot_transport_reconnects_total" ["transport"]
        "Connections of the transport after the first one";
    Both Counter "tinpot_frames_total" ["transport", "lane", "direction"]
        "Frames that were sent and received";
    Both Counter "tinpot_frames_refused_total" ["reason"]
        "Frames and messages that were refused";
    Coordinator Counter "tinpot_http_requests_total" ["method", "route", "code"]
        "Requests that were answered; a path without a route counts as unmatched";
    Coordinator Histogram(REQUEST_SECONDS) "tinpot_http_request_seconds" ["method", "route"]
        "Times until the head of an answer";
    Coordinator Gauge "tinpot_http_streams" []
        "Open event streams";
    Coordinator Counter "tinpot_auth_failures_total" ["kind"]
        "Requests that were not authenticated: without a credential, with one that is refused, expired or malformed, or with a wrong password";
    Coordinator Counter "tinpot_deploys_total" ["result"]
        "Deploys of apps: with a new version, with an earlier one that is active again, without a change, refused, or failed";
    Worker Counter "tinpot_cache_requests_total" ["kind", "result"]
        "Bundles and Python environments that attempts needed: in the cache (hit) or not (miss)";
    Worker Gauge "tinpot_cache_bytes" ["kind"]
        "Size of the bundles and Python environments in the cache, as of the last change by this worker, in bytes";
    Worker Histogram(RUN_SECONDS) "tinpot_setup_seconds" ["step"]
        "Times until a bundle was fetched and unpacked, or a Python environment was built";
    Worker Gauge "tinpot_worker_attempts" []
        "Attempts that have started and not ended";
    Worker Gauge "tinpot_worker_slots_configured" []
        "Slots of the worker";
    Worker Histogram(RUN_SECONDS) "tinpot_worker_run_seconds" ["action", "status"]
        "Run times of attempts";
    Both Gauge "tinpot_build_info" ["version"]
        "1; the label has the version of the program";
    // Names that Prometheus has for the process of every program.
    Both Counter "process_cpu_seconds_total" [] "Processor time of the process, in seconds";
    Both Gauge "process_open_fds" [] "Open file descriptors";
    Both Gauge "process_max_fds" [] "Open file descriptors that the system allows";
    Both Gauge "process_virtual_memory_bytes" [] "Virtual memory, in bytes";
    Both Gauge "process_resident_memory_bytes" [] "Resident memory, in bytes";
    Both Gauge "process_start_time_seconds" []
        "Start of the process, in seconds since the Unix epoch";
    Both Gauge "process_threads" [] "Threads of the process";
};
