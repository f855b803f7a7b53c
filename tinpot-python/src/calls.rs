//! Calls of other actions and requests for secrets: those of an interpreter, and the answers.

use serde::{Deserialize, Serialize};
use tinpot_core::{Context, Error, ExecutionId, Failure, Json, Outcome, SpanId, SubmitOptions};

use crate::child_text;

/// A call that an interpreter requests, or a secret.
#[derive(Debug, Deserialize)]
pub(crate) struct CallRequest {
    number: u64,
    /// The name of a secret: then it is no call.
    #[serde(default)]
    secret: Option<String>,
    #[serde(default)]
    action: String,
    #[serde(default = "Json::empty_object")]
    parameters: Json,
    #[serde(default)]
    options: SubmitOptions,
    #[serde(default)]
    span: u32,
    /// If true, the attempt waits for the end of the child.
    #[serde(default)]
    pub(crate) wait: bool,
}

#[derive(Deserialize)]
struct Line {
    call: CallRequest,
}

/// The answer to a call, sent as one line.
#[derive(Default, Serialize)]
struct CallAnswer {
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
    /// Returns true if a line of an interpreter is a call. Other lines are replies.
    pub(crate) fn is_in(line: &[u8]) -> bool {
        line.starts_with(b"{\"call\":")
    }

    pub(crate) fn read(line: &[u8]) -> serde_json::Result<Self> {
        Ok(child_text::read::<Line>(line)?.call)
    }

    /// Runs the call, and returns the line to answer with.
    pub(crate) async fn answer(self, context: &Context) -> Vec<u8> {
        let CallRequest { number, secret, action, parameters, options, span, wait } = self;
        let span = (span > 0).then(|| SpanId { attempt: context.attempt(), number: span });
        let context = context.within(span);
        let answer = if let Some(name) = secret {
            context.secret(&name).await.and_then(|value| {
                let value = Some(Json::serialize(&*value)?);
                Ok(CallAnswer { value, ..CallAnswer::default() })
            })
        } else if wait {
            context.run(&action, parameters, options).await.map(|(execution, outcome)| {
                let (status, error) = (outcome.status().as_str(), outcome.error());
                let (value, failure) = match outcome {
                    Outcome::Succeeded(value) => (Some(value), None),
                    Outcome::Failed(failure) => (None, Some(failure)),
                    _ => (None, None),
                };
                let (execution, status) = (Some(execution), Some(status));
                CallAnswer { execution, status, value, failure, error, ..CallAnswer::default() }
            })
        } else {
            let execution = context.submit(&action, parameters, options).await;
            execution.map(|id| CallAnswer { execution: Some(id), ..CallAnswer::default() })
        };
        let mut answer = answer.unwrap_or_else(refused);
        answer.called = number;
        let mut line = serde_json::to_vec(&answer).unwrap_or_default();
        line.push(b'\n');
        line
    }
}

fn refused(error: Error) -> CallAnswer {
    let refused = Refused { kind: format!("{:?}", error.kind()), message: error.to_string() };
    CallAnswer { refused: Some(refused), ..CallAnswer::default() }
}
