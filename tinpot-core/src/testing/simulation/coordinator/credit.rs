//! The credit of workers that pull, counted by the beats that a coordinator has received.

use std::collections::HashMap;

use super::Process;
use crate::model::id::WorkerId;
use crate::model::transition::Transition;
use crate::protocol::{CoordinatorEffect, Message};
use crate::testing::simulation::network::index_of;
use crate::testing::simulation::plan::Plan;
use crate::testing::simulation::world::{Checked, broken};

/// Attempts that the workers that pull have asked for, and got.
#[derive(Debug, Default)]
pub(super) struct Credits {
    /// The latest beat of each worker: its number, its free slots, and the grants since.
    of: HashMap<WorkerId, (u64, u32, u32)>,
    /// The effects that were looked at.
    seen: usize,
}

impl Process {
    /// Notes a beat that the coordinator is about to take in.
    pub(super) fn note_beat(&mut self, from: &WorkerId, message: &Message) {
        let Message::Beat(beat) = message else { return };
        let follows = beat.epoch == Some(self.core.machine().epoch());
        let latest = self.credits.of.get(from).map_or(0, |(seq, ..)| *seq);
        if follows && beat.seq > latest {
            self.credits.of.insert(from.clone(), (beat.seq, beat.free, 0));
        }
    }

    /// Checks I20 for the latest decisions: no worker that pulls gets more than its latest beat asks
    /// for.
    pub(super) fn spends_credit(&mut self, plan: &Plan) -> Checked {
        let Credits { of, seen } = &mut self.credits;
        let effects = self.core.effects();
        for effect in &effects[(*seen).min(effects.len())..] {
            let CoordinatorEffect::Persist(Transition::Grant { worker, fence, .. }) = effect else {
                continue;
            };
            if !plan.pulls(index_of(worker)) {
                continue;
            }
            let Some((seq, free, granted)) = of.get_mut(worker) else {
                return broken("I20", format!("{worker} gets {fence}, and has not asked"));
            };
            *granted += 1;
            if granted > free {
                let what = format!("{worker} gets {fence}: beat {seq} asked for {free}");
                return broken("I20", what);
            }
        }
        *seen = effects.len();
        Ok(())
    }

    /// Notes that all effects were taken.
    pub(super) fn effects_taken(&mut self) {
        self.credits.seen = 0;
    }
}
