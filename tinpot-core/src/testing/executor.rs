//! The conformance suite of [`Executor`](crate::Executor).
//!
//! A crate that has an executor offers the actions below with it, writes a factory of [`Subject`]s,
//! and one line:
//!
//! ```ignore
//! async fn subject() -> Subject { … }
//!
//! tinpot_core::executor_conformance!(subject);
//! ```
//!
//! The macro emits one test per case, in a module `executor_suite`. The crate needs `tokio` with
//! `macros` and `rt-multi-thread` among its dev-dependencies. Every case gets an executor of its
//! own, which runs at least four attempts at once.
//!
//! # The actions
//! [`functions`] has them as Rust closures. Executors for other languages have the same ones in
//! their language.
//!
//! | name | parameters | behaviour |
//! | --- | --- | --- |
//! | `echo` | `value` | Returns `value`. |
//! | `add` | `a`: integer, `b`: integer = 2 | Returns the sum. |
//! | `fail` | `message`: string | Fails with the message. |
//! | `crash` | | Fails in the worst way that the executor promises to isolate. |
//! | `print_lines` | `count`: integer, `prefix`: string = "line", `scratch`: string = "" | Logs `{prefix} {i}` for `i` from 0; then makes the file `ended` in the directory `scratch`, if given; returns `count`. |
//! | `wait` | `dir`: string | Makes the file `started` in `dir`, and waits; when asked to end, makes the file `cleaned` and ends. |
//! | `stubborn` | `dir`: string | Makes the file `started` in `dir`, and waits for a file `release`, even if asked to end; then makes the file `ended` and returns "released". |
//! | `leave_child` | `dir`: string, `wait`: boolean | Starts a child (a process where actions are processes) that makes the file `child_started`, waits for `release` and makes `child_ended`. Once the child has started, it makes `started`. With `wait` it goes on like `stubborn`; without, it returns and leaves the child running. |
//! | `progress` | `done`: number, `message`: string, `total`: number | Reports that progress and returns `null`; only with [`Subject::progress`]. |
//!
//! An executor without return values ([`Subject::values`]) has an `echo` and an `add` that log what
//! they would return as one line of JSON.

mod actions;
mod lifecycle;
mod logs;
mod outcomes;
mod stopping;
mod support;

use std::sync::Arc;
use std::time::Duration;

pub use self::actions::functions;
pub use self::lifecycle::{
    close_ends_what_runs, close_is_idempotent, closed_executor_refuses,
    dropped_future_ends_its_attempt, dropped_future_harms_nothing_else, set_of_actions_is_offered,
};
pub use self::logs::{
    hundred_thousand_lines_arrive, lines_are_in_order_and_complete, lines_belong_to_their_attempt,
    undrained_log_holds_the_action_back,
};
pub use self::outcomes::{
    crash_is_isolated, default_applies, failure_says_why, large_parameters_arrive_or_fail,
    many_run_at_once, parameters_arrive, progress_is_seen, unknown_action_fails, value_comes_back,
};
pub use self::stopping::{
    ended_attempt_leaves_no_child, ignored_stop_is_killed, next_attempt_is_unharmed,
    shorter_stop_replaces_a_longer, stop_before_the_start_counts, stop_lets_cleanup_run,
    stop_may_be_survived, stop_without_grace_kills, the_child_of_a_killed_attempt_is_killed,
};
use crate::executor::Executor;

/// An executor under test, and its promises. The suite asserts each promise, and each lack of one.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Subject {
    /// The executor.
    pub executor: Arc<dyn Executor>,
    /// The fate of an attempt that ignores the request to end.
    pub kill: Kill,
    /// If true, children that an action leaves behind die with its attempt.
    pub children: bool,
    /// If true, dropping the future of an attempt kills it. If false, it is asked to end.
    pub drop_kills: bool,
    /// If true, actions return values. If false, every success has the value `null`.
    pub values: bool,
    /// If true, actions can report progress.
    pub progress: bool,
    /// The most bytes of parameters that an action can take; an attempt with more fails.
    pub max_parameters_bytes: usize,
    /// The longest time that a condition may take.
    pub patience: Duration,
    /// The time that a dropped attempt has to die, and for which the suite looks for signs of life.
    pub settle: Duration,
}

/// The means of an executor against an attempt that does not end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kill {
    /// The attempt is dead once the grace period has passed.
    Hard,
    /// The attempt goes on until it ends by itself, and `execute` with it. The documentation of the
    /// executor says so.
    Cooperative,
}

impl Subject {
    /// Returns a subject that kills attempts with their children, returns values, takes parameters
    /// of any size, and whose actions cannot report progress. Its patience is 60 s, and it settles
    /// within 1 s.
    pub fn new(executor: impl Executor) -> Self {
        Self {
            executor: Arc::new(executor),
            kill: Kill::Hard,
            children: true,
            drop_kills: true,
            values: true,
            progress: false,
            max_parameters_bytes: usize::MAX,
            patience: Duration::from_secs(60),
            settle: Duration::from_secs(1),
        }
    }

    /// Sets the fate of an attempt that ignores the request to end.
    #[must_use]
    pub fn kill(mut self, kill: Kill) -> Self {
        self.kill = kill;
        self
    }

    /// Sets whether children that an action leaves behind die with its attempt. If not, the
    /// documentation of the executor says so.
    #[must_use]
    pub fn children(mut self, children: bool) -> Self {
        self.children = children;
        self
    }

    /// Sets whether dropping the future of an attempt kills it. If not, the attempt is asked to
    /// end, and the documentation of the executor says so.
    #[must_use]
    pub fn drop_kills(mut self, drop_kills: bool) -> Self {
        self.drop_kills = drop_kills;
        self
    }

    /// Sets whether actions return values.
    #[must_use]
    pub fn values(mut self, values: bool) -> Self {
        self.values = values;
        self
    }

    /// Sets whether actions can report progress.
    #[must_use]
    pub fn progress(mut self, progress: bool) -> Self {
        self.progress = progress;
        self
    }

    /// Sets the most bytes of parameters that an action can take; at least 16 KiB.
    #[must_use]
    pub fn max_parameters_bytes(mut self, bytes: usize) -> Self {
        self.max_parameters_bytes = bytes;
        self
    }

    /// Sets the longest time that a condition may take.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Sets the time that a dropped attempt has to die, and for which the suite looks for signs of
    /// life.
    #[must_use]
    pub fn settle(mut self, settle: Duration) -> Self {
        self.settle = settle;
        self
    }
}

/// Emits one test per case of the executor suite, in a module `executor_suite`.
///
/// Takes the path of a function that returns a future of a
/// [`Subject`](crate::testing::executor::Subject).
#[macro_export]
macro_rules! executor_conformance {
    ($factory:path) => {
        $crate::executor_conformance! {
            @cases $factory:
            set_of_actions_is_offered
            value_comes_back
            parameters_arrive
            large_parameters_arrive_or_fail
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
            the_child_of_a_killed_attempt_is_killed
            ended_attempt_leaves_no_child
            next_attempt_is_unharmed
            dropped_future_ends_its_attempt
            dropped_future_harms_nothing_else
            close_ends_what_runs
            closed_executor_refuses
            close_is_idempotent
        }
    };
    (@cases $factory:path: $($case:ident)*) => {
        mod executor_suite {
            #[allow(unused_imports, reason = "the factory may have an absolute path")]
            use super::*;
            $(
                #[::tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    let subject = $factory().await;
                    let case = $crate::testing::executor::$case(&subject);
                    let name = stringify!($case);
                    let ran = $crate::testing::case::run(name, subject.patience, case).await;
                    // Tests may share a process: nothing of this one stays behind.
                    let _ = subject.executor.close().await;
                    if let Err(failure) = ran {
                        panic!("{failure}");
                    }
                }
            )*
        }
    };
}
