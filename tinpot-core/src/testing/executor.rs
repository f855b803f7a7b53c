//! The conformance suite of [`Executor`](crate::Executor).
//!
//! A crate that has an executor lets it offer the actions below, writes a factory that gives a [`Subject`], and one line:
//!
//! ```ignore
//! async fn subject() -> Subject { … }
//!
//! tinpot_core::executor_conformance!(subject);
//! ```
//!
//! That makes one test per case; the crate needs `tokio` with `macros` and `rt-multi-thread` among its dev-dependencies. Every case gets an
//! executor of its own, which runs at least four attempts at once.
//!
//! # The actions
//! [`functions`] has them as Rust closures; executors for other languages have the same ones in their language.
//!
//! | name | parameters | what it does |
//! | --- | --- | --- |
//! | `echo` | `value` | returns `value` |
//! | `add` | `a`: integer, `b`: integer = 2 | returns the sum |
//! | `fail` | `message`: string | fails with the message |
//! | `crash` | | fails in the worst way that the executor promises to isolate |
//! | `print_lines` | `count`: integer, `prefix`: string = "line" | logs `{prefix} {i}` for `i` from 0; returns `count` |
//! | `wait` | `dir`: string | makes the file `started` in `dir`, and waits; when it is asked to end, makes the file `cleaned` and ends |
//! | `stubborn` | `dir`: string | makes the file `started` in `dir`, and waits for a file `release`, whatever it is asked; returns "released" |
//! | `progress` | `done`: number, `message`: string, `total`: number | reports that progress and returns `null`; not there without [`Subject::progress`] |

mod actions;
mod lifecycle;
mod logs;
mod outcomes;
mod stopping;
mod support;

use std::sync::Arc;

pub use self::actions::functions;
pub use self::lifecycle::{
    close_ends_what_runs, close_is_idempotent, closed_executor_refuses,
    dropped_future_harms_nothing_else, set_of_actions_is_offered,
};
pub use self::logs::{
    hundred_thousand_lines_arrive, lines_are_in_order_and_complete, lines_belong_to_their_attempt,
    undrained_log_holds_the_action_back,
};
pub use self::outcomes::{
    crash_is_isolated, default_applies, failure_says_why, many_run_at_once, parameters_arrive,
    progress_is_seen, unknown_action_fails, value_comes_back,
};
pub use self::stopping::{
    ignored_stop_is_killed, next_attempt_is_unharmed, shorter_stop_replaces_a_longer,
    stop_before_the_start_counts, stop_lets_cleanup_run, stop_may_be_survived,
    stop_without_grace_kills,
};
use crate::executor::Executor;

/// An executor under test, and what it promises.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Subject {
    /// The executor.
    pub executor: Arc<dyn Executor>,
    /// What becomes of an attempt that ignores the request to end.
    pub kill: Kill,
    /// Whether its actions can report progress.
    pub progress: bool,
}

/// What an executor can do about an attempt that does not want to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kill {
    /// It is dead when the grace period is over.
    Hard,
    /// It goes on until it ends by itself, and `execute` with it. The executor's documentation says so.
    Cooperative,
}

impl Subject {
    /// An executor that kills what does not end, and whose actions cannot report progress.
    pub fn new(executor: impl Executor) -> Self {
        Self { executor: Arc::new(executor), kill: Kill::Hard, progress: false }
    }

    /// Says what it does about an attempt that does not want to end.
    #[must_use]
    pub fn kill(mut self, kill: Kill) -> Self {
        self.kill = kill;
        self
    }

    /// Says whether its actions can report progress.
    #[must_use]
    pub fn progress(mut self, progress: bool) -> Self {
        self.progress = progress;
        self
    }
}

/// Emits one test per case of the suite. Takes the path of an async function that gives a
/// [`Subject`](crate::testing::executor::Subject).
#[macro_export]
macro_rules! executor_conformance {
    ($factory:path) => {
        $crate::executor_conformance! {
            @cases $factory:
            set_of_actions_is_offered
            value_comes_back
            parameters_arrive
            default_applies
            failure_says_why
            unknown_action_fails
            crash_is_isolated
            many_run_at_once
            progress_is_seen
            lines_are_in_order_and_complete
            hundred_thousand_lines_arrive
            lines_belong_to_their_attempt
            undrained_log_holds_the_action_back
            stop_lets_cleanup_run
            stop_before_the_start_counts
            stop_may_be_survived
            stop_without_grace_kills
            ignored_stop_is_killed
            shorter_stop_replaces_a_longer
            next_attempt_is_unharmed
            dropped_future_harms_nothing_else
            close_ends_what_runs
            closed_executor_refuses
            close_is_idempotent
        }
    };
    (@cases $factory:path: $($case:ident)*) => {
        $(
            #[::tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let subject = $factory().await;
                $crate::testing::executor::$case(&subject).await;
                // Not every test process is its own: nothing of this one stays behind.
                let _ = subject.executor.close().await;
            }
        )*
    };
}
