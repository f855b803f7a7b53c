//! An executor of one's own: shell scripts.

use std::collections::BTreeMap;
use std::io;
use std::process::Stdio;

use futures::future::join3;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::Value;
use tinpot_core::executor::{ActionSet, Attempt, ScopedExecutor};
use tinpot_core::{Action, Context, Executor, Json, Level, Outcome, Stream};
use tokio::process::Command;

/// Creates an executor that runs shell scripts.
///
/// A script finds each parameter in an environment variable of its name, a string as its text and
/// anything else as JSON, and all of them in `$1`, a JSON object. Nothing is spliced into a command,
/// so there is nothing to quote. Its output is the log, its exit status the outcome, and the last
/// line of its standard error the message of a failure.
pub fn shell_executor(scripts: Vec<(Action, &'static str)>) -> impl Executor {
    let actions = ActionSet::new(scripts.iter().map(|(action, _)| action.clone()));
    let scripts: BTreeMap<_, _> = scripts.into_iter().map(|(a, script)| (a.name, script)).collect();
    ScopedExecutor::new(actions, move |attempt, context| {
        let script = scripts.get(&*attempt.action).copied().unwrap_or_default();
        async move {
            let outcome = run(script, &attempt, &context).await;
            outcome.unwrap_or_else(|error| Outcome::failed(format!("cannot run it: {error}")))
        }
    })
}

async fn run(script: &str, attempt: &Attempt, context: &Context) -> io::Result<Outcome> {
    let parameters: BTreeMap<String, Value> =
        attempt.parameters.deserialize().map_err(io::Error::other)?;
    let variables = parameters.iter().map(|(name, value)| match value {
        Value::String(text) => (name, text.replace('\0', "")),
        other => (name, other.to_string()),
    });
    let mut child = Command::new("/bin/sh")
        .args(["-c", script, "sh", attempt.parameters.as_str()])
        .envs(variables)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()?;
    let group = ProcessGroup(child.id().map(|id| Pid::from_raw(id as i32)));
    let output = context.logs().copy(Stream::Stdout, Level::Info, child.stdout.take());
    let errors = context.logs().copy(Stream::Stderr, Level::Error, child.stderr.take());
    let ended = async {
        tokio::select! {
            _ = child.wait() => {}
            _ = context.stopped() => group.signal(Signal::SIGTERM),
        }
        let status = child.wait().await;
        // All that the script left behind dies with it; then the pipes end.
        drop(group);
        status
    };
    let (_, errors, status) = join3(output, errors, ended).await;
    Ok(match status? {
        status if status.success() => Outcome::Succeeded(Json::null()),
        status => Outcome::failed(errors?.unwrap_or_else(|| status.to_string())),
    })
}

/// The processes of an attempt, killed when this is dropped.
struct ProcessGroup(Option<Pid>);

impl ProcessGroup {
    fn signal(&self, signal: Signal) {
        // A group that is gone needs no signal.
        let _ = self.0.map(|group| killpg(group, signal));
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
    }
}
