//! Bounded runs of the fuzz targets.

use std::path::Path;

use tinpot_core::testing::fuzz;

const ITERATIONS: u32 = 20_000;

fn corpus(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(name)
}

#[test]
fn frames() {
    fuzz::run(&corpus("frame"), 1, ITERATIONS, fuzz::frame);
}

#[test]
fn machines() {
    fuzz::run(&corpus("machines"), 2, ITERATIONS, fuzz::machines);
}

#[test]
fn parameters() {
    fuzz::run(&corpus("parameters"), 3, ITERATIONS, fuzz::parameters);
}
