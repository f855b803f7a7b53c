//! Sealed frames: joins, sessions, and what an owner of the broker can do.

use std::time::Duration;

use serde_json::json;
use tinpot_core::protocol::{Frame, Message, WhoIsThere};
use tinpot_core::transport::{Address, Lane};
use tokio::time::Instant;

use crate::miss::{Miss, Play, ensure};
use crate::scene::{Scene, scene};
use crate::sealing::Keys;
use crate::stage::{Heard, Stage};

pub(super) const SCENES: &[Scene] = &[
    scene!(
        "sealed/runs",
        SEALED,
        runs,
        "a worker joins with its token, and then seals its frames",
        sealed
    ),
    scene!(
        "sealed/join-sent-again",
        SEALED,
        join_sent_again,
        "a join is sent again, the same, every second until it is answered",
        sealed
    ),
    scene!(
        "sealed/join-forged",
        SEALED,
        join_forged,
        "an answer that the key of the namespace has not signed is ignored",
        sealed
    ),
    scene!(
        "sealed/init-sent-again",
        SEALED,
        init_sent_again,
        "an init is sent again, the same, until it is answered",
        sealed
    ),
    scene!(
        "sealed/accept-forged",
        SEALED,
        accept_forged,
        "an accept that another key has signed is ignored",
        sealed
    ),
    scene!("sealed/plain", SEALED, plain, "a worker with keys drops plain frames", sealed),
    scene!(
        "sealed/changed",
        SEALED,
        changed,
        "a sealed frame with one changed bit is dropped",
        sealed
    ),
    scene!("sealed/repeated", SEALED, repeated, "a sealed frame counts once", sealed),
    scene!(
        "sealed/moved-lane",
        SEALED,
        moved_lane,
        "a sealed frame counts on its lane only",
        sealed
    ),
    scene!(
        "sealed/out-of-order",
        SEALED,
        out_of_order,
        "sealed frames may come in any order",
        sealed
    ),
    scene!(
        "sealed/restart",
        SEALED,
        restart,
        "a coordinator that starts again gets a new session",
        sealed
    ),
    scene!(
        "sealed/forgotten-session",
        SEALED,
        forgotten_session,
        "a notice that names the session makes the worker send an init",
        sealed
    ),
    scene!(
        "sealed/earlier-notice",
        SEALED,
        earlier_notice,
        "a notice of an earlier epoch makes a worker do nothing",
        sealed
    ),
    scene!(
        "sealed/forged-notice",
        SEALED,
        forged_notice,
        "a notice that another key has signed is ignored",
        sealed
    ),
    scene!(
        "sealed/reconnect",
        SEALED,
        reconnect,
        "a session outlives the connection, or is made again",
        sealed
    ),
];

fn hello(heard: &Heard) -> Option<()> {
    matches!(heard.message, Message::Hello(_)).then_some(())
}

fn keys(stage: &mut Stage) -> Play<&mut Keys> {
    stage.keys.as_mut().ok_or_else(|| Miss::broken("the scene", "it has no keys"))
}

/// A question of the present epoch, as a sealed frame.
fn question(stage: &mut Stage) -> Play<Vec<u8>> {
    let messages = vec![Message::WhoIsThere(WhoIsThere { epoch: stage.epoch })];
    let document = Frame { from: None, to: Some(stage.id()?), messages }.encode();
    let frame = stage.sealed(Lane::Control, &document)?;
    frame.ok_or_else(|| Miss::broken("the scene", "its frames are plain"))
}

async fn deliver(stage: &mut Stage, lane: Lane, frame: Vec<u8>) -> Play {
    let to = Address::Worker(stage.id()?);
    stage.publish(&to, lane, frame).await
}

async fn unanswered(stage: &mut Stage, expected: &str) -> Play {
    stage.never(Duration::from_millis(400), expected, |heard| hello(heard).is_some()).await?;
    // The session is as it was.
    stage.caught_up().await?;
    stage.has_counted(1).await
}

async fn runs(stage: &mut Stage) -> Play {
    stage.start().await?;
    stage.has_counted(1).await?;
    stage.caught_up().await
}

async fn join_sent_again(stage: &mut Stage) -> Play {
    keys(stage)?.ignored_joins = 2;
    stage.start().await?;
    let joins = &keys(stage)?.joins;
    let is_same = joins.iter().all(|join| *join == joins[0]);
    ensure(is_same, "the same join again, since each has a key to enrol", || {
        format!("{} joins that differ", joins.len())
    })
}

async fn join_forged(stage: &mut Stage) -> Play {
    keys(stage)?.forges_join = true;
    stage.start().await?;
    stage.has_counted(1).await
}

async fn init_sent_again(stage: &mut Stage) -> Play {
    keys(stage)?.ignored_inits = 2;
    stage.start().await?;
    let inits = &keys(stage)?.inits;
    ensure(inits.len() >= 3, "three inits", || inits.len().to_string())?;
    let is_same = inits[..3].iter().all(|init| *init == inits[0]);
    ensure(is_same, "the same init again", || "inits that differ".to_owned())
}

async fn accept_forged(stage: &mut Stage) -> Play {
    keys(stage)?.forges_accept = true;
    stage.start().await?;
    stage.has_counted(1).await
}

async fn plain(stage: &mut Stage) -> Play {
    stage.start().await?;
    let order = stage.order("count", json!({}));
    let messages =
        vec![Message::Dispatch(order), Message::WhoIsThere(WhoIsThere { epoch: stage.epoch })];
    let frame = Frame { from: None, to: Some(stage.id()?), messages }.encode();
    stage.trace.note("→ a plain dispatch, and `who_is_there`");
    deliver(stage, Lane::Control, frame.to_vec()).await?;
    unanswered(stage, "no answer to a plain frame").await
}

async fn changed(stage: &mut Stage) -> Play {
    stage.start().await?;
    for _ in 0..8 {
        let mut frame = question(stage)?;
        let at = stage.random.below(frame.len());
        frame[at] ^= 1 << stage.random.below(8);
        stage.trace.note(&format!("→ `who_is_there`, sealed, with a changed bit in byte {at}"));
        deliver(stage, Lane::Control, frame).await?;
    }
    unanswered(stage, "no answer to a frame that was changed").await
}

async fn repeated(stage: &mut Stage) -> Play {
    stage.start().await?;
    let frame = question(stage)?;
    stage.trace.note("→ `who_is_there`, sealed, four times");
    for _ in 0..4 {
        deliver(stage, Lane::Control, frame.clone()).await?;
    }
    stage.expect("a `hello`", hello).await?;
    unanswered(stage, "one answer, however often the frame comes").await
}

async fn moved_lane(stage: &mut Stage) -> Play {
    stage.start().await?;
    let frame = question(stage)?;
    stage.trace.note("→ `who_is_there`, sealed for the control lane, on that of logs");
    deliver(stage, Lane::Logs, frame.clone()).await?;
    stage
        .never(Duration::from_millis(400), "no answer to a frame on the wrong lane", |heard| {
            hello(heard).is_some()
        })
        .await?;
    // It was not counted: where it belongs, it is fresh.
    deliver(stage, Lane::Control, frame).await?;
    stage.expect("a `hello`, once the frame comes on its lane", hello).await
}

async fn out_of_order(stage: &mut Stage) -> Play {
    stage.start().await?;
    let mut frames = vec![question(stage)?, question(stage)?, question(stage)?];
    stage.trace.note("→ three times `who_is_there`, sealed, the last one first");
    while let Some(frame) = frames.pop() {
        deliver(stage, Lane::Control, frame).await?;
        stage.expect("a `hello` for each frame", hello).await?;
    }
    Ok(())
}

async fn restart(stage: &mut Stage) -> Play {
    stage.start().await?;
    let order = stage.begin_sleep(1.0).await?;
    let before = keys(stage)?.inits.len();
    stage.restart().await?;
    stage.followed().await?;
    let inits = keys(stage)?.inits.len() - before;
    ensure(inits >= 1, "an init", || "none".to_owned())?;
    let outcome = stage.outcome(order.fence).await?;
    ensure(outcome.value().is_some(), "the outcome `succeeded`", || format!("{outcome:?}"))
}

async fn forgotten_session(stage: &mut Stage) -> Play {
    stage.beat = Duration::from_millis(200);
    stage.start().await?;
    let (epoch, before) = (stage.epoch, keys(stage)?.inits.len());
    // The epoch is the same, and the coordinator does not announce itself. It answers frames of
    // the session that it does not have.
    keys(stage)?.restart(epoch);
    stage.expect("a `hello` in a new session", hello).await?;
    let inits = keys(stage)?.inits.len() - before;
    ensure(inits >= 1, "an init", || "none".to_owned())?;
    stage.has_counted(1).await
}

async fn earlier_notice(stage: &mut Stage) -> Play {
    stage.start().await?;
    let mut epoch = stage.epoch;
    epoch.number -= 1;
    let before = keys(stage)?.inits.len();
    let notice = keys(stage)?.notice_of(epoch);
    stage.trace.note("→ a notice of an earlier epoch");
    stage.publish(&Address::AllWorkers, Lane::Control, notice).await?;
    // A worker sends at most one init in a second, and at a random time.
    stage.pass(Duration::from_millis(2_500)).await?;
    let inits = keys(stage)?.inits.len() - before;
    ensure(inits == 0, "no init", || format!("{inits}"))?;
    stage.has_counted(1).await
}

async fn forged_notice(stage: &mut Stage) -> Play {
    stage.start().await?;
    let mut epoch = stage.epoch;
    epoch.number += 1;
    let before = keys(stage)?.inits.len();
    let notice = keys(stage)?.forged_notice(epoch);
    let notice = notice.ok_or_else(|| Miss::broken("the scene", "it cannot forge a notice"))?;
    stage.trace.note("→ a notice of a later epoch, which another key has signed");
    stage.publish(&Address::AllWorkers, Lane::Control, notice).await?;
    // A worker sends at most one init in a second, and at a random time.
    stage.pass(Duration::from_millis(2_500)).await?;
    let inits = keys(stage)?.inits.len() - before;
    ensure(inits == 0, "no init", || format!("{inits}"))?;
    stage.has_counted(1).await
}

async fn reconnect(stage: &mut Stage) -> Play {
    stage.start().await?;
    let order = stage.begin_sleep(1.0).await?;
    let began = Instant::now();
    stage.place.gate.cut();
    let outcome = stage.outcome(order.fence).await?;
    ensure(outcome.value().is_some(), "the outcome `succeeded`", || format!("{outcome:?}"))?;
    let took = began.elapsed();
    ensure(took < stage.patience, "the result", || format!("after {took:?}"))?;
    stage.has_counted(1).await
}
