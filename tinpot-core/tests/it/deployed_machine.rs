//! Deployed actions at the machines of coordinator and worker, driven by hand.

use std::sync::Arc;
use std::time::Duration;

use tinpot_core::executor::ActionSet;
use tinpot_core::protocol::seal::{PublicKey, WorkerGrant};
use tinpot_core::protocol::{
    Beat, CoordinatorEffect, CoordinatorMachine, Epoch, Fence, Granted, Hello, Message,
    ProtocolConfig, Reject, RejectReason, Released, ReleasedHow, ResultReport, Tick,
};
use tinpot_core::store::Transition;
use tinpot_core::{
    ErrorKind, Execution, ExecutionId, Json, Names, Outcome, RetryOn, RetryPolicy, WorkerId,
};

use crate::deployed::{runtime, version};
use crate::machine::hello;

/// A machine with two deployed actions, `report-day` in group `Reports` and `backup`, and a worker
/// with this hello.
fn machine(hello: Hello) -> (CoordinatorMachine, WorkerId) {
    let epoch = Epoch { instance: 1, number: 1 };
    let mut machine = CoordinatorMachine::new(ProtocolConfig::default(), epoch);
    let (worker, mut effects) = (WorkerId::new("w-1").expect("an id"), Vec::new());
    let report = version("report-day", "script", 1).group("Reports");
    let actions = [report, version("backup", "script", 1)].map(Arc::new);
    machine.deploy(Tick(0), &actions, &mut effects).expect("deployed");
    let is_offer = |effect: &CoordinatorEffect| {
        matches!(effect, CoordinatorEffect::Persist(Transition::Offer(_)))
    };
    assert!(effects.len() == 2 && effects.iter().all(is_offer), "{effects:?}");
    machine.receive(Tick(0), &worker, Message::Hello(hello), &mut effects);
    let beat = Beat { seq: 1, free: 1, held: Vec::new(), epoch: Some(epoch) };
    machine.receive(Tick(0), &worker, Message::Beat(beat), &mut effects);
    (machine, worker)
}

/// Submits an execution of a deployed action, and returns the fence of its grant, if there is one.
fn granted(machine: &mut CoordinatorMachine, action: &str, number: u128) -> Option<Fence> {
    let id = ExecutionId::from_u128(number);
    let mut execution = Execution::new(id, action, Json::empty_object());
    execution.bundle = machine.catalogue()[action].bundle().cloned();
    execution.retry = RetryPolicy::fixed(2, Duration::ZERO).on(RetryOn::Lost);
    let mut effects = Vec::new();
    machine.submit(Tick(1), Arc::new(execution), &mut effects).expect("accepted");
    let fence = effects.iter().find_map(|effect| match effect {
        CoordinatorEffect::Persist(Transition::Grant { fence, .. }) => Some(*fence),
        _ => None,
    });
    let bundle = effects.iter().find_map(|effect| match effect {
        CoordinatorEffect::Send(_, Message::Dispatch(dispatch)) => Some(dispatch.bundle.clone()),
        _ => None,
    });
    assert_eq!(bundle, fence.map(|_| machine.catalogue()[action].bundle().cloned()));
    fence
}

#[test]
fn the_grant_of_a_key_limits_deployed_actions() {
    let of_default = |hello: Hello| Hello { slots: 9, ..hello };
    let all = || of_default(hello(runtime("script")));
    let only = |granted: Granted| Hello { granted: granted.into(), ..all() };
    let reports = Names::exactly(["Reports"]);
    let names = Names::of(["report-*"]);
    let teams: Vec<std::sync::Arc<str>> = vec!["other".into()];
    for (hello, runs) in [
        (all(), [true, true]),
        (only(Granted { groups: reports, ..Granted::default() }), [true, false]),
        (only(Granted { actions: names, ..Granted::default() }), [true, false]),
        (only(Granted { groups: Names::none(), ..Granted::default() }), [false, false]),
        (Hello { groups: vec!["Reports".to_owned()], ..all() }, [true, false]),
        (Hello { queues: vec!["elsewhere".to_owned()], ..all() }, [false, false]),
        (Hello { teams: teams.clone(), ..all() }, [false, false]),
        // The host knows all of these workers.
        (
            Hello {
                teams,
                granted: Granted { teams: Some(Names::any()), ..Granted::default() }.into(),
                ..all()
            },
            [true, true],
        ),
        (of_default(hello(runtime("process"))), [false, false]),
        (of_default(hello(ActionSet::default())), [false, false]),
    ] {
        let (mut machine, _) = machine(hello.clone());
        let actions = ["report-day", "backup"];
        let available = actions.map(|action| machine.catalogue()[action].available);
        let granted = [0, 1].map(|at| granted(&mut machine, actions[at], at as u128).is_some());
        assert_eq!((available, granted), (runs, runs), "{hello:?}");
    }
}

#[test]
fn the_limits_of_a_key_are_those_of_its_runtimes() {
    let mut grant = WorkerGrant::new(PublicKey([7; 32]), "w");
    grant.actions = Some(vec!["report-*".to_owned()]);
    grant.groups = Some(vec!["Reports".to_owned()]);
    let mut hello = hello(runtime("script"));
    assert!(grant.cut(&mut hello));
    assert!(hello.granted.actions.has("report-day") && !hello.granted.actions.has("backup"));
    assert!(hello.granted.groups.has("Reports") && !hello.granted.groups.has("General"));
    assert_eq!(hello.offer.runtimes, ["script".into()]);
}

#[test]
fn an_attempt_that_is_lost_is_retried_by_a_policy_for_losses() {
    let (mut machine, worker) = machine(Hello { slots: 9, ..hello(runtime("script")) });
    let (lost, timed_out) =
        (granted(&mut machine, "backup", 1), granted(&mut machine, "backup", 2));
    let (lost, timed_out) = (lost.expect("a grant"), timed_out.expect("a grant"));
    let mut effects = Vec::new();
    let outcome = Outcome::TimedOut;
    let report =
        ResultReport { fence: timed_out, outcome, last_log_seq: 0, ran_us: 9, killed: false };
    machine.receive(Tick(2), &worker, Message::Result(report), &mut effects);
    let released = Released { fence: lost, how: ReleasedHow::Killed };
    machine.receive(Tick(3), &worker, Message::Released(released), &mut effects);
    let ends = effects.iter().filter_map(|effect| match effect {
        CoordinatorEffect::Persist(Transition::Requeue { fence, .. }) => Some((*fence, true)),
        CoordinatorEffect::Persist(Transition::Finish { fence, .. }) => Some(((*fence)?, false)),
        _ => None,
    });
    assert_eq!(ends.collect::<Vec<_>>(), [(timed_out, false), (lost, true)]);
}

#[test]
fn a_worker_rejects_what_needs_a_runtime_that_it_does_not_offer() {
    let (mut coordinator, worker) = machine(hello(runtime("script")));
    let mut effects = Vec::new();
    let fence = granted(&mut coordinator, "backup", 1).expect("a grant");
    let reject = Reject { fence, why: RejectReason::UnknownAction };
    coordinator.receive(Tick(2), &worker, Message::Reject(reject), &mut effects);
    let grants = effects
        .iter()
        .filter(|effect| matches!(effect, CoordinatorEffect::Persist(Transition::Grant { .. })));
    assert_eq!(grants.count(), 0, "it is not granted there again: {effects:?}");
    assert!(!coordinator.catalogue()["backup"].available);
    // A worker of an earlier version says nothing of runtimes.
    let text = r#"{"name": "old", "slots": 1, "offer": {"actions": []}}"#;
    let old: Hello = serde_json::from_str(text).expect("a hello");
    assert!(old.offer.runtimes.is_empty());
    let written = serde_json::to_string(&hello(ActionSet::default())).expect("JSON");
    assert!(!written.contains("runtimes"), "{written}");
}

#[test]
fn an_execution_that_was_prepared_before_its_action_was_deployed_is_refused() {
    let (mut machine, _) = machine(hello(runtime("script")));
    let id = ExecutionId::from_u128(1);
    let execution = Execution::new(id, "backup", Json::empty_object());
    let mut effects = Vec::new();
    let refused = machine.submit(Tick(1), Arc::new(execution), &mut effects);
    let error = refused.expect_err("it could never run");
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.message().contains("submit it again"), "{error}");
    assert_eq!(effects, []);
}
