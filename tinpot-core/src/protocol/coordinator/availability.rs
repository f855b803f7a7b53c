//! The availability of the actions: which of them some worker would run now.

use std::collections::HashSet;
use std::time::Duration;

use super::CoordinatorMachine;
use super::Timer;
use super::catalogue::Standing;
use crate::protocol::tick::Tick;

/// The number of offers (pairs of a worker and an action) up to which the availability is computed
/// at every change.
const OFFERS_AT_ONCE: usize = 10_000;
/// The pause after a larger computation, for each offer. An offer takes 0.2 to 0.3 us, so changes
/// take a tenth of a processor at most, however many workers there are.
const PAUSE_PER_OFFER: Duration = Duration::from_micros(3);

impl CoordinatorMachine {
    /// Computes the availability of all actions: now, or soon if that takes long.
    pub(super) fn refresh_catalogue(&mut self, now: Tick) {
        if now < self.refresh_at {
            self.timers.insert((self.refresh_at, Timer::Refresh));
            return;
        }
        self.version += 1;
        self.actions.begin_standings();
        let mut offers = self.deployed_stand();
        let (mut blank, mut blank_queues) = (HashSet::new(), HashSet::new());
        for worker in self.workers.values() {
            offers += 1 + worker.actions.len() + worker.withheld.len();
            let standing = worker.standing();
            for name in &worker.actions {
                self.actions.stands(name, |action| match worker.serves(&action.queue) {
                    false => Standing::NotServed,
                    true => standing,
                });
            }
            for name in &worker.withheld {
                self.actions.stands(name, |_| Standing::NotStartable);
            }
            // A worker that offers nothing may have any action: the coordinator may have been
            // restarted since it offered some.
            if worker.is_blank() {
                for team in worker.team_names() {
                    if worker.queues.is_empty() {
                        blank.insert(team);
                    }
                    blank_queues.extend(worker.queues.iter().map(|queue| (team, queue.as_str())));
                }
            }
        }
        self.actions.end_standings(|team, queue| {
            blank.contains(team) || blank_queues.contains(&(team, queue))
        });
        if offers > OFFERS_AT_ONCE {
            self.refresh_at = now + PAUSE_PER_OFFER * u32::try_from(offers).unwrap_or(u32::MAX);
        }
    }
}
