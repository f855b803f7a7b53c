//! The collection of old versions and blobs, while a server runs.

use std::time::Duration;

use tinpot_bundle::{Apps, Uses};
use tinpot_core::Timestamp;
use tinpot_core::observer::{Measure, Observer};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::error::error_chain;

/// The interval at which it is written which versions were used. What was not written when a process
/// is killed is less than a 30th of the shortest time for which it counts.
const NOTE: Duration = Duration::from_secs(600);
/// The number of such intervals between two collections.
const COLLECT: u32 = 6;

/// A collection that runs. It ends with this.
#[derive(Debug)]
pub(crate) struct Collecting(JoinHandle<()>);

impl Collecting {
    /// Starts to collect, from the first interval on: a server that starts has other work.
    pub(crate) fn start(apps: Apps) -> Self {
        Self(tokio::spawn(run(apps)))
    }
}

impl Drop for Collecting {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Returns the interval, which a test may shorten.
fn interval() -> Duration {
    #[cfg(feature = "testing")]
    if let Some(millis) =
        std::env::var("TINPOT_TEST_COLLECT_MS").ok().and_then(|ms| ms.parse().ok())
    {
        return Duration::from_millis(millis);
    }
    NOTE
}

async fn run(apps: Apps) {
    let note = interval();
    let mut turns = interval_at(Instant::now() + note, note);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut turn = 0;
    loop {
        turns.tick().await;
        turn = (turn + 1) % COLLECT;
        if turn != 0 {
            if let Err(error) = apps.note_uses().await {
                let why = error_chain(&error);
                tracing::warn!("the uses of versions are not written: {why}");
            }
            continue;
        }
        match apps.collect(Timestamp::now()).await {
            Ok(found) if found.versions + found.blobs > 0 => tracing::info!(
                versions = found.versions,
                blobs = found.blobs,
                bytes = found.bytes,
                "old versions of apps are pruned, and blobs that nothing refers to are deleted"
            ),
            Ok(_) => {}
            Err(error) => {
                let why = error_chain(&error);
                tracing::warn!("old versions and blobs stay for now: {why}");
            }
        }
    }
}

/// Observes for metrics, and which versions are used.
#[derive(Debug)]
pub(crate) struct Observing<O>(pub(crate) O, pub(crate) Uses);

impl<O: Observer> Observer for Observing<O> {
    fn observe(&self, measure: &Measure<'_>) {
        self.0.observe(measure);
        self.1.observe(measure);
    }
}
