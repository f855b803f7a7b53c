//! The metrics of a coordinator.

use std::time::Duration;

use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec};
use tinpot_core::observer::{DeployEnd, Measure};
use tinpot_core::{Execution, Result, Status, Stream};

use crate::bounded::{Bounded, OTHER, Pairs};
use crate::series::{Maker, NO_LABELS};
use crate::state::StateSeries;

/// The maximum number of actions in labels: what one person can tell apart.
pub(crate) const ACTIONS: usize = 500;
/// The maximum number of queues in labels.
const QUEUES: usize = 100;
/// The maximum number of pairs of an action and a queue: most actions use one queue, some two.
const PAIRS: usize = 1_000;
/// The statuses that an attempt ends with.
const OUTCOMES: [Status; 5] =
    [Status::Succeeded, Status::Failed, Status::Cancelled, Status::TimedOut, Status::Lost];

#[derive(Debug)]
pub(crate) struct CoordinatorSeries {
    accepted: IntCounterVec,
    ended: IntCounterVec,
    attempts: IntCounterVec,
    attempts_lost: IntCounterVec,
    wait_seconds: HistogramVec,
    run_seconds: HistogramVec,
    lease_expiries: IntCounter,
    resends: IntCounter,
    log_bytes: IntCounterVec,
    commit_seconds: Histogram,
    commit_batch: Histogram,
    commit_failures: IntCounter,
    deploys: IntCounterVec,
    actions: Bounded,
    queues: Bounded,
    pairs: Pairs,
    pub(crate) state: StateSeries,
}

impl CoordinatorSeries {
    pub(crate) fn new(maker: &Maker<'_>) -> Result<Self> {
        let counter = |name: &str| maker.counter(name).map(|one| one.with_label_values(NO_LABELS));
        let histogram =
            |name: &str| maker.histogram(name).map(|one| one.with_label_values(NO_LABELS));
        let attempts = maker.counter("tinpot_attempts_total")?;
        for outcome in OUTCOMES {
            // From zero on, so that the first one is seen as an increase.
            attempts.with_label_values(&[outcome.as_str()]);
        }
        let deploys = maker.counter("tinpot_deploys_total")?;
        for end in DeployEnd::ALL {
            deploys.with_label_values(&[end.as_str()]);
        }
        Ok(Self {
            deploys,
            accepted: maker.counter("tinpot_executions_accepted_total")?,
            ended: maker.counter("tinpot_executions_ended_total")?,
            attempts,
            attempts_lost: maker.counter("tinpot_attempts_lost_total")?,
            wait_seconds: maker.histogram("tinpot_queue_wait_seconds")?,
            run_seconds: maker.histogram("tinpot_run_seconds")?,
            lease_expiries: counter("tinpot_lease_expiries_total")?,
            resends: counter("tinpot_dispatch_resends_total")?,
            log_bytes: maker.counter("tinpot_log_bytes_total")?,
            commit_seconds: histogram("tinpot_store_commit_seconds")?,
            commit_batch: histogram("tinpot_store_commit_batch")?,
            commit_failures: counter("tinpot_store_commit_failures_total")?,
            actions: Bounded::new(ACTIONS),
            queues: Bounded::new(QUEUES),
            pairs: Pairs::new(PAIRS),
            state: StateSeries::new(maker)?,
        })
    }

    /// Takes a measure of something that has happened. Returns true if it is one.
    pub(crate) fn take(&self, measure: &Measure<'_>) -> bool {
        match measure {
            Measure::Accepted { execution } => {
                self.accepted.with_label_values(&self.labels(execution)).inc();
            }
            Measure::Granted { execution, waited } => {
                let queue = self.queues.label(&execution.queue);
                self.wait_seconds.with_label_values(&[queue]).observe(waited.as_secs_f64());
            }
            Measure::AttemptEnded { execution, status, ran } => {
                self.attempt_ended(execution, *status, *ran);
            }
            Measure::Ended { execution, status } => {
                let [action, queue] = self.labels(execution);
                self.ended.with_label_values(&[action, queue, status.as_str()]).inc();
            }
            Measure::LeasesExpired(number) => self.lease_expiries.inc_by(*number),
            Measure::DispatchesResent(number) => self.resends.inc_by(*number),
            Measure::Committed { transitions, took } => {
                self.commit_seconds.observe(took.as_secs_f64());
                self.commit_batch.observe(*transitions as f64);
            }
            Measure::CommitFailed => self.commit_failures.inc(),
            Measure::LogBytes { stream, bytes } => {
                self.log_bytes.with_label_values(&[stream_label(*stream)]).inc_by(*bytes);
            }
            Measure::Deployed(end) => self.deploys.with_label_values(&[end.as_str()]).inc(),
            _ => return false,
        }
        true
    }

    /// Takes a measure of the present state, which replaces that of the last scrape.
    pub(crate) fn take_state(&self, measure: &Measure<'_>) {
        self.state.take(measure, &self.queues);
        if let Measure::Queues(queues) = measure {
            for queue in *queues {
                // From zero on, so that the first one is seen as an increase.
                self.attempts_lost.with_label_values(&[self.queues.label(&queue.name)]);
            }
        }
    }

    fn labels<'a>(&self, execution: &'a Execution) -> [&'a str; 2] {
        let action = self.actions.label(&execution.action);
        let queue = self.queues.label(&execution.queue);
        [action, self.pairs.second(action, queue)]
    }

    fn attempt_ended(&self, execution: &Execution, status: Status, ran: Option<Duration>) {
        self.attempts.with_label_values(&[status.as_str()]).inc();
        if status == Status::Lost {
            let queue = self.queues.label(&execution.queue);
            self.attempts_lost.with_label_values(&[queue]).inc();
        }
        if let Some(ran) = ran {
            let action = self.actions.label(&execution.action);
            let series = self.run_seconds.with_label_values(&[action, status.as_str()]);
            series.observe(ran.as_secs_f64());
        }
    }
}

fn stream_label(stream: Stream) -> &'static str {
    match stream {
        Stream::Stdout => "stdout",
        Stream::Stderr => "stderr",
        Stream::Log => "log",
        Stream::System => "system",
        Stream::Event => "event",
        Stream::Data => "data",
        _ => OTHER,
    }
}
