//! The log of a program.

use std::fmt;
use std::str::FromStr;

/// The form of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object for each event, with `time`, `level`, `msg` and its fields.
    Json,
}

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            // An environment variable that is set to nothing counts as not set.
            "" | "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err("must be text or json".to_owned()),
        }
    }
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Json => "json",
        })
    }
}

/// The log of a program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "clap", derive(clap::Args))]
#[non_exhaustive]
pub struct LogSettings {
    /// The form of log lines on standard error: `text` for people, `json` for programs.
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            env = "TINPOT_LOG_FORMAT",
            value_name = "FORMAT",
            default_value_t = LogFormat::Text
        )
    )]
    pub log_format: LogFormat,
}
