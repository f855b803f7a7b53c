//! Randomness that can be had again: SplitMix64, from a seed that is printed.

use std::time::Duration;

/// The variable that sets the seed, to repeat a run.
const SEED: &str = "TINPOT_TEST_SEED";

/// Numbers from a seed.
#[derive(Debug)]
pub struct Random {
    state: u64,
}

impl Random {
    /// Creates a generator from the seed in `TINPOT_TEST_SEED` or from the clock, and prints the
    /// seed.
    pub fn new() -> Self {
        let seed = std::env::var(SEED)
            .ok()
            .map(|text| text.parse().expect("TINPOT_TEST_SEED is a number"));
        let seed = seed.unwrap_or_else(Self::any_seed);
        eprintln!("repeat with {SEED}={seed}");
        Self::seeded(seed)
    }

    /// Creates a generator from this seed.
    pub fn seeded(seed: u64) -> Self {
        Self { state: seed }
    }

    /// Returns a seed from the clock.
    pub fn any_seed() -> u64 {
        let since = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("a time after 1970");
        since.as_nanos() as u64
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    /// A time from `least` up to `most`.
    pub fn time(&mut self, least: Duration, most: Duration) -> Duration {
        least + Duration::from_micros(self.below((most - least).as_micros() as u64 + 1))
    }
}

impl Default for Random {
    fn default() -> Self {
        Self::new()
    }
}
