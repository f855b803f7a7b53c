//! The machines and the encoding, without any I/O.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BatchSize, Criterion, Throughput};
use tinpot_core::executor::ActionSet;
use tinpot_core::protocol::{
    Beat, CoordinatorEffect, CoordinatorMachine, Epoch, Frame, Hello, Message, ProtocolConfig,
    ResultReport, Tick,
};
use tinpot_core::store::Transition;
use tinpot_core::{Action, Execution, ExecutionId, Json, Outcome, WorkerId};

pub(crate) fn benches(criterion: &mut Criterion) {
    machine(criterion);
    frames(criterion);
}

/// An execution as a store would hand it over: made through its JSON form, since its fields may grow.
fn execution(number: u128) -> Arc<Execution> {
    let id = ExecutionId::from_u128(number);
    let text = format!(
        r#"{{"id":"{id}","action":"noop","queue":"default","parameters":{{}},"priority":0,"retry":{{}},"status":"queued","outcome":null,
        "attempts":[],"accepted_at":0,"started_at":null,"finished_at":null}}"#
    );
    Arc::new(serde_json::from_str(&text).expect("an execution"))
}

fn machine_with_worker() -> (CoordinatorMachine, WorkerId) {
    let mut machine =
        CoordinatorMachine::new(ProtocolConfig::default(), Epoch { instance: 1, number: 1 });
    let worker = WorkerId::new("w-1").expect("an id");
    let offer = ActionSet::new([Action::new("noop").expect("a name")]);
    let hello = Hello { name: "w".into(), slots: 2, offer, ..Hello::default() };
    let mut effects = Vec::new();
    machine.receive(Tick(0), &worker, Message::Hello(hello), &mut effects);
    machine.receive(
        Tick(0),
        &worker,
        Message::Beat(Beat {
            seq: 1,
            free: 2,
            held: vec![],
            epoch: Some(Epoch { instance: 1, number: 1 }),
        }),
        &mut effects,
    );
    (machine, worker)
}

/// Accepted, granted, dispatched, reported, acknowledged: everything the coordinator decides for one execution.
fn machine(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("machine");
    group.throughput(Throughput::Elements(1));
    let (mut machine, worker) = machine_with_worker();
    let mut number = 0;
    let mut effects = Vec::new();
    group.bench_function("one execution", |bencher| {
        bencher.iter_batched(
            || {
                number += 1;
                execution(number)
            },
            |execution| {
                effects.clear();
                machine.submit(Tick(1), execution, &mut effects).expect("room");
                let fence = effects.iter().find_map(|effect| match effect {
                    CoordinatorEffect::Persist(Transition::Grant { fence, .. }) => Some(*fence),
                    _ => None,
                });
                let fence = fence.expect("a grant");
                let outcome = Outcome::Succeeded(Json::null());
                let report =
                    ResultReport { fence, outcome, last_log_seq: 0, ran_us: 50, killed: false };
                machine.receive(Tick(2), &worker, Message::Result(report), &mut effects);
                black_box(&effects);
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

fn frames(criterion: &mut Criterion) {
    let dispatch = r#"{"dispatch":{"fence":"9f86d081.3.17","seq_echo":12,"settled":15,"execution":"0192f0c1-2b3c-7d4e-8f50-61728394a5b6",
        "attempt":1,"action":"clean_cache","parameters":{"days":3,"directory":"/var/cache/app"},"timeout_ms":60000,"grace_ms":10000}}"#;
    let lines: Vec<String> = (0..1000)
        .map(|n| format!("2026-11-21 line {n} of a log that has some text in it"))
        .collect();
    let log = format!(
        r#"{{"log":{{"fence":"9f86d081.3.17","first_seq":1,"time":1,"stream":"stdout","level":"info","lines":{}}}}}"#,
        serde_json::to_string(&lines).expect("JSON")
    );
    let cases = [
        ("1 dispatch", dispatch, 1),
        ("64 dispatches", dispatch, 64),
        ("1000 log lines", log.as_str(), 1),
    ];
    let mut group = criterion.benchmark_group("frame");
    for (name, text, count) in cases {
        let message: Message = serde_json::from_str(text).expect("a message");
        let frame = Frame {
            from: None,
            to: Some(WorkerId::new("w-1").expect("an id")),
            messages: vec![message; count],
        };
        let bytes = frame.encode();
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(format!("encode {name}"), |bencher| {
            bencher.iter(|| black_box(&frame).encode())
        });
        group.bench_function(format!("decode {name}"), |bencher| {
            bencher.iter(|| Frame::decode(black_box(&bytes)))
        });
    }
    group.finish();
}
