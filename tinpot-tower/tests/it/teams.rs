//! Teams, logins and tokens.

use serde_json::json;
use tinpot_access::Secret;
use tinpot_tower::TowerConfig;

use crate::support::{BOOTSTRAP, Server};

const SIGN_UP: &str = "/api/v1/teams/signup";
const LOGIN: &str = "/api/v1/teams/login";
const BOOTSTRAP_PATH: &str = "/api/v1/bootstrap/team";

fn is_token(token: &str) -> bool {
    let digits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    token.len() == 47 && token.starts_with("mtk_") && token[4..].chars().all(digits)
}

#[tokio::test]
async fn a_team_signs_up_and_logs_in() {
    let server = Server::start().await;
    let body = r#"{"slug":"first","name":" First Team ","password":"x"}"#;
    let answer = server.post("", SIGN_UP, body).await;
    let json = answer.json();
    let token = json["token"].as_str().unwrap().to_owned();
    assert!(is_token(&token), "{token}");
    let expected =
        format!("{{\"team_id\":1,\"slug\":\"first\",\"token\":\"{token}\",\"role\":\"admin\"}}\n");
    assert_eq!((answer.status, answer.body.as_str()), (201, &*expected));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let me = server.get(&token, "/api/v1/me").await;
    let expected = "{\"team_id\":1,\"team_slug\":\"first\",\"token_id\":1,\"role\":\"admin\"}\n";
    assert_eq!((me.status, me.body.as_str()), (200, expected));

    let answer = server.post("", LOGIN, r#"{"slug":"first","password":"x"}"#).await;
    let again = answer.json()["token"].as_str().unwrap().to_owned();
    let expected =
        format!("{{\"team_id\":1,\"token\":\"{again}\",\"token_id\":2,\"role\":\"admin\"}}\n");
    assert_eq!((answer.status, answer.body.as_str()), (201, &*expected));
    assert!(is_token(&again) && again != token);
    // The first token lives on.
    for token in [&token, &again] {
        assert_eq!(server.get(token, "/api/v1/me").await.status, 200);
    }
    // A second team is another one, whose admin it is.
    let second = server.team("second").await;
    let me = server.get(&second, "/api/v1/me").await.ok(200);
    assert_eq!((&me["team_id"], &me["role"]), (&json!(2), &json!("admin")));
}

#[tokio::test]
async fn sign_ups_are_checked_in_order() {
    let server = Server::start().await;
    server.team("taken").await;
    let long = "p".repeat(1_025);
    for (body, status, code) in [
        ("", 400, "invalid_request"),
        ("{", 400, "invalid_request"),
        ("[]", 400, "invalid_request"),
        (r#"{"slug":1}"#, 400, "invalid_request"),
        ("{}", 400, "invalid_slug"),
        (r#"{"slug":"ab"}"#, 400, "invalid_slug"),
        (r#"{"slug":"Upper"}"#, 400, "invalid_slug"),
        (r#"{"slug":"1st"}"#, 400, "invalid_slug"),
        (r#"{"slug":"a_b"}"#, 400, "invalid_slug"),
        (r#"{"slug":"api"}"#, 400, "invalid_slug"),
        (&format!(r#"{{"slug":"{}"}}"#, "a".repeat(33)), 400, "invalid_slug"),
        (r#"{"slug":"abc","name":"  "}"#, 400, "invalid_request"),
        (r#"{"slug":"abc","name":"n"}"#, 400, "invalid_request"),
        (r#"{"slug":"abc","name":"n","password":""}"#, 400, "invalid_request"),
        (&format!(r#"{{"slug":"abc","name":"n","password":"{long}"}}"#), 400, "invalid_request"),
        (r#"{"slug":"taken","name":"n","password":"p"}"#, 409, "slug_taken"),
    ] {
        assert_eq!(server.post("", SIGN_UP, body).await.code(status), code, "{body}");
    }
    // A refused password has not taken the slug.
    server.team("abc").await;
    // The first check is whether it is switched on.
    let closed = Server::with(TowerConfig::default().sign_up(false)).await;
    assert_eq!(closed.post("", SIGN_UP, "{").await.code(403), "forbidden");
    assert_eq!(closed.get("", SIGN_UP).await.status, 405);
}

#[tokio::test]
async fn a_login_tells_nothing_of_what_there_is() {
    let server = Server::start().await;
    server.team("known").await;
    let body = r#"{"slug":"open","name":"Open"}"#;
    assert_eq!(server.post(BOOTSTRAP, BOOTSTRAP_PATH, body).await.code(409), "team_exists");
    let wrong = server.post("", LOGIN, r#"{"slug":"known","password":"no"}"#).await;
    assert_eq!(wrong.code(401), "unauthorized");
    let unknown = server.post("", LOGIN, r#"{"slug":"unknown","password":"no"}"#).await;
    assert_eq!((unknown.status, unknown.body), (wrong.status, wrong.body));
    for body in [r#"{"slug":"","password":"p"}"#, r#"{"slug":"known","password":""}"#, "{}"] {
        assert_eq!(server.post("", LOGIN, body).await.code(400), "invalid_request");
    }
}

#[tokio::test]
async fn guesses_have_to_wait() {
    let server = Server::start().await;
    server.team("known").await;
    let guess = r#"{"slug":"known","password":"no"}"#;
    for _ in 0..6 {
        assert_eq!(server.post("", LOGIN, guess).await.code(401), "unauthorized");
    }
    let answer = server.post("", LOGIN, guess).await;
    assert_eq!(answer.code(429), "rate_limited");
    assert!(answer.header("retry-after").is_some(), "{answer:?}");
}

#[tokio::test]
async fn the_first_team_is_bootstrapped_once() {
    let server = Server::start().await;
    let bootstrap = |body: &'static str| server.post(BOOTSTRAP, BOOTSTRAP_PATH, body);
    let body = r#"{"slug":"ops","name":"Operations","password":"one"}"#;
    let first = bootstrap(body).await;
    let token = first.json()["token"].as_str().unwrap().to_owned();
    let expected =
        format!("{{\"team_id\":1,\"slug\":\"ops\",\"token\":\"{token}\",\"role\":\"admin\"}}\n");
    assert_eq!((first.status, first.body.as_str()), (201, &*expected));
    let login = |password: &str| {
        let body = format!(r#"{{"slug":"ops","password":"{password}"}}"#);
        let server = &server;
        async move { server.post("", LOGIN, &body).await.status }
    };
    assert_eq!(login("one").await, 201);
    // Again: a new token, and another password if there is one.
    let again = bootstrap(r#"{"slug":"ops","name":"Other"}"#).await;
    assert_eq!(again.status, 200, "{again:?}");
    assert_ne!(again.json()["token"], json!(token));
    assert_eq!(login("one").await, 201);
    let again = bootstrap(r#"{"slug":"ops","name":"Other","password":"two"}"#).await;
    assert_eq!(again.status, 200, "{again:?}");
    assert_eq!((login("one").await, login("two").await), (401, 201));
    assert_eq!(server.get(&token, "/api/v1/me").await.status, 200);

    let other = bootstrap(r#"{"slug":"other","name":"Other"}"#).await;
    assert_eq!(other.code(409), "team_exists");
    for body in [r#"{"slug":"x","name":"n"}"#, r#"{"slug":"other","name":""}"#, "{"] {
        assert_eq!(bootstrap(body).await.status, 400, "{body}");
    }
    for token in ["", "wrong", token.as_str()] {
        let answer = server.post(token, BOOTSTRAP_PATH, body).await;
        assert_eq!(answer.code(401), "unauthorized");
    }
    assert_eq!(server.get(BOOTSTRAP, BOOTSTRAP_PATH).await.status, 405);
    let without = Server::with(TowerConfig::default()).await;
    let answer = without.post(BOOTSTRAP, BOOTSTRAP_PATH, body).await;
    assert_eq!((answer.status, answer.body.as_str()), (404, "404 page not found\n"));
}

#[tokio::test]
async fn the_options_tell_the_truth() {
    let bootstrap = || Secret::new("b");
    for (config, sign_up, has_bootstrap) in [
        (TowerConfig::default(), true, false),
        (TowerConfig::default().sign_up(false).bootstrap_token(bootstrap()), false, true),
        (TowerConfig::default().bootstrap_token(bootstrap()), true, true),
    ] {
        let server = Server::with(config).await;
        let answer = server.get("", "/api/v1/auth/options").await;
        let expected =
            format!("{{\"signup_enabled\":{sign_up},\"bootstrap_enabled\":{has_bootstrap}}}\n");
        assert_eq!((answer.status, answer.body.as_str()), (200, &*expected));
    }
}

#[tokio::test]
async fn tokens_have_the_role_of_their_maker_at_most() {
    let server = Server::start().await;
    let admin = server.team("team").await;
    let create = |token: String, body: &'static str| {
        let server = &server;
        async move { server.post(&token, "/api/v1/tokens", body).await }
    };
    let answer = create(admin.clone(), r#"{"name":"ci"}"#).await;
    let member = answer.json()["token"].as_str().unwrap().to_owned();
    let id = answer.number("token_id");
    let expected = format!(
        "{{\"token_id\":{id},\"token\":\"{member}\",\"name\":\"ci\",\"role\":\"member\"}}\n"
    );
    assert_eq!((answer.status, answer.body.as_str()), (201, &*expected));
    assert!(is_token(&member));
    // Without a body, it is a member's without a name.
    let answer = create(admin.clone(), "").await.ok(201);
    assert_eq!((answer.get("name"), &answer["role"]), (None, &json!("member")));
    let answer = create(admin.clone(), r#"{"role":"admin"}"#).await.ok(201);
    assert_eq!(answer["role"], "admin");
    let second = answer["token"].as_str().unwrap().to_owned();
    assert_eq!(server.get(&second, "/api/v1/admin/runners").await.ok(200), json!({"runners":[]}));
    // A member asks for more in vain.
    let answer = create(member.clone(), r#"{"role":"admin"}"#).await.ok(201);
    assert_eq!(answer["role"], "member");
    let me = server.get(&member, "/api/v1/me").await.ok(200);
    assert_eq!((&me["role"], &me["token_id"]), (&json!("member"), &json!(id)));
    let answer = server.get(&member, "/api/v1/admin/runners").await;
    assert_eq!(answer.code(403), "forbidden");
    for body in [r#"{"role":""}"#, r#"{"role":"owner"}"#, r#"{"role":1}"#, "[]"] {
        assert_eq!(create(admin.clone(), body).await.code(400), "invalid_request", "{body}");
    }
}

#[tokio::test]
async fn a_revoked_token_is_refused() {
    let server = Server::start().await;
    let token = server.team("team").await;
    let by = tinpot_core::access::AuditWho::new("operator", "", "test");
    for found in server.directory.tokens() {
        server.directory.revoke_token(&by, &found.id).await.unwrap();
    }
    assert_eq!(server.get(&token, "/api/v1/me").await.code(401), "unauthorized");
}

#[tokio::test]
async fn the_login_that_was_not_used_for_longest_makes_room() {
    let server = Server::start().await;
    let first = server.team("team").await;
    let (user, team) = {
        let token = &server.directory.tokens()[0];
        (token.principal.clone(), token.team.clone())
    };
    let by = tinpot_core::access::AuditWho::new("operator", "", "test");
    let directory = server.directory.of_team(team);
    for _ in 0..90 {
        let new = tinpot_access::NewToken::new("login", user.clone()).never_expires();
        directory.create_token(&by, new).await.unwrap();
    }
    // It is in use, which is written within minutes.
    assert_eq!(server.get(&first, "/api/v1/me").await.status, 200);
    server.directory.maintain().await.unwrap();
    server.post("", LOGIN, r#"{"slug":"team","password":"secret"}"#).await.ok(201);
    assert_eq!(server.directory.tokens().len(), 80);
    assert_eq!(server.get(&first, "/api/v1/me").await.status, 200);
}
