//! A worker replaces its key in a session, as it, its coordinator and those between them see it.

use std::sync::Arc;

use tinpot_core::protocol::seal::{
    Admission, CoordinatorFrame, CoordinatorOptions, CoordinatorSessions, Enrolled, EnrolledKeys,
    HEADER_BYTES, KeyId, Peer, Pins, Refused, RotationRefusal, Suite, WorkerGrant, WorkerSessions,
};
use tinpot_core::protocol::{Frame, Message, ReplaceKey, Rotate, Rotated, Tick};
use tinpot_core::testing::ToySuite;
use tinpot_core::transport::{Address, Channel, Lane};
use tinpot_core::{Epoch, WorkerId};

const EPOCH: Epoch = Epoch { instance: 1, number: 1 };

/// A worker and its coordinator.
struct Pair {
    suite: ToySuite,
    enrolled: Arc<EnrolledKeys>,
    coordinator: CoordinatorSessions,
    worker: WorkerSessions,
}

fn at(seconds: u64) -> Tick {
    Tick(seconds * 1_000_000)
}

fn id() -> WorkerId {
    WorkerId::new("web-1").expect("an id")
}

fn channel() -> Channel {
    Channel::of(&Address::Worker(id()))
}

impl Pair {
    fn new() -> Self {
        let suite = ToySuite::new(1_000, 5);
        let enrolled = Arc::new(EnrolledKeys::default());
        let first = suite.owned_by(1);
        enrolled.enrol(&first, WorkerGrant::new(first.public(), "web"));
        let options = CoordinatorOptions::new("tinpot", enrolled.clone());
        let coordinator = CoordinatorSessions::new(Arc::new(suite.clone()), EPOCH, options);
        let worker = Self::worker(&suite, 1);
        Self { suite, enrolled, coordinator, worker }
    }

    /// Starts a worker with a key.
    fn worker(suite: &ToySuite, identity: u64) -> WorkerSessions {
        let pins = Pins::new("tinpot", [suite.public()]);
        WorkerSessions::new(Arc::new(suite.owned_by(identity)), id(), pins)
    }

    fn key(&self, identity: u64) -> KeyId {
        let suite = self.suite.owned_by(identity);
        KeyId::of(&suite, &suite.public())
    }

    /// Answers the init of the worker that is due.
    fn shake_hands(&mut self, now: Tick) -> Result<(), Refused> {
        let init = self.worker.tick(now).expect("an init");
        let accept = match self.coordinator.admit(now, &channel(), &init)? {
            Admission::Again { accept, .. } => accept,
            Admission::New(handshake) => {
                let answered = handshake.answer(now, &self.suite)?;
                self.coordinator.pend(now, answered)?
            }
        };
        self.worker.accepted(now, &accept).map(drop)
    }

    /// Sends messages of the worker, and returns it as the coordinator sees it.
    fn say(&mut self, now: Tick, messages: Vec<Message>) -> Result<Arc<Peer>, Refused> {
        let mut bytes = vec![0; HEADER_BYTES];
        let frame = Frame { from: Some(id()), to: None, messages };
        bytes.extend_from_slice(&frame.encode());
        let sealing = self.worker.sealings(Lane::Control).last().expect("a session");
        sealing.seal(&self.suite, &mut bytes);
        let look = self.coordinator.look(now, &channel(), Lane::Control, &bytes)?;
        let CoordinatorFrame::Sealed(opening) = look else { panic!("{look:?}") };
        opening.open(&self.suite, &mut bytes).ok_or(Refused::Forged)?;
        self.coordinator.opened(now, &opening)
    }

    fn connect(&mut self, now: Tick) -> Arc<Peer> {
        self.shake_hands(now).expect("a session");
        self.say(now, Vec::new()).expect("it is heard")
    }

    /// Decides on a request, and returns the answer.
    fn decide(
        &mut self,
        now: Tick,
        peer: &Peer,
        rotate: &Rotate,
    ) -> Result<Result<(), RotationRefusal>, Refused> {
        let claim = self.coordinator.rotation(now, peer, rotate)?.verify(&self.suite)?;
        Ok(self.enrolled.rotate(&claim))
    }
}

#[test]
fn a_worker_goes_on_with_another_key_and_the_former_one_ends() {
    let mut pair = Pair::new();
    let peer = pair.connect(at(1));
    pair.worker.replace_key(at(2), Arc::new(pair.suite.owned_by(2)));
    assert_eq!(pair.worker.wake_at(), Some(at(2)));
    let rotate = pair.worker.rotate(at(2)).expect("a request");
    // It is repeated until it is answered, and no sooner than that.
    assert_eq!(pair.worker.rotate(at(3)), None);
    assert_eq!(pair.worker.rotate(at(7)), Some(rotate.clone()));
    assert_eq!(pair.decide(at(7), &peer, &rotate), Ok(Ok(())));
    assert_eq!(pair.decide(at(8), &peer, &rotate), Ok(Ok(())), "the answer may be lost");
    // Both are enrolled, and the worker has the former one until a session has the other one.
    assert!(
        pair.enrolled.find(&pair.key(1)).is_some() && pair.enrolled.find(&pair.key(2)).is_some()
    );
    pair.say(at(8), Vec::new()).expect("the session goes on");
    pair.worker.rotated(at(8), &Rotated { key: rotate.key, refused: None });
    assert_eq!(pair.worker.key(), pair.key(1));
    assert_eq!(pair.worker.rotate(at(60)), None);
    let peer = pair.connect(at(9));
    assert_eq!((peer.key, pair.worker.key()), (pair.key(2), pair.key(2)));
    // Another process of the worker with the former key is asked to take the other one.
    assert!(pair.enrolled.is_to_rotate(&pair.key(1)) && !pair.enrolled.is_to_rotate(&pair.key(2)));
    pair.enrolled.revoke(&pair.key(1));
    pair.say(at(10), Vec::new()).expect("the session is of the other key");
    pair.worker = Pair::worker(&pair.suite, 1);
    assert_eq!(pair.shake_hands(at(11)), Err(Refused::NotEnrolled));
}

#[test]
fn only_the_owner_of_both_keys_replaces_one() {
    let mut pair = Pair::new();
    let peer = pair.connect(at(1));
    let request = |pair: &mut Pair, identity: u64| {
        pair.worker.replace_key(at(2), Arc::new(pair.suite.owned_by(identity)));
        pair.worker.rotate(at(2)).expect("a request")
    };
    // The proof of another key, and a proof for another key than that of the session.
    let (second, third) = (request(&mut pair, 2), request(&mut pair, 3));
    let mixed = Rotate { key: second.key.clone(), proof: third.proof };
    assert_eq!(pair.decide(at(2), &peer, &mixed), Err(Refused::Forged));
    let other = pair.suite.owned_by(9);
    pair.enrolled.enrol(&other, WorkerGrant::new(other.public(), "web"));
    pair.worker = Pair::worker(&pair.suite, 9);
    let of_other = {
        let mut apart = Pair::new();
        apart.enrolled.enrol(&other, WorkerGrant::new(other.public(), "web"));
        apart.worker = Pair::worker(&apart.suite, 9);
        apart.connect(at(1))
    };
    assert_eq!(pair.decide(at(3), &of_other, &second), Err(Refused::Forged));
    // A key that is enrolled, and text that is no key.
    let mut pair = Pair::new();
    let peer = pair.connect(at(1));
    pair.enrolled.enrol(&other, WorkerGrant::new(other.public(), "web"));
    let taken = request(&mut pair, 9);
    assert_eq!(pair.decide(at(2), &peer, &taken), Ok(Err(RotationRefusal::Used)));
    let text = Rotate { key: "none".to_owned(), proof: taken.proof };
    assert_eq!(pair.decide(at(2), &peer, &text), Err(Refused::Malformed));
    // A key is replaced once: a thief of it gets no other one.
    let second = request(&mut pair, 2);
    assert_eq!(pair.decide(at(2), &peer, &second), Ok(Ok(())));
    let third = request(&mut pair, 3);
    assert_eq!(pair.decide(at(4), &peer, &third), Ok(Err(RotationRefusal::Replaced)));
    let why = RotationRefusal::Replaced.to_string();
    pair.worker.rotated(at(4), &Rotated { key: third.key, refused: Some(why.clone()) });
    assert_eq!(pair.worker.key_state().refused, Some(why));
    // A revoked key replaces nothing.
    pair.enrolled.revoke(&pair.key(1));
    assert_eq!(pair.decide(at(5), &peer, &second), Ok(Err(RotationRefusal::Ended)));
    let many = (0..50).map(|_| pair.decide(at(6), &peer, &second));
    assert!(many.filter(|answer| *answer == Err(Refused::Budget)).count() > 40);
}

#[test]
fn a_worker_that_was_away_when_its_key_ended_comes_in_with_the_other_one() {
    let mut pair = Pair::new();
    let peer = pair.connect(at(1));
    pair.worker.replace_key(at(2), Arc::new(pair.suite.owned_by(2)));
    let rotate = pair.worker.rotate(at(2)).expect("a request");
    assert_eq!(pair.decide(at(2), &peer, &rotate), Ok(Ok(())));
    // The answer is lost, the worker ends, and the former key ends before it is there again.
    pair.enrolled.revoke(&pair.key(1));
    pair.worker = Pair::worker(&pair.suite, 1);
    pair.worker.replace_key(at(100), Arc::new(pair.suite.owned_by(2)));
    let mut now = at(100);
    while pair.shake_hands(now).is_err() {
        assert!(now < at(140), "it does not come in");
        now = pair.worker.wake_at().expect("it goes on").max(Tick(now.0 + 1));
    }
    assert_eq!(pair.say(now, Vec::new()).expect("it is heard").key, pair.key(2));
    assert_eq!(pair.worker.key(), pair.key(2));
}

#[test]
fn a_coordinator_asks_for_another_key_and_the_session_goes_on() {
    let mut pair = Pair::new();
    let peer = pair.connect(at(1));
    assert_eq!(pair.coordinator.replace_key(at(10), &peer), None);
    pair.enrolled.ask_to_rotate(pair.key(1));
    let peer = pair.say(at(11), Vec::new()).expect("the session goes on");
    assert_eq!(pair.coordinator.replace_key(at(11), &peer), None, "it has looked a moment ago");
    let asked = pair.coordinator.replace_key(at(15), &peer).expect("it asks");
    assert_eq!(pair.coordinator.replace_key(at(19), &peer), None);
    assert_eq!(pair.coordinator.replace_key(at(20), &peer), Some(asked.clone()), "it may be lost");
    let other = ReplaceKey { key: pair.key(2).to_string() };
    pair.worker.asked_to_replace(&other);
    assert!(!pair.worker.key_state().is_to_rotate, "it has another key");
    pair.worker.asked_to_replace(&asked);
    assert!(pair.worker.key_state().is_to_rotate);
    pair.say(at(21), Vec::new()).expect("the session goes on");
    // A handshake says so, too.
    pair.worker = Pair::worker(&pair.suite, 1);
    pair.connect(at(22));
    assert!(pair.worker.key_state().is_to_rotate);
}

#[test]
fn handshakes_leave_room_for_requests_to_replace_a_key() {
    let mut pair = Pair::new();
    let peer = pair.connect(at(1));
    for _ in 0..20 {
        let mut other = Pair::worker(&pair.suite, 1);
        let init = other.tick(at(5)).expect("an init");
        let _ = pair.coordinator.admit(at(5), &channel(), &init);
    }
    pair.worker.replace_key(at(5), Arc::new(pair.suite.owned_by(2)));
    let rotate = pair.worker.rotate(at(5)).expect("a request");
    assert_eq!(pair.decide(at(5), &peer, &rotate), Ok(Ok(())));
}

/// Has a worker of this name open a session with a key, and use it.
fn meet(
    coordinator: &mut CoordinatorSessions,
    suite: &ToySuite,
    identity: u64,
    name: &str,
    now: Tick,
) -> Result<(), Refused> {
    let id = WorkerId::new(name).expect("an id");
    let (channel, pins) =
        (Channel::of(&Address::Worker(id.clone())), Pins::new("tinpot", [suite.public()]));
    let mut worker = WorkerSessions::new(Arc::new(suite.owned_by(identity)), id.clone(), pins);
    let init = worker.tick(now).expect("an init");
    let admitted = coordinator.admit(now, &channel, &init)?;
    let Admission::New(handshake) = admitted else { panic!("{admitted:?}") };
    let answered = handshake.answer(now, suite)?;
    let accept = coordinator.pend(now, answered)?;
    worker.accepted(now, &accept)?;
    let mut bytes = vec![0; HEADER_BYTES];
    bytes.extend_from_slice(&Frame { from: Some(id), to: None, messages: Vec::new() }.encode());
    let sealing = worker.sealings(Lane::Control).last().expect("a session");
    sealing.seal(suite, &mut bytes);
    let look = coordinator.look(now, &channel, Lane::Control, &bytes)?;
    let CoordinatorFrame::Sealed(opening) = look else { panic!("{look:?}") };
    coordinator.opened(now, &opening).map(drop)
}

#[test]
fn a_worker_with_another_key_counts_for_that_key_and_no_more_for_the_former_one() {
    const MOST: u64 = 1_000;
    let Pair { suite, enrolled, mut coordinator, .. } = Pair::new();
    let [first, second] = [1, 2].map(|identity| suite.owned_by(identity));
    let grant = WorkerGrant::new(first.public(), "web-*");
    let former = enrolled.enrol(&first, grant.clone());
    enrolled.enrol(&second, grant.of_successor(second.public(), former));
    // A key has five handshakes in a second.
    let mut inits = 0;
    let mut meet = |identity: u64, name: String| {
        inits += 1;
        meet(&mut coordinator, &suite, identity, &name, at(1 + inits / 4))
    };
    for number in 0..MOST {
        assert_eq!(meet(1, format!("web-a{number}-1")), Ok(()), "{number}");
    }
    assert_eq!(meet(1, "web-b-1".to_owned()), Err(Refused::Budget));
    // One takes the other key: the former one has room for another.
    assert_eq!(meet(2, "web-a0-1".to_owned()), Ok(()));
    assert_eq!(meet(1, "web-b-1".to_owned()), Ok(()));
    assert_eq!(meet(1, "web-c-1".to_owned()), Err(Refused::Budget));
    for number in 1..MOST {
        assert_eq!(meet(2, format!("web-d{number}-1")), Ok(()), "{number}");
    }
    assert_eq!(meet(2, "web-e-1".to_owned()), Err(Refused::Budget));
    assert_eq!(meet(2, "web-a1-1".to_owned()), Err(Refused::Budget), "one more of this key");
    assert_eq!(meet(2, "web-a0-1".to_owned()), Ok(()), "it is one of them");
}
