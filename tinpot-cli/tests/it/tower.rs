//! A server in place of MiniTower's: its variables, and what its smoke test does.

use std::io::{Read, Write};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use rustix::process::Signal;
use serde_json::{Value, json};
use tinpot_bundle::{PackOptions, pack};
use tinpot_otel::testing::TestCollector;

use crate::support::{PATIENCE, Process, Ran, file, tinpot};

const BOOTSTRAP: &str = "bootstrap-secret";

/// Returns the command, started under the name of MiniTower's server.
pub(crate) fn minitowerd(folder: &Path) -> Command {
    let program = folder.join("minitowerd");
    if !program.exists() {
        symlink(env!("CARGO_BIN_EXE_tinpot"), &program).expect("a link");
    }
    let mut command = tinpot();
    // `env` passes the name on.
    let mut own = Command::new("env");
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => own.env(name, value),
            None => own.env_remove(name),
        };
    }
    command = own;
    command.arg(program).current_dir(folder);
    command
}

/// Sends a request, and returns the status and the body of the answer.
pub(crate) fn ask(
    url: &str,
    method: &str,
    path: &str,
    head: &[String],
    body: &[u8],
) -> (u16, String) {
    let host = url.trim_start_matches("http://");
    let mut connection = std::net::TcpStream::connect(host).expect("the server is there");
    let mut request = format!("{method} {path} HTTP/1.0\r\nHost: {host}\r\n");
    for line in head {
        request.push_str(&format!("{line}\r\n"));
    }
    request.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
    connection.write_all(request.as_bytes()).expect("it reads");
    // A server that has refused a request may close before it has read all of it.
    let _ = connection.write_all(body);
    let mut answer = Vec::new();
    let _ = connection.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer:?}"));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    (status.unwrap_or_else(|| panic!("{head:?}")), body.to_owned())
}

/// Returns the text between the quotes after this, as a shell script finds it.
pub(crate) fn quoted<'a>(text: &'a str, before: &str) -> &'a str {
    let begin = text.find(before).unwrap_or_else(|| panic!("{before} in {text}")) + before.len();
    text[begin..].split('"').next().expect("an end")
}

/// A client with a token.
pub(crate) struct Client<'a> {
    pub(crate) url: &'a str,
    pub(crate) token: String,
}

impl Client<'_> {
    pub(crate) fn ask(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let head = [format!("Authorization: Bearer {}", self.token)];
        ask(self.url, method, path, &head, body.as_bytes())
    }

    fn upload(&self, app: &str, folder: &Path) -> (u16, String) {
        let mut packed = pack(folder, &PackOptions::default()).expect("a bundle");
        let mut body = b"--limit\r\nContent-Disposition: form-data; name=\"artifact\"; \
                         filename=\"artifact.tar.gz\"\r\nContent-Type: \
                         application/octet-stream\r\n\r\n"
            .to_vec();
        packed.archive.read_to_end(&mut body).expect("an archive");
        body.extend_from_slice(b"\r\n--limit--\r\n");
        let head = [
            format!("Authorization: Bearer {}", self.token),
            "Content-Type: multipart/form-data; boundary=limit".to_owned(),
        ];
        ask(self.url, "POST", &format!("/api/v1/apps/{app}/versions"), &head, &body)
    }

    /// Waits until a run has ended, and returns its status.
    fn end(&self, run: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (status, body) = self.ask("GET", &format!("/api/v1/runs/{run}"), "");
            assert_eq!(status, 200, "{body}");
            assert_eq!(body.matches("\"status\":\"").count(), 1, "{body}");
            let found = quoted(&body, "\"status\":\"").to_owned();
            if !["queued", "leased", "running"].contains(&&*found) {
                return found;
            }
            assert!(Instant::now() < deadline, "{body}");
        }
    }
}

#[test]
fn the_smoke_test_of_minitower_passes() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = minitowerd(folder.path());
    command.envs([
        ("MINITOWER_LISTEN_ADDR", "127.0.0.1:0"),
        ("MINITOWER_DB_PATH", "tower.db"),
        ("MINITOWER_OBJECTS_DIR", "objects"),
        ("MINITOWER_BOOTSTRAP_TOKEN", BOOTSTRAP),
        ("MINITOWER_RUNNER_REGISTRATION_TOKEN", "registration-secret"),
        ("MINITOWER_LEASE_TTL", "30s"),
        ("MINITOWER_EXPIRY_CHECK_INTERVAL", "5s"),
        ("MINITOWER_CORS_ORIGINS", ""),
    ]);
    let mut process = Process::start(command);
    let url = process.url();
    assert_eq!(ask(&url, "GET", "/health", &[], b""), (200, "{\"status\":\"ok\"}\n".to_owned()));
    assert_eq!(ask(&url, "GET", "/ready", &[], b"").0, 200);
    let metrics = || ask(&url, "GET", "/metrics", &[], b"").1;
    assert!(metrics().contains("minitower_http_requests_total"));

    // Without a password.
    let bootstrap = |token: &str| {
        let head = [format!("Authorization: Bearer {token}")];
        let body = br#"{"slug":"smoke","name":"Smoke"}"#;
        ask(&url, "POST", "/api/v1/bootstrap/team", &head, body)
    };
    assert_eq!(bootstrap("wrong").0, 401);
    let (status, body) = bootstrap(BOOTSTRAP);
    assert_eq!(status, 201, "{body}");
    let client = Client { url: &url, token: quoted(&body, "\"token\":\"").to_owned() };

    let app = folder.path().join("app");
    file(
        &app,
        "main.py",
        "import os\nprint(f\"Hello, {os.environ['name']}!\")\nprint(\"Smoke test complete\")\n",
    );
    file(
        &app,
        "Towerfile",
        "[app]\nname = \"smoke-app\"\nscript = \"main.py\"\nsource = [\"./*.py\"]\n\
         [app.timeout]\nseconds = 30\n\
         [[parameters]]\nname = \"name\"\ntype = \"string\"\ndefault = \"World\"\n",
    );
    // What its command does to deploy.
    assert_eq!(client.ask("GET", "/api/v1/apps/smoke-app", "").0, 404);
    assert_eq!(client.ask("POST", "/api/v1/apps", r#"{"slug":"smoke-app"}"#).0, 201);
    let (status, body) = client.upload("smoke-app", &app);
    assert_eq!(status, 201, "{body}");

    let input = r#"{"input":{"name":"SmokeTest"}}"#;
    let (status, body) = client.ask("POST", "/api/v1/apps/smoke-app/runs", input);
    assert_eq!(status, 201, "{body}");
    let begin = body.find("\"run_id\":").expect("an id") + "\"run_id\":".len();
    let run: String = body[begin..].chars().take_while(char::is_ascii_digit).collect();
    let ended = client.end(&run);
    let (status, logs) = client.ask("GET", &format!("/api/v1/runs/{run}/logs"), "");
    assert_eq!((status, &*ended), (200, "completed"), "{logs}");
    assert!(logs.contains("Hello, SmokeTest!") && logs.contains("Smoke test complete"), "{logs}");

    let large = "x".repeat(11 << 20);
    assert_eq!(client.ask("POST", "/api/v1/apps", &large).0, 413);
    let metrics = metrics();
    for line in [
        "minitower_http_requests_total{method=\"POST\"",
        "minitower_runs_created_total{app=\"smoke-app\",team=\"smoke\"} 1",
        "minitower_runs_completed_total{app=\"smoke-app\",status=\"completed\",team=\"smoke\"} 1",
        "minitower_runs_leased_total{environment=\"default\"} 1",
        "minitower_runners_online{environment=\"default\"} 1",
        "tinpot_executions_accepted_total",
        "process_start_time_seconds",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
    // The files are for this user alone.
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(folder.path().join("tower.db")).expect("a store").permissions(),
    );
    assert_eq!(mode & 0o077, 0);
    process.signal(Signal::TERM);
    assert!(process.end().success(), "{:?}", process.seen);
}

#[test]
fn a_run_is_one_trace_from_its_request_on() {
    let (collector, folder) = (TestCollector::start(), tempfile::tempdir().expect("a folder"));
    let mut command = minitowerd(folder.path());
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url()).envs([
        ("MINITOWER_LISTEN_ADDR", "127.0.0.1:0"),
        ("MINITOWER_DB_PATH", "tower.db"),
        ("MINITOWER_BOOTSTRAP_TOKEN", BOOTSTRAP),
    ]);
    let mut process = Process::start(command);
    let url = process.url();
    let head = [format!("Authorization: Bearer {BOOTSTRAP}")];
    let (status, body) =
        ask(&url, "POST", "/api/v1/bootstrap/team", &head, br#"{"slug":"smoke","name":"Smoke"}"#);
    assert_eq!(status, 201, "{body}");
    let client = Client { url: &url, token: quoted(&body, "\"token\":\"").to_owned() };
    let app = folder.path().join("app");
    file(&app, "main.sh", "echo \"context $TRACEPARENT\"\n");
    let towerfile = "[app]\nname = \"seen\"\nscript = \"main.sh\"\nsource = [\"./*.sh\"]\n";
    file(&app, "Towerfile", towerfile);
    assert_eq!(client.ask("POST", "/api/v1/apps", r#"{"slug":"seen"}"#).0, 201);
    let (status, body) = client.upload("seen", &app);
    assert_eq!(status, 201, "{body}");

    let (trace, parent) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
    let head = [
        format!("Authorization: Bearer {}", client.token),
        format!("traceparent: 00-{trace}-{parent}-01"),
    ];
    let (status, body) = ask(&url, "POST", "/api/v1/apps/seen/runs", &head, b"{}");
    assert_eq!(status, 201, "{body}");
    let begin = body.find("\"run_id\":").expect("an id") + "\"run_id\":".len();
    let run: String = body[begin..].chars().take_while(char::is_ascii_digit).collect();
    assert_eq!(client.end(&run), "completed");
    let (_, logs) = client.ask("GET", &format!("/api/v1/runs/{run}/logs"), "");
    process.signal(Signal::TERM);
    assert!(process.end().success(), "{:?}", process.seen);

    let mut spans = collector.spans();
    spans.retain(|span| span.text("traceId") == trace);
    let mut below = parent.to_owned();
    for name in ["POST /api/v1/apps/{app}/runs", "execute seen", "attempt seen", "run seen"] {
        let span = spans.iter().find(|span| span.text("name") == name);
        let span = span.unwrap_or_else(|| panic!("{name}: {spans:#?}"));
        assert_eq!(span.text("parentSpanId"), below, "{name}");
        below = span.text("spanId").to_owned();
    }
    assert!(logs.contains(&format!("context 00-{trace}-{below}-01")), "{logs}");
    let request = spans.iter().find(|span| span.text("name").starts_with("POST")).expect("a span");
    assert_eq!(request.attribute("http.response.status_code"), "201");
    // Other requests have none.
    assert!(collector.spans().iter().all(|span| !span.text("name").ends_with("/versions")));
}

#[test]
fn everything_outlives_a_restart_and_a_kill() {
    let folder = tempfile::tempdir().expect("a folder");
    let start = || {
        let mut command = tinpot();
        command.current_dir(folder.path()).args(["tower", "--listen-addr", "127.0.0.1:0"]);
        Process::start(command)
    };
    let mut first = start();
    let url = first.url();
    let team = br#"{"slug":"team","name":"Team","password":"x"}"#;
    let (status, body) = ask(&url, "POST", "/api/v1/teams/signup", &[], team);
    assert_eq!(status, 201, "{body}");
    let token = quoted(&body, "\"token\":\"").to_owned();
    let app = folder.path().join("app");
    file(&app, "Towerfile", "[app]\nname = \"hello\"\nscript = \"main.sh\"\n");
    file(&app, "main.sh", "echo \"$greeting\"; exit $code\n");
    let client = Client { url: &url, token: token.clone() };
    assert_eq!(client.ask("POST", "/api/v1/apps", r#"{"slug":"hello"}"#).0, 201);
    assert_eq!(client.upload("hello", &app).0, 201);
    let runs = "/api/v1/apps/hello/runs";
    let create = |client: &Client<'_>, code: u8| {
        let body = json!({"input": {"greeting": "Hi", "code": code}}).to_string();
        let (status, body) = client.ask("POST", runs, &body);
        assert_eq!(status, 201, "{body}");
        let run: Value = serde_json::from_str(&body).expect("JSON");
        run["run_id"].to_string()
    };
    assert_eq!(client.end(&create(&client, 0)), "completed");
    assert_eq!(client.end(&create(&client, 3)), "failed");
    let (_, before) = client.ask("GET", "/api/v1/runs", "");
    let (_, logs) = client.ask("GET", "/api/v1/runs/1/logs", "");
    first.kill();

    let mut second = start();
    let url = second.url();
    let client = Client { url: &url, token };
    assert_eq!(client.ask("GET", "/api/v1/runs", "").1, before);
    assert_eq!(client.ask("GET", "/api/v1/runs/1/logs", "").1, logs);
    let (_, me) = client.ask("GET", "/api/v1/me", "");
    assert_eq!(me, "{\"team_id\":1,\"team_slug\":\"team\",\"token_id\":1,\"role\":\"admin\"}\n");
    // The next run has the next id.
    assert_eq!(create(&client, 0), "3");
    assert_eq!(client.end("3"), "completed");
}

#[test]
fn a_wrong_variable_is_one_line_of_the_log() {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, value) in [
        ("MINITOWER_PUBLIC_SIGNUP_ENABLED", "maybe"),
        ("MINITOWER_LEASE_TTL", "60"),
        ("MINITOWER_LISTEN_ADDR", "8080"),
    ] {
        let mut command = minitowerd(folder.path());
        command.env(name, value);
        let ran = Ran::of(command);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        let line: Value = serde_json::from_str(&ran.stdout).expect("a line of JSON");
        assert_eq!((&line["level"], &line["msg"]), (&json!("ERROR"), &json!("config error")));
        assert!(line["error"].as_str().is_some_and(|error| error.contains(name)), "{line}");
        assert!(line["time"].is_string());
    }
    assert!(!folder.path().join("minitower.db").exists());
}
