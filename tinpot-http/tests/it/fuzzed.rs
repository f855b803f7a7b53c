//! A bounded run of what `fuzz/` does at length.

use std::path::Path;

use tinpot_core::testing::fuzz::run;

const ITERATIONS: u32 = 20_000;

fn corpus(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(name)
}

#[test]
fn submissions() {
    run(&corpus("submission"), 4, ITERATIONS, tinpot_http::testing::submission);
}

#[test]
fn resume_ids() {
    run(&corpus("resume"), 5, ITERATIONS, tinpot_http::testing::resume_id);
}
