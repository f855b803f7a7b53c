//! Trace contexts, from the submitter to the action.

use crate::support::{Process, Ran, ask, file, tinpot};

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const OTHER: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";

const ACTIONS: &str = r#"
import os
from tinpot import action, Context, current

@action
def plain(ctx: Context):
    return [os.environ.get("TRACEPARENT"), ctx.traceparent]

@action(concurrency=4)
async def shared(ctx: Context):
    return current().traceparent

@action
def caller(ctx: Context):
    return ctx.call("plain")
"#;

#[test]
fn an_action_has_the_trace_context_of_its_submitter() {
    let folder = tempfile::tempdir().expect("a folder");
    file(folder.path(), "actions.py", ACTIONS);
    file(folder.path(), "program/Towerfile", "[app]\nname = \"program\"\nscript = \"main.sh\"\n");
    file(
        folder.path(),
        "program/main.sh",
        "echo \"\\\"${TRACEPARENT-none}\\\"\" > \"$TINPOT_RESULT\"\n",
    );
    let mut command = tinpot();
    command.args(["dev", "--port", "0", "--concurrency", "1"]).arg(folder.path());
    let mut process = Process::start(command);
    let url = process.url();
    let run = |action: &str, variable: Option<&str>, more: &[&str]| {
        let mut command = tinpot();
        command.env("TINPOT_SERVER", &url).env_remove("TRACEPARENT");
        if let Some(variable) = variable {
            command.env("TRACEPARENT", variable);
        }
        command.args(["run", action]).args(more);
        let text = Ran::of(command).ok().to_owned();
        // A result that is text is printed as it is.
        text.split_whitespace().collect::<String>()
    };
    let both = |trace: &str| format!("[\"{trace}\",\"{trace}\"]");
    assert_eq!(run("plain", None, &["--traceparent", TRACE]), both(TRACE));
    assert_eq!(run("plain", Some(OTHER), &[]), both(OTHER));
    // The interpreter is the same, and nothing is left of the attempts before.
    assert_eq!(run("plain", None, &[]), "[null,null]");
    assert_eq!(run("shared", None, &["--traceparent", TRACE]), TRACE);
    assert_eq!(run("caller", None, &["--traceparent", TRACE]), both(TRACE));
    assert_eq!(run("program", None, &["--traceparent", TRACE]), TRACE);
    assert_eq!(run("program", None, &[]), "none");

    // A header, which a proxy may have made. One that cannot be read counts as none.
    let mut command = tinpot();
    command.env("TINPOT_SERVER", &url).args(["whoami", "--header"]);
    let authorization = Ran::of(command).ok().trim().to_owned();
    let call = |header: &str| {
        let head = format!("{authorization}\r\ntraceparent: {header}\r\n");
        let answer = ask(&url, "POST", "/api/actions/program/sync_execute", &head, "{}");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        answer
    };
    assert!(call(TRACE).contains(TRACE));
    assert!(call("00-nonsense").contains("\"none\""));

    let mut command = tinpot();
    command.env("TINPOT_SERVER", &url).args(["run", "plain", "--traceparent", "00-nonsense"]);
    let refused = Ran::of(command);
    assert!(
        refused.code == Some(2) && refused.stderr.contains("traceparent must be"),
        "{refused:?}"
    );
    let head = format!("{authorization}\r\n");
    let list = ask(&url, "GET", "/api/executions?action=shared", &head, "");
    let id = list.split("\"execution_id\":\"").nth(1).and_then(|rest| rest.split('"').next());
    let shown = ask(&url, "GET", &format!("/api/executions/{}", id.expect("an id")), &head, "");
    assert!(shown.contains(&format!("\"traceparent\":\"{TRACE}\"")), "{shown}");
}
