//! Log lines: numbered, kept, and sent again from the first that is not acknowledged.

use std::time::Duration;

use serde_json::json;
use tinpot_core::protocol::{Fence, Log, LogAck, Message};
use tinpot_core::transport::Lane;
use tokio::time::Instant;

use crate::miss::{Play, ensure};
use crate::scene::{Scene, scene};
use crate::stage::{Heard, Stage};

pub(super) const SCENES: &[Scene] = &[
    scene!("logs/lines", LOGS, lines, "lines are numbered from 1, and all of them arrive"),
    scene!("logs/last-line", UP, last_line, "a result names the number of the last line"),
    scene!(
        "logs/sent-again",
        LOGS,
        sent_again,
        "lines that are not acknowledged within a second are sent again, from the first"
    ),
    scene!(
        "logs/acknowledged-partly",
        LOGS,
        acknowledged_partly,
        "lines are sent again although earlier ones are acknowledged"
    ),
    scene!("logs/window", LOGS, window, "at most 512 KiB of an attempt's log are in flight"),
    scene!(
        "logs/after-a-reconnect",
        LOGS,
        after_a_reconnect,
        "lines that are lost with a connection are sent again"
    ),
    scene!(
        "logs/after-the-result",
        LOGS,
        after_the_result,
        "lines are sent again also after the result was acknowledged"
    ),
    scene!(
        "logs/not-wanted",
        LOGS,
        not_wanted,
        "an acknowledgement of 18446744073709551615 ends the log"
    ),
    scene!(
        "logs/old-acknowledgement",
        LOGS,
        old_acknowledgement,
        "an acknowledgement that comes late takes nothing back"
    ),
    scene!(
        "logs/two-attempts",
        LOGS,
        two_attempts,
        "each attempt has lines and a window of its own"
    ),
    scene!(
        "logs/flood-and-control",
        LANES,
        flood_and_control,
        "a flood of logs delays no heartbeat and no result"
    ),
];

fn log(heard: &Heard, fence: Fence) -> Option<Log> {
    match &heard.message {
        Message::Log(log) if log.fence == fence => Some(log.clone()),
        _ => None,
    }
}

/// Waits until all lines of `lines` have come.
async fn complete(stage: &mut Stage, fence: Fence, count: usize) -> Play {
    while stage.lines(fence).len() < count {
        let here = stage.lines(fence).len();
        let expected = format!("{count} lines; {here} came");
        stage.expect(&expected, |heard| log(heard, fence).map(|_| ())).await?;
    }
    let texts = stage.lines(fence);
    let wrong = (1..).zip(texts).find(|(number, text)| **text != format!("line {number}"));
    let wrong = wrong.map(|(number, text)| format!("line {number} is {text:?}"));
    ensure(wrong.is_none() && texts.len() == count, format!("`line 1` to `line {count}`"), || {
        wrong.unwrap_or_else(|| "more lines".to_owned())
    })
}

async fn lines(stage: &mut Stage) -> Play {
    stage.start().await?;
    let order = stage.begin("lines", json!({"count": 3_000})).await?;
    complete(stage, order.fence, 3_000).await
}

async fn last_line(stage: &mut Stage) -> Play {
    stage.start().await?;
    for count in [0, 1, 250] {
        let order = stage.begin("lines", json!({"count": count})).await?;
        let result = stage.result(order.fence).await?;
        let found = result.last_log_seq;
        ensure(found == count, format!("`last_log_seq` {count}"), || found.to_string())?;
        complete(stage, order.fence, count as usize).await?;
    }
    Ok(())
}

async fn sent_again(stage: &mut Stage) -> Play {
    stage.start().await?;
    stage.answers.logs = false;
    let order = stage.begin("lines", json!({"count": 10})).await?;
    complete(stage, order.fence, 10).await?;
    stage.caught_up().await?;
    let began = Instant::now();
    let again = stage.expect("the lines again", |heard| log(heard, order.fence)).await?;
    let (first, took) = (again.chunk.first_seq, began.elapsed());
    ensure(first == 1, "the lines again, from line 1", || format!("from line {first}"))?;
    let expected = "the lines again after a second";
    ensure(took > Duration::from_millis(500), expected, || format!("after {took:?}"))?;
    stage.acknowledge_lines(order.fence, 10).await?;
    silent(stage, order.fence, "no line after its acknowledgement").await
}

/// Waits until what was on its way has come, and then for longer than it takes to send again.
async fn silent(stage: &mut Stage, fence: Fence, expected: &str) -> Play {
    stage.caught_up().await?;
    stage.pass(Duration::from_millis(200)).await?;
    stage.never(Duration::from_millis(1_500), expected, |heard| log(heard, fence).is_some()).await
}

async fn acknowledged_partly(stage: &mut Stage) -> Play {
    stage.start().await?;
    stage.answers.logs = false;
    let order = stage.begin("lines", json!({"count": 10})).await?;
    complete(stage, order.fence, 10).await?;
    stage.acknowledge_lines(order.fence, 4).await?;
    // A worker may repeat the whole message that line 5 is in.
    let is_rest = |heard: &Heard| {
        log(heard, order.fence).filter(|log| log.chunk.first_seq <= 5 && log.chunk.last_seq() >= 5)
    };
    stage.expect("lines from line 5 again", is_rest).await?;
    stage.acknowledge_lines(order.fence, 10).await
}

async fn window(stage: &mut Stage) -> Play {
    stage.start().await?;
    stage.answers.logs = false;
    let order = stage.begin("lines", json!({"count": 60_000})).await?;
    stage.expect("a line", |heard| log(heard, order.fence)).await?;
    // Nothing is acknowledged: the rules of every scene compare what is in flight.
    stage.pass(Duration::from_millis(2_000)).await?;
    let came = stage.lines(order.fence).len();
    ensure((1_000..60_000).contains(&came), "some of the 60,000 lines", || format!("{came}"))?;
    stage.answers.logs = true;
    stage.acknowledge_lines(order.fence, came as u64).await?;
    complete(stage, order.fence, 60_000).await
}

async fn after_a_reconnect(stage: &mut Stage) -> Play {
    stage.start().await?;
    stage.place.gate.close();
    stage.place.gate.reopen();
    stage
        .expect("a `hello` after the reconnect", |heard| {
            matches!(heard.message, Message::Hello(_)).then_some(())
        })
        .await?;
    stage.caught_up().await?;
    let order = stage.begin("lines", json!({"count": 2_000})).await?;
    stage.expect("a line", |heard| log(heard, order.fence)).await?;
    stage.place.gate.cut();
    complete(stage, order.fence, 2_000).await
}

async fn after_the_result(stage: &mut Stage) -> Play {
    stage.start().await?;
    stage.answers.logs = false;
    let order = stage.begin("lines", json!({"count": 10})).await?;
    stage.result(order.fence).await?;
    complete(stage, order.fence, 10).await?;
    stage.caught_up().await?;
    let again = stage.expect("the lines again", |heard| log(heard, order.fence)).await?;
    let first = again.chunk.first_seq;
    ensure(first == 1, "the lines again, from line 1", || format!("from line {first}"))?;
    stage.acknowledge_lines(order.fence, 10).await
}

async fn not_wanted(stage: &mut Stage) -> Play {
    stage.start().await?;
    stage.answers.logs = false;
    let order = stage.begin("lines", json!({"count": 60_000})).await?;
    stage.expect("a line", |heard| log(heard, order.fence)).await?;
    let ack = LogAck { fence: order.fence, seq: u64::MAX };
    stage.send_on(Lane::Logs, vec![Message::LogAck(ack)]).await?;
    stage.result(order.fence).await?;
    silent(stage, order.fence, "no line after the end of the log").await
}

async fn old_acknowledgement(stage: &mut Stage) -> Play {
    stage.start().await?;
    stage.answers.logs = false;
    let order = stage.begin("lines", json!({"count": 10})).await?;
    complete(stage, order.fence, 10).await?;
    stage.acknowledge_lines(order.fence, 10).await?;
    for seq in [3, 0, 7] {
        let ack = LogAck { fence: order.fence, seq };
        stage.send_on(Lane::Logs, vec![Message::LogAck(ack)]).await?;
    }
    silent(stage, order.fence, "no line after its acknowledgement").await
}

async fn two_attempts(stage: &mut Stage) -> Play {
    stage.start().await?;
    stage.answers.logs = false;
    let first = stage.begin("lines", json!({"count": 60_000})).await?;
    stage.expect("a line", |heard| log(heard, first.fence)).await?;
    let second = stage.begin("lines", json!({"count": 100})).await?;
    complete(stage, second.fence, 100).await?;
    stage.answers.logs = true;
    for fence in [first.fence, second.fence] {
        let last = stage.lines(fence).len() as u64;
        stage.acknowledge_lines(fence, last).await?;
    }
    complete(stage, first.fence, 60_000).await
}

async fn flood_and_control(stage: &mut Stage) -> Play {
    stage.beat = Duration::from_millis(200);
    stage.start().await?;
    let order = stage.begin("lines", json!({"count": 20_000})).await?;
    for text in 0..10 {
        stage.run("echo", json!({"text": text.to_string()})).await?;
    }
    complete(stage, order.fence, 20_000).await
}
