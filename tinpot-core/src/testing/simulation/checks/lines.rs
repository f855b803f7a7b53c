//! I8: the stored log of an attempt is a prefix of what it wrote, without a gap. If lines are
//! missing at the end, the log says so.

use super::{Checks, record};
use crate::model::fence::Fence;
use crate::model::log::LogBatch;
use crate::model::log::Stream;
use crate::model::outcome::Outcome;
use crate::testing::simulation::store::SimulatedStore;
use crate::testing::simulation::worker::line;
use crate::testing::simulation::world::{Checked, broken};

impl Checks {
    /// Checks lines that were stored.
    pub(in super::super) fn appended(
        &mut self,
        batch: &LogBatch,
        store: &SimulatedStore,
    ) -> Checked {
        let execution = store.execution(batch.execution);
        let records = execution.iter().flat_map(|execution| execution.attempts.iter().rev());
        let Some(fence) = records
            .filter(|record| record.number == batch.attempt)
            .map(|record| record.fence)
            .next()
        else {
            return broken("I8", format!("lines of an unknown attempt: {batch:?}"));
        };
        let Some(attempt) = self.attempts.get_mut(&fence) else {
            return broken("I8", format!("lines of {fence}, which was never granted"));
        };
        for chunk in &batch.chunks {
            for text in &chunk.lines {
                if attempt.marked {
                    return broken("I8", format!("{fence}: {text:?} comes after the end"));
                }
                if chunk.stream == Stream::System {
                    attempt.marked = true;
                } else if *text == line(fence, attempt.stored + 1) {
                    attempt.stored += 1;
                } else {
                    let what = format!("{fence}: {text:?} follows line {}", attempt.stored);
                    return broken("I8", what);
                }
            }
        }
        Ok(())
    }

    /// Checks that the store has the lines that a coordinator acknowledges to a worker.
    pub(in super::super) fn log_acknowledged(
        &self,
        fence: Fence,
        seq: u64,
        store: &SimulatedStore,
    ) -> Checked {
        match self.attempts.get(&fence) {
            Some(attempt)
                if seq < u64::MAX
                    && attempt.stored < seq
                    && fence.epoch.instance == store.instance() =>
            {
                let what =
                    format!("{fence}: line {seq} is acknowledged, {} are stored", attempt.stored);
                broken("I8", what)
            }
            _ => Ok(()),
        }
    }

    /// Checks at the end that every incomplete log is marked.
    pub(in super::super) fn logs_are_whole(&self, store: &SimulatedStore) -> Checked {
        for execution in store.all() {
            for number in &execution.attempts {
                let Some(attempt) = self.attempts.get(&number.fence) else { continue };
                let reported = !matches!(number.outcome, None | Some(Outcome::Lost));
                if let Some(written) = attempt.written
                    && reported
                    && attempt.stored < written
                    && !attempt.marked
                {
                    let what = format!(
                        "{}: {} of {written} lines are stored, and nothing says so",
                        number.fence, attempt.stored
                    );
                    return broken("I8", what);
                }
            }
        }
        Ok(())
    }

    /// Takes over the log lines of a restored store.
    pub(super) fn lines_put_back(&mut self, store: &SimulatedStore) {
        for (fence, attempt) in &mut self.attempts {
            (attempt.stored, attempt.marked) = (0, false);
            let Some(execution) = store.execution(attempt.execution) else { continue };
            let Some(record) = record(execution, *fence) else { continue };
            for chunk in store.lines(attempt.execution) {
                for text in &chunk.lines {
                    attempt.stored += u64::from(*text == line(*fence, attempt.stored + 1));
                }
            }
            attempt.marked = record.log_lines > attempt.stored;
        }
    }
}
