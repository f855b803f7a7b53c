//! What becomes of attempts that are asked to end.

use std::time::{Duration, Instant};

use serde_json::json;

use super::support::{AMPLE, Running, SHORT, Scratch, start, start_with, value};
use super::{Kill, Subject};
use crate::model::outcome::Outcome;
use crate::model::stop::{Stop, StopReason};

/// An attempt that is asked to end cleans up and ends, long before its grace period is over.
pub async fn stop_lets_cleanup_run(subject: &Subject) {
    let scratch = Scratch::new();
    let running = start(subject, "wait", scratch.parameters());
    scratch.started().await;
    running.ask(AMPLE);
    assert_eq!(running.end().await.outcome, Outcome::Cancelled);
    assert!(scratch.has("cleaned"), "it was not let clean up");
}

/// A request that came before the attempt counts.
pub async fn stop_before_the_start_counts(subject: &Subject) {
    let scratch = Scratch::new();
    let (stop, _) = crate::executor::stop_channel();
    stop.send_replace(Some(Stop { reason: StopReason::Cancelled, grace: AMPLE }));
    // Whoever subscribes now has not missed the request, although it will see no change.
    let stops = stop.subscribe();
    let parameters = scratch.parameters().to_string();
    let running = start_with(subject, "wait", &parameters, stop, stops);
    assert_eq!(running.end().await.outcome, Outcome::Cancelled);
}

/// An attempt that finishes in spite of the request, within the grace period, says what it did.
pub async fn stop_may_be_survived(subject: &Subject) {
    let scratch = Scratch::new();
    let running = start(subject, "stubborn", scratch.parameters());
    scratch.started().await;
    running.ask(AMPLE);
    scratch.release();
    assert_released(running.end().await.outcome);
}

/// Without a grace period an attempt is killed at once.
pub async fn stop_without_grace_kills(subject: &Subject) {
    let scratch = Scratch::new();
    let running = start(subject, "stubborn", scratch.parameters());
    scratch.started().await;
    running.ask(Duration::ZERO);
    assert_killed(subject, running, &scratch).await;
}

/// An attempt that does not end is killed when the grace period is over, and not before.
pub async fn ignored_stop_is_killed(subject: &Subject) {
    let scratch = Scratch::new();
    let running = start(subject, "stubborn", scratch.parameters());
    scratch.started().await;
    let asked = Instant::now();
    running.ask(SHORT);
    assert_killed(subject, running, &scratch).await;
    assert!(asked.elapsed() >= SHORT, "it was killed before its time");
}

/// A later, shorter request replaces the first.
pub async fn shorter_stop_replaces_a_longer(subject: &Subject) {
    let scratch = Scratch::new();
    let running = start(subject, "stubborn", scratch.parameters());
    scratch.started().await;
    running.ask(AMPLE);
    tokio::task::yield_now().await;
    running.ask(SHORT);
    assert_killed(subject, running, &scratch).await;
}

/// After an attempt was stopped, and after one was killed, others run.
pub async fn next_attempt_is_unharmed(subject: &Subject) {
    for _ in 0..3 {
        stop_lets_cleanup_run(subject).await;
        assert_eq!(value(subject, "add", json!({ "a": 1 })).await, json!(3));
        ignored_stop_is_killed(subject).await;
        assert_eq!(value(subject, "add", json!({ "a": 2 })).await, json!(4));
    }
}

/// The attempt is dead, or, where that cannot be had, lives on until it ends by itself and `execute` says so by not resolving.
async fn assert_killed(subject: &Subject, running: Running, scratch: &Scratch) {
    match subject.kill {
        Kill::Hard => assert_eq!(running.end().await.outcome, Outcome::Cancelled),
        Kill::Cooperative => {
            let beyond = Instant::now() + SHORT * 3;
            while Instant::now() < beyond {
                assert!(!running.is_finished(), "execute resolved while the action was alive");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            scratch.release();
            assert_released(running.end().await.outcome);
        }
    }
}

fn assert_released(outcome: Outcome) {
    assert_eq!(outcome.value().map(|value| value.as_str()), Some("\"released\""), "{outcome:?}");
}
