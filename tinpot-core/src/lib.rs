#![doc = include_str!("../README.md")]
//!
//! # Overview
//!
//! | part | purpose |
//! | --- | --- |
//! | [`local`], [`Local`] | a deployment within one process |
//! | [`Coordinator`], [`Worker`] | the two halves of a deployment, with their builders |
//! | [`FunctionExecutor`] | Rust closures as actions |
//! | [`Transport`], [`Executor`], [`LogSink`], [`Store`] | the four traits, each with an in-memory implementation |
//! | [`Policy`], [`Caller`], [`Right`] | which caller may do what |
//! | [`observer`] | measures for metrics |
//! | [`executor`], [`transport`], [`store`], [`log_sink`] | the types for implementations of the traits |
//! | [`seal`] | keys and cryptography for frames that a broker cannot read |
//! | `protocol` (feature `unstable`) | messages, frames and both sides as state machines, outside semver |

/// Compiles the programs of the workspace's README.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct WorkspaceReadme;

pub mod access;
mod clock;
mod coordinator;
pub mod executor;
mod failpoint;
mod inbox;
mod joining;
mod local;
pub mod log_sink;
mod model;
pub mod observer;
mod outbox;
#[cfg(feature = "unstable")]
pub mod protocol;
// Without the feature, the parts that only other shells and simulations use are unreachable.
#[cfg(not(feature = "unstable"))]
#[allow(dead_code, unreachable_pub, unused_imports)]
mod protocol;
mod refusals;
pub mod seal;
pub mod store;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod transport;
mod watcher;
mod wire;
mod worker;

pub use self::access::{AllowAll, Caller, Decision, Policy, Right};
pub use self::coordinator::{
    BundleReader, Changed, Changes, Coordinator, CoordinatorBuilder, Event, ExecutionHandle,
    MinuteStats, Readable, Scoped, Sight, Stats, Submission,
};
pub use self::executor::{
    Context, Executor, FunctionExecutor, FunctionExecutorBuilder, LogWriter, State, Stop,
    StopReason,
};
pub use self::local::{Local, LocalBuilder, local};
pub use self::log_sink::{LogSink, MemoryLogSink, TeeLogSink, TracingLogSink};
pub use self::model::action;
pub use self::model::action::{Action, IMPORT_ACTION, LoadError};
pub use self::model::deployed::{BundleRef, BundleTicket, Deployed};
pub use self::model::digest::Digest;
pub use self::model::error::{Error, ErrorKind, Result};
pub use self::model::execution::{
    AttemptRecord, CancelRequest, Execution, Owner, Parent, SubmitOptions,
};
pub use self::model::failure::{Failure, FailureCode};
pub use self::model::fence::{Epoch, Fence};
pub use self::model::id::{ExecutionId, WorkerId};
pub use self::model::json::Json;
pub use self::model::log::{
    Artifact, Level, LogChunk, LogEvent, Progress, SpanId, SpanOutcome, Stream,
};
pub use self::model::names::{NamePattern, Names};
pub use self::model::outcome::Outcome;
pub use self::model::page::ListOptions;
pub use self::model::python_environment::{EnvironmentState, PythonEnvironment};
pub use self::model::retry::{Backoff, RetryOn, RetryPolicy};
pub use self::model::status::Status;
pub use self::model::time::Timestamp;
pub use self::model::trace::{RequestTrace, Sampling, TraceContext, TraceSpan, check_traceparent};
pub use self::model::upload::upload_reference;
pub use self::model::violation::Violation;
pub use self::model::visible::{DEFAULT_TEAM, Target, Visible, VisiblePart};
pub use self::protocol::{
    CancelOutcome, Catalogue, CatalogueEntry, ProtocolConfig, QueueInfo, RunningAttempt, WorkerInfo,
};
pub use self::refusals::Refusal;
pub use self::store::{MemoryStore, Store};
pub use self::transport::{Link, MemoryNetwork, MemoryTransport, Transport};
pub use self::watcher::Watcher;
pub use self::worker::{Worker, WorkerBuilder};
