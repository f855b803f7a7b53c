//! Teams: the executions of several share a coordinator, its queues and some workers, and nothing of
//! one is granted or shown to another.
//!
//! One person is in all teams, so that nothing but the team tells the executions apart. Teams take no
//! part in the other random choices of a history.

use super::network::index_of;
use super::store::SimulatedStore;
use super::world::{Checked, broken};
use crate::model::execution::{Execution, Owner};
use crate::model::id::{ExecutionId, WorkerId};
use crate::model::page::ListOptions;
use crate::model::visible::{DEFAULT_TEAM, Visible};
use crate::testing::Random;

/// The teams, as executions have them: the default one is empty.
const TEAMS: [&str; 3] = ["", "red", "blue"];
/// The person who submits everything.
const CALLER: &str = "user:1";
/// The executions that a caller looks at in a list.
const PAGE: usize = 50;

/// The teams of a history.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Teams {
    /// `None` if there is only the default team.
    seed: Option<u64>,
}

impl Teams {
    /// Draws whether there are teams: frames that are sealed say to which the workers belong.
    pub(super) fn new(seed: u64, sealed: bool) -> Self {
        Self { seed: (sealed && (seed / 4).is_multiple_of(2)).then_some(seed) }
    }

    /// Returns the teams that the key of a worker is granted; `None` for the default team. The first
    /// worker has all, so that everything can end.
    pub(super) fn granted_to(self, index: usize) -> Option<Vec<String>> {
        self.seed?;
        let granted: &[&str] = match index % 3 {
            0 => &[DEFAULT_TEAM, "red", "blue"],
            1 => &["red"],
            _ => &["blue"],
        };
        Some(granted.iter().map(|team| (*team).to_owned()).collect())
    }

    /// Returns the number of slots of a worker. The first one has many where it alone may have work of
    /// the default team, so that everything ends in time.
    pub(super) fn slots_of(self, index: usize) -> u32 {
        match (self.seed, index) {
            (Some(_), 0) => 4,
            _ => 1 + index as u32 % 3,
        }
    }

    /// Turns a submission into one of a team. Several teams use the same idempotency keys.
    pub(super) fn change(self, submission: usize, wanted: &mut Execution, is_deployed: bool) {
        let Some(seed) = self.seed.filter(|_| !is_deployed) else { return };
        let group = submission / TEAMS.len();
        wanted.team = TEAMS[submission % TEAMS.len()].into();
        wanted.caller = CALLER.into();
        let mut random = Random::new(seed ^ (group as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let is_keyed = random.chance(0.3);
        let owner = Owner::of(wanted);
        wanted.idempotency_key = is_keyed.then(|| owner.idempotency_key(&format!("mine {group}")));
    }

    /// Checks I22 for a grant: the worker's key is granted the team of the execution.
    pub(super) fn granted(self, worker: &WorkerId, execution: &Execution) -> Checked {
        let Some(granted) = self.granted_to(index_of(worker)) else { return Ok(()) };
        let (id, team) = (execution.id, execution.team_name());
        match granted.iter().any(|granted| granted == team) {
            true => Ok(()),
            false => broken("I22", format!("{id} of team {team} goes to {worker}, of {granted:?}")),
        }
    }

    /// Checks I22 for a call: it belongs to the team and to the caller of its root.
    pub(super) fn called(child: &Execution, caller: &Execution) -> Checked {
        if (&child.team, &child.caller) == (&caller.team, &caller.caller) {
            return Ok(());
        }
        let what = format!(
            "{} of {:?} in team {:?} calls {} of {:?} in team {:?}",
            caller.id, caller.caller, caller.team, child.id, child.caller, child.team
        );
        broken("I22", what)
    }

    /// Checks I22 for the answer to a submission: it names an execution of the team that asked, and
    /// lists of other teams do not have it.
    pub(super) fn answered(
        self,
        wanted: &Execution,
        id: ExecutionId,
        store: &SimulatedStore,
    ) -> Checked {
        if self.seed.is_none() {
            return Ok(());
        }
        if let Some(found) = store.execution(id).filter(|found| found.team != wanted.team) {
            let (team, other) = (&wanted.team, &found.team);
            return broken("I22", format!("team {team:?} gets {id}, which is of team {other:?}"));
        }
        for team in TEAMS.map(|team| if team.is_empty() { DEFAULT_TEAM } else { team }) {
            let visible = Visible::everything(team, CALLER);
            let options = ListOptions::new().visible(visible);
            let shown = store.synced.executions(&options, PAGE);
            if let Some(other) = shown.iter().find(|found| found.team_name() != team) {
                return broken("I22", format!("team {team} sees {} of another", other.id));
            }
        }
        Ok(())
    }
}
