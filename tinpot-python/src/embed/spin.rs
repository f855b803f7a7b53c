//! Busy waiting for a moment before sleeping.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// Waking a sleeping thread takes some 25 µs (measured 2026-11-21), which is longer than a short
/// attempt. Busy waiting pays for about as long.
const MOMENT: Duration = Duration::from_micros(30);

/// True with several processors: on a single one, busy waiting delays the event that it waits for.
static IS_WORTHWHILE: LazyLock<bool> =
    LazyLock::new(|| std::thread::available_parallelism().is_ok_and(|n| n.get() > 1));

/// Polls `found` for a moment. Returns true as soon as it does.
pub(super) fn spin_until(mut found: impl FnMut() -> bool) -> bool {
    if !*IS_WORTHWHILE {
        return found();
    }
    let start = Instant::now();
    loop {
        for _ in 0..16 {
            if found() {
                return true;
            }
            std::hint::spin_loop();
        }
        if start.elapsed() >= MOMENT {
            return false;
        }
    }
}
