//! The reference in `docs/` is what the program says.

use std::path::Path;

fn held_to(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name);
    if std::env::var_os("TINPOT_RENEW_DOCS").is_some() {
        std::fs::write(&path, text).expect("the file is written");
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = found.lines().zip(text.lines()).position(|(a, b)| a != b);
    assert!(
        found == text,
        "docs/{name} is not what the program says (line {}): TINPOT_RENEW_DOCS=1 cargo test -p tinpot-cli reference",
        differs
            .map_or_else(|| found.lines().count().min(text.lines().count()) + 1, |line| line + 1)
    );
}

#[test]
fn the_reference_of_the_commands_is_current() {
    held_to("cli.md", &tinpot_cli::cli_reference());
}

#[test]
fn the_reference_of_the_settings_is_current() {
    held_to("configuration.md", &tinpot_cli::configuration_reference());
}

#[test]
fn each_command_has_a_manual_page() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_tinpot"));
    let done = command.arg("manual").arg(folder.path()).output().expect("the command");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let page = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap_or_default();
    assert!(page("tinpot.1").contains("tinpot\\-run"), "the first page lists the others");
    assert!(page("tinpot-executions-rerun.1").contains("Run the same action again"));
    assert_eq!(page("tinpot-manual.1"), "", "it is for packages alone");
}
