//! Log events of a program, printed to standard error.

mod json;

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::JsonFields;

use self::json::JsonLines;
use crate::settings::LogFormat;

/// The events that are printed where nothing else is said.
const DEFAULT: &str = "warn,tinpot=info";

/// Prints warnings, and Tinpot's own events from `info`, to standard error; `RUST_LOG` overrides
/// the choice.
pub fn init_tracing() {
    init_tracing_with(DEFAULT);
}

/// Prints log events to standard error: those that `RUST_LOG` selects, or `default` where it is not
/// set.
///
/// # Panics
/// Panics if the process has a global subscriber already.
pub fn init_tracing_with(default: &str) {
    tracing_subscriber::fmt()
        .with_env_filter(filter(default))
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
}

/// Prints log events to standard error in this form: those that `RUST_LOG` selects, or `default`,
/// or those of [`init_tracing`].
///
/// # Panics
/// Panics if the process has a global subscriber already.
pub fn init_tracing_as(format: LogFormat, default: Option<&str>) {
    let default = default.unwrap_or(DEFAULT);
    match format {
        LogFormat::Text => init_tracing_with(default),
        LogFormat::Json => tracing_subscriber::fmt()
            .with_env_filter(filter(default))
            .with_writer(std::io::stderr)
            .fmt_fields(JsonFields::new())
            .event_format(JsonLines)
            .init(),
    }
}

fn filter(default: &str) -> EnvFilter {
    EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default))
}
