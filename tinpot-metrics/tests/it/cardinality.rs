//! Names that callers invent do not make series without end.

use std::time::Duration;

use tinpot_core::Status;
use tinpot_core::observer::{Measure, Observer};
use tinpot_metrics::PrometheusObserver;

use crate::measures;

/// Returns the number of series of a metric.
fn series(text: &str, name: &str) -> usize {
    let is_of = |line: &&str| {
        line.strip_prefix(name).is_some_and(|rest| rest.starts_with('{') || rest.starts_with(' '))
    };
    text.lines().filter(is_of).count()
}

#[test]
fn ten_thousand_invented_names_end_in_one_label() {
    let observer = PrometheusObserver::of_coordinator("memory").expect("an observer");
    for number in 0..10_000 {
        let (action, queue) = (format!("action-{number}"), format!("queue-{number}"));
        measures::run(&observer, &measures::execution(&action, &queue), Status::Failed);
        // One action in many queues.
        let execution = measures::execution("action-1", &queue);
        measures::run(&observer, &execution, Status::Lost);
        let route = format!("/invented/{number}");
        let (method, code, took) = ("GET", 404, Duration::ZERO);
        observer.observe(&Measure::Request { method, route: &route, code, took, span: None });
    }
    let text = observer.render();
    // 500 actions and `other`; 100 queues and `other`.
    let (actions, queues) = (501, 101);
    assert_eq!(series(&text, "tinpot_queue_wait_seconds_count"), queues);
    assert_eq!(series(&text, "tinpot_attempts_lost_total"), queues);
    assert_eq!(series(&text, "tinpot_run_seconds_count"), actions + 1);
    let accepted = series(&text, "tinpot_executions_accepted_total");
    assert!((actions..=1_000 + actions).contains(&accepted), "{accepted}");
    assert_eq!(series(&text, "tinpot_http_request_seconds_count"), 201);
    let all = text.lines().filter(|line| !line.starts_with('#')).count();
    assert!(all < 20_000, "{all} series");
    // Nothing is lost: the last ones count as others.
    let line = "tinpot_executions_accepted_total{action=\"other\",queue=\"other\"} ";
    let others = text.lines().find_map(|found| found.strip_prefix(line)).expect("others");
    assert!(others.parse::<u64>().expect("a number") > 9_000, "{others}");
}

#[test]
fn a_worker_is_bounded_too() {
    let observer = PrometheusObserver::of_worker("memory").expect("an observer");
    for number in 0..10_000 {
        let action = format!("action-{number}");
        let (status, took) = (Status::Succeeded, Duration::ZERO);
        observer.observe(&Measure::Ran { action: &action, status, took, traced: None });
    }
    assert_eq!(series(&observer.render(), "tinpot_worker_run_seconds_count"), 501);
}
