//! Typed identifiers that are safe in a path, a topic and a URL.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use crate::model::error::{Error, ErrorKind, Result};

/// The id of an execution: a UUIDv7, so that ids sort by creation time.
///
/// ```
/// use tinpot_core::ExecutionId;
///
/// let (first, second) = (ExecutionId::generate(), ExecutionId::generate());
/// assert!(first < second);
/// // It travels as text, for example in a URL.
/// assert_eq!(first.to_string().parse::<ExecutionId>()?, first);
/// assert!("42".parse::<ExecutionId>().is_err());
/// # Ok::<_, tinpot_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ExecutionId(Uuid);

impl ExecutionId {
    /// Creates an id from the wall clock and random bits.
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }

    /// Returns the id as a number. Later ids are larger.
    pub fn as_u128(self) -> u128 {
        self.0.as_u128()
    }

    /// Creates an id from a number; the inverse of [`as_u128`](Self::as_u128).
    pub fn from_u128(number: u128) -> Self {
        Self(Uuid::from_u128(number))
    }
}

impl fmt::Display for ExecutionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for ExecutionId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Uuid::try_parse(text).map(Self).map_err(|_| {
            Error::new(ErrorKind::InvalidInput, format!("{text:?} is not an execution id"))
        })
    }
}

/// The id of one worker process: its name and a random suffix. A worker that restarts gets
/// a new id.
///
/// It has 1 to 96 characters of `A-Z a-z 0-9 . _ -`, which are safe in the addresses of every
/// transport.
///
/// ```
/// use tinpot_core::WorkerId;
///
/// let (before, after) = (WorkerId::generate("build-1"), WorkerId::generate("build-1"));
/// assert_ne!(before, after);
/// assert_eq!(before.name(), after.name());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerId(Arc<str>);

/// The maximum length of a worker id in bytes.
const WORKER_ID_MAX_BYTES: usize = 96;

impl WorkerId {
    /// Parses an id.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] when it is empty, longer than 96 bytes or has a character outside `A-Za-z0-9._-`.
    pub fn new(text: &str) -> Result<Self> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if text.is_empty() || text.len() > WORKER_ID_MAX_BYTES || !text.chars().all(allowed) {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!("{text:?} is not a worker id: 1 to 96 of A-Z a-z 0-9 . _ -"),
            ));
        }
        Ok(Self(text.into()))
    }

    /// Creates an id for a worker called `name`: the name with every unsafe character replaced, and
    /// a random suffix.
    pub fn generate(name: &str) -> Self {
        let safe = |c: char| {
            if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '-' }
        };
        let name: String = name.chars().take(64).map(safe).collect();
        let suffix = Uuid::new_v4().as_u128() as u32;
        Self(format!("{name}-{suffix:08x}").into())
    }

    /// Returns the id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the worker's name: the id without the random part at its end, so that access lists
    /// can name the worker in advance.
    pub fn name(&self) -> &str {
        match self.0.rsplit_once('-') {
            Some((name, _)) if !name.is_empty() => name,
            _ => &self.0,
        }
    }
}

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for WorkerId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for WorkerId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Self::new(&text).map_err(serde::de::Error::custom)
    }
}
