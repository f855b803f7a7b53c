//! The faults of a history and their rates, drawn from its seed: every seed tries another mixture.

use std::time::Duration;

use super::clock::{Moment, TRUE_RATE};
use crate::protocol::ProtocolConfig;
use crate::testing::Random;

/// A kind of history, by the faults that may occur.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Profile {
    /// A history without faults.
    Calm,
    /// Every fault that the guarantees cover, in a mixture that each seed draws.
    Mixed,
    /// Faults beyond the bounds: clocks that run three times as fast as others or stop while their
    /// machine sleeps, and pauses longer than a lease. Attempts may then overlap (I1). An execution
    /// that runs at most once still does (I3).
    Wild,
    /// Sometimes a second coordinator opens the store while the first still runs, as after a
    /// failover. From then on the store refuses the writes of the first, which does not know it
    /// yet.
    Superseded,
    /// Once, the store is restored from an earlier copy, as another instance. Later events are
    /// lost, and may happen again.
    Restored,
}

impl Profile {
    /// All profiles.
    pub const ALL: [Profile; 5] =
        [Profile::Calm, Profile::Mixed, Profile::Wild, Profile::Superseded, Profile::Restored];

    /// Returns its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Profile::Calm => "calm",
            Profile::Mixed => "mixed",
            Profile::Wild => "wild",
            Profile::Superseded => "superseded",
            Profile::Restored => "restored",
        }
    }
}

/// The settings of a simulation.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Scenario {
    /// The profile. With `None`, the seed chooses, mostly `Mixed`.
    pub profile: Option<Profile>,
    /// The number of workers.
    pub workers: usize,
    /// True if frames are sealed, and an adversary owns the network. With `None`, they are in every
    /// fourth history.
    pub sealed: Option<bool>,
    /// The time during which clients submit and faults occur. Afterwards everything has to come to
    /// an end.
    pub length: Duration,
}

impl Default for Scenario {
    /// Returns five workers, ten minutes, and a profile that the seed chooses.
    fn default() -> Self {
        Self { profile: None, workers: 5, sealed: None, length: Duration::from_secs(600) }
    }
}

impl Scenario {
    /// Sets the profile.
    #[must_use]
    pub fn profile(mut self, profile: Profile) -> Self {
        self.profile = Some(profile);
        self
    }

    /// Sets the number of workers: 1 to 99.
    #[must_use]
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers.clamp(1, 99);
        self
    }

    /// Sets whether frames are sealed.
    #[must_use]
    pub fn sealed(mut self, sealed: bool) -> Self {
        self.sealed = Some(sealed);
        self
    }

    /// Sets the time during which clients submit and faults occur.
    #[must_use]
    pub fn length(mut self, length: Duration) -> Self {
        self.length = length;
        self
    }
}

/// The mixture of one history. Probabilities are per frame or per commit. An interval is the mean
/// time between two faults of a kind, for each process that it can affect; zero means never.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) profile: Profile,
    pub(super) config: ProtocolConfig,
    /// The configuration of the workers. The coordinator sends them the leases of `config`.
    pub(super) worker_config: ProtocolConfig,
    /// The lease that some workers ask for.
    pub(super) lease: Option<Duration>,
    /// True if some workers pull.
    pub(super) pull: bool,
    pub(super) length: Duration,
    pub(super) workers: usize,
    /// The probability that a frame is lost.
    pub(super) loss: f64,
    /// The probability that a frame arrives twice.
    pub(super) duplicate: f64,
    /// The probability that a frame arrives again, much later.
    pub(super) replay: f64,
    /// The probability that a frame also arrives with some bytes changed.
    pub(super) spoil: f64,
    /// The longest delay of a frame that is not slow.
    pub(super) quick: Duration,
    /// The probability that a frame is slow.
    pub(super) slow_chance: f64,
    /// The longest delay of a slow frame.
    pub(super) slow: Duration,
    /// The interval at which a worker is cut off, in one direction or both.
    pub(super) cut_interval: Duration,
    /// The interval at which the broker restarts.
    pub(super) broker_interval: Duration,
    pub(super) worker_crash_interval: Duration,
    pub(super) worker_pause_interval: Duration,
    /// The interval at which a worker drains and starts again.
    pub(super) drain_interval: Duration,
    /// The interval at which a queue is paused.
    pub(super) pause_interval: Duration,
    /// The interval at which a worker changes its action set.
    pub(super) offer_interval: Duration,
    pub(super) coordinator_crash_interval: Duration,
    pub(super) coordinator_pause_interval: Duration,
    /// The probability that the coordinator crashes right before or right after a commit.
    pub(super) crash_at_commit: f64,
    /// The longest time that a commit takes.
    pub(super) commit: Duration,
    pub(super) slow_commit_chance: f64,
    pub(super) slow_commit: Duration,
    /// The interval at which the store is full for a while.
    pub(super) full_interval: Duration,
    /// The interval at which a worker lies about another one or about epochs.
    pub(super) lie_interval: Duration,
    /// The interval at which a second coordinator opens the store.
    pub(super) second_interval: Duration,
    /// The times at which the store is copied, and restored from that copy.
    pub(super) restore: Option<(Duration, Duration)>,
    /// The slowest and the fastest rate of a process's clock, in parts per million.
    pub(super) rates: (u64, u64),
    /// The number of executions that clients submit.
    pub(super) executions: usize,
    /// The fraction of executions that clients submit in bursts.
    pub(super) bursts: f64,
    /// The fraction of attempts that ignore the request to stop.
    pub(super) stubborn: f64,
    /// The fraction of attempts that their executor cannot start.
    pub(super) unable: f64,
    /// The fraction of executions that call others.
    pub(super) callers: f64,
    /// The fraction of attempts that write many lines.
    pub(super) floods: f64,
}

impl Plan {
    pub(super) fn draw(random: &mut Random, scenario: &Scenario) -> Self {
        let profile = scenario.profile.unwrap_or(match random.number() % 16 {
            0 => Profile::Calm,
            1 => Profile::Wild,
            2 => Profile::Superseded,
            3 => Profile::Restored,
            _ => Profile::Mixed,
        });
        let mut plan = Self::calm(random, scenario, profile);
        if profile != Profile::Calm {
            plan.disturb(random);
        }
        match profile {
            Profile::Wild => plan.rates = (500_000, 1_500_000),
            Profile::Superseded => {
                plan.second_interval = plan.length / 6 + random.duration(plan.length / 3);
            }
            Profile::Restored => {
                let copied = random.duration(plan.length / 2);
                let put_back = copied + random.duration(plan.length / 2);
                plan.restore = Some((copied, put_back));
            }
            Profile::Calm | Profile::Mixed => {}
        }
        plan
    }

    fn calm(random: &mut Random, scenario: &Scenario, profile: Profile) -> Self {
        let mut config = ProtocolConfig::default();
        if random.chance(0.3) {
            config.beat_interval = Duration::from_secs(2);
            config.worker_lease = Duration::from_secs(20);
            config.coordinator_lease = Duration::from_secs(30);
            config.grace = Duration::from_secs(3);
        }
        config.queue_window = 4 + (random.number() % 13) as usize;
        if config.queue_window.is_multiple_of(4) {
            // Longer than any lease: attempts that could be retried elsewhere get less.
            config.grace = config.worker_lease * 3;
        }
        config.max_depth = 1 + (random.number() % 4) as u32;
        if random.chance(0.2) {
            config.max_unfinished = 20 + (random.number() % 80) as usize;
        }
        let mut worker_config = config.clone();
        // The coordinator decides.
        worker_config.grace = Duration::from_secs(1);
        if random.chance(0.3) {
            worker_config.worker_lease *= 3;
            worker_config.coordinator_lease *= 3;
            worker_config.beat_interval *= 2;
        }
        let never = Duration::ZERO;
        let own = [config.worker_lease / 2, config.worker_lease * 2];
        let lease = random.chance(0.4).then(|| own[random.below(2)]);
        let pull = random.chance(0.5);
        Self {
            profile,
            config,
            worker_config,
            lease,
            pull,
            length: scenario.length,
            workers: scenario.workers,
            loss: 0.0,
            duplicate: 0.0,
            replay: 0.0,
            spoil: 0.0,
            quick: Duration::from_micros(1_500),
            slow_chance: 0.0,
            slow: never,
            cut_interval: never,
            broker_interval: never,
            worker_crash_interval: never,
            worker_pause_interval: never,
            drain_interval: never,
            pause_interval: never,
            offer_interval: never,
            coordinator_crash_interval: never,
            coordinator_pause_interval: never,
            crash_at_commit: 0.0,
            commit: Duration::from_millis(2),
            slow_commit_chance: 0.0,
            slow_commit: never,
            full_interval: never,
            lie_interval: never,
            second_interval: never,
            restore: None,
            rates: (TRUE_RATE, TRUE_RATE),
            executions: 100 + (random.number() % 200) as usize,
            bursts: random.part(0.7),
            stubborn: random.part(0.3),
            unable: 0.0,
            callers: if random.chance(0.8) { random.part(0.5) } else { 0.0 },
            floods: random.part(0.1),
        }
    }

    /// Adds faults: often none of a kind, otherwise few or many.
    fn disturb(&mut self, random: &mut Random) {
        let lease = self.config.coordinator_lease;
        let mut part = |chance, most| if random.chance(chance) { random.part(most) } else { 0.0 };
        self.loss = part(0.7, 0.15);
        self.duplicate = part(0.7, 0.15);
        self.replay = part(0.5, 0.02);
        self.spoil = part(0.5, 0.02);
        self.slow_chance = part(0.7, 0.15);
        self.crash_at_commit = part(0.4, 0.01);
        self.slow_commit_chance = part(0.5, 0.1);
        self.unable = part(0.4, 0.3);
        self.slow = random.duration(lease / 4);
        self.slow_commit = random.duration(Duration::from_secs(8));
        let mut interval = |chance, most: u32| match random.chance(chance) {
            true => lease / 2 + random.duration(lease * most),
            false => Duration::ZERO,
        };
        self.cut_interval = interval(0.6, 4);
        self.broker_interval = interval(0.4, 4);
        self.worker_crash_interval = interval(0.6, 6);
        self.worker_pause_interval = interval(0.4, 6);
        self.drain_interval = interval(0.4, 6);
        self.offer_interval = interval(0.4, 6);
        self.coordinator_crash_interval = interval(0.5, 3);
        self.coordinator_pause_interval = interval(0.3, 3);
        self.full_interval = interval(0.3, 4);
        self.pause_interval = interval(0.3, 4);
        if random.chance(0.5) {
            // The rates differ as much as the ratio of the leases allows.
            self.rates = (800_000, 1_200_000);
        }
        if random.chance(0.4) {
            self.lie_interval = Duration::from_secs(2) + random.duration(lease);
        }
    }

    /// Returns true if attempts may not overlap.
    pub(super) fn in_bounds(&self) -> bool {
        self.profile != Profile::Wild
    }

    /// Returns true if a worker is granted only what it asks for: one with three slots.
    pub(super) fn pulls(&self, worker: usize) -> bool {
        self.pull && worker % 6 == 2
    }

    /// Returns the lease that a worker asks for.
    pub(super) fn own_lease(&self, worker: usize) -> Option<Duration> {
        self.lease.filter(|_| worker.is_multiple_of(2))
    }

    /// Returns the lease of a worker, and the patience of the coordinator that `protocol.md`
    /// prescribes for it.
    fn leases(&self, worker: usize) -> (Duration, Duration) {
        match self.own_lease(worker) {
            Some(lease) => (lease, (lease + Duration::from_secs(10)).max(lease + lease / 2)),
            None => (self.config.worker_lease, self.config.coordinator_lease),
        }
    }

    /// Returns the longest time for which the coordinator waits for any silent worker.
    pub(super) fn longest_patience(&self) -> Duration {
        (0..2).map(|worker| self.leases(worker).1).max().unwrap_or_default()
    }

    /// Returns the longest pause of a worker with such a clock that the leases allow for, at any
    /// rate of the coordinator's clock.
    pub(super) fn tolerated_pause(&self, worker: usize, rate: u64) -> Duration {
        let real = |lease: Duration, rate: u64| lease.as_micros() as Moment * TRUE_RATE / rate;
        let (lease, patience) = self.leases(worker);
        let patience = real(patience, self.rates.1);
        Duration::from_micros(patience.saturating_sub(real(lease, rate)))
    }
}

impl Random {
    /// Draws a number up to `most`, evenly distributed.
    pub(super) fn part(&mut self, most: f64) -> f64 {
        (self.number() >> 11) as f64 / (1_u64 << 53) as f64 * most
    }

    /// Draws a duration in whole milliseconds, the resolution of the wire.
    pub(super) fn millis(&mut self, shortest: u64, longest: u64) -> Duration {
        Duration::from_millis(shortest + self.number() % (longest - shortest + 1))
    }

    /// Draws a number below `count`.
    pub(super) fn below(&mut self, count: usize) -> usize {
        (self.number() % count.max(1) as u64) as usize
    }

    /// Draws the time until the next of events that happen every `mean` on average.
    pub(super) fn interval(&mut self, mean: Duration) -> Duration {
        let unit = 1.0 - self.part(1.0);
        mean.mul_f64((-unit.ln()).min(10.0))
    }

    /// Draws the rate of a clock. The fastest and the slowest are frequent.
    pub(super) fn rate(&mut self, (slowest, fastest): (u64, u64)) -> u64 {
        match self.number() % 4 {
            0 => slowest,
            1 => fastest,
            _ => slowest + self.number() % (fastest - slowest + 1),
        }
    }
}
