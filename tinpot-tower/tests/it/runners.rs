//! A server with a gateway, and runners as scripts.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use tinpot_access::{Directory, Login, PasswordCost, Passwords, Secret};
use tinpot_bundle::{Apps, MemoryBlobStore};
use tinpot_core::access::MemoryRecords;
use tinpot_core::transport::JoinedTransport;
use tinpot_core::{Coordinator, MemoryNetwork, MemoryStore, Transport};
use tinpot_tower::{Gateway, Tower, TowerConfig};
use tower::ServiceExt;

pub(crate) const TTL: Duration = Duration::from_secs(60);
pub(crate) const WAIT: Duration = Duration::from_secs(20);

/// The parts that outlive a process of the server.
#[derive(Clone)]
pub(crate) struct Installation {
    records: Arc<MemoryRecords>,
    blobs: Arc<MemoryBlobStore>,
    store: Arc<MemoryStore>,
}

pub(crate) struct Server {
    router: Router,
    coordinator: Coordinator,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    #[track_caller]
    pub(crate) fn ok(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text());
        serde_json::from_slice(&self.body).expect("JSON")
    }

    #[track_caller]
    pub(crate) fn code(&self, status: u16) -> String {
        self.ok(status)["error"]["code"].as_str().expect("a code").to_owned()
    }
}

impl Installation {
    pub(crate) fn new() -> Self {
        Self {
            records: Arc::new(MemoryRecords::new()),
            blobs: Arc::new(MemoryBlobStore::new()),
            store: Arc::new(MemoryStore::new()),
        }
    }

    pub(crate) async fn start(&self) -> Server {
        let records = self.records.clone();
        let directory = Directory::builder(records.clone()).teams(true).open().await.unwrap();
        let gateway = Gateway::open(records.clone()).await.unwrap().lease(TTL).wait(WAIT);
        let others: Arc<dyn Transport> = Arc::new(MemoryNetwork::new().transport());
        let joined = JoinedTransport::new([others, Arc::new(gateway.transport())]).unwrap();
        let coordinator = Coordinator::builder(joined)
            .store(self.store.clone())
            .policy(directory.rules())
            .teams(true)
            .start()
            .await
            .unwrap();
        let apps = Apps::new(self.blobs.clone(), records.clone());
        let apps = apps.attach(coordinator.clone()).await.unwrap();
        let cost = PasswordCost::default().memory_kib(64).passes(1);
        let passwords = Passwords::new(cost).unwrap().min_bytes(1);
        let login = Login::new(directory, passwords);
        let config = TowerConfig::default().registration_token(Secret::new("registration"));
        let tower = Tower::new(coordinator.clone(), apps, login, records, config);
        let router = tinpot_tower::router(tower.gateway(gateway));
        Server { router, coordinator }
    }
}

impl Server {
    pub(crate) async fn start() -> Self {
        Installation::new().start().await
    }

    pub(crate) async fn stop(self) {
        self.coordinator.shutdown().await;
    }

    pub(crate) async fn get(&self, token: &str, path: &str) -> Answer {
        ask(
            &self.router,
            "GET",
            path,
            &[("authorization", &format!("Bearer {token}"))],
            Body::empty(),
        )
        .await
    }

    pub(crate) async fn post(&self, token: &str, path: &str, body: Value) -> Answer {
        let headers = [("authorization", &*format!("Bearer {token}"))];
        let body = if body.is_null() { Body::empty() } else { body.to_string().into() };
        ask(&self.router, "POST", path, &headers, body).await
    }

    /// Signs a team up, and returns its token.
    pub(crate) async fn team(&self, slug: &str) -> String {
        let team = json!({ "slug": slug, "name": "Team", "password": "secret" });
        let made = self.post("", "/api/v1/teams/signup", team).await.ok(201);
        made["token"].as_str().expect("a token").to_owned()
    }

    /// Creates an app with one version, and returns its archive.
    pub(crate) async fn app(&self, token: &str, name: &str, more: &str) -> Vec<u8> {
        self.post(token, "/api/v1/apps", json!({ "slug": name })).await.ok(201);
        let towerfile = format!(
            "[app]\nname = \"{name}\"\nscript = \"main.sh\"\n[app.timeout]\nseconds = 30\n{more}"
        );
        let archive = archive(&[("Towerfile", &towerfile), ("main.sh", "echo hello\n")]);
        let mut form = b"--limit\r\nContent-Disposition: form-data; name=\"artifact\"; \
                         filename=\"a.tar.gz\"\r\n\r\n"
            .to_vec();
        form.extend_from_slice(&archive);
        form.extend_from_slice(b"\r\n--limit--\r\n");
        let headers = [
            ("authorization", &*format!("Bearer {token}")),
            ("content-type", "multipart/form-data; boundary=limit"),
        ];
        let path = format!("/api/v1/apps/{name}/versions");
        ask(&self.router, "POST", &path, &headers, form.into()).await.ok(201);
        archive
    }

    pub(crate) async fn run(&self, token: &str, app: &str, body: Value) -> u64 {
        let run = self.post(token, &format!("/api/v1/apps/{app}/runs"), body).await.ok(201);
        run["run_id"].as_u64().expect("an id")
    }

    pub(crate) async fn status(&self, token: &str, run: u64) -> String {
        let run = self.get(token, &format!("/api/v1/runs/{run}")).await.ok(200);
        run["status"].as_str().expect("a status").to_owned()
    }

    /// Returns the lines of a run: number, stream and text.
    pub(crate) async fn log(&self, token: &str, run: u64) -> Vec<String> {
        let logs = self.get(token, &format!("/api/v1/runs/{run}/logs")).await.ok(200);
        let line = |line: &Value| {
            let text = |name: &str| line[name].as_str().expect("text").to_owned();
            format!("{} {} {}", line["seq"], text("stream"), text("line"))
        };
        logs["logs"].as_array().expect("lines").iter().map(line).collect()
    }

    pub(crate) async fn runner(&self, name: &str) -> Runner {
        self.runner_in(name, None).await
    }

    /// Registers a runner.
    pub(crate) async fn runner_in(&self, name: &str, environment: Option<&str>) -> Runner {
        let mut body = json!({ "name": name });
        if let Some(environment) = environment {
            body["environment"] = environment.into();
        }
        let answer = self.post("registration", "/api/v1/runners/register", body).await;
        assert!(answer.status == 200 || answer.status == 201, "{}", answer.text());
        let token = answer.ok(answer.status)["token"].as_str().expect("a token").to_owned();
        let (run, lease) = (String::new(), String::new());
        Runner { router: self.router.clone(), token, run, lease }
    }
}

/// A runner, and the attempt that it has.
#[derive(Clone)]
pub(crate) struct Runner {
    router: Router,
    pub(crate) token: String,
    pub(crate) run: String,
    pub(crate) lease: String,
}

impl Runner {
    pub(crate) fn moves_to(&mut self, server: &Server) {
        self.router = server.router.clone();
    }

    pub(crate) async fn ask_for_a_run(&mut self) -> Answer {
        let headers = [("authorization", &*format!("Bearer {}", self.token))];
        ask(&self.router, "POST", "/api/v1/runs/lease", &headers, Body::empty()).await
    }

    /// Asks for a run, and takes it.
    pub(crate) async fn lease(&mut self) -> Option<Value> {
        let answer = self.ask_for_a_run().await;
        if answer.status == 204 {
            return None;
        }
        let lease = answer.ok(200);
        self.run = lease["run_id"].to_string();
        self.lease = lease["lease_token"].as_str().expect("a token").to_owned();
        Some(lease)
    }

    pub(crate) async fn call(&self, method: &str, what: &str, body: Value) -> Answer {
        let path = format!("/api/v1/runs/{}/{what}", self.run);
        let bearer = format!("Bearer {}", self.token);
        let mut headers = vec![("authorization", &*bearer)];
        if !self.lease.is_empty() {
            headers.push(("X-Lease-Token", &*self.lease));
        }
        let body = if body.is_null() { Body::empty() } else { body.to_string().into() };
        ask(&self.router, method, &path, &headers, body).await
    }

    pub(crate) async fn start(&self) -> Answer {
        self.call("POST", "start", Value::Null).await
    }

    pub(crate) async fn heartbeat(&self) -> Answer {
        self.call("POST", "heartbeat", Value::Null).await
    }

    pub(crate) async fn logs(&self, lines: Value) -> Answer {
        self.call("POST", "logs", json!({ "logs": lines })).await
    }

    pub(crate) async fn result(&self, end: Value) -> Answer {
        self.call("POST", "result", end).await
    }
}

/// Returns a line as a runner sends it.
pub(crate) fn line(seq: i64, stream: &str, text: &str) -> Value {
    json!({ "seq": seq, "stream": stream, "line": text, "logged_at": "2026-11-30T04:00:00+02:00" })
}

async fn ask(
    router: &Router,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Body,
) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = router.clone().oneshot(request.body(body).unwrap()).await.unwrap();
    let (parts, body) = answer.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    Answer { status: parts.status.as_u16(), headers: parts.headers, body }
}

fn archive(files: &[(&str, &str)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (name, content) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, content.as_bytes()).unwrap();
    }
    let mut gzip = tar.into_inner().unwrap();
    gzip.flush().unwrap();
    gzip.finish().unwrap()
}
