//! Times: RFC 3339 in whole seconds, as MiniTower writes them.

use serde::{Serialize, Serializer};
use tinpot_core::Timestamp;

/// A time in an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Time(pub(crate) Timestamp);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let seconds = i64::try_from(self.0.0 / 1_000_000).unwrap_or(i64::MAX);
        let time = jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX);
        serializer.collect_str(&format_args!("{time:.0}"))
    }
}

#[cfg(test)]
mod tests {
    use tinpot_core::Timestamp;

    use super::Time;

    #[test]
    fn times_are_whole_seconds() {
        let time = Time(Timestamp(1_770_000_000_999_999));
        assert_eq!(serde_json::to_string(&time).expect("text"), "\"2026-02-02T02:40:00Z\"");
    }
}
