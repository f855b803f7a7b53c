//! Retry policies: the delay before the next attempt is a pure function of policy, execution and
//! attempt.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::error::{Error, ErrorKind, Result};
use crate::model::id::ExecutionId;

/// The number and delays of the attempts that follow one that failed, timed out or was lost.
///
/// An action with retries declares that running it twice is harmless.
///
/// ```
/// use std::time::Duration;
/// use tinpot_core::{Action, ExecutionId, RetryPolicy};
///
/// let policy = RetryPolicy::fixed(2, Duration::from_secs(30));
/// let backup = Action::new("backup")?.retry(policy);
///
/// let execution = ExecutionId::generate();
/// assert_eq!(backup.retry.delay_after(execution, 1), Some(Duration::from_secs(30)));
/// assert_eq!(backup.retry.delay_after(execution, 3), None);
/// # Ok::<_, tinpot_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RetryPolicy {
    /// The number of attempts after the first. 0 means that the action runs at most once.
    #[serde(default)]
    pub retries: u32,
    /// The delays before the retries.
    #[serde(flatten)]
    pub backoff: Backoff,
    /// The number of lost attempts after which the execution fails as poisoned, even if retries are
    /// left: an action that kills its worker must not kill all of them.
    #[serde(default = "three")]
    pub max_lost_attempts: u32,
    /// The ends after which an attempt is retried.
    #[serde(default, skip_serializing_if = "RetryOn::is_any")]
    pub on: RetryOn,
}

/// The ends of an attempt after which another may follow.
///
/// ```
/// use tinpot_core::{RetryOn, RetryPolicy};
///
/// // A failure is final. An attempt that was lost with its worker is tried again.
/// let policy = RetryPolicy::exponential(3).on(RetryOn::Lost);
/// assert_eq!(policy.on, RetryOn::Lost);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RetryOn {
    /// After a failure, a timeout or a loss.
    #[default]
    Any,
    /// After a loss only: the worker was lost, or has killed the attempt because its lease ended.
    Lost,
}

impl RetryOn {
    fn is_any(&self) -> bool {
        *self == Self::Any
    }
}

/// The delays between attempts.
///
/// ```
/// use std::time::Duration;
/// use tinpot_core::{Backoff, ExecutionId, RetryPolicy};
///
/// let longest = Duration::from_secs(3);
/// let backoff = Backoff::exponential(Duration::from_secs(1)).max_delay(longest).jitter(0.0);
/// let policy = RetryPolicy::new(3, backoff);
///
/// let execution = ExecutionId::generate();
/// let delays = (1..=3).filter_map(|attempt| policy.delay_after(execution, attempt));
/// assert_eq!(delays.map(|delay| delay.as_secs()).collect::<Vec<_>>(), [1, 2, 3]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Backoff {
    /// The delay before the first retry.
    #[serde(default = "one_second", with = "super::serde_millis::millis", rename = "delay_ms")]
    pub delay: Duration,
    /// The factor from one delay to the next; 1 means fixed delays.
    #[serde(default = "two")]
    pub factor: f64,
    /// The longest delay.
    #[serde(
        default = "five_minutes",
        with = "super::serde_millis::millis",
        rename = "max_delay_ms"
    )]
    pub max_delay: Duration,
    /// The jitter, from 0 to 1: 0.2 shortens a delay to between 80 % and 100 % of its length.
    #[serde(default)]
    pub jitter: f64,
}

/// The maximum number of retries in a policy.
const RETRIES_MAX: u32 = 1_000;
/// The longest delay, timeout or expiry: 100 years.
pub(crate) const DURATION_MAX: Duration = Duration::from_secs(100 * 366 * 86_400);

fn one_second() -> Duration {
    Duration::from_secs(1)
}

fn two() -> f64 {
    2.0
}

fn three() -> u32 {
    3
}

fn five_minutes() -> Duration {
    Duration::from_secs(300)
}

impl Default for Backoff {
    fn default() -> Self {
        Self::exponential(one_second())
    }
}

impl Backoff {
    /// Creates delays that start with `delay` and double up to 5 minutes, with a jitter of 0.2.
    pub fn exponential(delay: Duration) -> Self {
        Self { delay, factor: two(), max_delay: five_minutes().max(delay), jitter: 0.2 }
    }

    /// Creates delays that are all `delay` long.
    pub fn fixed(delay: Duration) -> Self {
        Self { delay, factor: 1.0, max_delay: delay, jitter: 0.0 }
    }

    /// Sets the longest delay.
    #[must_use]
    pub fn max_delay(mut self, max_delay: Duration) -> Self {
        self.max_delay = max_delay;
        self
    }

    /// Sets the jitter, from 0 to 1.
    #[must_use]
    pub fn jitter(mut self, jitter: f64) -> Self {
        self.jitter = jitter;
        self
    }

    fn check(&self) -> Result<()> {
        let invalid = |message: String| Err(Error::new(ErrorKind::InvalidInput, message));
        if !(1.0..=100.0).contains(&self.factor) {
            return invalid(format!("retry_factor must be from 1 to 100 (got {})", self.factor));
        }
        if !(0.0..=1.0).contains(&self.jitter) {
            return invalid(format!("retry_jitter must be from 0 to 1 (got {})", self.jitter));
        }
        if self.delay > DURATION_MAX || self.max_delay > DURATION_MAX {
            return invalid("retry_delay and max_retry_delay: at most 100 years".to_owned());
        }
        Ok(())
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self::never()
    }
}

impl RetryPolicy {
    /// Creates a policy without retries: the action runs at most once.
    pub fn never() -> Self {
        Self::new(0, Backoff::default())
    }

    /// Creates a policy with `retries` further attempts, after 1 s, 2 s, 4 s … up to 5 minutes,
    /// with a jitter of 0.2.
    pub fn exponential(retries: u32) -> Self {
        Self::new(retries, Backoff::default())
    }

    /// Creates a policy with `retries` further attempts, each `delay` after the failure before it.
    pub fn fixed(retries: u32, delay: Duration) -> Self {
        Self::new(retries, Backoff::fixed(delay))
    }

    /// Creates a policy with `retries` further attempts after these delays. The execution fails
    /// after three lost attempts.
    pub fn new(retries: u32, backoff: Backoff) -> Self {
        Self { retries, backoff, max_lost_attempts: three(), on: RetryOn::Any }
    }

    /// Sets the number of lost attempts after which the execution fails as poisoned.
    #[must_use]
    pub fn max_lost_attempts(mut self, max_lost_attempts: u32) -> Self {
        self.max_lost_attempts = max_lost_attempts;
        self
    }

    /// Sets the ends after which an attempt is retried.
    #[must_use]
    pub fn on(mut self, on: RetryOn) -> Self {
        self.on = on;
        self
    }

    /// Returns true if the policy has no retries.
    pub fn is_never(&self) -> bool {
        self.retries == 0
    }

    /// Checks the bounds of all fields.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`], naming the field.
    pub fn check(&self) -> Result<()> {
        let invalid = |message: String| Err(Error::new(ErrorKind::InvalidInput, message));
        if self.retries > RETRIES_MAX {
            return invalid(format!(
                "retries must be at most {RETRIES_MAX} (got {})",
                self.retries
            ));
        }
        if self.max_lost_attempts == 0 {
            return invalid("max_lost_attempts must be at least 1 (got 0)".to_owned());
        }
        self.backoff.check()
    }

    /// Returns the delay after attempt number `attempt` (from 1), or `None` if no attempt follows.
    ///
    /// Jitter is derived from a hash of execution and attempt, so that every party computes the
    /// same schedule.
    pub fn delay_after(&self, execution: ExecutionId, attempt: u32) -> Option<Duration> {
        if attempt > self.retries {
            return None;
        }
        let Backoff { delay, factor, max_delay, jitter } = self.backoff;
        let exponent = i32::try_from(attempt.saturating_sub(1)).unwrap_or(i32::MAX);
        let millis = delay.as_millis() as f64 * factor.powi(exponent);
        let millis = millis.min(max_delay.as_millis() as f64);
        let id = execution.as_u128();
        let hash = mix(id as u64 ^ mix((id >> 64) as u64 ^ mix(u64::from(attempt))));
        let unit = (hash >> 11) as f64 / (1_u64 << 53) as f64;
        Some(Duration::from_millis((millis * (1.0 - jitter * unit)) as u64))
    }
}

/// The finaliser of SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
fn mix(mut z: u64) -> u64 {
    z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Backoff, RetryPolicy};
    use crate::model::id::ExecutionId;

    #[test]
    fn delays_grow_to_the_bound_and_end() {
        let backoff = Backoff::default().max_delay(Duration::from_secs(3)).jitter(0.0);
        let policy = RetryPolicy::new(3, backoff);
        let id = ExecutionId::from_u128(7);
        let delays: Vec<_> = (1..=4).map(|attempt| policy.delay_after(id, attempt)).collect();
        let seconds = |s| Some(Duration::from_secs(s));
        assert_eq!(delays, [seconds(1), seconds(2), seconds(3), None]);
    }

    #[test]
    fn jitter_is_a_function_of_execution_and_attempt() {
        let policy = RetryPolicy::exponential(5);
        let delay = |id, attempt| policy.delay_after(ExecutionId::from_u128(id), attempt);
        assert_eq!(delay(1, 1), delay(1, 1));
        assert_ne!(delay(1, 1), delay(2, 1));
        for id in 0..200 {
            let millis = delay(id, 1).map(|d| d.as_millis()).unwrap_or_default();
            assert!((800..=1000).contains(&millis), "{millis}");
        }
    }
}
