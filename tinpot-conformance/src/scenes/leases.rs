//! Leases: an attempt that another worker may run must be dead in time.

use std::time::Duration;

use serde_json::json;
use tinpot_core::protocol::{Dispatch, Message, RejectReason, ReleasedHow};
use tokio::time::Instant;

use crate::miss::{Play, ensure};
use crate::scene::{Scene, scene};
use crate::stage::{Heard, Stage, about};

/// The lease of these scenes.
const LEASE: Duration = Duration::from_secs(3);
/// The additional time that a machine under load may take.
const SLACK: Duration = Duration::from_secs(8);

pub(super) const SCENES: &[Scene] = &[
    scene!(
        "leases/retryable",
        LEASES,
        retryable,
        "a retryable attempt is dead before the lease ends, and `released` as `killed`"
    ),
    scene!(
        "leases/not-retryable",
        LEASES,
        not_retryable,
        "an attempt that is not retryable may outlive the lease, and reports late"
    ),
    scene!("leases/extended", LEASES, extended, "each acknowledged beat extends the lease"),
    scene!(
        "leases/from-the-sending",
        LEASES,
        from_the_sending,
        "the lease counts from the sending of the beat that is echoed, not from the echo"
    ),
    scene!(
        "leases/by-a-dispatch",
        LEASES,
        by_a_dispatch,
        "a dispatch that echoes a beat extends the lease"
    ),
    scene!(
        "leases/waiting",
        LEASES,
        waiting,
        "a retryable attempt that waits is given back when the lease ends"
    ),
    scene!(
        "leases/stale-dispatch",
        DOWN,
        stale_dispatch,
        "a dispatch that echoes a beat older than the lease is `stale`"
    ),
    scene!(
        "leases/unknown-echo",
        DOWN,
        unknown_echo,
        "a dispatch that echoes a beat which was never sent does not start"
    ),
    scene!(
        "leases/dropped",
        DOWN,
        dropped,
        "what `drop` names is ended, forgotten, and not reported"
    ),
    scene!(
        "leases/dropped-after-its-end",
        DOWN,
        dropped_after_its_end,
        "what `drop` names is forgotten, also if it has ended"
    ),
];

async fn retryable_sleep(stage: &mut Stage) -> Play<Dispatch> {
    let mut order = stage.order("sleep", json!({"seconds": 60}));
    order.retryable = true;
    order.grace = Duration::from_millis(200);
    stage.dispatch(&order).await?;
    stage.running(order.fence).await?;
    Ok(order)
}

fn short(stage: &mut Stage) {
    (stage.lease, stage.beat) = (LEASE, Duration::from_millis(200));
}

/// The moment at which the lease of a silent coordinator ends, at the latest: the last echo was of
/// this beat, which was sent before it came.
fn ends_at(stage: &Stage) -> Instant {
    stage.came(stage.last_beat) + LEASE
}

async fn dead_in_time(stage: &mut Stage, order: &Dispatch, end: Instant) -> Play {
    let at = stage.released(order.fence, &[ReleasedHow::Killed]).await?;
    let late = at.saturating_duration_since(end);
    let expected = "the attempt is dead before the lease of 3 s ends";
    ensure(late < SLACK, expected, || format!("it was released {late:?} later"))
}

async fn retryable(stage: &mut Stage) -> Play {
    short(stage);
    stage.start().await?;
    let order = retryable_sleep(stage).await?;
    let end = ends_at(stage);
    stage.answers.beats = false;
    dead_in_time(stage, &order, end).await?;
    // The coordinator is back.
    stage.relax().await?;
    stage.has_counted(1).await
}

async fn not_retryable(stage: &mut Stage) -> Play {
    short(stage);
    stage.start().await?;
    let order = stage.begin_sleep(4.5).await?;
    stage.answers.beats = false;
    let outcome = stage.outcome(order.fence).await?;
    ensure(outcome.value().is_some(), "the outcome `succeeded`", || format!("{outcome:?}"))
}

async fn extended(stage: &mut Stage) -> Play {
    (stage.lease, stage.beat) = (Duration::from_secs(4), Duration::from_millis(200));
    stage.start().await?;
    let mut order = stage.order("sleep", json!({"seconds": 5.5}));
    order.retryable = true;
    order.grace = Duration::from_millis(100);
    stage.dispatch(&order).await?;
    let outcome = stage.outcome(order.fence).await?;
    let expected = "an attempt of 5.5 s succeeds with a lease of 4 s that is extended";
    ensure(outcome.value().is_some(), expected, || format!("{outcome:?}"))
}

async fn from_the_sending(stage: &mut Stage) -> Play {
    short(stage);
    stage.start().await?;
    let order = retryable_sleep(stage).await?;
    let (end, last, fence) = (ends_at(stage), stage.last_beat, order.fence);
    stage.answers.beats = false;
    // The same old beat is acknowledged again and again.
    let give_up = Instant::now() + stage.patience;
    loop {
        stage.acknowledge_beat(last, true).await?;
        let until = Instant::now() + Duration::from_millis(100);
        let ended = |heard: &Heard| matches!(about(heard, fence), Some(Message::Released(_)));
        while let Some(heard) = stage.next(until).await? {
            if ended(&heard) {
                let late = heard.at.saturating_duration_since(end);
                let expected = "the attempt is dead before the lease of 3 s ends";
                return ensure(late < SLACK, expected, || {
                    format!("it was released {late:?} later")
                });
            }
        }
        let expected = "the attempt is released, since no later beat is acknowledged";
        ensure(Instant::now() < give_up, expected, || "it still runs".to_owned())?;
    }
}

async fn by_a_dispatch(stage: &mut Stage) -> Play {
    (stage.lease, stage.beat) = (Duration::from_secs(4), Duration::from_millis(200));
    stage.start().await?;
    let mut order = stage.order("sleep", json!({"seconds": 5.5}));
    order.retryable = true;
    order.grace = Duration::from_millis(100);
    stage.dispatch(&order).await?;
    stage.running(order.fence).await?;
    stage.answers.beats = false;
    let fence = order.fence;
    let give_up = Instant::now() + stage.patience;
    loop {
        // No `beat_ack`, but work, which echoes the last beat.
        let other = stage.begin("echo", json!({"text": "work"})).await?;
        stage.result(other.fence).await?;
        let until = Instant::now() + Duration::from_millis(300);
        while let Some(heard) = stage.next(until).await? {
            if let Some(end) = about(&heard, fence) {
                let expected =
                    "an attempt of 5.5 s succeeds: each dispatch extends the lease of 4 s";
                let is_result =
                    matches!(&end, Message::Result(result) if result.outcome.value().is_some());
                return ensure(is_result, expected, || crate::rules::short(&end));
            }
        }
        ensure(Instant::now() < give_up, "the attempt ends", || "it still runs".to_owned())?;
    }
}

async fn waiting(stage: &mut Stage) -> Play {
    stage.slots = 1;
    short(stage);
    stage.start().await?;
    let first = retryable_sleep(stage).await?;
    let mut second = stage.order("count", json!({}));
    second.retryable = true;
    stage.dispatch(&second).await?;
    let end = ends_at(stage);
    stage.answers.beats = false;
    stage.released(second.fence, &[ReleasedHow::NeverRan]).await?;
    dead_in_time(stage, &first, end).await?;
    stage.relax().await?;
    stage.has_counted(1).await
}

async fn stale_dispatch(stage: &mut Stage) -> Play {
    (stage.lease, stage.beat) = (Duration::from_millis(1_000), Duration::from_millis(200));
    stage.start().await?;
    let old = stage.last_beat;
    stage.pass(Duration::from_millis(1_600)).await?;
    let mut order = stage.order("count", json!({}));
    order.seq_echo = old;
    for _ in 0..2 {
        stage.dispatch(&order).await?;
        stage.rejected(order.fence, RejectReason::Stale).await?;
    }
    stage.relax().await?;
    stage.has_counted(1).await
}

async fn unknown_echo(stage: &mut Stage) -> Play {
    stage.start().await?;
    let mut order = stage.order("count", json!({}));
    order.seq_echo = stage.last_beat + 1_000_000;
    stage.dispatch(&order).await?;
    stage.caught_up().await?;
    stage.has_counted(1).await
}

async fn dropped(stage: &mut Stage) -> Play {
    stage.slots = 1;
    stage.beat = Duration::from_millis(100);
    stage.start().await?;
    let order = stage.begin_sleep(60.0).await?;
    let fence = order.fence;
    stage.answers.drop.push(fence);
    let expected = "no report of an attempt that was dropped";
    let is_about = |heard: &Heard| about(heard, fence).is_some();
    stage.never(Duration::from_millis(1_300), expected, is_about).await?;
    forgotten(stage, fence).await?;
    // The only slot is free again.
    stage.has_counted(1).await
}

async fn dropped_after_its_end(stage: &mut Stage) -> Play {
    stage.beat = Duration::from_millis(100);
    stage.start().await?;
    stage.answers.reports = false;
    let order = stage.begin("echo", json!({"text": "dropped"})).await?;
    let fence = order.fence;
    stage.result(fence).await?;
    stage.answers.drop.push(fence);
    stage.expect("a beat", |heard| matches!(heard.message, Message::Beat(_)).then_some(())).await?;
    stage.caught_up().await?;
    let expected = "no report of an attempt that was dropped";
    let is_about = |heard: &Heard| about(heard, fence).is_some();
    stage.never(Duration::from_millis(1_300), expected, is_about).await?;
    forgotten(stage, fence).await
}

async fn forgotten(stage: &mut Stage, fence: tinpot_core::protocol::Fence) -> Play {
    let held = |heard: &Heard| match &heard.message {
        Message::Beat(beat) => Some(beat.held.contains(&fence)),
        _ => None,
    };
    let held = stage.expect("a beat", held).await?;
    ensure(!held, "a beat without the attempt that was dropped", || "it is among `held`".to_owned())
}
