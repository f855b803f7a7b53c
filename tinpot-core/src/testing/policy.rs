//! The conformance suite of [`Policy`](crate::Policy).
//!
//! A crate that has a policy writes a [`Subject`] for it, a factory for such subjects, and one
//! line:
//!
//! ```ignore
//! async fn subject() -> MySubject { … }
//!
//! tinpot_core::policy_conformance!(subject);
//! ```
//!
//! The macro emits one test per case, in a module `policy_suite`. The crate needs `tokio` with
//! `macros`, `rt` and `time` among its dev-dependencies.

mod cases;
mod questions;

use std::fmt;
use std::time::Duration;

pub use self::cases::{
    another_grant_takes_no_right_away, denials_are_of_what_may_be_seen, other_teams_are_hidden,
    strangers_see_nothing, the_same_question_has_the_same_answer, views_agree_with_decisions,
};
use crate::access::{Caller, Policy};

/// A policy under test, and the names that its grants are about.
pub trait Subject: fmt::Debug + Send + Sync {
    /// Returns the policy.
    fn policy(&self) -> &dyn Policy;

    /// Returns callers with grants of every kind that the policy knows.
    fn callers(&self) -> Vec<Caller>;

    /// Returns a caller without any grant; `None` if all callers have grants.
    fn stranger(&self) -> Option<Caller>;

    /// Returns names of actions, groups, queues and teams of which the grants have some and leave
    /// out others. The suite asks about combinations of them, and about names that are not here.
    fn names(&self) -> Vocabulary;

    /// Adds a grant to one of the callers, another one for each number. Returns false if the policy
    /// has no grants to add. The suite asserts either.
    fn grant_another(&self, number: u64) -> bool;

    /// Returns the longest time that a condition may take.
    fn patience(&self) -> Duration {
        crate::testing::case::PATIENCE
    }
}

/// The names that the suite asks about.
#[derive(Clone, Debug, Default)]
pub struct Vocabulary {
    /// The names of teams.
    pub teams: Vec<String>,
    /// The names of actions.
    pub actions: Vec<String>,
    /// The names of groups.
    pub groups: Vec<String>,
    /// The names of queues.
    pub queues: Vec<String>,
}

/// Emits one test per case of the policy suite, in a module `policy_suite`.
///
/// Takes the path of a function that returns a future of a
/// [`Subject`](crate::testing::policy::Subject).
#[macro_export]
macro_rules! policy_conformance {
    ($factory:path) => {
        $crate::policy_conformance! {
            @cases $factory:
            strangers_see_nothing
            denials_are_of_what_may_be_seen
            other_teams_are_hidden
            views_agree_with_decisions
            the_same_question_has_the_same_answer
            another_grant_takes_no_right_away
        }
    };
    (@cases $factory:path: $($case:ident)*) => {
        mod policy_suite {
            #[allow(unused_imports, reason = "the factory may have an absolute path")]
            use super::*;
            $(
                #[::tokio::test]
                async fn $case() {
                    use $crate::testing::policy as suite;
                    let subject = $factory().await;
                    let patience = suite::Subject::patience(&subject);
                    let case = suite::$case(&subject);
                    let ran = $crate::testing::case::run(stringify!($case), patience, case);
                    if let Err(failure) = ran.await {
                        panic!("{failure}");
                    }
                }
            )*
        }
    };
}
