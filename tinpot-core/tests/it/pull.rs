//! Workers that ask for attempts, and workers with a lease of their own, at the coordinator's machine.

use std::sync::Arc;
use std::time::Duration;

use tinpot_core::executor::ActionSet;
use tinpot_core::protocol::{
    Beat, BeatAck, CoordinatorEffect, CoordinatorMachine, Epoch, Fence, Hello, Message,
    ResultReport, Tick,
};
use tinpot_core::store::Transition;
use tinpot_core::{Action, Execution, ExecutionId, Json, Outcome, ProtocolConfig, WorkerId};

use crate::machine::hello;

const EPOCH: Epoch = Epoch { instance: 1, number: 1 };

struct Bench {
    machine: CoordinatorMachine,
    worker: WorkerId,
    effects: Vec<CoordinatorEffect>,
    submitted: u128,
}

impl Bench {
    fn new(change: impl FnOnce(Hello) -> Hello) -> Self {
        let machine = CoordinatorMachine::new(ProtocolConfig::default(), EPOCH);
        let worker = WorkerId::new("w-1").expect("an id");
        let mut bench = Self { machine, worker, effects: Vec::new(), submitted: 0 };
        let offer = ActionSet::new([Action::new("noop").expect("a name")]);
        bench.receive(Tick(0), Message::Hello(change(Hello { slots: 2, ..hello(offer) })));
        bench
    }

    fn pulling() -> Self {
        Self::new(|hello| Hello { pull: true, ..hello })
    }

    fn receive(&mut self, now: Tick, message: Message) {
        self.machine.receive(now, &self.worker, message, &mut self.effects);
    }

    fn beat(&mut self, now: Tick, seq: u64, free: u32) {
        let held = Vec::new();
        self.receive(now, Message::Beat(Beat { seq, free, held, epoch: Some(EPOCH) }));
    }

    fn submit(&mut self) {
        self.submitted += 1;
        let id = ExecutionId::from_u128(self.submitted);
        let execution = Execution::new(id, "noop", Json::empty_object());
        self.machine.submit(Tick(1), Arc::new(execution), &mut self.effects).expect("accepted");
    }

    /// Returns the grants since the last call.
    fn grants(&mut self) -> Vec<(Fence, Duration)> {
        let grant = |effect: CoordinatorEffect| match effect {
            CoordinatorEffect::Persist(Transition::Grant { fence, lease, .. }) => {
                Some((fence, lease))
            }
            _ => None,
        };
        self.effects.drain(..).filter_map(grant).collect()
    }

    fn succeeds(&mut self, fence: Fence) {
        let outcome = Outcome::Succeeded(Json::null());
        let (last_log_seq, ran_us, killed) = (0, 100, false);
        let report = ResultReport { fence, outcome, last_log_seq, ran_us, killed };
        self.receive(Tick(2), Message::Result(report));
    }
}

#[test]
fn a_worker_that_pulls_gets_what_its_latest_beat_asks_for() {
    let mut bench = Bench::pulling();
    for _ in 0..6 {
        bench.submit();
    }
    assert!(bench.grants().is_empty(), "a hello asks for nothing");
    bench.beat(Tick(1), 1, 1);
    let first = bench.grants();
    assert_eq!(first.len(), 1);
    bench.beat(Tick(1), 1, 1);
    assert!(bench.grants().is_empty(), "that beat has got its attempt");
    bench.succeeds(first[0].0);
    assert!(bench.grants().is_empty(), "a free slot is no request");
    bench.beat(Tick(2), 2, 0);
    bench.receive(Tick(2), Message::Hello(Hello { pull: true, ..hello(ActionSet::default()) }));
    assert!(bench.grants().is_empty());
    let offer = ActionSet::new([Action::new("noop").expect("a name")]);
    let again = Hello { pull: true, slots: 2, ..hello(offer) };
    bench.receive(Tick(2), Message::Hello(again));
    bench.beat(Tick(3), 3, 9);
    assert_eq!(bench.grants().len(), 2, "never more than it has slots");
}

#[test]
fn nothing_short_is_sent_ahead_to_a_worker_that_pulls() {
    let mut bench = Bench::pulling();
    for seq in 1..20 {
        bench.submit();
        bench.beat(Tick(seq), seq, 1);
        let grants = bench.grants();
        bench.succeeds(grants[0].0);
    }
    for _ in 0..9 {
        bench.submit();
    }
    bench.beat(Tick(30), 30, 9);
    assert_eq!(bench.grants().len(), 2);
}

#[test]
fn a_worker_is_given_up_after_its_own_lease() {
    for (lease, patience) in [(7, 17), (40, 60), (120, 180), (1_000_000, 129_600), (0, 11)] {
        let lease = Duration::from_secs(lease);
        let mut bench = Bench::new(|hello| Hello { lease: Some(lease), ..hello });
        bench.submit();
        bench.beat(Tick(1), 1, 2);
        let told = bench.effects.iter().find_map(|effect| match effect {
            CoordinatorEffect::Send(_, Message::BeatAck(BeatAck { lease, .. })) => *lease,
            _ => None,
        });
        let bounded = lease.clamp(Duration::from_secs(1), Duration::from_secs(86_400));
        assert_eq!(told, Some(bounded));
        let patience = Duration::from_secs(patience);
        assert_eq!(bench.grants()[0].1, patience);
        let lost = |bench: &mut Bench, at: Tick| {
            bench.machine.tick(at, &mut bench.effects);
            bench.effects.drain(..).any(|effect| {
                matches!(effect, CoordinatorEffect::Persist(Transition::Finish { .. }))
            })
        };
        assert!(!lost(&mut bench, Tick(0) + patience), "{lease:?}");
        assert!(lost(&mut bench, Tick(2) + patience), "{lease:?}");
    }
}

#[test]
fn a_lease_is_not_shortened_while_the_worker_may_count_on_it() {
    let mut bench = Bench::new(|hello| Hello { lease: Some(Duration::from_secs(120)), ..hello });
    let offer = ActionSet::new([Action::new("noop").expect("a name")]);
    bench.receive(Tick(1), Message::Hello(Hello { slots: 2, ..hello(offer) }));
    bench.submit();
    bench.beat(Tick(1), 1, 2);
    assert_eq!(bench.grants()[0].1, Duration::from_secs(180));
}
