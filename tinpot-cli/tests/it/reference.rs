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
