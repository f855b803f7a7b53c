//! Heartbeats of silent streams.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// A future that resolves when the stream has been silent for the interval.
pub(crate) struct Heartbeat {
    interval: Duration,
    /// The timer; `None` if heartbeats are off.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Heartbeat {
    /// Starts the timer. An interval of zero turns heartbeats off.
    pub(crate) fn every(interval: Duration) -> Self {
        let sleep = (!interval.is_zero()).then(|| Box::pin(tokio::time::sleep(interval)));
        Self { interval, sleep }
    }

    /// Restarts the timer: the stream was not silent.
    pub(crate) fn reset(&mut self) {
        if let Some(sleep) = &mut self.sleep {
            sleep.as_mut().reset(Instant::now() + self.interval);
        }
    }
}

impl Future for Heartbeat {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.sleep {
            Some(sleep) => sleep.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }
}
