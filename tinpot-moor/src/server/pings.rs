//! Pings: which workers hear what is published, and which live.

use std::time::Duration;

use uuid::Uuid;

use super::{Effect, Server};
use crate::wire::message::{Reply, ToWorker};

/// The interval of pings to all workers.
const INTERVAL: Duration = Duration::from_secs(5);
/// The silence after which an idle worker is gone: two pings without a pong.
const SILENCE: Duration = Duration::from_secs(10);
/// The pauses before the pings for a worker that has attached; the last one is repeated. A request
/// that is published before the worker has subscribed is lost.
const PROBES: [Duration; 4] = [
    Duration::from_millis(5),
    Duration::from_millis(15),
    Duration::from_millis(80),
    Duration::from_secs(1),
];
/// The shortest pause between two pings: each wakes all workers of the pair.
const PAUSE: Duration = Duration::from_millis(5);

impl Server {
    /// Sends pings that are due, and ends workers that are silent.
    pub(crate) fn tick(&mut self, now: Duration) {
        let silent: Vec<Uuid> = self
            .workers
            .iter()
            .filter(|(_, worker)| worker.is_idle() && now >= worker.idle_since + SILENCE)
            .map(|(id, _)| *id)
            .collect();
        for worker in silent {
            self.end(worker, "the worker does not answer pings");
        }
        let is_due = now >= self.next_ping
            || self.workers.values().any(|worker| worker.probe.is_some_and(|(at, _)| now >= at));
        if is_due && self.last_ping.is_none_or(|last| now >= last + PAUSE) {
            self.ping(now);
        }
        self.wake_at = self.next_wake(now);
    }

    fn next_wake(&self, now: Duration) -> Duration {
        let probes = self.workers.values().filter_map(|worker| worker.probe).map(|(at, _)| at);
        let ping = probes.fold(self.next_ping, Duration::min);
        let ping = self.last_ping.map_or(ping, |last| ping.max(last + PAUSE));
        let idle = self.workers.values().filter(|worker| worker.is_idle());
        let wake = idle.map(|worker| worker.idle_since + SILENCE).fold(ping, Duration::min);
        wake.max(now + Duration::from_millis(1))
    }

    fn ping(&mut self, now: Duration) {
        // What an idle worker has not answered since the ping before the last, it did not get.
        let is_settled = self.last_ping.is_none_or(|last| now >= last + INTERVAL * 4 / 5);
        for worker in self.workers.values_mut() {
            if is_settled && worker.requests.is_empty() {
                worker.unanswered = 0;
            }
            worker.unanswered += 1;
            if let Some((at, count)) = &mut worker.probe
                && now >= *at
            {
                *count += 1;
                *at = now + PROBES[(*count).min(PROBES.len() - 1)];
            }
        }
        self.last_ping = Some(now);
        self.next_ping = now + INTERVAL;
        if let Ok(ping) = ToWorker::Ping.encode(self.config.dialect) {
            self.effects.push(Effect::Publish(ping));
        }
    }

    /// Asks for pings until this worker answers one.
    pub(super) fn probe(&mut self, now: Duration, worker: Uuid) {
        let at = now + PROBES[0];
        if let Some(worker) = self.workers.get_mut(&worker) {
            worker.probe = Some((at, 0));
        }
        self.wake_at = self.wake_at.min(at);
    }

    pub(super) fn pong(&mut self, now: Duration, worker: Uuid, worker_type: &str) -> Reply {
        let Some(attached) = self.workers.get_mut(&worker) else {
            // It has outlived a coordinator, or a silence.
            return self.attach(now, worker, worker_type);
        };
        if !attached.kind.is_called(worker_type) {
            let name = &attached.kind.name;
            let reason = format!("the worker attached as {name:?}, and not as {worker_type:?}");
            return Reply::InvalidPayload(reason);
        }
        attached.idle_since = now;
        if attached.is_ready {
            self.passed_by(worker);
            return Reply::Ack;
        }
        (attached.is_ready, attached.probe) = (true, None);
        attached.unanswered = attached.unanswered.saturating_sub(1);
        let (incarnation, kind) = (attached.incarnation, attached.kind.clone());
        self.effects.push(Effect::Ready { worker, incarnation, kind });
        Reply::Ack
    }
}
