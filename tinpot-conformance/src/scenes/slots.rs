//! Attempts that wait for a slot.

use std::time::Duration;

use serde_json::json;
use tinpot_core::protocol::{Message, ReleasedHow};

use crate::miss::{Miss, Play, ensure};
use crate::rules::short;
use crate::scene::{Scene, scene};
use crate::stage::{Heard, Stage, about};

pub(super) const SCENES: &[Scene] = &[
    scene!(
        "slots/waiting",
        UP,
        waiting,
        "an attempt without a slot is accepted with `running` false, and again when it starts"
    ),
    scene!(
        "slots/given-back",
        DOWN,
        given_back,
        "an attempt that has waited for half a second is given back, and never starts"
    ),
    scene!("slots/free", UP, free, "`free` is the number of idle slots"),
    scene!(
        "slots/flood",
        DOWN,
        flood,
        "100 attempts in one frame run once each, or are given back"
    ),
];

async fn waiting(stage: &mut Stage) -> Play {
    stage.slots = 1;
    stage.start().await?;
    // It waits for half a second at most, so a slow machine needs more than one attempt.
    for _ in 0..10 {
        let first = stage.begin_sleep(60.0).await?;
        let second = stage.begin("sleep", json!({"seconds": 60})).await?;
        let runs = stage.accepted(second.fence).await?;
        ensure(!runs, "`running` false, since the only slot is taken", || "true".to_owned())?;
        stage.cancel(first.fence).await?;
        let fence = second.fence;
        let expected = "an `accept` with `running` true once the slot is free";
        let starts = stage.expect(expected, |heard| match &heard.message {
            Message::Accept(accept) if accept.fence == fence && accept.running => Some(true),
            Message::Released(released) if released.fence == fence => Some(false),
            _ => None,
        });
        if starts.await? {
            stage.cancel(fence).await?;
            return stage.cancelled(fence).await;
        }
    }
    Err(Miss::new("a waiting attempt starts once a slot is free", "ten were given back"))
}

async fn given_back(stage: &mut Stage) -> Play {
    stage.slots = 1;
    stage.start().await?;
    let first = stage.begin_sleep(60.0).await?;
    let second = stage.begin("count", json!({})).await?;
    stage.released(second.fence, &[ReleasedHow::NeverRan]).await?;
    // A repetition that was on its way for long.
    stage.dispatch(&second).await?;
    stage.cancel(first.fence).await?;
    stage.cancelled(first.fence).await?;
    stage.has_counted(1).await
}

async fn free(stage: &mut Stage) -> Play {
    stage.slots = 2;
    stage.beat = Duration::from_millis(100);
    stage.start().await?;
    let mut orders = Vec::new();
    for free in [1, 0] {
        orders.push(stage.begin_sleep(60.0).await?);
        has_free(stage, free).await?;
    }
    for order in orders {
        stage.cancel(order.fence).await?;
        stage.cancelled(order.fence).await?;
    }
    has_free(stage, 2).await
}

async fn has_free(stage: &mut Stage, free: u32) -> Play {
    stage.caught_up().await?;
    let beat = |heard: &Heard| match &heard.message {
        Message::Beat(beat) => Some(beat.free),
        _ => None,
    };
    let found = stage.expect("a beat", beat).await?;
    ensure(found == free, format!("{free} free slots"), || found.to_string())
}

async fn flood(stage: &mut Stage) -> Play {
    stage.slots = 4;
    stage.start().await?;
    let mut open: Vec<_> = (0..100).map(|_| stage.order("count", json!({}))).collect();
    let messages = open.iter().map(|order| Message::Dispatch(order.clone())).collect();
    open.iter().for_each(|order| stage.tell(order.fence));
    stage.send(messages).await?;
    let (mut ran, mut counts) = (0, std::collections::BTreeSet::new());
    while !open.is_empty() {
        let expected = format!("the ends of {} more attempts", open.len());
        let found = stage.expect(&expected, |heard| {
            open.iter().find_map(|order| about(heard, order.fence).map(|end| (order.fence, end)))
        });
        let (fence, end) = found.await?;
        match &end {
            Message::Result(result) => {
                let value = crate::stage::succeeded(&result.outcome)?;
                ran += 1;
                ensure(counts.insert(value.as_u64()), "a number once", || {
                    format!("{value} twice")
                })?;
            }
            Message::Released(released) if released.how == ReleasedHow::NeverRan => {}
            other => return Err(Miss::new(expected, short(other))),
        }
        open.retain(|order| order.fence != fence);
    }
    stage.has_counted(ran + 1).await
}
