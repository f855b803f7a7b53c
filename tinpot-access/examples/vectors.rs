//! Prints the test vectors of sealed frames, `docs/protocol/vectors/frames-1.json`.
//!
//! `cargo run -p tinpot-access --example vectors > docs/protocol/vectors/frames-1.json`

use serde_json::{Value, json};
use tinpot_access::{IdentityKey, RingSuite};
use tinpot_core::seal::{KeyId, SecretKey, Suite};

const DOCUMENTS: [&str; 3] = [
    r#"{"v":1,"messages":[]}"#,
    r#"{"v":1,"from":"web-1f2e3d4c","messages":[{"goodbye":{"held":[]}}]}"#,
    r#"{"v":1,"to":"web-1f2e3d4c","messages":[]}"#,
];
const SESSION: u64 = 0x0102_0304_0506_0708;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn header(kind: u8, lane: u8, session: u64, counter: u64) -> Vec<u8> {
    let head = [b"TPF1".as_slice(), &[kind, lane, 0, 0]].concat();
    [head, session.to_be_bytes().to_vec(), counter.to_be_bytes().to_vec()].concat()
}

fn sealed(suite: &RingSuite, key: &SecretKey, lane: u8, counter: u64, document: &str) -> Vec<u8> {
    let head = header(0, lane, SESSION, counter);
    let mut body = document.as_bytes().to_vec();
    let tag = suite.seal(key, counter, &head, &mut body);
    [head, body, tag.to_vec()].concat()
}

fn signed(suite: &RingSuite, number: u8, kind: &str, payload: &str) -> Vec<u8> {
    let text = [b"tinpot/1 ", kind.as_bytes(), b"\0", payload.as_bytes()].concat();
    [header(number, 0, 0, 0), suite.sign(&text).to_vec(), payload.as_bytes().to_vec()].concat()
}

/// Returns the entry of a join: its frame has two signatures.
fn join(seeds: [&[u8; 32]; 2], suites: [&RingSuite; 2], payload: &str) -> Value {
    let text = [b"tinpot/1 join\0", payload.as_bytes()].concat();
    let signatures = suites.map(|suite| suite.sign(&text));
    let frame = [header(4, 0, 0, 0), signatures.concat(), payload.as_bytes().to_vec()].concat();
    json!({
        "token_seed": hex(seeds[0]),
        "key_seed": hex(seeds[1]),
        "payload": payload,
        "by_token": hex(&signatures[0]),
        "by_key": hex(&signatures[1]),
        "frame": hex(&frame),
    })
}

/// Returns the entry of the sealed part of an answer to a join.
fn sealed_login(suite: &RingSuite, join: &str) -> Value {
    let (shared, e) = ([2; 32], [3; 32]);
    let digest = suite.digest(join.as_bytes());
    let salt = suite.digest(&[b"tinpot/1 join\0".as_slice(), &digest, &e].concat());
    let [key, _] = suite.derive(&SecretKey(shared), &salt).down;
    let login = r#"{"user":"fe812c12f3ab4ce6ac5db69ac352f906","password":"secret"}"#;
    let mut body = login.as_bytes().to_vec();
    let tag = suite.seal(&key, 1, &header(5, 0, 0, 0), &mut body);
    json!({
        "shared": hex(&shared),
        "e": hex(&e),
        "salt": hex(&salt),
        "key": hex(&key.0),
        "login": login,
        "broker": hex(&[body, tag.to_vec()].concat()),
    })
}

fn main() {
    let seeds = [[7; 32], [8; 32]];
    let suites = seeds.map(|seed| RingSuite::new(&IdentityKey::from_seed(&seed)));
    let [worker, coordinator] = &suites;
    let id = |suite: &RingSuite| KeyId::of(suite, &suite.public()).to_string();
    let keys: Vec<Value> = seeds
        .iter()
        .zip(&suites)
        .map(|(seed, suite)| {
            let pem = IdentityKey::from_seed(seed).to_pem();
            let public = suite.public().to_string();
            json!({ "seed": hex(seed), "pem": pem, "public": public, "id": id(suite) })
        })
        .collect();
    let init = format!(
        r#"{{"v":1,"namespace":"tinpot","to":"{}","worker":"web-1f2e3d4c","key":"{}","shard":0,"e":"{}","suites":["TP1"]}}"#,
        id(coordinator),
        id(worker),
        "09".repeat(32),
    );
    let notice = format!(
        r#"{{"v":1,"namespace":"tinpot","key":"{}","epoch":"9f86d081.3","shard":0,"shards":1}}"#,
        id(coordinator),
    );
    let token_seed = [10; 32];
    let token = RingSuite::new(&IdentityKey::from_seed(&token_seed));
    let join_payload = format!(
        r#"{{"v":1,"namespace":"tinpot","token":"{}","key":"{}","e":"{}","name":"web","version":"0.1.0"}}"#,
        id(&token),
        worker.public(),
        "09".repeat(32),
    );
    let joined_payload = format!(
        r#"{{"v":1,"namespace":"tinpot","key":"{}","join":"{}","refused":{{"why":"used"}}}}"#,
        id(worker),
        hex(&worker.digest(join_payload.as_bytes())),
    );
    let entry = |seed: usize, number: u8, kind: &str, payload: &str| {
        let frame = signed(&suites[seed], number, kind, payload);
        json!({
            "kind": kind,
            "seed": hex(&seeds[seed]),
            "payload": payload,
            "signature": hex(&frame[24..88]),
            "frame": hex(&frame),
        })
    };
    let signed_entries = [
        entry(0, 1, "init", "init"),
        entry(0, 1, "init", &init),
        entry(1, 3, "notice", &notice),
        entry(1, 5, "joined", &joined_payload),
    ];
    let (shared, payloads) = ([1; 32], ["init", "accept"]);
    let digests = payloads.map(|payload| worker.digest(payload.as_bytes())).concat();
    let salt = worker.digest(&digests);
    let session = worker.derive(&SecretKey(shared), &salt);
    let ([up_control, up_logs], [down_control, down_logs]) = (&session.up, &session.down);
    let frames = [
        ("up_control", up_control, 0, 1, DOCUMENTS[0]),
        ("up_control", up_control, 0, 2, DOCUMENTS[1]),
        ("up_logs", up_logs, 1, 1, DOCUMENTS[1]),
        ("down_control", down_control, 0, 1, DOCUMENTS[2]),
        ("down_logs", down_logs, 1, 1 << 40, ""),
    ];
    let sealed_entries = frames.map(|(name, key, lane, counter, document)| {
        let frame = hex(&sealed(worker, key, lane, counter, document));
        json!({ "key": name, "lane": lane, "counter": counter, "document": document, "frame": frame })
    });
    let good = sealed(worker, up_control, 0, 1, DOCUMENTS[1]);
    let changed = |place: usize, value: u8| {
        let mut frame = good.clone();
        frame[place] = value;
        frame
    };
    let last = good.len() - 1;
    let refused = [
        ("another version", "up_control", 0, changed(3, b'2')),
        ("a kind that does not exist", "up_control", 0, changed(4, 9)),
        ("on the logs lane", "up_control", 1, good.clone()),
        ("moved to the logs lane", "up_logs", 1, changed(5, 1)),
        ("reserved bytes that are not 0", "up_control", 0, changed(6, 1)),
        ("moved to another session", "up_control", 0, changed(15, 9)),
        ("another counter", "up_control", 0, changed(23, 2)),
        ("a changed document", "up_control", 0, changed(30, good[30] ^ 1)),
        ("a changed tag", "up_control", 0, changed(last, good[last] ^ 1)),
        ("cut off", "up_control", 0, good[..last].to_vec()),
        ("only a header", "up_control", 0, good[..24].to_vec()),
        ("back to its sender", "down_control", 0, good.clone()),
        ("plain", "up_control", 0, DOCUMENTS[1].as_bytes().to_vec()),
    ];
    let mut refused: Vec<Value> = refused
        .into_iter()
        .map(|(why, key, lane, frame)| {
            json!({ "why": why, "key": key, "lane": lane, "frame": hex(&frame) })
        })
        .collect();
    let init_frame = signed(worker, 1, "init", &init);
    let mut changed_payload = init_frame.clone();
    changed_payload[100] ^= 1;
    let signed_refused = [
        ("signed by another key", "init", coordinator, init_frame.clone()),
        ("signed as another kind", "accept", worker, init_frame),
        ("a changed payload", "init", worker, changed_payload),
    ];
    refused.extend(signed_refused.map(|(why, kind, suite, frame)| {
        let public = suite.public().to_string();
        json!({ "why": why, "kind": kind, "public": public, "frame": hex(&frame) })
    }));
    let vectors = json!({
        "about": "Sealed frames of Tinpot: see \"Sealed frames\" in docs/protocol.md. Bytes are hexadecimal.",
        "keys": keys,
        "signed": signed_entries,
        "session": {
            "id": format!("{SESSION:016x}"),
            "shared": hex(&shared),
            "init": payloads[0],
            "accept": payloads[1],
            "salt": hex(&salt),
            "up_control": hex(&up_control.0),
            "up_logs": hex(&up_logs.0),
            "down_control": hex(&down_control.0),
            "down_logs": hex(&down_logs.0),
        },
        "joins": [join([&token_seed, &seeds[0]], [&token, worker], &join_payload)],
        "login": sealed_login(worker, &join_payload),
        "sealed": sealed_entries,
        "refused": refused,
    });
    println!("{vectors:#}");
}
