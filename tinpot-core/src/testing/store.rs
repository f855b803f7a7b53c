//! The conformance suite of [`Store`](crate::Store).
//!
//! ```ignore
//! async fn store() -> MyStore { … }
//!
//! tinpot_core::store_conformance!(store);
//! ```
//!
//! That makes one test per case, each with a new, empty store; the crate needs `tokio` with `macros` among its dev-dependencies. A store that
//! outlives its process also runs [`store_reopen_conformance`](crate::store_reopen_conformance), with a factory of something that can
//! [`Reopen`] it.

mod keys;
mod lists;
mod logs;
mod model;
mod open_store;
mod queues;
mod reopen;
mod temporary;
mod transitions;

use std::sync::Arc;
use std::time::Duration;

pub use self::keys::*;
pub use self::lists::*;
pub use self::logs::*;
pub use self::model::random_work_agrees_with_the_memory_store;
pub use self::open_store::{OpenStore, open};
pub use self::queues::*;
pub use self::reopen::*;
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

/// Emits one test per case of the suite. Takes the path of an async function that gives an empty [`Store`].
#[macro_export]
macro_rules! store_conformance {
    ($factory:path) => {
        $crate::store_conformance! {
            @cases $factory:
            each_opening_is_a_new_epoch
            an_open_store_is_not_opened_again
            a_closed_session_writes_nothing
            a_dropped_session_frees_the_store
            an_accepted_execution_is_there
            everything_about_an_execution_is_kept
            an_id_is_accepted_once
            an_execution_takes_its_way
            a_stale_fence_changes_nothing
            a_terminal_status_never_changes
            a_batch_is_applied_whole_or_not_at_all
            a_requeued_execution_is_granted_again
            a_cancel_needs_a_live_attempt
            what_waits_is_cancelled_without_a_fence
            large_payloads_are_kept
            the_unknown_is_unknown
            a_key_belongs_to_one_execution
            a_key_is_taken_once_within_a_batch
            an_execution_is_found_by_its_key
            what_is_ready_comes_by_priority_and_page_by_page
            what_is_delayed_comes_by_time_and_page_by_page
            what_has_expired_is_found
            a_delay_ends_with_ready
            a_grant_ends_a_delay_and_a_retry_sets_one
            lists_are_filtered_and_paged
            lists_are_filtered_by_time
            lists_are_filtered_by_who_asked
            children_are_found_by_their_parent
            logs_are_read_from_a_sequence
            logs_have_no_gaps_and_no_repeats
            logs_of_nothing_are_refused
            log_batches_are_taken_whole_or_not_at_all
            lines_are_counted_by_attempt
            a_long_log_is_read_as_it_was_written
        }
        $crate::store_reopen_conformance! { @closed $factory }
    };
    (@cases $factory:path: $($case:ident)*) => {
        $(
            #[tokio::test]
            async fn $case() {
                $crate::testing::store::$case($factory().await).await;
            }
        )*
    };
}

/// Emits two tests per case about what a store remembers: after it was closed, and after it was dropped as by a crash. Takes the path of an
/// async function that gives something that can [`Reopen`](crate::testing::store::Reopen) an empty store.
#[macro_export]
macro_rules! store_reopen_conformance {
    ($factory:path) => {
        mod after_a_close {
            #[allow(unused_imports)]
            use super::*;

            $crate::store_reopen_conformance! { @all closing $factory }
        }
        mod after_a_crash {
            #[allow(unused_imports)]
            use super::*;

            $crate::store_reopen_conformance! { @all crashing $factory }
        }
    };
    (@closed $factory:path) => {
        mod after_a_close {
            #[allow(unused_imports)]
            use super::*;

            async fn same() -> $crate::testing::store::Same<impl $crate::Store> {
                $crate::testing::store::Same($factory().await)
            }

            $crate::store_reopen_conformance! { @all closing same }
        }
    };
    (@all $end:ident $factory:path) => {
        $crate::store_reopen_conformance! {
            @cases $end $factory:
            epochs_grow_within_one_instance
            every_status_is_remembered
            what_waits_is_counted_by_queue_and_action
            what_is_granted_is_told
            the_longest_lease_is_that_of_a_live_attempt
            open_logs_are_told
            logs_are_remembered_and_go_on
            the_catalogue_is_remembered
            keys_are_remembered
            paused_queues_are_remembered
            secrets_are_remembered
            queues_are_read_as_before
            random_work_agrees_with_the_memory_store
        }
    };
    (@cases $end:ident $factory:path: $($case:ident)*) => {
        $(
            #[tokio::test]
            async fn $case() {
                let store = $crate::testing::store::OpenStore::$end($factory().await).await;
                $crate::testing::store::$case(store).await;
            }
        )*
    };
}

const AT: Timestamp = Timestamp(1_000_000);

fn execution(number: u128) -> Arc<Execution> {
    let action = if number.is_multiple_of(2) { "even" } else { "odd" };
    Arc::new(Execution::new(ExecutionId::from_u128(number), action, Json::empty_object()))
}

/// The same, with changes.
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
