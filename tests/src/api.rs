//! The HTTP API as its users see it.

use std::io::{BufRead, BufReader};

use serde_json::{Value, json};
use ureq::Agent;

use crate::{DEADLINE, wait_for};

/// A client of one server.
#[derive(Clone, Debug)]
pub struct Api {
    agent: Agent,
    base: String,
}

impl Api {
    /// A client of the server on that port of loopback, once it is ready: its transport is up and it has a worker.
    pub fn ready(port: u16) -> Self {
        Self::ready_at(port, "")
    }

    /// Creates a client for an API that is nested under a path.
    pub fn ready_at(port: u16, path: &str) -> Self {
        let api = Self::at(port, path);
        wait_for("the server to be ready", || match api.try_get("/ready") {
            Ok((200, _)) => Ok(()),
            other => Err(other),
        });
        api
    }

    /// A client of the server on that port of loopback, once it answers at all.
    pub fn answering(port: u16) -> Self {
        let api = Self::at(port, "");
        wait_for("the server to answer", || api.try_get("/health"));
        api
    }

    /// A client of the server on that port of loopback, whether it is there or not.
    pub fn of(port: u16) -> Self {
        Self::at(port, "")
    }

    fn at(port: u16, path: &str) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(DEADLINE))
            .build();
        Self { agent: config.into(), base: format!("http://127.0.0.1:{port}{path}") }
    }

    /// Gets a path of a server that may not be there; the status and the JSON body.
    ///
    /// # Errors
    /// Why there was no answer.
    pub fn try_get(&self, path: &str) -> Result<(u16, Value), String> {
        let mut response =
            self.agent.get(format!("{}{path}", self.base)).call().map_err(|e| e.to_string())?;
        let body = response.body_mut().read_json().unwrap_or(Value::Null);
        Ok((response.status().as_u16(), body))
    }

    /// Gets a path; the status and the JSON body.
    pub fn get(&self, path: &str) -> (u16, Value) {
        self.try_get(path).expect("an answer")
    }

    /// Gets a path with these headers; the status and the JSON body.
    pub fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> (u16, Value) {
        let request = self.agent.get(format!("{}{path}", self.base));
        let add = |request: ureq::RequestBuilder<_>, (name, value): &(&str, &str)| {
            request.header(*name, *value)
        };
        let mut response = headers.iter().fold(request, add).call().expect("an answer");
        let body = response.body_mut().read_json().unwrap_or(Value::Null);
        (response.status().as_u16(), body)
    }

    /// Returns the port of the server.
    pub fn port(&self) -> u16 {
        let port = self.base.split(':').nth(2).and_then(|rest| rest.split('/').next());
        port.and_then(|port| port.parse().ok()).expect("a port")
    }

    /// Gets the page at a path, as a browser does.
    pub fn page(&self, path: &str) -> String {
        let request = self.agent.get(format!("{}{path}", self.base));
        let response = request.header("accept", "text/html").call().expect("an answer");
        response.into_body().read_to_string().expect("a text")
    }

    /// Gets a path; the body as text.
    pub fn text(&self, path: &str) -> String {
        let response = self.agent.get(format!("{}{path}", self.base)).call().expect("an answer");
        response.into_body().read_to_string().expect("a text")
    }

    /// Gets a path; the body as it is.
    pub fn bytes(&self, path: &str) -> Vec<u8> {
        let response = self.agent.get(format!("{}{path}", self.base)).call().expect("an answer");
        let body = response.into_body().into_with_config().limit(u64::MAX);
        body.read_to_vec().expect("a body")
    }

    /// Posts a JSON body; the status and the JSON body.
    pub fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        self.try_post(path, body).expect("an answer")
    }

    /// Posts a JSON body to a server that may not be there; the status and the JSON body.
    ///
    /// # Errors
    /// Why there was no answer.
    pub fn try_post(&self, path: &str, body: &Value) -> Result<(u16, Value), String> {
        let url = format!("{}{path}", self.base);
        let mut response = self.agent.post(url).send_json(body).map_err(|e| e.to_string())?;
        let body = response.body_mut().read_json().unwrap_or(Value::Null);
        Ok((response.status().as_u16(), body))
    }

    /// Posts bytes as they are, with these headers besides; the status and the JSON body.
    pub fn post_raw(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> (u16, Value) {
        let mut request = self.agent.post(format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut response = request.send(body).expect("an answer");
        let body = response.body_mut().read_json().unwrap_or(Value::Null);
        (response.status().as_u16(), body)
    }

    /// Submits an execution; its id.
    pub fn submit(&self, action: &str, parameters: Value) -> String {
        let (status, body) = self
            .post(&format!("/api/actions/{action}/execute"), &json!({"parameters": parameters}));
        assert_eq!(status, 200, "{body}");
        body["execution_id"].as_str().expect("an id").to_owned()
    }

    /// Submits an execution with a key to a server that may not be there; its id.
    ///
    /// # Errors
    /// Why there is none, or may be none: the answer, or why there was no answer.
    pub fn try_submit(&self, action: &str, key: &str, body: &Value) -> Result<String, String> {
        let request = self.agent.post(format!("{}/api/actions/{action}/execute", self.base));
        let mut response =
            request.header("idempotency-key", key).send_json(body).map_err(|e| e.to_string())?;
        let answer: Value = response.body_mut().read_json().map_err(|e| e.to_string())?;
        match answer["execution_id"].as_str() {
            Some(id) if response.status() == 200 => Ok(id.to_owned()),
            _ => Err(format!("{}: {answer}", response.status())),
        }
    }

    /// Runs an action and waits for it; the whole answer.
    pub fn run(&self, action: &str, parameters: Value) -> Value {
        let path = format!("/api/actions/{action}/sync_execute");
        let (status, body) = self.post(&path, &json!({"parameters": parameters}));
        assert_eq!(status, 200, "{body}");
        body
    }

    /// The state of an execution: `PENDING`, `STARTED`, ….
    pub fn state(&self, id: &str) -> String {
        let (status, body) = self.get(&format!("/api/executions/{id}/status"));
        assert_eq!(status, 200, "{body}");
        body["state"].as_str().expect("a state").to_owned()
    }

    /// Returns the record of an execution.
    pub fn execution(&self, id: &str) -> Value {
        let (status, body) = self.get(&format!("/api/executions/{id}"));
        assert_eq!(status, 200, "{body}");
        body
    }

    /// The ids of what an execution has asked for, newest first.
    pub fn children(&self, id: &str) -> Vec<String> {
        let (status, body) = self.get(&format!("/api/executions?parent={id}&limit=100"));
        assert_eq!(status, 200, "{body}");
        let children = body["executions"].as_array().cloned().unwrap_or_default();
        let id = |child: &Value| child["execution_id"].as_str().expect("an id").to_owned();
        children.iter().map(id).collect()
    }

    /// The text of every line that an execution has written, and of every marker in its log.
    pub fn lines(&self, id: &str) -> Vec<String> {
        let mut lines = Vec::new();
        let mut after = Some(0);
        while let Some(last) = after {
            let (status, page) =
                self.get(&format!("/api/executions/{id}/logs?after={last}&limit=10000"));
            assert_eq!(status, 200, "{page}");
            let found = page["lines"].as_array().expect("lines");
            lines.extend(
                found.iter().map(|line| line["message"].as_str().expect("a text").to_owned()),
            );
            after = page["next"].as_u64();
        }
        lines
    }

    /// Waits until an execution is in that state; one that ends in another never will be.
    pub fn wait_for_state(&self, id: &str, state: &str) {
        wait_for(&format!("{id} to be {state}"), || match self.state(id).as_str() {
            seen if seen == state => Ok(()),
            "SUCCESS" | "FAILURE" | "REVOKED" => panic!("not {state}: {}", self.execution(id)),
            seen => Err(seen.to_owned()),
        });
    }

    /// The status of an execution in our own words: `queued`, `lost`, ….
    pub fn status(&self, id: &str) -> String {
        self.execution(id)["status"].as_str().expect("a status").to_owned()
    }

    /// Waits until it is recorded that an execution runs.
    pub fn wait_for_start(&self, id: &str) {
        wait_for(&format!("{id} to run"), || match self.status(id).as_str() {
            "running" => Ok(()),
            status => Err(status.to_owned()),
        });
    }

    /// Waits until an execution has that terminal status; one that ends otherwise never will.
    pub fn wait_for_end(&self, id: &str, status: &str) {
        wait_for(&format!("{id} to be {status}"), || {
            let execution = self.execution(id);
            match &execution["status"] {
                seen if seen == status => Ok(()),
                seen if execution["finished_at"].is_null() => Err(seen.clone()),
                _ => panic!("not {status}: {execution}"),
            }
        });
    }

    /// Returns the last event of the stream of an execution, once that has ended.
    pub fn stream_end(&self, id: &str) -> Value {
        let execution = self.execution(id);
        let ended = !execution["finished_at"].is_null();
        ended.then(|| self.stream(id).pop()).flatten().unwrap_or(Value::Null)
    }

    /// Reads the event stream of an execution to its end; every event's JSON.
    pub fn stream(&self, id: &str) -> Vec<Value> {
        self.open_stream(id).collect()
    }

    /// Opens the event stream of an execution after the event with that id; the lines that come.
    pub(crate) fn try_stream(
        &self,
        id: &str,
        last_event: &str,
    ) -> Result<impl Iterator<Item = std::io::Result<String>> + use<>, String> {
        let request = self.agent.get(format!("{}/api/executions/{id}/stream", self.base));
        let response =
            request.header("last-event-id", last_event).call().map_err(|e| e.to_string())?;
        if response.status() != 200 {
            return Err(format!("status {}", response.status()));
        }
        Ok(BufReader::new(response.into_body().into_reader()).lines())
    }

    /// Opens the event stream of an execution; every event's JSON, as it comes.
    pub fn open_stream(&self, id: &str) -> impl Iterator<Item = Value> + Send + 'static {
        let url = format!("{}/api/executions/{id}/stream", self.base);
        let response = self.agent.get(url).call().expect("a stream");
        let reader = BufReader::new(response.into_body().into_reader());
        let lines = reader.lines().map(|line| line.expect("a line"));
        lines.filter_map(|line| serde_json::from_str(line.strip_prefix("data: ")?).ok())
    }
}
