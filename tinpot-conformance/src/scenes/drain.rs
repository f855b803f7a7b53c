//! Drains: the worker takes nothing new, reports, and leaves.

use std::time::Duration;

use serde_json::json;
use tinpot_core::protocol::{Goodbye, Message, RejectReason, ReleasedHow};

use crate::miss::{Miss, Play, ensure};
use crate::scene::{Scene, scene};
use crate::stage::{Heard, Stage};

pub(super) const SCENES: &[Scene] = &[
    scene!(
        "drain/idle",
        SHORT,
        idle,
        "an idle worker that drains offers 0 slots, says `goodbye`, and ends"
    ),
    scene!(
        "drain/running",
        SHORT,
        running,
        "a worker that drains reports what runs before it leaves"
    ),
    scene!(
        "drain/waiting",
        DOWN,
        waiting,
        "a worker that drains gives back what waits, and rejects what comes"
    ),
    scene!(
        "drain/acknowledged-first",
        SHORT,
        acknowledged_first,
        "a worker that drains waits for the acknowledgement of every report"
    ),
    scene!(
        "drain/repeated",
        DOWN,
        repeated,
        "a request to drain that is repeated is answered by a hello with 0 slots"
    ),
    scene!("drain/by-the-host", SHORT, by_the_host, "SIGTERM drains the worker, too"),
    scene!(
        "drain/by-the-host-while-it-runs",
        SHORT,
        by_the_host_while_it_runs,
        "what outlives the shutdown of its worker has failed with `worker_shutdown`"
    ),
];

fn no_slots(heard: &Heard) -> Option<()> {
    matches!(&heard.message, Message::Hello(hello) if hello.slots == 0).then_some(())
}

fn goodbye(heard: &Heard) -> Option<Goodbye> {
    match &heard.message {
        Message::Goodbye(goodbye) => Some(goodbye.clone()),
        _ => None,
    }
}

async fn leaves(stage: &mut Stage) -> Play {
    stage.may_end = true;
    let goodbye = stage.expect("a `goodbye`", goodbye).await?;
    let held = &goodbye.held;
    ensure(held.is_empty(), "a `goodbye` without held attempts", || format!("{held:?}"))?;
    stage.left().await
}

async fn idle(stage: &mut Stage) -> Play {
    stage.start().await?;
    stage.drain().await?;
    stage.may_end = true;
    stage.expect("a `hello` with 0 slots", no_slots).await?;
    leaves(stage).await
}

async fn running(stage: &mut Stage) -> Play {
    stage.start().await?;
    let order = stage.begin_sleep(1.0).await?;
    stage.drain().await?;
    stage.may_end = true;
    stage.expect("a `hello` with 0 slots", no_slots).await?;
    let outcome = stage.outcome(order.fence).await?;
    ensure(outcome.value().is_some(), "the outcome `succeeded`", || format!("{outcome:?}"))?;
    leaves(stage).await
}

async fn waiting(stage: &mut Stage) -> Play {
    stage.slots = 1;
    stage.start().await?;
    let first = stage.begin_sleep(3.0).await?;
    let second = stage.begin("count", json!({})).await?;
    stage.accepted(second.fence).await?;
    stage.drain().await?;
    stage.may_end = true;
    stage.released(second.fence, &[ReleasedHow::NeverRan]).await?;
    let third = stage.begin("count", json!({})).await?;
    stage.rejected(third.fence, RejectReason::Draining).await?;
    stage.outcome(first.fence).await?;
    leaves(stage).await
}

async fn acknowledged_first(stage: &mut Stage) -> Play {
    stage.start().await?;
    stage.answers.reports = false;
    let order = stage.begin("echo", json!({"text": "x"})).await?;
    stage.result(order.fence).await?;
    stage.drain().await?;
    let expected = "no `goodbye` before the result is acknowledged";
    let leaves_early = |heard: &Heard| goodbye(heard).is_some();
    stage.never(Duration::from_millis(1_500), expected, leaves_early).await?;
    stage.answers.reports = true;
    stage.acknowledge(order.fence).await?;
    leaves(stage).await
}

async fn repeated(stage: &mut Stage) -> Play {
    stage.start().await?;
    let order = stage.begin_sleep(3.0).await?;
    for _ in 0..3 {
        stage.drain().await?;
        stage.expect("a `hello` with 0 slots", no_slots).await?;
    }
    stage.may_end = true;
    stage.outcome(order.fence).await?;
    leaves(stage).await
}

async fn by_the_host(stage: &mut Stage) -> Play {
    stage.start().await?;
    stage.may_end = true;
    stage.terminate();
    leaves(stage).await
}

async fn by_the_host_while_it_runs(stage: &mut Stage) -> Play {
    // The patience of a worker is its own: the attempt may also end first.
    stage.patience = stage.patience.max(Duration::from_secs(40));
    stage.start().await?;
    let order = stage.begin_sleep(120.0).await?;
    let fence = order.fence;
    stage.may_end = true;
    stage.terminate();
    stage.expect("a `hello` with 0 slots", no_slots).await?;
    let expected = "a failure with the code `worker_shutdown`";
    match stage.report(fence, expected).await?.message {
        Message::Result(result) => {
            let code = result.outcome.failure().map(|failure| failure.code);
            ensure(code == Some(tinpot_core::FailureCode::WorkerShutdown), expected, || {
                format!("{:?}", result.outcome)
            })?;
        }
        other => return Err(Miss::new(expected, crate::rules::short(&other))),
    }
    leaves(stage).await
}
