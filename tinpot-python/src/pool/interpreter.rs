//! One child interpreter.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use tinpot_contain::{OutputPipes, ProcessTree};
use tokio::net::UnixDatagram;
use tokio::sync::watch;
use tokio::time::Instant;

use super::control::Control;
use super::sources::Sources;
use super::spawn_context::has_no_directory;
use crate::limits::{Limits, LimitsByAction};
use crate::recycling::Recycling;

/// A running interpreter that has imported the actions.
#[derive(Debug)]
pub(super) struct Interpreter {
    pub(super) processes: Arc<ProcessTree>,
    pub(super) control: Control,
    pub(super) outputs: OutputPipes,
    /// The exit status, once the process has ended.
    pub(super) exit: watch::Receiver<Option<ExitStatus>>,
    /// The mark of its markup lines.
    pub(super) mark: String,
    pub(super) generation: u64,
    /// True if it did not start in the worker's working directory, which was gone.
    pub(super) elsewhere: bool,
    pub(super) limits: (LimitsByAction, Limits),
    /// The time in which it has to begin an attempt.
    pub(super) start_timeout: Duration,
    /// False if its template left files to it, and it has not imported them yet.
    pub(super) has_late: bool,
    /// True if copies of it would share something, so that it runs only one fresh attempt.
    pub(super) alone: bool,
    /// The number of attempts that have run in its process, and not in a copy.
    pub(super) attempts: u64,
    /// The end of the last attempt.
    pub(super) idle_since: Instant,
    pub(super) recycling: Recycling,
    /// The connection to make it a template, unless it cannot be one.
    pub(super) template: Option<UnixDatagram>,
    /// Kept alive: an action may import more files at any time.
    pub(super) _sources: Option<Arc<Sources>>,
}

impl Interpreter {
    /// Returns the limits of an attempt at the action.
    pub(super) fn limits_of(&self, action: &str) -> Limits {
        let (own, default) = &self.limits;
        own.get(action).map_or(*default, |limits| limits.or(*default))
    }

    /// Returns false if its working directory is gone, and another one would start elsewhere.
    pub(super) fn has_directory(&self) -> bool {
        self.elsewhere || !has_no_directory()
    }

    /// Returns true if another interpreter has to run the next attempt.
    pub(super) fn is_due(&self) -> bool {
        self.recycling.is_due(self.attempts, |limit| self.processes.has_private_memory(limit))
    }

    /// Returns the exit status if the process has ended.
    pub(super) fn exit_status(&self) -> Option<ExitStatus> {
        *self.exit.borrow()
    }

    /// Kills the interpreter and all its processes, and waits for their end.
    pub(super) async fn kill(&mut self) {
        kill(&self.processes, &mut self.exit).await;
    }
}

/// Kills an interpreter and all its processes, and waits for their end.
pub(super) async fn kill(
    processes: &Arc<ProcessTree>,
    exit: &mut watch::Receiver<Option<ExitStatus>>,
) {
    let guard = KillGuard { processes: Some(processes.clone()), gone: exit.borrow().is_some() };
    // If the runtime ends first, the guard is dropped, which kills as well.
    let _ = tokio::task::spawn_blocking(move || guard.kill()).await;
    exited(exit).await;
}

impl Drop for Interpreter {
    /// Kills all processes of the interpreter, which is not needed any more or whose future was
    /// dropped.
    fn drop(&mut self) {
        let gone = self.exit_status().is_some();
        if gone && self.processes.is_killed() {
            return;
        }
        if !gone {
            self.processes.stop();
        }
        let guard = KillGuard { processes: Some(self.processes.clone()), gone };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(move || guard.kill())),
            Err(_) => guard.kill(),
        }
    }
}

/// A process tree to kill: completely by `kill`, or at once by dropping this, without a search.
#[derive(Debug)]
struct KillGuard {
    processes: Option<Arc<ProcessTree>>,
    gone: bool,
}

impl KillGuard {
    fn kill(mut self) {
        if let Some(processes) = self.processes.take() {
            processes.kill_all(self.gone);
        }
    }
}

impl Drop for KillGuard {
    fn drop(&mut self) {
        if let Some(processes) = self.processes.take() {
            processes.kill_now();
        }
    }
}

/// Waits for the end of the process and returns its exit status.
pub(super) async fn exited(exit: &mut watch::Receiver<Option<ExitStatus>>) -> ExitStatus {
    loop {
        if let Some(status) = *exit.borrow_and_update() {
            return status;
        }
        if exit.changed().await.is_err() {
            // The task that watched the process ended with the runtime.
            std::future::pending::<()>().await;
        }
    }
}

/// Describes the end of a process, in words that follow "the interpreter".
pub(super) fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with exit code {code}"),
        (None, Some(signal)) => {
            format!("was killed by signal {signal} ({}){}", signal_name(signal), cause(signal))
        }
        (None, None) => format!("ended: {status}"),
    }
}

/// Returns the usual cause of a signal, in words that follow its name; empty if there is none.
fn cause(signal: i32) -> &'static str {
    use rustix::process::Signal;
    let known = [
        (Signal::KILL, ", for example because memory ran out"),
        (Signal::ALARM, ", for which the action had set a timer (`signal.alarm` or `setitimer`)"),
        (Signal::VTALARM, ", for which the action had set a timer (`signal.setitimer`)"),
        (Signal::PROF, ", for which the action had set a timer (`signal.setitimer`)"),
        (Signal::XCPU, ": it used more processor time than RLIMIT_CPU allows"),
        (Signal::XFSZ, ": it wrote a larger file than RLIMIT_FSIZE allows"),
        (Signal::PIPE, ": it wrote to a pipe or socket that has no reader any more"),
        (Signal::ABORT, ": C code found an error that it cannot handle"),
        (Signal::SEGV, ": C code used memory that is not its own"),
        (Signal::BUS, ": C code used memory that is not there"),
    ];
    known.iter().find(|(known, _)| known.as_raw() == signal).map_or("", |(_, cause)| cause)
}

fn signal_name(signal: i32) -> &'static str {
    use rustix::process::Signal;
    let known = [
        (Signal::HUP, "SIGHUP"),
        (Signal::INT, "SIGINT"),
        (Signal::QUIT, "SIGQUIT"),
        (Signal::ILL, "SIGILL"),
        (Signal::TRAP, "SIGTRAP"),
        (Signal::ABORT, "SIGABRT"),
        (Signal::BUS, "SIGBUS"),
        (Signal::FPE, "SIGFPE"),
        (Signal::KILL, "SIGKILL"),
        (Signal::USR1, "SIGUSR1"),
        (Signal::SEGV, "SIGSEGV"),
        (Signal::USR2, "SIGUSR2"),
        (Signal::PIPE, "SIGPIPE"),
        (Signal::ALARM, "SIGALRM"),
        (Signal::VTALARM, "SIGVTALRM"),
        (Signal::PROF, "SIGPROF"),
        (Signal::TERM, "SIGTERM"),
        (Signal::XCPU, "SIGXCPU"),
        (Signal::XFSZ, "SIGXFSZ"),
        (Signal::SYS, "SIGSYS"),
    ];
    known.iter().find(|(known, _)| known.as_raw() == signal).map_or("unknown", |(_, name)| name)
}
