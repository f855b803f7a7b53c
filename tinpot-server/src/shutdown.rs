//! Shutdown on SIGTERM or Ctrl-C: the first signal begins it, a second one ends the process at
//! once.

use tinpot_core::{Error, ErrorKind, Result};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// The exit code of a process that a second signal ended.
const INTERRUPTED: i32 = 130;

/// A handle that resolves when the shutdown begins; clones resolve together.
///
/// ```
/// use tinpot_server::Shutdown;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // `tinpot_server::shutdown` gives one that begins with SIGTERM or Ctrl-C.
/// let (trigger, shutdown) = Shutdown::manual();
/// let server = tokio::spawn(async move {
///     shutdown.begun().await;
///     "closed"
/// });
/// assert!(!trigger.begin());
/// assert_eq!(server.await?, "closed");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Shutdown {
    begun: watch::Receiver<bool>,
}

/// The other end of a [`Shutdown`]: begins it.
///
/// [`Shutdown`] has an example.
#[derive(Clone, Debug)]
pub struct ShutdownTrigger {
    begun: watch::Sender<bool>,
}

impl ShutdownTrigger {
    /// Begins the shutdown, and returns true if it had begun before.
    pub fn begin(&self) -> bool {
        self.begun.send_replace(true)
    }
}

impl Shutdown {
    /// Returns a shutdown that only its trigger begins, for programs that do not want signals
    /// watched.
    pub fn manual() -> (ShutdownTrigger, Self) {
        let (sender, begun) = watch::channel(false);
        (ShutdownTrigger { begun: sender }, Self { begun })
    }

    /// Resolves when the shutdown begins, or when its trigger was dropped.
    pub async fn begun(mut self) {
        let _ = self.begun.wait_for(|begun| *begun).await;
    }
}

/// Watches for SIGTERM and SIGINT. The first signal begins the shutdown; the second ends the
/// process at once, with status 130.
///
/// # Errors
/// [`ErrorKind::Other`] if the signals cannot be watched.
pub fn shutdown() -> Result<Shutdown> {
    let watch = |kind| {
        signal(kind)
            .map_err(|e| Error::new(ErrorKind::Other, "cannot watch signals").with_source(e))
    };
    let mut terminate = watch(SignalKind::terminate())?;
    let mut interrupt = watch(SignalKind::interrupt())?;
    let (trigger, shutdown) = Shutdown::manual();
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if trigger.begin() {
                std::process::exit(INTERRUPTED);
            }
            eprintln!("shutting down: waiting for running actions; a second signal stops at once");
        }
    });
    Ok(shutdown)
}
