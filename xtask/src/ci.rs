//! `cargo xtask test` and `cargo xtask ci`.
//!
//! A cold run has to fit two cores. What rebuilds everything is a change of features, profile or
//! `RUSTFLAGS`, so every step of the main pass selects the whole workspace with dev-dependencies
//! (one set of features), warnings are denied by the tools' own flags and never by `RUSTFLAGS`, and
//! the `embed` pass selects only the crates that have the feature.

use crate::run::{Step, run};
use crate::{
    api, debian, dependencies, deploy, language, layers, licences, messages, msrv, mutants,
    publish, python, spelling, tools, ui, vectors, wheel, workers,
};

const TEST_HELP: &str = "\
Set up what the tests need, then run everything of `cargo xtask ci`.

Usage: cargo xtask test [--no-install] [--fail-fast] [STEP]...

What is missing (mosquitto, python3, its headers) is installed with apt-get when that can be done
without a question: as root or with a sudo that asks no password. Else it says what to install.

Options:
  --no-install   Only say what is missing
  --fail-fast    Stop at the first step that fails
  STEP           Run only these steps of `ci`
";

const CI_HELP: &str = "\
Run every check; change nothing outside target/.

Usage: cargo xtask ci [--fail-fast] [STEP]...

Options:
  --fail-fast    Stop at the first step that fails
  STEP           Run only these steps
";

/// The selection of the `embed` pass: the crates with that feature. The benchmarks also bring the
/// features of shared dependencies close to those of the main pass, which saves compiling them
/// again.
const EMBED: &str = "-p tinpot-python -p tinpot-examples -p tinpot-benches \
     --features tinpot-python/embed,tinpot-examples/embed,tinpot-benches/embed";

/// The simulator: `cargo` and these words.
pub(crate) const SIMULATE: &str = "run --quiet --release -p tinpot-core --no-default-features --features testing --example simulate";

/// The soak: `cargo` and these words.
pub(crate) const SOAK: &str = "run --quiet -p tinpot-tests --bin soak";

/// Installs what is missing, then runs the steps.
pub(crate) fn test(arguments: &[String]) -> Result<bool, String> {
    let mut arguments = arguments.to_vec();
    if wants_help(&arguments) {
        print!("{TEST_HELP}");
        print_steps();
        return Ok(true);
    }
    let before = arguments.len();
    arguments.retain(|argument| argument != "--no-install");
    let install = arguments.len() == before;
    let selected = select(&arguments)?;
    if install && let Err(error) = tools::install_missing() {
        // Not the end: the `tools` step fails with the same text, and the rest still tells
        // something.
        eprintln!("{error}");
    }
    Ok(selected.run("cargo xtask test"))
}

/// Runs the steps.
pub(crate) fn ci(arguments: &[String]) -> Result<bool, String> {
    if wants_help(arguments) {
        print!("{CI_HELP}");
        print_steps();
        return Ok(true);
    }
    Ok(select(arguments)?.run("cargo xtask ci"))
}

fn steps() -> Vec<Step> {
    let warnings = [("RUSTDOCFLAGS", "-D warnings".to_owned())];
    let python = tools::embed_environment();
    vec![
        Step::new("tools", "what the other steps need is there").check(tools::check),
        Step::new("fmt", "formatting").command("cargo fmt --all --check"),
        Step::new("dependencies", "who may depend on what").check(dependencies::check),
        Step::new("licences", "licences of all dependencies").check(licences::check),
        Step::new("layers", "the core's modules import downwards only").check(layers::check),
        Step::new("spelling", "typos in sources and pages").check(spelling::check),
        Step::new("language", "openers of doc comments, and words with better ones")
            .check(language::check),
        Step::new("messages", "the form of errors, log lines and exceptions")
            .check(messages::check),
        Step::new("clippy", "lints, every target")
            .command("cargo clippy --workspace --all-targets -- -D warnings"),
        Step::new("python-lint", "formatting, lints and types of the Python code")
            .check(python::check),
        Step::new("deploy", "Dockerfile, Compose files and systemd units, against the settings")
            .check(deploy::check),
        Step::new("monitoring", "the alert rules of Prometheus, and their tests")
            .command("promtool check config --syntax-only deploy/monitoring/prometheus.yaml")
            .command("promtool check rules deploy/monitoring/alerts.yaml")
            .command("promtool test rules deploy/monitoring/alerts.test.yaml"),
        Step::new("docs", "documentation without a warning")
            .command_with("cargo doc --workspace --no-deps", &warnings),
        Step::new("alone", "each crate compiles without what its neighbours switch on")
            .command("cargo check -p tinpot-core")
            .command("cargo check -p tinpot-core --no-default-features")
            .command("cargo check -p tinpot-mqtt")
            .command("cargo check -p tinpot-python")
            .command("cargo check -p tinpot-http")
            .command("cargo check -p tinpot-http --no-default-features")
            .command("cargo check -p tinpot-sqlite")
            .command("cargo check -p tinpot-access")
            .command("cargo check -p tinpot-access --no-default-features")
            .command("cargo check -p tinpot-access --features oidc")
            .command("cargo check -p tinpot-http --features oidc")
            .command("cargo check -p tinpot-bundle")
            .command("cargo check -p tinpot-metrics")
            .command("cargo check -p tinpot-otel")
            .command("cargo check -p tinpot-contain")
            .command("cargo check -p tinpot-venv")
            .command("cargo check -p tinpot-http-transport --no-default-features --features client")
            .command("cargo check -p tinpot-http-transport --no-default-features --features server")
            .command("cargo check -p tinpot-zmq")
            .command("cargo check -p tinpot-process")
            .command("cargo check -p tinpot-tower")
            .command("cargo check -p tinpot-tower --features import")
            .command("cargo check -p tinpot-moor")
            .command("cargo check -p tinpot-conformance")
            .command("cargo check -p tinpot-ui")
            .command("cargo check -p tinpot-serve")
            .command("cargo check -p tinpot-server")
            .command("cargo check -p tinpot-server --features otel")
            .command("cargo check -p tinpot")
            .command("cargo check -p tinpot --features http")
            .command("cargo check -p tinpot --features access")
            .command("cargo check -p tinpot-cli")
            .command("cargo check -p tinpot-cli --no-default-features"),
        Step::new("msrv", "the stated minimum version of Rust, where it is installed")
            .check(msrv::check),
        Step::new("publish", "what would be published: metadata, files, and that it compiles")
            .check(publish::check),
        Step::new("ui", "the web UI: types, tests, and what is committed is what its sources make")
            .check(ui::check),
        // Before the tests: the end-to-end tests start the examples as processes.
        Step::new("examples", "the examples build").command("cargo build --workspace --examples"),
        Step::new("tests", "unit, integration and end-to-end tests; each benchmark once")
            // The identity provider that people sign in with.
            .command("npm ci --prefix tests/oidc --no-audit --no-fund --loglevel=error")
            .command("cargo test --workspace --tests --benches --no-fail-fast"),
        Step::new("vectors", "the test vectors of sealed frames, in Rust, Python and Node")
            .check(vectors::check),
        Step::new(
            "workers",
            "worker libraries and clients in Python, Go and TypeScript, on a real server",
        )
        .command("cargo build --workspace --bins --examples")
        .check(workers::check),
        Step::new("api", "the API's description, tried on a real server with generated requests")
            .check(api::check),
        Step::new("browser", "the web UI in a browser, against real programs")
            .command("cargo build --workspace --bins --examples")
            .check(ui::browser),
        Step::new("wheel", "the wheel: its contents, and its tests where it is installed")
            .check(wheel::check),
        Step::new("debian", "the Debian package, installed and removed in a copy of this system")
            .check(debian::check),
        Step::new("soak", "a minute of real programs that are killed at random, then an audit")
            .command(&format!("cargo {SOAK} -- --minutes 1")),
        Step::new(
            "simulate",
            "2,000 histories of ten simulated minutes, five workers, every fault",
        )
        .command(&format!("cargo {SIMULATE} -- --seeds 2000")),
        Step::new("mutants", "the protocol broken on purpose: the simulator sees each way")
            .check(mutants::check),
        Step::new("doctests", "the examples in the documentation")
            .command("cargo test --workspace --doc"),
        Step::new("embed-clippy", "lints with CPython in the worker's process")
            .command_with(&format!("cargo clippy {EMBED} --all-targets -- -D warnings"), &python),
        Step::new("embed-tests", "tests with CPython in the worker's process")
            .command_with(&format!("cargo build {EMBED} --examples"), &python)
            // The others do not depend on the feature.
            .command_with(&format!("cargo test {EMBED} --test it -- embedded in_process"), &python),
    ]
}

/// The steps a command line asks for.
struct Selected {
    steps: Vec<Step>,
    stop_at_failure: bool,
}

impl Selected {
    fn run(&self, prefix: &str) -> bool {
        run(prefix, &self.steps, self.stop_at_failure)
    }
}

fn select(arguments: &[String]) -> Result<Selected, String> {
    let mut steps = steps();
    let mut wanted = Vec::new();
    let mut stop_at_failure = false;
    for argument in arguments {
        if argument == "--fail-fast" {
            stop_at_failure = true;
        } else if steps.iter().any(|step| step.name == argument) {
            wanted.push(argument.as_str());
        } else {
            let names: Vec<_> = steps.iter().map(|step| step.name).collect();
            return Err(format!("unknown step `{argument}`; the steps are: {}", names.join(", ")));
        }
    }
    steps.retain(|step| wanted.is_empty() || wanted.contains(&step.name));
    Ok(Selected { steps, stop_at_failure })
}

fn wants_help(arguments: &[String]) -> bool {
    arguments.iter().any(|argument| argument == "--help" || argument == "-h")
}

fn print_steps() {
    println!("\nSteps:");
    for step in steps() {
        println!("  {:<14} {}", step.name, step.about);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(arguments: &[&str]) -> Result<Vec<&'static str>, String> {
        let arguments: Vec<_> = arguments.iter().map(|a| (*a).to_owned()).collect();
        Ok(select(&arguments)?.steps.iter().map(|step| step.name).collect())
    }

    #[test]
    fn no_name_means_every_step_and_names_keep_the_order_of_the_list() {
        assert_eq!(names(&[]).unwrap().len(), steps().len());
        assert_eq!(names(&["clippy", "fmt"]).unwrap(), ["fmt", "clippy"]);
    }

    #[test]
    fn an_unknown_step_names_the_right_ones() {
        let error = names(&["lint"]).unwrap_err();
        assert!(error.contains("`lint`") && error.contains("clippy"), "{error}");
    }
}
