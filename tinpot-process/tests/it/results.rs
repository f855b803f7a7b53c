//! Programs that run, and the outcomes of their ends.

use serde_json::json;
use tinpot_core::{FailureCode, Stream};

use crate::support::{Apps, call, names, offer, run};

#[tokio::test]
async fn scripts_and_programs_run_and_return_their_result() {
    let apps = Apps::new()
        .app("shell", "bin/main.sh", "", "echo '{\"in\": \"sh\"}' > $TINPOT_RESULT; pwd; ls\n")
        .app(
            "python",
            "main.py",
            "",
            "import json, os, sys\nprint(sys.prefix != sys.base_prefix, flush=True)\n\
             json.dump([1, 2], open(os.environ['TINPOT_RESULT'], 'w'))\n",
        )
        .file(
            "tool/Towerfile",
            "[app]\nname = \"tool\"\n[tinpot]\nexec = [\"./run\", \"a b\", \"$HOME\"]\n",
        )
        .file("tool/run", "#!/bin/sh\nprintf '%s\\n' \"$@\"\n")
        .file(
            "by-name/Towerfile",
            "[app]\nname = \"by-name\"\n[tinpot]\nexec = [\"echo\", \"found\"]\n",
        );
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(apps.path("tool/run"), mode).expect("a mode");
    let executor = apps.start().await;
    assert_eq!(names(&offer(&executor)), ["by-name", "python", "shell", "tool"]);

    let shell = call(&executor, "shell").await;
    assert_eq!(shell.value(), json!({"in": "sh"}));
    let [directory, files @ ..] = &shell.stdout()[..] else { panic!("{:?}", shell.lines) };
    assert_eq!(files, ["Towerfile", "bin"]);
    assert!(!directory.starts_with(apps.0.path().to_str().expect("UTF-8")), "{directory}");
    assert!(!std::path::Path::new(directory).exists(), "the workspace is removed");

    let python = call(&executor, "python").await;
    assert_eq!((python.value(), python.stdout()), (json!([1, 2]), vec!["True"]));
    let tool = call(&executor, "tool").await;
    assert_eq!((tool.value(), tool.stdout()), (json!(null), vec!["a b", "$HOME"]));
    assert_eq!(call(&executor, "by-name").await.stdout(), ["found"]);
}

#[tokio::test]
async fn ends_are_told_apart() {
    let exec =
        |name: &str, exec: &str| format!("[app]\nname = {name:?}\n[tinpot]\nexec = {exec}\n");
    let apps = Apps::new()
        .app("exit", "main.sh", "", "echo first >&2; echo the reason >&2; exit 3\n")
        .app("quiet", "main.sh", "", "exit 1\n")
        .app("signal", "main.sh", "", "kill -SEGV $$\n")
        .app("raises", "main.py", "", "raise ValueError('no')\n")
        .app("no-json", "main.sh", "", "echo nonsense > $TINPOT_RESULT\n")
        .app("blank", "main.sh", "", "echo > $TINPOT_RESULT\n")
        .app("link", "main.sh", "", "ln -s /etc/passwd $TINPOT_RESULT\n")
        .app("large", "main.sh", "", "printf '\"%2000s\"' x > $TINPOT_RESULT\n")
        .file("missing/Towerfile", &exec("missing", "[\"./gone\"]"))
        .file("unknown/Towerfile", &exec("unknown", "[\"no-such-program-here\"]"))
        .app("no-script", "other.sh", "", "");
    std::fs::remove_file(apps.path("no-script/other.sh")).expect("a file");
    let executor = apps.builder().result_limit_bytes(1000).start().await.expect("an executor");
    let executor = std::sync::Arc::new(executor);
    for (action, kind, code, part) in [
        ("exit", "Exit", FailureCode::ActionError, "exit code 3: the reason"),
        ("quiet", "Exit", FailureCode::ActionError, "exit code 1"),
        ("signal", "Signal", FailureCode::Crashed, "signal 11 (SIGSEGV)"),
        ("raises", "Exit", FailureCode::ActionError, "exit code 1: ValueError: no"),
        ("no-json", "InvalidResult", FailureCode::ActionError, "TINPOT_RESULT must be JSON"),
        ("large", "ResultTooLarge", FailureCode::ResultTooLarge, "at most 1000 bytes"),
        ("missing", "SetupFailed", FailureCode::ActionError, "cannot start ./gone"),
        ("unknown", "SetupFailed", FailureCode::ActionError, "no-such-program-here"),
        ("no-script", "SetupFailed", FailureCode::ActionError, "app.script \"other.sh\" must be"),
    ] {
        let ended = call(&executor, action).await;
        let failure = ended.failure();
        assert_eq!((&*failure.kind, failure.code), (kind, code), "{action}: {failure:?}");
        assert!(failure.message.contains(part), "{action}: {failure:?}");
        let exit_code = match action {
            "exit" => Some(3),
            "quiet" | "raises" => Some(1),
            _ => None,
        };
        assert_eq!(failure.exit_code, exit_code, "{action}");
    }
    for action in ["blank", "link"] {
        assert_eq!(call(&executor, action).await.value(), json!(null), "{action}");
    }
}

#[tokio::test]
async fn files_are_kept_as_artifacts_and_a_summary() {
    let script = "cd $TINPOT_ARTIFACTS; printf 'a,b' > table.csv; ln -s /etc/passwd link\n\
                  mkdir folder; touch folder/file\nhead -c 100000 /dev/zero > zeros\n\
                  echo '**done**' > $TINPOT_SUMMARY\n";
    let apps = Apps::shell("keeps", script);
    let ended = call(&apps.start().await, "keeps").await;
    assert_eq!(ended.value(), json!(null));
    let events = ended.stream(Stream::Event).join("\n");
    for part in [
        r#""name":"table.csv","size_bytes":3,"media_type":"text/csv""#,
        r#""name":"zeros","size_bytes":100000,"media_type":"application/octet-stream""#,
        "**done**",
    ] {
        assert!(events.contains(part), "{events}");
    }
    assert_eq!(ended.stream(Stream::Event).len(), 3, "{events}");
    let data = ended.stream(Stream::Data);
    assert_eq!((data[0], data.len()), ("1.1 YSxi", 4));
}

#[tokio::test]
async fn every_attempt_has_a_fresh_copy() {
    let apps = Apps::shell("fresh", "cat data; echo more >> data; mkdir d; chmod 000 d\n")
        .file("fresh/data", "one\n");
    let executor = apps.start().await;
    for _ in 0..2 {
        assert_eq!(call(&executor, "fresh").await.stdout(), ["one"]);
    }
    apps.write("fresh/data", "two\n");
    assert_eq!(run(&executor, "fresh", json!({})).await.stdout(), ["two"]);
}
