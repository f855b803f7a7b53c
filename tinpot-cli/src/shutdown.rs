//! The end of a program: SIGTERM or Ctrl-C begins it, a second one cuts it short.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Tells its clones when the shutdown begins.
#[derive(Clone, Debug)]
pub struct Shutdown {
    begun: watch::Receiver<bool>,
}

impl Shutdown {
    /// Resolves when the shutdown begins.
    pub async fn begun(mut self) {
        let _ = self.begun.wait_for(|begun| *begun).await;
    }
}

/// Watches for SIGTERM and SIGINT. The first begins the shutdown; a second one ends the process at once, with 130.
///
/// # Errors
/// The signals cannot be watched.
pub fn shutdown() -> std::io::Result<Shutdown> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (sender, begun) = watch::channel(false);
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if sender.send_replace(true) {
                std::process::exit(130);
            }
            eprintln!("shutting down: running actions may finish; once more to stop at once");
        }
    });
    Ok(Shutdown { begun })
}
