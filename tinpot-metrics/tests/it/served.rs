//! Metrics that are served are those that are described.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tinpot_metrics::{Kind, Program, PrometheusObserver, descriptions};

use crate::measures;

/// A metric as the text has it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Served {
    kind: String,
    help: String,
    labels: BTreeSet<String>,
}

/// Reads the text format, version 0.0.4.
fn read(text: &str) -> BTreeMap<String, Served> {
    let mut found: BTreeMap<String, Served> = BTreeMap::new();
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, help) = help.split_once(' ').expect("a text");
            found.entry(name.to_owned()).or_default().help = help.to_owned();
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').expect("a kind");
            found.entry(name.to_owned()).or_default().kind = kind.to_owned();
        } else {
            let (series, _) = line.rsplit_once(' ').expect("a value");
            let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
            let of = |name: &str| found.contains_key(name).then(|| name.to_owned());
            let base = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|end| name.strip_suffix(end).and_then(of));
            let served = found.get_mut(&base.unwrap_or(name.to_owned())).expect("a family");
            for label in labels.trim_end_matches('}').split(',').filter(|label| !label.is_empty()) {
                let (label, _) = label.split_once('=').expect("a label");
                served.labels.insert(label.to_owned());
            }
        }
    }
    found
}

fn described(program: Program) -> BTreeMap<String, Served> {
    let is_served = |metric: &&tinpot_metrics::Description| {
        metric.program == program || metric.program == Program::Both
    };
    let of = |metric: &tinpot_metrics::Description| {
        let mut labels: BTreeSet<String> =
            metric.labels.iter().map(|label| (*label).to_owned()).collect();
        if matches!(metric.kind, Kind::Histogram(_)) {
            labels.insert("le".to_owned());
        }
        let (kind, help) = (metric.kind.as_str().to_owned(), metric.help.to_owned());
        (metric.name.to_owned(), Served { kind, help, labels })
    };
    descriptions().filter(is_served).map(of).collect()
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_coordinator_serves_all_of_its_metrics_and_no_others() {
    let observer = Arc::new(PrometheusObserver::of_coordinator("memory").expect("an observer"));
    let (_network, coordinator, worker) = measures::cluster(&observer).await;
    coordinator.call::<String>("tick", ()).await.expect("a result");
    measures::each(&observer);
    coordinator.measure().await.expect("measures");
    observer.set_store(4_096, 1 << 30);
    let text = observer.render();
    assert_eq!(read(&text), described(Program::Coordinator), "{text}");
    for line in [
        "tinpot_executions_ended_total{action=\"tick\",queue=\"default\",status=\"succeeded\"} 1",
        "tinpot_executions_ended_total{action=\"deploy\",queue=\"default\",status=\"lost\"} 1",
        "tinpot_attempts_total{outcome=\"timed_out\"} 0",
        "tinpot_attempts_lost_total{queue=\"default\"} 1",
        "tinpot_queue_depth{queue=\"default\",state=\"waiting\"} 0",
        "tinpot_queue_oldest_seconds{queue=\"default\"} 0",
        "tinpot_workers{state=\"live\"} 1",
        "tinpot_worker_slots{queue=\"default\",state=\"free\"} 2",
        "tinpot_transport_up{transport=\"memory\"} 1",
        // Measured as up three times: once by the coordinator, and after each change.
        "tinpot_transport_reconnects_total{transport=\"memory\"} 2",
        "tinpot_store_bytes 4096",
        "tinpot_deploys_total{result=\"created\"} 1",
        "tinpot_deploys_total{result=\"failed\"} 0",
        "tinpot_http_requests_total{code=\"200\",method=\"GET\",route=\"/api/actions\"} 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}: {text}");
    }
    worker.shutdown(Duration::ZERO).await;
    coordinator.shutdown().await;
}

#[cfg(target_os = "linux")]
#[test]
fn a_worker_serves_all_of_its_metrics_and_no_others() {
    let observer = PrometheusObserver::of_worker("mqtt").expect("an observer");
    measures::each(&observer);
    let text = observer.render();
    assert_eq!(read(&text), described(Program::Worker), "{text}");
    for line in [
        "tinpot_worker_attempts 1",
        "tinpot_cache_requests_total{kind=\"bundle\",result=\"hit\"} 1",
        "tinpot_cache_requests_total{kind=\"bundle\",result=\"miss\"} 0",
        "tinpot_cache_requests_total{kind=\"environment\",result=\"miss\"} 1",
        "tinpot_cache_bytes{kind=\"bundle\"} 1048576",
        "tinpot_setup_seconds_count{step=\"environment\"} 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}: {text}");
    }
}

#[tokio::test]
async fn queues_and_workers_that_are_gone_are_gone_from_the_metrics() {
    let observer = Arc::new(PrometheusObserver::of_coordinator("memory").expect("an observer"));
    let (_network, coordinator, worker) = measures::cluster(&observer).await;
    coordinator.pause_queue("default").await.expect("it is paused");
    coordinator.submit("tick", ()).await.expect("a handle");
    coordinator.measure().await.expect("measures");
    let text = observer.render();
    assert!(text.contains("tinpot_queue_depth{queue=\"default\",state=\"waiting\"} 1"), "{text}");
    assert!(text.contains("tinpot_queue_paused{queue=\"default\"} 1"), "{text}");
    worker.shutdown(Duration::ZERO).await;
    coordinator.measure().await.expect("measures");
    let text = observer.render();
    assert!(text.contains("tinpot_workers{state=\"live\"} 0"), "{text}");
    assert!(text.contains("tinpot_worker_slots{queue=\"default\",state=\"free\"} 0"), "{text}");
    coordinator.shutdown().await;
}
