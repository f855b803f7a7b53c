//! Connections to the database, for the writer and for readers.

use std::fs;
use std::num::NonZeroU64;
use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use crate::error::{Problem, Result};
use crate::location::sibling;
use crate::{lock, schema};

/// The pause between tries while another connection writes, as a rule for a few milliseconds, and the
/// number of such tries. SQLite's own pauses grow to many times the length of a transaction.
const SHORT_PAUSE: Duration = Duration::from_micros(200);
const SHORT_PAUSES: u32 = 50;
/// The pause after those, and the number of tries: 5 seconds for another program that has the database
/// locked, such as an SQLite shell.
const LONG_PAUSE: Duration = Duration::from_millis(5);
const LONG_PAUSES: u32 = 1_000;
/// Page caches in KiB. A writer touches the ends of a few trees; a reader reads anywhere, and the
/// operating system caches files as well.
const WRITER_CACHE_KIB: i64 = 32 * 1024;
const READER_CACHE_KIB: i64 = 4 * 1024;
/// Pages in the write-ahead log beyond which a call about records moves them, if the coordinator does
/// not: 64 MiB.
const LOG_PAGES: i64 = 16_384;
/// The length of the write-ahead log, in bytes, beyond which a call about records empties it if no
/// coordinator has the store open.
const LOG_BYTES: u64 = 4 * 1024 * 1024;
/// Prepared statements kept: more than there are.
const STATEMENTS: usize = 64;

fn prepare(connection: &mut Connection, cache_kib: i64) -> Result<()> {
    connection.busy_handler(Some(wait))?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // Otherwise SQLite looks at bound values to see whether a partial index applies, and compiles a
    // statement again for each other value.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    // A dropped connection must not make a checkpoint; `close` makes one itself.
    keep_wal_on_close(connection, true)?;
    connection.pragma_update(None, "cache_size", -cache_kib)?;
    // In memory, since a full temporary directory must not fail a query.
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    Ok(())
}

/// Waits for the database, which is locked. Returns false to give up.
fn wait(tries: i32) -> bool {
    let tries = tries.unsigned_abs();
    let is_short = tries < SHORT_PAUSES;
    std::thread::sleep(if is_short { SHORT_PAUSE } else { LONG_PAUSE });
    tries < SHORT_PAUSES + LONG_PAUSES
}

/// Sets the fate of the write-ahead log when the last connection is closed: if `true`, it stays;
/// otherwise it is moved to the database, and its file is removed.
pub(crate) fn keep_wal_on_close(connection: &Connection, keep: bool) -> rusqlite::Result<bool> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, keep)
}

/// Opens the database for writing, after checking that it is a store, and what `check` does. Nothing
/// is written before.
pub(crate) fn writer(
    path: &Path,
    max_bytes: Option<NonZeroU64>,
    check: impl FnOnce(&Connection) -> Result<()>,
) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)?;
    prepare(&mut connection, WRITER_CACHE_KIB)?;
    schema::check(&connection, path)?;
    check(&connection)?;
    write_ahead(&connection, path)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    schema::migrate(&mut connection, path)?;
    limit(&connection, max_bytes)?;
    Ok(connection)
}

/// Opens the database for one call about records. Its file must exist.
pub(crate) fn of_records(path: &Path, max_bytes: Option<NonZeroU64>) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)?;
    prepare(&mut connection, READER_CACHE_KIB)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "wal_autocheckpoint", LOG_PAGES)?;
    limit(&connection, max_bytes)?;
    Ok(connection)
}

/// Moves a long write-ahead log to the database and empties its file, unless it is in use or a
/// coordinator has the store open.
///
/// Without this, each call of a process that is alone makes the log longer: SQLite forgets what was
/// moved when the last connection is closed, and the next one reads all of it.
pub(crate) fn shorten_log(connection: &mut Connection, path: &Path) -> Result<()> {
    let bytes = fs::metadata(sibling(path, "-wal")).map_or(0, |log| log.len());
    if bytes <= LOG_BYTES || lock::is_open(path) {
        return Ok(());
    }
    connection.busy_timeout(Duration::ZERO)?;
    let emptied = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    connection.busy_handler(Some(wait))?;
    if let Err(error) = emptied {
        tracing::debug!(%error, "the write-ahead log cannot be emptied now");
    }
    Ok(())
}

/// Switches the database to a write-ahead log.
pub(crate) fn write_ahead(connection: &Connection, path: &Path) -> Result<()> {
    let switch =
        || connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0));
    let is_busy = |error: &rusqlite::Error| {
        error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy)
    };
    // SQLite reads before it switches, and does not wait for a connection that switches meanwhile.
    let mut tries = 0;
    let mode: String = loop {
        match switch() {
            Err(error) if is_busy(&error) && wait(tries) => tries += 1,
            mode => break mode?,
        }
    };
    if mode != "wal" {
        let why = "its file system cannot share memory between processes, which SQLite needs";
        return Err(Problem::Place { path: path.to_owned(), why: why.to_owned() });
    }
    Ok(())
}

/// Sets the largest size of the database.
fn limit(connection: &Connection, max_bytes: Option<NonZeroU64>) -> Result<()> {
    if let Some(max_bytes) = max_bytes {
        let page_bytes: i64 = connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
        let pages = i64::try_from(max_bytes.get()).unwrap_or(i64::MAX) / page_bytes;
        // SQLite answers with the bound that it has set, which is at least the current size.
        connection.pragma_update_and_check(None, "max_page_count", pages.max(1), |_| Ok(()))?;
    }
    Ok(())
}

/// Opens the database for checkpoints.
pub(crate) fn checkpointer(path: &Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)?;
    prepare(&mut connection, READER_CACHE_KIB)?;
    Ok(connection)
}

/// Opens the database for reading.
pub(crate) fn reader(path: &Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)?;
    prepare(&mut connection, READER_CACHE_KIB)?;
    Ok(connection)
}

/// Opens a database that no other connection uses.
pub(crate) fn plain(path: &Path) -> Result<Connection> {
    Ok(Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?)
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    #[test]
    fn a_statement_is_compiled_once_whatever_is_bound() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("tinpot.db");
        let connection = super::writer(&path, None, |_| Ok(())).expect("a store");
        // A partial index is about one of these states.
        let mut statement =
            connection.prepare("SELECT id FROM executions WHERE state = ?1").expect("a query");
        for state in [0, 1, 0, 3] {
            assert!(!statement.exists([state]).expect("an answer"));
        }
        assert_eq!(statement.get_status(StatementStatus::RePrepare), 0);
    }
}
