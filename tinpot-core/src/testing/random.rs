//! Seeded randomness: SplitMix64, small and the same on every platform.

use std::time::Duration;

/// A sequence of numbers, determined by its seed.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Returns the sequence of `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns the next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Returns true with the given probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        ((self.number() >> 11) as f64 / (1_u64 << 53) as f64) < probability
    }

    /// Returns a duration below `longest`, in whole microseconds.
    pub fn duration(&mut self, longest: Duration) -> Duration {
        Duration::from_micros(self.number() % (longest.as_micros() as u64).max(1))
    }
}
