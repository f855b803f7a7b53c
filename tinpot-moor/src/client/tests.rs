//! The machine, with a clock and a daemon that the tests move.

use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

use super::{Act, Client, ClientConfig, TOPIC};
use crate::var::Var;
use crate::wire::Dialect;
use crate::wire::message::{
    FromWorker, FromWorkerBody, Reply, Sender, ToWorker, WorkerError, WorkerRequest,
};

const WORKER: Uuid = Uuid::from_u128(1);

struct Scene {
    client: Client,
    now: Duration,
    acts: Vec<Act>,
}

impl Scene {
    fn new(max_requests: usize) -> Self {
        let config = ClientConfig {
            dialect: Dialect::Plain,
            worker: WORKER,
            worker_type: "echo".to_owned(),
            token: None,
            max_requests,
        };
        Self { client: Client::new(Duration::ZERO, config), now: Duration::ZERO, acts: Vec::new() }
    }

    fn attached(max_requests: usize) -> Self {
        let mut scene = Self::new(max_requests);
        assert_eq!(scene.act(), Act::Subscribe);
        scene.expect(FromWorkerBody::Attach("echo".to_owned()), Some(Reply::Attached(WORKER)));
        scene
    }

    fn act(&mut self) -> Act {
        self.acts.extend(self.client.take_acts());
        assert!(!self.acts.is_empty(), "an act");
        self.acts.remove(0)
    }

    fn nothing(&mut self) {
        self.acts.extend(self.client.take_acts());
        assert!(self.acts.is_empty(), "{:?}", self.acts);
    }

    /// Returns the next message, and its number.
    fn sent(&mut self) -> (u64, FromWorkerBody) {
        let Act::Exchange { number, frames } = self.act() else { panic!("a message") };
        assert_eq!(*frames[0], *WORKER.as_bytes());
        let message = FromWorker::decode(&frames[1], Dialect::Plain).expect("a message");
        assert_eq!(message.sender, Sender::Id(WORKER));
        (number, message.body)
    }

    fn expect(&mut self, body: FromWorkerBody, reply: Option<Reply>) {
        let (number, sent) = self.sent();
        assert_eq!(sent, body);
        self.client.replied(self.now, number, reply);
    }

    fn publish(&mut self, message: &ToWorker) {
        let body = message.encode(Dialect::Plain).expect("a message").into();
        self.client.published(self.now, &[Bytes::from_static(TOPIC), body]);
    }

    fn request(&mut self, worker: Uuid, id: u128) -> WorkerRequest {
        let request = WorkerRequest::new(worker, Uuid::from_u128(id));
        self.publish(&ToWorker::Request(request.clone()));
        request
    }

    fn pass(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        self.client.tick(self.now);
    }
}

fn pong() -> FromWorkerBody {
    FromWorkerBody::Pong("echo".to_owned())
}

fn result(id: u128) -> FromWorkerBody {
    FromWorkerBody::Result(Uuid::from_u128(id), Ok(Var::Int(7)))
}

#[test]
fn a_request_is_run_once_and_its_answer_kept_until_it_is_acknowledged() {
    let mut scene = Scene::attached(2);
    scene.request(Uuid::from_u128(2), 5);
    scene.nothing();
    let request = scene.request(WORKER, 5);
    assert_eq!(scene.act(), Act::Start(request));
    scene.request(WORKER, 5);
    scene.nothing();
    scene.client.finished(Uuid::from_u128(5), Ok(Var::Int(7)));
    // No reply: it is sent again after a while, or at the next ping.
    scene.expect(result(5), None);
    scene.nothing();
    scene.pass(5);
    scene.expect(result(5), None);
    scene.publish(&ToWorker::Ping);
    scene.expect(pong(), Some(Reply::Ack));
    scene.expect(result(5), Some(Reply::NotRegistered(WORKER)));
    // The daemon was restarted: a pong registers the worker.
    scene.expect(pong(), Some(Reply::Attached(WORKER)));
    scene.pass(5);
    scene.expect(result(5), Some(Reply::UnknownRequest(Uuid::from_u128(5))));
    scene.pass(5);
    scene.nothing();
    // Also after the answer.
    scene.request(WORKER, 5);
    scene.nothing();
}

#[test]
fn requests_beyond_the_limit_and_those_that_cannot_be_read_are_answered() {
    let mut scene = Scene::attached(1);
    let first = scene.request(WORKER, 1);
    assert_eq!(scene.act(), Act::Start(first));
    scene.request(WORKER, 2);
    let (number, body) = scene.sent();
    let FromWorkerBody::Error(_, WorkerError::Internal(why)) = body else { panic!("{body:?}") };
    assert!(why.contains("busy"), "{why}");
    scene.client.replied(scene.now, number, Some(Reply::Ack));
    let mut broken = WorkerRequest::new(WORKER, Uuid::from_u128(3));
    broken.arguments = vec![Var::Str("text".to_owned())];
    let mut bytes = ToWorker::Request(broken).encode(Dialect::Plain).expect("a message");
    let at = bytes.windows(4).position(|four| four == b"text").expect("the text");
    bytes[at] = 0xff;
    scene.client.published(scene.now, &[Bytes::from_static(TOPIC), bytes.into()]);
    let (_, body) = scene.sent();
    let FromWorkerBody::Error(id, WorkerError::InvalidRequest(why)) = body else {
        panic!("{body:?}")
    };
    assert_eq!(id, Uuid::from_u128(3));
    assert!(why.contains("UTF-8"), "{why}");
}

#[test]
fn a_result_that_the_daemon_refuses_becomes_an_error() {
    let mut scene = Scene::attached(1);
    let request = scene.request(WORKER, 1);
    assert_eq!(scene.act(), Act::Start(request));
    scene.client.finished(Uuid::from_u128(1), Ok(Var::Int(7)));
    scene.expect(result(1), Some(Reply::InvalidPayload("no".to_owned())));
    let error = WorkerError::Internal("the daemon refuses the result: no".to_owned());
    scene.expect(FromWorkerBody::Error(Uuid::from_u128(1), error), Some(Reply::Ack));
    scene.nothing();
    // What no message can have is one, too.
    let request = scene.request(WORKER, 2);
    assert_eq!(scene.act(), Act::Start(request));
    scene.client.finished(Uuid::from_u128(2), Ok(Var::Str("x".repeat(5 << 20))));
    let (_, body) = scene.sent();
    let FromWorkerBody::Error(_, WorkerError::Internal(why)) = body else { panic!("{body:?}") };
    assert!(why.contains("at most 4194304 bytes"), "{why}");
}

#[test]
fn the_subscription_is_renewed_after_a_silence_and_the_attach_repeated() {
    let mut scene = Scene::new(1);
    assert_eq!(scene.act(), Act::Subscribe);
    scene.expect(FromWorkerBody::Attach("echo".to_owned()), None);
    scene.pass(0);
    scene.expect(FromWorkerBody::Attach("echo".to_owned()), Some(Reply::Attached(WORKER)));
    scene.pass(14);
    scene.nothing();
    scene.pass(1);
    assert_eq!(scene.act(), Act::Subscribe);
    let (number, body) = scene.sent();
    assert_eq!(body, pong());
    // One pong at a time, and not one too few.
    scene.publish(&ToWorker::Ping);
    scene.publish(&ToWorker::Ping);
    scene.nothing();
    scene.client.replied(scene.now, number, None);
    scene.expect(pong(), Some(Reply::Ack));
    scene.nothing();
}

#[test]
fn a_worker_that_is_asked_to_end_answers_first() {
    let mut scene = Scene::attached(1);
    let request = scene.request(WORKER, 1);
    assert_eq!(scene.act(), Act::Start(request));
    scene.publish(&ToWorker::PleaseDie(Uuid::from_u128(9)));
    scene.nothing();
    scene.publish(&ToWorker::PleaseDie(WORKER));
    assert_eq!(scene.act(), Act::AskedToEnd);
    scene.request(WORKER, 2);
    let error = WorkerError::Internal("the worker shuts down".to_owned());
    scene.expect(FromWorkerBody::Error(Uuid::from_u128(2), error), Some(Reply::Ack));
    scene.client.finished(Uuid::from_u128(1), Ok(Var::Int(7)));
    scene.expect(result(1), Some(Reply::Ack));
    scene.expect(FromWorkerBody::Detach, Some(Reply::Ack));
    assert_eq!(scene.act(), Act::Ended(Ok(())));
}

#[test]
fn a_daemon_that_refuses_the_worker_ends_it() {
    for (reply, said) in [
        (Reply::AuthFailed("not you".to_owned()), "not you"),
        (Reply::Rejected("3 frames".to_owned()), "other dialect"),
    ] {
        let mut scene = Scene::new(1);
        assert_eq!(scene.act(), Act::Subscribe);
        scene.expect(FromWorkerBody::Attach("echo".to_owned()), Some(reply));
        let Act::Ended(Err(why)) = scene.act() else { panic!("the end") };
        assert!(why.contains(said), "{why}");
        scene.publish(&ToWorker::Ping);
        scene.nothing();
    }
}
