//! Attempts that end by themselves.

use futures::future::join_all;
use serde_json::{Value, json};

use super::Subject;
use super::support::{Scratch, run, start, start_with, value, value_of, within};
use crate::model::log::Progress;
use crate::model::outcome::Outcome;

/// Any JSON value comes back unchanged.
pub async fn value_comes_back(subject: &Subject) {
    let values = [
        json!(null),
        json!(true),
        json!(-7),
        json!(9_007_199_254_740_993_i64),
        json!(0.1),
        json!(""),
        json!("zwölf \u{1f600} \" \\ \n \u{0} \u{2028}"),
        json!([]),
        json!({}),
        json!([[1, "a", null], { "b": { "c": [false] } }]),
    ];
    for sent in values {
        let returned = value(subject, "echo", json!({ "value": sent })).await;
        assert!(returned == sent, "{returned} came back for {sent}");
    }
}

/// A megabyte of parameters arrives, or fails the attempt if the executor cannot take that much.
pub async fn large_parameters_arrive_or_fail(subject: &Subject) {
    const MEGABYTE: usize = 1_000_000;
    // Without return values the value comes back as a line, and the longest line has 64 KiB.
    let most = if subject.values { MEGABYTE } else { 60_000 };
    let text = "x".repeat(most.min(subject.max_parameters_bytes.saturating_sub(1_000)));
    let returned = value(subject, "echo", json!({ "value": text })).await;
    assert!(returned == *text, "a string of {} bytes came back changed", text.len());
    if subject.max_parameters_bytes < MEGABYTE {
        let text = "x".repeat(subject.max_parameters_bytes.max(MEGABYTE));
        let outcome = run(subject, "echo", json!({ "value": text })).await.outcome;
        assert!(matches!(outcome, Outcome::Failed(_)), "{outcome:?}");
        assert_eq!(value(subject, "echo", json!({ "value": 1 })).await, json!(1));
    }
}

/// Parameters arrive under their names, in any layout of their JSON.
pub async fn parameters_arrive(subject: &Subject) {
    assert_eq!(value(subject, "add", json!({ "a": 3, "b": 4 })).await, json!(7));
    let (stop, stops) = crate::executor::stop_channel();
    let laid_out = "{\n  \"b\": 4,\r\n\t\"a\": -3\n}\n";
    let ended = start_with(subject, "add", laid_out, stop, stops).end().await;
    assert_eq!(value_of(subject, &ended), json!(1));
}

/// A missing parameter has the default of the action.
pub async fn default_applies(subject: &Subject) {
    assert_eq!(value(subject, "add", json!({ "a": 1 })).await, json!(3));
}

/// A failure carries the message of the action.
pub async fn failure_says_why(subject: &Subject) {
    let message = "no room for \"ünï\"";
    match run(subject, "fail", json!({ "message": message })).await.outcome {
        Outcome::Failed(failure) => assert!(failure.message.contains(message), "{failure:?}"),
        other => panic!("ended with {other:?}"),
    }
}

/// An attempt at an action that is not offered fails and names the action.
pub async fn unknown_action_fails(subject: &Subject) {
    match run(subject, "no_such_action", json!({})).await.outcome {
        Outcome::Failed(failure) => {
            assert!(failure.message.contains("no_such_action"), "{failure:?}");
        }
        other => panic!("ended with {other:?}"),
    }
}

/// A crash fails one attempt, and harms neither a running nor a later one.
pub async fn crash_is_isolated(subject: &Subject) {
    let scratch = Scratch::new();
    let neighbour = start(subject, "stubborn", scratch.parameters());
    scratch.started().await;
    for _ in 0..3 {
        let crashed = run(subject, "crash", json!({})).await.outcome;
        assert!(matches!(crashed, Outcome::Failed(_)), "{crashed:?}");
        assert_eq!(value(subject, "echo", json!({ "value": 1 })).await, json!(1));
    }
    scratch.release();
    let outcome = neighbour.end().await.outcome;
    assert!(matches!(outcome, Outcome::Succeeded(_)), "{outcome:?}");
}

/// Several attempts run at the same time, and a hundred at once all end.
pub async fn many_run_at_once(subject: &Subject) {
    let scratches: Vec<Scratch> = (0..4).map(|_| Scratch::new()).collect();
    let four: Vec<_> =
        scratches.iter().map(|s| start(subject, "stubborn", s.parameters())).collect();
    for scratch in &scratches {
        scratch.started().await;
    }
    scratches.iter().for_each(Scratch::release);
    for running in four {
        running.end().await;
    }
    let sums = join_all((0..100).map(|i| value(subject, "add", json!({ "a": i, "b": 1 })))).await;
    let expected: Vec<Value> = (0..100).map(|i| json!(i + 1)).collect();
    assert_eq!(sums, expected);
}

/// Progress arrives if the actions of the executor can report it. If not, the action is not
/// offered.
pub async fn progress_is_seen(subject: &Subject) {
    let parameters = json!({ "done": 2.5, "total": 10.0, "message": "quarter" });
    let mut running = start(subject, "progress", parameters);
    if subject.progress {
        let seen = within("progress", running.progress.wait_for(Option::is_some)).await;
        let expected = Progress { done: 2.5, total: Some(10.0), message: "quarter".to_owned() };
        assert_eq!(seen.expect("the attempt has reported").as_ref(), Some(&expected));
    }
    let outcome = running.end().await.outcome;
    assert_eq!(matches!(outcome, Outcome::Succeeded(_)), subject.progress, "{outcome:?}");
}
