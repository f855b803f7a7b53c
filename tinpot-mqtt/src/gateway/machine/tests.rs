use std::sync::Arc;
use std::time::{Duration, Instant};

use tinpot_core::Names;

use super::{Effect, Limits, Machine, OFFERS};
use crate::gateway::rule::Topics;
use crate::gateway::trigger::Incoming;

fn machine(names: Names, rate: u32) -> Machine {
    let topics = Topics::new("tinpot", vec!["home".to_owned()], Vec::new()).expect("a prefix");
    let limits = Limits { rate, max_bytes: 1000, timeout: Duration::from_secs(60) };
    Machine::new("tinpot", "home", Arc::new(topics), names, limits, Instant::now())
}

fn message<'a>(topic: &'a str, payload: &'a str) -> Incoming<'a> {
    Incoming { topic, payload: payload.as_bytes(), ..Incoming::default() }
}

fn runs(effects: &[Effect]) -> usize {
    effects.iter().filter(|effect| matches!(effect, Effect::Run(_))).count()
}

fn warnings(effects: &[Effect]) -> Vec<&str> {
    let text = |effect: &'_ Effect| match effect {
        Effect::Warn(text) => Some(text.as_str().to_owned()),
        _ => None,
    };
    effects.iter().filter_map(text).map(|text| &*text.leak()).collect()
}

#[test]
fn a_repetition_of_the_broker_does_not_run_again() {
    let (mut machine, now) = (machine(Names::none(), 1000), Instant::now());
    let first = message("home/actions/a/trigger", "{}");
    let again = Incoming { duplicate: true, ..first };
    assert_eq!(runs(&machine.receive(now, &first)), 1);
    assert_eq!(runs(&machine.receive(now, &again)), 0);
    // A client that means it sends a new message.
    assert_eq!(runs(&machine.receive(now, &first)), 1);
    // The first delivery of this one did not arrive.
    let other = Incoming { duplicate: true, ..message("home/actions/b/trigger", "{}") };
    assert_eq!(runs(&machine.receive(now, &other)), 1);
    assert_eq!(runs(&machine.receive(now + Duration::from_secs(61), &again)), 1);
}

#[test]
fn what_is_remembered_of_triggers_is_bounded() {
    let (mut machine, now) = (machine(Names::none(), 1_000_000), Instant::now());
    for number in 0..5000 {
        let payload = format!(r#"{{"execution_id": "{number}"}}"#);
        machine.receive(now, &message("home/actions/a/trigger", &payload));
    }
    assert!(machine.recent.len() <= super::REMEMBERED);
}

#[test]
fn a_retained_trigger_is_ignored_and_said_once() {
    let (mut machine, now) = (machine(Names::none(), 1000), Instant::now());
    let kept = Incoming { retained: true, ..message("home/actions/a/trigger", "{}") };
    let first = machine.receive(now, &kept);
    assert!(warnings(&first)[0].contains("home/actions/a/trigger"), "{first:?}");
    assert_eq!(runs(&first), 0);
    assert!(machine.receive(now, &kept).is_empty());
}

#[test]
fn a_flood_costs_few_answers_and_few_lines() {
    let (mut machine, start) = (machine(Names::none(), 10), Instant::now());
    let (mut ran, mut said, mut answered) = (0, 0, 0);
    for number in 0..10_000 {
        let now = start + Duration::from_micros(number * 100);
        let effects = machine.receive(now, &message("home/actions/a/trigger", ""));
        ran += runs(&effects);
        said += warnings(&effects).len();
        answered += effects.iter().filter(|one| matches!(one, Effect::Publish(_))).count();
    }
    assert!((28..=31).contains(&ran), "{ran}");
    assert!(said <= 6, "{said}");
    assert!((1..=4).contains(&answered), "{answered}");
    let effects =
        machine.receive(start + Duration::from_secs(10), &message("home/actions/a/trigger", ""));
    assert!(warnings(&effects)[0].contains("were refused"), "{effects:?}");
}

#[test]
fn only_allowed_names_are_offered_and_not_too_many() {
    let (mut machine, now) = (machine(Names::of(["w*"]), 1000), Instant::now());
    let refused = machine.receive(now, &message("home/actions/deploy", "{}"));
    assert!(warnings(&refused)[0].contains("with this name"), "{refused:?}");
    for number in 0..2 * OFFERS {
        machine.receive(now, &message(&format!("home/actions/w{number}"), "{}"));
    }
    assert_eq!(machine.offers().len(), OFFERS);
    // A trigger of it is for the client, and its removal counts.
    assert!(machine.receive(now, &message("home/actions/w1/trigger", "")).is_empty());
    machine.receive(now, &message("home/actions/w1", ""));
    assert_eq!(machine.offers().len(), OFFERS - 1);
    machine.connected();
    assert!(machine.offers().is_empty());
}

#[test]
fn bad_announcements_have_a_reason() {
    for (payload, why) in [
        ("on", "a JSON object"),
        ("[]", "a JSON object"),
        (r#"{"parameters": {"a": 5}}"#, "parameter \"a\" must be an object"),
        (r#"{"parameters": {"a": {"type": "integr"}}}"#, "unknown type \"integr\""),
        (r#"{"timeout": 0}"#, "timeout must be from 0.1 to 86400"),
        (r#"{"trigger_topic": "office/x"}"#, "trigger_topic must be home/actions/w/trigger"),
        (r#"{"trigger_topic": "home/actions/deploy/trigger"}"#, "trigger_topic must be"),
        (r#"{"group": "a/b"}"#, "group"),
    ] {
        let mut machine = machine(Names::any(), 1000);
        let effects = machine.receive(Instant::now(), &message("home/actions/w", payload));
        let said = warnings(&effects);
        assert!(said[0].contains(why), "{payload}: {said:?}");
        assert!(machine.offers().is_empty());
    }
    let mut machine = machine(Names::any(), 1000);
    let large = format!(r#"{{"description": "{}"}}"#, "x".repeat(100_000));
    let effects = machine.receive(Instant::now(), &message("home/actions/w", &large));
    assert!(warnings(&effects)[0].contains("at most 65536 bytes"), "{effects:?}");
}

#[test]
fn an_announcement_of_the_go_system_becomes_a_schema() {
    let mut machine = machine(Names::any(), 1000);
    let payload = r#"{"description": "d", "group": "Garden", "trigger_topic": "home/w",
        "parameters": {"z": {"type": "int", "default": 7}, "a": {"type": "str"},
        "free": {"type": "any", "default": null, "required": false}, "short": "bool"}}"#;
    machine.receive(Instant::now(), &message("home/actions/w", payload));
    let offer = &machine.offers()["w"];
    assert_eq!(offer.trigger_topic, "home/w");
    assert_eq!(
        offer.action.schema.as_str(),
        r#"{"type":"object","properties":{"z":{"default":7,"type":"integer"},"a":{"type":"string"},"free":{"default":null},"short":{"type":"boolean"}},"required":["a","short"],"additionalProperties":false}"#
    );
    assert_eq!(
        (&*offer.action.group, offer.action.timeout),
        ("Garden", Some(Duration::from_secs(60)))
    );
}

#[test]
fn answers_with_strange_ids_are_ignored() {
    let mut machine = machine(Names::any(), 1000);
    let now = Instant::now();
    assert!(machine.receive(now, &message("home/exec/a b/result", "{}")).is_empty());
    let long = format!("home/exec/{}/result", "x".repeat(100));
    assert!(machine.receive(now, &message(&long, "{}")).is_empty());
    let kept = Incoming { retained: true, ..message("home/exec/1/result", "{}") };
    assert!(machine.receive(now, &kept).is_empty());
    assert_eq!(machine.receive(now, &message("home/exec/1/log", "x")).len(), 1);
    assert!(machine.receive(now, &message("office/exec/1/log", "x")).is_empty());
}

#[test]
fn requests_to_cancel_count_as_triggers_do() {
    let (mut machine, start) = (machine(Names::none(), 10), Instant::now());
    let (mut cancels, mut said, mut answered) = (0, 0, 0);
    for number in 0..10_000 {
        let now = start + Duration::from_micros(number * 100);
        let effects = machine.receive(now, &message("home/exec/a/cancel", ""));
        cancels += effects.iter().filter(|one| matches!(one, Effect::Cancel(_))).count();
        said += warnings(&effects).len();
        answered += effects.iter().filter(|one| matches!(one, Effect::Publish(_))).count();
    }
    assert!((28..=31).contains(&cancels), "{cancels}");
    assert!(said <= 6 && (1..=4).contains(&answered), "{said} {answered}");
    let later = start + Duration::from_secs(60);
    // The broker repeats it, or keeps it.
    let first = message("home/exec/b/cancel", "");
    assert!(matches!(machine.receive(later, &first)[..], [.., Effect::Cancel(_)]));
    assert!(machine.receive(later, &Incoming { duplicate: true, ..first }).is_empty());
    let kept = Incoming { retained: true, ..message("home/exec/c/cancel", "{}") };
    let effects = machine.receive(later, &kept);
    assert!(warnings(&effects)[0].contains("a request to cancel at home/exec/c"), "{effects:?}");
    assert!(machine.receive(later, &kept).is_empty());
}
