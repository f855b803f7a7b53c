//! Workers that say more of themselves than there is room for.

use tinpot_core::action::{ActionSet, LoadError};
use tinpot_core::protocol::{
    Beat, CoordinatorEffect, CoordinatorMachine, Epoch, Fence, Frame, Goodbye, Hello, Log, Message,
    ProtocolConfig, ResultReport, Tick,
};
use tinpot_core::store::Transition;
use tinpot_core::{
    Action, Coordinator, EnvironmentState, Execution, ExecutionId, FunctionExecutor, Json,
    MemoryNetwork, Outcome, PythonEnvironment, Refusal, SubmitOptions, Timestamp, Worker, WorkerId,
};

use crate::machine::hello;
use crate::support::{Nothing, available, submit};

const EPOCH: Epoch = Epoch { instance: 1, number: 1 };

fn machine() -> CoordinatorMachine {
    CoordinatorMachine::new(ProtocolConfig::default(), EPOCH)
}

fn named(prefix: &str, number: usize) -> ActionSet {
    let action = |n| Action::new(format!("{prefix}{n}")).expect("a name");
    ActionSet::new((0..number).map(action))
}

fn says(machine: &mut CoordinatorMachine, now: Tick, from: &str, hello: Hello) -> Vec<Refusal> {
    let (from, mut effects) = (WorkerId::new(from).expect("an id"), Vec::new());
    machine.receive(now, &from, Message::Hello(hello), &mut effects);
    let reason = |effect: CoordinatorEffect| match effect {
        CoordinatorEffect::Refused { reason, .. } => Some(reason),
        _ => None,
    };
    effects.into_iter().filter_map(reason).collect()
}

#[test]
fn an_offer_out_of_bounds_is_cut_and_says_so() {
    let mut machine = machine();
    let mut offer = named("a", 6_000);
    let name = "\u{1b}[2J".to_owned();
    let large = |name: &str| Action::new(name).expect("a name").description("x".repeat(9_000));
    offer.actions.insert(0, large("large").into());
    let mut slash = Action::new("slash").expect("a name");
    slash.name = "../b\n".into();
    offer.actions.insert(0, slash.into());
    for number in 0..500 {
        offer = offer.load_error(LoadError::new(format!("{number}.py"), "x".repeat(100_000)));
    }
    let version = format!("1\n{}", "0".repeat(1_000));
    let hello = Hello { name, version, ..hello(offer) };
    assert_eq!(says(&mut machine, Tick(0), "w-1", hello), []);
    let worker = &machine.workers(Tick(0))[0];
    assert_eq!((worker.name.as_str(), worker.version.len()), ("w", 64));
    assert!(!worker.version.contains('\n'));
    assert_eq!(worker.actions.len(), 5_000);
    assert_eq!(machine.catalogue().len(), 5_000);
    let problems = &worker.load_errors;
    assert_eq!(problems.len(), 100);
    let starts = |n: usize, text: &str| assert!(problems[n].message.contains(text), "{problems:?}");
    starts(0, "must not have '/'");
    starts(1, "description must have at most 8192 bytes (got 9000)");
    starts(2, "1000 actions are not offered: a worker may offer at most 5000");
    starts(99, "405 more problems");
    assert!(problems.iter().all(|problem| problem.message.len() < 2_100));
}

#[test]
fn python_environments_out_of_bounds_are_cut() {
    let mut machine = machine();
    let mut offer = named("a", 1);
    for number in 0..150 {
        let place = format!("{number}/requirements.txt");
        let state = EnvironmentState::Failed;
        let mut environment = PythonEnvironment::new(place, state, Timestamp(1));
        environment.asked = vec!["x".repeat(1_000); 100];
        environment.reason = "x".repeat(100_000);
        environment.log = format!("{}ö end", "x".repeat(100_000));
        offer.environments.push(environment);
    }
    assert_eq!(says(&mut machine, Tick(0), "w-1", hello(offer)), []);
    let worker = &machine.workers(Tick(0))[0];
    assert_eq!(worker.environments.len(), 100);
    let first = &worker.environments[0];
    assert_eq!((first.asked.len(), first.log.len()), (32, 8 * 1024));
    assert!(first.log.ends_with("ö end") && first.reason.len() < 2_100, "{first:?}");
    let logs: usize = worker.environments.iter().map(|environment| environment.log.len()).sum();
    assert_eq!(logs, 64 * 1024);
    assert!(worker.load_errors[0].message.starts_with("50 Python environments are not shown"));
    // They count for what all workers say.
    let many = |number: usize| {
        let mut offer = named("a", 1);
        let mut environment =
            PythonEnvironment::new("x", EnvironmentState::Ready, Timestamp(number as u64));
        environment.asked = vec!["x".repeat(500); 32];
        offer.environments = vec![environment; 100];
        hello(offer)
    };
    let refused = (0..100).find(|number| {
        let refused = says(&mut machine, Tick(0), &format!("n{number}-1"), many(*number));
        refused == [Refusal::Workers]
    });
    assert!(refused.is_some_and(|number| number > 20), "{refused:?}");
}

#[test]
fn a_hello_with_labels_that_are_none_or_too_often_is_refused() {
    let mut machine = machine();
    let mut bad = hello(named("a", 1));
    bad.queues = vec!["a\nb".into()];
    assert_eq!(says(&mut machine, Tick(0), "w-1", bad), [Refusal::Hello]);
    assert!(machine.workers(Tick(0)).is_empty());
    let refused: Vec<_> =
        (0..20).flat_map(|_| says(&mut machine, Tick(0), "w-1", hello(named("a", 1)))).collect();
    assert_eq!(refused, [Refusal::Hello; 14]);
    // It is asked again at its next beat, but not before its answer could be taken.
    let is_asked = |machine: &mut CoordinatorMachine, now: Tick, from: &str, seq: u64| {
        let (from, mut effects) = (WorkerId::new(from).expect("an id"), Vec::new());
        let beat = Beat { seq, free: 1, held: vec![], epoch: Some(EPOCH) };
        machine.receive(now, &from, Message::Beat(beat), &mut effects);
        let asks = |effect: &CoordinatorEffect| {
            matches!(effect, CoordinatorEffect::Send(_, Message::WhoIsThere(_)))
        };
        effects.iter().any(asks)
    };
    assert!(!is_asked(&mut machine, Tick(999_999), "w-1", 1));
    assert!(is_asked(&mut machine, Tick(1_000_000), "w-1", 2));
    assert_eq!(says(&mut machine, Tick(1_000_001), "w-1", hello(named("a", 1))), []);
    // Nor is one that was refused as a whole, for a while.
    let mut bad = hello(named("a", 1));
    bad.queues = vec!["a\nb".into()];
    assert!(is_asked(&mut machine, Tick(0), "w-2", 1));
    assert_eq!(says(&mut machine, Tick(0), "w-2", bad), [Refusal::Hello]);
    assert!(!is_asked(&mut machine, Tick(1), "w-2", 2));
    assert!(is_asked(&mut machine, Tick(60_000_000), "w-2", 3));
}

#[test]
fn workers_of_one_name_are_bounded() {
    let mut machine = machine();
    for number in 0..1_000 {
        assert_eq!(says(&mut machine, Tick(0), &format!("w-{number}"), hello(named("a", 1))), []);
    }
    let refused = says(&mut machine, Tick(0), "w-1000", hello(named("a", 1)));
    assert_eq!(refused, [Refusal::Workers]);
    assert_eq!(says(&mut machine, Tick(0), "other-1", hello(named("a", 1))), []);
}

#[test]
fn new_actions_take_the_room_of_those_that_no_worker_offers() {
    let mut machine = machine();
    let step = 100_000;
    for number in 0..12 {
        let (id, now) = (format!("w-{number}"), Tick(number * step));
        let offer = named(&format!("a{number}-"), 2_000);
        assert_eq!(says(&mut machine, now, &id, hello(offer)), []);
        machine.tick(now, &mut Vec::new());
        if number > 0 {
            let (id, mut effects) = (WorkerId::new(&id).expect("an id"), Vec::new());
            machine.receive(now, &id, Message::Goodbye(Goodbye::default()), &mut effects);
        }
    }
    let known = machine.catalogue();
    assert!(known.len() <= 20_000);
    assert!(known["a0-1999"].available, "what is offered stays");
    assert!(known.contains_key("a11-0") && !known.contains_key("a1-0"));
}

fn of_team(team: &str, offer: ActionSet) -> Hello {
    Hello { teams: vec![team.into()], ..hello(offer) }
}

#[test]
fn a_team_does_not_take_the_room_of_others_for_actions() {
    let mut machine = machine();
    for number in 0..5 {
        let offer = named(&format!("a{number}-"), 2_000);
        assert_eq!(says(&mut machine, Tick(0), &format!("w-{number}"), of_team("red", offer)), []);
    }
    assert_eq!(machine.catalogue().len(), 5_000);
    let problems: Vec<String> = machine
        .workers(Tick(0))
        .into_iter()
        .flat_map(|worker| worker.load_errors)
        .map(|problem| problem.message)
        .collect();
    let beyond = "are not offered: the coordinator knows at most 5000 actions with 16777216 bytes \
                  of each team";
    assert_eq!(problems[0], format!("1000 actions {beyond}"));
    assert_eq!(says(&mut machine, Tick(0), "b-1", of_team("blue", named("a", 5_000))), []);
    assert_eq!(machine.catalogue().len(), 10_000);
    // A team has room for new actions in place of those that it offers no more.
    let (gone, mut effects) = (WorkerId::new("w-0").expect("an id"), Vec::new());
    machine.receive(Tick(1), &gone, Message::Goodbye(Goodbye::default()), &mut effects);
    machine.tick(Tick(1_000_000), &mut effects);
    let later = Tick(1_000_001);
    assert_eq!(says(&mut machine, later, "w-9", of_team("red", named("new", 1_000))), []);
    assert!(machine.catalogue().contains_key("red/new999"));
    assert_eq!(machine.catalogue().len(), 10_000);
}

#[test]
fn a_team_does_not_take_the_room_of_others_for_workers() {
    let mut machine = machine();
    let offer = || named("a", 1);
    for number in 0..2_500 {
        let id = format!("w{}-{number}", number / 500);
        assert_eq!(says(&mut machine, Tick(0), &id, of_team("red", offer())), []);
    }
    let refused = |machine: &mut CoordinatorMachine, hello| {
        says(machine, Tick(0), "further-1", hello) == [Refusal::Workers]
    };
    assert!(refused(&mut machine, of_team("red", offer())));
    assert!(!refused(&mut machine, of_team("blue", offer())));
    let both = Hello { teams: vec!["red".into(), "blue".into()], ..hello(offer()) };
    assert_eq!(says(&mut machine, Tick(0), "both-1", both), []);
    // One that is known may say hello again, and one that leaves makes room.
    assert_eq!(says(&mut machine, Tick(0), "w0-0", of_team("red", offer())), []);
    let (gone, mut effects) = (WorkerId::new("w0-1").expect("an id"), Vec::new());
    machine.receive(Tick(1), &gone, Message::Goodbye(Goodbye::default()), &mut effects);
    assert_eq!(says(&mut machine, Tick(1), "w9-1", of_team("red", offer())), []);
    assert_eq!(says(&mut machine, Tick(1), "w9-2", of_team("red", offer())), [Refusal::Workers]);
    // So is the size of what they say.
    let problem = || LoadError::new("x".repeat(2_000), "y".repeat(2_000));
    let long = || (0..100).fold(ActionSet::default(), |set, _| set.load_error(problem()));
    let taken = (0..60).filter(|number| {
        let id = format!("long-{number}");
        says(&mut machine, Tick(1), &id, of_team("green", long())).is_empty()
    });
    assert!((30..50).contains(&taken.count()));
}

#[test]
fn numbers_and_texts_of_the_wire_do_no_harm() {
    let mut machine = machine();
    let (from, mut effects) = (WorkerId::new("w-1").expect("an id"), Vec::new());
    says(&mut machine, Tick(0), "w-1", hello(named("a", 1)));
    for number in 1..=3 {
        let beat = Beat { seq: number, free: 1, held: vec![], epoch: Some(EPOCH) };
        machine.receive(Tick(number), &from, Message::Beat(beat), &mut effects);
        let id = ExecutionId::from_u128(number.into());
        let execution = Execution::new(id, "a0", Json::empty_object());
        machine.submit(Tick(number), execution.into(), &mut effects).expect("accepted");
        let fence = Fence { epoch: EPOCH, number };
        let outcome = Outcome::Succeeded(Json::null());
        let (last_log_seq, ran_us) = (u64::MAX, u64::MAX);
        let report = ResultReport { fence, outcome, last_log_seq, ran_us, killed: false };
        machine.receive(Tick(number), &from, Message::Result(report), &mut effects);
    }
    let ran = |effect: &CoordinatorEffect| match effect {
        CoordinatorEffect::Persist(Transition::Finish { ran, .. }) => *ran,
        _ => None,
    };
    let ran: Vec<_> = effects.iter().filter_map(ran).collect();
    assert_eq!(ran.len(), 3);
    assert!(ran.iter().all(|ran| ran.as_micros() == 1 << 53));
    let log = r#"{"v":1,"from":"w-1","messages":[{"log":{"fence":"1.1.1","first_seq":18446744073709551615,
        "time":0,"stream":"stdout","level":"info","lines":["a\nb","c"]}}]}"#;
    let (frame, _) = Frame::decode(log.as_bytes()).expect("a frame");
    let Message::Log(Log { chunk, .. }) = &frame.messages[0] else { panic!("{frame:?}") };
    assert_eq!(chunk.lines, ["a\\nb", "c"]);
    assert_eq!((chunk.last_seq(), chunk.after(7).is_some()), (u64::MAX - 1, true));
}

#[tokio::test]
async fn a_start_beyond_a_century_is_refused() {
    let network = MemoryNetwork::new();
    let coordinator = Coordinator::builder(network.transport()).start().await.expect("it starts");
    let executor = FunctionExecutor::builder()
        .action("nothing", |_, Nothing {}| async { Ok::<_, String>(()) })
        .build()
        .expect("an executor");
    let worker = Worker::builder(network.transport()).executor(executor);
    let _worker = worker.start().await.expect("a worker");
    available(&coordinator, "nothing").await;
    let far = SubmitOptions::new().not_before(Timestamp(u64::MAX));
    let error = submit(&coordinator, "nothing", far).await.expect_err("too far");
    assert!(error.message().contains("at most 100 years from now"), "{error}");
}
