//! The machine, with a clock that the tests move.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

use super::{Answer, Effect, MoorType, NotSent, Server, ServerConfig, Types};
use crate::keys::SigningKey;
use crate::testing::FakeWorker;
use crate::var::Var;
use crate::wire::Dialect;
use crate::wire::message::{FromWorkerBody, Reply, WorkerRequest};

/// A machine with workers, at a time.
struct Scene {
    server: Server,
    key: SigningKey,
    now: Duration,
}

impl Scene {
    fn new(kind: &str) -> Self {
        Self::with(Types::Only(vec![Arc::new(kind.parse().expect("a type"))]))
    }

    fn with(types: Types) -> Self {
        let key = SigningKey::generate().expect("a key");
        let keys = vec![key.verifying_key()];
        let config = ServerConfig { dialect: Dialect::Token, keys, types, max_workers: 3 };
        Self { server: Server::new(config), key, now: Duration::ZERO }
    }

    fn frames(&self, worker: u128, body: FromWorkerBody) -> Vec<Bytes> {
        let address = "ipc:///none".parse().expect("an address");
        let id = Uuid::from_u128(worker);
        FakeWorker::builder(&address, "echo").key(&self.key).id(id).frames(body)
    }

    fn say(&mut self, worker: u128, body: FromWorkerBody) -> Reply {
        let frames = self.frames(worker, body);
        self.send(&frames)
    }

    fn send(&mut self, frames: &[Bytes]) -> Reply {
        let reply = self.server.receive(self.now, frames);
        Reply::decode(&reply, Dialect::Token).expect("a reply")
    }

    fn attach(&mut self, worker: u128) -> Reply {
        self.say(worker, FromWorkerBody::Attach("echo".to_owned()))
    }

    fn pong(&mut self, worker: u128) -> Reply {
        self.say(worker, FromWorkerBody::Pong("ECHO".to_owned()))
    }

    fn result(&mut self, worker: u128, request: u128) -> Reply {
        let value = Var::Int(request as i64);
        self.say(worker, FromWorkerBody::Result(Uuid::from_u128(request), Ok(value)))
    }

    /// Attaches a worker and makes it ready. Returns its incarnation.
    fn ready(&mut self, worker: u128) -> u64 {
        assert_eq!(self.attach(worker), Reply::Attached(Uuid::from_u128(worker)));
        assert_eq!(self.pong(worker), Reply::Ack);
        let effects = self.effects();
        let ready = effects.iter().find_map(|effect| match effect {
            Effect::Ready { incarnation, .. } => Some(*incarnation),
            _ => None,
        });
        ready.expect("ready")
    }

    fn submit(&mut self, incarnation: u64, worker: u128, request: u128) -> Result<(), NotSent> {
        let request = WorkerRequest::new(Uuid::from_u128(worker), Uuid::from_u128(request));
        self.server.submit(incarnation, request)
    }

    fn give_up(&mut self, request: u128) {
        self.server.give_up(self.now, Uuid::from_u128(request));
    }

    /// Returns the effects other than pings and requests.
    fn effects(&mut self) -> Vec<Effect> {
        let effects = self.server.take_effects();
        effects.into_iter().filter(|effect| !matches!(effect, Effect::Publish(_))).collect()
    }

    fn published(&mut self) -> usize {
        let effects = self.server.take_effects();
        effects.iter().filter(|effect| matches!(effect, Effect::Publish(_))).count()
    }

    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while self.server.wake_at() <= until {
            self.now = self.server.wake_at().max(self.now);
            self.server.tick(self.now);
        }
        self.now = until;
    }
}

fn answered(request: u128, answer: Answer) -> Effect {
    Effect::Answered { request: Uuid::from_u128(request), answer }
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_worker_is_ready_after_a_pong_to_a_ping_that_it_gets_soon() {
    let mut scene = Scene::new("echo");
    scene.pass(SECOND);
    scene.published();
    scene.attach(1);
    assert_eq!(scene.effects(), []);
    scene.pass(Duration::from_millis(101));
    // After 5, 20 and 100 ms.
    assert_eq!(scene.published(), 3);
    scene.pass(2 * SECOND);
    assert_eq!(scene.published(), 2);
    assert_eq!(scene.pong(1), Reply::Ack);
    assert!(matches!(scene.effects()[..], [Effect::Ready { incarnation: 1, .. }]));
    scene.pass(4 * SECOND);
    assert_eq!(scene.published(), 0);
    // A second pong is an answer to another ping.
    scene.pong(1);
    assert_eq!(scene.effects(), []);
}

#[test]
fn requests_are_published_once_and_answered_once() {
    let mut scene = Scene::new("echo");
    let incarnation = scene.ready(1);
    assert_eq!(scene.submit(incarnation, 1, 7), Ok(()));
    assert_eq!(scene.published(), 1);
    assert_eq!(scene.submit(incarnation, 1, 8), Err(NotSent::Busy));
    assert_eq!(scene.submit(incarnation + 1, 1, 8), Err(NotSent::Gone));
    assert_eq!(scene.result(1, 7), Reply::Ack);
    assert_eq!(scene.effects(), [answered(7, Answer::Value(Var::Int(7)))]);
    // Twice, or to no request.
    assert_eq!(scene.result(1, 7), Reply::UnknownRequest(Uuid::from_u128(7)));
    assert_eq!(scene.result(1, 9), Reply::UnknownRequest(Uuid::from_u128(9)));
    assert_eq!(scene.result(2, 7), Reply::NotRegistered(Uuid::from_u128(2)));
    assert_eq!(scene.effects(), []);
}

#[test]
fn an_answer_of_another_worker_changes_nothing_and_marks_it() {
    let mut scene = Scene::new("echo");
    let (first, second) = (scene.ready(1), scene.ready(2));
    scene.submit(first, 1, 7).unwrap();
    scene.effects();
    assert_eq!(scene.result(2, 7), Reply::UnknownRequest(Uuid::from_u128(7)));
    assert_eq!(scene.effects(), [Effect::Promiscuous { incarnation: second }]);
    assert_eq!(scene.result(1, 7), Reply::Ack);
    // It is found as well if it is the slower one.
    let third = scene.ready(3);
    scene.result(3, 7);
    let found = scene.effects();
    assert!(found.contains(&Effect::Promiscuous { incarnation: third }), "{found:?}");
}

#[test]
fn a_worker_that_attaches_again_or_detaches_loses_its_requests() {
    let mut scene = Scene::new("echo");
    let incarnation = scene.ready(1);
    scene.submit(incarnation, 1, 7).unwrap();
    scene.effects();
    scene.attach(1);
    let reason = "the worker attached again";
    let ended = [answered(7, Answer::Gone(reason)), Effect::Ended { incarnation, reason }];
    assert_eq!(scene.effects(), ended);
    assert_eq!(scene.result(1, 7), Reply::UnknownRequest(Uuid::from_u128(7)));
    scene.pong(1);
    scene.effects();
    assert_eq!(scene.say(1, FromWorkerBody::Detach), Reply::Ack);
    assert!(matches!(scene.effects()[..], [Effect::Ended { .. }]));
    assert_eq!(scene.say(1, FromWorkerBody::Detach), Reply::Ack);
}

#[test]
fn silence_ends_idle_workers_and_not_those_that_work() {
    let mut scene = Scene::new("echo");
    let (idle, busy) = (scene.ready(1), scene.ready(2));
    scene.submit(busy, 2, 7).unwrap();
    scene.pass(9 * SECOND);
    assert_eq!(scene.effects(), []);
    scene.pass(2 * SECOND);
    let reason = "the worker does not answer pings";
    assert_eq!(scene.effects(), [Effect::Ended { incarnation: idle, reason }]);
    scene.pass(100 * SECOND);
    assert_eq!(scene.effects(), []);
    // No attempt waits any more: the slot is taken until it is heard, or silent for too long.
    scene.give_up(7);
    assert_eq!(scene.effects(), [Effect::Stuck { incarnation: busy, is_stuck: true }]);
    assert_eq!(scene.submit(busy, 2, 8), Err(NotSent::Busy));
    assert_eq!(scene.result(2, 7), Reply::UnknownRequest(Uuid::from_u128(7)));
    assert_eq!(scene.effects(), [Effect::Stuck { incarnation: busy, is_stuck: false }]);
    assert_eq!(scene.submit(busy, 2, 8), Ok(()));
    scene.give_up(8);
    scene.effects();
    scene.pass(11 * SECOND);
    assert_eq!(scene.effects(), [Effect::Ended { incarnation: busy, reason }]);
    // It has lived all the time.
    assert_eq!(scene.pong(2), Reply::Attached(Uuid::from_u128(2)));
}

#[test]
fn a_pong_in_place_of_an_answer_fails_the_request_of_a_sequential_worker() {
    let mut scene = Scene::new("echo:sequential");
    let incarnation = scene.ready(1);
    scene.pass(6 * SECOND);
    // A ping was sent that it has not answered yet: its pong means nothing for the request.
    scene.submit(incarnation, 1, 7).unwrap();
    scene.effects();
    scene.pong(1);
    assert_eq!(scene.effects(), []);
    scene.pass(5 * SECOND);
    scene.pong(1);
    assert_eq!(scene.effects(), [answered(7, Answer::Silent)]);
    assert_eq!(scene.submit(incarnation, 1, 8), Ok(()));
    // Others may answer pings while they work.
    let mut scene = Scene::new("echo");
    let incarnation = scene.ready(1);
    scene.submit(incarnation, 1, 7).unwrap();
    scene.effects();
    for _ in 0..5 {
        scene.pass(5 * SECOND);
        scene.pong(1);
    }
    assert_eq!(scene.effects(), []);
}

#[test]
fn strangers_and_wrong_messages_get_a_reply_that_says_why() {
    let mut scene = Scene::new("echo");
    let frames = scene.frames(1, FromWorkerBody::Attach("echo".to_owned()));
    let other = scene.frames(2, FromWorkerBody::Attach("echo".to_owned()));
    let [token, id, message] = &frames[..] else { panic!("three frames") };
    let stranger = Scene::new("echo").frames(1, FromWorkerBody::Detach);
    let junk = Bytes::from_static(&[0xff; 12]);
    for (frames, why) in [
        (vec![], "3 frames"),
        (vec![id.clone(), message.clone()], "without tokens"),
        ([&frames[..], std::slice::from_ref(&junk)].concat(), "not 4"),
        (vec![token.clone(), id.slice(1..), message.clone()], "16 bytes (got 15)"),
        (vec![junk.clone(), id.clone(), message.clone()], "UTF-8"),
        (vec![Bytes::from_static(b"x"), id.clone(), message.clone()], "--moor-key"),
        (vec![stranger[0].clone(), id.clone(), message.clone()], "--moor-key"),
        (vec![other[0].clone(), id.clone(), message.clone()], "of another worker"),
        (vec![token.clone(), id.clone(), other[2].clone()], "of another worker"),
        (vec![token.clone(), id.clone(), junk], "bytes end"),
        (vec![token.clone(), id.clone(), Bytes::new()], "bytes end"),
        (vec![token.clone(), id.clone(), vec![0; 5_000_000].into()], "at most 4194304 bytes"),
        (scene.frames(1, FromWorkerBody::Attach("mine".to_owned())), "types are echo"),
    ] {
        let reply = scene.send(&frames);
        let (Reply::Rejected(text) | Reply::InvalidPayload(text) | Reply::AuthFailed(text)) = reply
        else {
            panic!("{reply:?}")
        };
        assert!(text.contains(why), "{text}");
    }
    assert_eq!(scene.effects(), []);
    scene.ready(1);
    let as_other = scene.say(1, FromWorkerBody::Pong("curl".to_owned()));
    assert!(matches!(as_other, Reply::InvalidPayload(why) if why.contains("attached as \"echo\"")));
    for worker in 2..=3 {
        scene.ready(worker);
    }
    assert!(matches!(scene.attach(4), Reply::Rejected(why) if why.contains("3 workers")));
}

#[test]
fn strangers_cannot_ask_for_any_number_of_proofs() {
    let mut scene = Scene::new("echo");
    scene.ready(1);
    let mut frames = scene.frames(2, FromWorkerBody::Detach);
    frames[0] = Bytes::from_static(b"v4.public.wrong");
    let refused = |scene: &mut Scene| match scene.send(&frames) {
        Reply::AuthFailed(_) => false,
        Reply::Rejected(why) => why.contains("too many"),
        other => panic!("{other:?}"),
    };
    assert_eq!((0..1500).filter(|_| refused(&mut scene)).count(), 501);
    // Those who are known need no proof, and others can try again later.
    assert_eq!(scene.pong(1), Reply::Ack);
    scene.now += SECOND;
    assert!(!refused(&mut scene));
}

#[test]
fn any_type_may_attach_if_the_host_says_so_and_it_can_be_an_action() {
    let mut scene = Scene::with(Types::Any);
    assert_eq!(scene.attach(1), Reply::Attached(Uuid::from_u128(1)));
    let slash = scene.say(2, FromWorkerBody::Attach("a/b".to_owned()));
    assert!(matches!(slash, Reply::AuthFailed(_)));
    for (text, shown) in [("curl:4", "curl:4"), ("e:1", "e"), ("e:sequential", "e:sequential")] {
        assert_eq!(text.parse::<MoorType>().unwrap().to_string(), shown);
    }
    for wrong in ["", "a/b", "a:0", "a:101", "a:x"] {
        assert!(wrong.parse::<MoorType>().is_err(), "{wrong}");
    }
}
