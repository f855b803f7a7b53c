//! Plays all scenes with a worker, as `tinpot conformance worker` does.
//!
//! ```sh
//! cargo run -p tinpot-conformance --example play -- python3 worker.py
//! ```

use std::process::ExitCode;

use tinpot_conformance::{Frames, Suite};

#[tokio::main]
async fn main() -> ExitCode {
    let mut suite = Suite::new(std::env::args_os().skip(1));
    if let Ok(names) = std::env::var("SCENES") {
        suite = suite.only(names.split(','));
    }
    if std::env::var_os("SEALED").is_some() {
        suite = suite.frames(Frames::Sealed);
    }
    let report = suite.play(|verdict| println!("{}", verdict.text())).await;
    println!("{}", report.text());
    if report.has_passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
