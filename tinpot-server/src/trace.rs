//! Log events of a program, printed to standard error.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Prints warnings, and Tinpot's own events from `info`, to standard error; `RUST_LOG` overrides
/// the choice.
pub fn init_tracing() {
    init_tracing_with("warn,tinpot=info");
}

/// Prints log events to standard error: those that `RUST_LOG` selects, or `default` where it is not
/// set.
///
/// # Panics
/// Panics if the process has a global subscriber already.
pub fn init_tracing_with(default: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
}
