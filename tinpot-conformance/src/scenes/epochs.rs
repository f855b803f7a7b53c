//! Restarts of the coordinator, and other coordinators.

use std::time::Duration;

use serde_json::json;
use tinpot_core::protocol::{Drain, Epoch, Message, WhoIsThere};

use crate::miss::{Play, ensure};
use crate::scene::{Scene, scene};
use crate::stage::{Heard, Stage, about, succeeded};

pub(super) const SCENES: &[Scene] = &[
    scene!(
        "epochs/restart",
        EPOCHS,
        restart,
        "a later epoch of the same store is followed once it echoes a beat"
    ),
    scene!(
        "epochs/restart-while-it-runs",
        EPOCHS,
        restart_while_it_runs,
        "an attempt of an earlier epoch is reported to the next one"
    ),
    scene!(
        "epochs/restart-before-the-acknowledgement",
        EPOCHS,
        restart_before_the_acknowledgement,
        "a result that was not acknowledged is sent to the next epoch"
    ),
    scene!(
        "epochs/restart-unnoticed",
        EPOCHS,
        restart_unnoticed,
        "a later epoch is followed without an announcement, too"
    ),
    scene!(
        "epochs/adopted-by-a-dispatch",
        EPOCHS,
        adopted_by_a_dispatch,
        "a dispatch of a later epoch that echoes a beat is adopted and started"
    ),
    scene!(
        "epochs/no-echo",
        EPOCHS,
        no_echo,
        "a message of a later epoch without an echo is ignored"
    ),
    scene!("epochs/earlier", EPOCHS, earlier, "everything of an earlier epoch is ignored"),
    scene!(
        "epochs/fences-start-again",
        EPOCHS,
        fences_start_again,
        "an epoch has fences of its own: a known number of another one is new"
    ),
    scene!(
        "epochs/another-store-too-soon",
        EPOCHS,
        another_store_too_soon,
        "another store is ignored while the present one is heard"
    ),
    scene!(
        "epochs/another-store",
        EPOCHS,
        another_store,
        "another store is followed once it echoes a beat three beats later than the last echo"
    ),
    scene!("dispatch/settled", DOWN, settled, "a fence that `beat_ack` has settled starts nothing"),
    scene!(
        "dispatch/settled-by-a-dispatch",
        DOWN,
        settled_by_a_dispatch,
        "a dispatch settles the fences up to `settled`"
    ),
    scene!(
        "dispatch/out-of-order",
        DOWN,
        out_of_order,
        "dispatches may come in any order, above what is settled"
    ),
    scene!("dispatch/late", DOWN, late, "a dispatch of an earlier epoch starts nothing"),
];

fn hello(heard: &Heard) -> Option<()> {
    matches!(heard.message, Message::Hello(_)).then_some(())
}

async fn restart(stage: &mut Stage) -> Play {
    stage.start().await?;
    stage.has_counted(1).await?;
    for times in 2..4 {
        stage.restart().await?;
        stage.followed().await?;
        stage.has_counted(times).await?;
    }
    Ok(())
}

async fn restart_while_it_runs(stage: &mut Stage) -> Play {
    stage.start().await?;
    let order = stage.begin_sleep(1.0).await?;
    stage.restart().await?;
    stage.followed().await?;
    let outcome = stage.outcome(order.fence).await?;
    ensure(outcome.value().is_some(), "the outcome `succeeded`", || format!("{outcome:?}"))
}

async fn restart_before_the_acknowledgement(stage: &mut Stage) -> Play {
    stage.start().await?;
    stage.answers.reports = false;
    let order = stage.begin("count", json!({})).await?;
    let first = stage.result(order.fence).await?;
    stage.restart().await?;
    stage.followed().await?;
    let again = stage.result(order.fence).await?;
    ensure(first == again, "the same result again", || format!("{again:?}"))?;
    stage.answers.reports = true;
    stage.acknowledge(order.fence).await?;
    stage.has_counted(2).await
}

async fn restart_unnoticed(stage: &mut Stage) -> Play {
    stage.beat = Duration::from_millis(200);
    stage.start().await?;
    // Nothing is announced: with sealed frames, no message could come without a new session.
    if stage.keys.is_some() {
        stage.restart().await?;
    } else {
        stage.epoch.number += 1;
        stage.first_fence();
    }
    stage.followed().await?;
    stage.has_counted(1).await
}

async fn adopted_by_a_dispatch(stage: &mut Stage) -> Play {
    stage.start().await?;
    stage.answers.beats = false;
    stage.restart().await?;
    stage.expect("a `hello`, in answer to the later epoch", hello).await?;
    let beat = |heard: &Heard| matches!(heard.message, Message::Beat(_)).then_some(());
    stage.expect("a `beat` behind it", beat).await?;
    stage.has_counted(1).await?;
    stage.answers.beats = true;
    stage.followed().await
}

async fn no_echo(stage: &mut Stage) -> Play {
    stage.start().await?;
    let later = Epoch { number: stage.epoch.number + 7, ..stage.epoch };
    stage.send(vec![Message::Drain(Drain { epoch: later })]).await?;
    stage.caught_up().await?;
    let slots = stage.hello.as_ref().map(|hello| hello.slots);
    ensure(slots == Some(2), "the worker does not drain", || {
        format!("a hello with {slots:?} slots")
    })?;
    stage.has_counted(1).await
}

async fn earlier(stage: &mut Stage) -> Play {
    stage.start().await?;
    let first = stage.epoch;
    stage.restart().await?;
    stage.followed().await?;
    let order = stage.begin_sleep(1.0).await?;
    // The earlier coordinator is still alive somewhere, and hears the beats.
    let now = std::mem::replace(&mut stage.epoch, first);
    stage.answers.cancel.push(order.fence);
    stage.acknowledge_beat(stage.last_beat, true).await?;
    stage.cancel(order.fence).await?;
    stage.drain().await?;
    stage.send(vec![Message::WhoIsThere(WhoIsThere { epoch: first })]).await?;
    stage.epoch = now;
    let outcome = stage.outcome(order.fence).await?;
    ensure(outcome.value().is_some(), "the outcome `succeeded`", || format!("{outcome:?}"))?;
    stage.has_counted(1).await
}

async fn fences_start_again(stage: &mut Stage) -> Play {
    stage.start().await?;
    stage.has_counted(1).await?;
    stage.settled = 1;
    stage.has_counted(2).await?;
    stage.restart().await?;
    stage.followed().await?;
    // Fences 1 and 2 of this epoch.
    stage.has_counted(3).await?;
    stage.has_counted(4).await
}

async fn another_store_too_soon(stage: &mut Stage) -> Play {
    stage.start().await?;
    let order = stage.order("count", json!({}));
    let other = Epoch { instance: 0x0bad_cafe, number: 9 };
    let mut foreign = order.clone();
    foreign.fence.epoch = other;
    // It echoes the beat that the present coordinator has echoed already.
    stage.dispatch(&foreign).await?;
    let ours = std::mem::replace(&mut stage.epoch, other);
    stage.acknowledge_beat(stage.last_beat, true).await?;
    stage.epoch = ours;
    stage.caught_up().await?;
    stage.dispatch(&order).await?;
    let outcome = stage.outcome(order.fence).await?;
    let found = succeeded(&outcome)?;
    ensure(found == 1, "only the attempt of the present store runs, and returns 1", || {
        found.to_string()
    })
}

async fn another_store(stage: &mut Stage) -> Play {
    stage.beat = Duration::from_millis(200);
    stage.start().await?;
    stage.has_counted(1).await?;
    // The present coordinator falls silent.
    stage.answers.beats = false;
    let last = stage.last_beat;
    while stage.last_beat < last + 4 {
        stage.expect("beats, although none is acknowledged", |_| Some(())).await?;
    }
    stage.answers.beats = true;
    stage.epoch = Epoch { instance: 0x0bad_cafe, number: 1 };
    stage.announce().await?;
    stage.followed().await?;
    stage.has_counted(2).await
}

async fn settled(stage: &mut Stage) -> Play {
    stage.start().await?;
    let old = stage.order("count", json!({}));
    let next = stage.order("count", json!({}));
    stage.settled = 1;
    stage.acknowledge_beat(stage.last_beat, true).await?;
    stage.dispatch(&old).await?;
    stage.dispatch(&next).await?;
    let outcome = stage.outcome(next.fence).await?;
    let found = succeeded(&outcome)?;
    ensure(found == 1, "only the fence that is not settled runs, and returns 1", || {
        found.to_string()
    })
}

async fn settled_by_a_dispatch(stage: &mut Stage) -> Play {
    stage.start().await?;
    let old = stage.order("count", json!({}));
    stage.settled = 1;
    stage.has_counted(1).await?;
    stage.dispatch(&old).await?;
    stage.caught_up().await?;
    stage.has_counted(2).await
}

async fn out_of_order(stage: &mut Stage) -> Play {
    stage.start().await?;
    let texts = ["first", "second", "third", "fourth"];
    let orders = texts.map(|text| stage.order("echo", json!({"text": text})));
    for (text, order) in texts.iter().zip(&orders).rev() {
        stage.dispatch(order).await?;
        let found = succeeded(&stage.outcome(order.fence).await?)?;
        ensure(found == *text, format!("the text {text}"), || found.to_string())?;
    }
    stage.has_counted(1).await
}

async fn late(stage: &mut Stage) -> Play {
    stage.start().await?;
    let old = stage.order("count", json!({}));
    stage.restart().await?;
    stage.followed().await?;
    let mut old_again = old.clone();
    old_again.seq_echo = stage.last_beat;
    stage.dispatch(&old_again).await?;
    stage.caught_up().await?;
    stage.has_counted(1).await?;
    let fence = old.fence;
    let started = |heard: &Heard| matches!(about(heard, fence), Some(Message::Result(_)));
    let expected = "no result of an attempt whose epoch is over";
    stage.never(Duration::from_millis(200), expected, started).await
}
