//! The start of interpreters: as a process of its own, or as a copy of a template.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::future::BoxFuture;
use rustix::process::Pid;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tinpot_contain::{COOKIE, Cgroup, OutputPipes, PoolCgroup, ProcessTree};
use tokio::process::Command;
use tokio::sync::watch;
use tokio::time::Instant;

use super::control::{Control, InterpreterEnds};
use super::hazards::{Hazards, LateFiles};
use super::interpreter::{Interpreter, describe, exited};
use super::output::Tail;
use super::sources::{Share, Sources};
use super::spawn_context::{SpawnContext, has_no_directory};
use super::template::{self, Template};
use crate::child_text::{self, json_path};
use crate::discovered::Discovered;
use crate::error::PythonError;
use crate::isolation::Isolation;
use crate::limits::{Limits, LimitsByAction};
use crate::markup_lines;
use crate::recycling::Recycling;

/// The way in which the interpreters of one generation are started: all of them import the same
/// files.
#[derive(Clone, Debug)]
pub(super) struct Launch {
    pub(super) spawn: Arc<SpawnContext>,
    /// The parent of the interpreters' cgroups, if they have any.
    pub(super) cgroup: Option<Arc<PoolCgroup>>,
    pub(super) root: PathBuf,
    /// The generation. Interpreters of an older one get no new attempts.
    pub(super) generation: u64,
    /// If true, the interpreter runs many attempts at once.
    pub(super) shared: bool,
    /// If true, the interpreter may become a template.
    pub(super) copies: bool,
    /// If true, each fresh attempt gets an interpreter, because copies would share something.
    pub(super) alone: bool,
    /// The files that a template leaves to its copies.
    pub(super) late: Arc<LateFiles>,
    /// The copies to import; `None` to import the files on disk.
    pub(super) sources: Option<Arc<Sources>>,
    /// The files that the pool offers, of those in the directory.
    pub(super) share: Share,
    /// The files that other pools offer, if there are no copies to tell.
    pub(super) others: Vec<String>,
    /// The files to skip: each of them killed or hung an interpreter, or is not in the share.
    pub(super) skip: Vec<String>,
    /// The one file to import, if not all.
    pub(super) only: Option<String>,
    /// Further names of the directory, as the package that it is in imports.
    pub(super) names: Vec<String>,
    /// The file of each action at the last discovery. Another file cannot take an action over.
    pub(super) owners: Arc<BTreeMap<String, String>>,
    pub(super) start_timeout: Duration,
    pub(super) result_limit_bytes: usize,
    /// The limits of attempts whose actions have none of their own.
    pub(super) limits: Limits,
    /// The isolation of attempts whose actions declare none.
    pub(super) isolation: Isolation,
    pub(super) recycling: Recycling,
}

/// The future that waits for the end of a process.
pub(super) type End = BoxFuture<'static, Option<ExitStatus>>;

/// The maximum size of a message of a starting interpreter.
const MAX_MESSAGE_BYTES: usize = 64 * 1024 * 1024;

/// The settings of an interpreter, the first line that it gets.
#[derive(Serialize)]
struct Settings<'a> {
    root: Box<RawValue>,
    skip: &'a [String],
    only: Option<&'a str>,
    names: &'a [String],
    owners: &'a BTreeMap<String, String>,
    start_seconds: f64,
    late: Vec<&'a str>,
    result_limit_bytes: usize,
    shared: bool,
    mark: &'a str,
    tmp: Box<RawValue>,
    sources: Option<BTreeMap<&'a str, Option<&'a str>>>,
    store: Box<RawValue>,
    limits: Limits,
    memory_by_cgroup: bool,
    /// The secrets of actions from the worker's environment, by variable.
    secrets: BTreeMap<String, Box<RawValue>>,
}

/// A message of a starting interpreter.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Message {
    /// The files that are being imported: the first one by discovery, each other one by the one
    /// before it.
    Importing(Vec<String>),
    /// The things that keep the interpreter from being copied.
    Hazards(Hazards),
    Ready(Discovered),
    /// A signal asked the interpreter to end before.
    Refused(IgnoredAny),
}

/// The first message of a copy.
#[derive(Deserialize)]
struct Greeting {
    #[serde(rename = "copied")]
    _is_copied: bool,
}

impl Launch {
    /// Starts an interpreter and waits until it has imported the actions. `reap` gets the process,
    /// and reports its end.
    pub(super) async fn start(
        &self,
        reap: impl FnOnce(End, watch::Sender<Option<ExitStatus>>),
    ) -> Result<(Interpreter, Discovered), PythonError> {
        self.spawn.heal().await?;
        let mut interpreter =
            self.spawn(reap).map_err(PythonError::io("cannot start an interpreter"))?;
        let settings = Settings {
            root: json_path(&self.root),
            skip: &self.skip,
            only: self.only.as_deref(),
            names: &self.names,
            owners: &self.owners,
            start_seconds: self.start_timeout.as_secs_f64(),
            late: self.late_files(),
            result_limit_bytes: self.result_limit_bytes,
            shared: self.shared,
            mark: &interpreter.mark,
            tmp: json_path(self.spawn.package.path()),
            sources: self.sources.as_deref().map(copies),
            store: json_path(&self.spawn.store()),
            limits: self.limits,
            memory_by_cgroup: interpreter.processes.limits_memory(),
            secrets: secrets(),
        };
        // Cannot fail: it writes texts and numbers to memory.
        let mut settings = serde_json::to_vec(&settings).unwrap_or_default();
        settings.push(b'\n');
        interpreter.control.limit_lines(MAX_MESSAGE_BYTES);
        let found = self.until_ready(&mut interpreter, &settings).await?;
        if !found.hazards.is_empty() {
            (interpreter.template, interpreter.alone) = (None, true);
        }
        interpreter.limits.0 = found.limits();
        interpreter.control.limit_lines(usize::MAX);
        Ok((interpreter, found))
    }

    /// Makes an interpreter import the files that were left, between two attempts. The result has all
    /// actions if `describe` says so.
    pub(super) async fn import_late(
        &self,
        interpreter: &mut Interpreter,
        describe: bool,
    ) -> Result<Discovered, PythonError> {
        let request = interpreter.control.request(&format!("{{\"import_late\":{describe}}}\n"));
        interpreter.control.limit_lines(MAX_MESSAGE_BYTES);
        let found = self.until_ready(interpreter, &request).await?;
        interpreter.control.limit_lines(usize::MAX);
        interpreter.has_late = true;
        Ok(found)
    }

    /// Sends a request to import files, and waits for the result. Kills the interpreter if there is
    /// none.
    async fn until_ready(
        &self,
        interpreter: &mut Interpreter,
        request: &[u8],
    ) -> Result<Discovered, PythonError> {
        let (mut tail, mut importing) = (Tail::of_start(), Vec::new());
        let mut hazards = Hazards::default();
        let mut exit = interpreter.exit.clone();
        let Interpreter { control, outputs, .. } = &mut *interpreter;
        type Handshake = Result<Discovered, Option<serde_json::Error>>;
        let handshake = async {
            control.send(request).await?;
            loop {
                let line = tokio::time::timeout(self.start_timeout, control.own_line()).await;
                let message = match line {
                    Err(_) => return io::Result::<Handshake>::Ok(Err(None)),
                    Ok(line) => match line? {
                        None => std::future::pending().await,
                        Some(line) => child_text::read(line),
                    },
                };
                control.consume();
                match message {
                    Ok(Message::Importing(files)) => importing = files,
                    Ok(Message::Hazards(found)) => hazards = found,
                    Ok(Message::Ready(found)) => return Ok(Ok(found)),
                    Ok(Message::Refused(_)) => return Err(io::ErrorKind::Interrupted.into()),
                    Err(source) => return Ok(Err(Some(source))),
                }
            }
        };
        let ended = tokio::select! {
            // What it has sent before it ended comes first, because that names the file.
            biased;
            found = handshake => Ok(found),
            never = tail.watch(outputs) => match never {},
            status = exited(&mut exit) => Err(status),
        };
        tail.take(outputs.last_parts());
        match ended {
            Ok(Ok(Ok(mut found))) => {
                found.hazards = hazards;
                Ok(found)
            }
            Ok(Ok(Err(Some(source)))) if importing.is_empty() => {
                Err(PythonError::Malformed { source })
            }
            Ok(Ok(Err(Some(source)))) => {
                interpreter.kill().await;
                let how = format!("sent a message that cannot be read ({source})");
                Err(PythonError::Died { how, output: tail.text(), importing })
            }
            Ok(Ok(Err(None))) => {
                interpreter.kill().await;
                let after = self.start_timeout;
                Err(PythonError::Silent { after, output: tail.text(), importing })
            }
            // The connection is unusable, and the exit status explains more.
            Ok(Err(error)) => {
                interpreter.kill().await;
                let how = match error.kind() {
                    io::ErrorKind::InvalidData => error.to_string(),
                    io::ErrorKind::Interrupted => "was asked to end".to_owned(),
                    _ => "closed its connection".to_owned(),
                };
                Err(PythonError::Died { how, output: tail.text(), importing })
            }
            Err(status) => {
                Err(PythonError::Died { how: describe(status), output: tail.text(), importing })
            }
        }
    }

    fn spawn(
        &self,
        reap: impl FnOnce(End, watch::Sender<Option<ExitStatus>>),
    ) -> io::Result<Interpreter> {
        let (parts, theirs) = self.parts()?;
        let (template, socket) = match self.copies {
            true => template::connection().map(|(ours, theirs)| (Some(ours), Some(theirs)))?,
            false => (None, None),
        };
        let mut command = self.spawn.command(&[], "tinpot_child.py");
        command
            .arg(theirs.ends.requests.as_raw_fd().to_string())
            .arg(theirs.ends.replies.as_raw_fd().to_string())
            .arg(theirs.lifeline.as_raw_fd().to_string())
            .arg(socket.as_ref().map_or(-1, |socket| socket.as_raw_fd()).to_string())
            .env(COOKIE, &parts.cookie)
            .stdin(Stdio::null())
            .stdout(theirs.stdout)
            .stderr(theirs.stderr)
            .kill_on_drop(true);
        let InterpreterEnds { requests, replies } = theirs.ends;
        let inherited = [Some(requests), Some(replies), Some(theirs.lifeline), socket];
        enter(&mut command, inherited.into_iter().flatten().collect(), theirs.procs);
        let elsewhere = has_no_directory();
        if elsewhere {
            command.current_dir(if self.root.is_dir() { &*self.root } else { Path::new("/") });
        }
        let mut child = command.spawn().map_err(|e| {
            io::Error::new(e.kind(), format!("{}: {e}", self.spawn.python().display()))
        })?;
        let pid = child.id().and_then(|pid| Pid::from_raw(pid as i32));
        let pid = pid.ok_or_else(|| io::Error::other("the process has no id"))?;
        let (report, exit) = watch::channel(None);
        reap(Box::pin(async move { child.wait().await.ok() }), report);
        let mut interpreter = self.interpreter(parts, pid, exit);
        (interpreter.template, interpreter.elsewhere) = (template, elsewhere);
        interpreter.has_late = self.late_files().is_empty();
        Ok(interpreter)
    }

    /// Makes a copy of the template, which has started in the same way as this would.
    pub(super) async fn copy(
        &self,
        template: &Arc<Template>,
        reap: impl FnOnce(End, watch::Sender<Option<ExitStatus>>),
    ) -> Result<Interpreter, PythonError> {
        self.spawn.restore().await;
        let copied = self.copied(template, reap).await;
        copied.map_err(PythonError::io("cannot copy an interpreter"))
    }

    async fn copied(
        &self,
        template: &Arc<Template>,
        reap: impl FnOnce(End, watch::Sender<Option<ExitStatus>>),
    ) -> io::Result<Interpreter> {
        let (parts, theirs) = self.parts()?;
        let Theirs { ends, lifeline, stdout, stderr, procs } = &theirs;
        let fds = [&ends.requests, &ends.replies, lifeline, stdout, stderr].map(AsFd::as_fd);
        let fds: Vec<_> = fds.into_iter().chain(procs.as_ref().map(AsFd::as_fd)).collect();
        let request = template::Request {
            old_cookie: template.process.processes.cookie(),
            cookie: &parts.cookie,
            mark: &parts.mark,
            memory_by_cgroup: parts.cgroup.as_ref().is_some_and(Cgroup::has_memory),
        };
        let copy = template.copy(&request, &fds, self.start_timeout).await?;
        drop(theirs);
        let pid = copy.pid;
        let (report, exit) = watch::channel(None);
        let ended = copy.end(template.clone());
        reap(Box::pin(async move { Some(ended.await) }), report);
        let mut interpreter = self.interpreter(parts, pid, exit);
        let process = &template.process;
        interpreter.elsewhere = process.elsewhere;
        interpreter.limits.0.clone_from(&process.limits.0);
        interpreter.limits.0.extend(self.late.limits.clone());
        interpreter.has_late = self.late.is_empty();
        let control = &mut interpreter.control;
        let ready = async { Ok(control.line().await?.map(child_text::read::<Greeting>)) };
        let ready: io::Result<_> = match tokio::time::timeout(self.start_timeout, ready).await {
            Ok(ready) => ready,
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        };
        match ready {
            Ok(Some(Ok(_))) => {
                control.consume();
                template.has_worked();
                Ok(interpreter)
            }
            Ok(Some(Err(error))) => Err(io::Error::other(error)),
            Ok(None) => {
                interpreter.kill().await;
                let mut tail = Tail::of_start();
                tail.take(interpreter.outputs.last_parts());
                let how = interpreter.exit_status().map_or_else(String::new, describe);
                Err(io::Error::other(format!("the copy {how}: {}", tail.text())))
            }
            Err(error) => Err(error),
        }
    }

    /// Returns the files that an interpreter that starts now leaves to its copies.
    fn late_files(&self) -> Vec<&str> {
        if self.copies { self.late.files.keys().map(|file| &**file).collect() } else { Vec::new() }
    }

    /// Returns what connects an interpreter to the pool: our ends and its own.
    fn parts(&self) -> io::Result<(Parts, Theirs)> {
        let (control, ends) = Control::pipes()?;
        let lifeline = self.spawn.lifeline.tie()?;
        // Not the cookie: processes of an attempt can read that, and could forge markup lines.
        let mark = uuid::Uuid::new_v4().simple().to_string();
        let (outputs, stdout, stderr) = OutputPipes::open(Some(&markup_lines::prefix(&mark)))?;
        let cgroup = self.cgroup.as_ref().map(PoolCgroup::add).transpose()?;
        let procs = cgroup.as_ref().map(Cgroup::procs).transpose()?;
        let number = self.spawn.count.fetch_add(1, Ordering::Relaxed);
        // Of one length: a copy writes its own over that of the template.
        let cookie = format!("{}{number:012}", self.spawn.mark);
        let theirs = Theirs { ends, lifeline, stdout, stderr, procs };
        Ok((Parts { control, outputs, mark, cookie, cgroup }, theirs))
    }

    fn interpreter(
        &self,
        Parts { control, outputs, mark, cookie, cgroup }: Parts,
        pid: Pid,
        exit: watch::Receiver<Option<ExitStatus>>,
    ) -> Interpreter {
        Interpreter {
            processes: Arc::new(ProcessTree::new(pid, cookie, cgroup)),
            control,
            outputs,
            exit,
            generation: self.generation,
            elsewhere: false,
            mark,
            limits: (LimitsByAction::new(), self.limits),
            start_timeout: self.start_timeout,
            has_late: true,
            alone: self.alone,
            attempts: 0,
            idle_since: Instant::now(),
            recycling: self.recycling,
            template: None,
            _sources: self.sources.clone(),
        }
    }
}

/// Our ends of the connections to an interpreter, and its marks.
struct Parts {
    control: Control,
    outputs: OutputPipes,
    mark: String,
    cookie: String,
    cgroup: Option<Cgroup>,
}

/// The interpreter's ends.
struct Theirs {
    ends: InterpreterEnds,
    lifeline: OwnedFd,
    stdout: OwnedFd,
    stderr: OwnedFd,
    procs: Option<File>,
}

/// Returns the secrets of actions that the worker was started with. They are not in the environment of
/// interpreters: other processes of the user can read that.
fn secrets() -> BTreeMap<String, Box<RawValue>> {
    let all = tinpot_contain::secret_variables().into_iter();
    all.map(|(name, value)| (name.to_string_lossy().into_owned(), json_path(Path::new(&value))))
        .collect()
}

/// Returns the names of the copies, by file.
fn copies(sources: &Sources) -> BTreeMap<&str, Option<&str>> {
    sources.iter().map(|(file, source)| (&**file, source.name())).collect()
}

/// Makes the interpreter move to its cgroup, inherit descriptors, lead a session of its own, and
/// adopt orphaned descendants.
#[allow(unsafe_code, reason = "there is no safe way to run code between fork and exec")]
fn enter(command: &mut Command, inherited: Vec<OwnedFd>, procs: Option<File>) {
    let between_fork_and_exec = move || {
        if let Some(procs) = &procs {
            rustix::io::write(procs, b"0")?;
        }
        for fd in &inherited {
            rustix::io::fcntl_setfd(fd, rustix::io::FdFlags::empty())?;
        }
        rustix::process::setsid()?;
        #[cfg(target_os = "linux")]
        rustix::process::set_child_subreaper(Some(Pid::INIT))?;
        Ok(())
    };
    // SAFETY: the closure makes system calls only. It neither allocates nor takes a lock, which
    // must not happen between fork and exec in a process with threads.
    unsafe {
        command.pre_exec(between_fork_and_exec);
    }
}
