//! Dispatches: each attempt runs once, and only if it may.

use std::time::Duration;

use serde_json::json;
use tinpot_core::protocol::{Message, RejectReason};

use crate::miss::{Play, ensure};
use crate::scene::{Scene, scene};
use crate::stage::{Stage, succeeded};

pub(super) const SCENES: &[Scene] = &[
    scene!("dispatch/runs", DOWN, runs, "an attempt runs the action with its parameters"),
    scene!(
        "dispatch/repeated-while-it-runs",
        DOWN,
        repeated_while_it_runs,
        "a repetition is answered as before, and starts nothing"
    ),
    scene!(
        "dispatch/repeated-after-its-end",
        DOWN,
        repeated_after_its_end,
        "the repetition of an attempt that has ended gets its result again"
    ),
    scene!(
        "dispatch/repeated-in-a-frame",
        DOWN,
        repeated_in_a_frame,
        "an attempt runs once, however often it is dispatched"
    ),
    scene!(
        "dispatch/unknown-action",
        DOWN,
        unknown_action,
        "an action that the worker does not offer is rejected, and so is the repetition"
    ),
];

async fn runs(stage: &mut Stage) -> Play {
    stage.start().await?;
    for text in ["hello", "", "ümläut 😀 \u{2028} \" \\ \u{1}"] {
        let outcome = stage.run("echo", json!({"text": text})).await?;
        let found = succeeded(&outcome)?;
        ensure(found == text, format!("`echo` returns {text:?}"), || found.to_string())?;
    }
    Ok(())
}

async fn repeated_while_it_runs(stage: &mut Stage) -> Play {
    stage.start().await?;
    let order = stage.begin_sleep(30.0).await?;
    for _ in 0..3 {
        stage.dispatch(&order).await?;
        let runs = stage.accepted(order.fence).await?;
        ensure(runs, "an `accept` with `running` true, as before", || "false".to_owned())?;
    }
    stage.cancel(order.fence).await?;
    stage.cancelled(order.fence).await
}

async fn repeated_after_its_end(stage: &mut Stage) -> Play {
    stage.start().await?;
    stage.answers.reports = false;
    let order = stage.begin("count", json!({})).await?;
    let first = stage.result(order.fence).await?;
    stage.dispatch(&order).await?;
    let again = stage.result(order.fence).await?;
    ensure(first == again, "the same result again", || format!("{again:?}"))?;
    stage.answers.reports = true;
    stage.acknowledge(order.fence).await?;
    // The repetition may have been on its way for long.
    stage.dispatch(&order).await?;
    stage.caught_up().await?;
    stage.has_counted(2).await
}

async fn repeated_in_a_frame(stage: &mut Stage) -> Play {
    stage.start().await?;
    let order = stage.order("count", json!({}));
    stage.dispatch(&order).await?;
    stage.send(vec![Message::Dispatch(order.clone()); 20]).await?;
    stage.result(order.fence).await?;
    stage.caught_up().await?;
    stage.has_counted(2).await
}

async fn unknown_action(stage: &mut Stage) -> Play {
    stage.start().await?;
    let order = stage.begin("no-such-action", json!({})).await?;
    for _ in 0..2 {
        stage.rejected(order.fence, RejectReason::UnknownAction).await?;
        stage.dispatch(&order).await?;
    }
    stage.pass(Duration::from_millis(50)).await
}
