//! The task that keeps one lane connected.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use super::Connect;
use super::lane::{CONNECT_PATIENCE, LaneState, Pulse, closed_by};
use super::writer::{Ending, Writer};
use crate::transport::backoff::ReconnectBackoff;

/// The time after which a connection counts as a good one, and the next outage begins with short
/// pauses again. Otherwise a broker that accepts and closes connections would see twenty a second.
const STEADY: Duration = Duration::from_secs(2);

impl LaneState {
    /// Serves one connection until it breaks or the transport closes.
    async fn serve<C: Connect>(&self, connect: &C, closing: &mut watch::Receiver<bool>) -> Ending {
        let connected = tokio::select! {
            connected = timeout(CONNECT_PATIENCE, connect.connect(self.lane)) => connected,
            () = closed_by(closing) => return Ending::Closed,
        };
        let connection = match connected {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => return Ending::failed(format!("cannot connect: {error}")),
            Err(_) => {
                let reason = format!("cannot connect: no answer within {CONNECT_PATIENCE:?}");
                return Ending::failed(reason);
            }
        };
        // A new one for every connection: an echo of an earlier one must not confirm anything.
        let echo_topic = format!("{}/echo/{}", self.prefix, Uuid::new_v4().simple());
        let pulse = Pulse { received: AtomicU64::new(0), echoed: watch::Sender::new(0) };
        self.subscriptions().connected();
        let mut writer = Writer::new(self, connection.commands, &echo_topic, &pulse);
        let reading = pin!(self.read(connection.frames, &echo_topic, &pulse));
        let ending = {
            // Side by side in one task: a write that waits must not keep frames from being read,
            // or two sides that write to each other would wait for ever.
            let writing = pin!(writer.run(closing));
            tokio::select! {
                reason = reading => Ending::failed(reason),
                ending = writing => ending,
            }
        };
        match ending {
            Ending::Failed { reason, .. } => Ending::Failed { reason, was_up: writer.was_up() },
            Ending::Closed => Ending::Closed,
        }
    }
}

/// Keeps a lane connected until the transport closes.
pub(super) async fn keep_connected<C: Connect>(
    connect: Arc<C>,
    state: Arc<LaneState>,
    other: Arc<LaneState>,
    mut closing: watch::Receiver<bool>,
) {
    let lane = state.lane;
    let mut backoff = ReconnectBackoff::new();
    let mut reported = None;
    loop {
        let start = Instant::now();
        let ending = state.serve(&*connect, &mut closing).await;
        let Ending::Failed { reason, was_up } = ending else { return };
        // A new reason may be news: the other side is back, and refuses.
        if was_up || reported.as_ref() != Some(&reason) {
            tracing::warn!(?lane, reason, "the link is down; reconnecting");
        } else {
            tracing::debug!(?lane, reason, "the link is still down");
        }
        reported = Some(reason.clone());
        state.disconnected(reason);
        if was_up {
            other.doubt();
        }
        if was_up && start.elapsed() > STEADY {
            backoff.reset();
        }
        tokio::select! {
            () = sleep(backoff.pause()) => {}
            () = closed_by(&mut closing) => return,
        }
    }
}
