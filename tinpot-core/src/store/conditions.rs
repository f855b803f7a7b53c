//! Conditions of writes: a batch is checked as a whole before any of it is applied.

use std::collections::HashMap;

use super::Transition;
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::execution::{Execution, Standing};
use crate::model::id::ExecutionId;
use crate::model::log::LogBatch;

/// Checks the transitions of a batch in order, each against the standing that the ones before it
/// leave behind. `standing` returns the standing before the batch.
pub(super) fn check_batch(
    batch: &[Transition],
    standing: impl Fn(ExecutionId) -> Option<Standing>,
) -> Result<()> {
    let mut changed: HashMap<ExecutionId, Standing> = HashMap::with_capacity(batch.len());
    for transition in batch {
        let Some(id) = transition.execution() else { continue };
        let now = changed.get(&id).copied().or_else(|| standing(id));
        changed.insert(id, transition.check(now)?);
    }
    Ok(())
}

/// The lines of a [`LogBatch`], without their text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogSpan {
    /// The execution.
    pub execution: ExecutionId,
    /// The number of the attempt that wrote the lines.
    pub attempt: u32,
    /// The number of the first line. None if the batch has no chunks.
    pub first_seq: Option<u64>,
    /// The number of lines.
    pub lines: u64,
    /// If true, no further lines of this attempt will come.
    pub ends: bool,
}

impl LogSpan {
    /// Describes a batch.
    ///
    /// # Errors
    /// `Conflict` if the lines of its chunks are not numbered without gaps.
    pub fn of(batch: &LogBatch) -> Result<Self> {
        let first_seq = batch.chunks.first().map(|chunk| chunk.first_seq);
        let mut next = first_seq.unwrap_or_default();
        for chunk in &batch.chunks {
            if chunk.first_seq != next {
                return Err(out_of_order(batch.execution, chunk.first_seq, next));
            }
            next += chunk.lines.len() as u64;
        }
        let lines = next - first_seq.unwrap_or_default();
        let LogBatch { execution, attempt, ends, .. } = batch;
        Ok(Self { execution: *execution, attempt: *attempt, first_seq, lines, ends: *ends })
    }
}

/// Checks that every span belongs to a known attempt and continues the stored log.
pub(super) fn check_logs<'a>(
    spans: &[LogSpan],
    execution: impl Fn(ExecutionId) -> Option<&'a Execution>,
) -> Result<()> {
    let mut next: HashMap<ExecutionId, u64> = HashMap::with_capacity(spans.len());
    for span in spans {
        let id = span.execution;
        let not_found = |message| Err(Error::new(ErrorKind::NotFound, message));
        let Some(known) = execution(id) else {
            return not_found(format!("there is no execution {id}"));
        };
        if !known.attempts.iter().any(|attempt| attempt.number == span.attempt) {
            return not_found(format!("execution {id} has no attempt {}", span.attempt));
        }
        let expected = next.entry(id).or_insert(known.log_lines() + 1);
        if let Some(first) = span.first_seq
            && first != *expected
        {
            return Err(out_of_order(id, first, *expected));
        }
        *expected += span.lines;
    }
    Ok(())
}

fn out_of_order(id: ExecutionId, found: u64, expected: u64) -> Error {
    let message = format!("execution {id}: log line {found} where {expected} is next");
    Error::new(ErrorKind::Conflict, message)
}

pub(super) fn number_is_taken(number: u64) -> Error {
    let message = format!("the number {number} belongs to another execution");
    Error::new(ErrorKind::Conflict, message)
}

pub(super) fn key_is_taken(key: &str) -> Error {
    let message = format!("the idempotency key {key:?} belongs to another execution");
    Error::new(ErrorKind::Conflict, message)
}
