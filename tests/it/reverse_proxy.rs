//! A server below a path, behind a real reverse proxy.

use serde_json::json;
use tinpot_tests::{Api, Nginx, coordinator_with_broker, wait_for_workers, worker};

/// The headers that the documentation names, and no others.
const HEADERS: &str = "proxy_set_header Host $http_host; proxy_http_version 1.1;";

#[test]
fn a_server_below_a_path_works_whatever_the_proxy_removes_or_says() {
    let (_coordinator, direct, broker) = coordinator_with_broker(&[("ROOT_PATH", "/tinpot")]);
    let _worker = worker(&format!("tcp://127.0.0.1:{broker}"), &[("WORKER_NAME", "one")]);
    wait_for_workers(&direct, &["one"]);
    let upstream = format!("http://127.0.0.1:{}", direct.port());
    let said = "proxy_set_header X-Forwarded-Prefix /tinpot;";
    let nginx = Nginx::start(&[
        format!("location /tinpot/ {{ proxy_pass {upstream}/; {HEADERS} {said} }}"),
        format!("location /tinpot/ {{ proxy_pass {upstream}/; {HEADERS} }}"),
        format!("location /tinpot/ {{ proxy_pass {upstream}; {HEADERS} }}"),
        format!("location /tinpot/ {{ proxy_pass {upstream}; {HEADERS} {said} }}"),
    ]);
    for (case, port) in nginx.ports().iter().enumerate() {
        let api = Api::ready_at(*port, "/tinpot");
        let own = format!("http://127.0.0.1:{port}");
        // As a browser does: a change from a page of this server.
        let (status, answer) = api.post_raw(
            "/api/actions/lines/execute",
            &[("origin", &own), ("content-type", "application/json")],
            json!({"parameters": {"count": 3}}).to_string().as_bytes(),
        );
        assert_eq!(status, 200, "{case}: {answer}");
        let id = answer["execution_id"].as_str().expect("an id");
        let stream = format!("/tinpot/api/executions/{id}/stream");
        assert_eq!(answer["stream_url"], stream.as_str(), "{case}");
        let events = api.stream(id);
        let ended = events.last().map(|event| event["state"].clone());
        assert_eq!(ended, Some(json!("SUCCESS")), "{case}: {events:?}");
        // The page, a link into it, and its files.
        for path in ["/", &format!("/executions/{id}")] {
            let page = api.page(path);
            assert!(page.contains("<base href=\"/tinpot/\""), "{case}: {path}: {page}");
            let script = page.split("src=\"").nth(1).and_then(|rest| rest.split('"').next());
            let script = script.expect("a script").trim_start_matches("./");
            assert!(!script.starts_with('/'), "{case}: the base path leads to {script}");
            let (status, _) = api.get(&format!("/{script}"));
            assert_eq!(status, 200, "{case}: {script}");
        }
    }
}
