//! Observers: measures of what a coordinator, a worker or an API does, for metrics.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::model::address::Lane;
use crate::model::execution::Execution;
use crate::model::id::ExecutionId;
use crate::model::log::Stream;
use crate::model::outcome::Outcome;
use crate::model::status::Status;
use crate::model::time::Timestamp;
use crate::model::trace::TraceSpan;
use crate::model::transition::Transition;
use crate::protocol::QueueInfo;
pub use crate::protocol::WorkerLoad;
use crate::refusals::{Hook, Refusal};
use crate::store::StoreProblem;
use crate::transport::Link;

/// Receives measures, for metrics.
///
/// Pass one to [`CoordinatorBuilder::observer`](crate::CoordinatorBuilder::observer) and to
/// [`WorkerBuilder::observer`](crate::WorkerBuilder::observer). Without one, nothing is measured.
/// `PrometheusObserver` of the crate tinpot-metrics serves the measures to Prometheus.
///
/// # Contract
/// - **Quick**: `observe` is called between two steps of a control loop, so it returns within
///   microseconds. It does no I/O and waits for nothing, locks that others hold for longer included.
/// - **Bounded**: names in measures, such as those of actions and queues, come from workers and
///   callers. An implementation that keeps a series for each bounds their number.
/// - **Committed**: a measure of an execution or an attempt follows the commit of its transition.
/// - **Open**: later versions add measures. Ignore those that you do not know.
///
/// # Example
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use tinpot_core::observer::{Measure, Observer};
/// use tinpot_core::{Coordinator, Failure, FunctionExecutor, MemoryNetwork, Worker};
///
/// #[derive(Debug, Default)]
/// struct Ended(AtomicU64);
///
/// impl Observer for Ended {
///     fn observe(&self, measure: &Measure<'_>) {
///         if let Measure::Ended { execution, status, .. } = measure {
///             println!("{} {status:?}", execution.action);
///             self.0.fetch_add(1, Ordering::Relaxed);
///         }
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> tinpot_core::Result<()> {
/// let (network, ended) = (MemoryNetwork::new(), Arc::new(Ended::default()));
/// let coordinator =
///     Coordinator::builder(network.transport()).observer(ended.clone()).start().await?;
/// # let executor = FunctionExecutor::builder()
/// #     .action("tick", |_, ()| async { Ok::<_, Failure>("tock") })
/// #     .build()?;
/// # let worker = Worker::builder(network.transport()).executor(executor).start().await?;
/// # coordinator.action_available("tick").await?;
/// coordinator.call::<String>("tick", ()).await?;
/// assert_eq!(ended.0.load(Ordering::Relaxed), 1);
/// # worker.shutdown(std::time::Duration::ZERO).await;
/// # coordinator.shutdown().await;
/// # Ok(())
/// # }
/// ```
pub trait Observer: fmt::Debug + Send + Sync + 'static {
    /// Takes a measure.
    fn observe(&self, measure: &Measure<'_>);
}

macro_rules! forward {
    ($pointer:ident) => {
        #[deny(clippy::missing_trait_methods)]
        impl<T: Observer + ?Sized> Observer for $pointer<T> {
            fn observe(&self, measure: &Measure<'_>) {
                (**self).observe(measure);
            }
        }
    };
}

forward!(Arc);
forward!(Box);

/// The direction of a frame, as the participant sees it that measures it.
///
/// [`Observer`] has an example of measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// The frame was handed over to the transport.
    Sent,
    /// The frame has arrived.
    Received,
}

/// The reason why a log is not complete.
///
/// [`Observer`] has an example of measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LogCut {
    /// The attempt wrote more than its worker keeps.
    Limit,
    /// The last lines did not arrive after the attempt had ended.
    Lost,
}

/// The end of a deploy of an app.
///
/// [`Observer`] has an example of measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DeployEnd {
    /// There is a new version.
    Created,
    /// An earlier version with the same content is active now.
    Activated,
    /// The content is that of the active version.
    Unchanged,
    /// The bundle breaks a rule, or the caller may not deploy it.
    Refused,
    /// The server was not able to do it.
    Failed,
}

impl DeployEnd {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Created, Self::Activated, Self::Unchanged, Self::Refused, Self::Failed];

    /// Returns the name, as labels have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Activated => "activated",
            Self::Unchanged => "unchanged",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// Something that a worker makes before an attempt, and keeps in its cache.
///
/// [`Observer`] has an example of measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cached {
    /// The files of a bundle.
    Bundle,
    /// A Python environment.
    Environment,
}

impl Cached {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Bundle, Self::Environment];

    /// Returns the name, as labels have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bundle => "bundle",
            Self::Environment => "environment",
        }
    }
}

/// The reason why a request was not authenticated.
///
/// [`Observer`] has an example of measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AuthFailure {
    /// The request has no credential.
    Missing,
    /// The credential is unknown, was revoked, or is that of a user who is disabled.
    Refused,
    /// The credential has expired.
    Expired,
    /// The credential cannot be read.
    Malformed,
    /// A name and a password that do not belong together.
    Password,
}

/// The end of an attempt, with its place in a trace.
///
/// [`Observer`] has an example of measures.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct TracedRun<'a> {
    /// The execution.
    pub execution: ExecutionId,
    /// The number of the attempt.
    pub attempt: u32,
    /// The outcome.
    pub outcome: &'a Outcome,
    /// The span.
    pub span: TraceSpan,
}

/// Something that was measured. [`Observer`] has an example.
#[derive(Debug)]
#[non_exhaustive]
pub enum Measure<'a> {
    /// Of a coordinator: an execution was accepted.
    Accepted {
        /// The execution.
        execution: &'a Execution,
    },
    /// Of a coordinator: an attempt was granted or has ended, or an execution has ended. Other
    /// measures about the same follow.
    Changed {
        /// The execution, as it was accepted or read.
        execution: &'a Execution,
        /// The change.
        transition: &'a Transition,
        /// The time of the change.
        at: Timestamp,
    },
    /// Of a coordinator: an attempt was granted to a worker.
    Granted {
        /// The execution, as it was accepted or read.
        execution: &'a Execution,
        /// The time since the execution could have run: since its acceptance, its delay, or the end
        /// of the attempt before.
        waited: Duration,
    },
    /// Of a coordinator: an attempt that may have run has ended.
    AttemptEnded {
        /// The execution, as it was accepted or read.
        execution: &'a Execution,
        /// The status that its outcome has.
        status: Status,
        /// The run time that the worker reported.
        ran: Option<Duration>,
    },
    /// Of a coordinator: an execution has ended.
    Ended {
        /// The execution, as it was accepted or read.
        execution: &'a Execution,
        /// Its last status.
        status: Status,
    },
    /// Of a coordinator: the leases of this number of workers have expired.
    LeasesExpired(u64),
    /// Of a coordinator: this number of dispatches was sent again.
    DispatchesResent(u64),
    /// Of a coordinator: a batch of transitions was committed.
    Committed {
        /// The number of transitions.
        transitions: usize,
        /// The time that the store took.
        took: Duration,
    },
    /// Of a coordinator: a batch of transitions could not be committed, and is tried again.
    CommitFailed,
    /// Of a coordinator: log lines are in the store.
    LogBytes {
        /// The stream of the lines.
        stream: Stream,
        /// The size of their text.
        bytes: u64,
    },
    /// Of a coordinator or a worker: a log is not complete.
    LogCut(LogCut),
    /// Of a coordinator or a worker: a frame was sent or received.
    Frame {
        /// The lane.
        lane: Lane,
        /// The direction.
        direction: Direction,
    },
    /// Of a coordinator or a worker: a frame or a message was refused.
    Refused(Refusal),
    /// Of a coordinator or a worker: the link of the transport, at the start and after each change.
    Link(&'a Link),
    /// Of a coordinator, after [`Coordinator::measure`](crate::Coordinator::measure): all queues.
    Queues(&'a [QueueInfo]),
    /// Of a coordinator, after [`Coordinator::measure`](crate::Coordinator::measure): all workers.
    Workers(&'a [WorkerLoad<'a>]),
    /// Of a coordinator, after [`Coordinator::measure`](crate::Coordinator::measure): the known
    /// problems of the store.
    StoreProblems(&'a [StoreProblem]),
    /// Of a worker: the attempts that it holds now, at the start and after each change.
    Held {
        /// The number of attempts that have started and not ended.
        attempts: usize,
        /// The number of slots.
        slots: u32,
    },
    /// Of a worker: an attempt has ended.
    Ran {
        /// The name of the action.
        action: &'a str,
        /// The status that its outcome has.
        status: Status,
        /// The run time.
        took: Duration,
        /// The attempt, if the worker [records traces](crate::WorkerBuilder::traces).
        traced: Option<TracedRun<'a>>,
    },
    /// Of a worker: an attempt needs something of the cache.
    CacheRequest {
        /// The kind.
        kind: Cached,
        /// If true, it is in the cache.
        is_hit: bool,
    },
    /// Of a worker: something was made for the cache.
    SetUp {
        /// The kind.
        kind: Cached,
        /// The time that it took.
        took: Duration,
    },
    /// Of a worker: the size of what the cache has of a kind, at its opening and after each change.
    CacheBytes {
        /// The kind.
        kind: Cached,
        /// The size.
        bytes: u64,
    },
    /// Of the host of apps: a deploy has ended.
    Deployed(DeployEnd),
    /// Of an API: a request was answered.
    Request {
        /// The method: a known one, or `OTHER`.
        method: &'a str,
        /// The route as a template, such as `/api/executions/{id}`; `unmatched` for a path without a
        /// route.
        route: &'a str,
        /// The status of the answer.
        code: u16,
        /// The time until the head of the answer.
        took: Duration,
        /// The span of the request, if it has submitted an execution and the API records traces.
        span: Option<TraceSpan>,
    },
    /// Of an API: an event stream was opened.
    StreamOpened,
    /// Of an API: an event stream has ended.
    StreamClosed,
    /// Of an API: a request was not authenticated.
    AuthFailed(AuthFailure),
}

/// Returns the hook that measures refusals.
pub(crate) fn hook(observer: Arc<dyn Observer>) -> Hook {
    Hook(Arc::new(move |reason| observer.observe(&Measure::Refused(reason))))
}
