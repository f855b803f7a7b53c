//! The metrics of MiniTower: names, labels and meanings.

use crate::descriptions::{Description, Kind, Program, metrics};

const SECONDS: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
const BYTES: &[f64] = &[100.0, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];
/// From 0.1 s on, each twice the one before.
const RUN_SECONDS: &[f64] =
    &[0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2, 102.4, 204.8, 409.6, 819.2, 1638.4];

/// Returns the metrics of [`MinitowerObserver`](crate::MinitowerObserver).
///
/// ```
/// assert!(tinpot_metrics::minitower_descriptions().all(|metric| metric.name.starts_with("minitower_")));
/// ```
pub fn minitower_descriptions() -> impl Iterator<Item = &'static Description> {
    METRICS.iter()
}

static METRICS: &[Description] = metrics! {
    Coordinator Counter "minitower_http_requests_total" ["method", "path", "status"]
        "With tinpot tower: requests to the API of MiniTower; an unknown path counts as unmatched";
    Coordinator Histogram(SECONDS) "minitower_http_request_duration_seconds" ["method", "path"]
        "With tinpot tower: times until the head of an answer";
    Coordinator Histogram(BYTES) "minitower_http_request_size_bytes" ["method", "path"]
        "With tinpot tower: sizes of the bodies of requests, if they have one";
    Coordinator Histogram(BYTES) "minitower_http_response_size_bytes" ["method", "path"]
        "With tinpot tower: sizes of the bodies of answers, if they have one of a known size";
    Coordinator Counter "minitower_runs_created_total" ["team", "app"]
        "With tinpot tower: runs that were accepted";
    Coordinator Counter "minitower_runs_completed_total" ["team", "app", "status"]
        "With tinpot tower: runs that have ended";
    Coordinator Counter "minitower_runs_retried_total" ["team", "app"]
        "With tinpot tower: runs that wait again after a lost attempt";
    Coordinator Counter "minitower_runs_leased_total" ["environment"]
        "With tinpot tower: attempts that were given to a worker or a runner";
    Coordinator Counter "minitower_runners_registered_total" ["environment"]
        "With tinpot tower: runners that have registered under a new name";
    Coordinator Histogram(RUN_SECONDS) "minitower_run_queue_wait_seconds" ["team", "app"]
        "With tinpot tower: times from which on a run could start until a worker got its attempt";
    Coordinator Histogram(RUN_SECONDS) "minitower_run_execution_seconds" ["team", "app", "status"]
        "With tinpot tower: run times of attempts";
    Coordinator Histogram(RUN_SECONDS) "minitower_run_total_seconds" ["team", "app", "status"]
        "With tinpot tower: times from the acceptance of a run to its end";
    Coordinator Gauge "minitower_runs_pending" ["team", "app", "environment"]
        "With tinpot tower: runs that wait for a worker";
    Coordinator Gauge "minitower_runners_online" ["environment"]
        "With tinpot tower: workers and runners that can take runs";
};

/// Returns the description of a metric.
pub(crate) fn description(name: &str) -> Option<&'static Description> {
    METRICS.iter().find(|metric| metric.name == name)
}
