//! Status, history, details, cancelling.

use serde_json::{Value, json};

use crate::cluster::{Cluster, json_post, within};

#[tokio::test]
async fn a_status_says_how_it_stands_and_how_it_ended() {
    let cluster = Cluster::start().await;
    let status = async |id: &str| {
        let mut json = cluster.get(&format!("/api/executions/{id}/status")).await.json();
        assert_eq!(json.as_object_mut().unwrap().remove("execution_id").unwrap(), id);
        json
    };
    let id = cluster.submit("gate", r#"{"options":{"queue":"default"}}"#).await;
    cluster.wrote(&id, 1).await;
    // The first line may be there before the worker says that it has started.
    let mut now = status(&id).await;
    within(async {
        while now["state"] != "STARTED" {
            tokio::task::yield_now().await;
            now = status(&id).await;
        }
    })
    .await;
    let running = json!({"state": "STARTED", "ready": false, "successful": null, "info": {}});
    assert_eq!(now, running);
    let id = cluster.run("add", r#"{"parameters":{"a":1,"b":2}}"#).await;
    let added =
        json!({"state": "SUCCESS", "ready": true, "successful": true, "info": {"result": 3}});
    assert_eq!(status(&id).await, added);
    let id = cluster.run("explode", "").await;
    let exploded = json!({"state": "FAILURE", "ready": true, "successful": false, "info": {
        "error": "ValueError: bad \"host\"", "kind": "ValueError", "traceback": "Traceback:\n  line 1\n"
    }});
    assert_eq!(status(&id).await, exploded);
}

#[tokio::test]
async fn an_execution_is_shown_in_full() {
    let cluster = Cluster::start().await;
    let id = cluster.run("explode", r#"{"parameters":{"z":1,"a":1.50}}"#).await;
    let answer = cluster.get(&format!("/api/executions/{id}")).await;
    assert!(answer.text().contains(r#""parameters":{"z":1,"a":1.50}"#), "{}", answer.text());
    let json = answer.json();
    let of = |field: &str| json[field].clone();
    assert_eq!((of("execution_id"), of("action_name")), (json!(id), json!("explode")));
    assert_eq!((of("status"), of("state")), (json!("failed"), json!("FAILURE")));
    assert_eq!((of("queue"), of("priority")), (json!("default"), json!(0)));
    assert_eq!((of("timeout"), of("retries")), (Value::Null, json!(0)));
    let outcome = json!({
        "status": "failed", "error": "ValueError: bad \"host\"", "kind": "ValueError",
        "traceback": "Traceback:\n  line 1\n"
    });
    assert_eq!(of("outcome"), outcome);
    let attempt = &json["attempts"][0];
    assert_eq!((&attempt["number"], &attempt["outcome"]), (&json!(1), &outcome));
    assert!(attempt["worker"].as_str().unwrap().starts_with("tester-"));
    for time in [&json["accepted_at"], &json["finished_at"], &attempt["granted_at"]] {
        let time = time.as_str().unwrap();
        assert!(time.starts_with("20") && time.ends_with('Z') && time.len() == 27, "{time}");
    }
}

#[tokio::test]
async fn history_is_filtered_and_paged() {
    let cluster = Cluster::start().await;
    let mut ids = Vec::new();
    for number in 0..5 {
        ids.push(cluster.run("add", &format!(r#"{{"parameters":{{"a":{number},"b":0}}}}"#)).await);
    }
    let failed = cluster.run("refuse", "").await;
    let special = cluster.run("ordered", r#"{"parameters":{"zone":"a","count":1}}"#).await;
    let list = async |query: &str| {
        let answer = cluster.get(&format!("/api/executions?{query}")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let json = answer.json();
        let ids: Vec<String> = json["executions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|execution| execution["execution_id"].as_str().unwrap().to_owned())
            .collect();
        (ids, json["next"].clone())
    };
    assert_eq!(list("status=failed").await, (vec![failed.clone()], Value::Null));
    assert_eq!(list("queue=special").await, (vec![special.clone()], Value::Null));
    assert_eq!(list("action=add&status=failed").await, (vec![], Value::Null));
    ids.reverse();
    let (first, next) = list("action=add&limit=3").await;
    assert_eq!((first.as_slice(), next.as_str()), (&ids[..3], Some(ids[2].as_str())));
    let (rest, next) = list(&format!("action=add&limit=3&before={}", ids[2])).await;
    assert_eq!((rest.as_slice(), next), (&ids[3..], Value::Null));
    let all = cluster.get("/api/executions").await.json();
    let newest = &all["executions"][0];
    assert_eq!(newest["execution_id"], *special);
    assert_eq!((&newest["status"], &newest["attempts"]), (&json!("succeeded"), &json!(1)));
    assert_eq!(all["executions"][1]["error"], "not today");
}

#[tokio::test]
async fn an_execution_has_a_number_that_stands_for_its_id() {
    let cluster = Cluster::start().await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(cluster.run("add", r#"{"parameters":{"a":1,"b":2}}"#).await);
    }
    for (number, id) in (1..).zip(&ids) {
        let shown = cluster.get(&format!("/api/executions/{number}")).await.json();
        assert_eq!((&shown["execution_id"], &shown["number"]), (&json!(id), &json!(number)));
        let status = cluster.get(&format!("/api/executions/{number}/status")).await.json();
        assert_eq!(status["execution_id"], **id);
        let list = cluster.get(&format!("/api/executions?number={number}")).await.json();
        assert_eq!(list["executions"].as_array().map(Vec::len), Some(1), "{list}");
        assert_eq!(list["executions"][0]["number"], number);
    }
    let stream = cluster.get("/api/executions/2/stream").await;
    assert!(stream.text().contains("complete"), "{stream:?}");
    for unknown in ["0", "4", "-1", "+1", "1.0", "18446744073709551616"] {
        let answer = cluster.get(&format!("/api/executions/{unknown}")).await;
        let detail = answer.json()["detail"].clone();
        assert_eq!(
            (answer.status.as_u16(), detail),
            (404, format!("execution {unknown:?} not found").into())
        );
    }
    assert_eq!(cluster.get("/api/executions?number=one").await.status, 422);
}

#[tokio::test]
async fn history_is_searched_by_words() {
    let cluster = Cluster::start().await;
    let zone = r#"{"parameters":{"zone":"north east","count":7}}"#;
    let ordered = cluster.run("ordered", zone).await;
    let failed = cluster.run("explode", r#"{"options":{"requested_by":"Anna Otto"}}"#).await;
    let typed = r#"{"parameters":{"days":3,"name":"host-12","password":"hunter2"}}"#;
    let typed = cluster.run("typed", typed).await;
    let list = async |query: &str| {
        let answer = cluster.get(&format!("/api/executions?{query}")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let list = answer.json()["executions"].as_array().unwrap().clone();
        let id = |one: &Value| one["execution_id"].as_str().unwrap().to_owned();
        list.iter().map(id).collect::<Vec<_>>()
    };
    for (query, found) in [
        ("q=nor", vec![&ordered]),
        ("q=count%20NORTH", vec![&ordered]),
        ("q=anna", vec![&failed]),
        ("q=bad%20valueerror", vec![&failed]),
        ("q=host-12", vec![&typed]),
        ("q=hunter2", vec![]),
        ("q=", vec![&typed, &failed, &ordered]),
        ("q=anna&status=succeeded,lost", vec![]),
        ("q=anna&status=succeeded,failed&since=2020-01-01T00:00:00Z", vec![&failed]),
        ("q=anna&status=failed&since=2020-01-01T00:00:00+05:30", vec![&failed]),
        ("q=anna&until=2020-01-01T00:00:00Z", vec![]),
    ] {
        assert_eq!(list(query).await.iter().collect::<Vec<_>>(), found, "{query}");
    }
    for id in [&typed[28..], &typed] {
        assert_eq!(list(&format!("q={id}")).await, std::slice::from_ref(&typed));
    }
    let long = format!("/api/executions?q={}", "x".repeat(201));
    for query in ["/api/executions?q=1+2+3+4+5+6+7+8+9", &long] {
        let detail = cluster.get(query).await.detail(422);
        assert!(detail.starts_with("q must be at most 8 words with at most 200"), "{detail}");
    }
    let shown = cluster.get("/api/executions?action=typed").await.json();
    let preview = &shown["executions"][0]["parameters_preview"];
    assert_eq!(preview, "days=3 name=host-12 password=***");
    let shown = cluster.get("/api/executions?action=explode").await.json();
    assert_eq!(shown["executions"][0]["parameters_preview"], Value::Null);
}

#[tokio::test]
async fn an_execution_says_who_cancelled_it_and_what_limit_it_exceeded() {
    let cluster = Cluster::start().await;
    let cancel = async |id: &str, query: &str, by: &str| {
        let mut request = json_post(&format!("/api/executions/{id}/cancel{query}"), "");
        request.headers_mut().insert("x-requested-by", by.parse().unwrap());
        let answer = cluster.request(request).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let handle = cluster.coordinator.handle(id.parse().unwrap()).await.unwrap();
        within(handle.outcome()).await.unwrap();
        cluster.get(&format!("/api/executions/{id}")).await.json()
    };
    let waiting = cluster.submit("until_stopped", r#"{"options":{"delay":3600}}"#).await;
    let waiting = cancel(&waiting, "", "anna").await;
    assert_eq!(
        (&waiting["status"], &waiting["cancelled_by"]),
        (&json!("cancelled"), &json!("anna"))
    );
    assert_eq!(waiting.get("killed"), None, "{waiting}");
    let running = cluster.submit("until_stopped", "").await;
    cluster.wrote(&running, 1).await;
    let running = cancel(&running, "?force=true", "otto").await;
    assert_eq!((&running["cancelled_by"], &running["killed"]), (&json!("otto"), &json!(true)));
    let gentle = cluster.submit("until_stopped", "").await;
    cluster.wrote(&gentle, 1).await;
    let gentle = cancel(&gentle, "", "").await;
    assert_eq!(gentle["killed"], false, "{gentle}");
    assert_eq!(gentle.get("cancelled_by"), None, "{gentle}");
    let late = cluster.run("until_stopped", r#"{"options":{"timeout":0.25}}"#).await;
    let late = cluster.get(&format!("/api/executions/{late}")).await.json();
    assert_eq!((&late["status"], &late["timeout_ms"]), (&json!("timed_out"), &json!(250)));
    assert_eq!(late.get("cancelled_by"), None, "{late}");
}

#[tokio::test]
async fn a_filter_that_makes_no_sense_is_named() {
    let cluster = Cluster::start().await;
    let rows = [
        (
            "status=SUCCESS",
            "status must be one of queued, running, cancelling, succeeded, failed, cancelled, timed_out, lost (got \"SUCCESS\")",
        ),
        ("before=x", "before must be the id of an execution (got \"x\")"),
        ("limit=0", "limit must be an integer from 1 to 1000 (got \"0\")"),
        ("limit=1001", "limit must be"),
        ("limit=-5", "limit must be"),
        ("limit=ten", "limit must be"),
        ("statsu=failed", "\"statsu\" is not a query parameter"),
        ("limit=1&limit=2", "limit must be given at most once"),
    ];
    for (query, part) in rows {
        let detail = cluster.get(&format!("/api/executions?{query}")).await.detail(422);
        assert!(detail.contains(part), "{part:?} in {detail:?}");
    }
    assert_eq!(cluster.get("/api/executions?action=%00%ff&queue=").await.status, 200);
}

#[tokio::test]
async fn a_running_execution_is_asked_to_end_once() {
    let cluster = Cluster::start().await;
    let other = cluster.submit("gate", "").await;
    let id = cluster.submit("until_stopped", "").await;
    cluster.wrote(&id, 1).await;
    let cancelled = cluster.post(&format!("/api/executions/{id}/cancel"), "").await;
    assert_eq!(cancelled.json(), json!({"execution_id": id, "status": "cancelling"}));
    let stream = cluster.get(&format!("/api/executions/{id}/stream")).await;
    assert!(stream.text().contains(r#""state":"REVOKED","status":"cancelled""#));
    let again = cluster.post(&format!("/api/executions/{id}/cancel"), "").await.detail(409);
    assert!(again.contains("was cancelled"), "{again}");
    let by_body = cluster.submit("gate", "").await;
    let path = format!("/api/executions/{by_body}/cancel");
    assert_eq!(cluster.post(&path, r#"{"force":true}"#).await.status, 200);
    let forced = cluster.post(&format!("/api/executions/{other}/cancel?force=true"), "").await;
    assert_eq!(forced.status, 200, "{forced:?}");
    let path = format!("/api/executions/{other}/cancel");
    let mistyped = cluster.post(&path, r#"{"froce":true}"#).await;
    assert!(mistyped.detail(422).contains("froce is not a field; use force"));
    let wrong = cluster.post(&format!("/api/executions/{other}/cancel?force=yes"), "").await;
    assert!(wrong.detail(422).contains("force must be true or false"));
}

#[tokio::test]
async fn one_that_waits_for_a_worker_is_cancelled_at_once() {
    let mut cluster = Cluster::start().await;
    cluster.worker.take().unwrap().shutdown(std::time::Duration::ZERO).await;
    let mut catalogue = cluster.coordinator.watch_catalogue();
    within(catalogue.wait_for(|known| !known["gate"].available)).await.unwrap();
    let id = cluster.submit("gate", "").await;
    let cancelled = cluster.post(&format!("/api/executions/{id}/cancel"), "").await;
    assert_eq!(cancelled.json(), json!({"execution_id": id, "status": "cancelled"}));
    let status = cluster.get(&format!("/api/executions/{id}/status")).await.json();
    assert_eq!(status["state"], "REVOKED");
    assert_eq!((&status["ready"], &status["successful"]), (&json!(true), &json!(false)));
    assert_eq!(status["info"]["error"], "cancelled");
}

#[tokio::test]
async fn workers_and_queues_tell_what_they_hold() {
    let cluster = Cluster::start().await;
    let id = cluster.submit("gate", "").await;
    cluster.wrote(&id, 1).await;
    let workers = cluster.get("/api/workers").await.json();
    let worker = &workers["workers"][0];
    assert_eq!((&worker["name"], &worker["slots"]), (&json!("tester"), &json!(4)));
    assert_eq!(worker["executions"], json!([id]));
    let running = &worker["running"][0];
    assert_eq!(
        (&running["execution_id"], &running["action_name"], &running["attempt"]),
        (&json!(id), &json!("gate"), &json!(1))
    );
    let attempt = &cluster.get(&format!("/api/executions/{id}")).await.json()["attempts"][0];
    assert_eq!(
        running["since"].as_str().unwrap()[..16],
        attempt["granted_at"].as_str().unwrap()[..16]
    );
    assert!((0.0..60.0).contains(&running["held_for"].as_f64().unwrap()), "{running}");
    assert_eq!(running["waits"], json!(false));
    assert_eq!(worker["problems"][0], json!({"place": "broken.py", "message": "SyntaxError: no"}));
    assert!(worker["silent_for"].as_f64().unwrap() >= 0.0);
    assert!(worker["actions"].as_array().unwrap().contains(&json!("add")));
    let queues = cluster.get("/api/queues").await.json();
    let queues = queues["queues"].as_array().unwrap();
    let default = queues.iter().find(|queue| queue["name"] == "default").unwrap();
    assert_eq!((&default["granted"], &default["waiting"]), (&json!(1), &json!(0)));
    assert_eq!((&default["workers"], &default["delayed"]), (&json!(1), &json!(0)));
}
