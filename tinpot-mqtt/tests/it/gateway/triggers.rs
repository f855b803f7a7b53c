//! Clients run actions.

use std::fmt;

use serde_json::json;
use tinpot_core::{Caller, Error, ErrorKind, ListOptions, Result};
use tinpot_mqtt::gateway::{GatewayRule, Principal};

use super::{House, home};
use crate::support::within;

#[tokio::test]
async fn a_message_runs_an_action_and_the_result_is_published() {
    let house = House::start(|gateway| gateway.rule(home())).await;
    let mut client = house.client().await;
    client.subscribe("home/#").await;
    let found = client.hears_at("home/actions/greet").await.json();
    assert_eq!(found["trigger_topic"], "home/actions/greet/trigger");
    assert_eq!(found["parameters"]["name"]["default"], "world");
    let trigger = json!({"execution_id": "a-1", "parameters": {"name": "Ada"}}).to_string();
    client.publish("home/actions/greet/trigger", &*trigger).await;
    let result = client.hears_at("home/exec/a-1/result").await.json();
    assert_eq!((&result["status"], &result["error"]), (&json!("succeeded"), &json!(null)));
    assert_eq!(result["result"], json!({"name": "Ada"}));
    let line = client.hears_at("home/exec/a-1/log").await.json();
    assert_eq!((&line["message"], &line["level"]), (&json!("running greet"), &json!("INFO")));
    // The same trigger again is the same execution.
    client.publish("home/actions/greet/trigger", &*trigger).await;
    let same = |heard: &super::client::Heard| heard.topic == "home/exec/a-1/result";
    within("a second answer", async {
        while client.at("home/exec/a-1/result").len() < 2 {
            client.hears("an answer", same).await;
            tokio::task::yield_now().await;
        }
    })
    .await;
    let ids: Vec<_> = client
        .at("home/exec/a-1/result")
        .iter()
        .map(|one| one.json()["execution_id"].clone())
        .collect();
    assert_eq!(ids[0], ids[1]);
    assert_eq!(house.coordinator.executions(&ListOptions::new()).await.unwrap().len(), 1);
    // The result is kept for those who come late.
    let mut late = house.client().await;
    late.subscribe("home/exec/+/result").await;
    assert!(late.hears_at("home/exec/a-1/result").await.retained);
    house.end().await;
}

#[tokio::test]
async fn answers_go_where_the_trigger_says() {
    let house = House::start(|gateway| gateway.rule(home()).answers("nodered")).await;
    let mut client = house.client().await;
    client.subscribe("#").await;
    client.hears_at("home/actions/fail").await;
    client.ask("home/actions/fail/trigger", "", "nodered/answers", "seven").await;
    let answer = client.hears_at("nodered/answers").await;
    assert_eq!(answer.json()["status"], "failed");
    assert!(answer.json()["error"].as_str().unwrap().contains("the disk is full"));
    assert_eq!(answer.properties.unwrap().correlation_data.as_deref(), Some(&b"seven"[..]));
    let text = r#"{"result_topic": "home/my/results", "log_topic": "home/my/log"}"#;
    client.publish("home/actions/greet/trigger", text).await;
    assert_eq!(client.hears_at("home/my/results").await.json()["result"], json!({}));
    assert_eq!(client.hears_at("home/my/log").await.json()["message"], "running greet");
    house.end().await;
}

#[tokio::test]
async fn bad_triggers_get_a_reason() {
    let house = House::start(|gateway| gateway.rule(home()).max_trigger_bytes(100_000)).await;
    let mut client = house.client().await;
    client.subscribe("#").await;
    client.hears_at("home/actions/greet").await;
    let large = format!(r#"{{"parameters": {{"name": "{}"}}}}"#, "x".repeat(10_000_000));
    for (at, (action, payload, why)) in [
        ("greet", &*large, "at most 100000 bytes (got 100000"),
        ("nothing", "", "\"nothing\" not found"),
        ("greet", r#"{"parameters": {"name": 7}}"#, "name"),
        ("greet", r#"{"parameters": {"title": "x"}}"#, "title"),
        ("greet", r#"{"parameters": [1]}"#, "object"),
        ("greet", "press", "a trigger must be a JSON object"),
        ("greet", "\u{0}\u{1}", "a trigger must be a JSON object"),
        ("greet", r#"{"result_topic": "office/x"}"#, "result_topic must be below home/"),
        ("greet", r#"{"log_topic": "home/actions/wait/trigger"}"#, "log_topic must be below home/"),
        ("greet", r#"{"execution_id": "../x"}"#, "execution_id must have"),
    ]
    .into_iter()
    .enumerate()
    {
        let topic = format!("home/answers/{at}");
        let trigger = format!("home/actions/{action}/trigger");
        client.ask(&trigger, payload, &topic, "").await;
        let answer = client.hears_at(&topic).await.json();
        let said = answer["error"].as_str().unwrap();
        let expected = if at == 0 { "at most 100000 bytes (got 10000" } else { why };
        assert!(said.contains(expected) && said.len() < 600, "{at}: {said}");
        assert_eq!(answer["status"], "refused");
    }
    // Without a place for the answer, and with one that is not allowed.
    client.publish("home/actions/greet/trigger", "press").await;
    let no_place = client.hears_at("home/errors").await.json();
    assert_eq!((&no_place["action"], &no_place["status"]), (&json!("greet"), &json!("refused")));
    client.ask("home/actions/greet/trigger", "", "tinpot/worker/a/a-1/down/control", "").await;
    client
        .hears("a refusal", |heard| {
            heard.topic == "home/errors" && heard.text.contains("the response topic must be below")
        })
        .await;
    assert!(client.at("tinpot/worker/a/a-1/down/control").is_empty());
    assert!(house.coordinator.executions(&ListOptions::new()).await.unwrap().is_empty());
    house.end().await;
}

#[tokio::test]
async fn retained_triggers_do_not_run_at_each_connection() {
    let house = House::start(|gateway| gateway.rule(home())).await;
    let mut client = house.client().await;
    client.subscribe("home/#").await;
    client.hears_at("home/actions/greet").await;
    client.retain("home/actions/greet/trigger", r#"{"execution_id": "once"}"#).await;
    client.hears_at("home/exec/once/result").await;
    // Another gateway is what a restarted coordinator is.
    let second = house.gateway(|gateway| gateway.rule(home())).await;
    client.publish("home/actions/greet/trigger", r#"{"execution_id": "last"}"#).await;
    client.hears_at("home/exec/last/result").await;
    within("the second gateway ends", second.shutdown()).await;
    let all = house.coordinator.executions(&ListOptions::new()).await.unwrap();
    let keys: Vec<_> = all.iter().filter_map(|one| one.given_idempotency_key()).collect();
    assert_eq!(keys, ["mqtt/home/last", "mqtt/home/once"]);
    house.end().await;
}

#[tokio::test]
async fn a_client_cancels_what_it_has_triggered() {
    let mut house = House::start(|gateway| gateway.rule(home())).await;
    let mut client = house.client().await;
    client.subscribe("#").await;
    client.hears_at("home/actions/wait").await;
    client.publish("home/actions/wait/trigger", r#"{"execution_id": "a"}"#).await;
    client.hears_at("home/exec/a/log").await;
    client.publish("home/exec/a/cancel", "").await;
    assert_eq!(client.hears_at("home/exec/a/result").await.json()["status"], "cancelled");
    // At once, and with an answer.
    client.publish("home/actions/wait/trigger", r#"{"execution_id": "b"}"#).await;
    client.ask("home/exec/b/cancel", r#"{"force": true}"#, "home/answers/b", "two").await;
    let answer = client.hears_at("home/answers/b").await;
    let said = answer.json();
    assert!(["cancelling", "cancelled"].contains(&said["status"].as_str().unwrap()), "{said}");
    assert_eq!(said["action"], "wait");
    assert_eq!(answer.properties.unwrap().correlation_data.as_deref(), Some(&b"two"[..]));
    let result = client.hears_at("home/exec/b/result").await.json();
    assert_eq!(
        (&result["status"], &result["execution_id"]),
        (&json!("cancelled"), &said["execution_id"])
    );
    // By the id of the API, of an execution without an id of the client.
    client.publish("home/actions/wait/trigger", "").await;
    let is_own = |heard: &super::client::Heard| {
        let id = heard.topic.strip_prefix("home/exec/").and_then(|rest| rest.strip_suffix("/log"));
        id.is_some_and(|id| !["a", "b"].contains(&id))
    };
    let log = client.hears("a log line", is_own).await.topic;
    let id = log.split('/').nth(2).unwrap().to_owned();
    client.publish(&format!("home/exec/{id}/cancel"), "").await;
    let ended = client.hears_at(&format!("home/exec/{id}/result")).await.json();
    assert_eq!(ended["status"], "cancelled");
    // After a restart of the gateway, by the id of the client.
    client.publish("home/actions/wait/trigger", r#"{"execution_id": "long"}"#).await;
    client.hears_at("home/exec/long/log").await;
    house.gateway.take().unwrap().shutdown().await;
    house.gateway = Some(house.gateway(|gateway| gateway.rule(home())).await);
    within("it is cancelled", async {
        while client.at("home/answers/long").is_empty() {
            client.ask("home/exec/long/cancel", "", "home/answers/long", "").await;
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await;
    let said = client.hears_at("home/answers/long").await.json();
    assert_eq!((&said["action"], &said["error"]), (&json!("wait"), &json!(null)));
    house.end().await;
}

#[tokio::test]
async fn a_cancel_that_does_not_count_has_a_reason() {
    let garden = GatewayRule::new("garden", Caller::new("program:garden"));
    let house = House::start(|gateway| gateway.rule(home()).rule(garden)).await;
    let mut client = house.client().await;
    client.subscribe("#").await;
    client.hears_at("garden/actions/greet").await;
    client.publish("home/actions/greet/trigger", r#"{"execution_id": "done"}"#).await;
    let done = client.hears_at("home/exec/done/result").await.json();
    client.publish("garden/actions/wait/trigger", r#"{"execution_id": "theirs"}"#).await;
    client.hears_at("garden/exec/theirs/log").await;
    let own = house.coordinator.submit("wait", ()).await.unwrap();
    let all = house.coordinator.executions(&ListOptions::new()).await.unwrap();
    let theirs = all.iter().find(|one| one.given_idempotency_key() == Some("mqtt/garden/theirs"));
    let theirs = theirs.unwrap().id;
    let id = own.id().to_string();
    let foreign = theirs.to_string();
    for (at, (id, payload, why)) in [
        ("done", "", "has ended already: it succeeded"),
        (done["execution_id"].as_str().unwrap(), "", "has ended already: it succeeded"),
        ("never", "", "no execution \"never\" was triggered below home/"),
        ("theirs", "", "no execution \"theirs\" was triggered below home/"),
        (&foreign, "", "was triggered below home/"),
        (&id, "", "was triggered below home/"),
        ("never", "now", "must be empty, or a JSON object with force"),
        ("a b", "", "must have 1 to 64 of"),
    ]
    .into_iter()
    .enumerate()
    {
        let topic = format!("home/answers/{at}");
        client.ask(&format!("home/exec/{id}/cancel"), payload, &topic, "").await;
        let answer = client.hears_at(&topic).await.json();
        let said = answer["error"].as_str().unwrap();
        assert!(said.contains(why), "{at}: {said}");
        assert_eq!((&answer["status"], &answer["execution_id"]), (&json!("refused"), &json!(id)));
    }
    // Without a place for the answer; the result that is kept stays.
    client.publish("home/exec/done/cancel", "").await;
    let refused = client.hears_at("home/errors").await.json();
    assert!(refused["error"].as_str().unwrap().contains("ended already"), "{refused}");
    assert_eq!(client.at("home/exec/done/result").len(), 1);
    for execution in [own.id(), theirs] {
        let found = house.coordinator.execution(execution).await.unwrap().unwrap();
        assert!(!found.status.is_terminal() && found.cancel_request.is_none());
    }
    house.end().await;
}

#[tokio::test]
async fn a_flood_is_refused_and_harms_nothing() {
    let house = House::start(|gateway| gateway.rule(home()).triggers_per_second(5)).await;
    let mut client = house.client().await;
    client.subscribe("home/#").await;
    client.hears_at("home/actions/greet").await;
    for _ in 0..3000 {
        client.publish("home/actions/greet/trigger", "").await;
    }
    let is_refusal = |heard: &super::client::Heard| {
        heard.topic == "home/errors" && heard.text.contains("more than 5 triggers a second")
    };
    client.hears("a refusal", is_refusal).await;
    // Everything before this has been taken, since the broker keeps the order.
    client.publish("home/actions/none/trigger", r#"{"execution_id": "end"}"#).await;
    within("the limit is over", async {
        while client.at("home/exec/end/result").is_empty() {
            client.publish("home/actions/none/trigger", r#"{"execution_id": "end"}"#).await;
            tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        }
    })
    .await;
    let ran = house.coordinator.executions(&ListOptions::new().limit(1000)).await.unwrap().len();
    assert!((10..1000).contains(&ran), "{ran}");
    house.end().await;
}

#[tokio::test]
async fn a_broker_that_restarts_has_all_announcements_again() {
    let house = House::start(|gateway| gateway.rule(home())).await;
    let mut client = house.client().await;
    client.subscribe("home/#").await;
    client.hears_at("home/actions/greet").await;
    client.publish("home/actions/wait/trigger", r#"{"execution_id": "long"}"#).await;
    client.hears_at("home/exec/long/log").await;
    house.broker.restart().await;
    let mut client = house.client().await;
    client.subscribe("home/#").await;
    client.hears_at("home/actions/greet").await;
    assert_eq!(client.hears_at("home/status").await.text, "online");
    // The result of an execution that began before.
    let all = house.coordinator.executions(&ListOptions::new()).await.unwrap();
    house.coordinator.cancel(all[0].id, true).await.unwrap();
    assert_eq!(client.hears_at("home/exec/long/result").await.json()["status"], "cancelled");
    house.end().await;
}

#[tokio::test]
async fn announcements_go_with_the_actions_and_with_the_gateway() {
    let mut house = House::start(|gateway| gateway.rule(home())).await;
    let mut client = house.client().await;
    house.gateway.take().unwrap().shutdown().await;
    // What an earlier coordinator has left.
    client.retain("home/actions/old", r#"{"namespace": "tinpot"}"#).await;
    client.subscribe("home/#").await;
    assert_eq!(client.hears_at("home/actions/old").await.text, r#"{"namespace": "tinpot"}"#);
    house.gateway = Some(house.gateway(|gateway| gateway.rule(home())).await);
    let removed = |name: &'static str| {
        move |heard: &super::client::Heard| {
            heard.topic == format!("home/actions/{name}") && heard.text.is_empty()
        }
    };
    client.hears("what is left over goes", removed("old")).await;
    client.hears_at("home/actions/greet").await;
    // One that another client replaces is put right.
    let before = client.at("home/actions/greet").len();
    client.retain("home/actions/greet", r#"{"description": "Mine."}"#).await;
    client
        .hears("it is announced again", |heard| {
            heard.text.contains("Greet.") && client.at("home/actions/greet").len() > before + 1
        })
        .await;
    // So is its status, after the last will of an earlier connection.
    let online = || client.at("home/status").iter().filter(|one| one.text == "online").count();
    let before = online();
    client.retain("home/status", "offline").await;
    client.hears("it is online again", |_| online() > before).await;
    house.gateway.take().unwrap().shutdown().await;
    client.hears("the end of the gateway", removed("greet")).await;
    client.hears("offline", |heard| heard.topic == "home/status" && heard.text == "offline").await;
    house.end().await;
}

/// A principal that comes and goes.
#[derive(Clone)]
struct Guest(std::sync::Arc<std::sync::atomic::AtomicBool>);

impl fmt::Debug for Guest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Guest")
    }
}

impl Principal for Guest {
    fn caller(&self) -> Result<Caller> {
        match self.0.load(std::sync::atomic::Ordering::Relaxed) {
            true => Ok(Caller::new("program:guest")),
            false => Err(Error::new(ErrorKind::Forbidden, "the user \"guest\" is disabled")),
        }
    }
}

#[tokio::test]
async fn nothing_runs_without_a_principal() {
    let guest = Guest(std::sync::Arc::new(true.into()));
    let rule = GatewayRule::new("home", guest.clone());
    let house = House::start(|gateway| gateway.rule(rule)).await;
    let mut client = house.client().await;
    client.subscribe("home/#").await;
    client.hears_at("home/actions/greet").await;
    guest.0.store(false, std::sync::atomic::Ordering::Relaxed);
    client.publish("home/actions/greet/trigger", r#"{"execution_id": "a"}"#).await;
    let answer = client.hears_at("home/exec/a/result").await.json();
    assert!(answer["error"].as_str().unwrap().contains("\"guest\" is disabled"), "{answer}");
    client
        .hears("its actions go", |heard| {
            heard.topic == "home/actions/greet" && heard.text.is_empty()
        })
        .await;
    // A prefix without a rule.
    client.publish("office/actions/greet/trigger", r#"{"execution_id": "b"}"#).await;
    guest.0.store(true, std::sync::atomic::Ordering::Relaxed);
    client.publish("home/actions/greet/trigger", r#"{"execution_id": "c"}"#).await;
    client.hears_at("home/exec/c/result").await;
    assert_eq!(house.coordinator.executions(&ListOptions::new()).await.unwrap().len(), 1);
    house.end().await;
}

#[tokio::test]
async fn home_assistant_finds_a_button_for_each_action() {
    let mut house =
        House::start(|gateway| gateway.rule(home()).home_assistant("homeassistant")).await;
    let mut client = house.client().await;
    client.subscribe("#").await;
    let at = "homeassistant/button/tinpot-home/greet/config";
    let button = client.hears_at(at).await.json();
    let text = |field: &str| button[field].as_str().unwrap().to_owned();
    assert_eq!(client.hears_at(&text("availability_topic")).await.text, "online");
    // It is pressed as Home Assistant does it.
    client.publish(&text("command_topic"), text("payload_press")).await;
    let result = client.hears("a result", |heard| heard.topic.ends_with("/result")).await.json();
    assert_eq!(result["result"], json!({"name": "world"}));
    // A button of an action that is gone goes when the next gateway starts.
    house.gateway.take().unwrap().shutdown().await;
    client.retain("homeassistant/button/tinpot-home/old/config", "{}").await;
    client.hears_at("homeassistant/button/tinpot-home/old/config").await;
    house.gateway =
        Some(house.gateway(|gateway| gateway.rule(home()).home_assistant("homeassistant")).await);
    client
        .hears("the old button goes", |heard| {
            heard.topic.ends_with("/old/config") && heard.text.is_empty()
        })
        .await;
    house.end().await;
}
