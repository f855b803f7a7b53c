//! `tinpot doctor`: checks this machine for problems, and suggests remedies.

mod checks;

use std::thread;
use std::time::Duration;

use serde::Serialize;

use crate::args::{DoctorArgs, Global};
use crate::exit::{CliError, Code, Done};
use crate::output::{self, Paint};
use crate::programs::runtime;

/// The time limit for an answer of the server.
const PATIENCE: Duration = Duration::from_secs(3);

/// The state of one thing that was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    Ok,
    /// A minor fault, or a fault in something that not every user needs.
    Warning,
    Problem,
}

/// The result of one check.
#[derive(Debug, Serialize)]
pub(super) struct Finding {
    what: &'static str,
    state: State,
    found: String,
    /// The remedy; empty if none is needed.
    #[serde(rename = "do", skip_serializing_if = "String::is_empty")]
    advice: String,
}

impl Finding {
    fn ok(what: &'static str, found: impl Into<String>) -> Self {
        Self { what, state: State::Ok, found: found.into(), advice: String::new() }
    }

    fn warning(what: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { what, state: State::Warning, found: found.into(), advice: advice.into() }
    }

    fn problem(what: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { what, state: State::Problem, found: found.into(), advice: advice.into() }
    }
}

pub(crate) fn doctor(arguments: &DoctorArgs, global: &Global) -> Done {
    let server = crate::profile::server(global)?;
    let client = server.patient_client(PATIENCE)?;
    let runtime = runtime()?;
    // Each check waits for something else.
    let findings: Vec<Finding> = thread::scope(|scope| {
        let checks: Vec<thread::ScopedJoinHandle<'_, Vec<Finding>>> = vec![
            scope.spawn(|| vec![checks::server(&client, &server)]),
            scope.spawn(|| vec![checks::clock(client.date().as_deref())]),
            scope.spawn(|| vec![checks::port(&arguments.http, &client)]),
            scope.spawn(|| vec![checks::disk(arguments.store.as_deref()), checks::temporary()]),
            scope.spawn(|| runtime.block_on(checks::pythons(&arguments.python))),
            scope.spawn(|| vec![runtime.block_on(checks::broker(&arguments.broker))]),
        ];
        checks.into_iter().flat_map(|check| check.join().unwrap_or_default()).collect()
    });
    let bad = findings.iter().any(|finding| finding.state == State::Problem);
    let paint = Paint::stdout();
    if global.json {
        let text = serde_json::to_string(&findings)
            .map_err(|e| CliError::new(Code::Failed, e.to_string()))?;
        output::println(&text)?;
    } else {
        for finding in &findings {
            output::println(&line(finding, paint))?;
        }
    }
    Ok(if bad { Code::Failed } else { Code::Success })
}

fn line(finding: &Finding, paint: Paint) -> String {
    let mark = match finding.state {
        State::Ok => paint.green("ok     "),
        State::Warning => paint.yellow("warning"),
        State::Problem => paint.red("problem"),
    };
    let mut text = format!(
        "{mark} {:<10} {}",
        finding.what,
        finding.found.replace('\n', "\n                   ")
    );
    if !finding.advice.is_empty() {
        text.push_str(&format!("\n                   → {}", finding.advice));
    }
    text
}
