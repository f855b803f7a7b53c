//! Monitoring: a real Prometheus reads a coordinator and a worker that run actions, and evaluates
//! the dashboard and the alerts that we deliver.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tinpot_tests::{
    Mosquitto, Prometheus, check_metrics, coordinator, free_port, wait_for, wait_for_workers,
    worker,
};

const DASHBOARD: &str = include_str!("../../deploy/monitoring/dashboard.json");
const ALERTS: &str = include_str!("../../deploy/monitoring/alerts.yaml");

/// Returns the expressions of the dashboard, each with the title of its panel.
fn expressions() -> Vec<(String, String)> {
    let dashboard: Value = serde_json::from_str(DASHBOARD).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let of_panel = |panel: &Value| {
        let title = panel["title"].as_str().expect("a title").to_owned();
        let targets = panel["targets"].as_array().cloned().unwrap_or_default();
        let expression = |target: Value| target["expr"].as_str().expect("a text").to_owned();
        let filled = move |target| {
            let text = expression(target);
            let text = text.replace("$__rate_interval", "1m").replace("$instance", ".*");
            (title.clone(), text)
        };
        targets.into_iter().map(filled).collect::<Vec<_>>()
    };
    panels.iter().flat_map(of_panel).collect()
}

/// Returns the names of metrics in a text.
fn names(text: &str) -> BTreeSet<&str> {
    let is_part = |character: char| character.is_ascii_alphanumeric() || character == '_';
    let words = text.split(|character| !is_part(character));
    words.filter(|word| word.starts_with("tinpot_") || word.starts_with("process_")).collect()
}

/// The panel of what this run does not do.
const SET_UP: &str = "Workers: set-up (95 %)";

#[test]
fn prometheus_reads_a_run_and_every_expression_of_ours_has_data() {
    let broker = Mosquitto::start();
    let store = tempfile::tempdir().expect("a directory");
    let store = store.path().join("tinpot.db");
    let env = [("TINPOT_STORE", store.to_str().expect("a path"))];
    let (_coordinator, api) = coordinator(&broker.url(), &env);
    let of_worker = format!("127.0.0.1:{}", free_port());
    let env = [
        ("WORKER_NAME", "one"),
        ("TINPOT_METRICS_LISTEN", of_worker.as_str()),
        ("TINPOT_LOG_FORMAT", "json"),
    ];
    let _worker = worker(&broker.url(), &env);
    wait_for_workers(&api, &["one"]);
    let of_coordinator = format!("127.0.0.1:{}", api.port());
    let targets = [("tinpot", of_coordinator), ("tinpot-worker", of_worker)];
    let prometheus = Prometheus::start(&targets);

    let prints = json!({"file": "/dev/null", "text": "x", "count": 3, "seconds": 0.01});
    let run = || {
        assert_eq!(api.run("chatty", prints.clone())["status"], "SUCCESS");
        // No such file: it fails.
        let nowhere = json!({"file": "/nowhere/at/all", "text": "x"});
        assert_eq!(api.run("mark", nowhere)["status"], "FAILURE");
    };
    run();
    check_metrics(&api.text("/metrics"));
    let expressions = expressions();
    assert!(expressions.len() > 30, "{}", expressions.len());
    for (title, expression) in &expressions {
        wait_for(&format!("data of {title:?}: {expression}"), || {
            // Rates need values that have changed since the first look.
            run();
            let series = prometheus.ask(expression)?;
            // A quantile of nothing is no number.
            let is_number = |one: &&Value| one["value"][1] != "NaN";
            match series.iter().find(is_number) {
                Some(_) => Ok(()),
                // It has numbers only while something is set up.
                None if title == SET_UP && !series.is_empty() => Ok(()),
                None => Err(format!("{series:?}")),
            }
        });
    }
    for name in names(ALERTS) {
        wait_for(name, || match prometheus.ask(name)? {
            series if series.is_empty() => Err("no series".to_owned()),
            _ => Ok(()),
        });
    }
}
