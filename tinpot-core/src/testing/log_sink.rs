//! The conformance suite of [`LogSink`](crate::LogSink).
//!
//! A crate that has a log sink writes a [`Subject`] for it, a factory for such subjects, and one
//! line:
//!
//! ```ignore
//! async fn subject() -> MySubject { … }
//!
//! tinpot_core::log_sink_conformance!(subject);
//! ```
//!
//! The macro emits one test per case, in a module `log_sink_suite`. The crate needs `tokio` with
//! `macros`, `rt` and `time` among its dev-dependencies.

mod delivery;
mod outage;
mod support;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

pub use self::delivery::{
    close_flushes, close_is_idempotent, dropped_append_harms_no_later_one, empty_batches_are_taken,
    events_and_data_are_no_text, every_stream_and_level_is_taken, executions_are_kept_apart,
    lines_arrive_in_order, long_lines_and_many_lines_arrive,
};
pub use self::outage::{close_returns_in_an_outage, errors_can_be_retried, outage_fills_no_memory};
use crate::log_sink::LogSink;
use crate::model::id::ExecutionId;

/// A sink under test, and a view of its destination.
#[async_trait]
pub trait Subject: fmt::Debug + Send + Sync {
    /// Returns the sink.
    fn sink(&self) -> &dyn LogSink;

    /// Returns the lines of one execution at the destination, in order; `None` if the destination
    /// cannot be seen.
    async fn lines(&self, execution: ExecutionId) -> Option<Vec<String>>;

    /// Returns true if the sink keeps the lines of `Stream::Event` and `Stream::Data`, false if it
    /// leaves them out. The suite asserts either.
    fn keeps_events(&self) -> bool;

    /// Returns the means to take the destination away; `None` if it cannot be away. Then the suite
    /// asserts that the sink never refuses lines.
    fn faults(&self) -> Option<&dyn Faults>;

    /// Returns the longest time that a condition may take.
    fn patience(&self) -> Duration {
        crate::testing::case::PATIENCE
    }
}

/// Takes the destination of a sink away, and brings it back.
#[async_trait]
pub trait Faults: Send + Sync {
    /// Makes the destination unreachable.
    async fn cut(&self);

    /// Makes the destination reachable again.
    async fn restore(&self);
}

/// Emits one test per case of the log sink suite, in a module `log_sink_suite`.
///
/// Takes the path of a function that returns a future of a
/// [`Subject`](crate::testing::log_sink::Subject).
#[macro_export]
macro_rules! log_sink_conformance {
    ($factory:path) => {
        $crate::log_sink_conformance! {
            @cases $factory:
            lines_arrive_in_order
            executions_are_kept_apart
            empty_batches_are_taken
            every_stream_and_level_is_taken
            events_and_data_are_no_text
            long_lines_and_many_lines_arrive
            dropped_append_harms_no_later_one
            close_flushes
            close_is_idempotent
            errors_can_be_retried
            outage_fills_no_memory
            close_returns_in_an_outage
        }
    };
    (@cases $factory:path: $($case:ident)*) => {
        mod log_sink_suite {
            #[allow(unused_imports, reason = "the factory may have an absolute path")]
            use super::*;
            $(
                #[::tokio::test]
                async fn $case() {
                    use $crate::testing::log_sink as suite;
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
