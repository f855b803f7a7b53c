//! A server on a socket, and a client that shows every byte.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;
use tinpot_access::{Directory, Login, PasswordCost, Passwords, Secret};
use tinpot_bundle::{Apps, MemoryBlobStore};
use tinpot_core::access::MemoryRecords;
use tinpot_core::executor::{ActionSet, ScopedExecutor};
use tinpot_core::{
    Coordinator, Failure, Json, Level, MemoryNetwork, Outcome, ProtocolConfig, Stream, Worker,
};
use tinpot_tower::{Tower, TowerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Longer than anything here takes, on a busy machine too.
const DEADLINE: Duration = Duration::from_secs(60);

pub(crate) const BOOTSTRAP: &str = "bootstrap-token";

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) directory: Directory,
    pub(crate) apps: Apps,
    pub(crate) coordinator: Coordinator,
    /// The requests as metrics have them: method, path and status.
    pub(crate) measured: Arc<Mutex<Vec<String>>>,
    network: MemoryNetwork,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// An answer, as it was sent.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        let mut found = lines.filter(|(known, _)| known.eq_ignore_ascii_case(name));
        found.next().map(|(_, value)| value)
    }

    /// Returns the code of a refusal with this status.
    #[track_caller]
    pub(crate) fn code(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{self:?}");
        let json = self.json();
        let message = json["error"]["message"].as_str().unwrap_or_default();
        assert!(!message.is_empty(), "{self:?}");
        json["error"]["code"].as_str().unwrap_or_default().to_owned()
    }

    #[track_caller]
    pub(crate) fn ok(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        self.json()
    }

    pub(crate) fn number(&self, name: &str) -> u64 {
        self.json()[name].as_u64().unwrap_or_else(|| panic!("{name}: {self:?}"))
    }
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::with(TowerConfig::default().bootstrap_token(Secret::new(BOOTSTRAP))).await
    }

    pub(crate) async fn with(config: TowerConfig) -> Self {
        let records = Arc::new(MemoryRecords::new());
        let directory = Directory::builder(records.clone()).teams(true).open().await.unwrap();
        let network = MemoryNetwork::new();
        // A worker that vanishes is missed within a second.
        let times = ProtocolConfig::new().beat_interval(Duration::from_millis(100));
        let times = times.worker_lease(Duration::from_millis(400));
        let coordinator = Coordinator::builder(network.transport())
            .config(times.coordinator_lease(Duration::from_millis(800)))
            .policy(directory.rules())
            .teams(true)
            .plain_workers_serve_all_teams(true)
            .start()
            .await
            .unwrap();
        let apps = Apps::new(Arc::new(MemoryBlobStore::new()), records.clone());
        let apps = apps.attach(coordinator.clone()).await.unwrap();
        let cost = PasswordCost::default().memory_kib(64).passes(1);
        let passwords = Passwords::new(cost).unwrap().min_bytes(1);
        let login = Login::new(directory.clone(), passwords);
        let tower = Tower::new(coordinator.clone(), apps.clone(), login, records, config);
        let measured = Arc::<Mutex<Vec<String>>>::default();
        let requests = measured.clone();
        let tower = tower.on_request(move |request| {
            let text = format!("{} {} {}", request.method, request.path, request.status.as_u16());
            requests.lock().unwrap().push(text);
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = tinpot_tower::router(tower);
        let task = tokio::spawn(async move {
            axum::serve(listener, router.into_make_service()).await.unwrap();
        });
        Self { address, directory, apps, coordinator, measured, network, task }
    }

    /// Starts a worker. What a run does is in its input: `say` is a line that it prints, `fail` the
    /// message of its failure, and `wait` lets it run until it is stopped.
    pub(crate) async fn worker(&self) -> Worker {
        let offer = ActionSet::default().runtime("script");
        let executor = ScopedExecutor::new(offer, |attempt, context| async move {
            let input: Value = attempt.parameters.deserialize().unwrap();
            if let Some(line) = input["say"].as_str() {
                let logs = context.logs();
                logs.write(Stream::System, Level::Info, vec!["setting up".to_owned()]).await;
                logs.write(Stream::Stdout, Level::Info, vec![line.to_owned(), String::new()]).await;
                logs.write(Stream::Stderr, Level::Error, vec!["a warning".to_owned()]).await;
            }
            if input["wait"].as_bool() == Some(true) {
                context.stopped().await;
                return Outcome::Cancelled;
            }
            match input["fail"].as_str() {
                Some(message) => Outcome::Failed(Failure::new(message)),
                None => Outcome::Succeeded(Json::empty_object()),
            }
        });
        let worker = Worker::builder(self.network.transport()).name("w").slots(4);
        worker.executor(executor).start().await.unwrap()
    }

    pub(crate) async fn send(&self, request: &[u8]) -> Answer {
        let talk = async {
            let mut stream = TcpStream::connect(self.address).await.unwrap();
            // A server that has refused a request may close before it has read all of it.
            let _ = stream.write_all(request).await;
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer).await;
            answer
        };
        let answer = tokio::time::timeout(DEADLINE, talk).await.expect("an answer in time");
        let text = String::from_utf8(answer).expect("UTF-8");
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{text:?}"));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.unwrap_or_else(|| panic!("{head:?}"));
        Answer { status, head: head.to_owned(), body: body.to_owned() }
    }

    /// Sends a request with these header lines.
    pub(crate) async fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let mut request = format!("{method} {path} HTTP/1.0\r\nHost: localhost\r\n");
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() {
            request.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        request.push_str("\r\n");
        let mut request = request.into_bytes();
        request.extend_from_slice(body);
        self.send(&request).await
    }

    pub(crate) async fn ask(&self, token: &str, method: &str, path: &str, body: &str) -> Answer {
        let bearer = format!("Bearer {token}");
        let headers = [("Authorization", &*bearer)];
        let headers = if token.is_empty() { &[] } else { &headers[..] };
        self.request(method, path, headers, body.as_bytes()).await
    }

    pub(crate) async fn get(&self, token: &str, path: &str) -> Answer {
        self.ask(token, "GET", path, "").await
    }

    pub(crate) async fn post(&self, token: &str, path: &str, body: &str) -> Answer {
        self.ask(token, "POST", path, body).await
    }

    /// Signs a team up, and returns its token.
    pub(crate) async fn team(&self, slug: &str) -> String {
        let body = format!(r#"{{"slug":"{slug}","name":"Team","password":"secret"}}"#);
        let answer = self.post("", "/api/v1/teams/signup", &body).await.ok(201);
        answer["token"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn upload(&self, token: &str, app: &str, archive: &[u8]) -> Answer {
        let form = form("artifact", Some("artifact.tar.gz"), archive);
        self.upload_form(token, app, &form).await
    }

    pub(crate) async fn upload_form(&self, token: &str, app: &str, form: &[u8]) -> Answer {
        let bearer = format!("Bearer {token}");
        let headers =
            [("Authorization", &*bearer), ("Content-Type", "multipart/form-data; boundary=limit")];
        self.request("POST", &format!("/api/v1/apps/{app}/versions"), &headers, form).await
    }

    /// Creates an app with one version, of a Towerfile with these lines below `[app]`.
    pub(crate) async fn app(&self, token: &str, name: &str, more: &str) {
        self.post(token, "/api/v1/apps", &format!(r#"{{"slug":"{name}"}}"#)).await.ok(201);
        self.upload(token, name, &bundle(name, more)).await.ok(201);
    }

    /// Creates a run, and returns its id.
    pub(crate) async fn run(&self, token: &str, app: &str, body: &str) -> u64 {
        let answer = self.post(token, &format!("/api/v1/apps/{app}/runs"), body).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.number("run_id")
    }

    /// Waits until a run has a status.
    pub(crate) async fn until(&self, token: &str, run: u64, status: &str) -> Value {
        let mut changes = self.coordinator.changes();
        let wait = async {
            loop {
                let found = self.get(token, &format!("/api/v1/runs/{run}")).await.ok(200);
                if found["status"] == status {
                    return found;
                }
                changes.next().await.expect("it lives");
            }
        };
        let found = tokio::time::timeout(DEADLINE, wait).await;
        found.unwrap_or_else(|_| panic!("run {run} is never {status}"))
    }
}

/// Returns a form with one part.
pub(crate) fn form(name: &str, file: Option<&str>, content: &[u8]) -> Vec<u8> {
    let file = file.map(|file| format!("; filename=\"{file}\"")).unwrap_or_default();
    let head = format!("Content-Disposition: form-data; name=\"{name}\"{file}");
    let mut form = format!("--limit\r\n{head}\r\n\r\n").into_bytes();
    form.extend_from_slice(content);
    form.extend_from_slice(b"\r\n--limit--\r\n");
    form
}

/// Returns an archive of these files.
pub(crate) fn archive(files: &[(&str, &str)]) -> Vec<u8> {
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

/// Returns the archive of an app with one script.
pub(crate) fn bundle(name: &str, more: &str) -> Vec<u8> {
    let towerfile = format!("[app]\nname = \"{name}\"\nscript = \"./main.sh\"\n{more}");
    archive(&[("Towerfile", &towerfile), ("main.sh", "echo hello\n")])
}
