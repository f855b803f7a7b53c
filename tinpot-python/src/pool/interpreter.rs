//! One child interpreter.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustix::process::Pid;
use serde::Deserialize;
use tokio::process::{Child, Command};
use tokio::sync::watch;

use super::control::Control;
use super::output::{Outputs, Tail};
use super::process_tree::{self, ProcessTree};
use super::sources::Sources;
use super::spawn_context::SpawnContext;
use crate::cgroup::{Cgroup, PoolCgroup};
use crate::discovered::Discovered;
use crate::error::PythonError;
use crate::limits::{Limits, LimitsByAction};

/// How the interpreters of one generation are started: all of them import the same.
#[derive(Clone, Debug)]
pub(super) struct Launch {
    pub(super) spawn: Arc<SpawnContext>,
    /// Where the interpreters have their cgroups, if they have any.
    pub(super) cgroup: Option<Arc<PoolCgroup>>,
    pub(super) root: PathBuf,
    /// Interpreters of another generation are not used for new attempts.
    pub(super) generation: u64,
    /// It runs many attempts at once.
    pub(super) shared: bool,
    /// What they import; without it, what is on the disk when they start.
    pub(super) sources: Option<Arc<Sources>>,
    /// Files that are not imported: an interpreter has died of each, or hung.
    pub(super) skip: Vec<String>,
    pub(super) start_timeout: Duration,
    pub(super) result_limit_bytes: usize,
    /// Of attempts at actions that say nothing else.
    pub(super) limits: Limits,
}

/// A running interpreter that has imported the actions.
#[derive(Debug)]
pub(super) struct Interpreter {
    pub(super) processes: Arc<ProcessTree>,
    pub(super) control: Control,
    pub(super) outputs: Outputs,
    /// How it ended, once it has.
    pub(super) exit: watch::Receiver<Option<ExitStatus>>,
    /// What its marked lines begin with.
    mark: String,
    pub(super) generation: u64,
    limits: (LimitsByAction, Limits),
    /// Kept for it: an action may import more at any time.
    _sources: Option<Arc<Sources>>,
}

/// What an interpreter says while it starts.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Message {
    /// The files that are being imported: the first one for its own sake, each further one for the one before.
    Importing(Vec<String>),
    Ready(Discovered),
}

impl Launch {
    /// Starts an interpreter and waits until it has imported the actions. `reap` is given the process, and reports its end.
    pub(super) async fn start(
        &self,
        reap: impl FnOnce(Child, watch::Sender<Option<ExitStatus>>),
    ) -> Result<(Interpreter, Discovered), PythonError> {
        let mut interpreter =
            self.spawn(reap).map_err(PythonError::io("an interpreter cannot be started"))?;
        let settings = serde_json::json!({
            "root": self.root, "skip": self.skip, "result_limit_bytes": self.result_limit_bytes,
            "shared": self.shared, "mark": interpreter.mark, "tmp": self.spawn.package.path(),
            "sources": self.sources.as_deref().map(names), "store": self.spawn.store(),
            "limits": self.limits, "memory_by_cgroup": interpreter.processes.limits_memory(),
        });
        let (mut tail, mut importing) = (Tail::default(), Vec::new());
        let mut exit = interpreter.exit.clone();
        let Interpreter { control, outputs, .. } = &mut interpreter;
        type Said = Result<Discovered, Option<serde_json::Error>>;
        let handshake = async {
            control.send(format!("{settings}\n").as_bytes()).await?;
            loop {
                let line = tokio::time::timeout(self.start_timeout, control.line()).await;
                let message = match line {
                    Err(_) => return io::Result::<Said>::Ok(Err(None)),
                    Ok(line) => match line? {
                        None => std::future::pending().await,
                        Some(line) => serde_json::from_slice(line),
                    },
                };
                control.consume();
                match message {
                    Ok(Message::Importing(files)) => importing = files,
                    Ok(Message::Ready(found)) => return Ok(Ok(found)),
                    Err(source) => return Ok(Err(Some(source))),
                }
            }
        };
        let ended = tokio::select! {
            found = handshake => Ok(found),
            () = outputs.watch(&mut tail) => return Err(PythonError::Closed),
            status = exited(&mut exit) => Err(status),
        };
        outputs.drain(&mut tail);
        match ended {
            Ok(Ok(Ok(found))) => {
                interpreter.limits.0 = found.limits();
                Ok((interpreter, found))
            }
            Ok(Ok(Err(Some(source)))) => Err(PythonError::Malformed { source }),
            Ok(Ok(Err(None))) => {
                interpreter.kill().await;
                let after = self.start_timeout;
                Err(PythonError::Silent { after, said: tail.text(), importing })
            }
            // Whatever went wrong with its socket: it is not usable, and its exit status says most.
            Ok(Err(_)) => {
                interpreter.kill().await;
                let how = "closed its connection".to_owned();
                Err(PythonError::Died { how, said: tail.text(), importing })
            }
            Err(status) => {
                Err(PythonError::Died { how: describe(status), said: tail.text(), importing })
            }
        }
    }

    fn spawn(
        &self,
        reap: impl FnOnce(Child, watch::Sender<Option<ExitStatus>>),
    ) -> io::Result<Interpreter> {
        let (control, their_control) = Control::pair()?;
        let their_lifeline = self.spawn.lifeline.tie()?;
        // Not the cookie, which what an attempt starts can read.
        let mark = uuid::Uuid::new_v4().simple().to_string();
        let (outputs, stdout, stderr) = Outputs::pipes(&mark)?;
        let cgroup = self.cgroup.as_ref().map(PoolCgroup::add).transpose()?;
        let procs = cgroup.as_ref().map(Cgroup::procs).transpose()?;
        let number = self.spawn.count.fetch_add(1, Ordering::Relaxed);
        let cookie = format!("{}{number}", self.spawn.mark);
        let mut command = self.spawn.command(&[], "tinpot_child.py");
        command
            .arg(their_control.as_raw_fd().to_string())
            .arg(their_lifeline.as_raw_fd().to_string())
            .env(process_tree::COOKIE, &cookie)
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(stderr)
            .kill_on_drop(true);
        enter(&mut command, their_control, their_lifeline, procs);
        let child = command.spawn()?;
        let pid = child.id().and_then(|pid| Pid::from_raw(pid as i32));
        let pid = pid.ok_or_else(|| io::Error::other("the process has no id"))?;
        let (report, exit) = watch::channel(None);
        reap(child, report);
        let processes = Arc::new(ProcessTree::new(pid, cookie, cgroup));
        let (generation, _sources) = (self.generation, self.sources.clone());
        let limits = (LimitsByAction::new(), self.limits);
        Ok(Interpreter { processes, control, outputs, exit, generation, mark, limits, _sources })
    }
}

/// The names of the copies by file.
fn names(sources: &Sources) -> BTreeMap<&str, Option<&str>> {
    sources.iter().map(|(file, source)| (&**file, source.name())).collect()
}

/// Lets the interpreter move to its cgroup, inherit two descriptors, lead a session of its own, and adopt what its descendants leave behind.
#[allow(unsafe_code, reason = "there is no safe way to run code between fork and exec")]
fn enter(command: &mut Command, control: OwnedFd, lifeline: OwnedFd, procs: Option<File>) {
    let between_fork_and_exec = move || {
        if let Some(procs) = &procs {
            rustix::io::write(procs, b"0")?;
        }
        for fd in [&control, &lifeline] {
            rustix::io::fcntl_setfd(fd, rustix::io::FdFlags::empty())?;
        }
        rustix::process::setsid()?;
        #[cfg(target_os = "linux")]
        rustix::process::set_child_subreaper(Some(Pid::INIT))?;
        Ok(())
    };
    // SAFETY: the closure makes system calls only: it neither allocates nor takes a lock, which is what has to be avoided after a fork
    // of a process with threads.
    unsafe {
        command.pre_exec(between_fork_and_exec);
    }
}

impl Interpreter {
    /// The limits of an attempt at that action.
    pub(super) fn limits_of(&self, action: &str) -> Limits {
        let (own, default) = &self.limits;
        own.get(action).map_or(*default, |limits| limits.or(*default))
    }

    /// How it ended, if it has.
    pub(super) fn exit_status(&self) -> Option<ExitStatus> {
        *self.exit.borrow()
    }

    /// Kills it and all that it started, and waits until nothing of that is left.
    async fn kill(&mut self) {
        kill(&self.processes, &mut self.exit).await;
    }
}

/// Kills an interpreter and all that it started, and waits until nothing of that is left.
pub(super) async fn kill(
    processes: &Arc<ProcessTree>,
    exit: &mut watch::Receiver<Option<ExitStatus>>,
) {
    let guard = KillGuard { processes: Some(processes.clone()), gone: exit.borrow().is_some() };
    // When the runtime ends, the value is dropped instead, which kills as well.
    let _ = tokio::task::spawn_blocking(move || guard.end()).await;
    exited(exit).await;
}

impl Drop for Interpreter {
    /// The interpreter is not needed any more, or somebody dropped the future that used it: nothing of it may live on.
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
            Ok(runtime) => drop(runtime.spawn_blocking(move || guard.end())),
            Err(_) => guard.end(),
        }
    }
}

/// A processes that is to be killed: if there is no time to look for all of it, then what can be killed at once.
#[derive(Debug)]
struct KillGuard {
    processes: Option<Arc<ProcessTree>>,
    gone: bool,
}

impl KillGuard {
    fn end(mut self) {
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

/// Waits for the end of the process.
pub(super) async fn exited(exit: &mut watch::Receiver<Option<ExitStatus>>) -> ExitStatus {
    loop {
        if let Some(status) = *exit.borrow_and_update() {
            return status;
        }
        if exit.changed().await.is_err() {
            // Whoever watched the process is gone, and with it the runtime.
            std::future::pending::<()>().await;
        }
    }
}

/// How a process ended, in words that follow "the interpreter".
pub(super) fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with exit code {code}"),
        (None, Some(signal)) => {
            let hint = if signal == 9 { ", as when memory runs out" } else { "" };
            format!("was killed by signal {signal} ({}){hint}", signal_name(signal))
        }
        (None, None) => format!("ended: {status}"),
    }
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
        (Signal::TERM, "SIGTERM"),
        (Signal::XCPU, "SIGXCPU"),
        (Signal::XFSZ, "SIGXFSZ"),
        (Signal::SYS, "SIGSYS"),
    ];
    known.iter().find(|(known, _)| known.as_raw() == signal).map_or("unknown", |(_, name)| name)
}
