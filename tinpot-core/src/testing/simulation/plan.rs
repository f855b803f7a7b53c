//! What goes wrong in a history, and how often: drawn from its seed, so that every seed tries another mixture.

use std::time::Duration;

use super::clock::TRUE_RATE;
use crate::protocol::ProtocolConfig;
use crate::testing::Random;

/// Which kinds of trouble there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Profile {
    /// Nothing goes wrong.
    Calm,
    /// Everything that the promises hold against, in a mixture that each seed draws for itself.
    Mixed,
}

impl Profile {
    /// All of them.
    pub const ALL: [Profile; 2] = [Profile::Calm, Profile::Mixed];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Profile::Calm => "calm",
            Profile::Mixed => "mixed",
        }
    }
}

/// What to simulate.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Scenario {
    /// Which kinds of trouble; `None`: the seed chooses.
    pub profile: Option<Profile>,
    /// How many workers.
    pub workers: usize,
    /// How long clients submit and things go wrong; afterwards everything has to come to an end.
    pub length: Duration,
}

impl Default for Scenario {
    /// Five workers, ten minutes, a profile of the seed's choice.
    fn default() -> Self {
        Self { profile: None, workers: 5, length: Duration::from_secs(600) }
    }
}

impl Scenario {
    /// Sets the profile.
    #[must_use]
    pub fn profile(mut self, profile: Profile) -> Self {
        self.profile = Some(profile);
        self
    }

    /// Sets how many workers there are: 1 to 99.
    #[must_use]
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers.clamp(1, 99);
        self
    }

    /// Sets how long clients submit and things go wrong.
    #[must_use]
    pub fn length(mut self, length: Duration) -> Self {
        self.length = length;
        self
    }
}

/// The mixture of one history. Probabilities are per frame or per commit; an interval is the mean time between two of a kind, for each process
/// that it can happen to, and zero means never.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) config: ProtocolConfig,
    pub(super) length: Duration,
    pub(super) workers: usize,
    /// A frame is lost.
    pub(super) loss: f64,
    /// A frame arrives twice.
    pub(super) duplicate: f64,
    /// How long a frame is on its way at most.
    pub(super) quick: Duration,
    /// A frame is slow …
    pub(super) slow_chance: f64,
    /// … and takes up to this long.
    pub(super) slow: Duration,
    /// A worker is cut off, in one direction or both.
    pub(super) cut_interval: Duration,
    pub(super) worker_crash_interval: Duration,
    pub(super) coordinator_crash_interval: Duration,
    /// The coordinator crashes right before or right after a commit.
    pub(super) crash_at_commit: f64,
    /// How long a commit takes at most.
    pub(super) commit: Duration,
    pub(super) slow_commit_chance: f64,
    pub(super) slow_commit: Duration,
    /// The store is full for a while.
    pub(super) full_interval: Duration,
    /// How fast the clocks of processes may run, in parts per million.
    pub(super) rates: (u64, u64),
    /// Executions that are submitted.
    pub(super) executions: usize,
    /// The part of them that comes in bursts.
    pub(super) bursts: f64,
    /// The part of attempts that ignore the request to end.
    pub(super) stubborn: f64,
}

impl Plan {
    pub(super) fn draw(random: &mut Random, scenario: &Scenario) -> Self {
        let profile = scenario.profile.unwrap_or(match random.number() % 16 {
            0 => Profile::Calm,
            _ => Profile::Mixed,
        });
        let mut plan = Self::calm(random, scenario);
        if profile != Profile::Calm {
            plan.disturb(random);
        }
        plan
    }

    fn calm(random: &mut Random, scenario: &Scenario) -> Self {
        let mut config = ProtocolConfig::default();
        if random.chance(0.3) {
            config.beat_interval = Duration::from_secs(2);
            config.worker_lease = Duration::from_secs(20);
            config.coordinator_lease = Duration::from_secs(30);
            config.grace = Duration::from_secs(3);
        }
        config.queue_window = 4 + (random.number() % 13) as usize;
        Self {
            config,
            length: scenario.length,
            workers: scenario.workers,
            loss: 0.0,
            duplicate: 0.0,
            quick: Duration::from_micros(1_500),
            slow_chance: 0.0,
            slow: Duration::ZERO,
            cut_interval: Duration::ZERO,
            worker_crash_interval: Duration::ZERO,
            coordinator_crash_interval: Duration::ZERO,
            crash_at_commit: 0.0,
            commit: Duration::from_millis(2),
            slow_commit_chance: 0.0,
            slow_commit: Duration::ZERO,
            full_interval: Duration::ZERO,
            rates: (TRUE_RATE, TRUE_RATE),
            executions: 100 + (random.number() % 200) as usize,
            bursts: random.part(0.7),
            stubborn: random.part(0.3),
        }
    }

    /// Adds trouble: of each kind often nothing, else little or much.
    fn disturb(&mut self, random: &mut Random) {
        let scale = self.config.coordinator_lease;
        if random.chance(0.7) {
            self.loss = random.part(0.15);
        }
        if random.chance(0.7) {
            self.duplicate = random.part(0.15);
        }
        if random.chance(0.7) {
            self.slow_chance = random.part(0.15);
            self.slow = random.duration(scale / 4);
        }
        if random.chance(0.6) {
            self.cut_interval = scale / 2 + random.duration(scale * 4);
        }
        if random.chance(0.6) {
            self.worker_crash_interval = scale / 2 + random.duration(scale * 6);
        }
        if random.chance(0.5) {
            self.coordinator_crash_interval = scale / 2 + random.duration(scale * 3);
        }
        if random.chance(0.4) {
            self.crash_at_commit = random.part(0.01);
        }
        if random.chance(0.5) {
            self.slow_commit_chance = random.part(0.1);
            self.slow_commit = random.duration(Duration::from_secs(8));
        }
        if random.chance(0.3) {
            self.full_interval = scale / 2 + random.duration(scale * 4);
        }
        if random.chance(0.5) {
            self.rates = (800_000, 1_200_000);
        }
    }
}

impl Random {
    /// A part of `most`, evenly spread.
    pub(super) fn part(&mut self, most: f64) -> f64 {
        (self.number() >> 11) as f64 / (1_u64 << 53) as f64 * most
    }

    /// Whole milliseconds: what travels is not finer.
    pub(super) fn millis(&mut self, shortest: u64, longest: u64) -> Duration {
        Duration::from_millis(shortest + self.number() % (longest - shortest + 1))
    }

    /// One of so many.
    pub(super) fn below(&mut self, count: usize) -> usize {
        (self.number() % count.max(1) as u64) as usize
    }

    /// When something that happens every `mean` on average happens next.
    pub(super) fn interval(&mut self, mean: Duration) -> Duration {
        let unit = 1.0 - self.part(1.0);
        mean.mul_f64((-unit.ln()).min(10.0))
    }

    /// The rate of a clock; the fastest and the slowest are frequent.
    pub(super) fn rate(&mut self, (slowest, fastest): (u64, u64)) -> u64 {
        match self.number() % 4 {
            0 => slowest,
            1 => fastest,
            _ => slowest + self.number() % (fastest - slowest + 1),
        }
    }
}
