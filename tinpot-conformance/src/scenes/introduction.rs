//! Introductions and heartbeats.

use std::time::Duration;

use serde_json::json;
use tinpot_core::protocol::{Message, WhoIsThere};
use tinpot_core::transport::Lane;
use tokio::time::Instant;

use crate::miss::{Miss, Play, ensure};
use crate::rules::short;
use crate::scene::{Scene, scene};
use crate::stage::{Heard, NAME, Stage};

/// The actions that every worker offers here.
const ACTIONS: &[&str] = &["echo", "fail", "sleep", "lines", "big", "count"];

pub(super) const SCENES: &[Scene] = &[
    scene!(
        "introduction/hello",
        SHORT,
        hello,
        "a worker sends `hello`, and `beat` right behind it"
    ),
    scene!(
        "introduction/id",
        FRAMES,
        id,
        "a worker id is the name and a random suffix, and new at every start"
    ),
    scene!("introduction/offer", UP, offer, "a hello has the name, the slots and the actions"),
    scene!(
        "introduction/broker-comes-later",
        LANES,
        broker_comes_later,
        "a worker that cannot reach its broker tries again"
    ),
    scene!(
        "introduction/when-asked",
        DOWN,
        when_asked,
        "`who_is_there` is answered by `hello` and `beat`"
    ),
    scene!(
        "introduction/reconnect",
        SHORT,
        reconnect,
        "a worker sends `hello` and `beat` again after every reconnect"
    ),
    scene!(
        "beats/numbers",
        UP,
        numbers,
        "beats count up from 1, and a hello names the one that follows"
    ),
    scene!(
        "beats/epoch",
        DOWN,
        epoch,
        "a worker that follows a coordinator says so in a beat, as soon as it does"
    ),
    scene!(
        "beats/interval",
        DOWN,
        interval,
        "the coordinator sets the interval between beats by `beat_ms`"
    ),
    scene!("beats/three-in-a-lease", DOWN, three, "a worker beats at least three times in a lease"),
    scene!(
        "beats/earlier-version",
        DOWN,
        earlier_version,
        "an acknowledgement without `lease_ms` and `beat_ms` counts, too"
    ),
];

fn any(heard: &Heard) -> Option<Heard> {
    (heard.lane == Lane::Control).then(|| heard.clone())
}

async fn hello_and_beat(stage: &mut Stage) -> Play {
    let first = stage.expect("a `hello`", any).await?.message;
    ensure(matches!(first, Message::Hello(_)), "a `hello` first", || short(&first))?;
    let second = stage.expect("a `beat`", any).await?.message;
    ensure(matches!(second, Message::Beat(_)), "a `beat` right behind it", || short(&second))
}

async fn hello(stage: &mut Stage) -> Play {
    stage.launch()?;
    hello_and_beat(stage).await
}

async fn id(stage: &mut Stage) -> Play {
    let mut ids = Vec::new();
    for _ in 0..2 {
        stage.launch()?;
        stage.hello = None;
        while stage.hello.is_none() {
            stage.expect("a `hello`", any).await?;
        }
        let id = stage.id()?;
        let name = id.name().to_owned();
        ensure(name == NAME, format!("an id that is {NAME}, `-` and a suffix"), || id.to_string())?;
        ids.push(id);
        stage.forget();
    }
    ensure(ids[0] != ids[1], "another id at the second start", || format!("{} twice", ids[0]))
}

async fn offer(stage: &mut Stage) -> Play {
    stage.slots = 3;
    stage.start().await?;
    let hello = stage.hello.clone().ok_or_else(|| Miss::new("a `hello`", "none"))?;
    ensure(hello.name == NAME, format!("the name {NAME}"), || hello.name.clone())?;
    ensure(hello.slots == 3, "3 slots, as CONCURRENCY says", || hello.slots.to_string())?;
    for name in ACTIONS {
        let expected = format!("the action `{name}` with a schema of its parameters");
        let action = hello.offer.actions.iter().find(|action| action.name == *name);
        let action = action.ok_or_else(|| Miss::new(expected.clone(), "no such action"))?;
        let schema = serde_json::from_str::<serde_json::Value>(action.schema.as_str());
        let is_object = schema.is_ok_and(|schema| schema.is_object());
        ensure(is_object, expected, || action.schema.as_str().to_owned())?;
    }
    Ok(())
}

async fn broker_comes_later(stage: &mut Stage) -> Play {
    stage.place.gate.close();
    stage.launch()?;
    stage.pass(Duration::from_millis(1_500)).await?;
    stage.place.gate.reopen();
    hello_and_beat(stage).await
}

async fn when_asked(stage: &mut Stage) -> Play {
    stage.start().await?;
    stage.who_is_there(stage.epoch).await?;
    let is_hello = |heard: &Heard| matches!(heard.message, Message::Hello(_)).then_some(());
    stage.expect("a `hello`", is_hello).await?;
    let next = stage.expect("a `beat`", any).await?.message;
    ensure(matches!(next, Message::Beat(_)), "a `beat` right behind it", || short(&next))?;
    // The question of an earlier epoch was on its way for long.
    let mut earlier = stage.epoch;
    earlier.number -= 1;
    stage.send(vec![Message::WhoIsThere(WhoIsThere { epoch: earlier })]).await?;
    let expected = "no answer to `who_is_there` of an earlier epoch";
    stage
        .never(Duration::from_millis(300), expected, |heard| {
            matches!(heard.message, Message::Hello(_))
        })
        .await
}

async fn reconnect(stage: &mut Stage) -> Play {
    stage.start().await?;
    for _ in 0..2 {
        stage.place.gate.cut();
        let is_hello = |heard: &Heard| matches!(heard.message, Message::Hello(_)).then_some(());
        stage.expect("a `hello` after the reconnect", is_hello).await?;
        let next = stage.expect("a `beat`", any).await?.message;
        ensure(matches!(next, Message::Beat(_)), "a `beat` right behind it", || short(&next))?;
    }
    stage.has_counted(1).await
}

async fn numbers(stage: &mut Stage) -> Play {
    stage.beat = Duration::from_millis(100);
    stage.start().await?;
    // The rules of every scene compare the numbers.
    while stage.last_beat < 6 {
        stage.expect("more beats", any).await?;
    }
    Ok(())
}

async fn epoch(stage: &mut Stage) -> Play {
    stage.beat = Duration::from_secs(50);
    stage.lease = Duration::from_secs(300);
    stage.launch()?;
    while stage.last_beat == 0 {
        stage.expect("a `beat`", any).await?;
    }
    let began = Instant::now();
    stage.followed().await?;
    // Long before the next beat is due.
    let took = began.elapsed();
    ensure(took < Duration::from_secs(20), "a beat at once", || format!("one after {took:?}"))
}

async fn interval(stage: &mut Stage) -> Play {
    stage.beat = Duration::from_millis(200);
    stage.start().await?;
    let (from, began) = (stage.last_beat, Instant::now());
    while stage.last_beat < from + 5 {
        stage.expect("a beat every 200 ms", any).await?;
    }
    // The intervals by default are 5 s each.
    let took = began.elapsed();
    ensure(took < Duration::from_secs(20), "five beats in about 1 s", || format!("in {took:?}"))?;
    ensure(took > Duration::from_millis(500), "five beats in about 1 s", || format!("in {took:?}"))
}

async fn three(stage: &mut Stage) -> Play {
    stage.beat = Duration::from_secs(60);
    stage.lease = Duration::from_millis(1_500);
    stage.start().await?;
    let (from, began) = (stage.last_beat, Instant::now());
    while stage.last_beat < from + 3 {
        stage.expect("three beats in a lease of 1.5 s", any).await?;
    }
    let took = began.elapsed();
    let expected = "three beats in a lease of 1.5 s, although `beat_ms` is a minute";
    ensure(took < Duration::from_secs(30), expected, || format!("three in {took:?}"))
}

async fn earlier_version(stage: &mut Stage) -> Play {
    stage.answers.beats = false;
    stage.launch()?;
    while stage.last_beat == 0 {
        stage.expect("a `beat`", any).await?;
    }
    for _ in 0..2 {
        let (seq, epoch) = (stage.last_beat, stage.epoch.to_string());
        stage.send_json(&[json!({"beat_ack": {"epoch": epoch, "seq_echo": seq}})]).await?;
        stage.followed().await?;
    }
    stage.has_counted(1).await
}
