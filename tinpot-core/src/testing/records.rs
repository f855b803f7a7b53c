//! The conformance suite of [`Records`](crate::access::records::Records).
//!
//! A crate that keeps records writes a [`Subject`], a factory for such subjects, and one line:
//!
//! ```ignore
//! async fn subject() -> MySubject { … }
//!
//! tinpot_core::records_conformance!(subject);
//! ```
//!
//! The macro emits one test per case, in a module `records_suite`. The crate needs `tokio` with
//! `macros`, `rt-multi-thread` and `time` among its dev-dependencies.

mod changes;
mod documents;
mod logs;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

pub use self::changes::*;
pub use self::documents::*;
pub use self::logs::*;
use crate::access::records::{Change, Record, Records};
use crate::model::error::{ErrorKind, Result};

/// Empty records, which can be opened any number of times.
#[async_trait]
pub trait Subject: fmt::Debug + Send + Sync {
    /// Opens the records as another process does. The suite also drops what it has opened, and
    /// opens them again.
    async fn open(&self) -> Arc<dyn Records>;
}

/// Emits one test per case of the suite of records, in a module `records_suite`.
///
/// Takes the path of a function that returns a future of a
/// [`Subject`](crate::testing::records::Subject).
#[macro_export]
macro_rules! records_conformance {
    ($factory:path) => {
        $crate::records_conformance! {
            @cases $factory:
            documents_are_created_replaced_and_removed
            a_change_needs_the_version_that_it_replaces
            a_call_is_applied_whole_or_not_at_all
            one_call_names_a_document_once
            versions_are_never_used_again
            one_of_many_writers_wins
            no_increment_is_lost
            documents_are_listed_in_the_order_of_their_names
            documents_keep_every_byte
            too_much_is_refused
            documents_are_there_after_a_reopening
            changes_are_told_after_a_revision
            removed_documents_are_told
            changes_of_other_processes_are_told
            a_reader_of_changes_misses_nothing
            revisions_that_are_not_known_reset_the_reader
            many_changes_come_in_pages
            stamps_tell_of_changes
            entries_are_numbered_in_order
            logs_are_kept_apart
            an_end_is_compared_before_an_append
            one_chain_has_one_writer_at_a_time
            a_log_is_read_in_pages
            a_trim_removes_the_oldest_entries
            numbers_go_on_after_everything_is_trimmed
            too_many_entries_are_refused
            logs_are_there_after_a_reopening
        }
    };
    (@cases $factory:path: $($case:ident)*) => {
        mod records_suite {
            #[allow(unused_imports, reason = "the factory may have an absolute path")]
            use super::*;
            $(
                #[::tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    use $crate::testing::records as suite;
                    let subject = $factory().await;
                    let case = suite::$case(&subject);
                    let patience = $crate::testing::case::PATIENCE;
                    let ran = $crate::testing::case::run(stringify!($case), patience, case);
                    if let Err(failure) = ran.await {
                        panic!("{failure}");
                    }
                }
            )*
        }
    };
}

fn refused<T: fmt::Debug>(result: Result<T>, kind: ErrorKind) {
    let error = result.expect_err("it must be refused");
    assert_eq!(error.kind(), kind, "{error}");
}

async fn create(records: &dyn Records, kind: &str, id: &str, text: &str) -> u64 {
    let change = Change::create(kind, id, text.to_owned());
    records.change(&[change]).await.expect("a change")
}

async fn text(records: &dyn Records, kind: &str, id: &str) -> Option<String> {
    let record = records.get(kind, id).await.expect("a read")?;
    Some(text_of(&record))
}

fn text_of(record: &Record) -> String {
    String::from_utf8(record.document.to_vec()).expect("UTF-8")
}
