//! The reason why an execution has not started.

use serde::Deserialize;

use super::{ActionView, Client, encoded};
use crate::times::Clock;

#[derive(Deserialize)]
struct Waiting {
    action_name: String,
    queue: String,
    status: String,
    #[serde(default)]
    waiting_for: Option<String>,
    #[serde(default)]
    not_before: Option<String>,
}

#[derive(Deserialize)]
struct Queues {
    queues: Vec<Queue>,
}

#[derive(Deserialize)]
struct Queue {
    name: String,
    #[serde(default)]
    paused: bool,
    #[serde(default)]
    reason: Option<String>,
}

/// Asks the server for the reason; `None` if the execution does not wait or the server cannot be
/// asked.
pub(super) fn wait_reason(client: &Client, id: &str, clock: &Clock) -> Option<String> {
    let waiting: Waiting = client.read(&format!("/api/executions/{}", encoded(id))).ok()?;
    if waiting.status != "queued" {
        return None;
    }
    let all: Queues = client.read("/api/queues").ok()?;
    let queue = all.queues.into_iter().find(|queue| queue.name == waiting.queue);
    if queue.as_ref().is_some_and(|queue| queue.paused) {
        return Some(format!("queue {:?} is paused", waiting.queue));
    }
    // The action goes before the queue, whose reason may be about an older execution.
    let path = format!("/api/actions/{}", encoded(&waiting.action_name));
    let action: Option<ActionView> = client.read(&path).ok();
    let unavailable = action.filter(|action| !action.available).map(|action| {
        action.unavailable.unwrap_or_else(|| "no live worker offers the action".to_owned())
    });
    let later = waiting.not_before.map(|time| format!("not before {}", clock.full(&time)));
    unavailable.or(later).or(waiting.waiting_for).or(queue.and_then(|queue| queue.reason))
}
