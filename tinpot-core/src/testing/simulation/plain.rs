//! Workers whose frames others can read: no execution with secret parameters may reach them.

use super::network::index_of;
use super::store::SimulatedStore;
use super::world::{Checked, broken};
use crate::model::id::{ExecutionId, WorkerId};
use crate::testing::Random;

/// The workers with plain frames, and the executions with secrets. Neither takes part in the random
/// choices of the history.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PlainWorkers {
    /// `None` if all workers get secrets.
    seed: Option<u64>,
}

impl PlainWorkers {
    pub(super) fn new(seed: u64, sealed: bool) -> Self {
        Self { seed: (!sealed && seed.is_multiple_of(2)).then_some(seed) }
    }

    fn draw(self, what: u64) -> Option<u64> {
        Some(Random::new(self.seed? ^ what.wrapping_mul(0x9e37_79b9_7f4a_7c15)).number())
    }

    /// Returns true if the frames of this start of a worker are plain. Those of the first worker
    /// are not, so that every execution can end.
    pub(super) fn has(self, worker: &WorkerId) -> bool {
        let start = worker
            .as_str()
            .bytes()
            .fold(1, |hash: u64, byte| hash << 5 ^ hash >> 59 ^ u64::from(byte));
        index_of(worker) > 0 && self.draw(start).is_some_and(|drawn| drawn.is_multiple_of(2))
    }

    /// Returns the places of the secrets of a submission.
    pub(super) fn secrets_of(self, submission: usize) -> Vec<String> {
        let drawn = self.draw(!(submission as u64));
        let is_secret = drawn.is_some_and(|drawn| drawn.is_multiple_of(3));
        is_secret.then(|| "/secret".to_owned()).into_iter().collect()
    }

    /// Checks I21 for a grant: an execution with secret parameters goes to no worker with plain
    /// frames.
    pub(super) fn granted(
        self,
        worker: &WorkerId,
        id: ExecutionId,
        store: &SimulatedStore,
    ) -> Checked {
        let is_secret = store.execution(id).is_some_and(|found| !found.secrets.is_empty());
        match is_secret && self.has(worker) {
            true => {
                broken("I21", format!("{worker} has plain frames, and gets the secrets of {id}"))
            }
            false => Ok(()),
        }
    }
}
