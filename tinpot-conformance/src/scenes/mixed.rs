//! Random scenes: everything together, in an order that the seed decides.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::json;
use tinpot_core::Outcome;
use tinpot_core::protocol::{Dispatch, Fence, Message, ReleasedHow};
use tokio::time::Instant;

use crate::miss::{Miss, Play, ensure};
use crate::rules::short;
use crate::scene::{Scene, scene};
use crate::stage::{Stage, succeeded};

pub(super) const SCENES: &[Scene] = &[
    scene!(
        "mixed/lost-acknowledgements",
        SHORT,
        lost_acknowledgements,
        "attempts run once and are reported, although acknowledgements are lost"
    ),
    scene!(
        "mixed/restarts",
        EPOCHS,
        restarts,
        "attempts run once and are reported, although the coordinator restarts"
    ),
    scene!(
        "mixed/reconnects",
        SHORT,
        reconnects,
        "attempts run once and are reported, although connections are lost"
    ),
    scene!(
        "mixed/everything",
        SHORT,
        everything,
        "attempts run once and are reported, whatever happens"
    ),
    scene!("mixed/everything-sealed", SEALED, everything, "the same with sealed frames", sealed),
];

/// The number of things that happen in a scene.
const STEPS: usize = 60;

/// The faults of a scene.
#[derive(Clone, Copy, Default)]
struct Faults {
    acknowledgements: bool,
    restarts: bool,
    /// The number of lost connections. Each costs a second or more.
    cuts: usize,
}

/// The attempts of a scene.
#[derive(Default)]
struct Attempts {
    open: BTreeMap<Fence, Dispatch>,
    cancelled: BTreeSet<Fence>,
    /// The reports that are not acknowledged.
    reported: BTreeSet<Fence>,
    /// The values that `count` returned.
    counts: BTreeSet<u64>,
}

async fn lost_acknowledgements(stage: &mut Stage) -> Play {
    play(stage, Faults { acknowledgements: true, ..Faults::default() }).await
}

async fn restarts(stage: &mut Stage) -> Play {
    play(stage, Faults { restarts: true, ..Faults::default() }).await
}

async fn reconnects(stage: &mut Stage) -> Play {
    play(stage, Faults { cuts: 2, ..Faults::default() }).await
}

async fn everything(stage: &mut Stage) -> Play {
    play(stage, Faults { acknowledgements: true, restarts: true, cuts: 1 }).await
}

async fn play(stage: &mut Stage, faults: Faults) -> Play {
    stage.slots = 3;
    stage.beat = Duration::from_millis(200);
    stage.start().await?;
    stage.answers.reports = false;
    let mut attempts = Attempts::default();
    let mut cuts = faults.cuts;
    for step in 0..STEPS {
        match stage.random.below(12) {
            0..=3 => {
                let order = stage.order("count", json!({}));
                begin(stage, &mut attempts, order).await?;
            }
            4 => {
                let order = stage.order("sleep", json!({"seconds": 0.05}));
                begin(stage, &mut attempts, order).await?;
            }
            5 => {
                let order = stage.order("sleep", json!({"seconds": 60}));
                let fence = order.fence;
                begin(stage, &mut attempts, order).await?;
                attempts.cancelled.insert(fence);
                stage.cancel(fence).await?;
            }
            6 | 7 => {
                let at = stage.random.below(attempts.open.len().max(1));
                if let Some(order) = attempts.open.values().nth(at).cloned() {
                    stage.dispatch(&order).await?;
                }
            }
            8 => stage.send_json(&[json!({"levitate": {"step": step}})]).await?,
            9 if faults.restarts
                && stage.random.once_in(if stage.keys.is_some() { 4 } else { 2 }) =>
            {
                stage.restart().await?;
                follow(stage, &mut attempts).await?;
            }
            10 if cuts > 0 && step > STEPS / 4 => {
                cuts -= 1;
                stage.place.gate.cut();
            }
            _ => {}
        }
        let time = stage.random.below(40);
        listen(stage, &mut attempts, Duration::from_millis(time as u64)).await?;
        acknowledge(stage, &mut attempts, faults.acknowledgements).await?;
    }
    finish(stage, &mut attempts).await?;
    reach(stage, &mut attempts).await?;
    stage.answers.reports = true;
    let ran = attempts.counts.len() as u64;
    stage.has_counted(ran + 1).await
}

async fn begin(stage: &mut Stage, attempts: &mut Attempts, order: Dispatch) -> Play {
    stage.dispatch(&order).await?;
    attempts.open.insert(order.fence, order);
    Ok(())
}

/// Reads what comes for a while.
async fn listen(stage: &mut Stage, attempts: &mut Attempts, time: Duration) -> Play {
    let until = Instant::now() + time;
    while let Some(heard) = stage.next(until).await? {
        take(attempts, &heard.message)?;
    }
    Ok(())
}

/// Notes the end of an attempt.
fn take(attempts: &mut Attempts, message: &Message) -> Play {
    let fence = match message {
        Message::Result(result) => result.fence,
        Message::Released(released) => released.fence,
        Message::Reject(reject) => reject.fence,
        _ => return Ok(()),
    };
    if !matches!(message, Message::Reject(_)) {
        // Also again: the acknowledgement may have been lost with a connection.
        attempts.reported.insert(fence);
    }
    let Some(order) = attempts.open.remove(&fence) else { return Ok(()) };
    let is_cancelled = attempts.cancelled.contains(&fence);
    match message {
        Message::Result(result) if &*order.action == "count" => {
            let value = succeeded(&result.outcome)?.as_u64().unwrap_or_default();
            ensure(attempts.counts.insert(value), "each run counts once", || {
                format!("{value} twice: {}", short(message))
            })?;
        }
        Message::Result(result) => {
            let is_right = match is_cancelled {
                true => result.outcome == Outcome::Cancelled,
                false => result.outcome.value().is_some(),
            };
            let expected = if is_cancelled { "the outcome `cancelled`" } else { "a success" };
            ensure(is_right, expected, || short(message))?;
        }
        Message::Released(released) => {
            // An attempt that was never dispatched to it, or waited too long.
            let is_right = matches!(released.how, ReleasedHow::NeverRan | ReleasedHow::Unknown);
            ensure(is_right, "`never_ran`, if it is released at all", || short(message))?;
        }
        _ => {}
    }
    Ok(())
}

/// Acknowledges reports: all, or some.
async fn acknowledge(stage: &mut Stage, attempts: &mut Attempts, loses_some: bool) -> Play {
    for fence in attempts.reported.clone() {
        if loses_some && !stage.random.once_in(4) {
            continue;
        }
        attempts.reported.remove(&fence);
        stage.acknowledge(fence).await?;
    }
    Ok(())
}

/// Waits for the ends of all attempts, as a coordinator does: it repeats dispatches of this epoch,
/// and asks about those of earlier ones.
async fn finish(stage: &mut Stage, attempts: &mut Attempts) -> Play {
    let until = Instant::now() + 3 * stage.patience;
    while !attempts.open.is_empty() {
        if Instant::now() > until {
            let fences: Vec<_> = attempts.open.keys().map(Fence::to_string).collect();
            let expected = "every attempt is reported, rejected or released";
            return Err(Miss::new(expected, format!("nothing about {}", fences.join(", "))));
        }
        let open: Vec<Dispatch> = attempts.open.values().cloned().collect();
        for mut order in open {
            let fence = order.fence;
            if fence.epoch == stage.epoch {
                order.seq_echo = stage.last_beat;
                stage.dispatch(&order).await?;
            } else {
                stage.probe(fence).await?;
            }
            if attempts.cancelled.contains(&fence) {
                stage.cancel(fence).await?;
            }
        }
        listen(stage, attempts, Duration::from_millis(500)).await?;
        acknowledge(stage, attempts, false).await?;
    }
    acknowledge(stage, attempts, false).await
}

/// Waits until the worker follows the coordinator.
async fn follow(stage: &mut Stage, attempts: &mut Attempts) -> Play {
    let until = Instant::now() + stage.patience;
    while !stage.is_followed() {
        let epoch = stage.epoch;
        ensure(Instant::now() < until, format!("a beat that names the epoch {epoch}"), || {
            "none".to_owned()
        })?;
        listen(stage, attempts, Duration::from_millis(20)).await?;
    }
    Ok(())
}

/// Waits until the worker answers. Its connection may have been cut a moment ago.
async fn reach(stage: &mut Stage, attempts: &mut Attempts) -> Play {
    let until = Instant::now() + stage.patience;
    stage.hello = None;
    while stage.hello.is_none() {
        ensure(Instant::now() < until, "a `hello` when it is asked", || "none".to_owned())?;
        stage.who_is_there(stage.epoch).await?;
        listen(stage, attempts, Duration::from_millis(700)).await?;
    }
    Ok(())
}
