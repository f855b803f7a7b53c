//! Several teams on one server: who manages them, and that none sees anything of another.

use std::sync::Arc;

use futures::StreamExt;
use serde_json::{Value, json};
use tinpot_access::{NewTeam, NewToken, Role, Team};
use tinpot_core::seal::{CoordinatorOptions, EnrolledKeys, Pins, Suite, WorkerGrant};
use tinpot_core::testing::ToySuite;
use tinpot_core::transport::Address;
use tinpot_core::{
    Coordinator, Failure, FunctionExecutor, Level, MemoryNetwork, Stream, Worker, WorkerId,
};
use tower::ServiceExt;

use crate::cluster::within;
use crate::people::{Browser, PASSWORD, People, by};

const NONE: Value = Value::Null;
/// A word in everything of the team `blue`.
const CANARY: &str = "canary";

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Input {
    #[serde(default)]
    text: String,
}

/// The teams `red` and `blue`, each with a worker and an admin, and a worker of both.
pub(crate) struct Teams {
    pub(crate) people: People,
    red: Team,
    pub(crate) blue: Team,
    /// Held so that they live.
    _workers: Vec<Worker>,
}

/// An executor with the action `deploy`, which writes its text and returns a word, and the action
/// `relay`, which calls it; and one more.
fn executor(word: &'static str, more: &str) -> FunctionExecutor {
    let deploy = move |context: tinpot_core::Context, Input { text }: Input| async move {
        context.logs().write(Stream::Stdout, Level::Info, vec![text.clone()]).await;
        match text.contains("fail") {
            true => Err(Failure::new(format!("{word} {text}"))),
            false => Ok(word),
        }
    };
    let relay = |context: tinpot_core::Context, (): ()| async move {
        context.call::<String>("deploy", json!({ "text": "relayed" })).await
    };
    FunctionExecutor::builder()
        .action("deploy", deploy)
        .action_with("relay", |action| action.group(more), relay)
        .action_with(
            more,
            |action| action.group(more).queue(more).description(more),
            |_, ()| async { Ok::<_, Failure>(()) },
        )
        .build()
        .unwrap()
}

impl Teams {
    pub(crate) async fn start() -> Self {
        let network = MemoryNetwork::new();
        let suite = ToySuite::new(1_000, 1);
        let enrolled: Arc<EnrolledKeys> = Arc::default();
        let options = CoordinatorOptions::new("tinpot", enrolled.clone());
        let transport = network.transport_of(&Address::Coordinator);
        let people =
            People::with_teams(|_| Coordinator::builder(transport).sealed(suite.clone(), options))
                .await;
        let team = async |name: &str| {
            people.directory.create_team(&by(), NewTeam::new(name)).await.unwrap()
        };
        let (red, blue) = (team("red").await, team("blue-canary").await);
        let mut workers = Vec::new();
        let offers = [
            ("red-1", executor("of red", "red-only"), vec![&red]),
            ("canary-1", executor("of canary", "canary-only"), vec![&blue]),
            ("shared-1", executor("shared", "for-both"), vec![&red, &blue]),
        ];
        for (number, (name, executor, teams)) in offers.into_iter().enumerate() {
            let key = suite.owned_by(number as u64 + 2);
            let mut grant = WorkerGrant::new(key.public(), name);
            grant.teams = Some(teams.iter().map(|team| team.id.to_string()).collect());
            enrolled.enrol(&key, grant);
            let id = WorkerId::generate(name);
            let transport = network.transport_of(&Address::Worker(id.clone()));
            let worker = Worker::builder(transport).id(id).name(name).executor(executor).slots(4);
            let pins = Pins::new("tinpot", [suite.public()]);
            workers.push(worker.sealed(key, pins).start().await.unwrap());
            if name != "shared-1" {
                people.add_to(teams[0], &format!("{name}-admin"), Role::Admin).await;
            }
        }
        let mut catalogue = people.coordinator.watch_catalogue();
        // Three actions of each team's worker, and those of the shared one in both teams.
        let all = |known: &Arc<tinpot_core::Catalogue>| {
            known.len() == 8 && known.values().all(|entry| entry.available)
        };
        within(catalogue.wait_for(all)).await.unwrap();
        Self { people, red, blue, _workers: workers }
    }

    /// Waits until an execution has ended.
    async fn ended(&self, id: &str) {
        let id = id.parse().unwrap();
        within(async {
            loop {
                let execution = self.people.coordinator.execution(id).await.unwrap();
                if execution.is_some_and(|execution| execution.status.is_terminal()) {
                    return;
                }
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    /// The worker of this name, by the id that the coordinator knows.
    pub(crate) async fn worker(&self, name: &str) -> String {
        let workers = self.people.coordinator.workers().await.unwrap();
        let worker = workers.iter().find(|worker| worker.name == name).unwrap();
        worker.id.as_str().to_owned()
    }
}

pub(crate) async fn run(browser: &Browser, action: &str, body: Value) -> Value {
    browser.expect(200, "POST", &format!("/api/actions/{action}/sync_execute"), body).await
}

fn names(list: &Value, key: &str) -> Vec<String> {
    let names = list[key].as_array().unwrap().iter();
    names.map(|one| one["name"].as_str().unwrap().to_owned()).collect()
}

/// Attack 10: another name in the body, or in the header of a proxy that is none.
#[tokio::test]
async fn a_run_is_that_of_its_caller_whatever_body_and_header_say() {
    let teams = Teams::start().await;
    let people = &teams.people;
    let ada = people.browser_of("red-1-admin").await;
    let path = "/api/actions/deploy/execute";
    let parameters = json!({ "text": "mine" });
    let by_body = json!({ "parameters": parameters, "options": { "requested_by": "root" } });
    let by_body = ada.request("POST", path, &by_body);
    let mut by_header = ada.request("POST", path, &json!({ "parameters": parameters }));
    by_header.headers_mut().insert("x-requested-by", "root".parse().unwrap());
    for request in [by_body, by_header] {
        let made = ada.send(request).await.json();
        let id = made["execution_id"].as_str().unwrap();
        let shown = ada.get(&format!("/api/executions/{id}")).await.json();
        assert_eq!(shown["requested_by"], "red-1-admin", "{shown}");
        assert_eq!(shown["on_behalf_of"], "root", "{shown}");
    }
    let found = ada.get("/api/executions?requested_by=root").await.json();
    assert_eq!(found["executions"], json!([]));
}

/// Attack 6: team B in A's lists, search, streams, statistics, texts of errors and idempotency keys.
#[tokio::test]
async fn a_team_sees_nothing_of_another() {
    let teams = Teams::start().await;
    let people = &teams.people;
    let ada = people.browser_of("red-1-admin").await;
    let bob = people.browser_of("canary-1-admin").await;
    let with = |text: &str| json!({ "parameters": { "text": text }, "options": { "idempotency_key": "same" } });
    // Both have an action of this name, and use the same idempotency key.
    let stream = ada.request("GET", "/api/stream?executions=true&workers=true&queues=true", &NONE);
    let stream = people.router.clone().oneshot(stream).await.unwrap();
    let of_bob = bob.expect(200, "POST", "/api/actions/deploy/execute", with(CANARY)).await;
    let of_ada = ada.expect(200, "POST", "/api/actions/deploy/execute", with("mine")).await;
    assert_ne!(of_bob["execution_id"], of_ada["execution_id"]);
    let failed = json!({
        "parameters": { "text": "canary fails" },
        "options": { "requested_by": CANARY },
    });
    let failed = bob.expect(200, "POST", "/api/actions/deploy/execute", failed).await;
    let relayed = bob.expect(200, "POST", "/api/actions/relay/execute", json!({})).await;
    bob.expect(200, "POST", "/api/actions/canary-only/execute", json!({})).await;
    let hidden: Vec<String> = [&of_bob, &failed, &relayed]
        .iter()
        .map(|one| one["execution_id"].as_str().unwrap().to_owned())
        .collect();
    for id in &hidden {
        teams.ended(id).await;
    }
    ada.expect(201, "POST", "/api/tokens", json!({ "name": "own" })).await;
    let user = people.id("canary-1-admin");
    let new = NewToken::new("canary-token", user.as_str());
    let of_blue = people.directory.of_team(teams.blue.id.clone());
    let (_, token) = of_blue.create_token(&by(), new).await.unwrap();
    of_blue.set_group(&by(), "canary-group", &[user.as_str().into()]).await.unwrap();
    let program = of_blue.add_program(&by(), &teams.blue.id, "canary-program").await.unwrap();
    let blue = teams.blue.id.to_string();

    // Every list, and every search in it.
    let own = of_ada["execution_id"].as_str().unwrap();
    for path in [
        "/api/actions",
        "/api/executions",
        "/api/executions?q=canary",
        "/api/executions?q=fails",
        "/api/executions?action=canary-only",
        "/api/executions?queue=canary-only",
        "/api/executions?requested_by=canary-1-admin",
        "/api/workers",
        "/api/queues",
        "/api/stats",
        "/api/stats/actions",
        "/api/users",
        "/api/grants",
        "/api/groups",
        "/api/programs",
        "/api/tokens?all=true",
        "/api/audit?limit=1000",
        "/api/audit?log=runs&limit=1000",
        "/api/auth/me",
        &format!("/api/executions/{own}"),
        &format!("/api/executions/{own}/spans"),
        &format!("/api/executions?parent={}", hidden[2]),
    ] {
        let answer = ada.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        let text = answer.text().to_lowercase();
        assert!(!text.contains(CANARY) && !text.contains(&blue), "{path}: {text}");
        for id in &hidden {
            // A filter is not repeated in the answer.
            assert!(!text.contains(id), "{path}: {text}");
        }
        // So that the search could find something.
        let short = ["q=", "action=", "queue=", "requested_by=", "parent=", "groups", "programs"];
        assert!(text.len() > 20 || short.iter().any(|one| path.contains(one)), "{path}: {text}");
    }
    let listed = ada.get("/api/executions").await.json();
    assert_eq!(listed["executions"].as_array().unwrap().len(), 1, "{listed}");
    let minutes = ada.get("/api/stats?minutes=5").await.json();
    let minutes = minutes["minutes"].as_array().unwrap();
    let accepted: u64 = minutes.iter().map(|minute| minute["accepted"].as_u64().unwrap()).sum();
    assert_eq!(accepted, 1);
    let found = bob.get("/api/executions?q=canary").await.json();
    assert!(found["executions"].as_array().unwrap().len() >= 2, "{found}");

    // What is hidden is answered like what never existed.
    let never = "0190a0c0-0000-7000-8000-000000000000";
    let of_executions =
        ["", "/status", "/logs", "/logs/search?q=x", "/spans", "/summary", "/artifacts", "/stream"];
    let mut pairs: Vec<(&str, String, &str)> = Vec::new();
    for end in of_executions {
        pairs.push(("GET", format!("/api/executions/{{}}{end}"), never));
    }
    pairs.push(("POST", "/api/executions/{}/cancel".to_owned(), never));
    pairs.push(("POST", "/api/executions/{}/rerun".to_owned(), never));
    for (method, path, never) in pairs {
        let hides = ada.ask(method, &path.replace("{}", &hidden[0]), NONE).await;
        let none = ada.ask(method, &path.replace("{}", never), NONE).await;
        let text = none.text().replace(never, &hidden[0]);
        assert_eq!((hides.status.as_u16(), hides.text()), (404, text.as_str()), "{path}");
    }
    let team_and_action = format!("{blue}%2Fcanary-only");
    let worker = teams.worker("canary-1").await;
    for (method, path, hidden, never) in [
        ("GET", "/api/actions/{}", "canary-only", "never"),
        ("GET", "/api/actions/{}", &*team_and_action, "never%2Fnever"),
        ("POST", "/api/actions/{}/execute", "canary-only", "never"),
        ("POST", "/api/actions/{}/execute", &*team_and_action, "never%2Fnever"),
        ("POST", "/api/queues/{}/pause", "canary-only", "never"),
        ("POST", "/api/queues/{}/resume", &*team_and_action, "never%2Fnever"),
        ("POST", "/api/workers/{}/drain", &*worker, "never-00000000"),
        ("PATCH", "/api/users/{}", &*user, "user:never"),
        ("DELETE", "/api/users/{}", &*user, "user:never"),
        ("DELETE", "/api/tokens/{}", &*token.id, "never"),
        ("POST", "/api/tokens/{}/rotate", &*token.id, "never"),
        ("DELETE", "/api/groups/{}", "canary-group", "never"),
        ("DELETE", "/api/programs/{}", &*program.id, "program:never"),
        ("GET", "/api/teams/{}/members", "blue-canary", "never"),
        ("GET", "/api/teams/{}/members", &*blue, "never"),
        ("DELETE", "/api/teams/{}/members/x", "blue-canary", "never"),
    ] {
        let body = if method == "PATCH" { json!({ "disabled": true }) } else { NONE };
        let hides = ada.ask(method, &path.replace("{}", hidden), body.clone()).await;
        let none = ada.ask(method, &path.replace("{}", never), body).await;
        let plain = |text: &str| text.replace("%2F", "/");
        let text = none.text().replace(&plain(never), &plain(hidden));
        assert_eq!((hides.status.as_u16(), hides.text()), (404, text.as_str()), "{path} {hidden}");
    }
    let foreign = json!({ "to": { "user": user }, "role": "viewer" });
    ada.expect(404, "POST", "/api/grants", foreign).await;
    ada.expect(404, "POST", "/api/tokens", json!({ "name": "x", "principal": user })).await;
    ada.expect(404, "PUT", "/api/groups/ops", json!({ "members": [user] })).await;
    let foreign = json!({ "to": { "program": &*program.id }, "role": "viewer" });
    ada.expect(404, "POST", "/api/grants", foreign).await;
    let foreign = json!({ "name": "x", "principal": &*program.id });
    ada.expect(404, "POST", "/api/tokens", foreign).await;
    let grants = people.directory.grants();
    let grant = grants.iter().find(|grant| grant.team == teams.blue.id).unwrap();
    ada.expect(404, "DELETE", &format!("/api/grants/{}", grant.id), NONE).await;
    // In the header, too.
    let elsewhere = async |team: &str| {
        let browser = people.browser_of("red-1-admin").await.in_team(team);
        let answer = browser.get("/api/executions").await;
        (answer.status.as_u16(), answer.text().replace(team, "it"))
    };
    let expected = elsewhere("never").await;
    assert_eq!(expected.0, 404);
    assert_eq!(
        (elsewhere("blue-canary").await, elsewhere(&blue).await),
        (expected.clone(), expected)
    );

    // The stream of what happened meanwhile.
    let mut frames = stream.into_body().into_data_stream();
    let mut text = String::new();
    within(async {
        while !text.contains(own) {
            text.push_str(std::str::from_utf8(&frames.next().await.unwrap().unwrap()).unwrap());
        }
    })
    .await;
    assert!(!text.to_lowercase().contains(CANARY), "{text}");
    assert!(hidden.iter().all(|id| !text.contains(id)), "{text}");
}

#[tokio::test]
async fn an_action_of_a_team_runs_on_the_workers_of_that_team() {
    let teams = Teams::start().await;
    let ada = teams.people.browser_of("red-1-admin").await;
    let bob = teams.people.browser_of("canary-1-admin").await;
    let listed = ada.get("/api/actions").await.json();
    let listed: Vec<&String> = listed.as_object().unwrap().keys().collect();
    assert_eq!(listed, ["deploy", "for-both", "red-only", "relay"]);
    for _ in 0..8 {
        for (browser, other) in [(&ada, "canary"), (&bob, "red")] {
            for action in ["deploy", "relay"] {
                let ended = run(browser, action, json!({})).await.to_string();
                assert!(!ended.contains(other), "{action}: {ended}");
            }
        }
    }
    let children = bob.get("/api/executions?action=deploy&limit=100").await.json();
    assert_eq!(children["executions"].as_array().unwrap().len(), 16, "{children}");

    // A team pauses only its own part of a queue that two teams use.
    let paused = ada.expect(200, "POST", "/api/queues/default/pause", NONE).await;
    assert_eq!(paused["paused"], true, "{paused}");
    let waits = ada.expect(200, "POST", "/api/actions/deploy/execute", json!({})).await;
    run(&bob, "deploy", json!({})).await;
    let of_bob = bob.get("/api/queues").await.json();
    let default = of_bob["queues"].as_array().unwrap().iter().find(|q| q["name"] == "default");
    assert_eq!(default.unwrap()["paused"], false, "{of_bob}");
    let waits = waits["execution_id"].as_str().unwrap();
    let path = format!("/api/executions/{waits}");
    assert_eq!(ada.get(&path).await.json()["status"], "queued");
    ada.expect(200, "POST", "/api/queues/default/resume", NONE).await;
    teams.ended(waits).await;
    assert_eq!(ada.get(&path).await.json()["status"], "succeeded");

    // A whole queue was paused when there were no teams: the default team resumes it.
    teams.people.coordinator.pause_queue("red-only").await.unwrap();
    let still = ada.expect(200, "POST", "/api/queues/red-only/resume", NONE).await;
    assert_eq!(still["paused"], true, "{still}");
    let default = teams.people.directory.team("default").unwrap();
    teams.people.add_to(&default, "of-default", Role::Admin).await;
    let of_default = teams.people.browser_of("of-default").await;
    let resumed = of_default.ask("POST", "/api/queues/red-only/resume", NONE).await;
    assert_eq!(resumed.status.as_u16(), 200, "{resumed:?}");
    let of_ada = ada.get("/api/queues").await.json();
    let queue = of_ada["queues"].as_array().unwrap().iter().find(|q| q["name"] == "red-only");
    assert_eq!(queue.unwrap()["paused"], false, "{of_ada}");

    // Each team sees the shared worker, and neither ends it for the other.
    let shared = teams.worker("shared-1").await;
    for browser in [&ada, &bob] {
        let workers = browser.get("/api/workers").await;
        assert!(workers.text().contains(&shared), "{workers:?}");
        browser.expect(404, "POST", &format!("/api/workers/{shared}/drain"), NONE).await;
    }
    let own = teams.worker("red-1").await;
    ada.expect(202, "POST", &format!("/api/workers/{own}/drain"), NONE).await;
}

#[tokio::test]
async fn an_admin_of_the_server_manages_teams_and_one_of_a_team_its_members() {
    let teams = Teams::start().await;
    let people = &teams.people;
    let root = tinpot_access::NewUser::new("root").server_admin();
    let address = [127, 0, 0, 1].into();
    let secret = tinpot_access::Secret::new(PASSWORD);
    people.login.add_user(&by(), root, secret, address).await.unwrap();
    let (root, ada) = (people.browser_of("root").await, people.browser_of("red-1-admin").await);
    let listed = root.get("/api/teams").await.json();
    assert_eq!(names(&listed, "teams"), ["blue-canary", "default", "red"]);
    for (method, path) in [("GET", "/api/teams"), ("POST", "/api/teams")] {
        ada.expect(404, method, path, NONE).await;
    }
    for (method, path) in [("PATCH", "/api/teams/red"), ("DELETE", "/api/teams/red")] {
        let detail = ada.ask(method, path, NONE).await.detail(404);
        assert!(detail.contains("the right manage_server is missing"), "{detail}");
    }
    let new = json!({ "name": "green", "description": "Gardens" });
    let green = root.expect(201, "POST", "/api/teams", new.clone()).await;
    assert_eq!((&green["members"], &green["disabled"]), (&json!(0), &json!(false)));
    root.expect(409, "POST", "/api/teams", new).await;
    root.expect(422, "POST", "/api/teams", json!({ "name": "a b" })).await;
    let changed = root.expect(200, "PATCH", "/api/teams/green", json!({ "name": "olive" })).await;
    assert_eq!((&changed["id"], &changed["description"]), (&green["id"], &json!("Gardens")));
    root.expect(404, "PATCH", "/api/teams/green", json!({ "name": "x" })).await;

    // A member of two teams chooses one; the first admin of a team comes from the server's.
    let member = json!({ "user": "red-1-admin", "role": "viewer" });
    root.expect(201, "POST", "/api/teams/olive/members", member.clone()).await;
    root.expect(409, "POST", "/api/teams/olive/members", member.clone()).await;
    assert_eq!(ada.status().await, 401, "she has to sign in again");
    let ada = people.browser_of("red-1-admin").await;
    ada.expect(404, "POST", "/api/teams/red/members", member).await;
    let me = ada.get("/api/auth/me").await.json();
    assert_eq!(names(&me, "teams"), ["olive", "red"]);
    assert_eq!(me["team"], green["id"], "the first by name");
    let in_red = people.browser_of("red-1-admin").await.in_team("red");
    let me = in_red.get("/api/auth/me").await.json();
    assert_eq!(me["team"], json!(*teams.red.id));
    assert!(me["rights"].as_array().unwrap().contains(&json!("manage_team")), "{me}");
    let members = in_red.get("/api/teams/red/members").await.json();
    assert_eq!(names(&members, "users"), ["red-1-admin"]);
    // She manages one of the two, and only while she acts in it.
    ada.expect(404, "GET", "/api/teams/red/members", NONE).await;
    in_red.expect(404, "GET", "/api/teams/olive/members", NONE).await;
    let id = people.id("red-1-admin");
    let last = in_red.ask("DELETE", &format!("/api/teams/red/members/{id}"), NONE).await;
    assert!(last.detail(409).contains("the team \"red\" needs an admin"));
    let new = json!({ "name": "nina", "password": PASSWORD, "role": "operator" });
    let nina = in_red.expect(201, "POST", "/api/users", new).await;
    let nina = format!("/api/teams/red/members/{}", nina["id"].as_str().unwrap());
    in_red.expect(204, "DELETE", &nina, NONE).await;
    in_red.expect(404, "DELETE", &nina, NONE).await;

    // A token belongs to the team in which it was created.
    let made = in_red.expect(201, "POST", "/api/tokens", json!({ "name": "ci" })).await;
    let token = format!("Bearer {}", made["secret"].as_str().unwrap());
    let with = async |team: Option<&str>| {
        let mut request = people.browser().request("GET", "/api/auth/me", &NONE);
        request.headers_mut().insert("authorization", token.parse().unwrap());
        if let Some(team) = team {
            request.headers_mut().insert("tinpot-team", team.parse().unwrap());
        }
        people.browser().send(request).await
    };
    assert_eq!(with(None).await.json()["team"], json!(*teams.red.id));
    assert_eq!(with(Some("red")).await.status, 200);
    assert!(with(Some("olive")).await.detail(404).contains("no team \"olive\""));
    assert!(with(Some("")).await.detail(400).contains("header Tinpot-Team must be"));
    let mut twice = in_red.request("GET", "/api/auth/me", &NONE);
    twice.headers_mut().append("tinpot-team", "red".parse().unwrap());
    assert!(in_red.send(twice).await.detail(400).contains("got several"));

    // A disabled team is answered like one that never existed; it can be removed once it is empty.
    root.expect(200, "PATCH", "/api/teams/red", json!({ "disabled": true })).await;
    assert_eq!((with(None).await.status.as_u16(), in_red.status().await), (401, 404));
    root.expect(409, "DELETE", "/api/teams/olive", NONE).await;
    root.expect(204, "DELETE", &format!("/api/teams/olive/members/{id}"), NONE).await;
    root.expect(204, "DELETE", "/api/teams/olive", NONE).await;
    root.expect(409, "PATCH", "/api/teams/default", json!({ "disabled": true })).await;
}

#[tokio::test]
async fn a_server_with_one_team_says_nothing_of_teams() {
    let people = People::some().await;
    let root = people.browser_of("root").await.in_team("red");
    let me = root.get("/api/auth/me").await.json();
    assert_eq!((&me["team"], me.get("teams")), (&json!("default"), None));
    let detail = root.get("/api/teams").await.detail(404);
    assert!(detail.contains("this server has one team"), "{detail}");
    let users = root.get("/api/users").await.text().to_owned();
    assert!(!users.contains("team"), "{users}");
}
