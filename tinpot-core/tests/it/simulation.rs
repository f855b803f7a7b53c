//! The machines in a simulated cluster: whatever the network does, the promises hold.

use tinpot_core::testing::simulation::{Faults, run};

#[test]
fn without_faults_everything_ends_and_nothing_is_lost() {
    let report = run(1, 3, 300, Faults::NONE).unwrap_or_else(|violation| panic!("{violation}"));
    assert_eq!(report.ended.get("lost"), None, "{report:?}");
    assert_eq!(report.ended.values().sum::<u64>(), 300);
}

#[test]
fn one_seed_gives_one_history() {
    assert_eq!(run(7, 3, 100, Faults::MANY), run(7, 3, 100, Faults::MANY));
    assert_ne!(run(7, 3, 100, Faults::MANY), run(8, 3, 100, Faults::MANY));
}

#[test]
fn under_many_faults_every_promise_holds() {
    for seed in 0..40 {
        if let Err(violation) = run(seed, 3, 100, Faults::MANY) {
            panic!("{violation}");
        }
    }
}
