//! The requests to end an attempt, with the time of its kill.

use std::time::Duration;

use tinpot_core::{Context, Stop, Watcher};
use tokio::time::Instant;

/// A request to end an attempt.
#[derive(Debug)]
pub enum StopRequest {
    /// End within the grace period.
    Terminate(Duration),
    /// Kill: the grace period has passed.
    Kill,
}

/// The requests to end one attempt. A later, shorter grace period replaces an earlier one.
#[derive(Debug)]
pub struct StopRequests {
    stops: Watcher<Option<Stop>>,
    kill_at: Option<Instant>,
}

impl StopRequests {
    /// Returns the requests to the attempt of this context.
    pub fn of(context: &Context) -> Self {
        Self { stops: context.stop_requests(), kill_at: None }
    }

    /// Returns the next request. Cancel safe.
    pub async fn next(&mut self) -> StopRequest {
        let grace_over = async {
            match self.kill_at {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            stop = next_stop(&mut self.stops) => {
                let at = Instant::now() + stop.grace;
                self.kill_at = Some(self.kill_at.map_or(at, |earlier| earlier.min(at)));
                StopRequest::Terminate(stop.grace)
            }
            () = grace_over => {
                self.kill_at = None;
                StopRequest::Kill
            }
        }
    }
}

async fn next_stop(stops: &mut Watcher<Option<Stop>>) -> Stop {
    loop {
        match stops.next().await {
            Some(Some(stop)) => return stop,
            Some(None) => {}
            None => std::future::pending().await,
        }
    }
}
