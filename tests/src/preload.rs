//! Libraries that are preloaded into a program to change its world.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Compiles `tests/src/{name}.c` into `directory`; the library.
pub(crate) fn compile(name: &str, directory: &Path) -> PathBuf {
    let library = directory.join(format!("{name}.so"));
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("src/{name}.c"));
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .args([&library, &source])
        .status()
        .expect("cc runs: Rust itself needs it to link");
    assert!(compiled.success(), "{} does not compile", source.display());
    library
}

/// The environment that preloads it.
pub(crate) fn preload(library: &Path) -> (&'static str, String) {
    ("LD_PRELOAD", text(library))
}

/// The setting by which interpreters get the variables of such libraries, which they inherit.
pub(crate) fn passed_on() -> (&'static str, String) {
    ("TINPOT_ENV", "TEST_*".to_owned())
}

/// A path as a variable has it.
pub(crate) fn text(path: &Path) -> String {
    path.to_str().expect("a path in UTF-8").to_owned()
}
