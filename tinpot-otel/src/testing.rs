//! A collector for tests; outside semver.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A collector on a free port of loopback, which keeps what it gets.
///
/// # Panics
/// Its methods panic for a request that is not one of OTLP/HTTP with JSON, as tests want it.
#[derive(Debug)]
pub struct TestCollector {
    port: u16,
    shared: Arc<Shared>,
}

/// A span that a collector got.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ReceivedSpan {
    /// The name of the service that sent it.
    pub service: String,
    /// The span, as it came.
    pub span: Value,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    requests: Vec<(String, Value)>,
    /// The status of the answers; 0 for no answer at all.
    status: u16,
    refused: usize,
}

impl TestCollector {
    /// Starts one that takes everything.
    pub fn start() -> Self {
        Self::answering(200)
    }

    /// Starts one that answers with this status; with 0, it does not answer.
    pub fn answering(status: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let shared = Arc::new(Shared::default());
        shared.lock().status = status;
        let of_thread = shared.clone();
        // It ends with the tests.
        std::thread::spawn(move || {
            for connection in listener.incoming().map_while(Result::ok) {
                let shared = of_thread.clone();
                std::thread::spawn(move || serve(&connection, &shared));
            }
        });
        Self { port, shared }
    }

    /// Returns the URL, without the path for traces.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Sets the status of further answers.
    pub fn set_status(&self, status: u16) {
        self.shared.lock().status = status;
    }

    /// Returns the heads of the requests that were taken.
    pub fn heads(&self) -> Vec<String> {
        self.shared.lock().requests.iter().map(|(head, _)| head.clone()).collect()
    }

    /// Returns the spans that were taken.
    pub fn spans(&self) -> Vec<ReceivedSpan> {
        self.shared.lock().spans()
    }

    /// Waits until this number of requests was not taken.
    pub fn wait_for_refused(&self, number: usize) {
        self.wait(|state| (state.refused >= number).then_some(()));
    }

    /// Waits until there is this number of spans, and returns all.
    pub fn wait_for_spans(&self, number: usize) -> Vec<ReceivedSpan> {
        self.wait(|state| Some(state.spans()).filter(|spans| spans.len() >= number))
    }

    fn wait<T>(&self, found: impl Fn(&State) -> Option<T>) -> T {
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut state = self.shared.lock();
        loop {
            if let Some(found) = found(&state) {
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "it did not come: {state:#?}");
            let waited = self.shared.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl ReceivedSpan {
    /// Returns a field that is text; empty if there is none.
    pub fn text(&self, field: &str) -> &str {
        self.span[field].as_str().unwrap_or_default()
    }

    /// Returns the value of an attribute as text; empty if there is none.
    pub fn attribute(&self, name: &str) -> &str {
        let all = self.span["attributes"].as_array().map(Vec::as_slice).unwrap_or_default();
        let found = all.iter().find(|attribute| attribute["key"] == name);
        let value = found.map(|attribute| &attribute["value"]);
        let texts = ["stringValue", "intValue"].map(|kind| value.and_then(|v| v[kind].as_str()));
        texts.into_iter().flatten().next().unwrap_or_default()
    }

    /// Returns the time in nanoseconds that a field has.
    pub fn nanos(&self, field: &str) -> u128 {
        self.text(field).parse().expect("nanoseconds")
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn spans(&self) -> Vec<ReceivedSpan> {
        let mut spans = Vec::new();
        for (_, body) in &self.requests {
            for of_resource in body["resourceSpans"].as_array().expect("resourceSpans") {
                let all = of_resource["resource"]["attributes"].as_array().expect("attributes");
                let name = all.iter().find(|attribute| attribute["key"] == "service.name");
                let name = name.and_then(|name| name["value"]["stringValue"].as_str());
                let service = name.expect("service.name").to_owned();
                for of_scope in of_resource["scopeSpans"].as_array().expect("scopeSpans") {
                    let found = of_scope["spans"].as_array().expect("spans").iter();
                    spans.extend(found.map(|span| checked(service.clone(), span.clone())));
                }
            }
        }
        spans
    }
}

/// Checks what every span has.
fn checked(service: String, span: Value) -> ReceivedSpan {
    let received = ReceivedSpan { service, span };
    let is_id = |field: &str, digits: usize| {
        let id = received.text(field);
        id.len() == digits
            && id.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
            && id.bytes().any(|byte| byte != b'0')
    };
    assert!(is_id("traceId", 32) && is_id("spanId", 16), "{received:?}");
    assert!(received.span.get("parentSpanId").is_none() || is_id("parentSpanId", 16));
    assert!(!received.text("name").is_empty() && received.span["kind"].is_u64(), "{received:?}");
    let (start, end) = (received.nanos("startTimeUnixNano"), received.nanos("endTimeUnixNano"));
    assert!(0 < start && start <= end, "{received:?}");
    received
}

/// Answers the requests of a connection.
fn serve(connection: &TcpStream, shared: &Shared) {
    let mut reader = BufReader::new(connection);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            match reader.read_line(&mut head) {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
        let lower = head.to_ascii_lowercase();
        let length = lower.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
        let length = length.and_then(|length| length.trim().parse().ok()).expect("a length");
        let mut body = vec![0; length];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        let mut state = shared.lock();
        let status = state.status;
        match status {
            200 => {
                assert!(head.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{head}");
                assert!(lower.contains("content-type: application/json\r\n"), "{head}");
                state.requests.push((head, serde_json::from_slice(&body).expect("JSON")));
            }
            _ => state.refused += 1,
        }
        drop(state);
        shared.changed.notify_all();
        if status == 0 {
            // Until the client is gone.
            let _ = reader.read(&mut [0]);
            return;
        }
        let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: 2\r\n\r\n{{}}");
        if (&*connection).write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}
