//! The messages. On the wire each is an object with one key, its type: `{"accept":{"fence":"…"}}`.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use super::call::{Call, Called};
use super::rotation::{ReplaceKey, Rotate, Rotated};
use super::secret::{SecretAnswer, SecretGet};
use crate::model::action::ActionSet;
use crate::model::deployed::{BundleRef, BundleTicket};
use crate::model::digest::Digest;
use crate::model::fence::{Epoch, Fence};
use crate::model::id::{ExecutionId, WorkerId};
use crate::model::json::Json;
use crate::model::log::{Level, LogChunk, Progress, SpanId, Stream};
use crate::model::names::Names;
use crate::model::outcome::Outcome;
use crate::model::serde_millis::{millis, optional_millis};
use crate::model::time::Timestamp;

/// Worker → coordinator: the worker's identity and what it offers. Sent at the start, after a
/// reconnect, when the offer changes, and on request.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Hello {
    /// The name of the worker, for people. Several workers may share one.
    pub name: String,
    /// The queues it serves; empty means all.
    #[serde(default)]
    pub queues: Vec<String>,
    /// The groups of actions that the worker is limited to; empty means all. For people: `offer` is
    /// limited already.
    #[serde(default)]
    pub groups: Vec<String>,
    /// The number of attempts that the worker runs at once; 0 while it drains.
    pub slots: u32,
    /// The actions of the worker, and its load errors.
    #[serde(default)]
    pub offer: ActionSet,
    /// Earlier incarnations that are known to be dead, with everything that they started.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clean_slate: Vec<WorkerId>,
    /// The epoch of the coordinator that the worker follows; `None` before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<Epoch>,
    /// The version of the worker's program, for people; empty if unknown.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// The start of the worker by its own clock, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// If true, each beat asks for attempts: the worker is granted at most as many as its latest beat
    /// has free slots.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pull: bool,
    /// The lease that the worker asks for, in place of the configured one. The coordinator waits
    /// longer: 1.5 times that, and at least 10 s more.
    #[serde(
        default,
        with = "optional_millis",
        rename = "lease_ms",
        skip_serializing_if = "Option::is_none"
    )]
    pub lease: Option<Duration>,
    /// The number of the beat that follows. Of two hellos the one with the larger number counts,
    /// whichever comes first; 0 from a worker that does not number them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub seq: u64,
    /// The teams that the actions belong to; empty for the default team. The coordinator takes them
    /// from the grant of the worker's key: they never come in a message.
    #[serde(skip)]
    pub teams: Vec<Arc<str>>,
    /// The deployed actions that the worker may run. They come from the grant, too.
    #[serde(skip)]
    pub granted: Box<Granted>,
}

impl Hello {
    /// Returns true if the worker sent this before its hello with the given number.
    pub(crate) fn is_before(&self, number: u64) -> bool {
        (1..number).contains(&self.seq)
    }
}

/// The deployed actions that a worker's key is granted: all by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Granted {
    /// The groups of the actions.
    pub groups: Names,
    /// The names of the actions.
    pub actions: Names,
    /// The teams of the actions; `None` for those of [`Hello::teams`].
    pub teams: Option<Names>,
}

/// Worker → coordinator: a heartbeat, sent every heartbeat interval.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Beat {
    /// The number of the beat. The coordinator echoes it.
    pub seq: u64,
    /// The number of free slots. Of a worker that pulls, the number of attempts that it asks for.
    pub free: u32,
    /// The attempts that the worker holds: waiting, running, or ended and not acknowledged.
    #[serde(default)]
    pub held: Vec<Fence>,
    /// The epoch of the coordinator that the worker follows; `None` before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<Epoch>,
}

/// Coordinator → worker: acknowledges a beat.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BeatAck {
    /// The epoch of the coordinator that answers.
    pub epoch: Epoch,
    /// The number of the acknowledged beat. The worker's lease counts from the time at which it
    /// sent that beat.
    pub seq_echo: u64,
    /// The number up to which no fence of this epoch will be dispatched to this worker again.
    #[serde(default)]
    pub settled: u64,
    /// The lease that each acknowledged beat gives the worker. `None` from a coordinator of an
    /// earlier version: the worker then uses its own configuration.
    #[serde(
        default,
        with = "optional_millis",
        rename = "lease_ms",
        skip_serializing_if = "Option::is_none"
    )]
    pub lease: Option<Duration>,
    /// The interval between beats. `None` from a coordinator of an earlier version.
    #[serde(
        default,
        with = "optional_millis",
        rename = "beat_ms",
        skip_serializing_if = "Option::is_none"
    )]
    pub beat_interval: Option<Duration>,
    /// Held attempts that do not belong to the worker any more: it kills and forgets them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drop: Vec<Fence>,
    /// Held attempts that are to be cancelled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cancel: Vec<Fence>,
}

/// Coordinator → worker: starts an attempt. Resent with the same fence until the worker accepts or
/// rejects it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Dispatch {
    /// The attempt.
    pub fence: Fence,
    /// The last beat received from the worker. It proves that the coordinator knows the worker's
    /// present lease.
    pub seq_echo: u64,
    /// The number up to which no fence of this epoch will be dispatched to this worker again.
    #[serde(default)]
    pub settled: u64,
    /// The execution.
    pub execution: ExecutionId,
    /// The [number](crate::Execution::number) of the execution; 0 from a coordinator of an earlier
    /// version.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub number: u64,
    /// The number of the attempt, from 1.
    pub attempt: u32,
    /// The name of the action.
    pub action: Arc<str>,
    /// The parameters, a JSON object.
    pub parameters: Json,
    /// The longest time that the attempt may run.
    #[serde(
        default,
        with = "optional_millis",
        rename = "timeout_ms",
        skip_serializing_if = "Option::is_none"
    )]
    pub timeout: Option<Duration>,
    /// The time between the request to end and the kill.
    #[serde(with = "millis", rename = "grace_ms")]
    pub grace: Duration,
    /// If true, another attempt may follow: the worker must kill this one before its lease ends.
    #[serde(default)]
    pub retryable: bool,
    /// The bundle to run, if the action is deployed. The worker then needs its runtime, and need
    /// not offer the action.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle: Option<Arc<BundleRef>>,
    /// JSON pointers to the secrets among the parameters, only with a bundle: the worker knows no
    /// schema by which it could find them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
    /// The uploads to which the parameters refer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub uploads: Vec<Digest>,
    /// The right to read the bundle and the uploads from the server that keeps them, while the attempt
    /// lives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<BundleTicket>,
    /// The trace context of the execution, in the form of the header `traceparent` of W3C Trace
    /// Context.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<Arc<str>>,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Worker → coordinator: the worker holds the attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accept {
    /// The attempt.
    pub fence: Fence,
    /// If true, the attempt runs; otherwise it waits for a slot. Sent again when it starts.
    pub running: bool,
}

/// Worker → coordinator: the worker will not run the attempt, now or later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reject {
    /// The attempt.
    pub fence: Fence,
    /// The reason.
    pub why: RejectReason,
}

/// The reason why a worker rejects a dispatch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RejectReason {
    /// The echoed beat is too old, or too little of the lease remains.
    Stale,
    /// The worker does not offer the action, or does not any more.
    UnknownAction,
    /// No slot is free for the attempt.
    Busy,
    /// The worker drains.
    Draining,
    /// A reason that this version does not know.
    #[serde(other)]
    Other,
}

/// Worker → coordinator: the outcome of an attempt. Resent until it is acknowledged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResultReport {
    /// The attempt.
    pub fence: Fence,
    /// The outcome of the attempt.
    pub outcome: Outcome,
    /// The number of the attempt's last log line; 0 if it wrote none.
    #[serde(default)]
    pub last_log_seq: u64,
    /// The duration of the attempt, in microseconds.
    #[serde(default)]
    pub ran_us: u64,
    /// If true, the attempt did not end within its grace period, and was killed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub killed: bool,
}

/// Worker → coordinator: the worker does not hold the attempt any more, and has no outcome. Resent
/// until it is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Released {
    /// The attempt.
    pub fence: Fence,
    /// The state in which the attempt was released.
    pub how: ReleasedHow,
}

/// The state of an attempt that its worker released.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReleasedHow {
    /// The attempt was not started and never will be.
    NeverRan,
    /// The attempt was started and killed.
    Killed,
    /// The attempt ended, and its outcome was refused.
    Finished,
    /// The worker does not know the attempt. Also stands for values that this version does not
    /// know.
    #[serde(other)]
    Unknown,
}

/// Coordinator → worker: the end of an attempt is settled, and the worker may forget it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResultAck {
    /// The epoch of the coordinator that answers.
    pub epoch: Epoch,
    /// The attempt.
    pub fence: Fence,
    /// The effect of the report.
    pub recorded: Recorded,
}

/// The effect of a report on the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Recorded {
    /// The report was recorded.
    Recorded,
    /// The report was recorded before.
    Duplicate,
    /// The fence had no right to report any more. Nothing was changed.
    Stale,
}

/// Coordinator → worker: asks an attempt to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancel {
    /// The epoch of the coordinator that asks.
    pub epoch: Epoch,
    /// The attempt.
    pub fence: Fence,
    /// If true, there is no grace period.
    #[serde(default)]
    pub force: bool,
}

/// Coordinator → worker: asks for the state of an attempt that an earlier epoch granted. The worker
/// answers with an `accept`, a `result` or a `released`. A probe never starts an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// The epoch of the coordinator that asks.
    pub epoch: Epoch,
    /// The attempt.
    pub fence: Fence,
}

/// Worker → coordinator, on lane Logs: lines of an attempt. Resent from the first line that is not
/// acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// The attempt.
    pub fence: Fence,
    /// The lines, numbered within the attempt. On the wire, the fields of the chunk are on one
    /// level with `fence`.
    pub chunk: Arc<LogChunk>,
}

// Written by hand, because `#[serde(flatten)]` buffers every line in generic values.
#[derive(Serialize, Deserialize)]
struct LogFields<Lines> {
    fence: Fence,
    first_seq: u64,
    time: Timestamp,
    stream: Stream,
    level: Level,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    span: Option<SpanId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fields: Option<Json>,
    lines: Lines,
}

impl Serialize for Log {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let LogChunk { first_seq, time, stream, level, span, fields, lines } = &*self.chunk;
        LogFields {
            fence: self.fence,
            first_seq: *first_seq,
            time: *time,
            stream: *stream,
            level: *level,
            span: *span,
            fields: fields.clone(),
            lines: lines.as_slice(),
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Log {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let LogFields { fence, first_seq, time, stream, level, span, fields, mut lines } =
            LogFields::<Vec<String>>::deserialize(deserializer)?;
        // A line is one row of the log.
        for line in lines.iter_mut().filter(|line| line.contains('\n')) {
            *line = line.replace('\n', "\\n");
        }
        Ok(Self {
            fence,
            chunk: Arc::new(LogChunk { first_seq, time, stream, level, span, fields, lines }),
        })
    }
}

/// Coordinator → worker, on lane Logs: every line up to `seq` is stored. The worker may send as
/// many bytes more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogAck {
    /// The attempt.
    pub fence: Fence,
    /// The last line stored without a gap before it. `u64::MAX` if no more lines are wanted.
    pub seq: u64,
}

/// Worker → coordinator, on lane Logs: the progress that an action reports. The latest report
/// counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProgressReport {
    /// The attempt.
    pub fence: Fence,
    /// The progress.
    #[serde(flatten)]
    pub progress: Progress,
}

/// Worker → coordinator: the worker ends. Nothing that it started is alive, and it will start
/// nothing more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Goodbye {
    /// Attempts whose end could not be reported. Other attempts that were dispatched to this worker
    /// never ran.
    #[serde(default)]
    pub held: Vec<Fence>,
}

/// Coordinator → worker: drain. Resent until a hello shows that the worker offers no slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drain {
    /// The epoch of the coordinator that asks.
    pub epoch: Epoch,
}

/// Coordinator → workers: asks for a hello. Also answers a worker that the coordinator does not
/// know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WhoIsThere {
    /// The epoch of the coordinator that asks.
    pub epoch: Epoch,
}

macro_rules! messages {
    ($($(#[$doc:meta])* $variant:ident($type:ty) = $key:literal,)*) => {
        /// One message of a [`Frame`](super::Frame).
        #[derive(Clone, Debug, PartialEq, Serialize)]
        #[non_exhaustive]
        pub enum Message {
            $($(#[$doc])* #[serde(rename = $key)] $variant($type),)*
            /// A type that this version does not know. Its content is ignored.
            #[serde(rename = "unknown")]
            Unknown(String),
        }

        impl Message {
            /// Returns the key of the message's type on the wire.
            pub fn key(&self) -> &str {
                match self {
                    $(Message::$variant(_) => $key,)*
                    Message::Unknown(key) => key,
                }
            }
        }

        // Written by hand: a derived enum either buffers its content, which raw JSON does not
        // survive, or fails on unknown keys.
        impl<'de> Deserialize<'de> for Message {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct OneKey;
                impl<'de> Visitor<'de> for OneKey {
                    type Value = Message;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str("a message: an object with one key, its type")
                    }

                    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Message, A::Error> {
                        let key: std::borrow::Cow<'de, str> = map
                            .next_key()?
                            .ok_or_else(|| serde::de::Error::custom("a message without a type"))?;
                        let message = match &*key {
                            $($key => Message::$variant(map.next_value()?),)*
                            _ => {
                                map.next_value::<IgnoredAny>()?;
                                Message::Unknown(key.into_owned())
                            }
                        };
                        match map.next_key::<IgnoredAny>()? {
                            None => Ok(message),
                            Some(_) => Err(serde::de::Error::custom("a message with two types")),
                        }
                    }
                }
                deserializer.deserialize_map(OneKey)
            }
        }
    };
}

messages! {
    /// See [`Hello`].
    Hello(Hello) = "hello",
    /// See [`Beat`].
    Beat(Beat) = "beat",
    /// See [`BeatAck`].
    BeatAck(BeatAck) = "beat_ack",
    /// See [`Dispatch`].
    Dispatch(Dispatch) = "dispatch",
    /// See [`Accept`].
    Accept(Accept) = "accept",
    /// See [`Reject`].
    Reject(Reject) = "reject",
    /// See [`ResultReport`].
    Result(ResultReport) = "result",
    /// See [`Released`].
    Released(Released) = "released",
    /// See [`ResultAck`].
    ResultAck(ResultAck) = "result_ack",
    /// See [`Cancel`].
    Cancel(Cancel) = "cancel",
    /// See [`Drain`].
    Drain(Drain) = "drain",
    /// See [`Probe`].
    Probe(Probe) = "probe",
    /// See [`Log`].
    Log(Log) = "log",
    /// See [`LogAck`].
    LogAck(LogAck) = "log_ack",
    /// See [`ProgressReport`].
    Progress(ProgressReport) = "progress",
    /// See [`Goodbye`].
    Goodbye(Goodbye) = "goodbye",
    /// See [`Call`].
    Call(Box<Call>) = "call",
    /// See [`Called`].
    Called(Called) = "called",
    /// See [`SecretGet`].
    SecretGet(SecretGet) = "secret_get",
    /// See [`SecretAnswer`].
    Secret(Box<SecretAnswer>) = "secret",
    /// See [`Rotate`].
    Rotate(Box<Rotate>) = "rotate",
    /// See [`ReplaceKey`].
    ReplaceKey(ReplaceKey) = "replace_key",
    /// See [`Rotated`].
    Rotated(Box<Rotated>) = "rotated",
    /// See [`WhoIsThere`].
    WhoIsThere(WhoIsThere) = "who_is_there",
}
