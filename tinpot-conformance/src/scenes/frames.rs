//! Frames and messages that a worker does not know, or cannot read.

use std::time::Duration;

use serde_json::{Value, json};
use tinpot_core::WorkerId;
use tinpot_core::protocol::{Drain, Frame, Message};
use tinpot_core::transport::{Address, Lane};

use crate::miss::{Play, ensure};
use crate::scene::{Scene, scene};
use crate::stage::{Stage, succeeded};

pub(super) const SCENES: &[Scene] = &[
    scene!(
        "frames/unknown-message",
        FRAMES,
        unknown_message,
        "a message of unknown type is skipped, and the others of the frame count"
    ),
    scene!(
        "frames/unreadable-message",
        FRAMES,
        unreadable_message,
        "a message that cannot be read is skipped, and the others of the frame count"
    ),
    scene!(
        "frames/unknown-fields",
        FRAMES,
        unknown_fields,
        "unknown fields are ignored, wherever they are"
    ),
    scene!(
        "frames/another-version",
        FRAMES,
        another_version,
        "frames of another version are dropped"
    ),
    scene!(
        "frames/for-another-worker",
        FRAMES,
        for_another_worker,
        "a worker drops frames for others"
    ),
    scene!(
        "frames/for-all-workers",
        LANES,
        for_all_workers,
        "a worker reads the frames for all workers"
    ),
    scene!("frames/no-json", FRAMES, no_json, "what is no frame is dropped"),
    scene!("frames/mangled", FRAMES, mangled, "frames with changed bytes do a worker no harm"),
    scene!("frames/mangled-logs", FRAMES, mangled_logs, "the same on the lane of logs"),
    scene!("frames/many-messages", FRAMES, many_messages, "a frame may have 512 messages"),
];

fn dispatch(order: &tinpot_core::protocol::Dispatch) -> Value {
    serde_json::to_value(Message::Dispatch(order.clone())).unwrap_or_default()
}

async fn unknown_message(stage: &mut Stage) -> Play {
    stage.start().await?;
    let order = stage.order("count", json!({}));
    stage.tell(order.fence);
    let fence = order.fence.to_string();
    let messages = [
        json!({"levitate": {"fence": fence, "height": 3}}),
        dispatch(&order),
        json!({"levitate": null}),
    ];
    stage.send_json(&messages).await?;
    let found = succeeded(&stage.outcome(order.fence).await?)?;
    ensure(found == 1, "the dispatch between unknown messages runs", || found.to_string())
}

async fn unreadable_message(stage: &mut Stage) -> Play {
    stage.start().await?;
    let order = stage.order("count", json!({}));
    stage.tell(order.fence);
    let epoch = stage.epoch.to_string();
    let messages = [
        json!({"dispatch": {"fence": "no fence"}}),
        json!({"beat_ack": {"epoch": epoch, "seq_echo": "one"}}),
        json!({"cancel": []}),
        json!({"cancel": {"epoch": epoch, "fence": "c0ffee.3.-1"}}),
        json!({"result_ack": {"epoch": 7}}),
        json!(5),
        json!({}),
        dispatch(&order),
    ];
    stage.send_json(&messages).await?;
    let found = succeeded(&stage.outcome(order.fence).await?)?;
    ensure(found == 1, "the dispatch behind unreadable messages runs", || found.to_string())
}

async fn unknown_fields(stage: &mut Stage) -> Play {
    stage.start().await?;
    let order = stage.order("count", json!({}));
    stage.tell(order.fence);
    let mut message = dispatch(&order);
    message["dispatch"]["moon"] = json!({"phase": [1, 2, {"full": true}]});
    let (id, seq, epoch) = (stage.id()?, stage.last_beat, stage.epoch.to_string());
    let ack = json!({"beat_ack": {
        "epoch": epoch, "seq_echo": seq, "lease_ms": 60_000, "beat_ms": 500, "moon": null,
    }});
    let frame = json!({"v": 1, "to": id, "moon": "new", "messages": [ack, message]});
    stage.send_document(Lane::Control, frame.to_string().as_bytes()).await?;
    let found = succeeded(&stage.outcome(order.fence).await?)?;
    ensure(found == 1, "the dispatch runs", || found.to_string())
}

async fn another_version(stage: &mut Stage) -> Play {
    stage.start().await?;
    let (id, order) = (stage.id()?, stage.order("count", json!({})));
    let frame = json!({"v": 2, "to": id, "messages": [dispatch(&order)]});
    stage.send_document(Lane::Control, frame.to_string().as_bytes()).await?;
    stage.caught_up().await?;
    stage.has_counted(1).await
}

async fn for_another_worker(stage: &mut Stage) -> Play {
    stage.start().await?;
    let order = stage.order("count", json!({}));
    let other = WorkerId::generate("kit-1");
    let frame = Frame { from: None, to: Some(other), messages: vec![Message::Dispatch(order)] };
    stage.send_document(Lane::Control, &frame.encode()).await?;
    stage.caught_up().await?;
    stage.has_counted(1).await
}

async fn for_all_workers(stage: &mut Stage) -> Play {
    stage.start().await?;
    // A coordinator that starts again announces itself to all workers.
    stage.restart().await?;
    stage
        .expect("a `hello` in answer to the announcement", |heard| {
            matches!(heard.message, Message::Hello(_)).then_some(())
        })
        .await?;
    stage.followed().await
}

async fn no_json(stage: &mut Stage) -> Play {
    stage.start().await?;
    let id = Address::Worker(stage.id()?);
    let deep = [b"{\"v\":1,\"messages\":".as_slice(), &[b'['; 50_000]].concat();
    let frames: [&[u8]; 8] =
        [b"", b"{", b"null", b"[]", b"\xff\xfe\x00", b"{\"v\":1}", b"TPF1", deep.as_slice()];
    for frame in frames {
        stage.trace.note(&format!("→ {} bytes that are no frame", frame.len()));
        for lane in Lane::ALL {
            stage.publish(&id, lane, frame.to_vec()).await?;
        }
    }
    stage.has_counted(1).await
}

async fn mangled(stage: &mut Stage) -> Play {
    mangle(stage, Lane::Control).await
}

async fn mangled_logs(stage: &mut Stage) -> Play {
    mangle(stage, Lane::Logs).await
}

async fn mangle(stage: &mut Stage, lane: Lane) -> Play {
    stage.start().await?;
    // Of an epoch and a store that the worker does not follow, so that none of it counts.
    let text = match lane {
        Lane::Control => {
            let epoch = tinpot_core::protocol::Epoch { instance: 1, number: 1 };
            let mut order = stage.order("sleep", json!({"seconds": 0}));
            order.fence.epoch = epoch;
            order.seq_echo = 0;
            let messages = vec![Message::Dispatch(order), Message::Drain(Drain { epoch })];
            Frame { from: None, to: Some(stage.id()?), messages }.encode()
        }
        Lane::Logs => {
            let ack = tinpot_core::protocol::LogAck { fence: stage.fence(), seq: 7 };
            let messages = vec![Message::LogAck(ack)];
            Frame { from: None, to: Some(stage.id()?), messages }.encode()
        }
    };
    for _ in 0..150 {
        let mut frame = text.to_vec();
        for _ in 0..=stage.random.below(3) {
            let at = stage.random.below(frame.len());
            match stage.random.below(3) {
                0 => frame[at] = stage.random.below(256) as u8,
                1 => frame.truncate(at.max(1)),
                _ => frame.insert(at, b"0\"{}[],:x"[stage.random.below(9)]),
            }
        }
        stage.send_document(lane, &frame).await?;
    }
    stage.caught_up().await?;
    let slots = stage.hello.as_ref().map(|hello| hello.slots);
    ensure(slots == Some(2), "a worker that is as before", || format!("{slots:?} slots"))?;
    stage.has_counted(1).await?;
    stage.pass(Duration::from_millis(100)).await
}

async fn many_messages(stage: &mut Stage) -> Play {
    stage.start().await?;
    let order = stage.order("count", json!({}));
    stage.dispatch(&order).await?;
    stage.send(vec![Message::Dispatch(order.clone()); 512]).await?;
    stage.result(order.fence).await?;
    stage.caught_up().await?;
    stage.has_counted(2).await
}
