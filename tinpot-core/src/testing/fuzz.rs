//! The fuzz targets of this crate, and bounded runs of them without a fuzzer.
//!
//! The targets of `fuzz/` call these functions with inputs of libFuzzer; tests call them by
//! [`run`].

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::random::Random;
use crate::model::action::{Action, ActionSet, Schema, parameters as parameters_of};
use crate::model::execution::Execution;
use crate::model::fence::Epoch;
use crate::model::id::{ExecutionId, WorkerId};
use crate::model::json::Json;
use crate::protocol::{
    CoordinatorMachine, Frame, Message, ProtocolConfig, Tick, WorkerMachine, WorkerProfile,
};

/// The longest input that [`run`] generates, in bytes.
const INPUT_MAX_BYTES: usize = 4_096;
/// Fragments at which parsers break, inserted into inputs.
const FRAGMENTS: [&[u8]; 16] = [
    b"0",
    b"-1",
    b"18446744073709551615",
    b"1e999",
    b"null",
    b"\"",
    b"\\",
    b"\\u0000",
    b"{",
    b"}",
    b"[[[[",
    b",",
    b":",
    b"\0",
    b"\xff\xfe",
    b"/+/#",
];

/// Calls `target` with every file of the corpus, then with `iterations` inputs generated from them.
/// Prints the input at which it panics.
///
/// # Panics
/// If the corpus cannot be read or is empty, and if the target panics.
pub fn run(corpus: &Path, seed: u64, iterations: u32, target: impl Fn(&[u8])) {
    let mut files: Vec<_> = fs::read_dir(corpus)
        .unwrap_or_else(|e| panic!("{}: {e}", corpus.display()))
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    let inputs: Vec<Vec<u8>> =
        files.iter().map(|file| fs::read(file).expect("a file of the corpus")).collect();
    assert!(!inputs.is_empty(), "{}: an empty corpus", corpus.display());
    for input in &inputs {
        call(input, &target);
    }
    println!("seed {seed}");
    let mut random = Random::new(seed);
    for _ in 0..iterations {
        let input = generate(&inputs, &mut random);
        call(&input, &target);
    }
}

/// Calls the target, and prints the input if it panics.
fn call(input: &[u8], target: &impl Fn(&[u8])) {
    struct Shown<'a>(&'a [u8]);
    impl Drop for Shown<'_> {
        fn drop(&mut self) {
            if std::thread::panicking() {
                eprintln!("the input was {:?}", self.0.escape_ascii().to_string());
            }
        }
    }
    let _shown = Shown(input);
    target(input);
}

fn generate(inputs: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut pick = |length: usize| (random.number() as usize).checked_rem(length).unwrap_or(0);
    let mut input = inputs[pick(inputs.len())].clone();
    for _ in 0..=pick(6) {
        let at = pick(input.len() + 1);
        match pick(6) {
            0 if at < input.len() => input[at] ^= 1 << pick(8),
            1 if at < input.len() => drop(input.drain(at..(at + 1 + pick(16)).min(input.len()))),
            2 => drop(input.splice(at..at, FRAGMENTS[pick(FRAGMENTS.len())].iter().copied())),
            3 => {
                let other = &inputs[pick(inputs.len())];
                let from = pick(other.len());
                let to = from + pick(other.len() - from.min(other.len()));
                drop(input.splice(at..at, other[from..to].iter().copied()));
            }
            4 => {
                let end = (at + pick(64)).min(input.len());
                let copy = input[at..end].to_vec();
                drop(input.splice(at..at, copy));
            }
            _ => input.truncate(at),
        }
        input.truncate(INPUT_MAX_BYTES);
    }
    input
}

/// Decodes bytes from the network. A frame that decodes must survive another round of encoding and
/// decoding unchanged.
pub fn frame(bytes: &[u8]) {
    let Ok((mut frame, _)) = Frame::decode(bytes) else { return };
    // No participant sends a message of an unknown type.
    frame.messages.retain(|message| !matches!(message, Message::Unknown(_)));
    let encoded = frame.encode();
    let (again, errors) = Frame::decode(&encoded).expect("an encoded frame can be decoded");
    assert!(errors.is_empty(), "{errors:?}");
    // Compared as bytes: a NaN in a progress report is not equal to itself.
    assert_eq!(again.encode(), encoded);
}

/// Passes messages of any sender to both machines, at any time; neither panics.
pub fn machines(bytes: &[u8]) {
    let mut now = Tick(0);
    let offer = Arc::new(ActionSet::new(Action::new("noop").ok()));
    let Ok(id) = WorkerId::new("w-1") else { return };
    let profile = WorkerProfile {
        id: id.clone(),
        name: "w".to_owned(),
        queues: Vec::new(),
        groups: Vec::new(),
        slots: 2,
        clean_slate: Vec::new(),
        version: String::new(),
        started_at: None,
        pull: false,
        lease: None,
    };
    let mut worker = WorkerMachine::new(ProtocolConfig::default(), profile, offer);
    let epoch = Epoch { instance: 0x9f86_d081, number: 3 };
    let mut coordinator = CoordinatorMachine::new(ProtocolConfig::default(), epoch);
    let (mut for_worker, mut for_store) = (Vec::new(), Vec::new());
    worker.link_up(now, &mut for_worker);
    for number in 1..=3 {
        let execution =
            Execution::new(ExecutionId::from_u128(number), "noop", Json::empty_object());
        // Far below the bound on unfinished executions.
        let _ = coordinator.submit(now, Arc::new(execution), &mut for_store);
    }
    for line in bytes.split(|byte| *byte == b'\n') {
        let Ok((frame, _)) = Frame::decode(line) else { continue };
        let from = frame.from.unwrap_or_else(|| id.clone());
        for message in frame.messages {
            now = now + Duration::from_millis(700);
            coordinator.receive(now, &from, message.clone(), &mut for_store);
            coordinator.tick(now, &mut for_store);
            worker.receive(now, message, &mut for_worker);
        }
    }
    worker.tick(now + Duration::from_secs(3_600), &mut for_worker);
    coordinator.tick(now + Duration::from_secs(3_600), &mut for_store);
}

/// Checks parameters, on the second line, against the schema on the first; every violation has a
/// message.
pub fn parameters(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (schema, document) = text.split_once('\n').unwrap_or((text, "{}"));
    let Ok(raw) = Json::parse(schema) else { return };
    let _ = parameters_of(&raw);
    let Ok(document) = Json::parse(document) else { return };
    match Schema::compile(&raw).map(|schema| schema.check(&document)) {
        Err(error) | Ok(Err(error)) => assert!(!error.to_string().is_empty()),
        Ok(Ok(_)) => {}
    }
}
