//! Secrets for actions, keys of workers and join tokens over HTTP.

use serde_json::{Value, json};

use crate::people::People;

const NONE: Value = Value::Null;
const CANARY: &str = "a-canary-of-a-secret";

#[tokio::test]
async fn developers_set_secrets_and_no_answer_has_their_values() {
    let people = People::with_stores().await;
    let dora = people.browser_of("dora").await;
    let path = "/api/secrets/db-password";
    let body = json!({"value": CANARY, "actions": ["backup-*"]});
    let set = dora.ask("PUT", path, body.clone()).await;
    assert!(!set.text().contains(CANARY), "{set:?}");
    let secret = set.json();
    assert_eq!((&secret["name"], &secret["version"]), (&json!("db-password"), &json!(1)));
    assert_eq!((&secret["set_by"], &secret["actions"]), (&json!("dora"), &json!(["backup-*"])));
    assert_eq!((&secret["groups"], &secret["queues"]), (&NONE, &NONE));
    assert_eq!(dora.expect(200, "PUT", path, body).await["version"], 2);
    let listed = dora.get("/api/secrets").await;
    assert!(!listed.text().contains(CANARY), "{listed:?}");
    assert_eq!(listed.json()["secrets"].as_array().unwrap().len(), 1);
    for wrong in [json!({"value": ""}), json!({"value": "x", "who": "x"}), json!({})] {
        dora.expect(422, "PUT", path, wrong).await;
    }
    dora.expect(422, "PUT", "/api/secrets/a%20b", json!({"value": "x"})).await;

    let adam = people.browser_of("adam").await;
    let audit = adam.get("/api/audit").await;
    assert!(audit.text().contains("secret.set") && !audit.text().contains(CANARY), "{audit:?}");
    // An operator and a token without that right find no such path.
    let olga = people.browser_of("olga").await;
    let reader = people.program("dora", &["read"]).await;
    for client in [&olga, &reader] {
        client.expect(404, "GET", "/api/secrets", NONE).await;
        client.expect(404, "PUT", path, json!({"value": "x"})).await;
        client.expect(404, "DELETE", path, NONE).await;
    }
    dora.expect(204, "DELETE", path, NONE).await;
    dora.expect(404, "DELETE", path, NONE).await;
}

#[tokio::test]
async fn admins_make_join_tokens_and_see_the_secret_once() {
    let people = People::with_stores().await;
    let adam = people.browser_of("adam").await;
    let new = json!({"names": "web-*", "queues": ["web"], "slots": 4, "uses": 2});
    let made = adam.expect(201, "POST", "/api/join-tokens", new).await;
    let secret = made["secret"].as_str().unwrap();
    assert!(secret.starts_with("tpj_"), "{made}");
    let token = &made["token"];
    let limits =
        json!({"names": "web-*", "queues": ["web"], "groups": null, "actions": null, "slots": 4});
    assert_eq!((&token["limits"], &token["uses"]), (&limits, &json!(2)));
    assert_eq!(token["created_by"], "adam");
    let listed = adam.get("/api/join-tokens").await;
    assert!(!listed.text().contains(secret), "{listed:?}");
    assert_eq!(listed.json()["tokens"], json!([token]));
    for wrong in [
        json!({"names": "a b"}),
        json!({"names": "web", "uses": 0}),
        json!({"names": "web", "valid_for_s": 3_000_000}),
        json!({}),
    ] {
        adam.expect(422, "POST", "/api/join-tokens", wrong).await;
    }
    assert_eq!(adam.expect(200, "GET", "/api/worker-keys", NONE).await, json!({"keys": []}));
    adam.expect(404, "DELETE", "/api/worker-keys/none", NONE).await;
    let dora = people.browser_of("dora").await;
    for (method, path) in [
        ("GET", "/api/worker-keys"),
        ("DELETE", "/api/worker-keys/none"),
        ("GET", "/api/join-tokens"),
        ("POST", "/api/join-tokens"),
    ] {
        let detail = dora.ask(method, path, NONE).await.detail(404);
        assert!(detail.contains("right enrol"), "{detail}");
    }
    let id = token["id"].as_str().unwrap();
    adam.expect(204, "DELETE", &format!("/api/join-tokens/{id}"), NONE).await;
    adam.expect(404, "DELETE", &format!("/api/join-tokens/{id}"), NONE).await;
}
