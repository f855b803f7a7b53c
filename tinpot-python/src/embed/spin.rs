//! Looking for a moment before sleeping.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// A thread that sleeps is woken in some 25 µs (measured 2026-11-21), which is longer than a short attempt takes. So long it is worth looking.
const MOMENT: Duration = Duration::from_micros(30);

/// With a single processor, whoever looks keeps the others from what it looks for.
static WORTH_IT: LazyLock<bool> =
    LazyLock::new(|| std::thread::available_parallelism().is_ok_and(|n| n.get() > 1));

/// Looks until `found` says so, or for a moment; whether it was found.
pub(super) fn spin_until(mut found: impl FnMut() -> bool) -> bool {
    if !*WORTH_IT {
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
