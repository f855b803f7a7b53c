//! A worker that is killed takes everything with it.

use std::process::{Command, Stdio};

use serde_json::json;

use crate::support::{Apps, host, is_alive, until};

const SCRIPT: &str = r#"
echo $$ >> $note
trap '' TERM HUP
(setsid env -i /bin/sh -c "trap '' TERM HUP; echo \$\$ >> $note; sleep 600; sleep 600" &)
pwd > $note.pwd
sleep 600 & echo $! >> $note
sleep 600; sleep 600
"#;

#[tokio::test]
async fn nothing_survives_a_kill_of_the_worker() {
    let apps = Apps::shell("orphan", SCRIPT);
    let note = apps.path("pids");
    let mut worker = Command::new(host())
        .arg(apps.0.path())
        .args(["orphan", &json!({ "note": note }).to_string()])
        .stdin(Stdio::null())
        .spawn()
        .expect("a worker");
    let pids = apps.pids("pids", 3).await;
    assert!(pids.iter().all(|pid| is_alive(*pid)));
    worker.kill().expect("SIGKILL");
    worker.wait().expect("its end");
    until("the death of everything", || !pids.iter().any(|pid| is_alive(*pid))).await;
    let workspace = std::fs::read_to_string(apps.path("pids.pwd")).expect("a path");
    until("the end of the workspace", || !std::path::Path::new(workspace.trim()).exists()).await;
}

#[test]
fn a_program_of_the_sdk_runs_an_app() {
    let apps = Apps::shell("hello", "echo \"{\\\"hello\\\": \\\"$name\\\"}\" > $TINPOT_RESULT\n");
    let output = Command::new(host())
        .arg(apps.0.path())
        .args(["hello", r#"{"name": "you"}"#])
        .output()
        .expect("a worker");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(text.trim(), r#"{"hello":"you"}"#, "{}", String::from_utf8_lossy(&output.stderr));
}
