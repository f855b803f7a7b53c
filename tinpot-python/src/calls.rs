//! Calls of other actions, as an interpreter asks for them and is answered.

use serde::{Deserialize, Serialize};
use tinpot_core::{Context, Error, ExecutionId, Failure, Json, Outcome, SpanId, SubmitOptions};

/// What an interpreter asks.
#[derive(Debug, Deserialize)]
pub(crate) struct CallRequest {
    number: u64,
    action: String,
    parameters: Json,
    #[serde(default)]
    options: SubmitOptions,
    #[serde(default)]
    span: u32,
    /// Whether the attempt waits for the end.
    pub(crate) wait: bool,
}

#[derive(Deserialize)]
struct Line {
    call: CallRequest,
}

/// What it is told: one line.
#[derive(Default, Serialize)]
struct Answer {
    called: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    execution: Option<ExecutionId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<Failure>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<Refused>,
}

#[derive(Serialize)]
struct Refused {
    kind: String,
    message: String,
}

impl CallRequest {
    /// Whether a line of an interpreter is a call, and not its reply.
    pub(crate) fn is_in(line: &[u8]) -> bool {
        line.starts_with(b"{\"call\":")
    }

    pub(crate) fn read(line: &[u8]) -> serde_json::Result<Self> {
        Ok(serde_json::from_slice::<Line>(line)?.call)
    }

    /// Has it run; the line to answer with.
    pub(crate) async fn answer(self, context: &Context) -> Vec<u8> {
        let CallRequest { number, action, parameters, options, span, wait } = self;
        let span = (span > 0).then(|| SpanId { attempt: context.attempt(), number: span });
        let context = context.within(span);
        let answer = if wait {
            context.run(&action, parameters, options).await.map(|(execution, outcome)| {
                let (status, error) = (outcome.status().as_str(), outcome.error());
                let (value, failure) = match outcome {
                    Outcome::Succeeded(value) => (Some(value), None),
                    Outcome::Failed(failure) => (None, Some(failure)),
                    _ => (None, None),
                };
                let (execution, status) = (Some(execution), Some(status));
                Answer { execution, status, value, failure, error, ..Answer::default() }
            })
        } else {
            let execution = context.submit(&action, parameters, options).await;
            execution.map(|id| Answer { execution: Some(id), ..Answer::default() })
        };
        let mut answer = answer.unwrap_or_else(refused);
        answer.called = number;
        let mut line = serde_json::to_vec(&answer).unwrap_or_default();
        line.push(b'\n');
        line
    }
}

fn refused(error: Error) -> Answer {
    let refused = Refused { kind: format!("{:?}", error.kind()), message: error.to_string() };
    Answer { refused: Some(refused), ..Answer::default() }
}
