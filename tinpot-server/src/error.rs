//! Errors of a program, as text and as an exit code.

use std::error::Error as StdError;
use std::process::ExitCode;

/// Returns the error and everything that caused it, in one line.
pub fn error_chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// Returns the exit code of a program: 0, or 1 after printing the error and everything that caused
/// it.
pub fn exit<E: Into<Box<dyn StdError + Send + Sync>>>(result: Result<(), E>) -> ExitCode {
    let Err(error) = result else { return ExitCode::SUCCESS };
    eprintln!("error: {}", error_chain(&*error.into()));
    ExitCode::FAILURE
}
