//! How the command ends: one number per kind of end, for scripts, and words for people.

use std::fmt;
use std::process::ExitCode;

/// Why the command ends as it does. The numbers are part of what scripts rely on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    /// What was asked for was done, and the execution that was waited for succeeded.
    Success = 0,
    /// The execution failed, timed out or was lost; or this machine could not do it.
    Failed = 1,
    /// The command line or the parameters are wrong.
    Usage = 2,
    /// The execution was cancelled.
    Cancelled = 3,
    /// The server wants to know who asks, or says no.
    NotAuthorised = 4,
    /// There is no such action, execution, worker or queue.
    NotFound = 5,
    /// It contradicts what was done before.
    Conflict = 6,
    /// The wait is over, the execution is not.
    StillRunning = 7,
    /// The server cannot be reached, or cannot serve now.
    Unreachable = 8,
    /// Ctrl-C.
    Interrupted = 130,
}

/// Every code with its meaning, in the words of the documentation.
pub(crate) const CODES: &[(Code, &str)] = &[
    (Code::Success, "success"),
    (
        Code::Failed,
        "the execution failed, timed out or was lost; or `check` or `doctor` found something; or a server could not start",
    ),
    (Code::Usage, "usage or parameters: the command line, a file of settings or a value is wrong"),
    (Code::Cancelled, "the execution was cancelled"),
    (Code::NotAuthorised, "not authorised"),
    (Code::NotFound, "not found: no such action, execution, worker, queue, profile or file"),
    (
        Code::Conflict,
        "conflict: it has ended already, or the idempotency key was used for something else",
    ),
    (
        Code::StillRunning,
        "the wait is over (`--timeout`, or whoever read the output has gone), the execution still runs",
    ),
    (Code::Unreachable, "the server cannot be reached, or says that it cannot serve now"),
    (Code::Interrupted, "interrupted by Ctrl-C; an execution goes on"),
];

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        // All of them fit.
        Self::from(code as u8)
    }
}

/// Why a command was not done.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: Code,
    /// What is wrong, where, and what would be right. Empty when all was said already.
    pub(crate) message: String,
}

/// How a command went.
pub(crate) type Done = Result<Code, Failure>;

impl Failure {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Code::Usage, message)
    }

    /// Nothing more is to be said.
    pub(crate) fn quiet(code: Code) -> Self {
        Self::new(code, "")
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<tinpot_core::Error> for Failure {
    fn from(error: tinpot_core::Error) -> Self {
        Self::new(Code::Failed, tinpot_server::error_chain(&error))
    }
}

impl From<std::io::Error> for Failure {
    /// Of writing to standard output: whoever read it has gone, which is nobody's fault.
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            return Self::quiet(Code::Success);
        }
        Self::new(Code::Failed, format!("the output cannot be written: {error}"))
    }
}
