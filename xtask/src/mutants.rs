//! `cargo xtask mutants`: the protocol broken on purpose, in many ways, each of which the simulator has to see.
//!
//! All mutants are built at once: in a copy of tinpot-core each edit of the list is made conditional on the mutant that is switched on. So the
//! sources know nothing of mutants, one build is enough, and an edit whose place is gone is an error.

mod deployed;
mod joining;
mod list;
mod plain;
mod pulling;
mod sealed;
mod teams;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

const HELP: &str = "\
Break the protocol in every way on the list (xtask/src/mutants/), and check that the simulator sees each.

Usage: cargo xtask mutants [NAME]...

Options:
  NAME    Only these mutants
";

/// A way to break the protocol.
struct Mutant {
    name: &'static str,
    /// A description of the fault, for people.
    breaks: &'static str,
    edits: &'static [Edit],
}

/// A change of one place. `MUTANT` in the new text stands for whether the mutant is switched on.
struct Edit {
    file: &'static str,
    old: &'static str,
    new: &'static str,
}

/// Histories that a mutant may survive. Most are seen in the first few.
const SEEDS: &str = "3000";
const FOLDER: &str = "target/mutants";
const MODULE: &str = "\
/// Returns true if the mutant of this number is switched on.
pub(crate) fn is(number: usize) -> bool {
    static ON: std::sync::OnceLock<Option<usize>> = std::sync::OnceLock::new();
    *ON.get_or_init(|| std::env::var(\"TINPOT_MUTANT\").ok()?.parse().ok()) == Some(number)
}
";

/// Returns all mutants.
fn all() -> impl Iterator<Item = &'static Mutant> {
    list::MUTANTS
        .iter()
        .chain(sealed::MUTANTS)
        .chain(joining::MUTANTS)
        .chain(plain::MUTANTS)
        .chain(deployed::MUTANTS)
        .chain(pulling::MUTANTS)
        .chain(teams::MUTANTS)
}

/// Runs the mutants that are named.
pub(crate) fn mutants(arguments: &[String]) -> Result<bool, String> {
    if arguments.iter().any(|argument| argument == "--help" || argument == "-h") {
        print!("{HELP}");
        for mutant in all() {
            println!("  {:<34} {}", mutant.name, mutant.breaks);
        }
        return Ok(true);
    }
    if let Some(wrong) = arguments.iter().find(|name| !all().any(|m| m.name == **name)) {
        return Err(format!("unknown mutant `{wrong}`; --help lists them"));
    }
    match check_named(arguments) {
        Ok(report) => {
            println!("{report}");
            Ok(true)
        }
        Err(report) => {
            println!("{report}");
            Ok(false)
        }
    }
}

/// Checks all of them.
pub(crate) fn check() -> Result<String, String> {
    check_named(&[])
}

fn check_named(names: &[String]) -> Result<String, String> {
    let program = build()?;
    let started = Instant::now();
    // What is not broken has to pass, or nothing below means anything.
    run(&program, None).map_err(|told| format!("without a mutant:\n{told}"))?;
    let mut report = String::new();
    let mut survivors = 0;
    for (number, mutant) in all().enumerate() {
        if !names.is_empty() && !names.iter().any(|name| name == mutant.name) {
            continue;
        }
        let line = match run(&program, Some(number)) {
            Err(told) => {
                let seen = told.lines().find(|line| line.starts_with("seed "));
                seen.unwrap_or("it crashed").to_owned()
            }
            Ok(_) => {
                survivors += 1;
                format!("SURVIVED {SEEDS} histories: {}", mutant.breaks)
            }
        };
        report.push_str(&format!("{:<34} {line}\n", mutant.name));
    }
    let seconds = started.elapsed().as_secs_f64();
    report.push_str(&format!("{} mutants, {survivors} survived, {seconds:.1} s", all().count()));
    if survivors == 0 { Ok(report) } else { Err(report) }
}

/// Runs the simulator. Returns `Err` if it saw a broken promise.
fn run(program: &Path, mutant: Option<usize>) -> Result<String, String> {
    let mut command = Command::new(program);
    command.args(["--seeds", SEEDS]).stderr(std::process::Stdio::null());
    match mutant {
        Some(number) => command.env("TINPOT_MUTANT", number.to_string()),
        None => command.env_remove("TINPOT_MUTANT"),
    };
    let output = command.output().map_err(|e| format!("{}: {e}", program.display()))?;
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() { Ok(told) } else { Err(told) }
}

/// Builds the simulator with all mutants in it.
fn build() -> Result<std::path::PathBuf, String> {
    let folder = Path::new(FOLDER);
    let sources = folder.join("tinpot-core");
    let told = |error: std::io::Error| format!("{FOLDER}: {error}");
    if sources.exists() {
        fs::remove_dir_all(&sources).map_err(told)?;
    }
    for part in ["src", "examples"] {
        copy(&Path::new("tinpot-core").join(part), &sources.join(part)).map_err(told)?;
    }
    fs::copy("tinpot-core/README.md", sources.join("README.md")).map_err(told)?;
    let package = fs::read_to_string("tinpot-core/Cargo.toml").map_err(told)?;
    fs::write(sources.join("Cargo.toml"), without_dev_dependencies(&package)).map_err(told)?;
    fs::copy("Cargo.lock", folder.join("Cargo.lock")).map_err(told)?;
    fs::write(folder.join("Cargo.toml"), manifest()?).map_err(told)?;
    for (number, mutant) in all().enumerate() {
        for edit in mutant.edits {
            apply(&sources.join("src"), edit, number)
                .map_err(|why| format!("mutant {}: {why}", mutant.name))?;
        }
    }
    let lib = sources.join("src/lib.rs");
    let text = fs::read_to_string(&lib).map_err(told)?;
    fs::write(&lib, format!("{text}\nmod mutation;\n")).map_err(told)?;
    let module = format!("//! Which mutant is switched on.\n\n{MODULE}");
    fs::write(sources.join("src/mutation.rs"), module).map_err(told)?;
    let arguments = [
        "build",
        "--release",
        "-p",
        "tinpot-core",
        "--no-default-features",
        "--features",
        "testing",
        "--example",
        "simulate",
    ];
    let status = Command::new("cargo")
        .args(arguments)
        .current_dir(folder)
        .env("CARGO_TARGET_DIR", "../mutants-build")
        .status()
        .map_err(told)?;
    if !status.success() {
        return Err(format!("the mutants do not compile: {status}"));
    }
    Ok(Path::new("target/mutants-build/release/examples/simulate").to_owned())
}

/// The workspace's manifest with one member, so that versions and profiles are the same.
fn manifest() -> Result<String, String> {
    let text = fs::read_to_string("Cargo.toml").map_err(|e| format!("Cargo.toml: {e}"))?;
    let (_, rest) =
        text.split_once("[workspace.package]").ok_or("Cargo.toml has no [workspace.package]")?;
    let others = |line: &&str| !line.starts_with("tinpot-") || line.starts_with("tinpot-core");
    let rest: Vec<&str> = rest.lines().filter(others).collect();
    Ok(format!(
        "[workspace]\nresolver = \"3\"\nmembers = [\"tinpot-core\"]\n\n[workspace.package]{}\n",
        rest.join("\n")
    ))
}

/// The simulator needs none of them.
fn without_dev_dependencies(manifest: &str) -> String {
    let mut kept = String::new();
    let mut section = "";
    for line in manifest.lines() {
        if line.starts_with('[') {
            section = line;
        }
        if section != "[dev-dependencies]" {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}

fn apply(sources: &Path, edit: &Edit, number: usize) -> Result<(), String> {
    let path = sources.join(edit.file);
    let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", edit.file))?;
    let found = text.matches(edit.old).count();
    if found != 1 {
        return Err(format!("{} has this text {found} times, not once:\n{}", edit.file, edit.old));
    }
    let new = edit.new.replace("MUTANT", &format!("crate::mutation::is({number})"));
    fs::write(&path, text.replacen(edit.old, &new, 1)).map_err(|e| format!("{}: {e}", edit.file))
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::all;

    #[test]
    fn the_list_has_many_mutants_of_different_names() {
        let mut names: Vec<_> = all().map(|mutant| mutant.name).collect();
        names.sort_unstable();
        names.dedup();
        assert!(names.len() >= 10 && names.len() == all().count());
        let mut edits = all().flat_map(|mutant| mutant.edits);
        assert!(edits.all(|edit| edit.new.contains("MUTANT")));
    }
    /// Two edits of one place would be found by the build alone.
    #[test]
    fn every_edit_has_its_place() {
        let sources = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tinpot-core/src");
        let mut wrong = Vec::new();
        for (mutant, edit) in all().flat_map(|mutant| mutant.edits.iter().map(move |e| (mutant, e)))
        {
            let text = std::fs::read_to_string(sources.join(edit.file)).unwrap_or_default();
            let found = text.matches(edit.old).count();
            if found != 1 {
                wrong.push(format!(
                    "{}: {} has it {found} times: {}",
                    mutant.name, edit.file, edit.old
                ));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}
