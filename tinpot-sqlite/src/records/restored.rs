//! Detection of records that were put back to an earlier state.
//!
//! A backup that is restored has the tokens, grants and keys again that were revoked since it was
//! made. The revision of the records only grows, and the [stamp](super::stamp) next to the file has
//! the last one. So records behind their stamp were put back.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, params};
use tinpot_core::access::Restoration;

use super::documents::revisions;
use super::{stored, writing};
use crate::error::Result;
use crate::location;

/// Writes a note to the records if they were put back to an earlier state. Returns the revision of
/// that write; `None` if nothing shows that they were.
///
/// `stamp` must have been read before: then a change of another process makes it too small, and never
/// too large. A crash before the stamp is written does the same.
pub(super) fn note(
    connection: &mut Connection,
    path: &Path,
    stamp: Option<u64>,
) -> Result<Option<u64>> {
    // A file that was created a moment ago has the stamp 0.
    let stamp = stamp.filter(|stamp| *stamp > 0);
    if !is_earlier(connection, path, stamp)? {
        return Ok(None);
    }
    let transaction = writing(connection)?;
    // Another process may have been faster.
    if !is_earlier(&transaction, path, stamp)? {
        return Ok(None);
    }
    let revision = revisions(&transaction)?.0;
    let note = Restoration::new(revision, stamp);
    let document = note.change(0)?.document;
    // Versions of documents are not used again. Readers of the former file list everything.
    let next = revision.max(stamp.unwrap_or(0)) + 1;
    let sql = "INSERT INTO records (kind, id, version, document) VALUES (?1, ?2, ?3, ?4) \
               ON CONFLICT (kind, id) DO UPDATE SET version = ?3, document = ?4";
    let (kind, id) = (Restoration::KIND, Restoration::ID);
    transaction.execute(sql, params![kind, id, stored(next), document.as_deref()])?;
    let sql = "UPDATE records_revision SET revision = ?1, forgotten = ?1";
    transaction.execute(sql, [stored(next)])?;
    transaction.commit()?;
    Ok(Some(next))
}

/// Returns true if the records are behind their stamp, or are those of a copy that came without it.
fn is_earlier(connection: &Connection, path: &Path, stamp: Option<u64>) -> Result<bool> {
    let revision = revisions(connection)?.0;
    // A new store has nothing that could be valid again, whatever an old one has left next to it. One
    // that was moved together with its stamp is as it was.
    if revision == 0 || stamp == Some(revision) {
        return Ok(false);
    }
    if stamp.is_some_and(|stamp| stamp > revision) {
        return Ok(true);
    }
    // The stamp is missing, or that of another store. In the file of the last coordinator, it is only
    // late.
    let file = "SELECT file FROM store";
    let file: Option<String> = connection.query_row(file, [], |row| row.get(0)).optional()?;
    Ok(file.is_some_and(|file| location::identity(path).is_ok_and(|here| here != file)))
}
