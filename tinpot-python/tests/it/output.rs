//! The content of the log.

use serde_json::json;
use tinpot_core::Stream;

use crate::support::{AMPLE, Actions, call, start};

#[tokio::test]
async fn c_code_and_subprocesses_are_captured_in_order() {
    let actions = Actions::of(
        r#"
@action
def write():
    print("print")
    os.write(1, b"os.write\n")
    subprocess.run(["echo", "subprocess"])
    ctypes.CDLL(None).printf(b"printf\n")
    os.system("echo shell")
    sys.stdout.buffer.write(b"buffer\n")
    sys.stdout.buffer.flush()
    sys.__stdout__.write("dunder\n")
    print("no end", end="")
"#,
    );
    let pool = actions.pool().await;
    let ended = call(&pool, "write").await;
    let expected =
        ["print", "os.write", "subprocess", "printf", "shell", "buffer", "dunder", "no end"];
    assert_eq!(ended.stdout(), expected, "{:?}", ended.outcome);
}

#[tokio::test]
async fn output_buffered_by_c_code_belongs_to_its_attempt() {
    let actions = Actions::of(
        r#"
@action
def write(): ctypes.CDLL(None).printf(b"no end")
@action
def nothing(): pass
"#,
    );
    let pool = actions.pool().await;
    assert_eq!(call(&pool, "write").await.stdout(), ["no end"]);
    assert_eq!(call(&pool, "nothing").await.lines, []);
}

#[tokio::test]
async fn streams_are_distinguished_and_invalid_bytes_survive() {
    let actions = Actions::of(
        r#"
@action
def write():
    print("a\rb\x00c")
    print("warn", file=sys.stderr)
    os.write(1, b"bad \xff byte\n\n")
    print("\udc80")
"#,
    );
    let pool = actions.pool().await;
    let ended = call(&pool, "write").await;
    assert_eq!(ended.stdout(), ["a\rb\0c", "bad \u{fffd} byte", "", "\\udc80"]);
    assert_eq!(ended.stream(Stream::Stderr), ["warn"]);
}

#[tokio::test]
async fn words_of_a_command_on_its_end_reach_the_log() {
    let actions = Actions::of(
        r#"
@action
def serve(): run_command("trap 'echo cleaned up; exit 0' TERM; echo ready; while :; do sleep 0.01; done")
"#,
    );
    let pool = actions.pool().await;
    let running = start(&pool, "serve", json!({}));
    running.until_line("ready").await;
    running.ask(AMPLE);
    let ended = running.end().await;
    assert!(ended.stdout().contains(&"cleaned up"), "{:?}", ended.lines);
}

#[tokio::test]
async fn endless_line_is_cut_and_the_attempt_continues() {
    let actions = Actions::of(
        r#"
@action
def write():
    for _ in range(1600):
        os.write(1, b"x" * 65536)
    print()
    print("after")
"#,
    );
    let pool = actions.pool().await;
    let ended = call(&pool, "write").await;
    let [long, after] = ended.stdout()[..] else { panic!("{} lines", ended.lines.len()) };
    assert!(long.len() < 70_000 && long.contains("bytes of this line are not kept"));
    assert_eq!(after, "after");
}

#[tokio::test]
async fn streams_that_an_action_replaces_or_closes_are_there_again() {
    let actions = Actions::of(
        r#"
import io
@action
def replace(): sys.stdout = io.StringIO()
@action
def close(): sys.stdout.close()
@action
def write(): print("here")
"#,
    );
    let pool = actions.pool().await;
    for action in ["replace", "close"] {
        call(&pool, action).await;
        assert_eq!(call(&pool, "write").await.stdout(), ["here"], "after {action}");
    }
}
