//! The authentication of callers.

use std::fmt;
use std::str::FromStr;

/// The means by which the API knows its callers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Auth {
    /// None: every client that reaches the port may do everything.
    #[default]
    None,
    /// The users and API tokens in the file of the store.
    Users,
}

impl FromStr for Auth {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            // An environment variable that is set to nothing counts as not set.
            "" | "none" => Ok(Self::None),
            "users" => Ok(Self::Users),
            _ => Err("must be users or none".to_owned()),
        }
    }
}

impl fmt::Display for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Users => "users",
        })
    }
}
