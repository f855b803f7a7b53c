//! Completions: the scripts, and what they are answered.

use crate::support::{Ran, Server, free_port, tinpot};

/// Returns the completions of bash for the last word.
fn completed(server: &str, words: &[&str]) -> Vec<String> {
    Ran::of(completion(server, words)).ok().lines().map(str::to_owned).collect()
}

/// Returns the command that bash runs to complete the last word.
fn completion(server: &str, words: &[&str]) -> std::process::Command {
    let mut command = tinpot();
    command.env("TINPOT_SERVER", server).env("TINPOT_COMPLETE", "bash");
    command.env("_CLAP_IFS", "\n").env("_CLAP_COMPLETE_INDEX", (words.len()).to_string());
    command.env("_CLAP_COMPLETE_TYPE", "9").env("_CLAP_COMPLETE_SPACE", "false");
    command.args(["--", "tinpot"]).args(words);
    command
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
        .env("TINPOT_SERVER", &server.url)
        .env("XDG_STATE_HOME", crate::support::state())
        .env_remove("XDG_RUNTIME_DIR");
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
fn what_the_server_knows_is_completed() {
    let server = Server::shared();
    let url = &server.url;
    let id = server.run(&["run", "echo", "--text", "a", "-q", "--detach"]).ok().trim().to_owned();
    server.wait_for(&id, "succeeded");
    for command in ["show", "logs", "watch", "cancel", "rerun"] {
        assert_eq!(completed(url, &["executions", command, &id[..30]]), [&*id], "{command}");
    }
    assert_eq!(completed(url, &["executions", "list", "--parent", &id[..30]]), [&*id]);
    assert_eq!(completed(url, &["executions", "list", "--action", "asi"]), ["aside"]);
    assert_eq!(completed(url, &["executions", "list", "--queue", "def"]), ["default"]);
    assert_eq!(completed(url, &["queues", "pause", "asi"]), ["aside"]);
    assert_eq!(completed(url, &["run", "echo", "--queue", "asi"]), ["aside"]);
    let workers = completed(url, &["workers", "drain", ""]);
    assert_eq!(workers.iter().filter(|word| !word.starts_with('-')).count(), 1, "{workers:?}");
    assert_eq!(completed(url, &["run", "echo", "-p", "te"]), ["text="]);
    assert_eq!(completed(url, &["run", "echo", "--param", "kind=s"]), ["kind=short"]);
    assert_eq!(completed(url, &["executions", "rerun", &id, "--wo"]), ["--words"]);
}

#[test]
fn files_are_completed_also_after_an_at_sign() {
    let server = Server::shared();
    let folder = tempfile::tempdir().expect("a folder");
    let path = crate::support::file(folder.path(), "parameters.json", "{}");
    let (path, start) =
        (path.display().to_string(), folder.path().join("par").display().to_string());
    let (at, at_start) = (format!("@{path}"), format!("@{start}"));
    assert_eq!(completed(&server.url, &["run", "echo", "--data", &at_start]), [&*at]);
    assert_eq!(completed(&server.url, &["run", "measure", "--blob", &at_start]), [&*at]);
    assert_eq!(completed(&server.url, &["worker", "--config", &start]), [&*path]);
    assert_eq!(completed(&server.url, &["exec", &start]), [&*path]);
}

#[test]
fn profiles_are_completed() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(folder.path().join("tinpot")).expect("a folder");
    let text = "[profile.production]\nserver = \"http://127.0.0.1:1\"\n";
    crate::support::file(&folder.path().join("tinpot"), "config.toml", text);
    let mut command = completion("http://127.0.0.1:1", &["--profile", "pro"]);
    command.env("XDG_CONFIG_HOME", folder.path());
    assert_eq!(Ran::of(command).ok().trim(), "production");
}

#[test]
fn completion_works_without_a_server() {
    let gone = format!("http://127.0.0.1:{}", free_port());
    assert!(completed(&gone, &["run", "ec"]).is_empty());
    assert_eq!(completed(&gone, &["run", "--deta"]), ["--detach"]);
}
