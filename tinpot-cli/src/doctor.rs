//! `tinpot doctor`: looks for what keeps Tinpot from working here, and says what to do.

mod checks;

use serde::Serialize;

use crate::args::{DoctorArgs, Global};
use crate::exit::{Code, Done, Failure};
use crate::output::{self, Paint};
use crate::programs::runtime;

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    Ok,
    /// It works, and could be better; or it is needed by some only.
    Warning,
    Problem,
}

/// What was looked at, and found.
#[derive(Debug, Serialize)]
pub(super) struct Finding {
    what: &'static str,
    state: State,
    found: String,
    /// What to do; empty where nothing is to be done.
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
            .map_err(|e| Failure::new(Code::Failed, e.to_string()))?;
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
