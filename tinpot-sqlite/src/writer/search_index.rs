//! The index of words that the history is searched by.

use rusqlite::{Connection, OptionalExtension, params};
use tinpot_core::Execution;
use tinpot_core::store::search_text;

use crate::error::Result;
use crate::record::{self, COLUMNS, ROW_COLUMN};

/// Executions of an earlier version that are indexed in one step: some ten milliseconds.
const STEP: i64 = 1_000;

/// Indexes an execution whose row is new, or has other words than before.
pub(super) fn put(connection: &Connection, row: i64, execution: &Execution) -> Result<()> {
    let sql = "INSERT OR REPLACE INTO search (rowid, words) VALUES (?1, ?2)";
    connection.prepare_cached(sql)?.execute(params![row, search_text(execution)])?;
    Ok(())
}

/// Indexes an execution again after it failed: its error has words, too. `execution` has no
/// parameters any more, so they are read.
pub(super) fn put_failed(connection: &Connection, row: i64, execution: &Execution) -> Result<()> {
    let sql = format!(
        "SELECT {COLUMNS} FROM executions AS e JOIN routes AS r ON r.route = e.route WHERE e.row = ?1"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query([row])?;
    let Some(found) = rows.next()? else { return Ok(()) };
    let mut whole = record::read(found)?;
    whole.outcome.clone_from(&execution.outcome);
    put(connection, row, &whole)
}

/// Removes an execution.
pub(super) fn remove(connection: &Connection, row: i64) -> Result<()> {
    connection.prepare_cached("DELETE FROM search WHERE rowid = ?1")?.execute([row])?;
    Ok(())
}

/// Returns true if executions of an earlier version are not indexed yet.
pub(super) fn has_backlog(connection: &Connection) -> Result<bool> {
    Ok(connection.prepare("SELECT 1 FROM search_backlog")?.exists([])?)
}

/// Indexes some executions of an earlier version. Returns false if there are no more.
pub(super) fn catch_up(connection: &Connection) -> Result<bool> {
    let below: Option<i64> = connection
        .query_row("SELECT below FROM search_backlog", [], |row| row.get(0))
        .optional()?;
    let Some(below) = below else { return Ok(false) };
    let sql = format!(
        "SELECT {COLUMNS} FROM executions AS e JOIN routes AS r ON r.route = e.route \
         WHERE e.row < ?1 ORDER BY e.row DESC LIMIT ?2"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params![below, STEP])?;
    let (mut seen, mut last) = (0, below);
    while let Some(row) = rows.next()? {
        (seen, last) = (seen + 1, row.get(ROW_COLUMN)?);
        match record::read(row) {
            Ok(execution) => put(connection, last, &execution)?,
            // A record that cannot be read is reported when it is read.
            Err(problem) => tracing::debug!(%problem, row = last, "an execution is not indexed"),
        }
    }
    if seen < STEP {
        connection.execute("DELETE FROM search_backlog", [])?;
        tracing::info!("the history of an earlier version can be searched now");
        return Ok(false);
    }
    connection.execute("UPDATE search_backlog SET below = ?1", [last])?;
    Ok(true)
}
