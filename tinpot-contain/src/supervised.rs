//! Programs below a supervisor, from the side of the worker.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::process::Pid;
use tinpot_core::{Error, ErrorKind, Result};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::time::{Instant, timeout};

use crate::cgroup::{Cgroup, PoolCgroup};
use crate::containment::{Containment, ContainmentMode};
use crate::process_tree::{COOKIE, ProcessTree};
use crate::supervisor::{self, DROP, KILL, Orders, Places, Report, TERMINATE, VARIABLE};
use crate::surroundings::Surroundings;

/// The time for a supervisor to kill all processes, which may be stuck in the kernel.
const PATIENCE: Duration = Duration::from_secs(10);
/// The time for the first supervisor to answer.
const PROBE_PATIENCE: Duration = Duration::from_secs(30);
/// The longest report.
const REPORT_BYTES: usize = 64 * 1024;

/// Starts programs below supervisors.
#[derive(Debug)]
pub struct Supervision {
    program: PathBuf,
    surroundings: Surroundings,
    cgroup: Option<Arc<PoolCgroup>>,
    containment: Containment,
    /// The first characters of the cookies, which are unique.
    mark: String,
    count: AtomicU64,
}

/// A program to start.
#[derive(Debug)]
#[non_exhaustive]
pub struct Launch {
    /// The program and its arguments.
    pub command: Vec<OsString>,
    /// Its whole environment.
    pub environment: Vec<(OsString, OsString)>,
    /// Its working directory.
    pub directory: PathBuf,
    /// The folder to remove if the worker is killed.
    pub scratch: Option<PathBuf>,
    /// The limit of memory: of all processes where cgroups can limit it, else of each.
    pub memory_bytes: Option<u64>,
    /// The limit of processor time of each process, in seconds.
    pub cpu_seconds: Option<u64>,
    /// The file of its standard output.
    pub stdout: OwnedFd,
    /// The file of its standard error.
    pub stderr: OwnedFd,
}

impl Launch {
    /// Returns the launch of a program without limits, with an empty environment.
    pub fn new(
        command: Vec<OsString>,
        directory: impl Into<PathBuf>,
        stdout: OwnedFd,
        stderr: OwnedFd,
    ) -> Self {
        Self {
            command,
            environment: Vec::new(),
            directory: directory.into(),
            scratch: None,
            memory_bytes: None,
            cpu_seconds: None,
            stdout,
            stderr,
        }
    }
}

/// A program that runs below a supervisor. Dropping this kills all its processes.
#[derive(Debug)]
pub struct Supervised {
    child: Child,
    link: UnixStream,
    received: Vec<u8>,
    tree: Arc<ProcessTree>,
    /// The time after which the supervisor itself is killed.
    give_up: Option<Instant>,
}

/// The end of a program and all its descendants.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ended {
    /// The program could not be started, for this reason.
    NotStarted(String),
    /// The program exited.
    Exited {
        /// The exit code.
        code: i32,
        /// The processor time of all its processes.
        cpu: Duration,
    },
    /// A signal killed the program.
    Killed {
        /// The signal.
        signal: i32,
        /// The processor time of all its processes.
        cpu: Duration,
    },
    /// The supervisor was killed, or did not answer. What could be found is dead.
    Lost,
}

impl Supervision {
    /// Prepares to start programs, and tries it once. `program` acts as a supervisor by
    /// [`supervise_if_asked`](crate::supervise_if_asked); the default is the running program.
    /// `parent` is the cgroup of another pool, below which the programs run, if there is one.
    ///
    /// # Errors
    /// `Unavailable` if the program does not act as a supervisor; `InvalidInput` if `mode` needs
    /// cgroups that cannot be used.
    pub async fn start(
        program: Option<PathBuf>,
        mode: ContainmentMode,
        parent: Option<&Path>,
        surroundings: Surroundings,
    ) -> Result<Self> {
        if supervisor::is_supervised() {
            let message = "this program was started as a supervisor of processes, but went on as \
                           itself: call tinpot_contain::supervise_if_asked() first in main";
            return Err(Error::new(ErrorKind::Unavailable, message));
        }
        let mark = format!("{}-", uuid::Uuid::new_v4().simple());
        let cgroup = match mode {
            ContainmentMode::ProcessGroup => {
                Err("the configuration selects process groups".to_owned())
            }
            ContainmentMode::Auto | ContainmentMode::Cgroup => {
                let name = format!("tinpot-process-{}", &mark[..8]);
                match parent {
                    Some(parent) => PoolCgroup::create_below(parent, &name),
                    None => PoolCgroup::create(&name, |_| Ok(())),
                }
            }
        };
        let mut this = Self {
            program: program.unwrap_or_else(this_program),
            surroundings,
            cgroup: None,
            containment: Containment::ProcessGroup { reason: String::new() },
            mark,
            count: AtomicU64::new(0),
        };
        this.probe().await.map_err(|message| Error::new(ErrorKind::Unavailable, message))?;
        let reason = match cgroup {
            Ok(cgroup) => {
                let path = cgroup.path().to_owned();
                this.cgroup = Some(Arc::new(cgroup));
                match this.probe().await {
                    Ok(()) => {
                        this.containment = Containment::Cgroup { path };
                        return Ok(this);
                    }
                    Err(reason) => {
                        this.cgroup = None;
                        reason
                    }
                }
            }
            Err(reason) => reason,
        };
        if mode == ContainmentMode::Cgroup {
            let message = format!("cannot use cgroups: {reason}");
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        this.containment = Containment::ProcessGroup { reason };
        Ok(this)
    }

    /// Returns the containment of the programs.
    pub fn containment(&self) -> &Containment {
        &self.containment
    }

    /// Runs a program that does nothing.
    async fn probe(&self) -> std::result::Result<(), String> {
        let command = ["/bin/sh", "-c", ":"].map(OsString::from).to_vec();
        let null = || std::fs::File::options().write(true).open("/dev/null").map(OwnedFd::from);
        let cannot = |error: io::Error| format!("cannot start a supervisor: {error}");
        let launch = Launch::new(command, "/", null().map_err(cannot)?, null().map_err(cannot)?);
        let mut probe = self.spawn(launch).map_err(cannot)?;
        let program = self.program.display();
        match timeout(PROBE_PATIENCE, probe.started()).await {
            Ok(Ok(())) => {}
            Ok(Err(Some(message))) => return Err(message),
            Ok(Err(None)) | Err(_) => {
                return Err(format!(
                    "{program} does not act as a supervisor: call \
                     tinpot_contain::supervise_if_asked() first in its main"
                ));
            }
        }
        match timeout(PROBE_PATIENCE, probe.ended()).await {
            Ok(Ended::Exited { code: 0, .. }) => Ok(()),
            Ok(other) => Err(format!("a supervisor does not work: {other:?}")),
            Err(_) => Err("a supervisor does not end".to_owned()),
        }
    }

    /// Starts a program.
    ///
    /// # Errors
    /// Fails if the supervisor cannot be started: the environment may be too large.
    pub fn spawn(&self, launch: Launch) -> io::Result<Supervised> {
        let (link, theirs) = std::os::unix::net::UnixStream::pair()?;
        link.set_nonblocking(true)?;
        let link = UnixStream::from_std(link)?;
        let cgroup = self.cgroup.as_ref().map(PoolCgroup::add).transpose()?;
        let limits_memory = cgroup.as_ref().is_some_and(Cgroup::has_memory);
        if let (true, Some(cgroup), Some(bytes)) = (limits_memory, &cgroup, launch.memory_bytes) {
            cgroup.limit_memory(Some(bytes))?;
        }
        let orders = Orders {
            umask: self.surroundings.umask,
            open_files: self.surroundings.open_files,
            no_new_privileges: self.surroundings.no_new_privileges,
            address_space: launch.memory_bytes.filter(|_| !limits_memory),
            cpu_seconds: launch.cpu_seconds,
        };
        let places = Places {
            cgroup: cgroup.as_ref().map(|cgroup| cgroup.path().to_owned()),
            own_cgroup: self.cgroup.as_ref().map(|cgroup| cgroup.own_path().to_owned()),
            scratch: launch.scratch,
        };
        let cookie = format!("{}{}", self.mark, self.count.fetch_add(1, Ordering::Relaxed));
        let mut command = Command::new(&self.program);
        command
            .arg0("tinpot")
            .args(supervisor::arguments(&orders, &places))
            .args(&launch.command)
            .env_clear()
            .envs(launch.environment)
            .env(COOKIE, &cookie)
            .env(VARIABLE, "1")
            .current_dir(&launch.directory)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(launch.stdout)
            .stderr(launch.stderr);
        let child = command.spawn()?;
        let pid = child.id().and_then(|pid| Pid::from_raw(pid as i32));
        let pid = pid.ok_or_else(|| io::Error::other("the supervisor has no process id"))?;
        let tree = Arc::new(ProcessTree::new(pid, cookie, cgroup));
        Ok(Supervised { child, link, received: Vec::new(), tree, give_up: None })
    }
}

/// Returns the path of the running program, which may have been replaced on the disk.
fn this_program() -> PathBuf {
    let link = Path::new("/proc/self/exe");
    if link.exists() { link.to_owned() } else { std::env::current_exe().unwrap_or_default() }
}

impl Supervised {
    /// Waits for the start of the program.
    ///
    /// # Errors
    /// The reason why it was not started; `None` if the supervisor is gone.
    pub async fn started(&mut self) -> std::result::Result<(), Option<String>> {
        match self.report().await {
            Some(Report::Started(_)) => Ok(()),
            Some(Report::Failed(message)) => Err(Some(message)),
            Some(Report::Ended { .. }) | None => Err(None),
        }
    }

    /// Returns the processes of the program; the process at the root is the supervisor.
    pub fn tree(&self) -> &Arc<ProcessTree> {
        &self.tree
    }

    /// Asks the process group of the program to end.
    pub fn terminate(&self) {
        self.ask(TERMINATE);
    }

    /// Begins to kill all processes of the program. [`ended`](Self::ended) waits for their end.
    pub fn kill(&mut self) {
        self.give_up.get_or_insert_with(|| Instant::now() + PATIENCE);
        self.ask(KILL);
    }

    fn ask(&self, request: u8) {
        // Fails if the supervisor is gone, which `ended` notices.
        let _ = self.link.try_write(&[request]);
    }

    /// Waits until the program and all its descendants are dead. Cancel safe.
    pub async fn ended(&mut self) -> Ended {
        let give_up = self.give_up;
        let gives_up = async {
            match give_up {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        let report = tokio::select! {
            biased;
            report = async {
                loop {
                    match self.report().await {
                        Some(Report::Started(_)) => {}
                        other => break other,
                    }
                }
            } => report,
            () = gives_up => None,
        };
        let (code, signal, cpu_ms) = match report {
            Some(Report::Ended { code, signal, cpu_ms }) => (code, signal, cpu_ms),
            Some(Report::Failed(message)) => {
                let _ = timeout(PATIENCE, self.child.wait()).await;
                return Ended::NotStarted(message);
            }
            Some(Report::Started(_)) | None => return self.kill_lost().await,
        };
        let _ = timeout(PATIENCE, self.child.wait()).await;
        let cpu = Duration::from_millis(cpu_ms);
        match (code, signal) {
            (Some(code), _) => Ended::Exited { code, cpu },
            (None, Some(signal)) => Ended::Killed { signal, cpu },
            (None, None) => Ended::Lost,
        }
    }

    /// Kills what is left of a program whose supervisor is gone or does not answer.
    async fn kill_lost(&mut self) -> Ended {
        let tree = self.tree.clone();
        // Waits for the end of the supervisor at most as long as the kill: it is killed by it.
        let gone = matches!(self.child.try_wait(), Ok(Some(_)));
        let _ = tokio::task::spawn_blocking(move || tree.kill_all(gone)).await;
        let _ = self.child.start_kill();
        let _ = timeout(PATIENCE, self.child.wait()).await;
        Ended::Lost
    }

    /// Returns the next report; `None` if the supervisor is gone. Cancel safe.
    async fn report(&mut self) -> Option<Report> {
        loop {
            if let Some(end) = self.received.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.received.drain(..=end).collect();
                return serde_json::from_slice(&line).ok();
            }
            if self.received.len() > REPORT_BYTES || self.link.readable().await.is_err() {
                return None;
            }
            let mut buffer = [0; 1024];
            match self.link.try_read(&mut buffer) {
                Ok(0) => return None,
                Ok(read) => self.received.extend_from_slice(&buffer[..read]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return None,
            }
        }
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        // The end of the link would mean the end of the worker.
        self.ask(DROP);
    }
}
