//! The machines in a simulated cluster: the invariants hold in spite of every fault.
//!
//! `cargo xtask simulate` runs many more histories, with optimizations.

use std::time::Duration;

use tinpot_core::testing::simulation::{Profile, Scenario, run};

fn scenario() -> Scenario {
    Scenario::default().length(Duration::from_secs(120))
}

#[test]
fn when_nothing_goes_wrong_nothing_is_lost() {
    let scenario = Scenario::default().profile(Profile::Calm);
    let report = run(1, &scenario).unwrap_or_else(|violation| panic!("{violation}"));
    assert!(report.starts >= 100, "{report:?}");
    assert_eq!(report.ended.get("lost"), None, "{report:?}");
}

#[test]
fn one_seed_gives_one_history() {
    let scenario = scenario().profile(Profile::Mixed);
    assert_eq!(run(7, &scenario), run(7, &scenario));
    let trace = |seed| run(seed, &scenario).map(|report| report.trace);
    assert_ne!(trace(7), trace(8));
}

#[test]
fn every_promise_holds_under_random_faults() {
    for seed in 0..30 {
        if let Err(violation) = run(seed, &scenario()) {
            panic!("{violation}");
        }
    }
}

#[test]
fn sealed_frames_keep_every_promise_against_an_adversary_that_owns_the_network() {
    let mut faults = std::collections::BTreeMap::<&str, u64>::new();
    for seed in 0..20 {
        let report = run(seed, &scenario().sealed(true));
        let report = report.unwrap_or_else(|violation| panic!("{violation}"));
        report.faults.iter().for_each(|(fault, times)| *faults.entry(fault).or_default() += *times);
    }
    // Workers have replaced their keys meanwhile, and the former ones have ended.
    for fault in ["key replaced", "key ended"] {
        assert!(faults.get(fault).is_some_and(|times| *times >= 10), "{fault}: {faults:?}");
    }
}
