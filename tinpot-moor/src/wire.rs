//! The bytes of messages: tables with slots, and unions with tags. No I/O.

pub(crate) mod enrolment;
pub(crate) mod message;
pub(crate) mod reader;
pub(crate) mod slots;
pub(crate) mod var;
pub(crate) mod writer;

use std::fmt;
use std::str::FromStr;

/// The two forms of the worker protocol. All workers of a pair of sockets use the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Dialect {
    /// Three frames from the worker, the first of which is its token: October 2025.
    #[default]
    Token,
    /// Two frames and no token: since then.
    Plain,
}

impl Dialect {
    /// Returns the number of frames that a worker sends.
    pub fn frames(self) -> usize {
        match self {
            Self::Token => 3,
            Self::Plain => 2,
        }
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Token => "token",
            Self::Plain => "plain",
        })
    }
}

impl FromStr for Dialect {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "token" => Ok(Self::Token),
            "plain" => Ok(Self::Plain),
            _ => Err("must be token (three frames) or plain (two frames)".to_owned()),
        }
    }
}
