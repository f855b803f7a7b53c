//! The files in `deploy/`, read by the programs. `cargo xtask ci deploy` checks the rest of them.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{Ran, tinpot};

fn deploy(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(path)
}

/// Returns the effective settings of the command line of a unit, with the sample of its file.
fn of_unit(name: &str) -> Value {
    let unit = std::fs::read_to_string(deploy(&format!("systemd/{name}.service"))).expect("a unit");
    let line = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).expect("a command");
    let words: Vec<String> = line
        .split_whitespace()
        .skip(1)
        .map(|word| match word.strip_prefix("/etc/tinpot/") {
            Some(file) => deploy(&format!("systemd/{file}")).display().to_string(),
            None => word.to_owned(),
        })
        .collect();
    let mut command = tinpot();
    command.args(words).args(["--show-config", "--json"]);
    Ran::of(command).json()
}

#[test]
fn the_units_start_programs_with_the_settings_of_their_samples() {
    let coordinator = of_unit("tinpot-coordinator");
    let worker = of_unit("tinpot-worker");
    let from_file = |settings: &Value, key: &str| {
        let source = settings[key]["source"].as_str().expect("a source").to_owned();
        assert!(source.starts_with("file "), "{key}: {source}");
        settings[key]["value"].clone()
    };
    assert_eq!(from_file(&coordinator, "broker"), from_file(&worker, "broker"));
    assert_eq!(from_file(&coordinator, "store"), "/var/lib/tinpot/tinpot.db");
    assert_eq!(from_file(&worker, "actions"), "/srv/tinpot/actions");
}

/// The environment of the image and the containers, as far as it is plain text.
#[test]
fn the_image_listens_on_every_address_of_its_container() {
    let dockerfile = std::fs::read_to_string(deploy("../Dockerfile"))
        .expect("a Dockerfile")
        .replace("\\\n", " ");
    let line = dockerfile.lines().find_map(|line| line.strip_prefix("ENV ")).expect("variables");
    let variables = line.split_whitespace().filter_map(|pair| pair.split_once('='));
    let mut command = tinpot();
    command.envs(variables).args(["coordinator", "--show-config", "--json"]);
    let settings = Ran::of(command).json();
    assert_eq!(
        (&settings["host"]["value"], &settings["port"]["value"]),
        (&"0.0.0.0".into(), &8000.into())
    );
    assert_eq!(settings["host"]["source"], "variable HOST");
}
