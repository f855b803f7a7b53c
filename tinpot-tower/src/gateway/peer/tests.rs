use std::time::Duration;

use tinpot_core::protocol::{
    Accept, BeatAck, Cancel, Dispatch, Epoch, Fence, LogAck, Message, Probe, Recorded, ReleasedHow,
    ResultAck, Tick, WhoIsThere,
};
use tinpot_core::{ExecutionId, Json, Outcome, Stream, Timestamp, WorkerId};

use super::super::lines::{Line, LineNumbers};
use super::{Adopted, Answer, Call, Effect, RunnerPeer, completed};

const LEASE: Duration = Duration::from_secs(60);
const WAIT: Duration = Duration::from_secs(20);
const EPOCH: Epoch = Epoch { instance: 7, number: 3 };

fn at(seconds: u64) -> Tick {
    Tick(seconds * 1_000_000)
}

fn fence(number: u64) -> Fence {
    Fence { epoch: EPOCH, number }
}

/// A peer, and the tickets of its calls.
struct Bench {
    peer: RunnerPeer,
    tickets: u64,
}

impl Bench {
    fn new() -> Self {
        let id = WorkerId::new("one-1").expect("an id");
        Self { peer: RunnerPeer::new(id, "default".to_owned(), LEASE, WAIT), tickets: 0 }
    }

    /// A peer with a run that it was given at second 1.
    fn given(number: u64) -> Self {
        let mut bench = Self::new();
        bench.call(at(0), Call::Lease);
        bench.acknowledge(at(0), 1);
        bench.dispatch(at(1), number, 2);
        bench
    }

    fn running(number: u64) -> Self {
        let mut bench = Self::given(number);
        bench.call(at(2), Call::Start(fence(number)));
        bench
    }

    fn call(&mut self, now: Tick, call: Call) -> Vec<Effect> {
        self.tickets += 1;
        let mut out = Vec::new();
        self.peer.call(now, self.tickets, call, &mut out);
        out
    }

    fn receive(&mut self, now: Tick, message: Message) -> Vec<Effect> {
        let mut out = Vec::new();
        self.peer.receive(now, message, &mut out);
        out
    }

    fn tick(&mut self, now: Tick) -> Vec<Effect> {
        let mut out = Vec::new();
        self.peer.tick(now, &mut out);
        out
    }

    fn acknowledge(&mut self, now: Tick, seq_echo: u64) -> Vec<Effect> {
        self.receive(now, Message::BeatAck(ack(EPOCH, seq_echo)))
    }

    fn dispatch(&mut self, now: Tick, number: u64, seq_echo: u64) -> Vec<Effect> {
        self.receive(now, Message::Dispatch(dispatch(number, seq_echo)))
    }
}

fn ack(epoch: Epoch, seq_echo: u64) -> BeatAck {
    BeatAck {
        epoch,
        seq_echo,
        settled: 0,
        lease: Some(LEASE),
        beat_interval: None,
        drop: Vec::new(),
        cancel: Vec::new(),
    }
}

fn dispatch(number: u64, seq_echo: u64) -> Dispatch {
    Dispatch {
        fence: fence(number),
        seq_echo,
        settled: 0,
        execution: ExecutionId::from_u128(9),
        number: 4_711,
        attempt: 1,
        action: "hello".into(),
        parameters: Json::empty_object(),
        timeout: None,
        grace: Duration::from_secs(10),
        retryable: false,
        bundle: None,
        ticket: None,
        traceparent: None,
        secrets: Vec::new(),
        uploads: Vec::new(),
    }
}

fn answers(effects: &[Effect]) -> Vec<(u64, Answer)> {
    let answer = |effect: &Effect| match effect {
        Effect::Answer(ticket, answer) => Some((*ticket, answer.clone())),
        Effect::Send(_) => None,
    };
    effects.iter().filter_map(answer).collect()
}

/// Returns what each beat asks for.
fn asked(effects: &[Effect]) -> Vec<u32> {
    let beat = |effect: &Effect| match effect {
        Effect::Send(Message::Beat(beat)) => Some(beat.free),
        _ => None,
    };
    effects.iter().filter_map(beat).collect()
}

fn released(effects: &[Effect]) -> Vec<u64> {
    let release = |effect: &Effect| match effect {
        Effect::Send(Message::Released(released)) => {
            assert_eq!(released.how, ReleasedHow::NeverRan);
            Some(released.fence.number)
        }
        _ => None,
    };
    effects.iter().filter_map(release).collect()
}

#[test]
fn a_run_is_asked_for_in_the_epoch_that_answers() {
    let mut bench = Bench::new();
    let effects = bench.call(at(0), Call::Lease);
    let Effect::Send(Message::Hello(hello)) = &effects[0] else { panic!("{effects:?}") };
    assert!(hello.pull && hello.slots == 1 && hello.lease == Some(LEASE));
    assert_eq!((&hello.queues[..], asked(&effects)), (&["default".to_owned()][..], vec![1]));
    // The coordinator gives nothing for a beat of another epoch.
    assert_eq!(asked(&bench.acknowledge(at(0), 1)), [1]);
    assert!(bench.acknowledge(at(0), 2).is_empty());
    assert_eq!(asked(&bench.tick(at(5))), [1], "it lives");
    let effects = bench.dispatch(at(6), 4, 3);
    let accept = Message::Accept(Accept { fence: fence(4), running: false });
    assert_eq!(effects[0], Effect::Send(accept));
    assert_eq!(asked(&effects), [0]);
    let leased = Answer::Leased(Box::new(dispatch(4, 3)), at(5) + LEASE);
    assert_eq!(answers(&effects), [(1, leased)]);
    // It comes again, since the acceptance was on its way.
    assert_eq!(bench.dispatch(at(7), 4, 3).len(), 1);
}

#[test]
fn what_comes_without_a_request_goes_back_at_once() {
    let mut bench = Bench::new();
    bench.call(at(0), Call::Lease);
    bench.acknowledge(at(0), 1);
    let effects = bench.tick(at(20));
    assert_eq!((asked(&effects), answers(&effects)), (vec![0], vec![(1, Answer::Nothing)]));
    assert_eq!(released(&bench.dispatch(at(20), 4, 2)), [4]);
    // It is said again until it is heard, and no repetition starts it.
    assert_eq!(released(&bench.tick(at(21))), [4]);
    bench.call(at(21), Call::Lease);
    assert_eq!(released(&bench.dispatch(at(21), 4, 3)), [4]);
    let heard = ResultAck { epoch: EPOCH, fence: fence(4), recorded: Recorded::Recorded };
    bench.receive(at(21), Message::ResultAck(heard));
    assert!(bench.dispatch(at(21), 4, 3).is_empty());
    assert!(released(&bench.tick(at(22))).is_empty());
    // One that follows an old beat.
    let mut bench = Bench::new();
    bench.call(at(0), Call::Lease);
    bench.acknowledge(at(0), 1);
    bench.call(at(40), Call::Lease);
    assert_eq!(released(&bench.dispatch(at(40), 5, 1)), [5]);
    assert_eq!(released(&bench.dispatch(at(40), 6, 99)), [6]);
}

#[test]
fn a_run_that_is_not_started_goes_back() {
    let mut bench = Bench::given(4);
    let effects = bench.call(at(2), Call::Lease);
    assert_eq!((released(&effects), asked(&effects)), (vec![4], vec![1]));
    assert_eq!(answers(&bench.call(at(2), Call::Start(fence(4)))), [(3, Answer::Gone)]);
    // The lease ends.
    let mut bench = Bench::given(4);
    assert!(released(&bench.tick(at(59))).is_empty());
    assert_eq!(released(&bench.tick(at(61))), [4]);
    assert_eq!(answers(&bench.call(at(61), Call::Start(fence(4)))), [(2, Answer::Gone)]);
    // The answer reaches no runner.
    let mut bench = Bench::given(4);
    let (lost, mut out) = (Answer::Leased(Box::new(dispatch(4, 2)), at(60)), Vec::new());
    bench.peer.unheard(at(1), &lost, &mut out);
    assert_eq!(released(&out), [4]);
}

#[test]
fn a_heartbeat_is_answered_with_the_acknowledgement_of_its_beat() {
    let mut bench = Bench::running(4);
    let effects = bench.call(at(10), Call::Heartbeat(fence(4)));
    assert_eq!((asked(&effects), answers(&effects)), (vec![0], vec![]));
    // That of an earlier beat says nothing.
    assert!(bench.acknowledge(at(11), 2).is_empty());
    let cancelled = BeatAck { cancel: vec![fence(4)], ..ack(EPOCH, 4) };
    let effects = bench.receive(at(12), Message::BeatAck(cancelled));
    let goes = Answer::Goes { until: at(10) + LEASE, cancel: true };
    assert_eq!(answers(&effects), [(3, goes)]);
    let dropped = BeatAck { drop: vec![fence(4)], ..ack(EPOCH, 5) };
    bench.call(at(20), Call::Heartbeat(fence(4)));
    let effects = bench.receive(at(20), Message::BeatAck(dropped));
    assert_eq!(answers(&effects), [(4, Answer::Gone)]);
    assert_eq!(
        answers(&bench.call(at(20), Call::Result(fence(4), completed()))),
        [(5, Answer::Gone)]
    );
}

#[test]
fn a_result_is_sent_until_it_is_acknowledged() {
    let mut bench = Bench::running(4);
    assert_eq!(answers(&bench.call(at(3), Call::Lease)), [(3, Answer::Busy)]);
    let effects = bench.call(at(5), Call::Result(fence(4), Outcome::Cancelled));
    let Effect::Send(Message::Result(report)) = &effects[0] else { panic!("{effects:?}") };
    assert_eq!((report.ran_us, &report.outcome), (3_000_000, &Outcome::Cancelled));
    assert_eq!(bench.tick(at(6)), effects, "once more");
    assert_eq!(answers(&bench.call(at(6), Call::Lease)), [(5, Answer::Busy)]);
    bench.call(at(6), Call::Result(fence(4), Outcome::Cancelled));
    let heard = ResultAck { epoch: EPOCH, fence: fence(4), recorded: Recorded::Duplicate };
    let effects = bench.receive(at(7), Message::ResultAck(heard));
    assert_eq!(answers(&effects), [(4, Answer::Done), (6, Answer::Done)]);
    assert!(bench.tick(at(9)).is_empty());
    assert_eq!(asked(&bench.call(at(9), Call::Lease)), [1]);
}

#[test]
fn lines_are_answered_when_they_are_stored() {
    let mut bench = Bench::running(4);
    let line = |seq| Line { seq, stream: Stream::Stdout, text: "x".into(), time: Timestamp(0) };
    let lines = vec![line(1), line(2), line(9)];
    let effects = bench.call(at(3), Call::Logs(fence(4), lines));
    assert_eq!((effects.len(), answers(&effects)), (3, vec![]));
    let stored = |seq| Message::LogAck(LogAck { fence: fence(4), seq });
    assert!(answers(&bench.receive(at(3), stored(3))).is_empty());
    assert_eq!(bench.tick(at(4)).len(), 1, "the last one again");
    assert_eq!(answers(&bench.receive(at(4), stored(4))), [(3, Answer::Done)]);
    let huge = Line { text: "x".repeat(2_000_000), ..line(10) };
    bench.call(at(5), Call::Logs(fence(4), vec![huge]));
    let effects = bench.call(at(5), Call::Logs(fence(4), vec![line(11)]));
    assert_eq!(answers(&effects), [(5, Answer::Full)]);
    // The coordinator wants no more of them.
    assert_eq!(answers(&bench.receive(at(6), stored(u64::MAX))), [(4, Answer::Gone)]);
}

#[test]
fn another_process_goes_on_with_what_runs() {
    let mut bench = Bench::new();
    let earlier = Fence { epoch: Epoch { instance: 7, number: 2 }, number: 80 };
    // The coordinator asks before the runner calls: nothing may be said yet.
    let probe = Message::Probe(Probe { epoch: EPOCH, fence: earlier });
    assert!(bench.receive(at(0), probe.clone()).is_empty());
    let cancel = Cancel { epoch: EPOCH, fence: earlier, force: false };
    assert!(bench.receive(at(0), Message::Cancel(cancel)).is_empty());
    let numbers = LineNumbers::stored(5, 2);
    bench.peer.adopt(at(1), Adopted { fence: earlier, started: true, numbers });
    let effects = bench.call(at(1), Call::Heartbeat(earlier));
    assert!(matches!(&effects[0], Effect::Send(Message::Hello(_))), "{effects:?}");
    let Effect::Send(Message::Beat(beat)) = &effects[1] else { panic!("{effects:?}") };
    assert_eq!((&beat.held[..], beat.free), (&[earlier][..], 0));
    let goes = Answer::Goes { until: at(1) + LEASE, cancel: false };
    assert_eq!(answers(&bench.acknowledge(at(2), 1)), [(1, goes)]);
    let running = Message::Accept(Accept { fence: earlier, running: true });
    assert_eq!(bench.receive(at(2), probe), [Effect::Send(running)]);
    // What this process gave back does not return by the store.
    let mut bench = Bench::given(4);
    assert_eq!(released(&bench.tick(at(61))), [4]);
    let numbers = LineNumbers::default();
    bench.peer.adopt(at(61), Adopted { fence: fence(4), started: false, numbers });
    assert!(!bench.peer.holds(fence(4)));
}

#[test]
fn a_cancel_before_its_dispatch_leaves_nothing_to_start() {
    let mut bench = Bench::new();
    bench.call(at(0), Call::Lease);
    bench.acknowledge(at(0), 1);
    let cancel = Cancel { epoch: EPOCH, fence: fence(4), force: false };
    assert_eq!(released(&bench.receive(at(0), Message::Cancel(cancel))), [4]);
    assert_eq!(released(&bench.dispatch(at(0), 4, 2)), [4]);
}

#[test]
fn a_runner_introduces_itself_again_only_while_it_has_something_to_do() {
    let mut bench = Bench::new();
    let who = Message::WhoIsThere(WhoIsThere { epoch: EPOCH });
    assert!(bench.receive(at(0), who.clone()).is_empty());
    bench.call(at(0), Call::Lease);
    bench.acknowledge(at(0), 1);
    let effects = bench.receive(at(1), who.clone());
    assert!(matches!(&effects[0], Effect::Send(Message::Hello(_))), "{effects:?}");
    assert_eq!(asked(&effects), [1]);
    let mut bench = Bench::running(4);
    assert_eq!(asked(&bench.receive(at(3), who)), [0]);
    bench.peer.serve("gpu".to_owned());
    let effects = bench.call(at(4), Call::Heartbeat(fence(4)));
    let Effect::Send(Message::Hello(hello)) = &effects[0] else { panic!("{effects:?}") };
    assert_eq!(hello.queues, ["gpu"]);
}
