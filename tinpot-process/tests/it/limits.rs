//! Limits of attempts.

use tinpot_core::FailureCode;

use crate::support::{Apps, call};

#[tokio::test]
async fn what_exceeds_a_limit_is_killed_and_named() {
    let limits = |text: &str| format!("[tinpot]\nlimits = {{ {text} }}\n");
    let apps = Apps::new()
        .app(
            "output",
            "main.sh",
            &limits("output = \"10K\""),
            "while :; do echo xxxxxxxxxx; done\n",
        )
        .app("cpu", "main.sh", &limits("cpu_seconds = 1"), "while :; do :; done\n")
        // The time of all its processes counts.
        .app(
            "all-cpu",
            "main.sh",
            &limits("cpu_seconds = 2"),
            "for i in 1 2 3 4; do (trap '' XCPU; while :; do :; done) & done; wait\n",
        )
        .app(
            "processes",
            "main.sh",
            &limits("processes = 10"),
            "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 600 & done; wait\n",
        );
    let executor = apps.start().await;
    for (action, name) in [
        ("output", "max_output of 10240 bytes"),
        ("cpu", "cpu_seconds of 1"),
        ("all-cpu", "cpu_seconds of 2"),
        ("processes", "processes of 10"),
    ] {
        let ended = call(&executor, action).await;
        let failure = ended.failure();
        assert_eq!(failure.code, FailureCode::LimitExceeded, "{action}: {failure:?}");
        assert!(failure.message.contains(name), "{action}: {failure:?}");
    }
    let output = call(&executor, "output").await;
    let bytes: usize = output.stdout().iter().map(|line| line.len() + 1).sum();
    assert!(bytes <= 10 * 1024 + 1, "{bytes}");
}

#[tokio::test]
async fn memory_is_limited() {
    let limits = "[tinpot]\nlimits = { memory = \"200M\" }\n";
    let script = "print('begun', flush=True)\nx = bytearray(400_000_000)\nprint('done')\n";
    let apps = Apps::new().app("memory", "main.py", limits, script);
    let ended = call(&apps.start().await, "memory").await;
    assert_eq!(ended.stdout(), ["begun"]);
    // Without the memory controller of cgroups, the kernel refuses the memory.
    let failure = ended.failure();
    let is_known =
        failure.code == FailureCode::LimitExceeded || failure.message.contains("MemoryError");
    assert!(is_known, "{failure:?}");
}
