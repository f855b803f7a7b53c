//! Isolation: the processes in which attempts run.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use tinpot_core::{Error, ErrorKind};

/// The isolation of an attempt from earlier ones.
///
/// Its text is `reuse` or `fresh`.
///
/// ```
/// use tinpot_python::{Isolation, PythonPool};
///
/// let isolation: Isolation = "fresh".parse()?;
/// assert_eq!(isolation, Isolation::Fresh);
/// let pool = PythonPool::builder("actions").isolation(isolation);
/// # Ok::<_, tinpot_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Isolation {
    /// An interpreter that has run other attempts, in which the state of the process was put back.
    /// Globals of modules are as earlier attempts left them.
    #[default]
    Reuse,
    /// A process that no other attempt has used. It takes some milliseconds to make one; more if
    /// the imports start threads, because only a process without threads can be copied.
    Fresh,
}

/// The isolation of actions that declare one, by name.
pub(crate) type IsolationByAction = HashMap<String, Isolation>;

impl FromStr for Isolation {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "reuse" => Ok(Self::Reuse),
            "fresh" => Ok(Self::Fresh),
            _ => {
                let message = format!("must be reuse or fresh (got {text:?})");
                Err(Error::new(ErrorKind::InvalidInput, message))
            }
        }
    }
}

impl fmt::Display for Isolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reuse => "reuse",
            Self::Fresh => "fresh",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Isolation;

    #[test]
    fn isolation_is_read_as_it_is_written() {
        for isolation in [Isolation::Reuse, Isolation::Fresh] {
            assert_eq!(isolation.to_string().parse::<Isolation>().expect("one"), isolation);
        }
        let error = "new".parse::<Isolation>().expect_err("none").to_string();
        assert!(error.contains("\"new\"") && error.contains("reuse or fresh"), "{error}");
    }
}
