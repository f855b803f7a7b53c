//! Facts that one of several teams could learn of the others: numbers, times, and who is where.

use axum::body::BodyDataStream;
use bytes::Bytes;
use futures::StreamExt;
use serde_json::{Value, json};
use tinpot_access::{AUDIT_LOG, IdentityKey, NewTeam, RingSuite, Role, Team, WorkerKeys};
use tinpot_core::seal::Suite;
use tinpot_core::{Coordinator, MemoryNetwork};
use tower::ServiceExt;

use crate::cluster::within;
use crate::people::{Browser, People, by};
use crate::teams::{Teams, run};

const NONE: Value = Value::Null;

#[tokio::test]
async fn the_audit_names_the_address_and_the_request_of_a_run() {
    let teams = Teams::start().await;
    let ada = teams.people.browser_of("red-1-admin").await;
    let ran = ada.ask("POST", "/api/actions/red-only/sync_execute", json!({})).await;
    let cancel = format!("/api/executions/{}/cancel", ran.json()["execution_id"].as_str().unwrap());
    ada.ask("POST", &cancel, NONE).await;
    let made = ada.ask("POST", "/api/tokens", json!({ "name": "own" })).await;
    teams.people.coordinator.shutdown().await;
    for (path, what, request) in [
        ("/api/audit?log=runs", "run", &ran),
        ("/api/audit?what=token.create", "token.create", &made),
    ] {
        let page = ada.expect(200, "GET", path, NONE).await;
        let entry = page["entries"].as_array().unwrap().iter().find(|one| one["what"] == what);
        let entry = entry.unwrap_or_else(|| panic!("{path}: {page}"));
        assert_eq!(entry["from"], "192.0.2.1", "{entry}");
        assert_eq!(entry["request_id"], request.header("x-request-id"), "{entry}");
    }
}

#[tokio::test]
async fn the_audit_of_a_team_does_not_count_what_others_do() {
    let teams = Teams::start().await;
    let ada = teams.people.browser_of("red-1-admin").await;
    let bob = teams.people.browser_of("canary-1-admin").await;
    for name in ["one", "two", "three"] {
        ada.expect(201, "POST", "/api/tokens", json!({ "name": name })).await;
        bob.expect(201, "POST", "/api/tokens", json!({ "name": name })).await;
    }
    let damaged: Bytes = Bytes::from_static(b"{");
    teams.people.records.append(AUDIT_LOG, None, &[damaged]).await.unwrap();
    let page = |after: &str| format!("/api/audit?what=token&limit=1{after}");
    let (mut after, mut details) = (String::new(), Vec::new());
    while details.len() < 3 {
        let found = ada.expect(200, "GET", &page(&after), NONE).await;
        assert_eq!(found["unreadable"], 0, "{found}");
        let entry = &found["entries"][0];
        assert_eq!(entry["n"], NONE, "{entry}");
        details.push(entry["detail"].as_str().unwrap().to_owned());
        let next = found["next"].as_str().unwrap();
        assert!(next.len() == 48, "it is a number: {next}");
        // Two texts of one number have nothing in common, and another team cannot use them.
        let again = ada.expect(200, "GET", &page(&after), NONE).await;
        assert_ne!(again["next"], next);
        bob.expect(422, "GET", &page(&format!("&after={next}")), NONE).await;
        after = format!("&after={next}");
    }
    assert!(details[0].contains("three") && details[2].contains("one"), "{details:?}");
    for wrong in ["1", "x", &"0".repeat(48)] {
        ada.expect(422, "GET", &page(&format!("&after={wrong}")), NONE).await;
    }
}

#[tokio::test]
async fn the_stream_of_a_team_is_silent_while_others_work() {
    let teams = Teams::start().await;
    let ada = teams.people.browser_of("red-1-admin").await;
    let bob = teams.people.browser_of("canary-1-admin").await;
    let all = "/api/stream?executions=true&workers=true&queues=true&catalogue=true";
    let open = async |browser: &Browser| {
        let request = browser.request("GET", all, &NONE);
        let answer = teams.people.router.clone().oneshot(request).await.unwrap();
        answer.into_body().into_data_stream()
    };
    let until = async |stream: &mut BodyDataStream, text: &mut String, words: &[&str]| {
        within(async {
            while !words.iter().all(|word| text.contains(word)) {
                text.push_str(std::str::from_utf8(&stream.next().await.unwrap().unwrap()).unwrap());
            }
        })
        .await;
    };
    let (mut of_ada, mut of_bob) = (open(&ada).await, open(&bob).await);
    let (mut seen, mut foreign) = (String::new(), String::new());
    let topics = ["\"workers\"", "\"queues\"", "\"catalogue\""];
    // Once at the start, for all.
    until(&mut of_ada, &mut seen, &topics).await;
    seen.clear();
    let ended = run(&bob, "canary-only", json!({})).await;
    until(&mut of_bob, &mut foreign, &[ended["execution_id"].as_str().unwrap()]).await;
    foreign.clear();
    bob.expect(200, "POST", "/api/queues/canary-only/pause", NONE).await;
    let worker = teams.worker("canary-1").await;
    bob.expect(202, "POST", &format!("/api/workers/{worker}/drain"), NONE).await;
    until(&mut of_bob, &mut foreign, &topics[..2]).await;
    let ended = run(&ada, "red-only", json!({})).await;
    until(&mut of_ada, &mut seen, &[ended["execution_id"].as_str().unwrap()]).await;
    for topic in topics {
        assert!(!seen.contains(topic), "an event before that of her own execution: {seen}");
    }
    // Her own work is announced.
    until(&mut of_ada, &mut seen, &topics[..2]).await;
    assert!(!seen.contains("\"catalogue\""), "{seen}");
}

/// A server with the teams `red` and `blue`, each with an admin, and with keys of workers.
async fn two_teams() -> (People, Team, Team) {
    let builder = |_: &_| Coordinator::builder(MemoryNetwork::new().transport());
    let people = People::with_teams(builder).await;
    let keys = WorkerKeys::builder(people.records.clone()).open().await.unwrap();
    let namespace = RingSuite::new(&IdentityKey::generate().unwrap());
    let people =
        people.configured(|one| one.worker_keys(keys, namespace.public()), |config| config);
    let team = async |name: &str| {
        let team = people.directory.create_team(&by(), NewTeam::new(name)).await.unwrap();
        people.add_to(&team, &format!("{name}-admin"), Role::Admin).await;
        team
    };
    let (red, blue) = (team("red").await, team("blue").await);
    (people, red, blue)
}

#[tokio::test]
async fn worker_keys_and_join_tokens_are_those_of_the_team() {
    let (people, ..) = two_teams().await;
    let ada = people.browser_of("red-admin").await;
    let bob = people.browser_of("blue-admin").await;
    let new = json!({ "names": "web-*" });
    let made = ada.expect(201, "POST", "/api/join-tokens", new.clone()).await;
    let of_bob = bob.expect(201, "POST", "/api/join-tokens", new).await;
    for (browser, own, other) in [(&ada, &made, &of_bob), (&bob, &of_bob, &made)] {
        let listed = browser.get("/api/join-tokens").await;
        let id = |token: &Value| token["token"]["id"].as_str().unwrap().to_owned();
        assert!(listed.text().contains(&id(own)) && !listed.text().contains(&id(other)));
        // Another team's token is answered like one that never was.
        let hidden = browser.ask("DELETE", &format!("/api/join-tokens/{}", id(other)), NONE).await;
        let never = "0".repeat(32);
        let none = browser.ask("DELETE", &format!("/api/join-tokens/{never}"), NONE).await;
        assert_eq!(hidden.detail(404), none.detail(404).replace(&never, &id(other)));
    }
    // A token for the workers of another team, or of all, cannot be asked for.
    for more in [json!({ "names": "w", "teams": ["blue"] }), json!({ "names": "w", "teams": null })]
    {
        ada.expect(422, "POST", "/api/join-tokens", more).await;
    }
    assert_eq!(ada.get("/api/worker-keys").await.json(), json!({ "keys": [] }));
}

#[tokio::test]
async fn an_admin_asks_about_users_of_the_own_team_only() {
    let (people, red, blue) = two_teams().await;
    let ada = people.browser_of("red-admin").await;
    let both = people.add_to(&red, "both", Role::Viewer).await;
    let added = people.directory.add_member(&by(), &blue.id, &both.id, Some(Role::Admin)).await;
    added.unwrap();
    let may = ada.expect(200, "GET", &format!("/api/users/{}/may", both.id), NONE).await;
    let rights = may["rights"].as_array().unwrap();
    assert!(rights.contains(&json!("read")), "{may}");
    assert!(!rights.contains(&json!("manage_team")), "that is a right in the other team: {may}");
    let foreign = people.id("blue-admin");
    let hidden = ada.get(&format!("/api/users/{foreign}/may")).await.detail(404);
    let never = ada.get("/api/users/user:never/may").await.detail(404);
    assert_eq!(hidden, never.replace("user:never", &foreign));
}

#[tokio::test]
async fn a_program_that_a_person_signs_in_acts_in_the_team_of_that_page() {
    let (people, red, blue) = two_teams().await;
    let both = people.add_to(&red, "both", Role::Viewer).await;
    people.directory.add_member(&by(), &blue.id, &both.id, Some(Role::Admin)).await.unwrap();
    let program = people.browser();
    let asked = program.expect(201, "POST", "/api/auth/device", json!({ "client": "ci" })).await;
    let code = asked["code"].as_str().unwrap();
    let person = people.browser_of("both").await.in_team("blue");
    let agreed = json!({ "agree": true });
    person.expect(204, "POST", &format!("/api/auth/device/{code}"), agreed).await;
    let ask = json!({ "device": asked["device"] });
    let token = program.expect(200, "POST", "/api/auth/device/token", ask).await;
    let known = people.browser().with_token(token["secret"].as_str().unwrap());
    let me = known.expect(200, "GET", "/api/auth/me", NONE).await;
    assert_eq!(me["team"], *blue.id, "{me}");
    assert!(known.in_team("red").get("/api/auth/me").await.status.as_u16() >= 400);
}
