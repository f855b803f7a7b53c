//! Invariants of transitions.

use std::time::Duration;

use super::{Attempt, Checks, place};
use crate::model::execution::Execution;
use crate::model::id::{ExecutionId, WorkerId};
use crate::model::outcome::Outcome;
use crate::model::retry::{RetryOn, RetryPolicy};
use crate::model::time::Timestamp;
use crate::model::transition::Transition;
use crate::testing::simulation::store::SimulatedStore;
use crate::testing::simulation::world::{Checked, broken};

impl Checks {
    /// Checks a decision of the coordinator at `wall`. I10: the schedule is a pure function of
    /// policy, execution and attempt. Also, nothing starts after it has expired.
    pub(in super::super) fn decided(&self, transition: &Transition, wall: Timestamp) -> Checked {
        if let Transition::Grant { execution, .. } = transition
            && let Some(track) = self.tracks.get(place(*execution))
            && track.expires.is_some_and(|at| at <= wall)
        {
            return broken("expiry", format!("{execution} has expired, and is granted"));
        }
        let Transition::Requeue { execution, fence, outcome: Some(_), not_before, .. } = transition
        else {
            return Ok(());
        };
        let Some(attempt) = self.attempts.get(fence) else { return Ok(()) };
        let Some(track) = self.tracks.get(place(*execution)) else { return Ok(()) };
        let delay = delay(&track.retry, *execution, attempt.number);
        let expected = (!delay.is_zero()).then(|| Timestamp(wall.0 + delay.as_micros() as u64));
        if *not_before != expected {
            let what = format!(
                "{execution} waits until {not_before:?} after attempt {}: {expected:?} is right",
                attempt.number
            );
            return broken("I10", what);
        }
        Ok(())
    }

    /// Checks a transition that is about to be committed, on the store as it was before.
    pub(in super::super) fn commits(
        &mut self,
        transition: &Transition,
        store: &SimulatedStore,
        wall: Timestamp,
    ) -> Checked {
        let Some(id) = transition.execution() else { return Ok(()) };
        self.ends_children(transition, wall)?;
        if let Transition::Accept(execution) = transition {
            if let Some(parent) = execution.parent {
                self.accepts_child(execution, parent, store)?;
            }
            let number = execution.number;
            if number <= self.last_number {
                return broken("numbers", format!("number {number} follows {}", self.last_number));
            }
            self.last_number = number;
            let track = self.track(id)?;
            track.unfinished = true;
            track.queued = wall;
            if execution.bundle != track.bundle {
                return broken("I19", format!("{id} is accepted with {:?}", execution.bundle));
            }
            let refused = track.refused;
            self.unfinished += 1;
            return match refused {
                true => broken("I7", format!("{id} was refused, and is accepted")),
                false => Ok(()),
            };
        }
        let Some(execution) = store.execution(id) else {
            return broken("I7", format!("{id} changes, and is not in the store"));
        };
        match transition {
            Transition::Grant { fence, attempt, worker, .. } => {
                if self.last_grant.is_some_and(|before| before >= *fence) {
                    return broken("I4", format!("{fence} follows {:?}", self.last_grant));
                }
                self.last_grant = Some(*fence);
                let granted = Attempt {
                    execution: id,
                    worker: worker.clone(),
                    number: *attempt,
                    started: false,
                    reported: None,
                    written: None,
                    stored: 0,
                    marked: false,
                };
                self.attempts.insert(*fence, granted);
                self.grants(execution, worker, *attempt, store, wall)
            }
            Transition::Requeue { fence, outcome, .. } => {
                self.track(id)?.queued = wall;
                let ran = self.attempts.get(fence).is_some_and(|attempt| attempt.started);
                let Some(outcome) = outcome else {
                    return match ran {
                        true => broken("I3", format!("{fence} was started, and never ran?")),
                        false => Ok(()),
                    };
                };
                self.true_outcome(*fence, outcome)?;
                let track = self.track(id)?;
                track.tries += 1;
                track.lost += u32::from(*outcome == Outcome::Lost);
                let over = match outcome {
                    Outcome::Succeeded(_) | Outcome::Cancelled => Some("it is done"),
                    _ if track.tries > track.retry.retries => Some("its policy allows no more"),
                    Outcome::Failed(_) | Outcome::TimedOut if track.retry.on == RetryOn::Lost => {
                        Some("its policy is for losses only")
                    }
                    Outcome::Lost if track.lost >= track.retry.max_lost_attempts => {
                        Some("it is poisoned")
                    }
                    _ => None,
                };
                match over {
                    Some(why) => broken("I10", format!("{id} is to be tried again: {why}")),
                    None => Ok(()),
                }
            }
            Transition::Finish { fence, outcome, .. } => {
                self.unfinished -= 1;
                self.track(id)?.unfinished = false;
                match fence {
                    Some(fence) => {
                        self.true_outcome(*fence, outcome)?;
                        self.ends_for_good(execution, outcome, store)
                    }
                    None => self.ends_waiting(execution, outcome, store, wall),
                }
            }
            _ => Ok(()),
        }
    }

    fn grants(
        &mut self,
        execution: &Execution,
        worker: &WorkerId,
        attempt: u32,
        store: &SimulatedStore,
        wall: Timestamp,
    ) -> Checked {
        let id = execution.id;
        if let Some(parent) = execution.parent {
            self.grants_child(execution, parent, store)?;
        }
        let track = self.track(id)?;
        if track.cancel_told {
            return broken("I9", format!("{id} is granted after its cancel was acknowledged"));
        }
        if attempt != track.tries + 1 || track.tries > track.retry.retries {
            let what = format!("{id} gets attempt {attempt} after {} tries", track.tries);
            return broken("I10", what);
        }
        if execution.not_before.is_some_and(|at| at > wall) {
            return broken("I10", format!("{id} is granted before its time"));
        }
        if store.is_paused(&execution.queue) {
            return broken("pause", format!("{id} is granted, and its queue is paused"));
        }
        match store.first_waiting(execution, self.plain.has(worker)) {
            Some(first) => broken("order", format!("{id} is granted, and {first} is before it")),
            None => Ok(()),
        }
    }

    /// Checks that the recorded outcome of an attempt is the one that its worker reported.
    fn true_outcome(&self, fence: crate::model::fence::Fence, outcome: &Outcome) -> Checked {
        let reported = self.attempts.get(&fence).and_then(|attempt| attempt.reported.as_ref());
        match outcome {
            Outcome::Lost | Outcome::Cancelled => Ok(()),
            outcome if outcome.reason_not_started().is_some() => {
                broken("I6", format!("{fence} never ran, and has an outcome"))
            }
            outcome if outcome.is_poisoned() || reported == Some(outcome) => Ok(()),
            outcome => {
                let what = format!("{fence} is recorded as {outcome:?}, reported was {reported:?}");
                broken("I6", what)
            }
        }
    }

    /// Checks the end of an execution whose attempt is not retried.
    fn ends_for_good(
        &mut self,
        execution: &Execution,
        outcome: &Outcome,
        store: &SimulatedStore,
    ) -> Checked {
        let id = execution.id;
        // A cancel that its caller passed on was committed before.
        let with_caller = self.may_end_with_caller(execution, store);
        let cancelling = execution.status == crate::Status::Cancelling;
        let track = self.track(id)?;
        let lost = *outcome == Outcome::Lost || outcome.is_poisoned();
        track.tries += 1;
        track.lost += u32::from(lost);
        let retried = lost || track.retry.on == RetryOn::Any;
        let left = track.tries <= track.retry.retries && !cancelling && retried;
        let poisoned = lost && track.lost >= track.retry.max_lost_attempts;
        match outcome {
            Outcome::Succeeded(_) => Ok(()),
            Outcome::Cancelled if track.cancel_asked || with_caller => Ok(()),
            // Its worker received that from a coordinator whose last commits the restored store lacks.
            Outcome::Cancelled if track.put_back && track.cancelled => Ok(()),
            Outcome::Cancelled => {
                broken("I9", format!("{id} is cancelled, but no cancel was asked for"))
            }
            outcome if outcome.is_poisoned() && !poisoned => {
                broken("I10", format!("{id} is not poisoned: {} lost", track.lost))
            }
            outcome if !outcome.is_poisoned() && poisoned && left => {
                broken("I10", format!("{id} is poisoned, and ends as {outcome:?}"))
            }
            _ if left && !poisoned => {
                let what = format!("{id} ends after {} tries: another was due", track.tries);
                broken("I10", what)
            }
            _ => Ok(()),
        }
    }

    /// Checks the end of an execution that still waits.
    fn ends_waiting(
        &mut self,
        execution: &Execution,
        outcome: &Outcome,
        store: &SimulatedStore,
        wall: Timestamp,
    ) -> Checked {
        let id = execution.id;
        if *outcome == Outcome::Cancelled {
            let with_caller = self.may_end_with_caller(execution, store);
            return match self.track(id)?.cancel_asked || with_caller {
                true => Ok(()),
                false => broken("I9", format!("{id} is cancelled, but no cancel was asked for")),
            };
        }
        if *outcome == Outcome::expired() && execution.expires_at.is_some_and(|at| at <= wall) {
            return Ok(());
        }
        broken("I2", format!("{id} waits, and ends as {outcome:?}"))
    }
}

/// Returns the delay that `protocol.md` prescribes. It is a second implementation, to check that of
/// the policy.
fn delay(policy: &RetryPolicy, execution: ExecutionId, attempt: u32) -> Duration {
    fn mix(mut z: u64) -> u64 {
        z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    let backoff = policy.backoff;
    let longest = backoff.max_delay.as_millis() as f64;
    let mut millis = backoff.delay.as_millis() as f64;
    for _ in 1..attempt {
        millis *= backoff.factor;
    }
    let id = execution.as_u128();
    let hash = mix(id as u64 ^ mix((id >> 64) as u64 ^ mix(u64::from(attempt))));
    let spread = (hash >> 11) as f64 / (1_u64 << 53) as f64;
    Duration::from_millis((millis.min(longest) * (1.0 - backoff.jitter * spread)) as u64)
}
