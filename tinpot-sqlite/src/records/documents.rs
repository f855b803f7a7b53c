//! Documents, and what has changed of them.

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use tinpot_core::access::records::{
    Change, Changed, MAX_CHANGES, MAX_ENTRIES, Record, version_conflict,
};

use super::{loaded, stored, writing};
use crate::error::{Problem, Result};

/// Removed documents that are remembered. Readers ask every second; beyond this number they list
/// everything again.
const REMEMBERED: u64 = 10_000;
/// The interval, in revisions, at which removed documents beyond that number are looked for: the
/// search walks over an index of all of them.
const FORGET_EVERY: u64 = 256;

/// Applies changes, or nothing.
pub(super) fn change(connection: &mut Connection, changes: &[Change]) -> Result<u64> {
    if changes.is_empty() {
        return Ok(revisions(connection)?.0);
    }
    let transaction = writing(connection)?;
    let revision = revisions(&transaction)?.0 + 1;
    for change in changes {
        let found = version(&transaction, change)?;
        if found != change.replaces {
            return Err(Problem::Refused(version_conflict(change, found)));
        }
        let sql = "INSERT INTO records (kind, id, version, document) VALUES (?1, ?2, ?3, ?4) \
                   ON CONFLICT (kind, id) DO UPDATE SET version = ?3, document = ?4";
        let document = change.document.as_deref();
        let (kind, id) = (&*change.kind, &*change.id);
        transaction.prepare_cached(sql)?.execute(params![kind, id, stored(revision), document])?;
    }
    let sql = "UPDATE records_revision SET revision = ?1";
    transaction.execute(sql, [stored(revision)])?;
    if revision.is_multiple_of(FORGET_EVERY) {
        forget(&transaction)?;
    }
    transaction.commit()?;
    Ok(revision)
}

/// Forgets the oldest removed documents.
fn forget(transaction: &Transaction<'_>) -> Result<()> {
    let sql = "SELECT version FROM records INDEXED BY removed_records WHERE document IS NULL \
               ORDER BY version DESC LIMIT 1 OFFSET ?1";
    let oldest: Option<i64> =
        transaction.query_row(sql, [stored(REMEMBERED)], |row| row.get(0)).optional()?;
    let Some(oldest) = oldest else { return Ok(()) };
    let sql = "DELETE FROM records WHERE document IS NULL AND version <= ?1";
    transaction.execute(sql, [oldest])?;
    transaction.execute("UPDATE records_revision SET forgotten = ?1", [oldest])?;
    Ok(())
}

/// Returns the last revision, and the one up to which removed documents are forgotten.
pub(super) fn revisions(connection: &Connection) -> Result<(u64, u64)> {
    let sql = "SELECT revision, forgotten FROM records_revision";
    let row = |row: &Row<'_>| Ok((loaded(row.get(0)?), loaded(row.get(1)?)));
    Ok(connection.query_row(sql, [], row)?)
}

/// Returns the version of the document that a change is about; 0 if there is none.
fn version(connection: &Connection, change: &Change) -> Result<u64> {
    let sql = "SELECT version FROM records WHERE kind = ?1 AND id = ?2 AND document IS NOT NULL";
    let mut statement = connection.prepare_cached(sql)?;
    let found = statement.query_row([&*change.kind, &*change.id], |row| row.get(0)).optional()?;
    Ok(loaded(found.unwrap_or(0)))
}

fn record(row: &Row<'_>) -> rusqlite::Result<Record> {
    let (kind, id): (String, String) = (row.get(0)?, row.get(1)?);
    let document: Vec<u8> = row.get(3)?;
    Ok(Record::new(kind, id, loaded(row.get(2)?), document))
}

pub(super) fn get(connection: &Connection, kind: &str, id: &str) -> Result<Option<Record>> {
    let sql = "SELECT kind, id, version, document FROM records \
               WHERE kind = ?1 AND id = ?2 AND document IS NOT NULL";
    Ok(connection.query_row(sql, [kind, id], record).optional()?)
}

pub(super) fn list(
    connection: &Connection,
    kind: &str,
    after: &str,
    limit: usize,
) -> Result<Vec<Record>> {
    let sql = "SELECT kind, id, version, document FROM records \
               WHERE kind = ?1 AND id > ?2 AND document IS NOT NULL ORDER BY id LIMIT ?3";
    let limit = limit.min(MAX_ENTRIES) as i64;
    let mut statement = connection.prepare(sql)?;
    let rows = statement.query_map(params![kind, after, limit], record)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn changed(connection: &mut Connection, after: u64) -> Result<Changed> {
    // One state of the file for all of it.
    let transaction = connection.transaction()?;
    let (revision, forgotten) = revisions(&transaction)?;
    let mut changed = Changed::default();
    changed.revision = revision;
    if after == revision {
        return Ok(changed);
    }
    if after > revision || after < forgotten {
        changed.is_reset = true;
        return Ok(changed);
    }
    // Whole revisions, so that the next call goes on after them.
    let sql = "SELECT version FROM records WHERE version > ?1 ORDER BY version LIMIT 1 OFFSET ?2";
    let last = transaction
        .query_row(sql, params![stored(after), MAX_CHANGES as i64], |row| row.get::<_, i64>(0))
        .optional()?;
    changed.revision = last.map_or(revision, loaded);
    let sql = "SELECT kind, id, version, document FROM records \
               WHERE version > ?1 AND version <= ?2 ORDER BY version";
    let mut statement = transaction.prepare(sql)?;
    let mut rows = statement.query(params![stored(after), stored(changed.revision)])?;
    while let Some(row) = rows.next()? {
        let (kind, id): (String, String) = (row.get(0)?, row.get(1)?);
        match row.get::<_, Option<Vec<u8>>>(3)? {
            Some(document) => {
                let version = loaded(row.get(2)?);
                changed.records.push(Record::new(kind, id, version, Bytes::from(document)));
            }
            None => changed.removed.push((kind.into(), id.into())),
        }
    }
    changed.removed.sort_unstable();
    Ok(changed)
}
