//! Measures of the coordinator's tasks, for an observer.

use std::time::Duration;

use tokio::time::Instant;

use super::core::Core;
use super::{Command, Coordinator, Shared};
use crate::model::error::Result;
use crate::model::log::LogBatch;
use crate::model::outcome::Outcome;
use crate::model::status::Status;
use crate::model::time::Timestamp;
use crate::model::transition::Transition;
use crate::observer::{LogCut, Measure, Observer};
use crate::protocol::{Subject, Tally};

impl Coordinator {
    /// Passes the present state to the [observer](super::CoordinatorBuilder::observer): queues,
    /// workers, and the known problems of the store. Call it before metrics are read. Without an
    /// observer, it does nothing.
    ///
    /// # Errors
    /// `Closed` after the shutdown.
    pub async fn measure(&self) -> Result<()> {
        let Some(observer) = &self.shared.observer else { return Ok(()) };
        observer.observe(&Measure::StoreProblems(&self.shared.store.problems()));
        self.ask(Command::Measure).await
    }
}

/// Measures a batch that was committed at `at`, before the core forgets it.
pub(super) fn committed(observer: &dyn Observer, core: &Core, at: Timestamp, took: Duration) {
    let batch = core.batch();
    observer.observe(&Measure::Committed { transitions: batch.len(), took });
    for transition in batch {
        if let Transition::Accept(execution) = transition {
            observer.observe(&Measure::Accepted { execution });
            continue;
        }
        let Some(subject) = transition.execution().and_then(|id| core.subject(id)) else {
            continue;
        };
        let Subject { execution, queued_at } = subject;
        observer.observe(&Measure::Changed { execution, transition, at });
        match transition {
            Transition::Grant { .. } => {
                let waited = Duration::from_micros(at.0.saturating_sub(queued_at.0));
                observer.observe(&Measure::Granted { execution, waited });
            }
            Transition::Requeue { outcome: Some(outcome), ran, .. } => {
                let (status, ran) = (outcome.status(), *ran);
                observer.observe(&Measure::AttemptEnded { execution, status, ran });
            }
            Transition::Finish { fence, outcome, ran, .. } => {
                if fence.is_some() {
                    let (status, ran) = (of_attempt(outcome), *ran);
                    observer.observe(&Measure::AttemptEnded { execution, status, ran });
                }
                observer.observe(&Measure::Ended { execution, status: outcome.status() });
            }
            _ => {}
        }
    }
}

/// Returns the status of the attempt that ended its execution with this outcome.
fn of_attempt(outcome: &Outcome) -> Status {
    if outcome.is_poisoned() { Status::Lost } else { outcome.status() }
}

/// Measures the counts of the machine that have grown.
pub(super) fn counted(observer: &dyn Observer, before: &mut Tally, now: Tally) {
    let expired = now.leases_expired - before.leases_expired;
    if expired > 0 {
        observer.observe(&Measure::LeasesExpired(expired));
    }
    let resent = now.dispatches_resent - before.dispatches_resent;
    if resent > 0 {
        observer.observe(&Measure::DispatchesResent(resent));
    }
    *before = now;
}

/// Measures the present state.
pub(super) fn state(observer: &dyn Observer, core: &Core) {
    observer.observe(&Measure::Queues(&core.queues()));
    observer.observe(&Measure::Workers(&core.loads()));
}

/// Measures lines that are in the store.
pub(super) fn stored(observer: &dyn Observer, batches: &[LogBatch]) {
    for batch in batches {
        for chunk in &batch.chunks {
            let bytes = chunk.lines.iter().map(|line| line.len() as u64).sum();
            observer.observe(&Measure::LogBytes { stream: chunk.stream, bytes });
        }
        // Only the line that marks a gap ends a log.
        if batch.ends {
            observer.observe(&Measure::LogCut(LogCut::Lost));
        }
    }
}

impl Shared {
    /// Returns the time if something measures.
    pub(super) fn clock(&self) -> Option<Instant> {
        self.observer.as_ref().map(|_| Instant::now())
    }
}
