//! Results: kept, and sent again until they are acknowledged.

use std::time::Duration;

use serde_json::json;
use tinpot_core::protocol::{Epoch, Message, Recorded, ResultAck};
use tinpot_core::{FailureCode, Outcome};
use tokio::time::Instant;

use crate::miss::{Miss, Play, ensure};
use crate::rules::cut;
use crate::scene::{Scene, scene};
use crate::stage::{Stage, about, succeeded};

pub(super) const SCENES: &[Scene] = &[
    scene!("results/failure", UP, failure, "an action that fails is reported with its message"),
    scene!(
        "results/sent-again",
        SHORT,
        sent_again,
        "a result is sent again every second until it is acknowledged"
    ),
    scene!(
        "results/acknowledged",
        DOWN,
        acknowledged,
        "a result that is acknowledged is not sent again"
    ),
    scene!(
        "results/each-acknowledgement",
        DOWN,
        each_acknowledgement,
        "`recorded`, `duplicate` and `stale` all close an attempt"
    ),
    scene!(
        "results/acknowledged-too-early",
        DOWN,
        acknowledged_too_early,
        "an acknowledgement of an attempt that still runs does not end it"
    ),
    scene!(
        "results/acknowledged-by-an-earlier-epoch",
        EPOCHS,
        acknowledged_by_an_earlier_epoch,
        "an acknowledgement of an earlier epoch is ignored"
    ),
    scene!(
        "results/after-a-reconnect",
        SHORT,
        after_a_reconnect,
        "results are sent again after a reconnect"
    ),
    scene!(
        "results/while-away",
        SHORT,
        while_away,
        "an attempt that ends without a connection is reported later"
    ),
    scene!(
        "results/held",
        UP,
        held,
        "a beat lists an attempt that has ended until its end is acknowledged"
    ),
    scene!("results/large", FRAMES, large, "a large result arrives whole"),
    scene!(
        "results/too-large",
        FRAMES,
        too_large,
        "a result above 1 MiB becomes the failure `result_too_large`"
    ),
    scene!("results/long-message", FRAMES, long_message, "the texts of failures are cut"),
];

async fn failure(stage: &mut Stage) -> Play {
    stage.start().await?;
    let outcome = stage.run("fail", json!({"message": "no disk 💾"})).await?;
    let expected = "a failure whose message has the text `no disk 💾`";
    let failure = outcome.failure().ok_or_else(|| Miss::new(expected, format!("{outcome:?}")))?;
    ensure(failure.message.contains("no disk 💾"), expected, || format!("{failure:?}"))?;
    ensure(failure.code == FailureCode::ActionError, "the code `action_error`", || {
        failure.code.as_str().to_owned()
    })
}

async fn sent_again(stage: &mut Stage) -> Play {
    stage.start().await?;
    stage.answers.reports = false;
    let order = stage.begin("count", json!({})).await?;
    let first = stage.result(order.fence).await?;
    let began = Instant::now();
    for _ in 0..2 {
        let again = stage.result(order.fence).await?;
        ensure(first == again, "the same result again", || format!("{again:?}"))?;
    }
    let took = began.elapsed();
    let expected = "two repetitions, one second apart";
    ensure(took > Duration::from_millis(1_200), expected, || format!("two within {took:?}"))?;
    stage.answers.reports = true;
    stage.acknowledge(order.fence).await?;
    stage.has_counted(2).await
}

async fn acknowledged(stage: &mut Stage) -> Play {
    stage.start().await?;
    let order = stage.begin("echo", json!({"text": "once"})).await?;
    stage.result(order.fence).await?;
    stage.caught_up().await?;
    let expected = "no result after its acknowledgement";
    let fence = order.fence;
    stage.never(Duration::from_millis(1_600), expected, |heard| about(heard, fence).is_some()).await
}

async fn each_acknowledgement(stage: &mut Stage) -> Play {
    stage.start().await?;
    stage.answers.reports = false;
    let mut fences = Vec::new();
    for recorded in [Recorded::Recorded, Recorded::Duplicate, Recorded::Stale] {
        let order = stage.begin("echo", json!({"text": "x"})).await?;
        stage.result(order.fence).await?;
        stage.acknowledge_as(order.fence, recorded).await?;
        fences.push(order.fence);
    }
    stage.caught_up().await?;
    let expected = "no result after its acknowledgement, whatever it says";
    let is_one = |heard: &_| fences.iter().any(|fence| about(heard, *fence).is_some());
    stage.never(Duration::from_millis(1_600), expected, is_one).await
}

async fn acknowledged_too_early(stage: &mut Stage) -> Play {
    stage.start().await?;
    let order = stage.begin_sleep(1.0).await?;
    let ack = ResultAck { epoch: stage.epoch, fence: order.fence, recorded: Recorded::Recorded };
    stage.send(vec![Message::ResultAck(ack)]).await?;
    let outcome = stage.outcome(order.fence).await?;
    ensure(outcome.value().is_some(), "the outcome `succeeded`", || format!("{outcome:?}"))
}

async fn acknowledged_by_an_earlier_epoch(stage: &mut Stage) -> Play {
    stage.start().await?;
    stage.answers.reports = false;
    let order = stage.begin("echo", json!({"text": "kept"})).await?;
    stage.result(order.fence).await?;
    let epoch = Epoch { number: stage.epoch.number - 1, ..stage.epoch };
    let ack = ResultAck { epoch, fence: order.fence, recorded: Recorded::Recorded };
    stage.send(vec![Message::ResultAck(ack)]).await?;
    stage.result(order.fence).await?;
    stage.acknowledge(order.fence).await
}

async fn after_a_reconnect(stage: &mut Stage) -> Play {
    stage.start().await?;
    stage.answers.reports = false;
    let order = stage.begin("count", json!({})).await?;
    let first = stage.result(order.fence).await?;
    stage.place.gate.cut();
    stage
        .expect("a `hello` after the reconnect", |heard| {
            matches!(heard.message, Message::Hello(_)).then_some(())
        })
        .await?;
    let again = stage.result(order.fence).await?;
    ensure(first == again, "the same result again", || format!("{again:?}"))?;
    stage.answers.reports = true;
    stage.acknowledge(order.fence).await?;
    stage.has_counted(2).await
}

async fn while_away(stage: &mut Stage) -> Play {
    stage.start().await?;
    let order = stage.begin_sleep(1.0).await?;
    stage.place.gate.close();
    stage.pass(Duration::from_millis(1_500)).await?;
    stage.place.gate.reopen();
    let outcome = stage.outcome(order.fence).await?;
    ensure(outcome.value().is_some(), "the outcome `succeeded`", || format!("{outcome:?}"))
}

async fn held(stage: &mut Stage) -> Play {
    stage.beat = Duration::from_millis(100);
    stage.start().await?;
    stage.answers.reports = false;
    let order = stage.begin("echo", json!({"text": "held"})).await?;
    let fence = order.fence;
    stage.result(fence).await?;
    let has = |heard: &crate::stage::Heard| match &heard.message {
        Message::Beat(beat) => Some(beat.held.contains(&fence)),
        _ => None,
    };
    for _ in 0..2 {
        let held = stage.expect("a beat", has).await?;
        ensure(held, "the attempt among `held`", || "a beat without it".to_owned())?;
    }
    stage.acknowledge(fence).await?;
    stage.caught_up().await?;
    let held = stage.expect("a beat", has).await?;
    ensure(!held, "a beat without the attempt", || "it is still among `held`".to_owned())
}

async fn large(stage: &mut Stage) -> Play {
    stage.start().await?;
    let outcome = stage.run("big", json!({"bytes": 900_000})).await?;
    let length = succeeded(&outcome)?.as_str().map_or(0, str::len);
    ensure(length == 900_000, "a text of 900,000 bytes", || format!("{length} bytes"))?;
    let text = "é".repeat(100_000);
    let outcome = stage.run("echo", json!({"text": text})).await?;
    ensure(succeeded(&outcome)? == text, "the text that was passed", || "another text".to_owned())
}

async fn too_large(stage: &mut Stage) -> Play {
    stage.start().await?;
    let outcome = stage.run("big", json!({"bytes": 2_000_000})).await?;
    let code = outcome.failure().map(|failure| failure.code);
    let expected = "a failure with the code `result_too_large`";
    ensure(code == Some(FailureCode::ResultTooLarge), expected, || {
        cut(&format!("{outcome:?}"), 200)
    })?;
    stage.has_counted(1).await
}

async fn long_message(stage: &mut Stage) -> Play {
    stage.start().await?;
    let text = "wide ".repeat(500_000);
    let outcome = stage.run("fail", json!({"message": text})).await?;
    let length = serde_json::to_string(&outcome).unwrap_or_default().len();
    ensure(matches!(outcome, Outcome::Failed(_)), "a failure", || {
        cut(&format!("{outcome:?}"), 200)
    })?;
    let expected = "a failure of less than 1 MiB, although the action's message has 2.5 MB";
    ensure(length < 1024 * 1024, expected, || format!("{length} bytes"))
}
