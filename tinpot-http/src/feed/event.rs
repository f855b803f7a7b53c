//! The events of the feed.

use serde::Serialize;
use tinpot_core::ExecutionId;
use utoipa::ToSchema;

use crate::model::{ExecutionSummary, LogLine};
use crate::openapi::scalars;
use crate::sse::ExecutionEvent;

/// One event of the feed.
#[derive(Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
#[schema(as = PageEvent)]
pub(crate) enum FeedEvent<'a> {
    /// The first event of every connection.
    Connected { server: Server<'a> },
    /// The executions that changed.
    Executions {
        executions: Vec<ExecutionSummary<'a>>,
        /// If true, others changed as well: request the list again.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        #[schema(required = false)]
        more: bool,
    },
    /// The workers changed: request them again.
    Workers,
    /// The queues changed: request them again.
    Queues,
    /// The actions changed: request them again.
    Catalogue,
    /// Lines of a followed execution.
    Log {
        #[schema(value_type = scalars::ExecutionId)]
        execution_id: ExecutionId,
        lines: Vec<LogLine<'a>>,
    },
    /// An execution that was requested with `log` is unknown, or was removed.
    Missing {
        #[schema(value_type = scalars::ExecutionId)]
        execution_id: ExecutionId,
    },
    /// Any other event of a followed execution, as in its own stream.
    Event {
        #[schema(value_type = scalars::ExecutionId)]
        execution_id: ExecutionId,
        event: ExecutionEvent<'a>,
    },
}

/// The server that sends the feed.
#[derive(Serialize, ToSchema)]
pub(crate) struct Server<'a> {
    pub(crate) version: &'static str,
    /// An id of this start of the server.
    pub(crate) instance: &'a str,
}
