//! Broken implementations, each of which its conformance suite must catch.

mod executor;
mod log_sink;
mod policy;
mod records;
mod store;
mod transport;

/// Emits one test per mutant: at least one of the named cases must fail for it.
macro_rules! caught {
    ($suite:ident, $subject:path: $($name:ident($mutant:expr) by $($case:ident)+;)+) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            $(
                let subject = $subject($mutant).await;
                let case = tinpot_core::testing::$suite::$case(&subject);
                let patience = std::time::Duration::from_secs(3);
                let ran = tinpot_core::testing::case::run(stringify!($case), patience, case).await;
                assert!(ran.is_err(), "the case {} did not catch it", stringify!($case));
            )+
        }
    )+};
}

use caught;
