//! `tinpot executions rerun`.

use std::collections::BTreeMap;

use clap::Command;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::client::{Follow, encoded};
use crate::commands::run::{
    LAST_WORDS, Words, explained, global_of, options, submitted, upload_large,
};
use crate::commands::{Target, find, submit_options};
use crate::exit::{CliError, Code, Done};
use crate::flags::Flags;
use crate::follow::program;
use crate::ids::{path, resolve};
use crate::profile;

/// The text that a record has in place of a secret.
const HIDDEN: &str = "***";

/// The record of the execution to run again.
#[derive(Deserialize)]
struct Record {
    action_name: String,
    queue: String,
    priority: i32,
    timeout: Option<f64>,
    retries: u32,
    max_lost_attempts: u32,
    /// The parameters as JSON text, so that numbers stay as they are.
    parameters: BTreeMap<String, Box<RawValue>>,
}

/// A submission.
#[derive(Serialize)]
struct Body {
    parameters: BTreeMap<String, Box<RawValue>>,
    options: Value,
}

pub(crate) fn rerun(target: &Target) -> Done {
    let global = global_of(&target.words);
    let client = profile::client(&global)?;
    let id = resolve(&client, &target.name, &global.clock())?;
    let record: Record = client.read(&path(&id, ""))?;
    let again = format!("{} executions rerun {id}", program(&client));
    let base = options(Command::new("rerun")).bin_name(&again);
    let action = find(&client, &record.action_name)?;
    let words = Words::parse(&base, &action, &target.words)?;
    let arguments = &words.arguments;
    let given = words.parameters()?;
    let changed = submit_options(&arguments.submit);
    let (path, body) = if given.is_empty() {
        // The server has the secrets, which a client never sees.
        (path(&id, "/rerun"), json!({ "options": changed }).to_string())
    } else {
        let given = words.with_secrets(given, |name| record.hides(name))?;
        let body = Body {
            parameters: record.parameters(given, &words.flags)?,
            options: record.options(changed),
        };
        let body = serde_json::to_string(&body).map_err(|e| {
            CliError::new(Code::Failed, format!("cannot write the parameters: {e}"))
        })?;
        (format!("/api/actions/{}/execute", encoded(&action.name)), body)
    };
    let follow = Follow::prepare(arguments.wait.follow.timeout, LAST_WORDS)?;
    upload_large(&client, &action.name)?;
    let answer = client
        .post(&path, Some(&body))
        .map_err(|refused| explained(&client, &action.name, &again, Some(&words.flags), refused))?;
    submitted(&client, &answer, &follow, &arguments.wait, &words.global, false)
}

impl Record {
    fn hides(&self, name: &str) -> bool {
        let value = self.parameters.get(name);
        value
            .is_some_and(|value| serde_json::from_str(value.get()).is_ok_and(|value| hides(&value)))
    }

    /// Returns the recorded parameters, with the given ones in place of theirs.
    ///
    /// # Errors
    /// Fails if the record hides a secret that is not given.
    fn parameters(
        &self,
        given: Map<String, Value>,
        flags: &Flags,
    ) -> Result<BTreeMap<String, Box<RawValue>>, CliError> {
        let mut all = self.parameters.clone();
        for (name, value) in given {
            let value = serde_json::value::to_raw_value(&value)
                .map_err(|e| CliError::usage(format!("{name} has no JSON form: {e}")))?;
            all.insert(name, value);
        }
        let left = |name: &&String| {
            all.get(*name).map(|value| value.get())
                == self.parameters.get(*name).map(|value| value.get())
        };
        let hidden: Vec<String> = self
            .parameters
            .keys()
            .filter(left)
            .filter(|name| self.hides(name))
            .map(|name| flags.flag_of(name).unwrap_or_else(|| name.clone()))
            .collect();
        if hidden.is_empty() {
            return Ok(all);
        }
        let message = format!(
            "{} must be given again: the record hides secrets, and the server can only use them \
             if no parameter changes",
            hidden.join(", ")
        );
        Err(CliError::usage(message))
    }

    /// Returns the recorded options, with the changed ones in place of theirs.
    fn options(&self, changed: Value) -> Value {
        let mut all = json!({
            "queue": self.queue, "priority": self.priority, "timeout": self.timeout,
            "retries": self.retries, "max_lost_attempts": self.max_lost_attempts,
        });
        if let (Value::Object(all), Value::Object(changed)) = (&mut all, changed) {
            all.extend(changed);
        }
        all
    }
}

/// Returns true if a recorded value contains a hidden secret.
fn hides(value: &Value) -> bool {
    match value {
        Value::String(text) => text == HIDDEN,
        Value::Array(all) => all.iter().any(hides),
        Value::Object(all) => all.values().any(hides),
        _ => false,
    }
}
