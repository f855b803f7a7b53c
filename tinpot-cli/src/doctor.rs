//! `tinpot doctor`: checks this machine for problems, and suggests remedies.

mod checks;

use serde::Serialize;

use crate::args::{DoctorArgs, Global};
use crate::exit::{CliError, Code, Done};
use crate::output::{self, Paint};
use crate::programs::runtime;

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
    let client = server.client()?;
    let date = client.date();
    let mut findings = vec![
        checks::server(&client, &server),
        checks::clock(date.as_deref()),
        checks::port(&arguments.http, &client),
        checks::disk(arguments.store.as_deref()),
        checks::temporary(),
    ];
    runtime()?.block_on(async {
        findings.extend(checks::python(arguments.python.as_deref()).await);
        findings.push(checks::broker(&arguments.broker).await);
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
