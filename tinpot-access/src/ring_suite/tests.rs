//! RingSuite against the test vectors, and as the cryptography of a deployment.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tinpot_core::seal::{
    CoordinatorOptions, Digest, EnrolledKeys, Pins, PublicKey, SecretKey, Signature, Suite,
    WorkerGrant,
};
use tinpot_core::{Coordinator, Failure, FunctionExecutor, MemoryNetwork, Refusal, Worker};

use super::RingSuite;
use crate::IdentityKey;

fn ring_suite(identity: u8) -> Arc<dyn Suite> {
    Arc::new(RingSuite::new(&IdentityKey::from_seed(&[identity; 32])))
}

tinpot_core::seal_suite_conformance!(ring_suite);

/// The vectors, which `examples/vectors.rs` makes.
const VECTORS: &str = include_str!("../../../docs/protocol/vectors/frames-1.json");

fn hex(value: &Value) -> Vec<u8> {
    let text = value.as_str().expect("a text");
    let byte = |place| u8::from_str_radix(&text[place..place + 2], 16).expect("a digit");
    (0..text.len()).step_by(2).map(byte).collect()
}

fn bytes<const N: usize>(value: &Value) -> [u8; N] {
    hex(value).try_into().expect("as many bytes")
}

fn list<'a>(vectors: &'a Value, name: &str) -> &'a [Value] {
    vectors[name].as_array().expect("a list")
}

/// Returns a key of the session by its name, such as `up_control`.
fn key(vectors: &Value, name: &Value) -> SecretKey {
    SecretKey(bytes(&vectors["session"][name.as_str().expect("a name")]))
}

fn signed_text(kind: &Value, payload: &[u8]) -> Vec<u8> {
    let kind = kind.as_str().expect("a kind");
    [b"tinpot/1 ", kind.as_bytes(), b"\0", payload].concat()
}

/// Opens a sealed frame as its receiver does.
fn open(suite: &RingSuite, key: &SecretKey, lane: u8, frame: &[u8]) -> Option<Vec<u8>> {
    let (head, body) = frame.split_at_checked(24)?;
    if head[..6] != [b"TPF1\0".as_slice(), &[lane]].concat() || head[6..8] != [0, 0] {
        return None;
    }
    let counter = u64::from_be_bytes(head[16..].try_into().ok()?);
    let mut body = body.to_vec();
    let right = body.len() >= 16 && suite.open(key, counter, head, &mut body);
    right.then(|| body[..body.len() - 16].to_vec())
}

#[test]
fn the_vectors_of_frames_hold() {
    let vectors: Value = serde_json::from_str(VECTORS).expect("vectors");
    let suite = RingSuite::new(&IdentityKey::generate().expect("a key"));
    for entry in list(&vectors, "keys") {
        let key = IdentityKey::from_pem(entry["pem"].as_str().expect("PEM")).expect("a key");
        assert_eq!(key.to_pem(), IdentityKey::from_seed(&bytes(&entry["seed"])).to_pem());
        let public = RingSuite::new(&key).public();
        assert_eq!(public, PublicKey(bytes(&entry["public"])));
        assert_eq!(suite.digest(&public.0)[..16], hex(&entry["id"]));
    }
    for entry in list(&vectors, "signed") {
        let signer = RingSuite::new(&IdentityKey::from_seed(&bytes(&entry["seed"])));
        let text = signed_text(&entry["kind"], entry["payload"].as_str().expect("one").as_bytes());
        let signature: Signature = bytes(&entry["signature"]);
        assert_eq!(signer.sign(&text), signature);
        assert!(suite.verify(&signer.public(), &text, &signature));
    }
    for entry in list(&vectors, "joins") {
        let payload = entry["payload"].as_str().expect("one").as_bytes();
        let text = signed_text(&Value::from("join"), payload);
        let signatures = ["token", "key"].map(|name| {
            let seed = bytes(&entry[format!("{name}_seed")]);
            let signature = RingSuite::new(&IdentityKey::from_seed(&seed)).sign(&text);
            assert_eq!(signature[..], hex(&entry[format!("by_{name}")]), "{name}");
            signature
        });
        assert_eq!(hex(&entry["frame"])[24..], [&signatures.concat(), payload].concat());
    }
    let login = &vectors["login"];
    let digest = suite.digest(vectors["joins"][0]["payload"].as_str().expect("one").as_bytes());
    let parts = [b"tinpot/1 join\0".to_vec(), digest.to_vec(), hex(&login["e"])];
    let salt = suite.digest(&parts.concat());
    let [own, _] = suite.derive(&SecretKey(bytes(&login["shared"])), &salt).down;
    assert_eq!((salt[..].to_vec(), own.0[..].to_vec()), (hex(&login["salt"]), hex(&login["key"])));
    let head = [b"TPF1\x05".as_slice(), &[0; 19]].concat();
    let mut body = hex(&login["broker"]);
    assert!(suite.open(&own, 1, &head, &mut body));
    assert!(body.starts_with(login["login"].as_str().expect("one").as_bytes()));
    let session = &vectors["session"];
    let digest = |name: &str| suite.digest(session[name].as_str().expect("a text").as_bytes());
    let salt: Digest = suite.digest(&[digest("init"), digest("accept")].concat());
    assert_eq!(salt[..], hex(&session["salt"]));
    let keys = suite.derive(&SecretKey(bytes(&session["shared"])), &salt);
    let names = ["up_control", "up_logs", "down_control", "down_logs"];
    for (name, derived) in names.iter().zip(keys.up.iter().chain(&keys.down)) {
        assert_eq!(derived.0[..], hex(&session[*name]), "{name}");
    }
    for entry in list(&vectors, "sealed") {
        let lane = entry["lane"].as_u64().expect("a lane") as u8;
        let key = key(&vectors, &entry["key"]);
        let document = open(&suite, &key, lane, &hex(&entry["frame"])).expect("a document");
        assert_eq!(document, entry["document"].as_str().expect("a text").as_bytes());
    }
    assert!(list(&vectors, "refused").len() >= 12);
    for entry in list(&vectors, "refused") {
        let frame = hex(&entry["frame"]);
        let taken = match entry["public"].as_str() {
            Some(_) => {
                let (signature, payload) = frame[24..].split_at(64);
                let signature = signature.try_into().expect("a signature");
                let public = PublicKey(bytes(&entry["public"]));
                suite.verify(&public, &signed_text(&entry["kind"], payload), signature)
            }
            None => {
                let lane = entry["lane"].as_u64().expect("a lane") as u8;
                open(&suite, &key(&vectors, &entry["key"]), lane, &frame).is_some()
            }
        };
        assert!(!taken, "{}", entry["why"]);
    }
}

#[test]
fn a_point_of_low_order_is_refused() {
    let suite = RingSuite::new(&IdentityKey::generate().expect("a key"));
    let one = std::array::from_fn(|place| u8::from(place == 0));
    assert!(suite.ephemeral().expect("a key").agree(&one).is_none());
}

#[tokio::test]
async fn an_execution_runs_in_a_session_of_these_keys_and_not_with_another_namespace() {
    let suite = || RingSuite::new(&IdentityKey::generate().expect("a key"));
    let (namespace, worker, other) = (suite(), suite(), suite());
    let enrolled = Arc::new(EnrolledKeys::default());
    enrolled.enrol(&namespace, WorkerGrant::new(worker.public(), "web"));
    let network = MemoryNetwork::new();
    let options = CoordinatorOptions::new("tinpot", enrolled);
    let coordinator = Coordinator::builder(network.transport());
    let coordinator = coordinator.sealed(namespace.clone(), options).start();
    let coordinator = coordinator.await.expect("a coordinator");
    let start = async |pinned: &RingSuite, action: &str| {
        let executor =
            FunctionExecutor::builder().action(action, |_, ()| async { Ok::<_, Failure>("tock") });
        let worker = Worker::builder(network.transport())
            .name("web")
            .sealed(worker.clone(), Pins::new("tinpot", [pinned.public()]));
        worker.executor(executor.build().expect("an action")).start().await.expect("a worker")
    };
    let stranger = start(&other, "stranger").await;
    let worker = start(&namespace, "tick").await;
    let patience = Duration::from_secs(30);
    let ran = tokio::time::timeout(patience, async {
        coordinator.action_available("tick").await?;
        coordinator.call::<String>("tick", ()).await
    });
    assert_eq!(ran.await.expect("a result in time").expect("a result"), "tock");
    assert!(coordinator.refused(Refusal::Sender) > 0, "an init for another coordinator");
    assert!(coordinator.submit("stranger", ()).await.is_err());
    worker.shutdown(patience).await;
    stranger.shutdown(Duration::ZERO).await;
    coordinator.shutdown().await;
}
