//! Cancels and timeouts.

use std::time::Duration;

use serde_json::json;
use tinpot_core::Outcome;
use tinpot_core::protocol::{Cancel, Message, ReleasedHow};
use tokio::time::Instant;

use crate::miss::{Miss, Play, ensure};
use crate::rules::short;
use crate::scene::{Scene, scene};
use crate::stage::{Stage, about};

pub(super) const SCENES: &[Scene] = &[
    scene!(
        "cancel/running",
        SHORT,
        running,
        "an attempt that is cancelled ends, and is reported as `cancelled`"
    ),
    scene!(
        "cancel/before-the-dispatch",
        SHORT,
        before_the_dispatch,
        "a cancel of an attempt that is not held is answered by `released`, and it never starts"
    ),
    scene!(
        "cancel/waiting",
        SHORT,
        waiting,
        "an attempt that waits for a slot is cancelled without a start"
    ),
    scene!(
        "cancel/in-a-beat-ack",
        DOWN,
        in_a_beat_ack,
        "`cancel` in `beat_ack` counts as a cancel"
    ),
    scene!(
        "cancel/after-the-end",
        SHORT,
        after_the_end,
        "an attempt that ended before its cancel is reported as it ended"
    ),
    scene!("cancel/twice", SHORT, twice, "a repeated cancel changes nothing"),
    scene!("cancel/at-once", DOWN, at_once, "`force` leaves no grace period"),
    scene!(
        "cancel/of-an-earlier-epoch",
        EPOCHS,
        of_an_earlier_epoch,
        "a cancel of an earlier epoch is ignored"
    ),
    scene!(
        "cancel/storm",
        SHORT,
        storm,
        "attempts that are dispatched and cancelled together are all reported"
    ),
    scene!(
        "timeout/ends",
        SHORT,
        times_out,
        "an attempt that exceeds `timeout_ms` ends, and is `timed_out`"
    ),
    scene!(
        "timeout/of-others",
        SHORT,
        of_others,
        "an attempt that ends in time has its own outcome"
    ),
];

async fn running(stage: &mut Stage) -> Play {
    stage.start().await?;
    let order = stage.begin_sleep(60.0).await?;
    stage.cancel(order.fence).await?;
    stage.cancelled(order.fence).await?;
    // Its slot is free again.
    stage.has_counted(1).await
}

async fn before_the_dispatch(stage: &mut Stage) -> Play {
    stage.start().await?;
    let order = stage.order("count", json!({}));
    stage.cancel(order.fence).await?;
    stage.released(order.fence, &[ReleasedHow::NeverRan, ReleasedHow::Unknown]).await?;
    stage.dispatch(&order).await?;
    stage.caught_up().await?;
    stage.has_counted(1).await
}

async fn waiting(stage: &mut Stage) -> Play {
    stage.slots = 1;
    stage.start().await?;
    let first = stage.begin_sleep(60.0).await?;
    let second = stage.order("count", json!({}));
    stage.dispatch(&second).await?;
    stage.cancel(second.fence).await?;
    let expected = format!("{} is released as `never_ran`, or `cancelled`", second.fence);
    match stage.report(second.fence, &expected).await?.message {
        Message::Released(released) if released.how == ReleasedHow::NeverRan => {}
        Message::Result(result) if result.outcome == Outcome::Cancelled => {}
        other => return Err(Miss::new(expected, short(&other))),
    }
    stage.cancel(first.fence).await?;
    stage.cancelled(first.fence).await?;
    stage.has_counted(1).await
}

async fn in_a_beat_ack(stage: &mut Stage) -> Play {
    stage.beat = Duration::from_millis(100);
    stage.start().await?;
    let order = stage.begin_sleep(60.0).await?;
    stage.answers.cancel.push(order.fence);
    stage.cancelled(order.fence).await
}

async fn after_the_end(stage: &mut Stage) -> Play {
    stage.start().await?;
    stage.answers.reports = false;
    let order = stage.begin("echo", json!({"text": "done"})).await?;
    let first = stage.result(order.fence).await?;
    stage.cancel(order.fence).await?;
    let again = stage.result(order.fence).await?;
    ensure(first == again, "the same result again", || format!("{again:?}"))?;
    stage.acknowledge(order.fence).await
}

async fn twice(stage: &mut Stage) -> Play {
    stage.start().await?;
    stage.answers.reports = false;
    let order = stage.begin_sleep(60.0).await?;
    for _ in 0..3 {
        stage.cancel(order.fence).await?;
    }
    stage.cancelled(order.fence).await?;
    stage.cancel(order.fence).await?;
    stage.cancelled(order.fence).await?;
    stage.acknowledge(order.fence).await?;
    stage.has_counted(1).await
}

async fn at_once(stage: &mut Stage) -> Play {
    stage.start().await?;
    let mut order = stage.order("sleep", json!({"seconds": 60}));
    order.grace = Duration::from_secs(60);
    stage.dispatch(&order).await?;
    stage.running(order.fence).await?;
    let cancel = Cancel { epoch: stage.epoch, fence: order.fence, force: true };
    stage.send(vec![Message::Cancel(cancel)]).await?;
    stage.cancelled(order.fence).await
}

async fn of_an_earlier_epoch(stage: &mut Stage) -> Play {
    stage.start().await?;
    let order = stage.begin_sleep(1.0).await?;
    let mut epoch = stage.epoch;
    epoch.number -= 1;
    let cancel = Cancel { epoch, fence: order.fence, force: true };
    stage.send(vec![Message::Cancel(cancel)]).await?;
    let outcome = stage.outcome(order.fence).await?;
    let expected = "the attempt ends by itself, and succeeds";
    ensure(outcome.value().is_some(), expected, || format!("{outcome:?}"))
}

async fn storm(stage: &mut Stage) -> Play {
    stage.start().await?;
    let mut messages = Vec::new();
    let mut open = Vec::new();
    for _ in 0..20 {
        let order = stage.order("sleep", json!({"seconds": 60}));
        stage.tell(order.fence);
        let cancel = Cancel { epoch: stage.epoch, fence: order.fence, force: false };
        open.push(order.fence);
        messages.push(Message::Dispatch(order));
        let at = stage.random.below(messages.len() + 1);
        messages.insert(at, Message::Cancel(cancel));
    }
    stage.send(messages).await?;
    while !open.is_empty() {
        let expected = format!("{} more attempts are `cancelled` or `released`", open.len());
        let found = stage.expect(&expected, |heard| {
            open.iter().find_map(|fence| about(heard, *fence).map(|message| (*fence, message)))
        });
        let (fence, message) = found.await?;
        let is_over = match &message {
            Message::Result(result) => result.outcome == Outcome::Cancelled,
            Message::Released(_) => true,
            _ => false,
        };
        ensure(is_over, expected, || short(&message))?;
        open.retain(|one| *one != fence);
    }
    stage.has_counted(1).await
}

async fn times_out(stage: &mut Stage) -> Play {
    stage.start().await?;
    let mut order = stage.order("sleep", json!({"seconds": 60}));
    order.timeout = Some(Duration::from_millis(300));
    let began = Instant::now();
    stage.dispatch(&order).await?;
    let outcome = stage.outcome(order.fence).await?;
    ensure(outcome == Outcome::TimedOut, "the outcome `timed_out`", || format!("{outcome:?}"))?;
    let took = began.elapsed();
    let expected = "no timeout before 300 ms";
    ensure(took >= Duration::from_millis(290), expected, || format!("one after {took:?}"))
}

async fn of_others(stage: &mut Stage) -> Play {
    stage.start().await?;
    let mut order = stage.order("echo", json!({"text": "quick"}));
    order.timeout = Some(Duration::from_secs(30));
    stage.dispatch(&order).await?;
    let outcome = stage.outcome(order.fence).await?;
    ensure(outcome.value().is_some(), "the outcome `succeeded`", || format!("{outcome:?}"))
}
