//! The list of scenes, and the forms of a report. The scenes themselves are played by
//! `cargo xtask ci workers`.

use std::collections::BTreeSet;

use serde_json::Value;
use tinpot_conformance::{Suite, scenes};

const SPECIFICATION: &str = include_str!("../../../docs/protocol.md");

/// Returns the anchor of a heading, as GitHub makes it.
fn anchor(heading: &str) -> String {
    let kept = |c: char| c.is_alphanumeric() || c == ' ' || c == '-' || c == '_';
    heading.to_lowercase().chars().filter(|c| kept(*c)).collect::<String>().replace(' ', "-")
}

#[test]
fn every_scene_has_a_name_of_its_own_and_a_section_of_the_specification() {
    let anchors: BTreeSet<String> = SPECIFICATION
        .lines()
        .filter(|line| line.starts_with('#'))
        .map(|line| format!("docs/protocol.md#{}", anchor(line.trim_start_matches('#').trim())))
        .collect();
    let mut names = BTreeSet::new();
    for scene in scenes() {
        assert!(names.insert(scene.name()), "{} twice", scene.name());
        assert!(anchors.contains(&scene.section()), "{}: {}", scene.name(), scene.section());
        assert!(!scene.rule().is_empty(), "{}", scene.name());
    }
    assert!(names.len() >= 60, "{}", names.len());
}

#[test]
fn patterns_select_scenes() {
    let names = |patterns: &[&str]| {
        let suite = Suite::new(["true".into()]).only(patterns);
        suite.scenes().map(|scene| scene.name()).collect::<Vec<_>>()
    };
    assert_eq!(names(&["cancel/running"]), ["cancel/running"]);
    assert!(names(&["cancel/*"]).len() > 5);
    assert_eq!(names(&["no-such-scene"]), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_is_no_worker_fails_with_an_explanation() {
    let suite = Suite::new(["false".into()]).only(["introduction/hello", "dispatch/runs"]).seed(7);
    let mut judged = 0;
    let report = suite.play(|_| judged += 1).await;
    assert!(!report.has_passed() && report.failed() == 2 && judged == 2, "{}", report.text());
    let text = report.verdicts()[0].text();
    for part in ["FAILED  introduction/hello", "the worker ended", "docs/protocol.md#", "--seed 7"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    let json: Value = serde_json::from_str(&report.json()).expect("JSON");
    assert_eq!((&json["passed"], &json["failed"]), (&Value::from(false), &Value::from(2)));
    assert_eq!(json["scenes"][1]["name"], "dispatch/runs");
    let tap = report.tap();
    assert!(tap.starts_with("TAP version 14\n1..2\n# seed 7\n"), "{tap}");
    assert!(tap.contains("\nnot ok 1 - introduction/hello\n  ---\n"), "{tap}");
}

#[tokio::test]
async fn no_scenes_are_no_pass() {
    let report = Suite::new(["false".into()]).only(["no-such-scene"]).play(|_| {}).await;
    assert!(!report.has_passed());
}
