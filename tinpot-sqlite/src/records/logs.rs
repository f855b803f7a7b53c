//! Append-only logs.

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Row, params};
use tinpot_core::access::records::{MAX_ENTRIES, end_conflict};

use super::{loaded, stored, writing};
use crate::error::{Problem, Result};

/// Returns the row of a log, and the number of its last entry.
fn find(connection: &Connection, log: &str) -> Result<Option<(i64, u64)>> {
    let sql = "SELECT log, last FROM record_logs WHERE name = ?1";
    let row = |row: &Row<'_>| Ok((row.get(0)?, loaded(row.get(1)?)));
    Ok(connection.query_row(sql, [log], row).optional()?)
}

/// Appends all entries, or nothing.
pub(super) fn append(
    connection: &mut Connection,
    log: &str,
    after: Option<u64>,
    entries: &[Bytes],
) -> Result<u64> {
    let transaction = writing(connection)?;
    let found = find(&transaction, log)?;
    let last = found.map_or(0, |(_, last)| last);
    if let Some(after) = after.filter(|after| *after != last) {
        return Err(Problem::Refused(end_conflict(log, after, last)));
    }
    if entries.is_empty() {
        return Ok(last);
    }
    let end = last + entries.len() as u64;
    let row = match found {
        Some((row, _)) => {
            let sql = "UPDATE record_logs SET last = ?2 WHERE log = ?1";
            transaction.execute(sql, params![row, stored(end)])?;
            row
        }
        None => {
            let sql = "INSERT INTO record_logs (name, last) VALUES (?1, ?2)";
            transaction.execute(sql, params![log, stored(end)])?;
            transaction.last_insert_rowid()
        }
    };
    let sql = "INSERT INTO record_entries (log, number, entry) VALUES (?1, ?2, ?3)";
    let mut insert = transaction.prepare(sql)?;
    for (number, entry) in (last + 1..).zip(entries) {
        insert.execute(params![row, stored(number), &entry[..]])?;
    }
    drop(insert);
    transaction.commit()?;
    Ok(end)
}

pub(super) fn entries(
    connection: &Connection,
    log: &str,
    after: u64,
    limit: usize,
) -> Result<Vec<(u64, Bytes)>> {
    let sql = "SELECT number, entry FROM record_entries \
               WHERE log = (SELECT log FROM record_logs WHERE name = ?1) AND number > ?2 \
               ORDER BY number LIMIT ?3";
    let limit = limit.min(MAX_ENTRIES) as i64;
    let mut statement = connection.prepare(sql)?;
    let rows = statement.query_map(params![log, stored(after), limit], |row| {
        Ok((loaded(row.get(0)?), Bytes::from(row.get::<_, Vec<u8>>(1)?)))
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn trim(connection: &mut Connection, log: &str, up_to: u64) -> Result<()> {
    let transaction = writing(connection)?;
    let sql = "DELETE FROM record_entries \
               WHERE log = (SELECT log FROM record_logs WHERE name = ?1) AND number <= ?2";
    transaction.execute(sql, params![log, stored(up_to)])?;
    transaction.commit()?;
    Ok(())
}
