//! A pool of connections that read.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::Semaphore;

use crate::connection;
use crate::error::{Problem, Result};

/// Concurrent reads. Reading is mostly computing, so more reads than the cores of a small machine
/// gain nothing.
const READERS: usize = 4;
/// The longest wait of a read for a connection. Only a flood of reads or a stalled disk reaches it.
const PATIENCE: Duration = Duration::from_secs(30);

/// Connections and their permits. Reads run on tokio's blocking threads, one for each connection.
#[derive(Debug)]
pub(crate) struct Readers {
    path: PathBuf,
    permits: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<Connection>>>,
}

impl Readers {
    /// Opens the connections. Blocks the thread.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let idle: Vec<_> = (0..READERS).map(|_| connection::reader(path)).collect::<Result<_>>()?;
        Ok(Self {
            path: path.to_owned(),
            permits: Arc::new(Semaphore::new(READERS)),
            idle: Arc::new(Mutex::new(idle)),
        })
    }

    /// Runs `read` on a connection.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let closed = || Problem::Closed { path: self.path.clone() };
        let permit = tokio::time::timeout(PATIENCE, self.permits.clone().acquire_owned());
        let permit = permit.await.map_err(|_| Problem::Busy { seconds: PATIENCE.as_secs() })?;
        let permit = permit.map_err(|_| closed())?;
        let idle = self.idle.clone();
        let task = tokio::task::spawn_blocking(move || {
            let lock = || idle.lock().unwrap_or_else(PoisonError::into_inner);
            let connection = lock().pop()?;
            let result = read(&connection);
            lock().push(connection);
            drop(permit);
            Some(result)
        });
        // A read that panicked has lost its connection.
        task.await.ok().flatten().unwrap_or_else(|| Err(closed()))
    }

    /// Waits for running reads, and closes the connections.
    pub(crate) async fn close(&self) {
        let all = self.permits.acquire_many(READERS as u32).await;
        self.permits.close();
        drop(all);
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
