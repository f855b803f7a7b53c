//! The vectors that all implementations read: `docs/protocol/vectors/moor`.

use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{Value, json};
use tinpot_core::{Coordinator, MemoryNetwork};
use tinpot_moor::testing::exchange;
use tinpot_moor::{
    Dialect, Fault, FromWorker, FromWorkerBody, Gateway, MoorAddress, Reply, Sender, SigningKey,
    ToWorker, Var, VerifyingKey, WorkerError,
};
use uuid::Uuid;

use crate::vectors::bytes;

const MESSAGES: &str = include_str!("../../../docs/protocol/vectors/moor/messages-1.json");
const TOKENS: &str = include_str!("../../../docs/protocol/vectors/moor/tokens-1.json");
const REFUSED: &str = include_str!("../../../docs/protocol/vectors/moor/refused-1.json");

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).expect("vectors")
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

fn plain(value: &Var) -> Value {
    parsed(&value.to_json().expect("JSON"))
}

/// Returns a message in the form of the vectors, and the bytes that this crate writes for it.
fn message(root: &str, data: &[u8], dialect: Dialect) -> Result<(Value, Vec<u8>), Fault> {
    Ok(match root {
        "DaemonToWorkerMessage" => {
            let message = ToWorker::decode(data, dialect)?;
            (to_worker(&message), message.encode(dialect)?)
        }
        "WorkerToDaemonMessage" => {
            let message = FromWorker::decode(data, dialect)?;
            (from_worker(&message), message.encode(dialect)?)
        }
        _ => {
            let reply = Reply::decode(data, dialect)?;
            (replied(&reply), reply.encode(dialect))
        }
    })
}

fn to_worker(message: &ToWorker) -> Value {
    match message {
        ToWorker::Ping => json!({"type": "PingWorkers"}),
        ToWorker::PleaseDie(worker) => json!({"type": "PleaseDie", "worker_id": worker}),
        ToWorker::Request(request) => json!({
            "type": "WorkerRequest",
            "worker_id": request.worker,
            "request_id": request.id,
            "perms": request.perms.to_string(),
            "request": request.arguments.iter().map(plain).collect::<Vec<_>>(),
            "timeout_ms": request.timeout_ms,
        }),
        other => panic!("{other:?}"),
    }
}

fn from_worker(message: &FromWorker) -> Value {
    let mut plain = match &message.body {
        FromWorkerBody::Attach(kind) => json!({"type": "AttachWorker", "worker_type": kind}),
        FromWorkerBody::Pong(kind) => json!({"type": "WorkerPong", "worker_type": kind}),
        FromWorkerBody::Detach => json!({"type": "DetachWorker"}),
        FromWorkerBody::Result(id, result) => {
            let result = plain(result.as_ref().expect("a result"));
            json!({"type": "RequestResult", "request_id": id, "result": result})
        }
        FromWorkerBody::Error(id, error) => {
            json!({"type": "RequestError", "request_id": id, "error": failed(error)})
        }
        other => panic!("{other:?}"),
    };
    match &message.sender {
        Sender::Token(token) => plain["token"] = json!(token),
        Sender::Id(id) => plain["worker_id"] = json!(id),
    }
    plain
}

fn failed(error: &WorkerError) -> Value {
    let (kind, why) = match error {
        WorkerError::PermissionDenied(why) => ("PermissionDenied", why),
        WorkerError::InvalidRequest(why) => ("InvalidRequest", why),
        WorkerError::Internal(why) => ("InternalError", why),
        WorkerError::TimedOut(why) => ("RequestTimedOut", why),
        WorkerError::Request(why) => ("RequestError", why),
        WorkerError::Detached(why) => ("Detached", why),
        WorkerError::NoWorker(kind) => {
            return json!({"kind": "NoWorkerAvailable", "worker_type": kind});
        }
        other => panic!("{other:?}"),
    };
    json!({"kind": kind, "message": why})
}

fn replied(reply: &Reply) -> Value {
    match reply {
        Reply::Ack => json!({"type": "WorkerAck"}),
        Reply::Rejected(why) => json!({"type": "WorkerRejected", "reason": why}),
        Reply::Attached(worker) => json!({"type": "WorkerAttached", "worker_id": worker}),
        Reply::AuthFailed(why) => json!({"type": "WorkerAuthFailed", "reason": why}),
        Reply::InvalidPayload(why) => json!({"type": "WorkerInvalidPayload", "reason": why}),
        Reply::UnknownRequest(id) => json!({"type": "WorkerUnknownRequest", "request_id": id}),
        Reply::NotRegistered(worker) => {
            json!({"type": "WorkerNotRegistered", "worker_id": worker})
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_messages_of_the_official_library_are_read_and_written() {
    let mut read = 0;
    for vector in parsed(MESSAGES)["messages"].as_array().expect("messages") {
        let root = text(&vector["root"]);
        if root.starts_with("Enrollment") {
            continue;
        }
        let mut expected = vector["message"].clone();
        if root != "WorkerToDaemonMessage" {
            // It proves nothing there, and is not kept.
            expected.as_object_mut().expect("an object").remove("token");
        }
        if expected["type"] == "WorkerRejected" && expected.get("reason").is_none() {
            expected["reason"] = json!("");
        }
        for dialect in text(&vector["dialects"]).chars() {
            let dialect = if dialect == 'A' { Dialect::Token } else { Dialect::Plain };
            let (found, written) = message(root, &bytes(text(&vector["bytes"])), dialect)
                .unwrap_or_else(|fault| panic!("{expected}: {fault}"));
            assert_eq!(found, expected);
            let (again, _) = message(root, &written, dialect).expect("what this crate has written");
            assert_eq!(again, expected);
            read += 1;
        }
    }
    assert!(read > 40, "{read}");
}

#[test]
fn the_tokens_of_other_libraries_are_verified_and_signed() {
    let vectors = parsed(TOKENS);
    let keys = vectors["keys"].as_array().expect("keys");
    for key in keys {
        for (form, is_version_2) in [("private_pem", false), ("private_pem_v2", true)] {
            let read = SigningKey::from_pem(text(&key[form])).expect("a key");
            assert_eq!(read.is_version_2(), is_version_2);
            assert_eq!(read.verifying_key().as_bytes()[..], bytes(text(&key["public"])));
            assert_eq!(read.to_pem(), text(&key["private_pem"]));
        }
        let public = VerifyingKey::from_pem(text(&key["public_pem"])).expect("a key");
        assert_eq!(public.as_bytes()[..], bytes(text(&key["public"])));
    }
    for vector in vectors["valid"].as_array().expect("tokens") {
        let key = keys.iter().find(|key| key["seed"] == vector["seed"]).expect("the key");
        let key = SigningKey::from_pem(text(&key["private_pem"])).expect("a key");
        let worker: Uuid = text(&vector["worker_id"]).parse().expect("an id");
        assert_eq!(key.token(worker).expect("a token"), text(&vector["token"]));
        assert_eq!(key.verifying_key().worker_of(text(&vector["token"])), Some(worker));
    }
    let first = VerifyingKey::from_pem(text(&keys[0]["public_pem"])).expect("a key");
    for vector in vectors["refused"].as_array().expect("tokens") {
        assert_eq!(first.worker_of(text(&vector["token"])), None, "{}", vector["why"]);
    }
}

#[tokio::test]
async fn what_must_be_refused_is_with_a_reply() {
    let vectors = parsed(REFUSED);
    let keys = parsed(TOKENS)["keys"].clone();
    let key = SigningKey::from_pem(text(&keys[0]["private_pem"])).expect("a key");
    let worker: Uuid = text(&vectors["worker_id"]).parse().expect("an id");
    let network = MemoryNetwork::new();
    let coordinator = Coordinator::builder(network.transport()).start().await.expect("started");
    let folder = tempfile::tempdir().expect("a folder");
    let address: MoorAddress =
        format!("ipc://{}/m", folder.path().display()).parse().expect("an address");
    let gateway = Gateway::builder(&network, address)
        .key(key.verifying_key())
        .allow_any()
        .bind()
        .await
        .expect("a gateway");
    let mut cases: Vec<(&Value, Vec<Bytes>)> = Vec::new();
    for vector in vectors["messages"].as_array().expect("messages") {
        let data = bytes(text(&vector["bytes"]));
        let started = Instant::now();
        let unreadable = match FromWorker::decode(&data, Dialect::Token) {
            Ok(FromWorker { body: FromWorkerBody::Result(_, result), .. }) => result.is_err(),
            other => other.is_err(),
        };
        assert!(unreadable, "{}", vector["why"]);
        // A bound for slow machines: it takes microseconds.
        assert!(started.elapsed() < Duration::from_secs(1), "{}", vector["why"]);
        let token = Bytes::from(key.token(worker).expect("a token"));
        let id = Bytes::copy_from_slice(worker.as_bytes());
        cases.push((&vector["why"], vec![token, id, data.into()]));
    }
    for vector in vectors["frames"].as_array().expect("frames") {
        let frames = vector["frames"].as_array().expect("frames");
        let frames = frames.iter().map(|frame| bytes(text(frame)).into()).collect();
        cases.push((&vector["why"], frames));
    }
    for (why, frames) in cases {
        let replied = exchange(gateway.address(), frames);
        let replied =
            tokio::time::timeout(Duration::from_secs(60), replied).await.expect("in time");
        let [reply] = &replied.expect("a reply")[..] else { panic!("one frame: {why}") };
        let reply = Reply::decode(reply, Dialect::Token).expect("a reply");
        let is_refused = !matches!(reply, Reply::Ack | Reply::Attached(_));
        assert!(is_refused, "{why}: {reply:?}");
    }
    gateway.shutdown(Duration::ZERO).await;
    coordinator.shutdown().await;
}
