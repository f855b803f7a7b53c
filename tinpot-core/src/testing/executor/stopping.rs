//! Attempts that are asked to end.

use std::time::{Duration, Instant};

use serde_json::json;

use super::support::{
    AMPLE, Running, SHORT, Scratch, assert_dead, run, start, start_with, until, value,
};
use super::{Kill, Subject};
use crate::model::outcome::Outcome;
use crate::model::stop::{Stop, StopReason};

/// An attempt that is asked to end cleans up and ends, long before its grace period has passed.
pub async fn stop_lets_cleanup_run(subject: &Subject) {
    let scratch = Scratch::new();
    let running = start(subject, "wait", scratch.parameters());
    scratch.started().await;
    running.ask(AMPLE);
    assert_eq!(running.end().await.outcome, Outcome::Cancelled);
    assert!(scratch.has("cleaned"), "the action could not clean up");
}

/// A request from before the start of the attempt counts.
pub async fn stop_before_the_start_counts(subject: &Subject) {
    let scratch = Scratch::new();
    let (stop, _) = crate::executor::stop_channel();
    stop.send_replace(Some(Stop { reason: StopReason::Cancelled, grace: AMPLE }));
    // A new receiver sees the request as its current value, and no change.
    let stops = stop.subscribe();
    let parameters = scratch.parameters().to_string();
    let running = start_with(subject, "wait", &parameters, stop, stops);
    assert_eq!(running.end().await.outcome, Outcome::Cancelled);
}

/// An attempt that finishes within the grace period in spite of the request reports its own
/// outcome.
pub async fn stop_may_be_survived(subject: &Subject) {
    let scratch = Scratch::new();
    let running = start(subject, "stubborn", scratch.parameters());
    scratch.started().await;
    running.ask(AMPLE);
    scratch.release();
    assert_released(subject, running.end().await.outcome);
}

/// Without a grace period, an attempt is killed at once.
pub async fn stop_without_grace_kills(subject: &Subject) {
    let scratch = Scratch::new();
    let running = start(subject, "stubborn", scratch.parameters());
    scratch.started().await;
    running.ask(Duration::ZERO);
    assert_killed(subject, running, &scratch).await;
}

/// An attempt that does not end is killed once the grace period has passed, and not earlier.
pub async fn ignored_stop_is_killed(subject: &Subject) {
    let scratch = Scratch::new();
    let running = start(subject, "stubborn", scratch.parameters());
    scratch.started().await;
    let asked = Instant::now();
    running.ask(SHORT);
    let ended = assert_killed(subject, running, &scratch).await;
    assert!(ended - asked >= SHORT, "the attempt was killed before its grace period had passed");
}

/// A later, shorter request replaces the first.
pub async fn shorter_stop_replaces_a_longer(subject: &Subject) {
    let scratch = Scratch::new();
    let running = start(subject, "stubborn", scratch.parameters());
    scratch.started().await;
    running.ask(AMPLE);
    // Time in which the executor sees the first request.
    tokio::time::sleep(SHORT).await;
    running.ask(SHORT);
    assert_killed(subject, running, &scratch).await;
}

/// Killing an attempt kills the child that it has started.
pub async fn the_child_of_a_killed_attempt_is_killed(subject: &Subject) {
    let scratch = Scratch::new();
    let running = start(subject, "leave_child", scratch.parameters_with("wait", true));
    scratch.started().await;
    running.ask(Duration::ZERO);
    if subject.kill == Kill::Cooperative {
        scratch.release();
        let outcome = running.end().await.outcome;
        assert!(matches!(outcome, Outcome::Succeeded(_)), "{outcome:?}");
        return;
    }
    assert_eq!(running.end().await.outcome, Outcome::Cancelled);
    if subject.children {
        return assert_child_is_dead(subject, &scratch).await;
    }
    // The kill may take the process of the child along, which the executor does not promise.
    scratch.release();
    assert!(!scratch.has("ended"), "the action reached its end although it was killed");
}

/// A child that an action leaves behind is dead when `execute` resolves.
pub async fn ended_attempt_leaves_no_child(subject: &Subject) {
    let scratch = Scratch::new();
    let ended = run(subject, "leave_child", scratch.parameters_with("wait", false)).await;
    assert!(matches!(ended.outcome, Outcome::Succeeded(_)), "{:?}", ended.outcome);
    assert_child_is_dead(subject, &scratch).await;
}

/// The child is dead, or lives on if the executor does not promise its death.
async fn assert_child_is_dead(subject: &Subject, scratch: &Scratch) {
    if subject.children {
        return assert_dead(subject, scratch).await;
    }
    scratch.release();
    until("the child ends by itself", || scratch.has("child_ended")).await;
    assert!(!scratch.has("ended"), "the action reached its end although it was killed");
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

/// The attempt is dead, or goes on until it ends by itself if the executor cannot kill. `execute`
/// does not resolve before that. Returns when it resolved.
async fn assert_killed(subject: &Subject, running: Running, scratch: &Scratch) -> Instant {
    match subject.kill {
        Kill::Hard => {
            assert_eq!(running.end().await.outcome, Outcome::Cancelled);
            let ended = Instant::now();
            assert_dead(subject, scratch).await;
            ended
        }
        Kill::Cooperative => {
            let beyond = Instant::now() + SHORT * 3;
            while Instant::now() < beyond {
                assert!(!running.is_finished(), "execute resolved while the action was alive");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            scratch.release();
            assert_released(subject, running.end().await.outcome);
            Instant::now()
        }
    }
}

fn assert_released(subject: &Subject, outcome: Outcome) {
    let value = if subject.values { "\"released\"" } else { "null" };
    assert_eq!(outcome.value().map(|value| value.as_str()), Some(value), "{outcome:?}");
}
