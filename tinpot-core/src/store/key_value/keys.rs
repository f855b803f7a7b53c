//! The layout of the database. Stored data: change nothing here without a migration.
//!
//! | prefix | key | value |
//! | --- | --- | --- |
//! | `m` | `epoch`, `counts` | the epoch; the number of ended executions, the bytes of their logs, and the largest number |
//! | `a` | name | an action |
//! | `z` | queue | the time since when the queue is paused |
//! | `e` | id, newest first | a record of an execution |
//! | `p` | id | parameters that are too large for the record |
//! | `k` | idempotency key | id |
//! | `n` | number | id |
//! | `c` | parent, id newest first | |
//! | `q` | queue, action, rank, id | of an execution that is ready and has no bundle |
//! | `b` | queue, action, runtime, rank, id | of an execution that is ready and has a bundle |
//! | `d` | time, id | queue, action and any runtime of a delayed execution |
//! | `x` | time, id | of a waiting execution that expires |
//! | `g` | id | lease of an execution with a live attempt, in microseconds |
//! | `o` | id | of an execution without one whose log is open |
//! | `f` | time, id | of an ended execution |
//! | `l` | id, last line | a log chunk |
//! | `r` | id | of a removed execution whose log is still to be removed |

use std::ops::Range;

use crate::model::error::{Error, ErrorKind, Result};
use crate::model::execution::Execution;
use crate::model::id::ExecutionId;
use crate::model::time::Timestamp;

/// A key under construction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key(pub(super) Vec<u8>);

impl Key {
    fn new(prefix: u8) -> Self {
        Self(vec![prefix])
    }

    fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn id(self, id: ExecutionId) -> Self {
        self.bytes(&id.as_u128().to_be_bytes())
    }

    fn newest_first(self, id: ExecutionId) -> Self {
        self.bytes(&(!id.as_u128()).to_be_bytes())
    }

    fn number(self, number: u64) -> Self {
        self.bytes(&number.to_be_bytes())
    }

    /// Adds a text with its length, so that no text is the beginning of another.
    fn text(self, text: &str) -> Self {
        self.bytes(&(text.len() as u32).to_be_bytes()).bytes(text.as_bytes())
    }

    /// The range of all keys that begin with this one.
    pub(super) fn all(self) -> Range<Vec<u8>> {
        // The prefixes are ASCII, so there is a byte below 0xff to increment.
        let mut end = self.0.clone();
        while end.last() == Some(&u8::MAX) {
            end.pop();
        }
        if let Some(last) = end.last_mut() {
            *last += 1;
        }
        self.0..end
    }

    /// The part of [`all`](Self::all) behind a key.
    pub(super) fn after(self, key: Option<Key>) -> Range<Vec<u8>> {
        let all = self.all();
        match key {
            Some(key) => key.bytes(&[0]).0..all.end,
            None => all,
        }
    }
}

pub(super) fn epoch() -> Key {
    Key::new(b'm').bytes(b"epoch")
}

pub(super) fn counts() -> Key {
    Key::new(b'm').bytes(b"counts")
}

pub(super) fn actions() -> Key {
    Key::new(b'a')
}

pub(super) fn action(name: &str) -> Key {
    actions().text(name)
}

pub(super) fn paused_queues() -> Key {
    Key::new(b'z')
}

pub(super) fn paused_queue(queue: &str) -> Key {
    paused_queues().text(queue)
}

pub(super) fn executions() -> Key {
    Key::new(b'e')
}

pub(super) fn execution(id: ExecutionId) -> Key {
    executions().newest_first(id)
}

pub(super) fn parameters(id: ExecutionId) -> Key {
    Key::new(b'p').id(id)
}

pub(super) fn idempotency_key(key: &str) -> Key {
    Key::new(b'k').text(key)
}

pub(super) fn number(number: u64) -> Key {
    Key::new(b'n').number(number)
}

pub(super) fn children(parent: ExecutionId) -> Key {
    Key::new(b'c').id(parent)
}

pub(super) fn child(parent: ExecutionId, id: ExecutionId) -> Key {
    children(parent).newest_first(id)
}

pub(super) fn ready() -> Key {
    Key::new(b'q')
}

pub(super) fn ready_with_bundle() -> Key {
    Key::new(b'b')
}

pub(super) fn ready_in(queue: &str, action: &str, runtime: Option<&str>) -> Key {
    match runtime {
        None => ready().text(queue).text(action),
        Some(runtime) => ready_with_bundle().text(queue).text(action).text(runtime),
    }
}

pub(super) fn ready_at(
    queue: &str,
    action: &str,
    runtime: Option<&str>,
    rank: i64,
    id: ExecutionId,
) -> Key {
    // With the sign flipped, the bytes of signed numbers sort as the numbers do.
    ready_in(queue, action, runtime).number(rank as u64 ^ (1 << 63)).id(id)
}

pub(super) fn delayed() -> Key {
    Key::new(b'd')
}

pub(super) fn delayed_until(time: Timestamp, id: ExecutionId) -> Key {
    delayed().number(time.0).id(id)
}

pub(super) fn expiring() -> Key {
    Key::new(b'x')
}

pub(super) fn expiring_at(time: Timestamp, id: ExecutionId) -> Key {
    expiring().number(time.0).id(id)
}

/// The range of the executions that have expired at a time.
pub(super) fn expired(at: Timestamp) -> Range<Vec<u8>> {
    expiring().0..expiring().number(at.0).all().end
}

pub(super) fn granted() -> Key {
    Key::new(b'g')
}

pub(super) fn granted_execution(id: ExecutionId) -> Key {
    granted().id(id)
}

pub(super) fn open_logs() -> Key {
    Key::new(b'o')
}

pub(super) fn open_log(id: ExecutionId) -> Key {
    open_logs().id(id)
}

pub(super) fn ended() -> Key {
    Key::new(b'f')
}

pub(super) fn ended_at(time: Timestamp, id: ExecutionId) -> Key {
    ended().number(time.0).id(id)
}

pub(super) fn is_ended(key: &[u8]) -> bool {
    key.starts_with(&ended().0)
}

pub(super) fn log(id: ExecutionId) -> Key {
    Key::new(b'l').id(id)
}

pub(super) fn log_until(id: ExecutionId, last_seq: u64) -> Key {
    log(id).number(last_seq)
}

pub(super) fn removed_logs() -> Key {
    Key::new(b'r')
}

pub(super) fn removed_log(id: ExecutionId) -> Key {
    removed_logs().id(id)
}

/// The queue, the key of the action and any runtime of an execution, as the value of an index.
pub(super) fn names(execution: &Execution) -> Vec<u8> {
    let names = Key(Vec::new()).text(&execution.queue).text(&execution.action_key());
    let Key(bytes) = match execution.runtime() {
        None => names,
        Some(runtime) => names.text(runtime),
    };
    bytes
}

/// Returns the queue and the action from [`names`], or from a key of [`ready`] or
/// [`ready_with_bundle`] without its prefix, and the bytes after them.
pub(super) fn names_of(bytes: &[u8]) -> Result<(&str, &str, &[u8])> {
    let names = text_of(bytes).and_then(|(queue, rest)| {
        let (action, rest) = text_of(rest)?;
        Some((queue, action, rest))
    });
    names.ok_or_else(|| damaged("an index entry names no queue and action"))
}

/// Returns the runtime from the bytes after the names; `None` if there is none.
pub(super) fn runtime_of(bytes: &[u8]) -> Option<&str> {
    text_of(bytes).map(|(runtime, _)| runtime)
}

/// Returns the text at the beginning of some bytes, and what follows it.
fn text_of(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (text, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    Some((std::str::from_utf8(text).ok()?, rest))
}

/// Returns the id at the end of a key.
pub(super) fn id_of(key: &[u8]) -> Result<ExecutionId> {
    let bytes = key.last_chunk::<16>().ok_or_else(|| damaged("a key is too short for an id"))?;
    Ok(ExecutionId::from_u128(u128::from_be_bytes(*bytes)))
}

/// Returns the id at the end of a key in which the newest comes first.
pub(super) fn newest_first_id_of(key: &[u8]) -> Result<ExecutionId> {
    id_of(key).map(|id| ExecutionId::from_u128(!id.as_u128()))
}

pub(super) fn damaged(what: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Malformed, format!("the store is damaged: {what}"))
}
