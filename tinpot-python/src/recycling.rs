//! Recycling: when an interpreter that could go on is replaced nevertheless.

use std::num::NonZeroU64;

/// The limits of an interpreter, after which it is replaced. The default is none.
///
/// Both are checked between two attempts, and end none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Recycling {
    /// The number of attempts.
    pub(crate) attempts: Option<NonZeroU64>,
    /// The memory that it does not share with other processes.
    pub(crate) memory_bytes: Option<NonZeroU64>,
}

impl Recycling {
    /// Returns true if an interpreter is to be replaced. Asks for its memory only if that counts.
    pub(crate) fn is_due(&self, attempts: u64, memory: impl FnOnce(u64) -> bool) -> bool {
        self.attempts.is_some_and(|limit| attempts >= limit.get())
            || self.memory_bytes.is_some_and(|limit| memory(limit.get()))
    }
}
