//! A transport that loses, repeats and delays frames, for tests in paused time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;

use super::random::Random;
use crate::model::address::{Address, Channel, Lane};
use crate::model::error::Result;
use crate::transport::{Link, Received, Transport};
use crate::watcher::Watcher;

/// The faults of a [`FaultyTransport`].
#[derive(Clone, Copy, Debug)]
pub struct Faults {
    /// The probability that a frame is lost.
    pub loss: f64,
    /// The probability that a frame arrives twice.
    pub duplicate: f64,
    /// The longest delay. Each frame has a delay of its own, so frames overtake each other.
    pub delay: Duration,
}

/// Sends through another transport, with faults that the seed and the order of the calls determine.
#[derive(Debug)]
pub struct FaultyTransport<T> {
    inner: Arc<T>,
    faults: Faults,
    random: AtomicU64,
}

impl<T: Transport> FaultyTransport<T> {
    /// Returns a transport that sends through `inner`.
    pub fn new(inner: T, faults: Faults, seed: u64) -> Self {
        Self { inner: Arc::new(inner), faults, random: AtomicU64::new(seed) }
    }

    fn random(&self) -> Random {
        Random::new(self.random.fetch_add(0x9e37_79b9, Ordering::Relaxed))
    }
}

#[async_trait]
impl<T: Transport> Transport for FaultyTransport<T> {
    async fn send(&self, to: &Address, lane: Lane, frame: Bytes) -> Result<()> {
        let mut random = self.random();
        let copies = if random.chance(self.faults.loss) {
            0
        } else if random.chance(self.faults.duplicate) {
            2
        } else {
            1
        };
        for _ in 0..copies {
            let (inner, to, frame) = (self.inner.clone(), to.clone(), frame.clone());
            let delay = random.duration(self.faults.delay);
            tokio::spawn(async move {
                tokio::time::sleep(delay).await;
                // A transport may lose frames for any reason.
                let _ = inner.send(&to, lane, frame).await;
            });
        }
        Ok(())
    }

    async fn listen(&self, at: &Address, lane: Lane) -> Result<BoxStream<'static, Received>> {
        self.inner.listen(at, lane).await
    }

    fn speaks_for(&self) -> Channel {
        self.inner.speaks_for()
    }

    fn status(&self) -> Watcher<Link> {
        self.inner.status()
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}
