//! The rewrite of the parameters of all executions, before the store is served: their secrets are
//! sealed under another key, or for the first time.

use std::fmt;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};
use tinpot_core::{Error, ErrorKind, Execution, Json};

use crate::damage::Damage;
use crate::error::{Problem, Result};
use crate::record::{self, COLUMNS, ROW_COLUMN};

/// The executions of one transaction.
const PART: usize = 500;
/// The first word of the mark while the former content is still in the file.
const UNCLEAN: &str = "unclean ";

type With = dyn Fn(&Execution) -> tinpot_core::Result<Option<Json>> + Send + Sync;

/// Other parameters for executions that have secrets.
#[derive(Clone)]
pub(crate) struct Rewrite {
    pub(crate) mark: String,
    pub(crate) with: Arc<With>,
}

impl fmt::Debug for Rewrite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rewrite").field("mark", &self.mark).finish_non_exhaustive()
    }
}

/// Returns the mark of the last rewrite of a store that ended, also if the former content is still
/// in the file; `None` if there was none.
pub(crate) fn mark(connection: &Connection) -> Result<Option<String>> {
    let exists = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'rewritten_parameters')";
    if !connection.query_row(exists, [], |row| row.get::<_, bool>(0))? {
        return Ok(None);
    }
    let mark = "SELECT mark FROM rewritten_parameters";
    let mark: Option<String> = connection.query_row(mark, [], |row| row.get(0)).optional()?;
    Ok(mark.map(|mark| mark.strip_prefix(UNCLEAN).map(str::to_owned).unwrap_or(mark)))
}

/// Rewrites the parameters, unless the last rewrite has this mark. If the former content cannot be
/// removed from the file, the store is served nevertheless, and the next start tries it again.
pub(super) fn run(connection: &mut Connection, rewrite: &Rewrite, damage: &Damage) -> Result<()> {
    let Rewrite { mark, with } = rewrite;
    let found = "SELECT mark FROM rewritten_parameters";
    let found: Option<String> = connection.query_row(found, [], |row| row.get(0)).optional()?;
    if found.as_ref() == Some(mark) {
        return Ok(());
    }
    let was_unclean = found.as_deref().is_some_and(|found| found.starts_with(UNCLEAN));
    let mut changed = 0;
    let mut after = 0;
    // What is written over must not stay in free space.
    connection.pragma_update(None, "secure_delete", true)?;
    while let Some((last, number)) = part(connection, after, &**with, damage)? {
        (after, changed) = (last, changed + number);
    }
    if changed > 0 || was_unclean {
        tracing::info!(executions = changed, "the secrets of executions were sealed");
        set_mark(connection, &format!("{UNCLEAN}{mark}"))?;
        if let Err(problem) = clean(connection) {
            damage.unclean(problem);
            connection.pragma_update(None, "secure_delete", false)?;
            return Ok(());
        }
    }
    set_mark(connection, mark)?;
    connection.pragma_update(None, "secure_delete", false)?;
    Ok(())
}

fn set_mark(connection: &Connection, mark: &str) -> Result<()> {
    let sql = "INSERT INTO rewritten_parameters (one, mark) VALUES (1, ?1) \
               ON CONFLICT (one) DO UPDATE SET mark = excluded.mark";
    connection.execute(sql, [mark])?;
    Ok(())
}

/// Returns true if an execution has secrets, sealed or not.
pub(crate) fn has_secrets(connection: &Connection) -> Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM executions WHERE instr(rest, '\"secrets\":') > 0)";
    Ok(connection.query_row(sql, [], |row| row.get(0))?)
}

/// Rewrites the next executions. Returns the last row that was read, and the number of those that
/// were changed; `None` at the end.
fn part(
    connection: &mut Connection,
    after: i64,
    with: &With,
    damage: &Damage,
) -> Result<Option<(i64, usize)>> {
    let step = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let sql = format!(
        "SELECT {COLUMNS} FROM executions AS e JOIN routes AS r ON r.route = e.route \
         WHERE e.row > ?1 AND instr(e.rest, '\"secrets\":') > 0 ORDER BY e.row LIMIT ?2"
    );
    let (mut last, mut others) = (None, Vec::new());
    {
        let mut statement = step.prepare(&sql)?;
        let mut rows = statement.query(params![after, PART as i64])?;
        while let Some(row) = rows.next()? {
            let number: i64 = row.get(ROW_COLUMN)?;
            last = Some(number);
            let Some(execution) = record::readable(row, damage)? else { continue };
            if let Some(other) = with(&execution).map_err(Problem::Refused)? {
                others.push((number, other));
            }
        }
    }
    for (row, other) in &others {
        let large = "UPDATE large_parameters SET parameters = ?2 WHERE row = ?1";
        if step.execute(large, params![row, other.as_str()])? == 0 {
            let small = "UPDATE executions SET parameters = ?2 WHERE row = ?1";
            step.execute(small, params![row, other.as_str()])?;
        }
    }
    step.commit()?;
    Ok(last.map(|last| (last, others.len())))
}

/// Writes the file again, without what was written over.
fn clean(connection: &Connection) -> Result<()> {
    let size = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let bytes = size("page_count")? * size("page_size")?;
    tracing::info!(
        bytes,
        "the store is written again without former secrets, which takes as much free space"
    );
    // The copy would be in memory otherwise, and a store can be larger.
    connection.pragma_update(None, "temp_store", "FILE")?;
    let written = connection.execute_batch("VACUUM");
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    written?;
    let checkpoint = "PRAGMA wal_checkpoint(TRUNCATE)";
    let is_busy: bool = connection.query_row(checkpoint, [], |row| row.get(0))?;
    if is_busy {
        let message = "another program reads the store";
        return Err(Problem::Refused(Error::new(ErrorKind::Unavailable, message)));
    }
    Ok(())
}
