//! The machine of a worker, and the sender of a log, play the scenes of `docs/protocol/vectors`.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tinpot_core::executor::ActionSet;
use tinpot_core::protocol::{
    Fence, LogSender, Message, ProtocolConfig, Tick, WorkerEffect, WorkerMachine, WorkerProfile,
};
use tinpot_core::{Action, Level, LogChunk, Outcome, Stream, Timestamp, WorkerId};

const SCENES: &str = include_str!("../../../docs/protocol/vectors/scenes-1.json");
const LOGS: &str = include_str!("../../../docs/protocol/vectors/logs-1.json");
const FENCES: &str = include_str!("../../../docs/protocol/vectors/fences-1.json");

fn read(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

/// Returns the steps of a scene with their times.
fn steps(scene: &Value) -> impl Iterator<Item = (Tick, &Value)> {
    let at = |step: &Value| Duration::from_millis(step["at"].as_u64().expect("a time"));
    list(scene, "steps").iter().map(move |step| (Tick(0) + at(step), step))
}

/// Returns true if every field of `expected` is in `found`. Lists have the same length.
fn has(found: &Value, expected: &Value) -> bool {
    match expected {
        Value::Object(fields) => fields.iter().all(|(name, value)| has(&found[name], value)),
        Value::Array(items) => found.as_array().is_some_and(|found| {
            found.len() == items.len()
                && found.iter().zip(items).all(|(one, other)| has(one, other))
        }),
        value => found == value,
    }
}

fn machine(worker: &Value) -> WorkerMachine {
    let profile = WorkerProfile {
        id: WorkerId::new(text(&worker["id"])).expect("an id"),
        name: text(&worker["name"]).to_owned(),
        queues: Vec::new(),
        groups: Vec::new(),
        slots: worker["slots"].as_u64().expect("a number") as u32,
        clean_slate: Vec::new(),
        version: String::new(),
        started_at: None,
        pull: false,
        lease: None,
    };
    let actions =
        list(worker, "actions").iter().map(|name| Action::new(text(name)).expect("a name"));
    WorkerMachine::new(ProtocolConfig::new(), profile, Arc::new(ActionSet::new(actions)))
}

fn act(machine: &mut WorkerMachine, now: Tick, step: &Value, out: &mut Vec<WorkerEffect>) {
    if step["link_up"] == true {
        return machine.link_up(now, out);
    }
    if let Some(message) = step.get("receive") {
        let message: Message = serde_json::from_str(&message.to_string()).expect("a message");
        return machine.receive(now, message, out);
    }
    if let Some(end) = step.get("finish") {
        let fence: Fence = text(&end["fence"]).parse().expect("a fence");
        let outcome: Outcome =
            serde_json::from_str(&end["outcome"].to_string()).expect("an outcome");
        return machine.finished(now, fence, outcome, 0, false, out);
    }
    match step["drain"].as_u64() {
        Some(patience) => machine.drain(now, Duration::from_millis(patience), out),
        None => machine.tick(now, out),
    }
}

#[test]
fn a_worker_plays_every_scene() {
    let vectors = read(SCENES);
    for scene in list(&vectors, "scenes") {
        let mut machine = machine(&vectors["worker"]);
        for (now, step) in steps(scene) {
            let mut out = Vec::new();
            act(&mut machine, now, step, &mut out);
            let (mut sends, mut starts, mut stops) = (Vec::new(), Vec::new(), Vec::new());
            for effect in out {
                match effect {
                    WorkerEffect::Send(message) => {
                        sends.push(serde_json::to_value(message).expect("JSON"));
                    }
                    WorkerEffect::Start(dispatch) => starts.push(dispatch.fence.to_string().into()),
                    WorkerEffect::Stop(fence, stop) => {
                        let grace = stop.grace.as_millis() as u64;
                        let reason = match format!("{:?}", stop.reason).as_str() {
                            "Cancelled" => "cancelled",
                            "TimedOut" => "timed_out",
                            "Fenced" => "fenced",
                            "ShuttingDown" => "shutting_down",
                            other => panic!("{other}"),
                        };
                        stops.push(serde_json::json!([fence.to_string(), reason, grace]));
                    }
                    _ => {}
                }
            }
            for (kind, found) in [("sends", sends), ("starts", starts), ("stops", stops)] {
                let (found, expected) = (Value::Array(found), list(step, kind).to_vec().into());
                let place = format!("{} at {}: {kind}", scene["name"], step["at"]);
                assert!(has(&found, &expected), "{place}: {found:#}, expected {expected:#}");
            }
        }
    }
}

#[test]
fn a_log_plays_every_scene() {
    for scene in list(&read(LOGS), "scenes") {
        let (mut sender, mut next) = (LogSender::new(512 * 1024), 1);
        let (mut pending, mut wanted) = (VecDeque::new(), true);
        for (now, step) in steps(scene) {
            for line in list(step, "write") {
                let (stream, level) = (Stream::Stdout, Level::Info);
                let lines = vec![text(line).to_owned()];
                pending.push_back(Arc::new(LogChunk::new(
                    next,
                    Timestamp(0),
                    stream,
                    level,
                    lines,
                )));
                next += 1;
            }
            let ack = step.get("ack");
            if let Some(seq) = ack.and_then(|ack| ack.as_u64().or_else(|| text(ack).parse().ok())) {
                sender.acknowledged(now, seq);
                wanted &= seq < u64::MAX;
            }
            let mut sent: Vec<u64> = Vec::new();
            if sender.resend_at(Duration::from_secs(1)).is_some_and(|at| at <= now) {
                sent.extend(sender.resend(now).map(|chunk| chunk.first_seq));
            }
            for chunk in pending.drain(..).filter(|_| wanted) {
                sent.push(chunk.first_seq);
                sender.sent(now, chunk);
            }
            let expected: Vec<u64> = list(step, "sends").iter().filter_map(Value::as_u64).collect();
            assert_eq!(sent, expected, "{} at {}", scene["name"], step["at"]);
        }
    }
}

#[test]
fn fences_are_read_and_ordered() {
    let vectors = read(FENCES);
    for entry in list(&vectors, "valid") {
        let fence: Fence = text(&entry["text"]).parse().expect("a fence");
        let numbers = [fence.epoch.instance.into(), fence.epoch.number.into(), fence.number];
        let expected = ["instance", "epoch", "number"].map(|name| text(&entry[name]).to_owned());
        assert_eq!(numbers.map(|number: u64| number.to_string()), expected);
        assert_eq!(fence.to_string(), text(&entry["text"]));
    }
    for invalid in list(&vectors, "invalid") {
        text(invalid).parse::<Fence>().expect_err(text(invalid));
    }
    let order = list(&vectors, "order").iter().map(|fence| text(fence).parse::<Fence>());
    assert!(order.collect::<Result<Vec<_>, _>>().expect("fences").is_sorted());
}
