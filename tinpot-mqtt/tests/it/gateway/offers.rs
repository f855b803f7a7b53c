//! Clients offer actions.

use std::time::Duration;

use serde_json::{Value, json};
use tinpot_core::{Caller, Json, Names, Outcome};
use tinpot_mqtt::gateway::GatewayRule;

use super::{House, home};
use crate::support::within;

const WATER: &str = r#"{"description": "Water the plants.",
    "parameters": {"seconds": {"type": "int", "default": 5}, "bed": {"type": "str"}}}"#;

#[tokio::test]
async fn an_action_that_a_client_announces_can_be_run() {
    let rule = home().offers(Names::of(["water*"]));
    let house = House::start(|gateway| gateway.rule(rule)).await;
    let mut device = house.client().await;
    device.subscribe("home/actions/water/trigger").await;
    device.retain("home/actions/water", WATER).await;
    within("the action", house.coordinator.action_available("water")).await.unwrap();
    let entry = house.coordinator.catalogue()["water"].clone();
    assert_eq!((&*entry.action.group, &*entry.action.description), ("MQTT", "Water the plants."));
    let refused = house.coordinator.submit("water", json!({"seconds": "x"})).await;
    assert_eq!(refused.unwrap_err().violations().len(), 2);

    let execution = house.coordinator.submit("water", json!({"bed": "roses"})).await.unwrap();
    let trigger = device.hears_at("home/actions/water/trigger").await;
    let asked = trigger.json();
    assert_eq!(asked["parameters"], json!({"bed": "roses"}));
    let id = execution.id().to_string();
    assert_eq!(asked["execution_id"], id);
    let properties = trigger.properties.unwrap();
    assert_eq!(properties.response_topic.as_deref(), asked["result_topic"].as_str());
    let of = |field: &str| asked[field].as_str().unwrap().to_owned();
    device.publish(&of("log_topic"), r#"{"level": "WARNING", "message": "little water"}"#).await;
    device.publish(&of("log_topic"), "pump on").await;
    device.publish(&of("result_topic"), r#"{"status": "succeeded", "result": 4.20}"#).await;
    let outcome = within("an outcome", execution.outcome()).await.unwrap();
    assert_eq!(outcome.value().unwrap().as_str(), "4.20");
    let lines = within("its log", async {
        loop {
            let chunks = house.coordinator.logs(execution.id(), 0, 10_000).await.unwrap();
            let lines: Vec<String> = chunks.iter().flat_map(|one| one.lines.clone()).collect();
            if lines.len() >= 2 {
                return lines;
            }
            tokio::task::yield_now().await;
        }
    });
    assert_eq!(lines.await, ["little water", "pump on"]);
    // It goes as it came.
    device.retain("home/actions/water", "").await;
    unavailable(&house, "water").await;
    house.end().await;
}

#[tokio::test]
async fn a_client_is_told_to_stop_and_may_answer() {
    let rule = home().offers(Names::any());
    let house = House::start(|gateway| gateway.rule(rule)).await;
    let mut device = house.client().await;
    device.subscribe("home/actions/+/trigger").await;
    device.subscribe("home/exec/+/cancel").await;
    device.retain("home/actions/valve", "{}").await;
    device.retain("home/actions/polite", r#"{"answers_cancel": true}"#).await;
    for name in ["valve", "polite"] {
        within("the action", house.coordinator.action_available(name)).await.unwrap();
    }
    // One that announces no answer is notified, and the execution ends at once.
    let valve = house.coordinator.submit("valve", ()).await.unwrap();
    let asked = device.hears_at("home/actions/valve/trigger").await.json();
    let topic = asked["cancel_topic"].as_str().unwrap().to_owned();
    assert_eq!(topic, format!("home/exec/{}/cancel", valve.id()));
    house.coordinator.cancel(valve.id(), false).await.unwrap();
    let told = device.hears_at(&topic).await;
    assert_eq!(told.json(), json!({"reason": "cancelled", "grace": 0.0}));
    assert!(!told.retained);
    assert_eq!(within("its end", valve.outcome()).await.unwrap(), Outcome::Cancelled);
    // One that does has the grace period for log lines and its answer.
    for (answer, expected) in [
        (r#"{"status": "cancelled"}"#, Outcome::Cancelled),
        (r#"{"status": "succeeded", "result": 3}"#, Outcome::Succeeded(Json::parse("3").unwrap())),
    ] {
        let polite = house.coordinator.submit("polite", ()).await.unwrap();
        let id = polite.id().to_string();
        device
            .hears("a trigger", |heard| {
                heard.topic.ends_with("polite/trigger") && heard.text.contains(&id)
            })
            .await;
        house.coordinator.cancel(polite.id(), false).await.unwrap();
        let told = device.hears_at(&format!("home/exec/{id}/cancel")).await.json();
        assert!(told["grace"].as_f64().unwrap() > 0.0, "{told}");
        assert!(!polite.status().is_terminal());
        device.publish(&format!("home/exec/{id}/result"), answer).await;
        assert_eq!(within("its end", polite.outcome()).await.unwrap(), expected);
    }
    // Without an answer, force ends it.
    let silent = house.coordinator.submit("polite", ()).await.unwrap();
    let id = silent.id().to_string();
    device.hears("a trigger", |heard| heard.text.contains(&id)).await;
    house.coordinator.cancel(silent.id(), false).await.unwrap();
    device.hears_at(&format!("home/exec/{id}/cancel")).await;
    house.coordinator.cancel(silent.id(), true).await.unwrap();
    assert_eq!(within("its end", silent.outcome()).await.unwrap(), Outcome::Cancelled);
    house.end().await;
}

async fn unavailable(house: &House, name: &str) {
    let mut catalogue = house.coordinator.watch_catalogue();
    let gone = catalogue.wait_for(|all| !all.get(name).is_some_and(|entry| entry.available));
    within("it is gone", gone).await.unwrap();
}

#[tokio::test]
async fn a_client_that_never_answers_has_a_time_limit() {
    let rule = home().offers(Names::any());
    let house = House::start(|gateway| gateway.rule(rule)).await;
    let device = house.client().await;
    device.retain("home/actions/silent", r#"{"timeout": 0.2}"#).await;
    device.retain("home/actions/rude", r#"{"timeout": 100}"#).await;
    for name in ["silent", "rude"] {
        within("the action", house.coordinator.action_available(name)).await.unwrap();
    }
    let silent = house.coordinator.submit("silent", ()).await.unwrap();
    assert_eq!(within("its end", silent.outcome()).await.unwrap(), Outcome::TimedOut);
    // An answer that is none.
    let rude = house.coordinator.submit("rude", ()).await.unwrap();
    let topic = format!("home/exec/{}/result", rude.id());
    let ended = rude.outcome();
    tokio::pin!(ended);
    let outcome = within("its end", async {
        loop {
            // Its attempt may not have begun.
            device.publish(&topic, "whatever").await;
            let pause = Duration::from_millis(50);
            if let Ok(outcome) = tokio::time::timeout(pause, &mut ended).await {
                return outcome.unwrap();
            }
        }
    });
    let error = outcome.await.error().unwrap();
    assert!(error.contains("the answer must be a JSON object"), "{error}");
    house.end().await;
}

#[tokio::test]
async fn announcements_that_do_not_count_have_a_reason() {
    let garden = GatewayRule::new("garden", Caller::new("program:garden"));
    let rules = [home().offers(Names::of(["water", "greet"])), garden.offers(Names::any())];
    let house = House::start(|gateway| {
        rules
            .into_iter()
            .fold(gateway.rule(GatewayRule::new("office", Caller::new("x"))), |all, rule| {
                all.rule(rule)
            })
    })
    .await;
    let device = house.client().await;
    // Another worker has the first; the second is announced twice; two have wrong forms; one may not
    // be offered there; and one prefix takes none.
    device.retain("home/actions/greet", WATER).await;
    device.retain("home/actions/water", WATER).await;
    within("the action", house.coordinator.action_available("water")).await.unwrap();
    device.retain("garden/actions/water", WATER).await;
    device.retain("home/actions/deploy", WATER).await;
    device.retain("garden/actions/bad", "[]").await;
    device
        .retain("garden/actions/loop", r#"{"trigger_topic": "garden/actions/greet/trigger"}"#)
        .await;
    device.retain("office/actions/dig", WATER).await;
    device.retain("garden/actions/rake", WATER).await;
    within("the last", house.coordinator.action_available("rake")).await.unwrap();
    let problems = within("problems", async {
        loop {
            let workers = house.coordinator.workers().await.unwrap();
            let all: Vec<Value> = workers
                .iter()
                .flat_map(|worker| &worker.load_errors)
                .map(|error| json!([error.place, error.message.contains("another worker offers")]))
                .collect();
            if all.len() >= 2 {
                return all;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    assert_eq!(problems.len(), 2, "{problems:?}");
    for place in ["home/actions/greet", "garden/actions/water"] {
        assert!(problems.contains(&json!([place, true])), "{problems:?}");
    }
    let catalogue = house.coordinator.catalogue();
    assert_eq!(&*catalogue["greet"].action.description, "Greet.");
    for name in ["deploy", "bad", "loop", "dig"] {
        assert!(!catalogue.contains_key(name), "{name}");
    }
    house.end().await;
}

#[tokio::test]
async fn without_a_broker_nothing_is_offered() {
    let rule = home().offers(Names::any());
    let house = House::start(|gateway| gateway.rule(rule)).await;
    let device = house.client().await;
    device.retain("home/actions/water", r#"{}"#).await;
    within("the action", house.coordinator.action_available("water")).await.unwrap();
    house.broker.kill();
    unavailable(&house, "water").await;
    house.broker.restart().await;
    // This broker has forgotten the announcement.
    device.retain("home/actions/water", r#"{}"#).await;
    within("the action", house.coordinator.action_available("water")).await.unwrap();
    house.end().await;
}
