//! The loop of the writer thread.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior};
use tinpot_core::store::Opened;
use tinpot_core::{Epoch, Error, ErrorKind};

use super::checkpoint::Checkpointer;
use super::records::Records;
use super::retention::Sweeper;
use super::{Request, Work, logs, opening, rewrite, search_index};
use crate::config::Config;
use crate::connection;
use crate::damage::{self, Damage};
use crate::error::{Problem, Result};
use crate::location::{self, sibling};
use crate::lock::Lock;
use crate::readers::Readers;

/// The most requests of one transaction: all that can wait.
const GROUP: usize = super::REQUESTS;
/// The pause in requests after which maintenance runs. Callers that wait for each answer before the
/// next request are not held up.
const QUIET: Duration = Duration::from_millis(100);
/// The same pause while a long history is indexed, which takes steps of some ten milliseconds.
const BREATH: Duration = Duration::from_millis(10);
/// The interval at which a full store is tried.
const PROBE: Duration = Duration::from_secs(1);
/// The size up to which a database is checked before it is served, which takes about a second.
const CHECKED_BYTES: u64 = 256 << 20;
/// The interval at which ages are checked without requests.
const TICK: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct WriterLoop {
    checkpointer: Checkpointer,
    /// Declared before the lock, so that the database is closed when the lock is released.
    connection: Connection,
    records: Records,
    sweeper: Sweeper,
    path: PathBuf,
    damage: Arc<Damage>,
    epoch: Epoch,
    lock: Lock,
}

impl WriterLoop {
    /// Locks, opens and checks the database, and starts the next epoch.
    pub(super) fn open(config: &Config) -> Result<(Self, Readers, Opened)> {
        let path = location::resolve(&config.path)?;
        let lock = Lock::take(&path)?;
        location::check_magic(&path)?;
        Self::open_locked(config, &path, lock).map_err(|problem| located(problem, &path))
    }

    fn open_locked(
        config: &Config,
        path: &Path,
        mut lock: Lock,
    ) -> Result<(Self, Readers, Opened)> {
        let damage = config.damage.clone();
        damage.begin();
        // Before SQLite makes one.
        let had_log = fs::metadata(sibling(path, "-wal")).is_ok_and(|log| log.len() > 0);
        let size = fs::metadata(path).map_or(0, |database| database.len());
        let mut is_doubtful = lock.is_emptied();
        let mut connection = connection::writer(path, config.max_bytes, |connection| {
            if size <= CHECKED_BYTES {
                damage::refuse(connection, path)?;
            }
            is_doubtful |= opening::check_loss(connection, path, lock.last(), had_log)?;
            Ok(())
        })
        .map_err(|problem| damage::explained(problem, path))?;
        if size > CHECKED_BYTES {
            damage::check_in_background(path, &damage);
        }
        if let Some(rewrite) = &config.rewrite {
            rewrite::run(&mut connection, rewrite, &damage)?;
        }
        let epoch = opening::begin(&mut connection, path, lock.last(), is_doubtful)?;
        lock.note(epoch)?;
        let (records, opened) = opening::load(&connection, epoch, &damage)?;
        let readers = Readers::open(path)?;
        let has_unindexed = search_index::has_backlog(&connection)?;
        let sweeper = Sweeper::new(config.retention.clone(), has_unindexed);
        let checkpointer = Checkpointer::start(&mut connection, path)?;
        let path = path.to_owned();
        Ok((
            Self { checkpointer, connection, records, sweeper, path, damage, epoch, lock },
            readers,
            opened,
        ))
    }

    /// Serves requests until one of them closes the store, or until the handle is dropped.
    pub(super) fn run(mut self, inbox: &Receiver<Request>) {
        loop {
            let next = inbox.try_recv().map_err(drop).or_else(|()| {
                let wait = match self.sweeper.has_work(&self.records) {
                    _ if self.damage.is_full() => PROBE,
                    true if self.sweeper.is_catching_up() => BREATH,
                    true => QUIET,
                    false => TICK,
                };
                inbox.recv_timeout(wait)
            });
            let first = match next {
                Ok(first) => first,
                Err(RecvTimeoutError::Timeout) => {
                    if self.damage.is_full() {
                        self.probe();
                    }
                    self.tidy_up();
                    continue;
                }
                // Dropped without a close: leaves the files as a crash does.
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let mut group = vec![first];
            while group.len() < GROUP
                && !matches!(group[group.len() - 1].work, Work::Close)
                && let Ok(next) = inbox.try_recv()
            {
                group.push(next);
            }
            let close = group.pop_if(|last| matches!(last.work, Work::Close));
            self.serve(group);
            if let Some(close) = close {
                let result = self.close();
                let _ = close.answer.send(result);
                return;
            }
        }
    }

    /// Moves the write-ahead log to the database and closes it. Everything is written already.
    fn close(self) -> Result<()> {
        let Self { checkpointer, connection, mut lock, path, epoch, .. } = self;
        drop(checkpointer);
        // Before the log goes away. A failure only makes the next opening ask for it.
        if let Err(problem) = lock.note_close(epoch) {
            tracing::warn!(error = %Error::from(problem), "the close of the store is not recorded");
        }
        let checkpoint = "PRAGMA wal_checkpoint(TRUNCATE)";
        let result = connection
            .query_row(checkpoint, [], |_| Ok(()))
            .and_then(|()| connection::keep_wal_on_close(&connection, false));
        let closed = connection.close().map_err(|(_, error)| error);
        drop(lock);
        result.map(drop).and(closed).map_err(|error| located(error.into(), &path))
    }

    /// Writes a group of requests as one transaction, and answers them.
    fn serve(&mut self, group: Vec<Request>) {
        match self.transaction(&group) {
            Ok(answers) => {
                self.damage.full(false);
                for (request, answer) in group.into_iter().zip(answers) {
                    // The caller may have been dropped.
                    let _ = request.answer.send(answer);
                }
                self.checkpointer.after_commit(&self.connection);
            }
            Err(problem) => match <[Request; 1]>::try_from(group) {
                Ok([request]) => {
                    let is_full = problem.kind() == ErrorKind::StorageFull;
                    if is_full {
                        self.damage.full(true);
                    }
                    let _ = request.answer.send(Err(located(problem, &self.path)));
                    // Removing old executions makes room for the next try.
                    if is_full && self.sweeper.has_work(&self.records) {
                        self.tidy_up();
                    }
                }
                // One request may be at fault, and must not fail the others.
                Err(group) => group.into_iter().for_each(|request| self.serve(vec![request])),
            },
        }
    }

    /// Returns the answers once the group is on the disk. After an error, nothing of the group is.
    fn transaction(&mut self, group: &[Request]) -> Result<Vec<Result<()>>> {
        let written = self.write(group);
        match &written {
            Ok(_) => self.records.commit(),
            Err(_) => self.records.rollback(),
        }
        written
    }

    fn write(&mut self, group: &[Request]) -> Result<Vec<Result<()>>> {
        let records = &mut self.records;
        let change = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut answers = Vec::with_capacity(group.len());
        for request in group {
            let result = match &request.work {
                Work::Commit { batch, at } => {
                    self.sweeper.notice(*at);
                    records.apply(&change, batch, *at)
                }
                Work::Append(lines) => logs::append(records, &change, lines),
                Work::Close => Ok(()),
            };
            match result {
                Ok(()) => answers.push(Ok(())),
                Err(Problem::Refused(error)) => answers.push(Err(Problem::Refused(error))),
                Err(problem) => return Err(problem),
            }
        }
        records.write(&change)?;
        self.sweeper.step_if_urgent(&change, records)?;
        change.commit()?;
        Ok(answers)
    }

    /// Tries if a full store can be written again. Without submissions, nothing else would notice.
    fn probe(&mut self) {
        let mut write = || -> Result<()> {
            let change =
                self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            change.execute("UPDATE store SET epoch = epoch", [])?;
            Ok(change.commit()?)
        };
        if write().is_ok() {
            self.damage.full(false);
        }
    }

    /// Makes one step of maintenance.
    fn tidy_up(&mut self) {
        let mut step = || -> Result<()> {
            let change =
                self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            self.sweeper.step(&change, &mut self.records)?;
            change.commit()?;
            Ok(())
        };
        match step() {
            Ok(()) => {
                self.records.commit();
                self.checkpointer.after_commit(&self.connection);
            }
            Err(problem) => {
                self.records.rollback();
                self.sweeper.pause();
                let error = located(problem, &self.path);
                tracing::warn!(error = %Error::from(error), "old executions cannot be removed now");
            }
        }
    }
}

/// Adds the path to a problem that does not name it yet.
fn located(problem: Problem, path: &Path) -> Problem {
    Problem::Refused(problem.at(path))
}
