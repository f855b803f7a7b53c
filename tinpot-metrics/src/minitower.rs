//! Metrics under the names of MiniTower.

mod descriptions;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus::{Histogram, HistogramVec, IntCounterVec, IntGaugeVec, Registry, TextEncoder};
use tinpot_core::observer::{Measure, Observer};
use tinpot_core::{Execution, ExecutionId, Result, Status, Timestamp};

pub(crate) use self::descriptions::description;
pub use self::descriptions::minitower_descriptions;
use crate::bounded::{Bounded, OTHER, Pairs};
use crate::series::Maker;

/// The maximum number of teams in labels.
const TEAMS: usize = 100;
/// The maximum number of apps in labels.
const APPS: usize = 500;
/// The maximum number of pairs of a team and an app.
const PAIRS: usize = 1_000;
/// The maximum number of environments in labels.
const ENVIRONMENTS: usize = 100;
/// The methods in labels.
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/// Counts what MiniTower counts, under the names, labels and buckets that its dashboards use.
///
/// Pass it to the coordinator as an observer, besides a [`PrometheusObserver`](crate::PrometheusObserver),
/// and tell it of requests. Only executions of deployed apps are runs.
///
/// ```
/// use std::time::Duration;
/// use tinpot_metrics::{MinitowerObserver, MinitowerRequest};
///
/// # fn main() -> tinpot_core::Result<()> {
/// let metrics = MinitowerObserver::new(|team| Some(format!("slug-of-{team}").into()))?;
/// metrics.request(&MinitowerRequest::new("POST", "/api/v1/apps", 201, Duration::ZERO));
/// let line = "minitower_http_requests_total{method=\"POST\",path=\"/api/v1/apps\",status=\"201\"} 1";
/// assert!(metrics.render().contains(line));
/// # Ok(())
/// # }
/// ```
pub struct MinitowerObserver {
    registry: Registry,
    requests: IntCounterVec,
    request_seconds: HistogramVec,
    request_bytes: HistogramVec,
    response_bytes: HistogramVec,
    created: IntCounterVec,
    completed: IntCounterVec,
    retried: IntCounterVec,
    leased: IntCounterVec,
    registered: IntCounterVec,
    wait_seconds: HistogramVec,
    execution_seconds: HistogramVec,
    total_seconds: HistogramVec,
    pending: IntGaugeVec,
    online: IntGaugeVec,
    teams: Bounded,
    apps: Bounded,
    pairs: Pairs,
    environments: Bounded,
    slug_of: Box<SlugOf>,
    /// The run whose attempt was lost last, until the next measure tells whether it has ended.
    lost: Mutex<Option<Lost>>,
}

/// The slug of a team.
type SlugOf = dyn Fn(&str) -> Option<Arc<str>> + Send + Sync;

struct Lost {
    execution: ExecutionId,
    team: Arc<str>,
    app: Arc<str>,
}

/// A request that was answered.
///
/// [`MinitowerObserver`] has an example.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct MinitowerRequest<'a> {
    /// The method.
    pub method: &'a str,
    /// The path, as a template.
    pub path: &'a str,
    /// The status of the answer.
    pub status: u16,
    /// The time until the head of the answer.
    pub took: Duration,
    /// The size of the body of the request; 0 if there is none.
    pub request_bytes: u64,
    /// The size of the body of the answer; 0 if there is none, or if it is not known.
    pub response_bytes: u64,
}

impl<'a> MinitowerRequest<'a> {
    /// Describes a request without bodies.
    pub fn new(method: &'a str, path: &'a str, status: u16, took: Duration) -> Self {
        Self { method, path, status, took, request_bytes: 0, response_bytes: 0 }
    }

    /// Sets the sizes of the bodies.
    #[must_use]
    pub fn bytes(mut self, request: u64, response: u64) -> Self {
        (self.request_bytes, self.response_bytes) = (request, response);
        self
    }
}

/// The runs of an app that wait.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MinitowerPending {
    /// The id of the team.
    pub team: Arc<str>,
    /// The name of the app.
    pub app: Arc<str>,
    /// The environment: the queue.
    pub environment: Arc<str>,
    /// The number of runs.
    pub runs: u64,
}

impl MinitowerPending {
    /// Counts runs of an app of the team with this id.
    pub fn new(
        team: impl Into<Arc<str>>,
        app: impl Into<Arc<str>>,
        environment: impl Into<Arc<str>>,
        runs: u64,
    ) -> Self {
        Self { team: team.into(), app: app.into(), environment: environment.into(), runs }
    }
}

impl MinitowerObserver {
    /// Creates the observer. `slug_of` returns the slug of the team with an id.
    ///
    /// # Errors
    /// `Other` if a metric cannot be registered, which is a bug.
    pub fn new(slug_of: impl Fn(&str) -> Option<Arc<str>> + Send + Sync + 'static) -> Result<Self> {
        let registry = Registry::new();
        let maker = Maker(&registry);
        let observer = Self {
            requests: maker.counter("minitower_http_requests_total")?,
            request_seconds: maker.histogram("minitower_http_request_duration_seconds")?,
            request_bytes: maker.histogram("minitower_http_request_size_bytes")?,
            response_bytes: maker.histogram("minitower_http_response_size_bytes")?,
            created: maker.counter("minitower_runs_created_total")?,
            completed: maker.counter("minitower_runs_completed_total")?,
            retried: maker.counter("minitower_runs_retried_total")?,
            leased: maker.counter("minitower_runs_leased_total")?,
            registered: maker.counter("minitower_runners_registered_total")?,
            wait_seconds: maker.histogram("minitower_run_queue_wait_seconds")?,
            execution_seconds: maker.histogram("minitower_run_execution_seconds")?,
            total_seconds: maker.histogram("minitower_run_total_seconds")?,
            pending: maker.gauge("minitower_runs_pending")?,
            online: maker.gauge("minitower_runners_online")?,
            teams: Bounded::new(TEAMS),
            apps: Bounded::new(APPS),
            pairs: Pairs::new(PAIRS),
            environments: Bounded::new(ENVIRONMENTS),
            slug_of: Box::new(slug_of),
            lost: Mutex::default(),
            registry,
        };
        Ok(observer)
    }

    /// Counts a request that was answered.
    pub fn request(&self, request: &MinitowerRequest<'_>) {
        let MinitowerRequest { path, status, took, .. } = *request;
        let method = METHODS.iter().find(|known| **known == request.method).map_or(OTHER, |m| m);
        self.requests.with_label_values(&[method, path, &status.to_string()]).inc();
        let labels = [method, path];
        self.request_seconds.with_label_values(&labels).observe(took.as_secs_f64());
        for (bytes, sizes) in [
            (request.request_bytes, &self.request_bytes),
            (request.response_bytes, &self.response_bytes),
        ] {
            if bytes > 0 {
                sizes.with_label_values(&labels).observe(bytes as f64);
            }
        }
    }

    /// Counts the first registration of a runner.
    pub fn runner_registered(&self, environment: &str) {
        self.registered.with_label_values(&[self.environments.label(environment)]).inc();
    }

    /// Replaces the numbers of waiting runs, before a scrape.
    pub fn set_pending(&self, pending: &[MinitowerPending]) {
        self.pending.reset();
        for MinitowerPending { team, app, environment, runs } in pending {
            let team = self.team_of(team);
            let [team, app] = self.labels(&team, app);
            let labels = [team, app, self.environments.label(environment)];
            self.pending.with_label_values(&labels).add(i64::try_from(*runs).unwrap_or(i64::MAX));
        }
    }

    /// Replaces the environments of the runners that are online, before a scrape: one for each.
    pub fn set_online<'a>(&self, environments: impl IntoIterator<Item = &'a str>) {
        self.online.reset();
        for environment in environments {
            self.online.with_label_values(&[self.environments.label(environment)]).inc();
        }
    }

    /// Returns all metrics in the text format of Prometheus, version 0.0.4.
    pub fn render(&self) -> String {
        self.settle(None);
        // Fails only for a metric without series, which `gather` leaves out.
        TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap_or_default()
    }

    fn team_of(&self, id: &str) -> Arc<str> {
        (self.slug_of)(id).unwrap_or_else(|| OTHER.into())
    }

    fn labels<'a>(&self, team: &'a str, app: &'a str) -> [&'a str; 2] {
        let (team, app) = (self.teams.label(team), self.apps.label(app));
        [team, self.pairs.second(team, app)]
    }

    /// Counts a lost attempt as retried, unless its run has ended with it.
    fn settle(&self, ended: Option<ExecutionId>) {
        let lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Lost { team, app, .. }) = lost.filter(|lost| ended != Some(lost.execution)) {
            self.retried.with_label_values(&self.labels(&team, &app)).inc();
        }
    }

    fn seconds(&self, of: &HistogramVec, execution: &Execution, status: Status) -> Histogram {
        let team = self.team_of(execution.team_name());
        let [team, app] = self.labels(&team, &execution.action);
        of.with_label_values(&[team, app, name_of(status)])
    }

    fn take(&self, measure: &Measure<'_>) {
        match measure {
            Measure::Accepted { execution } => {
                let team = self.team_of(execution.team_name());
                self.created.with_label_values(&self.labels(&team, &execution.action)).inc();
            }
            Measure::Granted { execution, waited } => {
                let team = self.team_of(execution.team_name());
                let labels = self.labels(&team, &execution.action);
                self.wait_seconds.with_label_values(&labels).observe(waited.as_secs_f64());
                let environment = self.environments.label(&execution.queue);
                self.leased.with_label_values(&[environment]).inc();
            }
            Measure::AttemptEnded { execution, status: Status::Lost, .. } => {
                let (team, app) = (self.team_of(execution.team_name()), execution.action.clone());
                let lost = Lost { execution: execution.id, team, app };
                *self.lost.lock().unwrap_or_else(PoisonError::into_inner) = Some(lost);
            }
            Measure::AttemptEnded { execution, status, ran: Some(ran) } => {
                self.seconds(&self.execution_seconds, execution, *status)
                    .observe(ran.as_secs_f64());
            }
            Measure::Ended { execution, status } => {
                let team = self.team_of(execution.team_name());
                let [team, app] = self.labels(&team, &execution.action);
                self.completed.with_label_values(&[team, app, name_of(*status)]).inc();
                let micros = Timestamp::now().0.saturating_sub(execution.accepted_at.0);
                self.seconds(&self.total_seconds, execution, *status)
                    .observe(Duration::from_micros(micros).as_secs_f64());
            }
            _ => {}
        }
    }
}

/// Returns the status of a run whose execution has this one.
fn name_of(status: Status) -> &'static str {
    match status {
        Status::Succeeded => "completed",
        Status::Cancelled => "cancelled",
        Status::Lost => "dead",
        _ => "failed",
    }
}

impl Observer for MinitowerObserver {
    fn observe(&self, measure: &Measure<'_>) {
        let (Measure::Accepted { execution }
        | Measure::Granted { execution, .. }
        | Measure::AttemptEnded { execution, .. }
        | Measure::Ended { execution, .. }) = measure
        else {
            return;
        };
        let ended = matches!(measure, Measure::Ended { .. }).then_some(execution.id);
        self.settle(ended);
        if execution.is_run_of_app() {
            self.take(measure);
        }
    }
}

impl fmt::Debug for MinitowerObserver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MinitowerObserver").finish_non_exhaustive()
    }
}
