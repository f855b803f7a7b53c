//! The rules of join tokens.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::time::Timestamp;
use crate::protocol::seal::grant::{WorkerLimits, matches};

/// The maximum length of a worker's name in bytes: ids, which have a suffix, have room for it.
const NAME_BYTES: usize = 64;

/// The terms of a join token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct JoinTerms {
    /// The limits of the workers that join. The names are a pattern.
    pub limits: WorkerLimits,
    /// The number of keys that may still be enrolled.
    pub uses: u32,
    /// The time at which the token ends.
    pub expires: Timestamp,
}

/// The state of a key before its join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Before<'a> {
    /// It is not enrolled, or was by another token.
    Unknown,
    /// The same token has enrolled it for this name.
    Enrolled {
        /// The name.
        name: &'a str,
    },
    /// It was revoked.
    Revoked,
}

/// The reason for which a key is not enrolled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "why", rename_all = "snake_case")]
#[non_exhaustive]
pub enum JoinRefusal {
    /// There is no such token.
    Unknown,
    /// The token has ended.
    Expired {
        /// The time at which it ended.
        at: Timestamp,
    },
    /// The token was used as often as it may be.
    Used,
    /// The token is for workers of other names.
    Name {
        /// The pattern of its names.
        names: String,
    },
    /// The key was revoked.
    Revoked,
    /// The coordinator remembers as many names of workers as it can.
    Full,
    /// A reason of a later version.
    #[serde(other)]
    Other,
}

impl fmt::Display for JoinRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("the join token is not known, or was revoked"),
            Self::Expired { at } => write!(f, "the join token expired at {at}"),
            Self::Used => f.write_str("the join token was used already"),
            Self::Name { names } => write!(f, "the join token is for workers named {names:?}"),
            Self::Revoked => f.write_str("the key was revoked: create another one"),
            Self::Full => f.write_str(
                "the coordinator remembers as many names of workers as it can: use the name of a \
                 worker that has left",
            ),
            Self::Other => f.write_str("the coordinator refuses the join"),
        }
    }
}

impl JoinTerms {
    /// Creates the terms of a token for one worker.
    pub fn new(limits: WorkerLimits, expires: Timestamp) -> Self {
        Self { limits, uses: 1, expires }
    }

    /// Decides on a join. Returns the limits of the key, and whether this counts as a use: a join
    /// that is repeated, since its answer was lost, does not.
    ///
    /// # Errors
    /// The reason why the key is not enrolled.
    pub fn admit(
        &self,
        now: Timestamp,
        name: &str,
        before: Before<'_>,
    ) -> Result<(WorkerLimits, bool), JoinRefusal> {
        let is_repeated = match before {
            Before::Revoked => return Err(JoinRefusal::Revoked),
            Before::Enrolled { name: enrolled } => enrolled == name,
            Before::Unknown => false,
        };
        if !is_worker_name(name) || !matches(&self.limits.names, name) {
            return Err(JoinRefusal::Name { names: self.limits.names.clone() });
        }
        if !is_repeated {
            if self.expires <= now {
                return Err(JoinRefusal::Expired { at: self.expires });
            }
            if self.uses == 0 {
                return Err(JoinRefusal::Used);
            }
        }
        // The worker has the one name that it asked for, not all that the token allows.
        Ok((WorkerLimits { names: name.to_owned(), ..self.limits.clone() }, !is_repeated))
    }
}

/// Returns true if a worker that joins may have this name: it stands in topics, and is no pattern.
fn is_worker_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    (1..=NAME_BYTES).contains(&name.len()) && name.chars().all(allowed)
}
