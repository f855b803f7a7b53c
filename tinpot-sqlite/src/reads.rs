//! The queries of readers.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Params, Row, params};
use tinpot_core::store::{QueueOrder, QueuePage};
use tinpot_core::{Epoch, Error, ErrorKind, Execution, ExecutionId, LogChunk};

use crate::damage::Damage;
use crate::error::Result;
use crate::log_codec;
use crate::record::{self, COLUMNS, id_bytes, micros};

mod lists;
mod search;
mod visible;

pub(crate) use self::lists::executions;

const FROM: &str = "FROM executions AS e JOIN routes AS r ON r.route = e.route";

/// Returns an execution.
pub(crate) fn execution(
    connection: &Connection,
    id: ExecutionId,
) -> Result<Option<Arc<Execution>>> {
    let sql = format!("SELECT {COLUMNS} {FROM} WHERE e.id = ?1");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query([id_bytes(id)])?;
    rows.next()?.map(|row| record::read(row).map(Arc::new)).transpose()
}

/// Returns the epoch of the latest session.
pub(crate) fn current(connection: &Connection) -> Result<Epoch> {
    let mut epoch = connection.prepare_cached("SELECT instance, epoch FROM store")?;
    let read = |row: &Row<'_>| Ok(Epoch { instance: row.get(0)?, number: row.get(1)? });
    Ok(epoch.query_row([], read)?)
}

/// Returns the executions with these ids that are there and can be read; notes the others.
pub(crate) fn of_ids<'a>(
    connection: &'a Connection,
    ids: impl IntoIterator<Item = ExecutionId> + 'a,
    damage: &'a Damage,
) -> impl Iterator<Item = Result<Arc<Execution>>> + 'a {
    let found = ids.into_iter().map(move |id| match execution(connection, id) {
        Err(problem) => record::skip(&id.to_string(), problem, damage).map(|()| None),
        found => found,
    });
    found.filter_map(Result::transpose)
}

/// Returns one page of executions that are queued without a live attempt.
pub(crate) fn queued(
    connection: &Connection,
    page: &QueuePage,
    damage: &Damage,
) -> Result<Vec<Arc<Execution>>> {
    let (limit, max_bytes) = (page.limit, page.max_bytes);
    match &page.order {
        QueueOrder::Ready { queue, action, runtime, after } => {
            let sql = "SELECT route FROM routes WHERE queue = ?1 AND action = ?2 AND runtime = ?3";
            let mut route = connection.prepare_cached(sql)?;
            let names = [&**queue, &**action, runtime.as_deref().unwrap_or_default()];
            let route: Option<i64> = route.query_row(names, |row| row.get(0)).optional()?;
            let Some(route) = route else { return Ok(Vec::new()) };
            let (rank, id) = after.map_or((i64::MIN, [0; 16]), |(rank, id)| (rank, id_bytes(id)));
            let sql = format!(
                "SELECT {COLUMNS} FROM executions AS e INDEXED BY ready JOIN routes AS r ON r.route = e.route \
                 WHERE e.state = 0 AND e.route = ?1 AND (e.rank, e.id) > (?2, ?3) ORDER BY e.rank, e.id"
            );
            select(connection, &sql, params![route, rank, id], (limit, max_bytes), damage)
        }
        QueueOrder::Delayed { after } => {
            let (time, id) =
                after.map_or((i64::MIN, [0; 16]), |(time, id)| (micros(time), id_bytes(id)));
            let sql = format!(
                "SELECT {COLUMNS} FROM executions AS e INDEXED BY delayed JOIN routes AS r ON r.route = e.route \
                 WHERE e.state = 1 AND (e.not_before, e.id) > (?1, ?2) ORDER BY e.not_before, e.id"
            );
            select(connection, &sql, params![time, id], (limit, max_bytes), damage)
        }
        QueueOrder::Expired { at } => {
            let sql = format!(
                "SELECT {COLUMNS} FROM executions AS e INDEXED BY expiring JOIN routes AS r ON r.route = e.route \
                 WHERE e.expires_at IS NOT NULL AND e.state <= 1 AND e.expires_at <= ?1 ORDER BY e.expires_at, e.id"
            );
            select(connection, &sql, [micros(*at)], (limit, max_bytes), damage)
        }
        order => Err(Error::new(
            ErrorKind::InvalidInput,
            format!("this version of the store has no order {order:?}: update the program"),
        )
        .into()),
    }
}

/// Reads rows until there are `limit` of them, or until their parameters exceed `max_bytes`. Rows that
/// cannot be read are left out, and noted.
pub(crate) fn select(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    (limit, max_bytes): (usize, usize),
    damage: &Damage,
) -> Result<Vec<Arc<Execution>>> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    let mut found = Vec::new();
    let mut bytes = 0;
    while found.len() < limit && bytes <= max_bytes {
        let Some(row) = rows.next()? else { break };
        let Some(execution) = record::readable(row, damage)? else { continue };
        bytes += execution.parameters.as_str().len();
        found.push(Arc::new(execution));
    }
    Ok(found)
}

/// Returns log chunks with lines above `after`, oldest first, about `max_bytes` of them.
pub(crate) fn logs(
    connection: &Connection,
    id: ExecutionId,
    after: u64,
    max_bytes: usize,
) -> Result<Vec<Arc<LogChunk>>> {
    // One snapshot for all queries: the writer may pack the tail meanwhile.
    let moment = connection.unchecked_transaction()?;
    let mut row = moment.prepare_cached("SELECT row FROM executions WHERE id = ?1")?;
    let row: Option<i64> = row.query_row([id_bytes(id)], |row| row.get(0)).optional()?;
    let (Some(row), Ok(after_seq)) = (row, i64::try_from(after)) else { return Ok(Vec::new()) };
    let mut statement = moment.prepare_cached(
        "SELECT packed, data FROM log_chunks WHERE execution = ?1 AND last_seq > ?2 AND first_seq >= \
         coalesce((SELECT max(first_seq) FROM log_chunks WHERE execution = ?1 AND first_seq <= ?2 + 1), 0) ORDER BY first_seq",
    )?;
    let mut rows = statement.query(params![row, after_seq])?;
    let mut found = Vec::new();
    let mut bytes = 0;
    'rows: while let Some(row) = rows.next()? {
        let data = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
        for chunk in log_codec::read(data, row.get(0)?)? {
            if chunk.last_seq() <= after {
                continue;
            }
            if !found.is_empty() && bytes >= max_bytes {
                break 'rows;
            }
            bytes += chunk.size_bytes();
            found.push(Arc::new(chunk));
        }
    }
    Ok(found)
}
