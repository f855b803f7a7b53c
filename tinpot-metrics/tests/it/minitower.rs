//! Metrics that MiniTower's dashboards and scripts look for.

use std::sync::Arc;
use std::time::Duration;

use tinpot_core::observer::{Measure, Observer};
use tinpot_core::{
    Action, BundleRef, Coordinator, Deployed, Digest, ErrorKind, Execution, MemoryNetwork, Status,
    Timestamp,
};
use tinpot_metrics::{
    MinitowerObserver, MinitowerPending, MinitowerRequest, minitower_descriptions,
};

use crate::measures;

fn observer() -> MinitowerObserver {
    MinitowerObserver::new(|team| (team == "t1").then(|| "ops".into())).expect("an observer")
}

fn run(app: &str) -> Execution {
    let mut execution = measures::execution(app, "default");
    execution.team = "t1".into();
    execution.bundle = Some(Arc::new(BundleRef::new(1, Digest::from([1; 32]), "script")));
    execution.accepted_at = Timestamp::now();
    execution
}

#[track_caller]
fn assert_has(text: &str, line: &str) {
    assert!(text.lines().any(|found| found == line), "{line}\n{text}");
}

#[test]
fn each_metric_has_its_name_and_its_labels() {
    let observer = observer();
    let execution = &run("hello");
    let (waited, ran) = (Duration::from_millis(300), Some(Duration::from_secs(3)));
    observer.observe(&Measure::Accepted { execution });
    observer.observe(&Measure::Granted { execution, waited });
    let lost = Measure::AttemptEnded { execution, status: Status::Lost, ran: None };
    observer.observe(&lost);
    observer.observe(&Measure::Granted { execution, waited });
    observer.observe(&Measure::AttemptEnded { execution, status: Status::Succeeded, ran });
    observer.observe(&Measure::Ended { execution, status: Status::Succeeded });
    // One whose last attempt was lost is dead, and not tried again.
    let dead = &run("hello");
    observer.observe(&Measure::AttemptEnded { execution: dead, status: Status::Lost, ran: None });
    observer.observe(&Measure::Ended { execution: dead, status: Status::Lost });
    // An action that no one has deployed is no app.
    let execution = &measures::execution("native", "default");
    observer.observe(&Measure::Accepted { execution });
    observer.runner_registered("default");
    observer.set_online(["default", "default", "gpu"]);
    observer.set_pending(&[MinitowerPending::new("t1", "hello", "default", 7)]);
    let took = Duration::from_millis(2);
    observer.request(&MinitowerRequest::new("POST", "/api/v1/apps", 201, took).bytes(50, 2_000));

    let text = observer.render();
    for line in [
        r#"minitower_http_requests_total{method="POST",path="/api/v1/apps",status="201"} 1"#,
        r#"minitower_http_request_duration_seconds_bucket{method="POST",path="/api/v1/apps",le="0.005"} 1"#,
        r#"minitower_http_request_size_bytes_bucket{method="POST",path="/api/v1/apps",le="100"} 1"#,
        r#"minitower_http_response_size_bytes_bucket{method="POST",path="/api/v1/apps",le="1000"} 0"#,
        r#"minitower_http_response_size_bytes_bucket{method="POST",path="/api/v1/apps",le="1000000000"} 1"#,
        r#"minitower_runs_created_total{app="hello",team="ops"} 1"#,
        r#"minitower_runs_completed_total{app="hello",status="completed",team="ops"} 1"#,
        r#"minitower_runs_completed_total{app="hello",status="dead",team="ops"} 1"#,
        r#"minitower_runs_retried_total{app="hello",team="ops"} 1"#,
        r#"minitower_runs_leased_total{environment="default"} 2"#,
        r#"minitower_runners_registered_total{environment="default"} 1"#,
        r#"minitower_run_queue_wait_seconds_bucket{app="hello",team="ops",le="0.4"} 2"#,
        r#"minitower_run_execution_seconds_bucket{app="hello",status="completed",team="ops",le="3.2"} 1"#,
        r#"minitower_run_execution_seconds_bucket{app="hello",status="completed",team="ops",le="1638.4"} 1"#,
        r#"minitower_run_total_seconds_count{app="hello",status="completed",team="ops"} 1"#,
        r#"minitower_runs_pending{app="hello",environment="default",team="ops"} 7"#,
        r#"minitower_runners_online{environment="default"} 2"#,
        r#"minitower_runners_online{environment="gpu"} 1"#,
    ] {
        assert_has(&text, line);
    }
    for metric in minitower_descriptions() {
        assert_has(&text, &format!("# TYPE {} {}", metric.name, metric.kind.as_str()));
    }
    assert!(!text.contains("native"), "{text}");
    // What is gone is not shown any more.
    observer.set_pending(&[]);
    assert!(!observer.render().contains("minitower_runs_pending{"));
}

#[test]
fn a_lost_attempt_counts_as_retried_when_it_is_read_next() {
    let observer = observer();
    let execution = &run("hello");
    observer.observe(&Measure::AttemptEnded { execution, status: Status::Lost, ran: None });
    assert_has(&observer.render(), r#"minitower_runs_retried_total{app="hello",team="ops"} 1"#);
}

/// MiniTower's server counted every cancel of a run that was cancelled before.
#[tokio::test]
async fn a_run_is_counted_once_however_often_it_is_cancelled() {
    let observer = Arc::new(MinitowerObserver::new(|_| Some("ops".into())).expect("an observer"));
    let network = MemoryNetwork::new();
    let builder = Coordinator::builder(network.transport()).observer(observer.clone());
    let coordinator = builder.start().await.expect("a coordinator");
    let deployed = Deployed::new("script", 1, Digest::from([1; 32]));
    let action = Action::new("hello").expect("a name").deployed(deployed);
    coordinator.deploy(vec![action]).await.expect("a deploy");
    let run = coordinator.submit("hello", ()).await.expect("an execution");
    run.cancel(false).await.expect("an answer");
    for _ in 0..2 {
        let again = run.cancel(false).await.expect_err("it has ended");
        assert_eq!(again.kind(), ErrorKind::Conflict);
    }
    coordinator.measure().await.expect("measures");
    let text = observer.render();
    let cancelled =
        r#"minitower_runs_completed_total{app="hello",status="cancelled",team="ops"} 1"#;
    assert_has(&text, cancelled);
    assert_has(&text, r#"minitower_runs_created_total{app="hello",team="ops"} 1"#);
}

#[test]
fn visitors_make_no_series_without_end() {
    let observer = observer();
    for number in 0..2_000 {
        let execution = &run(&format!("app-{number}"));
        observer.observe(&Measure::Accepted { execution });
        let method = format!("METHOD{number}");
        observer.request(&MinitowerRequest::new(&method, "unmatched", 404, Duration::ZERO));
    }
    let text = observer.render();
    let series = |name: &str| text.lines().filter(|line| line.starts_with(name)).count();
    assert_eq!(series("minitower_runs_created_total"), 501);
    assert_eq!(series("minitower_http_requests_total"), 1);
    assert_has(
        &text,
        r#"minitower_http_requests_total{method="other",path="unmatched",status="404"} 2000"#,
    );
}
