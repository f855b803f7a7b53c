//! The smaller examples do what they say.

use tinpot_tests::{Api, Program, free_port, run_example};

fn output(example: &str) -> String {
    let output = run_example(example, &[], &[]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

#[test]
fn rust_actions() {
    let text = output("rust_actions");
    for part in [
        "after round 3",
        "finished  Succeeded",
        "text is required",
        "rounds must be",
        "cancelled Cancelled",
    ] {
        assert!(text.contains(part), "{part:?} in {text}");
    }
}

#[test]
fn custom_executor() {
    let text = output("custom_executor");
    assert!(
        text.contains(r#"Stdout: got {"name": "$(rm -rf /)"}"#) && text.contains("Stderr: careful"),
        "{text}"
    );
}

#[test]
fn custom_transport() {
    assert!(output("custom_transport").contains("add up to 338350"));
}

#[test]
fn custom_store() {
    assert!(output("custom_store").contains("Hello, redb!"));
}

#[test]
fn embed_in_axum() {
    let port = free_port();
    let mut program = Program::start("embed_in_axum", &[("PORT", &port.to_string())]);
    let api = Api::ready_at(port, "/automation");
    let answer = api.run("greet", serde_json::json!({"name": "there"}));
    assert_eq!(answer["result"], "Hello, there!");
    program.terminate();
    assert_eq!(program.wait().code(), Some(0), "{}", program.output());
}
