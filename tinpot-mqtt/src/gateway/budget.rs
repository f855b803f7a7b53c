//! Limits that say once that they refuse.

use std::time::{Duration, Instant};

/// The pause after which refusals count as over.
const QUIET: Duration = Duration::from_secs(1);

/// The verdict on one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is within the limit, after a number of refused ones of which the log says nothing yet.
    Within { refused_before: u64 },
    /// It is the first one beyond the limit.
    FirstBeyond,
    /// It is a later one beyond the limit.
    Beyond,
}

/// A token bucket.
#[derive(Debug)]
pub(crate) struct Budget {
    per_second: f64,
    burst: f64,
    tokens: f64,
    at: Instant,
    refused: u64,
    refused_at: Instant,
}

impl Budget {
    /// Creates a full bucket, whose burst is that of two seconds.
    pub(crate) fn new(per_second: u32, now: Instant) -> Self {
        let per_second = f64::from(per_second.max(1));
        let burst = 2.0 * per_second;
        Self { per_second, burst, tokens: burst, at: now, refused: 0, refused_at: now }
    }

    /// Takes one message.
    pub(crate) fn take(&mut self, now: Instant) -> Verdict {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.tokens = (self.tokens + passed * self.per_second).min(self.burst);
        self.at = now;
        if self.tokens < 1.0 {
            let is_first = self.refused == 0;
            self.refused += 1;
            self.refused_at = now;
            return if is_first { Verdict::FirstBeyond } else { Verdict::Beyond };
        }
        self.tokens -= 1.0;
        let is_over = now.saturating_duration_since(self.refused_at) >= QUIET;
        let refused_before = if is_over { std::mem::take(&mut self.refused) } else { 0 };
        Verdict::Within { refused_before }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{Budget, Verdict};

    #[test]
    fn a_flood_is_refused_and_said_once() {
        let start = Instant::now();
        let mut budget = Budget::new(10, start);
        let (mut within, mut first) = (0, 0);
        for at in 0..10_000 {
            match budget.take(start + Duration::from_micros(at * 100)) {
                Verdict::Within { refused_before } => {
                    assert_eq!(refused_before, 0);
                    within += 1;
                }
                Verdict::FirstBeyond => first += 1,
                Verdict::Beyond => {}
            }
        }
        // A burst of 20, and 10 in the second after it.
        assert!((28..=31).contains(&within), "{within}");
        assert_eq!(first, 1);
        let later = start + Duration::from_secs(5);
        let Verdict::Within { refused_before } = budget.take(later) else { panic!("refused") };
        assert_eq!(refused_before, 10_000 - within);
        assert_eq!(budget.take(later), Verdict::Within { refused_before: 0 });
    }
}
