//! A bounded run of the fuzz target.

use std::path::Path;

use tinpot_core::testing::fuzz::run;

const ITERATIONS: u32 = 20_000;

fn corpus(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(name)
}

#[test]
fn topics() {
    run(&corpus("topics"), 6, ITERATIONS, tinpot_mqtt::testing::topics);
}
