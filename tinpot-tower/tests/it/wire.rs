//! The conventions that hold for every route.

use tinpot_tower::TowerConfig;

use crate::support::Server;

#[tokio::test]
async fn the_server_says_that_it_lives() {
    let server = Server::start().await;
    for path in ["/health", "/ready"] {
        let answer = server.get("", path).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "{\"status\":\"ok\"}\n"));
        assert_eq!(server.ask("", "HEAD", path, "").await.status, 200);
        assert_eq!(server.post("", path, "").await.status, 405);
    }
    server.coordinator.shutdown().await;
    assert_eq!(server.get("", "/health").await.status, 200);
    assert_eq!(server.get("", "/ready").await.code(503), "internal");
}

#[tokio::test]
async fn unknown_paths_and_methods_have_plain_answers() {
    let server = Server::start().await;
    let token = server.team("team").await;
    server.app(&token, "hello", "").await;
    for path in ["/api/v1/", "/api/v1", "/api/v1/other", "/api/v1/runs/", "/api/v1/me/", "/", "/x"]
    {
        let answer = server.get(&token, path).await;
        assert_eq!((answer.status, answer.body.as_str()), (404, "404 page not found\n"), "{path}");
        assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
    }
    for (method, path) in [
        ("PUT", "/api/v1/apps"),
        ("DELETE", "/api/v1/apps/hello"),
        ("POST", "/api/v1/me"),
        ("GET", "/api/v1/tokens"),
        ("POST", "/api/v1/runs"),
        ("POST", "/api/v1/runs/summary"),
        ("DELETE", "/api/v1/runs/1"),
        ("GET", "/api/v1/runs/1/cancel"),
        ("GET", "/api/v1/teams/login"),
    ] {
        let answer = server.ask(&token, method, path, "").await;
        assert_eq!((answer.status, answer.body.as_str()), (405, ""), "{method} {path}");
        assert_eq!(answer.header("allow"), None);
    }
    // Without a token, only the paths of runs tell of methods.
    for path in ["/api/v1/apps", "/api/v1/me", "/api/v1/apps/", "/api/v1/runs", "/api/v1/apps/a/b"]
    {
        assert_eq!(server.ask("", "DELETE", path, "").await.code(401), "unauthorized", "{path}");
    }
    assert_eq!(server.ask("", "DELETE", "/api/v1/runs/1", "").await.status, 405);
    assert_eq!(server.get("", "/api/v1/runs/x/y").await.status, 404);
    assert_eq!(server.get("", "/api/v1/runs/x").await.code(401), "unauthorized");
}

#[tokio::test]
async fn one_slash_at_the_end_is_nothing_below_apps_and_runs() {
    let server = Server::start().await;
    let token = server.team("team").await;
    server.app(&token, "hello", "").await;
    let run = server.run(&token, "hello", "{}").await;
    let run = format!("/api/v1/runs/{run}/");
    for path in
        ["/api/v1/apps/hello/", "/api/v1/apps/hello/versions/", "/api/v1/apps/hello/runs/", &run]
    {
        assert_eq!(server.get(&token, path).await.status, 200, "{path}");
    }
    assert_eq!(server.get(&token, "/api/v1/apps/").await.code(400), "invalid_request");
    assert_eq!(server.get(&token, "/api/v1/runs/summary/").await.code(400), "invalid_request");
    // A client whose server's URL ends with a slash.
    assert_eq!(server.get(&token, "//api/v1//apps").await.status, 200);
}

#[tokio::test]
async fn tokens_are_read_from_one_header() {
    let server = Server::start().await;
    let token = server.team("team").await;
    let ask = |value: String| {
        let server = &server;
        async move {
            let headers = [("Authorization", value.as_str())];
            server.request("GET", "/api/v1/me", &headers, b"").await
        }
    };
    for value in [format!("bearer {token}"), format!("BEARER   {token}  ")] {
        assert_eq!(ask(value).await.status, 200);
    }
    for value in ["", "Bearer", "Bearer ", &token, "Basic eDp5", "Bearer mtk_wrong"] {
        assert_eq!(ask(value.to_owned()).await.code(401), "unauthorized", "{value:?}");
    }
    let cookie = format!("token={token}");
    let answer = server.request("GET", "/api/v1/me", &[("Cookie", &cookie)], b"").await;
    assert_eq!(answer.status, 401);
}

#[tokio::test]
async fn bodies_are_read_leniently_and_not_without_end() {
    let server = Server::with(TowerConfig::default().max_body_bytes(1_000)).await;
    let token = server.team("team").await;
    let body = r#"{"SLUG":"first","slug":"other-app","extra":[1],"description":null} and more"#;
    let answer = server.post(&token, "/api/v1/apps", body).await.ok(201);
    assert_eq!(answer["slug"], "other-app");
    let long = format!(r#"{{"slug":"{}"}}"#, "a".repeat(2_000));
    let answer = server.post(&token, "/api/v1/apps", &long).await;
    assert_eq!(answer.code(413), "invalid_request");
    assert_eq!(answer.header("connection"), Some("close"));
    // Without a length, it is as bad.
    let mut request = format!(
        "POST /api/v1/apps HTTP/1.1\r\nHost: h\r\nConnection: close\r\nAuthorization: Bearer {token}\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    request.push_str(&format!("7d0\r\n{}\r\n0\r\n\r\n", " ".repeat(2_000)));
    assert_eq!(server.send(request.as_bytes()).await.status, 413);
}

#[tokio::test]
async fn visitors_cannot_invent_labels_of_metrics() {
    let origins = ["http://page".to_owned()];
    let server = Server::with(TowerConfig::default().cors_origins(origins)).await;
    for (method, path) in [
        ("GET", "/api/v1/invented"),
        ("GET", "/api/v1/apps/invented"),
        ("POST", "/api/v1/apps/invented/versions"),
        ("GET", "/api/v1/apps/invented/invented"),
        ("GET", "/api/v1/runs/7/invented"),
        ("POST", "/api/v1/runs/7/cancel"),
        ("GET", "/api/v1/runs/summary"),
        ("GET", "/invented"),
    ] {
        server.ask("", method, path, "").await;
    }
    // It asks only what is allowed.
    server.request("OPTIONS", "/api/v1/me", &[("Origin", "http://page")], b"").await;
    let expected = [
        "GET unmatched 404",
        "GET /api/v1/apps/{app} 401",
        "POST /api/v1/apps/{app}/versions 401",
        "GET unmatched 401",
        "GET unmatched 404",
        "POST /api/v1/runs/{run}/cancel 401",
        "GET /api/v1/runs/{run} 401",
        "GET unmatched 404",
    ];
    assert_eq!(*server.measured.lock().unwrap(), expected);
}
