//! The executor of actions that other clients announce.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tinpot_core::executor::{ActionSet, Attempt, Stop, StopReason};
use tinpot_core::{
    Context, Executor, Failure, FailureCode, Json, Level, LoadError, Outcome, Result, Watcher,
};
use tokio::sync::{mpsc, oneshot, watch};

use super::object;
use super::offer::OfferedAction;
use super::outbox::{Message, Outbox};
use super::rule::{cancel_topic, log_topic, result_topic};

/// Log lines of one attempt that wait to be written; more are dropped.
const LINES: usize = 256;
/// The longest error that a client gives, in characters.
const ERROR_CHARS: usize = 10_000;

/// Runs attempts by triggers that other clients hear.
///
/// A client is asked to stop, and cannot be killed: an attempt that is cancelled, or whose time is
/// over, ends here, at once unless the client has announced that it answers. The client may go on.
pub(crate) struct Devices {
    prefix: String,
    outbox: Arc<Outbox>,
    offer: watch::Sender<Arc<ActionSet>>,
    state: Mutex<State>,
    closed: watch::Sender<bool>,
}

#[derive(Default)]
struct State {
    offers: BTreeMap<String, Arc<OfferedAction>>,
    /// The names that are not offered, and why.
    refused: BTreeMap<String, String>,
    is_connected: bool,
    waiting: HashMap<String, Waiting>,
}

struct Waiting {
    lines: mpsc::Sender<Vec<u8>>,
    result: Option<oneshot::Sender<Vec<u8>>>,
}

impl fmt::Debug for Devices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Devices").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

#[derive(Serialize)]
struct TriggerBody<'a> {
    execution_id: &'a str,
    parameters: &'a Json,
    result_topic: &'a str,
    log_topic: &'a str,
    cancel_topic: &'a str,
}

/// The request to a client to stop.
#[derive(Serialize)]
struct StopBody {
    reason: &'static str,
    /// The time for an answer, in seconds.
    grace: f64,
}

/// Returns the request to stop, as a message at this topic.
fn stop_message(topic: &str, stop: Stop, answers: bool) -> Message {
    let reason = match stop.reason {
        StopReason::TimedOut => "timed_out",
        StopReason::ShuttingDown => "shutting_down",
        StopReason::Fenced => "lost",
        _ => "cancelled",
    };
    let grace = if answers { stop.grace.as_secs_f64() } else { 0.0 };
    let body = StopBody { reason, grace };
    Message::new(topic, serde_json::to_vec(&body).unwrap_or_default()).acknowledged()
}

impl Devices {
    pub(crate) fn new(prefix: &str, outbox: Arc<Outbox>) -> Self {
        let (offer, closed) = (watch::Sender::default(), watch::Sender::new(false));
        Self { prefix: prefix.to_owned(), outbox, offer, state: Mutex::default(), closed }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the offers, and those that are refused with the reason.
    pub(crate) fn offer(
        &self,
        offers: BTreeMap<String, Arc<OfferedAction>>,
        refused: BTreeMap<String, String>,
    ) {
        let mut state = self.state();
        for (name, why) in &refused {
            if !state.refused.contains_key(name) {
                tracing::warn!("the action {name:?} below {}/ is not offered: {why}", self.prefix);
            }
        }
        (state.offers, state.refused) = (offers, refused);
        self.tell(&state);
    }

    /// Takes the state of the link. Without one, nothing is offered.
    pub(crate) fn connected(&self, is_connected: bool) {
        let mut state = self.state();
        state.is_connected = is_connected;
        self.tell(&state);
    }

    fn tell(&self, state: &State) {
        let mut set = if state.is_connected {
            ActionSet::new(state.offers.values().map(|offer| offer.action.clone()))
        } else {
            let why = "there is no link to the broker, so no action below this prefix can be run";
            ActionSet::default().load_error(LoadError::new(&*self.prefix, why).blocking())
        };
        for (name, why) in &state.refused {
            let place = super::rule::action_topic(&self.prefix, name);
            set = set.load_error(LoadError::new(place, why));
        }
        let set = Arc::new(set);
        self.offer.send_if_modified(|offered| {
            let is_new = *offered != set;
            *offered = set;
            is_new
        });
    }

    /// Takes the result of an attempt.
    pub(crate) fn result(&self, id: &str, payload: Vec<u8>) {
        let mut state = self.state();
        let result = state.waiting.get_mut(id).and_then(|waiting| waiting.result.take());
        if let Some(result) = result {
            // The attempt may have ended meanwhile.
            let _ = result.send(payload);
        }
    }

    /// Takes a log line of an attempt.
    pub(crate) fn line(&self, id: &str, payload: Vec<u8>) {
        if let Some(waiting) = self.state().waiting.get(id) {
            // A client that floods the log loses lines.
            let _ = waiting.lines.try_send(payload);
        }
    }

    async fn run(
        &self,
        offer: &OfferedAction,
        id: &str,
        attempt: &Attempt,
        context: &Context,
    ) -> Outcome {
        let (lines, mut heard) = mpsc::channel(LINES);
        let (result, mut ended) = oneshot::channel();
        self.state().waiting.insert(id.to_owned(), Waiting { lines, result: Some(result) });
        let _forget = Forget { devices: self, id };
        let result_topic = result_topic(&self.prefix, id);
        let cancel_topic = cancel_topic(&self.prefix, id);
        let body = TriggerBody {
            execution_id: id,
            parameters: &attempt.parameters,
            result_topic: &result_topic,
            log_topic: &log_topic(&self.prefix, id),
            cancel_topic: &cancel_topic,
        };
        let mut message =
            Message::new(&*offer.trigger_topic, serde_json::to_vec(&body).unwrap_or_default())
                .acknowledged();
        message.response_topic = Some(result_topic.clone());
        message.correlation = Some(id.to_owned().into());
        if let Err(why) = self.outbox.try_publish(message) {
            return Outcome::not_started(format!("the trigger was not sent: {why}"));
        }
        let mut closed = self.closed.subscribe();
        let mut is_told = false;
        loop {
            let line = tokio::select! {
                biased;
                Some(line) = heard.recv() => line,
                result = &mut ended => return match result {
                    Ok(payload) => match outcome(&payload) {
                        Outcome::Failed(_) if is_told => Outcome::Cancelled,
                        outcome => outcome,
                    },
                    Err(_) => Outcome::failed("the gateway has forgotten the attempt"),
                },
                stop = context.stopped(), if !is_told => {
                    is_told = true;
                    let message = stop_message(&cancel_topic, stop, offer.answers_cancel);
                    if let Err(why) = self.outbox.try_publish(message) {
                        tracing::warn!(topic = cancel_topic, %why, "a client is not told to stop");
                        return Outcome::Cancelled;
                    }
                    if !offer.answers_cancel || stop.grace.is_zero() {
                        return Outcome::Cancelled;
                    }
                    continue;
                }
                () = context.grace_expired(), if is_told => return Outcome::Cancelled,
                _ = closed.wait_for(|closed| *closed) => {
                    return Outcome::failed("the gateway is shutting down");
                }
            };
            log(context, &line).await;
        }
    }
}

/// Forgets an attempt when it is dropped.
struct Forget<'a> {
    devices: &'a Devices,
    id: &'a str,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.devices.state().waiting.remove(self.id);
    }
}

#[async_trait]
impl Executor for Devices {
    fn actions(&self) -> Watcher<Arc<ActionSet>> {
        self.offer.subscribe().into()
    }

    async fn execute(&self, attempt: Attempt, context: Context) -> Outcome {
        if *self.closed.borrow() {
            return Outcome::failed("the gateway is shutting down");
        }
        let offer = self.state().offers.get(&*attempt.action).cloned();
        let Some(offer) = offer else {
            let name = &attempt.action;
            return Outcome::Failed(
                Failure::new(format!("there is no action {name:?}"))
                    .code(FailureCode::ActionUnavailable),
            );
        };
        // A late answer to an earlier attempt is none to this one.
        let id = match attempt.number {
            1 => attempt.execution.to_string(),
            number => format!("{}.{number}", attempt.execution),
        };
        self.run(&offer, &id, &attempt, &context).await
    }

    async fn close(&self) -> Result<()> {
        self.closed.send_replace(true);
        Ok(())
    }
}

/// Writes a log line: an object with level and message, or a text.
async fn log(context: &Context, payload: &[u8]) {
    #[derive(Deserialize)]
    struct Line {
        #[serde(default)]
        level: Option<String>,
        message: String,
    }
    let (level, message) = match object::read::<Line>(payload) {
        Ok(line) => (line.level.unwrap_or_default(), line.message),
        Err(_) => (String::new(), String::from_utf8_lossy(payload).into_owned()),
    };
    let level = match level.to_ascii_lowercase().as_str() {
        "debug" | "trace" => Level::Debug,
        "warning" | "warn" => Level::Warning,
        "error" | "critical" | "fatal" => Level::Error,
        _ => Level::Info,
    };
    context.log(level, message).await;
}

/// Returns the outcome that a client reports.
fn outcome(payload: &[u8]) -> Outcome {
    #[derive(Deserialize)]
    struct Report<'a> {
        #[serde(default)]
        status: Option<String>,
        #[serde(borrow, default)]
        result: Option<&'a RawValue>,
        #[serde(borrow, default)]
        error: Option<&'a RawValue>,
    }
    let report: Report<'_> = match object::read(payload) {
        Ok(report) => report,
        Err(error) => {
            return Outcome::failed(format!(
                "the answer must be a JSON object with status, result and error: {error}"
            ));
        }
    };
    let error = report.error.map(RawValue::get).filter(|text| !matches!(*text, "null" | "\"\""));
    let error = error.map(|text| {
        let text = serde_json::from_str::<String>(text).unwrap_or_else(|_| text.to_owned());
        text.chars().take(ERROR_CHARS).collect::<String>()
    });
    let status = report.status.unwrap_or_default().to_ascii_lowercase();
    let succeeded = match &*status {
        "" => error.is_none(),
        "succeeded" | "success" | "ok" | "completed" | "done" | "finished" => true,
        _ => false,
    };
    if succeeded {
        let result = report.result.map_or("null", RawValue::get);
        return match Json::parse(result) {
            Ok(result) => Outcome::Succeeded(result),
            Err(error) => Outcome::failed(format!("the result cannot be read: {error}")),
        };
    }
    let status: String = status.chars().take(100).collect();
    Outcome::failed(error.unwrap_or_else(|| format!("the client reports the status {status:?}")))
}

#[cfg(test)]
mod tests {
    use tinpot_core::{Outcome, Status};

    use super::outcome;

    #[test]
    fn reports_become_outcomes() {
        for (report, status, text) in [
            (
                r#"{"status": "succeeded", "result": {"a": 1.10}}"#,
                Status::Succeeded,
                r#"{"a": 1.10}"#,
            ),
            (r#"{"status": "OK"}"#, Status::Succeeded, "null"),
            (r#"{"result": 3, "error": null}"#, Status::Succeeded, "3"),
            (r#"{"status": "error", "error": "no water"}"#, Status::Failed, "no water"),
            (r#"{"error": {"code": 5}}"#, Status::Failed, r#"{"code": 5}"#),
            (r#"{"status": "failed"}"#, Status::Failed, "the status \"failed\""),
            ("on", Status::Failed, "must be a JSON object"),
            ("[]", Status::Failed, "must be a JSON object"),
            ("\u{0}", Status::Failed, "must be a JSON object"),
        ] {
            let outcome = outcome(report.as_bytes());
            assert_eq!(outcome.status(), status, "{report}");
            let said = match &outcome {
                Outcome::Succeeded(value) => value.as_str().to_owned(),
                other => other.error().expect("an error"),
            };
            assert!(said.contains(text), "{report}: {said}");
        }
    }
}
