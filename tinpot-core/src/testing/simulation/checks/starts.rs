//! Invariants of the start and the end of attempts.

use super::{Checks, place};
use crate::model::fence::Fence;
use crate::model::id::{ExecutionId, WorkerId};
use crate::protocol::Dispatch;
use crate::testing::simulation::store::SimulatedStore;
use crate::testing::simulation::world::{Checked, broken};

impl Checks {
    /// Checks that a worker may start an attempt.
    pub(in super::super) fn started(
        &mut self,
        worker: &WorkerId,
        dispatch: &Dispatch,
        store: &SimulatedStore,
    ) -> Checked {
        let Dispatch { fence, execution: id, .. } = *dispatch;
        let in_bounds = self.in_bounds;
        let Some(attempt) = self.attempts.get_mut(&fence) else {
            return broken("I5", format!("{fence} starts, and was never committed"));
        };
        if attempt.execution != id || attempt.worker != *worker {
            let what = format!(
                "{fence} starts on {worker} for {id}, granted to {} for {}",
                attempt.worker, attempt.execution
            );
            return broken("I5", what);
        }
        if std::mem::replace(&mut attempt.started, true) {
            return broken("I3", format!("{fence} is started twice"));
        }
        let track = self.track(id)?;
        // A restored store does not know the grants of its earlier instance.
        track.starts += u32::from(fence.epoch.instance == store.instance() || !track.put_back);
        if track.retry.is_never() && track.starts > 1 {
            return broken("I3", format!("{id} may be started once, and is started again"));
        }
        if dispatch.bundle != track.bundle {
            let (bundle, pinned) = (&dispatch.bundle, &track.bundle);
            return broken(
                "I19",
                format!("{fence} starts {bundle:?}: {id} is pinned to {pinned:?}"),
            );
        }
        let secrets = store.execution(id).map(|execution| &execution.secrets);
        if dispatch.bundle.is_some() && secrets.is_some_and(|secrets| *secrets != dispatch.secrets)
        {
            return broken("secrets", format!("{fence} starts without the places of its secrets"));
        }
        let track = self.track(id)?;
        track.alive.push(fence);
        let may_overlap = track.put_back || !in_bounds;
        if let ([other, _, ..], false) = (&track.alive[..], may_overlap) {
            return broken("I1", format!("{id}: {fence} starts while {other} is alive"));
        }
        if !in_bounds || fence.epoch.instance != store.instance() {
            return Ok(());
        }
        let execution = store.execution(id);
        if execution.and_then(|execution| execution.live_attempt()).map(|live| live.fence)
            != Some(fence)
        {
            return broken("I5", format!("{fence} starts, and is over as far as the store knows"));
        }
        Ok(())
    }

    /// Notes that an executor could not start an attempt: its code has not run.
    pub(in super::super) fn never_ran(&mut self, id: ExecutionId, fence: Fence) {
        if let Some(attempt) = self.attempts.get_mut(&fence) {
            attempt.started = false;
        }
        if let Some(track) = self.tracks.get_mut(place(id)) {
            track.starts = track.starts.saturating_sub(1);
        }
    }

    /// Notes that nothing of an attempt is alive any more.
    pub(in super::super) fn ended(&mut self, id: ExecutionId, fence: Fence) {
        if let Some(track) = self.tracks.get_mut(place(id)) {
            track.alive.retain(|alive| *alive != fence);
        }
    }
}
