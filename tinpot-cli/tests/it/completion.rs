//! Completions: the scripts, and what they are answered.

use crate::support::{Ran, Server, free_port, tinpot};

/// Returns the completions of bash for the last word.
fn completed(server: &str, words: &[&str]) -> Vec<String> {
    let mut command = tinpot();
    command.env("TINPOT_SERVER", server).env("TINPOT_COMPLETE", "bash");
    command.env("_CLAP_IFS", "\n").env("_CLAP_COMPLETE_INDEX", (words.len()).to_string());
    command.env("_CLAP_COMPLETE_TYPE", "9").env("_CLAP_COMPLETE_SPACE", "false");
    command.args(["--", "tinpot"]).args(words);
    Ran::of(command).ok().lines().map(str::to_owned).collect()
}

#[test]
fn every_shell_has_a_script() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let mut command = tinpot();
        command.args(["completions", shell]);
        let ran = Ran::of(command);
        assert!(
            ran.ok().contains("TINPOT_COMPLETE") && ran.stdout.contains("tinpot"),
            "{shell}: {ran:?}"
        );
    }
}

#[test]
fn a_script_works_in_bash() {
    let server = Server::shared();
    let script = r#"source <("$TINPOT" completions bash); COMP_WORDS=(tinpot run ech); COMP_CWORD=2; COMP_TYPE=9; COMP_POINT=14; COMP_LINE="tinpot run ech"; tinpot() { "$TINPOT" "$@"; }; _clap_complete_tinpot tinpot ech run; printf '%s\n' "${COMPREPLY[@]}""#;
    let mut bash = std::process::Command::new("bash");
    bash.args(["--norc", "-c", script])
        .env("TINPOT", env!("CARGO_BIN_EXE_tinpot"))
        .env("TINPOT_SERVER", &server.url);
    // The script finds `tinpot` in the path.
    let folder = std::path::Path::new(env!("CARGO_BIN_EXE_tinpot")).parent().expect("a folder");
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap_or_default());
    bash.env("PATH", path);
    assert_eq!(Ran::of(bash).ok().trim(), "echo");
}

#[test]
fn commands_actions_flags_and_values_are_completed() {
    let url = &Server::shared().url;
    assert_eq!(completed(url, &["exec"]), ["executions", "exec"]);
    assert_eq!(completed(url, &["executions", "ca"]), ["cancel"]);
    assert_eq!(completed(url, &["run", "ec"]), ["echo"]);
    assert_eq!(completed(url, &["actions", "show", "as"]), ["aside"]);
    assert_eq!(completed(url, &["run", "echo", "--wo"]), ["--words"]);
    assert_eq!(completed(url, &["run", "echo", "--kind", ""]), ["short", "long"]);
    assert_eq!(completed(url, &["run", "echo", "--idem"]), ["--idempotency-key"]);
    assert_eq!(completed(url, &["executions", "list", "--status", "suc"]), ["succeeded"]);
}

#[test]
fn completion_works_without_a_server() {
    let gone = format!("http://127.0.0.1:{}", free_port());
    assert!(completed(&gone, &["run", "ec"]).is_empty());
    assert_eq!(completed(&gone, &["run", "--deta"]), ["--detach"]);
}
