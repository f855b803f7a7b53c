//! The guardian: a small process that outlives the worker and kills the worker's remaining
//! processes.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use rustix::pipe::{PipeFlags, pipe_with};
use tinpot_contain::{COOKIE, Containment, ContainmentMode, PoolCgroup};
use tokio::process::Child;
use tokio::sync::watch;
use tokio::time::Instant;

use super::spawn_context::SpawnContext;
use crate::error::PythonError;

/// The time for the guardian to end after its release: longer than its own patience.
const PATIENCE: Duration = Duration::from_secs(10);
const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(60);

/// The guardian of a pool. When this is dropped, the guardian kills the pool's remaining processes
/// and ends.
#[derive(Debug)]
pub(super) struct Guardian {
    closing: watch::Sender<bool>,
    /// Closed once the guardian has ended.
    ended: watch::Receiver<()>,
}

/// The way in which guardians are started.
#[derive(Debug)]
struct Launch {
    spawn: Arc<SpawnContext>,
    cgroup: Option<PathBuf>,
}

/// A running guardian.
#[derive(Debug)]
struct Running {
    child: Child,
    /// The only writing end of its standard input. It closes with the worker, however the worker
    /// ends.
    tie: OwnedFd,
}

/// Creates the cgroup of a pool if that is wanted and possible, below that of another pool if there is
/// one, and starts the guardian.
pub(super) fn contain(
    spawn: &Arc<SpawnContext>,
    mode: ContainmentMode,
    below: Option<&Path>,
) -> Result<(Guardian, Option<Arc<PoolCgroup>>, Containment), PythonError> {
    let unless_required = |cgroup: Result<PoolCgroup, String>| match cgroup {
        Err(reason) if mode == ContainmentMode::Cgroup => Err(PythonError::NoCgroups { reason }),
        other => Ok(other),
    };
    let cgroup = unless_required(match (mode, below) {
        (ContainmentMode::ProcessGroup, _) => {
            Err("the configuration selects process groups".to_owned())
        }
        (_, Some(parent)) => PoolCgroup::create_below(parent, &spawn.package.name()),
        (_, None) => {
            PoolCgroup::create(&spawn.package.name(), |path| spawn.package.note_cgroup(path))
        }
    })?;
    let path = cgroup.as_ref().ok().map(|cgroup| cgroup.path().to_owned());
    let (guardian, pid) = Guardian::start(spawn.clone(), path)
        .map_err(PythonError::io("cannot start the guardian of the interpreters"))?;
    match unless_required(cgroup.and_then(|cgroup| cgroup.prove(pid).map(|()| cgroup)))? {
        Ok(cgroup) => {
            let path = cgroup.path().to_owned();
            Ok((guardian, Some(Arc::new(cgroup)), Containment::Cgroup { path }))
        }
        Err(reason) => Ok((guardian, None, Containment::ProcessGroup { reason })),
    }
}

impl Guardian {
    /// Starts the guardian of interpreters in cgroups below `cgroup`, if there is one; returns its
    /// process id, too.
    fn start(spawn: Arc<SpawnContext>, cgroup: Option<PathBuf>) -> io::Result<(Self, u32)> {
        let launch = Launch { spawn, cgroup };
        let first = launch.start()?;
        let pid = first.child.id().unwrap_or_default();
        let (closing, is_closing) = watch::channel(false);
        let (end, ended) = watch::channel(());
        tokio::spawn(async move {
            maintain(&launch, first, is_closing).await;
            drop(end);
        });
        Ok((Self { closing, ended }, pid))
    }

    /// Makes the guardian kill the remaining processes, and waits for its end.
    pub(super) async fn close(&self) {
        self.closing.send_replace(true);
        let mut ended = self.ended.clone();
        while ended.changed().await.is_ok() {}
    }
}

impl Drop for Guardian {
    fn drop(&mut self) {
        // Not an abort: the package must exist until the guardian has read its program, and the
        // process has to be reaped.
        self.closing.send_replace(true);
    }
}

impl Launch {
    fn start(&self) -> io::Result<Running> {
        let (reader, tie) = pipe_with(PipeFlags::CLOEXEC)?;
        // Without the site packages it starts faster, and runs code of its own only.
        let mut command = self.spawn.command(&["-S"], "tinpot/_guardian.py");
        let child = command
            .arg(format!("{COOKIE}={}", self.spawn.mark))
            .arg(self.cgroup.as_deref().unwrap_or("".as_ref()))
            .stdin(reader)
            // Descriptor 1, because passing it to a child needs no unsafe code.
            .stdout(self.spawn.lifeline.writer()?)
            .stderr(Stdio::inherit())
            // Signals of a terminal to the worker must not reach it.
            .process_group(0)
            .spawn()?;
        Ok(Running { child, tie })
    }
}

/// Replaces the guardian whenever it ends early, until it is asked to close.
async fn maintain(launch: &Launch, mut running: Running, mut closing: watch::Receiver<bool>) {
    let mut pause = BACKOFF_MIN;
    loop {
        let begun = Instant::now();
        let ended = tokio::select! {
            status = running.child.wait() => Some(status),
            _ = closing.wait_for(|closing| *closing) => None,
        };
        match ended {
            None => return release(running).await,
            Some(Ok(status)) => {
                tracing::warn!("the guardian ended early ({status}) and is replaced")
            }
            Some(Err(error)) => tracing::warn!(%error, "cannot wait for the guardian"),
        }
        if begun.elapsed() > BACKOFF_MAX {
            pause = BACKOFF_MIN;
        }
        running = loop {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = closing.wait_for(|closing| *closing) => return,
            }
            pause = (pause * 2).min(BACKOFF_MAX);
            match launch.start() {
                Ok(running) => break running,
                Err(error) => {
                    tracing::warn!(%error, "cannot start a guardian")
                }
            }
        };
    }
}

/// Releases a guardian and waits for its end.
async fn release(running: Running) {
    let Running { mut child, tie } = running;
    drop(tie);
    if tokio::time::timeout(PATIENCE, child.wait()).await.is_err() {
        tracing::warn!("the guardian did not end in time and is killed");
        let _ = child.kill().await;
    }
}
