//! When to try again.

use std::time::Duration;

use uuid::Uuid;

/// Quick, since most outages are a restart of the broker.
const FIRST: Duration = Duration::from_millis(50);

/// Never longer, so that a fleet is back within seconds.
const LONGEST: Duration = Duration::from_secs(5);

/// Doubles from try to try, with jitter, so that a fleet does not come back as one.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
}

impl Backoff {
    pub(crate) fn new() -> Self {
        Self { next: FIRST }
    }

    pub(crate) fn reset(&mut self) {
        self.next = FIRST;
    }

    /// How long to wait now: between half of the step and the whole.
    pub(crate) fn step(&mut self) -> Duration {
        let whole = self.next;
        self.next = (whole * 2).min(LONGEST);
        whole / 2 + (whole / 2).mul_f64(random_fraction())
    }
}

fn random_fraction() -> f64 {
    f64::from(Uuid::new_v4().as_u128() as u32) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::{Backoff, FIRST, LONGEST};

    #[test]
    fn grows_to_its_cap_and_starts_again() {
        let mut backoff = Backoff::new();
        assert!(backoff.step() <= FIRST);
        let steps: Vec<_> = (0..20).map(|_| backoff.step()).collect();
        assert!(steps.iter().all(|step| *step <= LONGEST), "{steps:?}");
        assert!(steps[19] >= LONGEST / 2, "{steps:?}");
        backoff.reset();
        assert!(backoff.step() <= FIRST);
    }
}
