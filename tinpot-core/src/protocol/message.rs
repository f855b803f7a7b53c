//! The messages. On the wire each is an object with one key, its type: `{"accept":{"fence":"…"}}`.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use super::call::{Call, Called};
use crate::model::action::ActionSet;
use crate::model::fence::{Epoch, Fence};
use crate::model::id::{ExecutionId, WorkerId};
use crate::model::json::Json;
use crate::model::log::{Level, LogChunk, Progress, SpanId, Stream};
use crate::model::outcome::Outcome;
use crate::model::serde_millis::{millis, optional_millis};
use crate::model::time::Timestamp;

/// Worker → coordinator: who I am and what I offer. At start, after a reconnect, when the offer changes, and when asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hello {
    /// The name people gave it; several workers may share one.
    pub name: String,
    /// The queues it serves; empty means all.
    #[serde(default)]
    pub queues: Vec<String>,
    /// The groups of actions it was limited to; empty means all. For people: `offer` is limited already.
    #[serde(default)]
    pub groups: Vec<String>,
    /// How many attempts it runs at once; 0 while it drains.
    pub slots: u32,
    /// Its actions, and what should have been one.
    #[serde(default)]
    pub offer: ActionSet,
    /// Earlier incarnations that are known to be dead, with everything they started.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clean_slate: Vec<WorkerId>,
    /// The life of the coordinator that it listens to; none before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<Epoch>,
    /// The version of its program, for people; empty when it does not say.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// When it started, by its own clock, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
}

/// Worker → coordinator: I live, every heartbeat interval.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Beat {
    /// Counts the beats of this worker; the coordinator echoes it.
    pub seq: u64,
    /// Slots that nothing runs in.
    pub free: u32,
    /// The attempts it holds: waiting, running, or ended and not acknowledged.
    #[serde(default)]
    pub held: Vec<Fence>,
    /// The life of the coordinator that it listens to; none before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<Epoch>,
}

/// Coordinator → worker: your beat was heard.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BeatAck {
    /// The life of the coordinator that answers.
    pub epoch: Epoch,
    /// The beat that this answers: the worker's lease counts from when it sent that beat.
    pub seq_echo: u64,
    /// No fence of this epoch up to this number will be dispatched to this worker again.
    #[serde(default)]
    pub settled: u64,
    /// The lease that a worker has from each beat that is answered. `None` from a coordinator of an
    /// earlier version: then the worker goes by its own configuration.
    #[serde(
        default,
        with = "optional_millis",
        rename = "lease_ms",
        skip_serializing_if = "Option::is_none"
    )]
    pub lease: Option<Duration>,
    /// How often to beat. `None` from a coordinator of an earlier version.
    #[serde(
        default,
        with = "optional_millis",
        rename = "beat_ms",
        skip_serializing_if = "Option::is_none"
    )]
    pub beat_interval: Option<Duration>,
    /// Held attempts that are not the worker's any more: kill them and forget them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drop: Vec<Fence>,
    /// Held attempts that are to be cancelled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cancel: Vec<Fence>,
}

/// Coordinator → worker: run this. Sent again with the same fence until it is accepted or rejected.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Dispatch {
    /// The attempt.
    pub fence: Fence,
    /// The last beat heard from the worker: proves that the coordinator speaks of its present lease.
    pub seq_echo: u64,
    /// No fence of this epoch up to this number will be dispatched to this worker again.
    #[serde(default)]
    pub settled: u64,
    /// The execution.
    pub execution: ExecutionId,
    /// 1 for the first attempt.
    pub attempt: u32,
    /// The name of the action.
    pub action: Arc<str>,
    /// A JSON object.
    pub parameters: Json,
    /// How long it may run.
    #[serde(
        default,
        with = "optional_millis",
        rename = "timeout_ms",
        skip_serializing_if = "Option::is_none"
    )]
    pub timeout: Option<Duration>,
    /// From the request to end to the kill.
    #[serde(with = "millis", rename = "grace_ms")]
    pub grace: Duration,
    /// Another attempt may follow: the worker must kill this one before its lease ends.
    #[serde(default)]
    pub retryable: bool,
}

/// Worker → coordinator: I have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accept {
    /// The attempt.
    pub fence: Fence,
    /// Whether it runs already, or waits for a slot; sent again when it starts.
    pub running: bool,
}

/// Worker → coordinator: I will not run it, now or later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reject {
    /// The attempt.
    pub fence: Fence,
    /// Why.
    pub why: RejectReason,
}

/// Why a dispatch is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RejectReason {
    /// The echoed beat is too old, or too little lease remains.
    Stale,
    /// The action is not offered (any more).
    UnknownAction,
    /// There is no place for it.
    Busy,
    /// The worker shuts down.
    Draining,
    /// A reason that this version does not know.
    #[serde(other)]
    Other,
}

/// Worker → coordinator: how an attempt ended. Sent again until it is acknowledged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResultReport {
    /// The attempt.
    pub fence: Fence,
    /// How it ended.
    pub outcome: Outcome,
    /// The number of its last log line; 0 when it wrote none.
    #[serde(default)]
    pub last_log_seq: u64,
    /// How long it ran, in microseconds.
    #[serde(default)]
    pub ran_us: u64,
}

/// Worker → coordinator: I hold it no more, and have no outcome. Sent again until it is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Released {
    /// The attempt.
    pub fence: Fence,
    /// What became of it.
    pub how: ReleasedHow,
}

/// What became of an attempt that was given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReleasedHow {
    /// It was not started and never will be.
    NeverRan,
    /// It was started and killed.
    Killed,
    /// It ended, and its outcome was refused.
    Finished,
    /// It is not here, and whether it ever was is not known; also for words that this version does not know.
    #[serde(other)]
    Unknown,
}

/// Coordinator → worker: the end of an attempt is dealt with; forget it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResultAck {
    /// The life of the coordinator that says so.
    pub epoch: Epoch,
    /// The attempt.
    pub fence: Fence,
    /// What became of the report.
    pub recorded: Recorded,
}

/// What became of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Recorded {
    /// It is in the store.
    Recorded,
    /// It was there already.
    Duplicate,
    /// The fence had no right to report any more; nothing was changed.
    Stale,
}

/// Coordinator → worker: end it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancel {
    /// The life of the coordinator that asks.
    pub epoch: Epoch,
    /// The attempt.
    pub fence: Fence,
    /// Without a grace period.
    #[serde(default)]
    pub force: bool,
}

/// Coordinator → worker: an earlier life of mine gave you this attempt; what has become of it? Answered by what is known of it: an `accept`, a
/// `result` or a `released`. It does not start anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// The life of the coordinator that asks.
    pub epoch: Epoch,
    /// The attempt.
    pub fence: Fence,
}

/// Worker → coordinator, on lane Logs: lines of an attempt. Sent again from the first that is not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// The attempt.
    pub fence: Fence,
    /// The lines, numbered within the attempt. On the wire its fields stand beside `fence`.
    pub chunk: Arc<LogChunk>,
}

// By hand, because `#[serde(flatten)]` takes every line through a buffer of generic values.
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
        let LogFields { fence, first_seq, time, stream, level, span, fields, lines } =
            LogFields::<Vec<String>>::deserialize(deserializer)?;
        Ok(Self {
            fence,
            chunk: Arc::new(LogChunk { first_seq, time, stream, level, span, fields, lines }),
        })
    }
}

/// Coordinator → worker, on lane Logs: every line up to `seq` is kept; credit for as many bytes more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogAck {
    /// The attempt.
    pub fence: Fence,
    /// The last line kept without a gap before it. `u64::MAX` when nothing more is wanted.
    pub seq: u64,
}

/// Worker → coordinator, on lane Logs: how far an action says it has come; the last one counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProgressReport {
    /// The attempt.
    pub fence: Fence,
    /// How far.
    #[serde(flatten)]
    pub progress: Progress,
}

/// Worker → coordinator: I end; nothing of mine is alive and I will start nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Goodbye {
    /// Attempts whose end could not be reported any more. What else was dispatched to this worker never ran.
    #[serde(default)]
    pub held: Vec<Fence>,
}

/// Coordinator → worker: take nothing new, and end when what you have has ended. Sent again until a hello shows that it offers no slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drain {
    /// The life of the coordinator that asks.
    pub epoch: Epoch,
}

/// Coordinator → workers: say hello. Also the answer to a worker that it does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WhoIsThere {
    /// The life of the coordinator that asks.
    pub epoch: Epoch,
}

macro_rules! messages {
    ($($(#[$doc:meta])* $variant:ident($type:ty) = $key:literal,)*) => {
        /// One message of a [`Frame`](super::Frame).
        #[derive(Clone, Debug, PartialEq, Serialize)]
        #[non_exhaustive]
        pub enum Message {
            $($(#[$doc])* #[serde(rename = $key)] $variant($type),)*
            /// A type that this version does not know; its content is ignored.
            #[serde(rename = "unknown")]
            Unknown(String),
        }

        impl Message {
            /// The key of its type on the wire.
            pub fn key(&self) -> &str {
                match self {
                    $(Message::$variant(_) => $key,)*
                    Message::Unknown(key) => key,
                }
            }
        }

        // Written by hand because a derived enum either buffers its content, which raw JSON does not survive, or fails on unknown keys.
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
    /// See [`WhoIsThere`].
    WhoIsThere(WhoIsThere) = "who_is_there",
}
