//! A small process that outlives the worker by a moment, and kills what the worker can no longer kill.

use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use rustix::pipe::{PipeFlags, pipe_with};
use tokio::process::Child;
use tokio::sync::watch;
use tokio::time::Instant;

use super::process_tree::COOKIE;
use super::spawn_context::SpawnContext;
use crate::cgroup::PoolCgroup;
use crate::containment::{Containment, ContainmentMode};
use crate::error::PythonError;

/// How long it may take to end after the worker has let it go: longer than its own patience.
const PATIENCE: Duration = Duration::from_secs(10);
const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(60);

/// The guardian of a pool. Dropping this lets it kill what is left of the pool's interpreters, and end.
#[derive(Debug)]
pub(super) struct Guardian {
    closing: watch::Sender<bool>,
    /// Closed when the guardian has ended.
    ended: watch::Receiver<()>,
}

/// How guardians are started.
#[derive(Debug)]
struct Launch {
    spawn: Arc<SpawnContext>,
    cgroup: Option<PathBuf>,
}

/// A guardian that runs.
#[derive(Debug)]
struct Running {
    child: Child,
    /// Nobody else has this end of its standard input: it closes with the worker, however that dies.
    tie: OwnedFd,
}

/// Makes the cgroup of a pool if that is wanted and possible, and starts the guardian.
pub(super) fn contain(
    spawn: &Arc<SpawnContext>,
    mode: ContainmentMode,
) -> Result<(Guardian, Option<Arc<PoolCgroup>>, Containment), PythonError> {
    let or_not = |cgroup: Result<PoolCgroup, String>| match cgroup {
        Err(reason) if mode == ContainmentMode::Cgroup => Err(PythonError::NoCgroups { reason }),
        other => Ok(other),
    };
    let cgroup = or_not(match mode {
        ContainmentMode::ProcessGroup => Err("process groups were asked for".to_owned()),
        ContainmentMode::Auto | ContainmentMode::Cgroup => {
            PoolCgroup::create(&spawn.package.name(), |path| spawn.package.note_cgroup(path))
        }
    })?;
    let path = cgroup.as_ref().ok().map(|cgroup| cgroup.path().to_owned());
    let (guardian, pid) = Guardian::start(spawn.clone(), path)
        .map_err(PythonError::io("the guardian of the interpreters cannot be started"))?;
    match or_not(cgroup.and_then(|cgroup| cgroup.prove(pid).map(|()| cgroup)))? {
        Ok(cgroup) => {
            let path = cgroup.path().to_owned();
            Ok((guardian, Some(Arc::new(cgroup)), Containment::Cgroup { path }))
        }
        Err(reason) => Ok((guardian, None, Containment::ProcessGroup { reason })),
    }
}

impl Guardian {
    /// Starts the guardian of interpreters that are, or will be, in a cgroup below `cgroup`, if there is one; returns its process id, too.
    fn start(spawn: Arc<SpawnContext>, cgroup: Option<PathBuf>) -> io::Result<(Self, u32)> {
        let launch = Launch { spawn, cgroup };
        let first = launch.start()?;
        let pid = first.child.id().unwrap_or_default();
        let (closing, asked) = watch::channel(false);
        let (end, ended) = watch::channel(());
        tokio::spawn(async move {
            keep(&launch, first, asked).await;
            drop(end);
        });
        Ok((Self { closing, ended }, pid))
    }

    /// Lets it kill what is left, and waits for its end.
    pub(super) async fn close(&self) {
        self.closing.send_replace(true);
        let mut ended = self.ended.clone();
        while ended.changed().await.is_ok() {}
    }
}

impl Drop for Guardian {
    fn drop(&mut self) {
        // Not an abort: the program must be there until it has been read, and the process be reaped.
        self.closing.send_replace(true);
    }
}

impl Launch {
    fn start(&self) -> io::Result<Running> {
        let (reader, tie) = pipe_with(PipeFlags::CLOEXEC)?;
        // Without the installed packages it starts faster, and runs nothing that is not its own.
        let mut command = self.spawn.command(&["-S"], "tinpot/_guardian.py");
        let child = command
            .arg(format!("{COOKIE}={}", self.spawn.mark))
            .arg(self.cgroup.as_deref().unwrap_or("".as_ref()))
            .stdin(reader)
            // Descriptor 1 is one that a child can be given without unsafe code.
            .stdout(self.spawn.lifeline.hold()?)
            .stderr(Stdio::inherit())
            // What a terminal sends to the worker is not for it.
            .process_group(0)
            .spawn()?;
        Ok(Running { child, tie })
    }
}

/// Starts another guardian whenever one is killed, until it is asked to close.
async fn keep(launch: &Launch, mut running: Running, mut closing: watch::Receiver<bool>) {
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
                tracing::warn!("the guardian ended early ({status}); another follows")
            }
            Some(Err(error)) => tracing::warn!(%error, "the guardian cannot be watched"),
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
                    tracing::warn!(%error, "no guardian can be started")
                }
            }
        };
    }
}

/// Lets a guardian do its work and end.
async fn release(running: Running) {
    let Running { mut child, tie } = running;
    drop(tie);
    if tokio::time::timeout(PATIENCE, child.wait()).await.is_err() {
        tracing::warn!("the guardian did not end in time, and is killed");
        let _ = child.kill().await;
    }
}
