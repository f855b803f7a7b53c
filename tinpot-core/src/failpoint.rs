//! Named points at which a test can kill the process.

/// Aborts the process if `TINPOT_FAILPOINT` is `name`, or `name:n` and this is the n-th pass. Only
/// with feature `testing`.
#[cfg(feature = "testing")]
pub fn failpoint(name: &str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static WANTED: OnceLock<Option<(String, u64)>> = OnceLock::new();
    static PASSED: AtomicU64 = AtomicU64::new(0);
    let wanted = WANTED.get_or_init(|| {
        let text = std::env::var("TINPOT_FAILPOINT").ok()?;
        Some(match text.split_once(':') {
            Some((name, passing)) => (name.to_owned(), passing.parse().unwrap_or(1)),
            None => (text, 1),
        })
    });
    if let Some((wanted, passing)) = wanted
        && wanted == name
        && PASSED.fetch_add(1, Ordering::Relaxed) + 1 == *passing
    {
        std::process::abort();
    }
}

/// Does nothing: the feature `testing` is off.
#[cfg(not(feature = "testing"))]
pub(crate) fn failpoint(_: &str) {}
