//! The frames that a coordinator takes from workers.

use std::fmt;
use std::str::FromStr;

/// The frames that a coordinator takes from workers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Frames {
    /// Those of `allow` while no key is enrolled when the coordinator starts, and those of `require`
    /// from the next start on.
    #[default]
    Auto,
    /// Sealed frames of workers that have joined.
    Require,
    /// Sealed frames, and plain ones of workers whose names never joined: for a migration.
    Allow,
    /// Plain frames of every worker that the broker admits. Nothing is sealed.
    Plain,
}

impl FromStr for Frames {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            // An environment variable that is set to nothing counts as not set.
            "" | "auto" => Ok(Self::Auto),
            "require" => Ok(Self::Require),
            "allow" => Ok(Self::Allow),
            "plain" => Ok(Self::Plain),
            _ => Err("must be auto, require, allow or plain".to_owned()),
        }
    }
}

impl fmt::Display for Frames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Require => "require",
            Self::Allow => "allow",
            Self::Plain => "plain",
        })
    }
}
