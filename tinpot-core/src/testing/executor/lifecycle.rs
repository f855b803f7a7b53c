//! Executors from their first action set to their end.

use serde_json::json;

use super::support::{Scratch, assert_dead, run, start, until, value, within};
use super::{Kill, Subject};
use crate::model::action::parameters;
use crate::model::outcome::Outcome;

/// The actions of the suite are offered, with their parameters in order.
pub async fn set_of_actions_is_offered(subject: &Subject) {
    let offer = subject.executor.actions().current();
    assert_eq!(offer.load_errors, [], "there are load errors");
    let mut found: Vec<String> = offer
        .actions
        .iter()
        .map(|action| {
            let parameters: Vec<String> = parameters(&action.schema)
                .into_iter()
                .map(|p| format!("{}{}", p.name, if p.required { "" } else { "?" }))
                .collect();
            format!("{}({})", action.name, parameters.join(" "))
        })
        .collect();
    let mut expected = vec![
        "echo(value)",
        "add(a b?)",
        "fail(message)",
        "crash()",
        "print_lines(count prefix? scratch?)",
        "wait(dir)",
        "stubborn(dir)",
        "leave_child(dir wait)",
    ];
    if subject.progress {
        expected.push("progress(done message total)");
    }
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected);
}

/// Dropping the future of an attempt kills the attempt and its child, or at least asks it to end.
pub async fn dropped_future_ends_its_attempt(subject: &Subject) {
    let scratch = Scratch::new();
    if !subject.drop_kills {
        let running = start(subject, "wait", scratch.parameters());
        scratch.started().await;
        running.drop_future().await;
        return until("the dropped attempt cleans up", || scratch.has("cleaned")).await;
    }
    let running = match subject.children {
        true => start(subject, "leave_child", scratch.parameters_with("wait", true)),
        false => start(subject, "stubborn", scratch.parameters()),
    };
    scratch.started().await;
    running.drop_future().await;
    // The contract says "as soon as the implementation can". The subject says how long that may be.
    tokio::time::sleep(subject.settle).await;
    assert_dead(subject, &scratch).await;
}

/// Dropping the future of an attempt harms no other attempt.
pub async fn dropped_future_harms_nothing_else(subject: &Subject) {
    let (dropped, neighbour) = (Scratch::new(), Scratch::new());
    let other = start(subject, "stubborn", neighbour.parameters());
    let running = start(subject, "wait", dropped.parameters());
    dropped.started().await;
    neighbour.started().await;
    running.drop_future().await;
    for i in 0..8 {
        assert_eq!(value(subject, "echo", json!({ "value": i })).await, json!(i));
    }
    neighbour.release();
    let outcome = other.end().await.outcome;
    assert!(matches!(outcome, Outcome::Succeeded(_)), "{outcome:?}");
}

/// An attempt that runs when the executor closes ends without success.
pub async fn close_ends_what_runs(subject: &Subject) {
    let scratch = Scratch::new();
    let action = if subject.kill == Kill::Hard { "stubborn" } else { "wait" };
    let running = start(subject, action, scratch.parameters());
    scratch.started().await;
    let closed = within("close", subject.executor.close()).await;
    assert!(closed.is_ok(), "{closed:?}");
    let outcome = running.end().await.outcome;
    assert!(matches!(outcome, Outcome::Failed(_) | Outcome::Cancelled), "{outcome:?}");
    if subject.kill == Kill::Hard {
        assert_dead(subject, &scratch).await;
    }
}

/// A closed executor runs nothing, and says that it is closed.
pub async fn closed_executor_refuses(subject: &Subject) {
    assert_eq!(value(subject, "echo", json!({ "value": 1 })).await, json!(1));
    assert!(subject.executor.close().await.is_ok());
    match run(subject, "echo", json!({ "value": 1 })).await.outcome {
        Outcome::Failed(failure) => assert!(failure.message.contains("closed"), "{failure:?}"),
        other => panic!("ended with {other:?}"),
    }
}

/// Closing again changes nothing.
pub async fn close_is_idempotent(subject: &Subject) {
    for _ in 0..3 {
        assert!(within("close", subject.executor.close()).await.is_ok());
    }
}
