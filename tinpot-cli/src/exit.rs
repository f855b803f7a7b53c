//! Exit codes of the command for scripts, and its errors for people.

use std::fmt;
use std::process::ExitCode;

/// An exit code. Scripts rely on the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    /// The command did its work, and the execution it waited for succeeded.
    Success = 0,
    /// The execution failed, timed out or was lost; or this machine could not do the work.
    Failed = 1,
    /// The command line or the parameters are wrong.
    Usage = 2,
    /// The execution was cancelled.
    Cancelled = 3,
    /// The server requires authentication, or refuses the user.
    NotAuthorised = 4,
    /// The action, execution, worker or queue does not exist.
    NotFound = 5,
    /// The request contradicts an earlier one.
    Conflict = 6,
    /// The wait ended before the execution.
    StillRunning = 7,
    /// The server cannot be reached or cannot serve now.
    Unreachable = 8,
    /// Ctrl-C interrupted the command.
    Interrupted = 130,
}

/// Every code with its meaning, for the documentation.
pub(crate) const CODES: &[(Code, &str)] = &[
    (Code::Success, "success"),
    (
        Code::Failed,
        "the execution failed, timed out or was lost; `check` or `doctor` found a problem; \
         a worker does not conform; or a server could not start",
    ),
    (Code::Usage, "invalid usage: the command line, a settings file or a parameter is wrong"),
    (Code::Cancelled, "the execution was cancelled"),
    (Code::NotAuthorised, "not authorised"),
    (
        Code::NotFound,
        "not found: the action, execution, worker, queue, profile or file does not exist",
    ),
    (
        Code::Conflict,
        "conflict: the execution has ended, or the idempotency key was used with other parameters",
    ),
    (
        Code::StillRunning,
        "the wait ended (`--timeout`, or the reader of the output closed it); the execution continues",
    ),
    (Code::Unreachable, "the server cannot be reached or cannot serve now"),
    (Code::Interrupted, "interrupted by Ctrl-C; the execution continues"),
];

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        Self::from(code as u8)
    }
}

/// The reason why a command failed, with its exit code.
#[derive(Debug)]
pub(crate) struct CliError {
    pub(crate) code: Code,
    /// The message: the wrong value, its place and the remedy. Empty if the reason was printed
    /// already.
    pub(crate) message: String,
}

/// The result of a command.
pub(crate) type Done = Result<Code, CliError>;

impl CliError {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Code::Usage, message)
    }

    /// An exit code whose reason was printed already.
    pub(crate) fn quiet(code: Code) -> Self {
        Self::new(code, "")
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<tinpot_core::Error> for CliError {
    fn from(error: tinpot_core::Error) -> Self {
        Self::new(Code::Failed, tinpot_server::error_chain(&error))
    }
}

impl From<std::io::Error> for CliError {
    /// An error of standard output. A reader that closed the pipe is no error.
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            return Self::quiet(Code::Success);
        }
        Self::new(Code::Failed, format!("cannot write the output: {error}"))
    }
}
