//! The conformance suite of [`Store`](crate::Store) and [`Session`](crate::store::Session).
//!
//! ```ignore
//! async fn store() -> MyStore { … }
//! async fn limited(executions: usize) -> MyStore { … }
//!
//! tinpot_core::store_conformance!(store);
//! tinpot_core::store_retention_conformance!(limited);
//! ```
//!
//! Each macro emits one test per case, each on a new, empty store, in a module of its own. The
//! crate needs `tokio` with `macros`, `rt` and `time` among its dev-dependencies. A store that
//! outlives its process also runs [`store_reopen_conformance`](crate::store_reopen_conformance),
//! whose factory returns a store that implements [`Reopen`]; [`InDirectory`] does so for any store
//! that is made from the path of a directory.
//!
//! A second argument of each macro sets the patience, for slow machines:
//! `store_conformance!(store, Duration::from_secs(120))`. A case fails if it takes ten times as
//! long.

mod concurrency;
mod keys;
mod lists;
mod logs;
mod model;
mod numbers;
mod open_store;
mod queues;
mod reopen;
mod retention;
mod searches;
mod temporary;
mod transitions;

use std::sync::Arc;
use std::time::Duration;

pub use self::concurrency::*;
pub use self::keys::*;
pub use self::lists::*;
pub use self::logs::*;
pub use self::model::random_work_agrees_with_the_memory_store;
pub use self::numbers::*;
pub use self::open_store::{OpenStore, open};
pub use self::queues::*;
pub use self::reopen::*;
pub use self::retention::*;
pub use self::searches::*;
pub use self::temporary::InDirectory;
pub use self::transitions::*;
use crate::model::error::ErrorKind;
use crate::model::execution::Execution;
use crate::model::fence::{Epoch, Fence};
use crate::model::id::{ExecutionId, WorkerId};
use crate::model::json::Json;
use crate::model::log::LogBatch;
use crate::model::log::{Level, LogChunk, Stream};
use crate::model::outcome::Outcome;
use crate::model::status::Status;
use crate::model::time::Timestamp;
use crate::model::transition::Transition;
use crate::store::{Session, Store};

/// Emits one test per case of the store suite, in a module `store_suite`.
///
/// Takes the path of a function that returns a future of an empty [`Store`](crate::Store), and
/// optionally the [patience](crate::testing::store).
#[macro_export]
macro_rules! store_conformance {
    ($factory:path) => {
        $crate::store_conformance! { $factory, $crate::testing::case::PATIENCE }
    };
    ($factory:path, $patience:expr) => {
        mod store_suite {
            #[allow(unused_imports, reason = "the factory may have an absolute path")]
            use super::*;

            $crate::store_conformance! {
                @cases $patience, $factory:
                each_opening_is_a_new_epoch
                an_open_store_is_not_opened_again
                a_closed_session_writes_nothing
                a_dropped_session_frees_the_store
                an_accepted_execution_is_returned
                everything_about_an_execution_is_kept
                an_id_is_accepted_once
                an_execution_runs_from_accept_to_finish
                a_stale_fence_changes_nothing
                a_terminal_status_never_changes
                a_batch_is_applied_whole_or_not_at_all
                a_requeued_execution_is_granted_again
                a_cancel_needs_a_live_attempt
                a_waiting_execution_is_finished_without_a_fence
                large_payloads_are_kept
                secrets_that_are_forgotten_are_erased_at_the_end
                reads_of_unknown_executions_are_empty
                a_key_belongs_to_one_execution
                a_key_is_taken_once_within_a_batch
                an_execution_is_found_by_its_key
                executions_are_found_by_their_numbers
                a_number_belongs_to_one_execution
                ready_executions_are_paged_by_priority
                executions_with_bundles_wait_by_runtime
                delayed_executions_are_paged_by_time
                expired_executions_are_found
                ready_ends_a_delay
                a_grant_ends_a_delay_and_a_retry_sets_one
                lists_are_filtered_and_paged
                lists_are_filtered_by_time
                lists_are_filtered_by_submitter
                children_are_found_by_their_parent
                executions_are_found_by_their_words
                searches_are_filtered_and_paged
                logs_are_read_from_a_sequence
                logs_have_no_gaps_and_no_repeats
                logs_of_unknown_executions_are_refused
                log_batches_are_stored_whole_or_not_at_all
                lines_are_counted_by_attempt
                a_long_log_is_read_as_it_was_written
                reads_during_commits_see_whole_batches
            }

            mod after_a_close {
                use super::*;

                async fn __same() -> $crate::testing::store::Same<impl $crate::Store> {
                    $crate::testing::store::Same($factory().await)
                }

                $crate::store_reopen_conformance! { @all closing $patience, __same }
            }
        }
    };
    (@cases $patience:expr, $factory:path: $($case:ident)*) => {
        $(
            #[::tokio::test]
            async fn $case() {
                use $crate::testing::store as suite;
                let case = async { suite::$case($factory().await).await };
                if let Err(failure) = suite::run(stringify!($case), $patience, case).await {
                    panic!("{failure}");
                }
            }
        )*
    };
}

/// Emits two tests per case about the state that a store keeps from one session to the next, in a
/// module `store_reopen_suite`: after a close, and after a crash.
///
/// Takes the path of a function that returns a future of an empty store that implements
/// [`Reopen`](crate::testing::store::Reopen), and optionally the
/// [patience](crate::testing::store).
#[macro_export]
macro_rules! store_reopen_conformance {
    ($factory:path) => {
        $crate::store_reopen_conformance! { $factory, $crate::testing::case::PATIENCE }
    };
    ($factory:path, $patience:expr) => {
        mod store_reopen_suite {
            #[allow(unused_imports, reason = "the factory may have an absolute path")]
            use super::*;

            mod after_a_close {
                #[allow(unused_imports, reason = "the factory may have an absolute path")]
                use super::*;

                $crate::store_reopen_conformance! { @all closing $patience, $factory }
            }

            mod after_a_crash {
                #[allow(unused_imports, reason = "the factory may have an absolute path")]
                use super::*;

                $crate::store_reopen_conformance! { @all crashing $patience, $factory }
            }
        }
    };
    (@all $end:ident $patience:expr, $factory:path) => {
        $crate::store_reopen_conformance! {
            @cases $end $patience, $factory:
            epochs_grow_within_one_instance
            every_status_is_remembered
            waiting_executions_are_counted_by_queue_and_action
            waiting_executions_are_counted_by_runtime
            granted_executions_are_returned
            the_longest_lease_is_that_of_a_live_attempt
            open_logs_are_returned
            logs_are_remembered_and_go_on
            the_catalogue_is_remembered
            keys_are_remembered
            numbers_go_on
            paused_queues_are_remembered
            secrets_are_remembered
            queues_are_read_as_before
            random_work_agrees_with_the_memory_store
        }
    };
    (@cases $end:ident $patience:expr, $factory:path: $($case:ident)*) => {
        $(
            #[::tokio::test]
            async fn $case() {
                use $crate::testing::store as suite;
                let case = async {
                    let store = suite::OpenStore::$end($factory().await).await;
                    suite::$case(store).await;
                };
                if let Err(failure) = suite::run(stringify!($case), $patience, case).await {
                    panic!("{failure}");
                }
            }
        )*
    };
}

/// Emits one test per case about the bound of the history, in a module `store_retention_suite`.
///
/// Takes the path of a function that returns a future of an empty [`Store`](crate::Store); its
/// argument is the number of ended executions that the store must keep. Optionally takes the
/// [patience](crate::testing::store): the store may remove executions a while after the write that
/// made them too many.
#[macro_export]
macro_rules! store_retention_conformance {
    ($factory:path) => {
        $crate::store_retention_conformance! { $factory, $crate::testing::case::PATIENCE }
    };
    ($factory:path, $patience:expr) => {
        mod store_retention_suite {
            #[allow(unused_imports, reason = "the factory may have an absolute path")]
            use super::*;

            async fn __limited() -> impl $crate::Store {
                $factory($crate::testing::store::RETAINED).await
            }

            $crate::store_conformance! {
                @cases $patience, __limited:
                the_oldest_ended_executions_are_removed
                everything_of_a_removed_execution_is_removed
                the_bound_holds_during_commits
                retention_continues_after_a_reopening
                numbers_of_removed_executions_are_not_used_again
            }
        }
    };
}

/// Runs one case; see [`case::run`](super::case::run).
///
/// # Errors
/// The name of the case and the message of its panic.
pub async fn run(
    name: &str,
    patience: Duration,
    case: impl Future<Output = ()>,
) -> Result<(), String> {
    let limit = patience * 10;
    let limited = async {
        if tokio::time::timeout(limit, case).await.is_err() {
            panic!("still running after {limit:?}");
        }
    };
    super::case::run(name, patience, limited).await
}

const AT: Timestamp = Timestamp(1_000_000);

fn execution(number: u128) -> Arc<Execution> {
    let action = if number.is_multiple_of(2) { "even" } else { "odd" };
    let mut new = Execution::new(ExecutionId::from_u128(number), action, Json::empty_object());
    // The store numbers those with ids that have a time.
    new.number = u32::try_from(number).map_or(0, u64::from);
    Arc::new(new)
}

/// Returns an execution with changes.
fn with(number: u128, change: impl FnOnce(&mut Execution)) -> Arc<Execution> {
    let mut new = execution(number);
    change(Arc::make_mut(&mut new));
    new
}

fn ids(executions: &[Arc<Execution>]) -> Vec<u128> {
    executions.iter().map(|execution| execution.id.as_u128()).collect()
}

fn fence(number: u64) -> Fence {
    Fence { epoch: Epoch { instance: 1, number: 1 }, number }
}

fn grant(execution: &Execution, number: u64) -> Transition {
    Transition::Grant {
        execution: execution.id,
        fence: fence(number),
        attempt: 1,
        worker: WorkerId::new("w-1").expect("an id"),
        lease: Duration::from_secs(90),
    }
}

fn finish(execution: &Execution, fence: Option<Fence>) -> Transition {
    Transition::Finish {
        execution: execution.id,
        fence,
        outcome: Outcome::Succeeded(Json::null()),
        ran: None,
        log_end: None,
    }
}

async fn commit(session: &dyn Session, batch: &[Transition]) {
    session.commit(batch, AT).await.expect("a commit");
}

async fn accept(session: &dyn Session, executions: &[&Arc<Execution>]) {
    let accept = |execution: &&Arc<Execution>| Transition::Accept((*execution).clone());
    commit(session, &executions.iter().map(accept).collect::<Vec<_>>()).await;
}

async fn refused(session: &dyn Session, batch: &[Transition]) {
    let error = session.commit(batch, AT).await.expect_err("a condition does not hold");
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
}

async fn read(store: &dyn Store, id: ExecutionId) -> Arc<Execution> {
    store.execution(id).await.expect("a read").expect("it is there")
}

async fn status(store: &dyn Store, id: ExecutionId) -> Option<Status> {
    store.execution(id).await.expect("a read").map(|execution| execution.status)
}

fn lines(id: ExecutionId, first_seq: u64, count: u64) -> LogBatch {
    let lines = (first_seq..first_seq + count).map(|seq| format!("line {seq}")).collect();
    let chunk = LogChunk::new(first_seq, AT, Stream::Stdout, Level::Info, lines);
    LogBatch::new(id, 1, vec![Arc::new(chunk)])
}
