//! Paused queues: they accept executions but grant no attempts. Granted attempts continue.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{CoordinatorEffect, CoordinatorMachine};
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::id::WorkerId;
use crate::model::time::Timestamp;
use crate::model::transition::Transition;
use crate::protocol::tick::Tick;

impl CoordinatorMachine {
    /// Pauses a queue: nothing of it is granted until it is resumed. Pausing a paused queue changes
    /// nothing. `team/queue` is the part of the queue that belongs to one team.
    ///
    /// # Errors
    /// `NotFound` for an unknown queue.
    pub fn pause_queue(
        &mut self,
        now: Tick,
        queue: &str,
        out: &mut Vec<CoordinatorEffect>,
    ) -> Result<()> {
        self.check_known(queue)?;
        if !self.paused_map(queue).is_some_and(|(paused, key)| paused.contains_key(key)) {
            let (queue, since) = (Arc::<str>::from(queue), self.time(now));
            self.restore_paused([(queue.clone(), since)]);
            out.push(CoordinatorEffect::Persist(Transition::Pause { queue, since }));
        }
        Ok(())
    }

    /// Resumes a queue. Resuming a queue that is not paused changes nothing.
    ///
    /// # Errors
    /// `NotFound` for an unknown queue.
    pub fn resume_queue(
        &mut self,
        now: Tick,
        queue: &str,
        out: &mut Vec<CoordinatorEffect>,
    ) -> Result<()> {
        self.check_known(queue)?;
        let was_paused = match queue.split_once('/') {
            None => self.paused.remove(queue).is_some(),
            Some((team, queue)) => {
                let teams = self.paused_of_teams.get_mut(queue);
                let was_paused = teams.is_some_and(|teams| teams.remove(team).is_some());
                self.paused_of_teams.retain(|_, teams| !teams.is_empty());
                was_paused
            }
        };
        if was_paused {
            out.push(CoordinatorEffect::Persist(Transition::Resume { queue: queue.into() }));
            let able = self.workers.iter().filter(|(_, worker)| worker.serves(queue_of(queue)));
            let able: Vec<WorkerId> = able.map(|(id, _)| id.clone()).collect();
            for id in able {
                self.fill(now, &id, out);
            }
        }
        Ok(())
    }

    /// Returns true if nothing of the team is granted in the queue.
    pub(super) fn is_paused(&self, queue: &str, team: &str) -> bool {
        self.paused.contains_key(queue)
            || self.paused_of_teams.get(queue).is_some_and(|teams| teams.contains_key(team))
    }

    fn paused_map<'a>(&self, queue: &'a str) -> Option<(&BTreeMap<Arc<str>, Timestamp>, &'a str)> {
        match queue.split_once('/') {
            None => Some((&self.paused, queue)),
            Some((team, queue)) => Some((self.paused_of_teams.get(queue)?, team)),
        }
    }

    /// Takes paused queues, and parts of queues that are paused.
    pub(super) fn restore_paused(
        &mut self,
        paused: impl IntoIterator<Item = (Arc<str>, Timestamp)>,
    ) {
        for (queue, since) in paused {
            match queue.split_once('/') {
                None => drop(self.paused.insert(queue, since)),
                Some((team, queue)) => {
                    let teams = self.paused_of_teams.entry(queue.into()).or_default();
                    teams.insert(team.into(), since);
                }
            }
        }
    }

    /// Checks that a queue is known, so that a mistyped name does not look paused.
    fn check_known(&self, queue: &str) -> Result<()> {
        match self.queue_names().contains(queue_of(queue)) {
            true => Ok(()),
            false => Err(unknown_queue(queue)),
        }
    }
}

/// Returns the queue of `team/queue`. Names have no slash.
fn queue_of(queue: &str) -> &str {
    queue.split_once('/').map_or(queue, |(_, queue)| queue)
}

/// Returns the error for a queue that is unknown, or that is hidden from the caller.
pub(crate) fn unknown_queue(queue: &str) -> Error {
    let message = format!("queue {queue:?} not found: no action or worker names it");
    Error::new(ErrorKind::NotFound, message)
}
