//! Messages and values: the vectors, both dialects, and bytes of a peer who means harm.

use std::time::{Duration, Instant};

use tinpot_moor::{
    DEPTH_MAX, Dialect, Fault, FromWorker, FromWorkerBody, Obj, Reply, Sender, ToWorker, Var,
    WorkerError, WorkerRequest,
};
use uuid::Uuid;

use crate::vectors::{bytes, vectors};

const DIALECTS: [Dialect; 2] = [Dialect::Token, Dialect::Plain];

/// Says in one line what a message is, as the vectors do.
fn described(from: &str, message: &[u8], dialect: Dialect) -> Result<String, Fault> {
    if from == "coordinator" {
        return Ok(match ToWorker::decode(message, dialect)? {
            ToWorker::Ping => "ping".to_owned(),
            ToWorker::Request(request) => {
                let arguments = Var::list_to_json(&request.arguments)?;
                format!("request {} {arguments}", request.timeout_ms)
            }
            other => format!("{other:?}"),
        });
    }
    let message = FromWorker::decode(message, dialect)?;
    Ok(match (message.body, message.sender) {
        (FromWorkerBody::Attach(worker_type), Sender::Token(token)) => {
            format!("attach {worker_type} {token}")
        }
        (FromWorkerBody::Result(_, result), _) => format!("result {}", result?.to_json()?),
        other => format!("{other:?}"),
    })
}

#[test]
fn the_messages_of_other_encoders_are_read() {
    for vector in vectors().messages {
        let dialect = vector.dialect.parse().expect("a dialect");
        let read = described(&vector.from, &bytes(&vector.bytes), dialect);
        assert_eq!(read, Ok(vector.is), "{}", vector.name);
    }
}

#[test]
fn malformed_messages_are_refused_with_a_reason() {
    for vector in vectors().refused {
        let started = Instant::now();
        let read = described("worker", &bytes(&vector.bytes), Dialect::Token);
        let fault = read.expect_err(&vector.name);
        assert!(fault.to_string().len() > 10, "{}: {fault}", vector.name);
        // A bound for slow machines: it takes microseconds.
        assert!(started.elapsed() < Duration::from_secs(1), "{}", vector.name);
    }
}

#[test]
fn a_fault_names_its_place() {
    let fault = |name: &str| {
        let refused = vectors().refused;
        let vector = refused.iter().find(|vector| vector.name == name).expect(name);
        described("worker", &bytes(&vector.bytes), Dialect::Token).expect_err(name).to_string()
    };
    assert_eq!(fault("error code 77"), "result.code: a code must be 0 to 18, or 255 (got 77)");
    assert_eq!(fault("no result"), "result: required, and missing");
    assert_eq!(fault("an id of 15 bytes"), "id: an id must have 16 bytes (got 15)");
    assert_eq!(fault("a lambda"), "result: a lambda cannot leave its database");
    assert!(fault("shared offsets").contains("repeats parts"));
}

#[test]
fn json_has_one_form_per_value_and_survives_the_wire() {
    for text in vectors().json {
        let value = Var::from_json(&text).unwrap_or_else(|fault| panic!("{text}: {fault}"));
        assert_eq!(value.to_json().as_deref(), Ok(&*text));
        let sent = round_trip(value, Dialect::Plain);
        assert_eq!(sent.to_json().as_deref(), Ok(&*text));
    }
    for (other, text) in [
        (r#"{"$int":1}"#, "1"),
        (r#"{"$int":"7"}"#, "7"),
        (r#"{"$float":1}"#, "1.0"),
        (r#"{"$map":[["a",1]]}"#, r#"{"a":1}"#),
        (r#" [ 1 , 1E2 ] "#, "[1,100.0]"),
        ("-0", "0"),
    ] {
        assert_eq!(Var::from_json(other).unwrap().to_json().unwrap(), text);
    }
    for (text, hint) in vectors().refused_json {
        let fault = Var::from_json(&text).expect_err(&text).to_string();
        assert!(fault.contains(&hint), "{text}: {fault}");
    }
}

fn round_trip(value: Var, dialect: Dialect) -> Var {
    let (id, worker) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let sender = match dialect {
        Dialect::Token => Sender::Token("t".to_owned()),
        _ => Sender::Id(worker),
    };
    let sent = FromWorker { sender, body: FromWorkerBody::Result(id, Ok(value)) };
    let received =
        FromWorker::decode(&sent.encode(dialect).expect("a result"), dialect).expect("a result");
    match received.body {
        FromWorkerBody::Result(_, result) => result.expect("a result"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_message_survives_both_dialects() {
    let (id, worker) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let mut request = WorkerRequest::new(worker, id);
    request.perms = Obj::Uu(7 << 40 | 9);
    request.arguments = vec![Var::Int(-3), Var::from("x"), Var::List(vec![Var::None])];
    request.timeout_ms = u64::MAX;
    for dialect in DIALECTS {
        for message in
            [ToWorker::Ping, ToWorker::Request(request.clone()), ToWorker::PleaseDie(worker)]
        {
            let bytes = message.encode(dialect).unwrap();
            assert_eq!(ToWorker::decode(&bytes, dialect), Ok(message));
        }
        let text = || "why".to_owned();
        let errors = [
            WorkerError::PermissionDenied(text()),
            WorkerError::InvalidRequest(text()),
            WorkerError::Internal(text()),
            WorkerError::TimedOut(text()),
            WorkerError::Request(text()),
            WorkerError::Detached(text()),
            WorkerError::NoWorker(text()),
        ];
        let bodies = [
            FromWorkerBody::Attach(text()),
            FromWorkerBody::Pong(text()),
            FromWorkerBody::Detach,
            FromWorkerBody::Result(id, Ok(Var::Bool(true))),
        ];
        let errors = errors.map(|error| FromWorkerBody::Error(id, error));
        for body in bodies.into_iter().chain(errors) {
            let sender = match dialect {
                Dialect::Token => Sender::Token(text()),
                _ => Sender::Id(worker),
            };
            let message = FromWorker { sender, body };
            let bytes = message.encode(dialect).unwrap();
            assert_eq!(FromWorker::decode(&bytes, dialect), Ok(message));
        }
        for reply in [
            Reply::Ack,
            Reply::Rejected(text()),
            Reply::Attached(worker),
            Reply::AuthFailed(text()),
            Reply::InvalidPayload(text()),
            Reply::UnknownRequest(id),
            Reply::NotRegistered(worker),
        ] {
            assert_eq!(Reply::decode(&reply.encode(dialect), dialect), Ok(reply));
        }
    }
    // The two have different slots: a message of the one is not one of the other by accident.
    let sent = ToWorker::Request(request).encode(Dialect::Plain).unwrap();
    assert!(ToWorker::decode(&sent, Dialect::Token).is_err());
}

/// Nests a value in lists.
fn nested(levels: usize) -> Var {
    (0..levels).fold(Var::None, |inside, _| Var::List(vec![inside]))
}

#[test]
fn depth_is_bounded_on_the_wire_and_in_json() {
    let deepest = nested(DEPTH_MAX - 1);
    assert_eq!(round_trip(deepest.clone(), Dialect::Token), deepest);
    assert_eq!(Var::from_json(&deepest.to_json().unwrap()), Ok(deepest));
    let deeper = nested(DEPTH_MAX);
    assert!(deeper.to_json().unwrap_err().to_string().contains("at most 64 deep"));
    let mut request = WorkerRequest::new(Uuid::nil(), Uuid::nil());
    request.arguments = vec![deeper];
    assert!(ToWorker::Request(request).encode(Dialect::Token).is_err());
    let text = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(Var::from_json(&text).unwrap_err().problem().contains("at most 64 deep"));
}

/// A result of lists in each other, by hand: the writer refuses such.
fn deep_result(levels: u32) -> Vec<u8> {
    let vectors = vectors();
    let flat = vectors.messages.iter().find(|vector| vector.name == "result").expect("a result");
    let mut out = bytes(&flat.bytes);
    // The vtables of a union and of a table with one offset, then the chain.
    let union = out.len() as u32;
    out.extend([8, 0, 9, 0, 8, 0, 4, 0]);
    let boxed = out.len() as u32;
    out.extend([6, 0, 8, 0, 4, 0, 0, 0]);
    let start = out.len() as u32;
    for level in 0..levels {
        let at = start + 32 * level;
        let (list, vector, next) = (at + 12, at + 20, at + 32);
        out.extend((at - union).to_le_bytes());
        out.extend((list - (at + 4)).to_le_bytes());
        out.extend([8, 0, 0, 0]);
        out.extend((list - boxed).to_le_bytes());
        out.extend((vector - (list + 4)).to_le_bytes());
        out.extend(1_u32.to_le_bytes());
        out.extend((next - (vector + 4)).to_le_bytes());
        out.extend([0; 4]);
    }
    let last = start + 32 * levels;
    let none = [(last - union).to_le_bytes(), 8_u32.to_le_bytes(), 1_u32.to_le_bytes()];
    out.extend(none.concat());
    out.extend((last + 12 - boxed).to_le_bytes());
    out.extend([0; 4]);
    // The result of the message now points to the chain.
    let root = u32::from_le_bytes(out[0..4].try_into().expect("four bytes"));
    let field = |out: &[u8], table: u32, slot: u32| {
        let at = table as usize;
        let vtable = at as i64
            - i64::from(i32::from_le_bytes(out[at..at + 4].try_into().expect("four bytes")));
        let entry = vtable as usize + 4 + 2 * slot as usize;
        table + u32::from(u16::from_le_bytes(out[entry..entry + 2].try_into().expect("four bytes")))
    };
    let body = field(&out, root, 1);
    let body = body + u32::from_le_bytes(out[body as usize..][..4].try_into().expect("four bytes"));
    let result = field(&out, body, 2);
    out[result as usize..][..4].copy_from_slice(&(start - result).to_le_bytes());
    out
}

#[test]
fn a_value_100_000_deep_is_refused_and_one_within_the_bound_is_read() {
    let shallow = FromWorker::decode(&deep_result(10), Dialect::Token).unwrap();
    match shallow.body {
        FromWorkerBody::Result(_, result) => assert_eq!(result, Ok(nested(10))),
        other => panic!("{other:?}"),
    }
    let deep = described("worker", &deep_result(100_000), Dialect::Token);
    assert!(deep.unwrap_err().to_string().contains("at most 64 deep"));
}

#[test]
fn bytes_that_are_wrong_in_any_place_do_no_harm() {
    let value = Var::from_json(
        r##"[1,"two",{"$obj":"#3"},{"a":[true,null]},{"$sym":"s"},{"$binary":"AAE="},
            {"$err":{"code":"E_X","msg":"m","value":1}},
            {"$flyweight":{"delegate":"#1","slots":[["s",2.5]],"contents":[3]}}]"##,
    );
    let sender = Sender::Token("token".to_owned());
    let body = FromWorkerBody::Result(Uuid::from_u128(5), value);
    let good = FromWorker { sender, body }.encode(Dialect::Token).unwrap();
    assert!(described("worker", &good, Dialect::Token).is_ok());
    for end in 0..good.len() {
        let _ = described("worker", &good[..end], Dialect::Token);
        let _ = described("coordinator", &good[..end], Dialect::Token);
    }
    for at in 0..good.len() {
        for wrong in [0, 1, 2, 4, 8, 0x7f, 0x80, 0xfe, 0xff, good[at] ^ 1, good[at] ^ 0x10] {
            let mut bad = good.clone();
            bad[at] = wrong;
            for dialect in DIALECTS {
                let _ = described("worker", &bad, dialect);
                let _ = described("coordinator", &bad, dialect);
                let _ = Reply::decode(&bad, dialect);
            }
        }
    }
}
