//! Handshakes of sealed frames, as workers, coordinators and those between them see them.

use std::sync::Arc;
use std::time::Duration;

use tinpot_core::protocol::seal::{
    Admission, CoordinatorFrame, CoordinatorOptions, CoordinatorSessions, EnrolledKeys, FrameKind,
    HEADER_BYTES, KeyId, Notice, Pins, PlainFrames, PublicKey, Refused, Signed, Suite, WorkerFrame,
    WorkerGrant, WorkerSessions,
};
use tinpot_core::protocol::{Beat, Frame, Hello, Message, Tick};
use tinpot_core::testing::ToySuite;
use tinpot_core::transport::{Address, Channel, Lane};
use tinpot_core::{Epoch, WorkerId};

const FIRST: Epoch = Epoch { instance: 1, number: 1 };

/// A namespace with its keys.
struct Namespace {
    suite: ToySuite,
    enrolled: Arc<EnrolledKeys>,
}

impl Namespace {
    fn new() -> Self {
        Self { suite: ToySuite::new(1_000, 5), enrolled: Arc::default() }
    }

    /// Starts a coordinator.
    fn coordinator(&self, epoch: Epoch) -> CoordinatorSessions {
        self.coordinator_with(epoch, PlainFrames::Refuse)
    }

    fn coordinator_with(&self, epoch: Epoch, plain: PlainFrames) -> CoordinatorSessions {
        let options = CoordinatorOptions::new("tinpot", self.enrolled.clone()).plain(plain);
        CoordinatorSessions::new(Arc::new(self.suite.clone()), epoch, options)
    }

    /// Enrols a key for workers of this name, and starts one.
    fn worker(&self, name: &str, identity: u64) -> WorkerSessions {
        let suite = self.suite.owned_by(identity);
        self.enrolled.enrol(&suite, WorkerGrant::new(suite.public(), name));
        self.start(name, identity)
    }

    fn start(&self, name: &str, identity: u64) -> WorkerSessions {
        let suite = self.suite.owned_by(identity);
        let pins = Pins::new("tinpot", [self.suite.public()]);
        WorkerSessions::new(Arc::new(suite), id(name), pins)
    }
}

fn id(name: &str) -> WorkerId {
    WorkerId::new(&format!("{name}-1")).expect("an id")
}

fn channel(name: &str) -> Channel {
    Channel::of(&Address::Worker(id(name)))
}

fn at(seconds: f64) -> Tick {
    Tick((seconds * 1e6) as u64)
}

/// Returns the accept for an init that arrived by this channel.
fn answer(
    coordinator: &mut CoordinatorSessions,
    now: Tick,
    channel: &Channel,
    init: &[u8],
) -> Result<Vec<u8>, Refused> {
    assert!(matches!(
        coordinator.look(now, channel, Lane::Control, init),
        Ok(CoordinatorFrame::Init)
    ));
    match coordinator.admit(now, channel, init)? {
        Admission::Again { accept, .. } => Ok(accept),
        Admission::New(handshake) => {
            let answered = handshake.answer(now, &*coordinator.suite().clone())?;
            coordinator.pend(now, answered)
        }
    }
}

fn frame_of(name: &str, messages: Vec<Message>) -> Vec<u8> {
    let mut bytes = vec![0; HEADER_BYTES];
    bytes.extend_from_slice(&Frame { from: Some(id(name)), to: None, messages }.encode());
    bytes
}

/// Seals a frame in the last session of a worker.
fn seal(worker: &mut WorkerSessions, lane: Lane, mut frame: Vec<u8>) -> Vec<u8> {
    let sealing = worker.sealings(lane).last().expect("a session");
    sealing.seal(&**worker.suite(), &mut frame);
    frame
}

fn beat(worker: &mut WorkerSessions, name: &str) -> Vec<u8> {
    let beat = Beat { seq: 1, free: 1, held: Vec::new(), epoch: None };
    seal(worker, Lane::Control, frame_of(name, vec![Message::Beat(beat)]))
}

/// Opens a frame of a worker.
fn open(
    coordinator: &mut CoordinatorSessions,
    now: Tick,
    channel: &Channel,
    frame: &[u8],
) -> Result<Frame, Refused> {
    let look = coordinator.look(now, channel, Lane::Control, frame)?;
    let CoordinatorFrame::Sealed(opening) = look else { panic!("{look:?}") };
    let mut bytes = frame.to_vec();
    let place = opening.open(&**coordinator.suite(), &mut bytes).ok_or(Refused::Forged)?;
    let peer = coordinator.opened(now, &opening)?;
    let (mut frame, _) = Frame::decode(&bytes[place]).expect("a frame");
    peer.limit(Lane::Control, &mut frame)?;
    Ok(frame)
}

/// Opens a frame of the coordinator.
fn open_at_worker(worker: &mut WorkerSessions, now: Tick, frame: &[u8]) -> Result<(), Refused> {
    let look = worker.look(Lane::Control, frame)?;
    let WorkerFrame::Sealed(opening) = look else { panic!("{look:?}") };
    let mut bytes = frame.to_vec();
    opening.open(&**worker.suite(), &mut bytes).ok_or(Refused::Forged)?;
    worker.opened(now, &opening)
}

/// Seals a frame for a worker; `None` if it has no session.
fn down(coordinator: &mut CoordinatorSessions, now: Tick, name: &str) -> Option<Vec<u8>> {
    let mut frame = frame_of(name, Vec::new());
    let sealing = coordinator.sealing(now, &id(name), Lane::Control)?;
    sealing.seal(&**coordinator.suite(), &mut frame);
    Some(frame)
}

/// Opens a session and uses it.
fn connect(
    coordinator: &mut CoordinatorSessions,
    worker: &mut WorkerSessions,
    now: Tick,
    name: &str,
) {
    let init = worker.tick(now).expect("an init");
    let accept = answer(coordinator, now, &channel(name), &init).expect("an accept");
    worker.accepted(now, &accept).expect("a session");
    let beat = beat(worker, name);
    open(coordinator, now, &channel(name), &beat).expect("a beat");
}

#[test]
fn a_handshake_opens_a_session_that_both_use() {
    let namespace = Namespace::new();
    let (mut coordinator, mut worker) = (namespace.coordinator(FIRST), namespace.worker("web", 1));
    let init = worker.tick(at(0.0)).expect("an init");
    let accept = answer(&mut coordinator, at(0.1), &channel("web"), &init).expect("an accept");
    // A repeated init gets the same answer, and the worker takes it once.
    assert_eq!(answer(&mut coordinator, at(0.1), &channel("web"), &init), Ok(accept.clone()));
    assert_eq!(worker.accepted(at(0.2), &accept), Ok(FIRST));
    assert_eq!(worker.accepted(at(0.2), &accept), Err(Refused::Unasked));
    assert_eq!(worker.wake_at(), None);
    assert!(down(&mut coordinator, at(0.2), "web").is_none(), "nothing was heard in it yet");
    let beat = beat(&mut worker, "web");
    assert!(open(&mut coordinator, at(0.3), &channel("web"), &beat).is_ok());
    assert_eq!(
        open(&mut coordinator, at(0.3), &channel("web"), &beat).err(),
        Some(Refused::Repeated)
    );
    let down = down(&mut coordinator, at(0.3), "web").expect("a session");
    assert_eq!(open_at_worker(&mut worker, at(0.4), &down), Ok(()));
    assert_eq!(open_at_worker(&mut worker, at(0.4), &down), Err(Refused::Repeated));
}

#[test]
fn an_init_is_answered_only_to_an_enrolled_key_under_its_name_and_channel() {
    let namespace = Namespace::new();
    let mut coordinator = namespace.coordinator(FIRST);
    let init = |mut worker: WorkerSessions| worker.tick(at(0.0)).expect("an init");
    let stranger = init(namespace.start("web", 9));
    let refused = answer(&mut coordinator, at(0.0), &Channel::Unknown, &stranger);
    assert_eq!(refused, Err(Refused::NotEnrolled));
    drop(namespace.worker("web", 1));
    let other_name = init(namespace.start("db", 1));
    let refused = answer(&mut coordinator, at(0.0), &Channel::Unknown, &other_name);
    assert_eq!(refused, Err(Refused::Name));
    let good = init(namespace.start("web", 1));
    assert_eq!(answer(&mut coordinator, at(0.0), &channel("db"), &good), Err(Refused::Misplaced));
    let mut forged = good.clone();
    forged[HEADER_BYTES] ^= 1;
    assert_eq!(answer(&mut coordinator, at(0.0), &channel("web"), &forged), Err(Refused::Forged));
    // For another coordinator, or in another namespace.
    for (namespace_name, pinned) in [("tinpot", 77), ("other", 1_000)] {
        let suite = namespace.suite.owned_by(1);
        let pins = Pins::new(namespace_name, [namespace.suite.owned_by(pinned).public()]);
        let foreign = init(WorkerSessions::new(Arc::new(suite), id("web"), pins));
        let refused = answer(&mut coordinator, at(0.0), &channel("web"), &foreign);
        assert_eq!(refused, Err(Refused::Foreign));
    }
    assert!(answer(&mut coordinator, at(0.0), &channel("web"), &good).is_ok());
}

#[test]
fn an_accept_opens_a_session_only_if_a_pinned_key_signed_it_for_this_init() {
    let namespace = Namespace::new();
    let (mut coordinator, mut worker) = (namespace.coordinator(FIRST), namespace.worker("web", 1));
    let first = worker.tick(at(0.0)).expect("an init");
    let old = answer(&mut coordinator, at(0.0), &channel("web"), &first).expect("an accept");
    // The answer is withheld until the worker has begun again.
    let second = worker.tick(at(11.0)).expect("an init");
    assert_ne!(first, second);
    assert_eq!(worker.accepted(at(11.0), &old), Err(Refused::Unasked));
    // A coordinator of another namespace key signs an accept for the same init.
    let signed = Signed::parts(FrameKind::Accept, &old).expect("a frame");
    let value: serde_json::Value = signed.read().expect("a payload");
    let stranger = namespace.suite.owned_by(77);
    let forged = Signed::frame(&stranger, FrameKind::Accept, &value);
    assert_eq!(worker.accepted(at(11.0), &forged), Err(Refused::Forged));
    let good = answer(&mut coordinator, at(11.0), &channel("web"), &second).expect("an accept");
    assert!(worker.accepted(at(11.0), &good).is_ok());
}

#[test]
fn a_repeated_init_displaces_nothing() {
    let namespace = Namespace::new();
    let (mut coordinator, mut worker) = (namespace.coordinator(FIRST), namespace.worker("web", 1));
    let old = worker.tick(at(0.0)).expect("an init");
    worker.tick(at(11.0)).expect("an init");
    connect(&mut coordinator, &mut worker, at(15.0), "web");
    for second in 16..100 {
        let now = at(f64::from(second));
        answer(&mut coordinator, now, &channel("web"), &old).expect("an accept");
        let down = down(&mut coordinator, now, "web").expect("a session");
        assert_eq!(open_at_worker(&mut worker, now, &down), Ok(()));
    }
}

#[test]
fn handshakes_are_bounded_by_key() {
    let namespace = Namespace::new();
    let (mut coordinator, _) = (namespace.coordinator(FIRST), namespace.worker("web", 1));
    let answered = (0..20).filter(|_| {
        let init = namespace.start("web", 1).tick(at(1.0)).expect("an init");
        answer(&mut coordinator, at(1.0), &channel("web"), &init).is_ok()
    });
    assert_eq!(answered.count(), 5);
    let init = namespace.start("web", 1).tick(at(1.0)).expect("an init");
    assert!(answer(&mut coordinator, at(2.0), &channel("web"), &init).is_ok());
}

#[test]
fn workers_that_share_a_key_displace_none_of_each_other() {
    let namespace = Namespace::new();
    let mut coordinator = namespace.coordinator(FIRST);
    let names = ["web-a", "web-b", "web-c"];
    let suite = namespace.suite.owned_by(1);
    namespace.enrolled.enrol(&suite, WorkerGrant::new(suite.public(), "web-*"));
    let mut waiting = names.map(|name| {
        let mut worker = namespace.start(name, 1);
        let init = worker.tick(at(0.0)).expect("an init");
        (worker, answer(&mut coordinator, at(0.0), &channel(name), &init).expect("an accept"))
    });
    // A worker itself has two: the last one displaces its first.
    for _ in 0..2 {
        let init = namespace.start("web-a", 1).tick(at(0.0)).expect("an init");
        answer(&mut coordinator, at(0.0), &channel("web-a"), &init).expect("an accept");
    }
    let taken = names.iter().zip(&mut waiting).map(|(name, (worker, accept))| {
        worker.accepted(at(0.1), accept).expect("a session");
        let beat = beat(worker, name);
        open(&mut coordinator, at(0.2), &channel(name), &beat).is_ok()
    });
    assert_eq!(taken.collect::<Vec<_>>(), [false, true, true]);
}

#[test]
fn new_keys_replace_worn_ones_and_frames_on_the_way_are_still_read() {
    let namespace = Namespace::new();
    let (mut coordinator, mut worker) = (namespace.coordinator(FIRST), namespace.worker("web", 1));
    connect(&mut coordinator, &mut worker, at(0.0), "web");
    let day = 24.0 * 3600.0;
    assert!(worker.tick(at(500.0)).is_none());
    for second in (0..24 * 3600).step_by(300) {
        let beat = beat(&mut worker, "web");
        let now = at(f64::from(second));
        open(&mut coordinator, now, &channel("web"), &beat).expect("a beat");
    }
    let before_up = beat(&mut worker, "web");
    let before_down = down(&mut coordinator, at(day), "web").expect("a session");
    let later_down = down(&mut coordinator, at(day), "web").expect("a session");
    let init = worker.tick(at(day)).expect("an init");
    let accept = answer(&mut coordinator, at(day), &channel("web"), &init).expect("an accept");
    assert_eq!(worker.accepted(at(day), &accept), Ok(FIRST));
    let beat = beat(&mut worker, "web");
    open(&mut coordinator, at(day), &channel("web"), &beat).expect("a beat");
    open(&mut coordinator, at(day + 9.0), &channel("web"), &before_up).expect("a beat");
    assert_eq!(open_at_worker(&mut worker, at(day + 9.0), &before_down), Ok(()));
    worker.tick(at(day + 10.0));
    assert_eq!(
        open_at_worker(&mut worker, at(day + 10.0), &later_down),
        Err(Refused::UnknownSession)
    );
    assert!(!namespace.suite.has_reused_a_nonce());
}

#[test]
fn a_worker_follows_a_restarted_coordinator_and_never_an_earlier_one() {
    let namespace = Namespace::new();
    let (mut first, mut worker) = (namespace.coordinator(FIRST), namespace.worker("web", 1));
    connect(&mut first, &mut worker, at(0.0), "web");
    let later = Epoch { number: 2, ..FIRST };
    let mut second = namespace.coordinator(later);
    // The announcement makes it ask, and nothing else.
    worker.noticed(at(5.0), &second.notice()).expect("a notice");
    assert!(worker.held().all(|(_, epoch)| epoch == FIRST));
    let init = worker.tick(at(7.0)).expect("an init");
    let early = answer(&mut first, at(7.0), &channel("web"), &init).expect("an accept");
    assert_eq!(worker.accepted(at(7.0), &early), Err(Refused::Epoch));
    let accept = answer(&mut second, at(7.0), &channel("web"), &init).expect("an accept");
    assert_eq!(worker.accepted(at(7.0), &accept), Ok(later));
    assert!(worker.held().all(|(_, epoch)| epoch == later));
    worker.noticed(at(8.0), &first.notice()).expect("a notice");
    assert_eq!(worker.tick(at(20.0)), None, "an earlier epoch is nothing to ask for");
}

#[test]
fn a_notice_counts_only_with_the_signature_of_a_pinned_key() {
    let namespace = Namespace::new();
    let (mut first, mut worker) = (namespace.coordinator(FIRST), namespace.worker("web", 1));
    connect(&mut first, &mut worker, at(0.0), "web");
    let later = namespace.coordinator(Epoch { number: 2, ..FIRST });
    let notice = later.notice();
    let value: Notice =
        Signed::parts(FrameKind::Notice, &notice).and_then(|parts| parts.read()).expect("one");
    let forged = Signed::frame(&namespace.suite.owned_by(77), FrameKind::Notice, &value);
    assert_eq!(worker.noticed(at(1.0), &forged), Err(Refused::Forged));
    assert_eq!(worker.wake_at(), None);
}

#[test]
fn two_stores_have_a_session_each_until_one_is_silent() {
    let namespace = Namespace::new();
    let (mut first, mut worker) = (namespace.coordinator(FIRST), namespace.worker("web", 1));
    connect(&mut first, &mut worker, at(0.0), "web");
    let other = Epoch { instance: 2, number: 1 };
    let mut second = namespace.coordinator(other);
    worker.noticed(at(1.0), &second.notice()).expect("a notice");
    let init = worker.tick(at(3.0)).expect("an init");
    // Both hear the init. It was sent for the other one.
    let accept = answer(&mut first, at(3.0), &channel("web"), &init).expect("an accept");
    assert_eq!(worker.accepted(at(3.0), &accept), Err(Refused::Epoch));
    let accept = answer(&mut second, at(3.0), &channel("web"), &init).expect("an accept");
    worker.accepted(at(3.0), &accept).expect("a session");
    let epochs =
        |worker: &WorkerSessions| worker.held().map(|(_, epoch)| epoch).collect::<Vec<_>>();
    assert_eq!(epochs(&worker), [FIRST, other]);
    worker.tick(at(62.0));
    assert_eq!(epochs(&worker), [other]);
}

#[test]
fn a_session_that_the_coordinator_does_not_have_is_replaced() {
    let namespace = Namespace::new();
    let (mut coordinator, mut worker) = (namespace.coordinator(FIRST), namespace.worker("web", 1));
    let init = worker.tick(at(0.0)).expect("an init");
    let accept = answer(&mut coordinator, at(0.0), &channel("web"), &init).expect("an accept");
    worker.accepted(at(0.0), &accept).expect("a session");
    // Nothing of the worker arrives until the coordinator has given the session up.
    let beat = beat(&mut worker, "web");
    let refused = open(&mut coordinator, at(10.0), &channel("web"), &beat).err();
    assert_eq!(refused, Some(Refused::UnknownSession));
    let (session, _) = worker.held().next().expect("a session");
    let notice = coordinator.answer_unknown(at(10.0), Some(&id("web")), Some(session));
    assert!(coordinator.answer_unknown(at(10.9), Some(&id("web")), Some(session)).is_none());
    worker.noticed(at(10.0), &notice.expect("a notice")).expect("a notice");
    connect(&mut coordinator, &mut worker, at(12.0), "web");
}

#[test]
fn sessions_of_a_revoked_key_end_at_once() {
    let namespace = Namespace::new();
    let (mut coordinator, mut worker) = (namespace.coordinator(FIRST), namespace.worker("web", 1));
    connect(&mut coordinator, &mut worker, at(0.0), "web");
    let suite = namespace.suite.owned_by(1);
    let key = namespace.enrolled.enrol(&suite, WorkerGrant::new(suite.public(), "web"));
    let first = beat(&mut worker, "web");
    open(&mut coordinator, at(1.0), &channel("web"), &first).expect("the grant is the same");
    assert!(namespace.enrolled.revoke(&key));
    let second = beat(&mut worker, "web");
    let refused = open(&mut coordinator, at(1.0), &channel("web"), &second).err();
    assert_eq!(refused, Some(Refused::UnknownSession));
    assert!(down(&mut coordinator, at(1.0), "web").is_none());
}

#[test]
fn a_key_that_changes_during_a_handshake_or_a_delivery_is_heard_by_its_new_grant() {
    let namespace = Namespace::new();
    let (mut coordinator, mut web) = (namespace.coordinator(FIRST), namespace.worker("web", 1));
    let suite = namespace.suite.owned_by(1);
    let enrol = |queues: Option<Vec<String>>| {
        let mut grant = WorkerGrant::new(suite.public(), "web");
        grant.queues = queues;
        namespace.enrolled.enrol(&suite, grant)
    };
    let key = enrol(None);
    let init = web.tick(at(0.0)).expect("an init");
    let begin = |coordinator: &mut CoordinatorSessions| {
        let admitted = coordinator.admit(at(0.0), &channel("web"), &init);
        let Ok(Admission::New(handshake)) = admitted else { panic!("{admitted:?}") };
        handshake.answer(at(0.0), &namespace.suite).expect("an answer")
    };
    let answered = begin(&mut coordinator);
    enrol(Some(vec!["web".to_owned()]));
    assert_eq!(coordinator.pend(at(0.0), answered), Err(Refused::Grant));
    let answered = begin(&mut coordinator);
    assert!(namespace.enrolled.revoke(&key));
    assert_eq!(coordinator.pend(at(0.0), answered), Err(Refused::NotEnrolled));
    enrol(None);
    let answered = begin(&mut coordinator);
    let accept = coordinator.pend(at(0.0), answered).expect("an accept");
    web.accepted(at(0.0), &accept).expect("a session");
    // The frame is being opened while the key is revoked.
    let beat = beat(&mut web, "web");
    let look = coordinator.look(at(1.0), &channel("web"), Lane::Control, &beat).expect("one");
    let CoordinatorFrame::Sealed(opening) = look else { panic!("{look:?}") };
    assert!(namespace.enrolled.revoke(&key));
    assert_eq!(coordinator.opened(at(1.0), &opening).err(), Some(Refused::UnknownSession));
}

#[test]
fn a_worker_speaks_for_itself_and_within_its_grant() {
    let namespace = Namespace::new();
    let (mut coordinator, mut worker) = (namespace.coordinator(FIRST), namespace.worker("web", 1));
    let suite = namespace.suite.owned_by(1);
    let mut grant = WorkerGrant::new(suite.public(), "web");
    grant.queues = Some(vec!["web".to_owned()]);
    grant.slots = Some(2);
    namespace.enrolled.enrol(&suite, grant);
    connect(&mut coordinator, &mut worker, at(0.0), "web");
    let as_another = seal(&mut worker, Lane::Control, frame_of("db", Vec::new()));
    let refused = open(&mut coordinator, at(1.0), &channel("web"), &as_another).err();
    assert_eq!(refused, Some(Refused::Foreign));
    let mut hears = |queues: &[&str]| {
        let queues: Vec<_> = queues.iter().map(|queue| (*queue).to_owned()).collect();
        let text = r#"{"name":"web","slots":9,"offer":{"actions":[]}}"#;
        let hello = Hello { queues, ..serde_json::from_str(text).expect("a hello") };
        let frame = frame_of("web", vec![Message::Hello(hello)]);
        let frame = seal(&mut worker, Lane::Control, frame);
        let frame = open(&mut coordinator, at(1.0), &channel("web"), &frame).expect("a frame");
        frame.messages.into_iter().map(|message| match message {
            Message::Hello(hello) => (hello.queues.join(","), hello.slots),
            other => panic!("{other:?}"),
        })
    };
    assert!(hears(&[]).eq([("web".to_owned(), 2)]));
    assert!(hears(&["db", "web"]).eq([("web".to_owned(), 2)]));
    assert_eq!(hears(&["db"]).count(), 0);
}

#[test]
fn a_worker_id_in_use_is_taken_over_by_no_other_key() {
    let namespace = Namespace::new();
    let (mut coordinator, mut web) = (namespace.coordinator(FIRST), namespace.worker("web", 1));
    let mut other = namespace.worker("web", 2);
    let init = other.tick(at(0.0)).expect("an init");
    let accept = answer(&mut coordinator, at(0.0), &channel("web"), &init).expect("an accept");
    other.accepted(at(0.0), &accept).expect("a session");
    // Neither a session that waited nor a further one displaces that of the worker.
    connect(&mut coordinator, &mut web, at(1.0), "web");
    let stolen = beat(&mut other, "web");
    let refused = open(&mut coordinator, at(2.0), &channel("web"), &stolen).err();
    assert_eq!(refused, Some(Refused::Taken));
    let init = namespace.start("web", 2).tick(at(3.0)).expect("an init");
    let refused = answer(&mut coordinator, at(3.0), &channel("web"), &init);
    assert_eq!(refused, Err(Refused::Taken));
    let down = down(&mut coordinator, at(3.0), "web").expect("a session");
    assert_eq!(open_at_worker(&mut web, at(3.0), &down), Ok(()));
    // It is free once its key is revoked.
    let key = namespace.suite.owned_by(1).public();
    assert!(namespace.enrolled.revoke(&KeyId::of(&namespace.suite, &key)));
    connect(&mut coordinator, &mut namespace.start("web", 2), at(4.0), "web");
}

#[test]
fn a_worker_introduces_itself_once_for_its_key_and_grant() {
    let namespace = Namespace::new();
    let (mut coordinator, mut web) = (namespace.coordinator(FIRST), namespace.worker("web", 1));
    let hello: Hello = serde_json::from_str(r#"{"name":"web","slots":1}"#).expect("a hello");
    let hello = || vec![Message::Hello(hello.clone())];
    let limited = |coordinator: &mut CoordinatorSessions, web: &mut WorkerSessions, lane, said| {
        let now = at(2.0);
        let frame = seal(web, lane, frame_of("web", said));
        let look = coordinator.look(now, &channel("web"), lane, &frame).expect("a frame");
        let CoordinatorFrame::Sealed(opening) = look else { panic!("{look:?}") };
        let mut bytes = frame.clone();
        let place = opening.open(&**coordinator.suite(), &mut bytes).expect("a document");
        let peer = coordinator.opened(now, &opening).expect("a peer");
        let (mut frame, _) = Frame::decode(&bytes[place]).expect("a frame");
        peer.limit(lane, &mut frame).expect("a frame of its own")
    };
    connect(&mut coordinator, &mut web, at(0.0), "web");
    assert!(!limited(&mut coordinator, &mut web, Lane::Logs, hello()));
    assert!(!limited(&mut coordinator, &mut web, Lane::Control, Vec::new()));
    assert!(!limited(&mut coordinator, &mut web, Lane::Control, hello()));
    assert!(limited(&mut coordinator, &mut web, Lane::Control, Vec::new()));
    // New keys change nothing, and another grant does.
    let mut renewed = namespace.start("web", 1);
    connect(&mut coordinator, &mut renewed, at(1.0), "web");
    assert!(limited(&mut coordinator, &mut renewed, Lane::Control, Vec::new()));
    let suite = namespace.suite.owned_by(1);
    let mut grant = WorkerGrant::new(suite.public(), "web");
    grant.slots = Some(1);
    namespace.enrolled.enrol(&suite, grant);
    let mut narrowed = namespace.start("web", 1);
    connect(&mut coordinator, &mut narrowed, at(2.0), "web");
    assert!(!limited(&mut coordinator, &mut narrowed, Lane::Control, Vec::new()));
}

#[test]
fn a_worker_declares_no_worker_of_another_key_dead() {
    let namespace = Namespace::new();
    let mut coordinator = namespace.coordinator(FIRST);
    let (mut web, mut db) = (namespace.worker("web", 1), namespace.worker("db", 2));
    connect(&mut coordinator, &mut web, at(0.0), "web");
    connect(&mut coordinator, &mut db, at(0.0), "db");
    let unknown = WorkerId::new("web-0").expect("an id");
    let mut hello: Hello = serde_json::from_str(r#"{"name":"web","slots":1}"#).expect("a hello");
    hello.clean_slate = vec![unknown.clone(), id("web"), id("db")];
    let frame = seal(&mut web, Lane::Control, frame_of("web", vec![Message::Hello(hello)]));
    let look = coordinator.look(at(1.0), &channel("web"), Lane::Control, &frame).expect("one");
    let CoordinatorFrame::Sealed(opening) = look else { panic!("{look:?}") };
    let mut bytes = frame.clone();
    let place = opening.open(&**coordinator.suite(), &mut bytes).expect("a document");
    let peer = coordinator.opened(at(1.0), &opening).expect("a peer");
    let (mut frame, _) = Frame::decode(&bytes[place]).expect("a frame");
    coordinator.keep_own_claims(&peer, &mut frame);
    let Message::Hello(hello) = &frame.messages[0] else { panic!("{frame:?}") };
    assert_eq!(hello.clean_slate, [unknown, id("web")]);
}

#[test]
fn plain_frames_are_taken_only_from_names_that_no_key_has() {
    let namespace = Namespace::new();
    let worker = namespace.worker("web", 1);
    let plain = &frame_of("db", Vec::new())[HEADER_BYTES..];
    assert!(matches!(worker.look(Lane::Control, plain), Err(Refused::Plain)));
    let mut coordinator = namespace.coordinator(FIRST);
    let look = coordinator.look(at(0.0), &Channel::Unknown, Lane::Control, plain);
    assert!(matches!(look, Err(Refused::Plain)));
    let mut coordinator = namespace.coordinator_with(FIRST, PlainFrames::Allow);
    let look = coordinator.look(at(0.0), &Channel::Unknown, Lane::Control, plain);
    assert!(matches!(look, Ok(CoordinatorFrame::Plain)));
    assert!(coordinator.takes_plain(&id("db")) && !coordinator.takes_plain(&id("web")));
}

#[test]
fn a_link_that_comes_up_is_used_at_once_unless_there_is_a_session() {
    let namespace = Namespace::new();
    let (mut coordinator, mut worker) = (namespace.coordinator(FIRST), namespace.worker("web", 1));
    let lost = worker.tick(at(0.0)).expect("an init");
    assert_eq!(worker.tick(at(0.1)), None);
    worker.link_up(at(0.2));
    assert_eq!(worker.tick(at(0.2)), Some(lost));
    worker.link_up(at(0.3));
    connect(&mut coordinator, &mut worker, at(0.3), "web");
    worker.link_up(at(0.4));
    assert_eq!(worker.wake_at(), None);
}

#[test]
fn a_worker_learns_the_next_key_of_the_namespace_and_forgets_the_former_one() {
    let namespace = Namespace::new();
    let next = Namespace { suite: namespace.suite.owned_by(1_001), ..Namespace::new() };
    let next = Namespace { enrolled: namespace.enrolled.clone(), ..next };
    let (old, new) = (namespace.suite.public(), next.suite.public());
    let stating = |of: &Namespace, epoch, keys: &[PublicKey]| {
        let options = CoordinatorOptions::new("tinpot", of.enrolled.clone()).keys(keys.to_vec());
        CoordinatorSessions::new(Arc::new(of.suite.clone()), epoch, options)
    };
    let pinned = |worker: &WorkerSessions| worker.pinned().collect::<Vec<_>>();
    let mut worker = namespace.worker("web", 1);
    // Keys without that of the coordinator itself count for nothing, nor do too many.
    for (n, keys) in [vec![new], vec![old, new, namespace.suite.owned_by(9).public()], vec![]]
        .into_iter()
        .enumerate()
    {
        let epoch = Epoch { instance: FIRST.instance, number: FIRST.number + n as u32 };
        let mut coordinator = stating(&namespace, epoch, &keys);
        let now = at(n as f64 * 20.0);
        worker.noticed(now, &coordinator.notice()).expect("a notice");
        connect(&mut coordinator, &mut worker, at(n as f64 * 20.0 + 5.0), "web");
        assert_eq!(pinned(&worker), [old]);
    }
    let epoch = |more: u32| Epoch { instance: FIRST.instance, number: FIRST.number + more };
    let mut coordinator = stating(&namespace, epoch(5), &[old, new]);
    worker.noticed(at(100.0), &coordinator.notice()).expect("a notice");
    connect(&mut coordinator, &mut worker, at(105.0), "web");
    assert_eq!(pinned(&worker), [old, new]);
    // The next coordinator has the new key: the worker asks it at once, and believes no other.
    let mut coordinator = stating(&next, epoch(6), &[new]);
    worker.noticed(at(120.0), &coordinator.notice()).expect("a notice");
    connect(&mut coordinator, &mut worker, at(123.0), "web");
    assert_eq!(pinned(&worker), [new]);
    let thief = stating(&namespace, epoch(7), &[old]);
    assert_eq!(worker.noticed(at(140.0), &thief.notice()), Err(Refused::Forged));
}

#[test]
fn a_worker_without_an_answer_asks_again_and_of_each_pinned_key() {
    let namespace = Namespace::new();
    let suite = Arc::new(namespace.suite.owned_by(1));
    let keys = [77, 1_000].map(|identity| namespace.suite.owned_by(identity).public());
    let mut worker = WorkerSessions::new(suite.clone(), id("web"), Pins::new("tinpot", keys));
    namespace.enrolled.enrol(&*suite, WorkerGrant::new(suite.public(), "web"));
    let mut coordinator = namespace.coordinator(FIRST);
    let mut now = at(0.0);
    let mut inits = 0;
    loop {
        if let Some(init) = worker.tick(now) {
            inits += 1;
            if let Ok(accept) = answer(&mut coordinator, now, &channel("web"), &init) {
                worker.accepted(now, &accept).expect("a session");
                break;
            }
        }
        now = worker.wake_at().expect("it tries again").max(Tick(now.0 + 1));
        assert!(now.since(at(0.0)) < Duration::from_secs(20) && inits < 12, "{inits} until {now}");
    }
}
