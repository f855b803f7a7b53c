//! The Python package's own tests, with every interpreter that is asked for.

use std::process::Command;

#[test]
fn unit_tests_of_the_package_pass() {
    let python = concat!(env!("CARGO_MANIFEST_DIR"), "/python");
    let output = Command::new("python3")
        .args(["-B", "-m", "unittest", "discover", "-s", "tests"])
        .current_dir(python)
        .env("PYTHONPATH", python)
        // Where the environment with pydantic is kept for the next time.
        .env("TINPOT_TEST_CACHE", env!("CARGO_TARGET_TMPDIR"))
        .output()
        .expect("python3");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("\nOK"), "{said}");
    assert!(!said.contains("Ran 0 tests"), "{said}");
    if let Some(line) = said.lines().find(|line| line.contains("NOT TESTED")) {
        eprintln!("{line}");
    }
}
