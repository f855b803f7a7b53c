//! The reads that a coordinator's machine asks for, in simulated time.

use std::time::Duration;

use super::Input;
use crate::coordinator::{Answer, CallAnswer, CallFound, prepare_call};
use crate::model::error::Result;
use crate::model::execution::Execution;
use crate::model::id::ExecutionId;
use crate::model::json::Json;
use crate::protocol::{GivenSecret, PendingCall, Read, SecretState};
use crate::testing::simulation::events::{Event, Happening, Host};
use crate::testing::simulation::world::{Checked, World};

/// The longest time that a fast read takes.
const QUICK: Duration = Duration::from_millis(2);
/// A size above the parameters of any simulated call.
const MAX_PARAMETERS_BYTES: usize = 1024;

/// Returns the secret that attempts at an execution get.
pub(in super::super) fn secret_of(execution: ExecutionId) -> String {
    format!("the secret of {execution}")
}

impl World {
    /// Starts a read. It may miss what is committed from now on.
    pub(super) fn begin_read(&mut self, index: usize, read: Read) {
        let longest = match self.random.chance(self.plan.slow_commit_chance) {
            true => self.plan.slow_commit,
            false => QUICK,
        };
        let (after, process) = (self.random.duration(longest), &self.coordinators[index]);
        let (life, commits) = (process.life, process.commits());
        let happening = Happening::Reads(Box::new(read), commits);
        self.after(after, Event::To(Host::Coordinator(index), life, happening));
    }

    /// Performs a read on the present state of the store.
    pub(super) fn read(&mut self, index: usize, read: Read, commits: u64) -> Checked {
        let answer = match read {
            Read::Call(call) => {
                let found = self.find(index, &call);
                Answer::Call(Box::new(CallAnswer { call: *call, commits, found }))
            }
            Read::Secret(pending) => {
                let value = secret_of(pending.execution.id);
                Answer::Secret(pending, SecretState::Given(GivenSecret::new(1, value)))
            }
            Read::Epoch => Answer::Epoch(Some(self.store.synced.latest())),
            Read::Outcome(id) => Answer::Outcome(id, self.store.execution(id).cloned()),
            Read::Children(cascade) => {
                let options = cascade.options();
                let children = self.store.synced.executions(&options, options.page_size());
                Answer::Children(cascade, children)
            }
        };
        self.tell(|| format!("c{index} has read: {answer:?}"));
        self.coordinators[index].inbox.push_back(Input::Answer(answer));
        self.turn(index)
    }

    fn find(&mut self, index: usize, call: &PendingCall) -> Result<CallFound> {
        let (id, wall) = (self.new_id(), self.wall(index));
        let catalogue = self.coordinators[index].core.catalogue();
        let prepared = prepare_call(catalogue, MAX_PARAMETERS_BYTES, call, id, wall);
        let execution = match prepared {
            Ok(execution) => execution,
            Err(error) => {
                // The checks index their records by id.
                self.checks.submitted(&Execution::new(id, "refused", Json::empty_object()));
                return Err(error);
            }
        };
        let earlier = match (call.known, &execution.idempotency_key) {
            (Some(known), _) => Some(known),
            (None, Some(key)) => self.store.with_key(key),
            (None, None) => None,
        };
        let earlier = earlier.and_then(|id| self.store.execution(id)).cloned();
        self.checks.submitted(&execution);
        Ok(CallFound { execution, earlier })
    }

    /// Returns an id above all earlier ones, with an index of its own in the checks.
    pub(in super::super) fn new_id(&mut self) -> ExecutionId {
        self.client.ids += 1;
        let number = u128::from(self.client.ids) << 64 | u128::from(self.random.number());
        ExecutionId::from_u128(number)
    }
}
