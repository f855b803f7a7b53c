//! The coordinator's machine, driven by hand.

use std::sync::Arc;
use std::time::Duration;

use tinpot_core::executor::ActionSet;
use tinpot_core::protocol::{
    Beat, BeatAck, CallState, CoordinatorEffect, CoordinatorMachine, Drain, Epoch, Fence, Frame,
    Goodbye, Hello, Message, ProtocolConfig, Released, ReleasedHow, ResultReport, Tick, WhoIsThere,
    WorkerEffect, WorkerMachine, WorkerProfile,
};
use tinpot_core::store::Transition;
use tinpot_core::{
    Action, ErrorKind, Execution, ExecutionId, Json, LoadError, Outcome, Refusal, WorkerId,
};

fn execution(number: u128) -> Arc<Execution> {
    let id = ExecutionId::from_u128(number);
    Arc::new(Execution::new(id, "noop", Json::empty_object()))
}

pub(crate) fn hello(offer: ActionSet) -> Hello {
    Hello { name: "w".into(), slots: 1, offer, ..Hello::default() }
}

fn profile() -> WorkerProfile {
    WorkerProfile {
        id: WorkerId::new("w-1").expect("an id"),
        name: "w".into(),
        queues: vec![],
        groups: vec![],
        slots: 1,
        clean_slate: vec![],
        version: String::new(),
        started_at: None,
        pull: false,
        lease: None,
    }
}

fn introduced() -> (CoordinatorMachine, WorkerId) {
    let mut machine =
        CoordinatorMachine::new(ProtocolConfig::default(), Epoch { instance: 1, number: 1 });
    let worker = WorkerId::new("w-1").expect("an id");
    let offer = ActionSet::new([Action::new("noop").expect("a name")]);
    let mut effects = Vec::new();
    machine.receive(Tick(0), &worker, Message::Hello(hello(offer)), &mut effects);
    machine.receive(Tick(0), &worker, beat(1, vec![]), &mut effects);
    (machine, worker)
}

fn beat(seq: u64, held: Vec<Fence>) -> Message {
    Message::Beat(Beat { seq, free: 1, held, epoch: Some(Epoch { instance: 1, number: 1 }) })
}

fn granted(effects: &[CoordinatorEffect]) -> Fence {
    let fence = effects.iter().find_map(|effect| match effect {
        CoordinatorEffect::Persist(Transition::Grant { fence, .. }) => Some(*fence),
        _ => None,
    });
    fence.expect("a grant")
}

#[test]
fn a_report_that_waits_for_its_acknowledgement_is_not_dropped() {
    let (mut machine, worker) = introduced();
    let mut effects = Vec::new();
    machine.submit(Tick(1), execution(1), &mut effects).expect("accepted");
    let fence = granted(&effects);
    let outcome = Outcome::Succeeded(Json::null());
    let report =
        Message::Result(ResultReport { fence, outcome, last_log_seq: 3, ran_us: 9, killed: false });
    effects.clear();
    machine.receive(Tick(2), &worker, report, &mut effects);
    machine.receive(Tick(2), &worker, beat(2, vec![fence]), &mut effects);
    let drops = effects.iter().find_map(|effect| match effect {
        CoordinatorEffect::Send(_, Message::BeatAck(ack)) => Some(ack.drop.clone()),
        _ => None,
    });
    assert_eq!(drops, Some(vec![]), "{effects:?}");
}

#[test]
fn a_worker_that_misses_its_beats_is_given_nothing_and_its_actions_are_unavailable() {
    let (mut machine, worker) = introduced();
    assert!(machine.catalogue()["noop"].available);
    let later = Tick(0) + ProtocolConfig::default().beat_interval * 3;
    let mut effects = Vec::new();
    machine.tick(later, &mut effects);
    assert!(!machine.catalogue()["noop"].available);
    machine.submit(later, execution(1), &mut effects).expect("accepted");
    let grants = |effects: &[CoordinatorEffect]| {
        effects
            .iter()
            .filter(|effect| matches!(effect, CoordinatorEffect::Persist(Transition::Grant { .. })))
            .count()
    };
    assert_eq!(grants(&effects), 0, "{effects:?}");
    machine.receive(later, &worker, beat(2, vec![]), &mut effects);
    assert_eq!(grants(&effects), 1, "{effects:?}");
    assert!(machine.catalogue()["noop"].available);
}

#[test]
fn a_worker_that_has_to_introduce_itself_again_is_given_nothing_until_it_does() {
    let (mut machine, worker) = introduced();
    let mut effects = Vec::new();
    machine.expect_hello(&worker);
    machine.submit(Tick(1), execution(1), &mut effects).expect("accepted");
    machine.receive(Tick(2), &worker, beat(2, vec![]), &mut effects);
    let grants = |effects: &[CoordinatorEffect]| {
        let is_grant = |e: &&_| matches!(e, CoordinatorEffect::Persist(Transition::Grant { .. }));
        effects.iter().filter(is_grant).count()
    };
    assert_eq!(grants(&effects), 0, "{effects:?}");
    let asks = |e: &_| matches!(e, CoordinatorEffect::Send(_, Message::WhoIsThere(_)));
    assert!(effects.iter().any(asks), "{effects:?}");
    let offer = ActionSet::new([Action::new("noop").expect("a name")]);
    machine.receive(Tick(3), &worker, Message::Hello(hello(offer)), &mut effects);
    machine.receive(Tick(4), &worker, beat(3, vec![]), &mut effects);
    assert_eq!(grants(&effects), 1, "{effects:?}");
}

#[test]
fn a_worker_uses_the_lease_of_its_coordinator_or_its_own() {
    let own = ProtocolConfig::default();
    let ack = |terms: &str| {
        let text = format!(
            r#"{{"v":1,"messages":[{{"beat_ack":{{"epoch":"1.1","seq_echo":1{terms}}}}}]}}"#
        );
        Frame::decode(text.as_bytes()).expect("a frame").0.messages.remove(0)
    };
    // The first message comes from a coordinator of the previous version, the second from this one.
    for (terms, beat) in [
        ("", own.beat_interval),
        (r#","lease_ms":6000,"beat_ms":1500"#, Duration::from_millis(1_500)),
    ] {
        let offer = Arc::new(ActionSet::new([Action::new("noop").expect("a name")]));
        let mut machine = WorkerMachine::new(own.clone(), profile(), offer);
        let mut effects = Vec::new();
        machine.link_up(Tick(0), &mut effects);
        machine.receive(Tick(1), ack(terms), &mut effects);
        assert_eq!(machine.wake_at(), Some(Tick(1) + beat), "{terms}");
    }
}

#[test]
fn every_version_of_worker_gets_a_lease() {
    let (mut machine, worker) = introduced();
    let mut effects = Vec::new();
    // This message comes from a worker of the previous version.
    let text =
        r#"{"v":1,"from":"w-1","messages":[{"beat":{"seq":2,"free":1,"held":[],"epoch":"1.1"}}]}"#;
    let beat = Frame::decode(text.as_bytes()).expect("a frame").0.messages.remove(0);
    machine.receive(Tick(1), &worker, beat, &mut effects);
    let told = effects.iter().find_map(|effect| match effect {
        CoordinatorEffect::Send(_, Message::BeatAck(ack)) => Some((ack.lease, ack.beat_interval)),
        _ => None,
    });
    let config = ProtocolConfig::default();
    assert_eq!(told, Some((Some(config.worker_lease), Some(config.beat_interval))));
}

#[test]
fn kinds_of_errors_have_stable_names_and_the_earlier_ones_are_read() {
    let read = |kind: &str| {
        let text = format!(r#"{{"refused":{{"kind":"{kind}","message":"no"}}}}"#);
        serde_json::from_str::<CallState>(&text).expect("a state")
    };
    for kind in ["not_found", "NotFound"] {
        let message = "no".to_owned();
        assert_eq!(read(kind), CallState::Refused { kind: ErrorKind::NotFound, message });
    }
    let refused = CallState::Refused { kind: ErrorKind::InvalidParameters, message: "no".into() };
    let text = serde_json::to_string(&refused).expect("JSON");
    assert_eq!(text, r#"{"refused":{"kind":"invalid_parameters","message":"no"}}"#);
    assert!(matches!(read("of_tomorrow"), CallState::Refused { kind: ErrorKind::Other, .. }));
}

/// Returns the granted executions, in order.
fn grants(effects: &[CoordinatorEffect]) -> Vec<u128> {
    let grant = |effect: &CoordinatorEffect| match effect {
        CoordinatorEffect::Persist(Transition::Grant { execution, .. }) => {
            Some(execution.as_u128())
        }
        _ => None,
    };
    effects.iter().filter_map(grant).collect()
}

#[test]
fn attempts_given_back_to_a_paused_queue_wait_until_it_is_resumed() {
    let (mut machine, worker) = introduced();
    let mut effects = Vec::new();
    machine.submit(Tick(1), execution(1), &mut effects).expect("accepted");
    machine.submit(Tick(2), execution(2), &mut effects).expect("accepted");
    let fence = granted(&effects);
    machine.pause_queue(Tick(3), "default", &mut effects).expect("it is known");
    effects.clear();
    let back = Released { fence, how: ReleasedHow::NeverRan };
    machine.receive(Tick(4), &worker, Message::Released(back), &mut effects);
    machine.receive(Tick(5), &worker, beat(2, vec![]), &mut effects);
    assert!(grants(&effects).is_empty(), "{effects:?}");
    effects.clear();
    machine.resume_queue(Tick(6), "default", &mut effects).expect("it is known");
    assert_eq!(grants(&effects), [1], "{effects:?}");
    let resumed = CoordinatorEffect::Persist(Transition::Resume { queue: "default".into() });
    assert_eq!(effects[0], resumed, "it is resumed before anything is granted");
}

#[test]
fn a_queue_is_paused_once_however_often_that_is_asked() {
    let (mut machine, _) = introduced();
    let mut effects = Vec::new();
    for _ in 0..3 {
        machine.pause_queue(Tick(3), "default", &mut effects).expect("it is known");
    }
    assert_eq!(effects.len(), 1, "{effects:?}");
    effects.clear();
    for _ in 0..3 {
        machine.resume_queue(Tick(4), "default", &mut effects).expect("it is known");
    }
    assert_eq!(effects.len(), 1, "{effects:?}");
    machine.pause_queue(Tick(5), "nowhere", &mut effects).expect_err("it is unknown");
}

#[test]
fn a_worker_is_asked_to_drain_until_it_confirms() {
    let (mut machine, worker) = introduced();
    let drains = |effects: &[CoordinatorEffect]| {
        let drain = |effect: &&CoordinatorEffect| {
            matches!(effect, CoordinatorEffect::Send(_, Message::Drain(_)))
        };
        effects.iter().filter(drain).count()
    };
    let mut effects = Vec::new();
    machine.drain_worker(Tick(1), &worker, &mut effects).expect("it lives");
    machine.drain_worker(Tick(1), &worker, &mut effects).expect("it lives");
    assert_eq!(drains(&effects), 1, "{effects:?}");
    machine.submit(Tick(2), execution(1), &mut effects).expect("accepted");
    assert!(grants(&effects).is_empty(), "{effects:?}");
    assert!(!machine.catalogue()["noop"].available);
    let interval = ProtocolConfig::default().resend_interval;
    for times in 1..4 {
        effects.clear();
        machine.tick(Tick(1) + interval * times, &mut effects);
        assert_eq!(drains(&effects), 1, "{effects:?}");
    }
    let hello = |slots| {
        let offer = ActionSet::new([Action::new("noop").expect("a name")]);
        let (name, version) = ("w".to_owned(), String::new());
        let (queues, groups, clean_slate, epoch, started_at) = Default::default();
        Message::Hello(Hello {
            name,
            queues,
            groups,
            slots,
            offer,
            clean_slate,
            epoch,
            version,
            started_at,
            ..Hello::default()
        })
    };
    effects.clear();
    machine.receive(Tick(1) + interval * 4, &worker, hello(1), &mut effects);
    assert!(drains(&effects) >= 1, "it has not heard: {effects:?}");
    assert!(grants(&effects).is_empty(), "{effects:?}");
    machine.receive(Tick(1) + interval * 4, &worker, hello(0), &mut effects);
    effects.clear();
    machine.tick(Tick(1) + interval * 6, &mut effects);
    assert_eq!(drains(&effects), 0, "{effects:?}");
}

/// Two coordinators with a store each, in one namespace: a worker follows one of them.
#[test]
fn a_worker_that_follows_the_coordinator_of_another_store_is_a_known_problem() {
    let (mut machine, from) = introduced();
    let mut effects = Vec::new();
    let mut beats = |machine: &mut CoordinatorMachine, seq: u64, instance: u32| {
        let epoch = Some(Epoch { instance, number: 1 });
        let beat = Beat { seq, free: 1, held: vec![], epoch };
        machine.receive(Tick(seq), &from, Message::Beat(beat), &mut effects);
        let worker = machine.workers(Tick(seq)).swap_remove(0);
        let problem = worker.load_errors.iter().find(|error| error.blocking).cloned();
        (worker.actions.len(), problem.map(|error| error.message))
    };
    assert_eq!(beats(&mut machine, 10, 1), (1, None));
    let (actions, problem) = beats(&mut machine, 11, 2);
    let problem = problem.expect("a problem");
    assert!(actions == 0 && problem.contains("which has another store"), "{problem}");
    assert_eq!(beats(&mut machine, 12, 1), (1, None));
}

/// Declares a worker dead in the name of another one.
fn declares_dead(machine: &mut CoordinatorMachine, now: Tick, by: &str) -> Vec<CoordinatorEffect> {
    let hello = Hello {
        name: "w".into(),
        slots: 1,
        offer: ActionSet::default(),
        clean_slate: vec![WorkerId::new("w-1").expect("an id")],
        ..Hello::default()
    };
    let (by, mut effects) = (WorkerId::new(by).expect("an id"), Vec::new());
    machine.receive(now, &by, Message::Hello(hello), &mut effects);
    effects
}

fn is_lost(effects: &[CoordinatorEffect]) -> bool {
    let lost = |effect: &CoordinatorEffect| {
        matches!(
            effect,
            CoordinatorEffect::Persist(Transition::Finish { outcome: Outcome::Lost, .. })
        )
    };
    effects.iter().any(lost)
}

fn refused(effects: &[CoordinatorEffect]) -> Vec<Refusal> {
    let reason = |effect: &CoordinatorEffect| match effect {
        CoordinatorEffect::Refused { reason, .. } => Some(*reason),
        _ => None,
    };
    effects.iter().filter_map(reason).collect()
}

#[test]
fn a_worker_is_declared_dead_by_its_successor_only_and_only_once_it_is_silent() {
    let interval = ProtocolConfig::default().beat_interval;
    let (mut machine, worker) = introduced();
    let mut effects = Vec::new();
    machine.submit(Tick(1), execution(1), &mut effects).expect("accepted");
    let fence = granted(&effects);
    let foreign = declares_dead(&mut machine, Tick(2), "other-1");
    assert_eq!(refused(&foreign), [Refusal::CleanSlate]);
    // Its successor is not believed while it beats.
    let mut effects = declares_dead(&mut machine, Tick(2), "w-2");
    for seq in 2..10 {
        let now = Tick(2) + interval * (seq as u32 - 1);
        machine.receive(now, &worker, beat(seq, vec![fence]), &mut effects);
        machine.tick(now, &mut effects);
    }
    assert!(!is_lost(&effects));
    assert_eq!(refused(&effects), [Refusal::CleanSlate]);
    // It is, once it is silent for three beats.
    let last = Tick(2) + interval * 8;
    let mut effects = declares_dead(&mut machine, last + interval, "w-2");
    machine.tick(last + interval * 3 - Duration::from_millis(1), &mut effects);
    assert!(!is_lost(&effects));
    machine.tick(last + interval * 3, &mut effects);
    assert!(is_lost(&effects));
    let mut effects = Vec::new();
    machine.receive(last + interval * 4, &worker, beat(99, vec![fence]), &mut effects);
    assert_eq!(refused(&effects), [Refusal::Excluded]);
}

#[test]
fn a_worker_follows_a_later_epoch_only_by_the_echo_of_its_own_beat() {
    let offer = Arc::new(ActionSet::default());
    let mut machine = WorkerMachine::new(ProtocolConfig::default(), profile(), offer);
    let mut effects = Vec::new();
    machine.link_up(Tick(0), &mut effects);
    let followed = |effects: &[WorkerEffect]| {
        let epoch = |effect: &WorkerEffect| match effect {
            WorkerEffect::Send(Message::Beat(beat)) => Some(beat.epoch),
            _ => None,
        };
        effects.iter().rev().find_map(epoch).expect("a beat")
    };
    let ack = |number, seq_echo| {
        let epoch = Epoch { instance: 1, number };
        let (lease, beat_interval) = (None, None);
        let (drop, cancel) = (vec![], vec![]);
        Message::BeatAck(BeatAck {
            epoch,
            seq_echo,
            settled: 0,
            lease,
            beat_interval,
            drop,
            cancel,
        })
    };
    let first = Some(Epoch { instance: 1, number: 1 });
    machine.receive(Tick(1), ack(1, 1), &mut effects);
    assert_eq!(followed(&effects), first);
    let forged = Epoch { instance: 1, number: u32::MAX };
    let claims = [
        Message::WhoIsThere(WhoIsThere { epoch: forged }),
        Message::Drain(Drain { epoch: forged }),
        ack(u32::MAX, 1_000),
    ];
    for claim in claims {
        machine.receive(Tick(2), claim, &mut effects);
        assert_eq!(followed(&effects), first);
    }
    assert!(!effects.contains(&WorkerEffect::DrainRequested));
    machine.receive(Tick(3), ack(2, 2), &mut effects);
    assert_eq!(followed(&effects), Some(Epoch { instance: 1, number: 2 }));
}

#[test]
fn a_caller_holds_so_many_executions_and_bytes_and_others_are_not_affected() {
    let config =
        ProtocolConfig::default().max_unfinished_of_caller(2).max_unfinished_bytes_of_caller(20);
    let mut machine = CoordinatorMachine::new(config, Epoch { instance: 1, number: 1 });
    let mut effects = Vec::new();
    let by = |number: u128, caller: &str, bytes: usize| {
        let mut execution = (*execution(number)).clone();
        execution.caller = caller.into();
        execution.parameters = Json::parse(format!("\"{}\"", "x".repeat(bytes - 2))).expect("JSON");
        Arc::new(execution)
    };
    let mut submit = |machine: &mut CoordinatorMachine, execution| {
        machine.submit(Tick(1), execution, &mut effects).map_err(|error| error.to_string())
    };
    submit(&mut machine, by(1, "ada", 8)).expect("accepted");
    submit(&mut machine, by(2, "ada", 8)).expect("accepted");
    let third = submit(&mut machine, by(3, "ada", 2)).expect_err("one too many");
    assert!(third.contains("2 executions of this user or program have not ended"), "{third}");
    for caller in ["", "anonymous", "eve"] {
        let start = caller.len() as u128 * 10;
        submit(&mut machine, by(start + 100, caller, 10)).expect("accepted");
        submit(&mut machine, by(start + 101, caller, 10)).expect("accepted");
    }
    let id = ExecutionId::from_u128(1);
    machine.cancel(Tick(2), id, false, &mut Vec::new()).expect("it waits");
    let large = submit(&mut machine, by(4, "ada", 13)).expect_err("too large");
    assert!(large.contains("have 8 bytes of parameters, and may have 20"), "{large}");
    submit(&mut machine, by(5, "ada", 12)).expect("accepted");
}

#[test]
fn a_worker_with_plain_frames_gets_what_waits_behind_secrets() {
    let mut machine =
        CoordinatorMachine::new(ProtocolConfig::default(), Epoch { instance: 1, number: 1 });
    let offer = || Message::Hello(hello(ActionSet::new([Action::new("noop").expect("a name")])));
    let (plain, sealed) =
        (WorkerId::new("p-1").expect("an id"), WorkerId::new("s-1").expect("an id"));
    let mut effects = Vec::new();
    machine.receive_plain(Tick(0), &plain, offer(), &mut effects);
    machine.receive_plain(Tick(0), &plain, beat(1, vec![]), &mut effects);
    let secret = |number| {
        let mut execution = (*execution(number)).clone();
        execution.secrets = vec!["/password".to_owned()];
        Arc::new(execution)
    };
    let granted_to = |effects: &mut Vec<CoordinatorEffect>| -> Vec<(ExecutionId, WorkerId)> {
        let grants = effects.drain(..).filter_map(|effect| match effect {
            CoordinatorEffect::Persist(Transition::Grant { execution, worker, .. }) => {
                Some((execution, worker))
            }
            _ => None,
        });
        grants.collect()
    };
    machine.submit(Tick(1), secret(1), &mut effects).expect("accepted");
    assert_eq!(granted_to(&mut effects), []);
    machine.submit(Tick(1), execution(2), &mut effects).expect("accepted");
    assert_eq!(granted_to(&mut effects), [(ExecutionId::from_u128(2), plain.clone())]);
    let why = machine.waits_for(ExecutionId::from_u128(1)).expect("a reason");
    assert!(why.contains("secret parameters"), "{why}");
    machine.submit(Tick(1), execution(3), &mut effects).expect("accepted");
    machine.receive(Tick(2), &sealed, offer(), &mut effects);
    machine.receive(Tick(2), &sealed, beat(1, vec![]), &mut effects);
    assert_eq!(granted_to(&mut effects), [(ExecutionId::from_u128(1), sealed)]);
}

/// A worker that offers `noop` for these teams, and has said so.
fn worker_of(machine: &mut CoordinatorMachine, id: &str, teams: &[&str]) -> WorkerId {
    let worker = WorkerId::new(id).expect("an id");
    let offer = ActionSet::new([Action::new("noop").expect("a name")]);
    let teams = teams.iter().map(|team| Arc::from(*team)).collect();
    let hello = Hello { teams, ..hello(offer) };
    machine.receive(Tick(0), &worker, Message::Hello(hello), &mut Vec::new());
    machine.receive(Tick(0), &worker, beat(1, vec![]), &mut Vec::new());
    worker
}

fn of_team(number: u128, team: &str) -> Arc<Execution> {
    let mut execution = (*execution(number)).clone();
    execution.team = team.into();
    Arc::new(execution)
}

/// The workers that were granted attempts.
fn grantees(effects: &[CoordinatorEffect]) -> Vec<&str> {
    let grantee = |effect| match effect {
        &CoordinatorEffect::Persist(Transition::Grant { ref worker, .. }) => Some(worker.as_str()),
        _ => None,
    };
    effects.iter().filter_map(grantee).collect()
}

#[test]
fn an_execution_runs_on_a_worker_of_its_team_and_others_do_not_wait_behind_it() {
    let epoch = Epoch { instance: 1, number: 1 };
    let mut machine = CoordinatorMachine::new(ProtocolConfig::default(), epoch);
    worker_of(&mut machine, "red-1", &["red"]);
    let mut effects = Vec::new();
    for (number, team) in [(1, ""), (2, "blue"), (3, "red"), (4, "red")] {
        machine.submit(Tick(1), of_team(number, team), &mut effects).expect("accepted");
    }
    assert_eq!(grantees(&effects), ["red-1"], "{effects:?}");
    assert!(machine.catalogue()["red/noop"].available);
    assert_eq!(machine.catalogue().len(), 1, "a name of one team is none of another");
    effects.clear();
    worker_of(&mut machine, "both-1", &["blue", "default"]);
    machine.receive(
        Tick(2),
        &WorkerId::new("both-1").expect("an id"),
        beat(2, vec![]),
        &mut effects,
    );
    assert_eq!(machine.unfinished(), 4);
    let keys: Vec<&str> = machine.catalogue().keys().map(|key| &**key).collect();
    assert_eq!(keys, ["blue/noop", "noop", "red/noop"]);
    let workers = machine.workers(Tick(2));
    let both = workers.iter().find(|worker| worker.id.as_str() == "both-1").expect("a worker");
    assert_eq!(both.teams, [Arc::from("blue"), Arc::from("default")]);
    assert_eq!(both.executions.len(), 1, "it has one slot");
}

#[test]
fn the_reason_of_a_wait_says_nothing_of_the_workers_of_other_teams() {
    let epoch = Epoch { instance: 1, number: 1 };
    let mut machine = CoordinatorMachine::new(ProtocolConfig::default(), epoch);
    let own = worker_of(&mut machine, "red-1", &["red"]);
    machine.submit(Tick(1), of_team(1, "red"), &mut Vec::new()).expect("accepted");
    machine.submit(Tick(1), of_team(2, "red"), &mut Vec::new()).expect("accepted");
    let why = |machine: &CoordinatorMachine| machine.waits_for(ExecutionId::from_u128(2));
    assert_eq!(why(&machine).as_deref(), Some("all matching worker slots are busy"));
    let goodbye = Message::Goodbye(Goodbye { held: Vec::new() });
    machine.receive(Tick(2), &own, goodbye, &mut Vec::new());
    let alone = why(&machine);
    assert_eq!(alone.as_deref(), Some("no live worker serves this queue"));
    let foreign = worker_of(&mut machine, "blue-1", &["blue"]);
    assert_eq!(why(&machine), alone, "another team has a worker for the queue");
    let mut broken =
        hello(ActionSet::default().load_error(LoadError::new("x", "canary").blocking()));
    broken.teams = [Arc::from("blue")].into_iter().collect();
    machine.receive(Tick(3), &foreign, Message::Hello(broken), &mut Vec::new());
    assert_eq!(why(&machine), alone, "it cannot start anything");
}

#[test]
fn a_hello_that_was_delayed_takes_back_no_newer_offer() {
    let epoch = Epoch { instance: 1, number: 1 };
    let mut machine = CoordinatorMachine::new(ProtocolConfig::default(), epoch);
    let worker = WorkerId::new("w-1").expect("an id");
    let mut offers = |seq: u64, runtimes: &[&str]| {
        let mut offer = ActionSet::default();
        offer.runtimes = runtimes.iter().copied().map(Into::into).collect();
        let hello = Hello { seq, ..hello(offer) };
        machine.receive(Tick(seq), &worker, Message::Hello(hello), &mut Vec::new());
        machine.workers(Tick(seq))[0].runtimes.len()
    };
    assert_eq!(offers(1, &[]), 0);
    assert_eq!(offers(7, &["process"]), 1);
    assert_eq!(offers(3, &[]), 1, "it was sent before the other");
    assert_eq!(offers(7, &["process"]), 1);
    assert_eq!(offers(9, &[]), 0);
    assert_eq!(offers(0, &["process", "script"]), 2, "of a worker that does not number them");
    assert_eq!(offers(7, &[]), 2);
}

#[test]
fn what_a_worker_says_of_teams_is_ignored() {
    let text = r#"{"name": "w", "slots": 1, "teams": ["red"],
        "offer": {"actions": [{"name": "noop", "team": "red"}]}}"#;
    let hello: Hello = serde_json::from_str(text).expect("a hello");
    assert!(hello.teams.is_empty());
    let epoch = Epoch { instance: 1, number: 1 };
    let mut machine = CoordinatorMachine::new(ProtocolConfig::default(), epoch);
    let worker = WorkerId::new("w-1").expect("an id");
    machine.receive(Tick(0), &worker, Message::Hello(hello), &mut Vec::new());
    let keys: Vec<&str> = machine.catalogue().keys().map(|key| &**key).collect();
    assert_eq!(keys, ["noop"]);
}

#[test]
fn a_team_pauses_its_part_of_a_queue() {
    let epoch = Epoch { instance: 1, number: 1 };
    let mut machine = CoordinatorMachine::new(ProtocolConfig::default(), epoch);
    let worker = worker_of(&mut machine, "both-1", &["red", "blue"]);
    let mut effects = Vec::new();
    machine.pause_queue(Tick(1), "red/default", &mut effects).expect("a known queue");
    machine.submit(Tick(1), of_team(1, "red"), &mut effects).expect("accepted");
    assert_eq!(grantees(&effects), [""; 0]);
    machine.submit(Tick(1), of_team(2, "blue"), &mut effects).expect("accepted");
    assert_eq!(grantees(&effects), ["both-1"]);
    let queues = machine.queues();
    let [queue] = &queues[..] else { panic!("{queues:?}") };
    assert_eq!((queue.paused_at, queue.paused_of_teams.len()), (None, 1), "{queue:?}");
    let fence = granted(&effects);
    let outcome = Outcome::Succeeded(Json::null());
    let report =
        Message::Result(ResultReport { fence, outcome, last_log_seq: 0, ran_us: 9, killed: false });
    machine.receive(Tick(2), &worker, report, &mut effects);
    effects.clear();
    machine.receive(Tick(2), &worker, beat(2, vec![]), &mut effects);
    assert_eq!(grantees(&effects), [""; 0], "it is paused still");
    machine.resume_queue(Tick(3), "red/default", &mut effects).expect("a known queue");
    assert_eq!(grantees(&effects), ["both-1"]);
    let unknown = machine.pause_queue(Tick(3), "red/other", &mut effects).expect_err("unknown");
    assert_eq!(unknown.kind(), ErrorKind::NotFound);
}

#[test]
fn a_worker_whose_key_serves_other_teams_is_not_heard_on_attempts() {
    let epoch = Epoch { instance: 1, number: 1 };
    let mut machine = CoordinatorMachine::new(ProtocolConfig::default(), epoch);
    let worker = worker_of(&mut machine, "web-1", &["blue"]);
    let mut effects = Vec::new();
    machine.submit(Tick(1), of_team(1, "blue"), &mut effects).expect("accepted");
    let fence = granted(&effects);
    let outcome = Outcome::Succeeded(Json::null());
    let report = ResultReport { fence, outcome, last_log_seq: 0, ran_us: 9, killed: false };
    let secret = tinpot_core::protocol::SecretGet { fence, name: "PASSWORD".into() };
    let hello = hello(ActionSet::new([Action::new("noop").expect("a name")]));
    let messages = [
        Message::Result(report),
        Message::SecretGet(secret),
        Message::Hello(hello),
        beat(2, vec![]),
    ];
    for message in messages {
        let is_other = |team: &'static str| {
            machine.is_of_other_teams(&worker, &message, |served| served == team)
        };
        assert!(is_other("red"), "{message:?}");
        assert!(!is_other("blue"), "{message:?}");
    }
}
