//! The opening of a store: its instance and epoch, and the state to resume from.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Row, params};
use tinpot_core::Epoch;
use tinpot_core::store::{Opened, WaitingCount};
use tinpot_core::{Action, Execution, Timestamp};
use uuid::Uuid;

use super::queue_actions::QueueActions;
use super::records::Records;
use crate::damage::Damage;
use crate::error::{Problem, Result};
use crate::location;
use crate::lock::Last;
use crate::record::{self, COLUMNS, State};

/// Durably increments the epoch. A file that is a copy or was restored gets a new instance.
///
/// `last` is what the lock file says of the last session: a database that was restored into the same
/// file is behind it. `is_doubtful` is true if its changes may be lost.
pub(super) fn begin(
    connection: &mut Connection,
    path: &Path,
    last: Option<&Last>,
    is_doubtful: bool,
) -> Result<Epoch> {
    let file = location::identity(path)?;
    let change = connection.transaction()?;
    let known = change
        .query_row("SELECT instance, epoch, file FROM store", [], |row| {
            let epoch = Epoch { instance: row.get(0)?, number: row.get(1)? };
            Ok((epoch, row.get::<_, String>(2)? == file))
        })
        .optional()?;
    let new_instance = || Uuid::new_v4().as_u128() as u32;
    let mut epoch = known.map_or(Epoch { instance: new_instance(), number: 0 }, |known| known.0);
    let same = last.map(|last| last.epoch).filter(|last| last.instance == epoch.instance);
    let is_behind = same.is_some_and(|last| last.number > epoch.number);
    if let Some((_, is_same_file)) = known
        && (!is_same_file || is_behind || is_doubtful)
    {
        tracing::warn!(path = %path.display(), "the store is a copy, or was restored: what workers still hold of its past is not its own");
        epoch.instance = new_instance();
    }
    epoch.number += 1;
    let sql = "INSERT INTO store (one, instance, epoch, file) VALUES (1, ?1, ?2, ?3) ON CONFLICT (one) DO UPDATE SET \
               instance = excluded.instance, epoch = excluded.epoch, file = excluded.file";
    change.execute(sql, params![epoch.instance, epoch.number, file])?;
    change.commit()?;
    Ok(epoch)
}

/// Refuses a database without the last changes: its write-ahead log is gone, although the last session
/// did not close it. Returns true if that cannot be told.
pub(super) fn check_loss(
    connection: &Connection,
    path: &Path,
    last: Option<&Last>,
    had_log: bool,
) -> Result<bool> {
    let Some(last) = last.filter(|last| last.is_open && !had_log) else { return Ok(false) };
    let exists = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'store')";
    let exists: bool = connection.query_row(exists, [], |row| row.get(0))?;
    let epoch = |row: &Row<'_>| Ok(Epoch { instance: row.get(0)?, number: row.get(1)? });
    let found = match exists {
        true => connection.query_row("SELECT instance, epoch FROM store", [], epoch).optional()?,
        false => None,
    };
    match found {
        // SQLite's own programs move the log to the database, and remove it.
        Some(found) if found == last.epoch => {
            tracing::warn!(path = %path.display(), "the write-ahead log of the last session is gone: if no other program moved it to the database, the latest changes are lost");
            Ok(true)
        }
        // Another file was put into the place of this one.
        Some(found) if found.instance != last.epoch.instance => Ok(false),
        _ => Err(Problem::Lost { path: path.to_owned() }),
    }
}

/// Reads the state that the writer and the coordinator resume from: executions with a live attempt
/// or an open log, and counts.
pub(super) fn load(
    connection: &Connection,
    epoch: Epoch,
    damage: &Damage,
) -> Result<(Records, Opened)> {
    let queue_actions = QueueActions::load(connection)?;
    let mut opened = Opened::new(epoch);
    opened.actions = actions(connection, damage)?;
    opened.paused = paused(connection)?;
    opened.granted = executions(
        connection,
        "e.route IN (SELECT route FROM routes) AND e.state IN (2, 3, 4)",
        "listed",
        damage,
    )?;
    opened.open_logs =
        executions(connection, "e.log_open = 1 AND e.state NOT IN (2, 3, 4)", "open_logs", damage)?;
    let leases = "SELECT max(lease) FROM executions INDEXED BY listed WHERE route IN (SELECT route FROM routes) AND state IN (2, 3, 4)";
    let lease: Option<i64> = connection.query_row(leases, [], |row| row.get(0))?;
    opened.longest_lease = Duration::from_micros(lease.unwrap_or_default().max(0) as u64);
    let mut waiting: BTreeMap<i64, WaitingCount> = BTreeMap::new();
    let mut ended = HashMap::new();
    let mut statement = connection.prepare(
        "SELECT c.route, c.state, c.number, r.queue, r.action, r.runtime FROM \
         (SELECT route, state, count(*) AS number FROM executions INDEXED BY listed GROUP BY route, state) AS c \
         JOIN routes AS r ON r.route = c.route",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (route, state): (i64, State) = (row.get(0)?, State::from_code(row.get(1)?)?);
        let number = row.get::<_, i64>(2)?.max(0) as u64;
        if state.status().is_terminal() {
            ended.insert((route, state), number);
        }
        if matches!(state, State::Ready | State::Delayed) {
            let names = (row.get::<_, String>(3)?, row.get::<_, String>(4)?);
            let runtime = row.get::<_, String>(5)?;
            let runtime = Some(runtime).filter(|runtime| !runtime.is_empty()).map(Arc::from);
            let count = waiting
                .entry(route)
                .or_insert_with(|| WaitingCount::new(names.0, names.1, 0, 0).runtime(runtime));
            *(if state == State::Ready { &mut count.ready } else { &mut count.delayed }) = number;
        }
    }
    opened.waiting = waiting.into_values().collect();
    opened.waiting.sort_unstable();
    let largest = "SELECT max(coalesce((SELECT max(row) FROM executions), 0), coalesce((SELECT max(execution) FROM forgotten_logs), 0), \
                   coalesce((SELECT removed FROM store), 0))";
    let largest: i64 = connection.query_row(largest, [], |row| row.get(0))?;
    opened.last_number = largest.max(0) as u64;
    Ok((Records::new(queue_actions, largest, ended), opened))
}

fn actions(connection: &Connection, damage: &Damage) -> Result<Vec<Arc<Action>>> {
    let mut statement = connection.prepare("SELECT action, name FROM actions ORDER BY name")?;
    let mut rows = statement.query([])?;
    let mut actions = Vec::new();
    while let Some(row) = rows.next()? {
        let text = row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?;
        match serde_json::from_str::<Action>(text) {
            Ok(action) => actions.push(Arc::new(action)),
            // Its workers offer it again.
            Err(error) => {
                let name = row.get::<_, String>(1).unwrap_or_default();
                let problem = Problem::Record(error.to_string());
                damage.skip(&format!("action {name:?}"), &problem);
            }
        }
    }
    Ok(actions)
}

fn paused(connection: &Connection) -> Result<Vec<(Arc<str>, Timestamp)>> {
    let mut statement = connection.prepare("SELECT queue, since FROM paused_queues")?;
    let rows = statement.query_map([], |row| {
        let (queue, since): (String, i64) = (row.get(0)?, row.get(1)?);
        Ok((queue.into(), record::timestamp(since)))
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Returns executions in the order of their acceptance.
fn executions(
    connection: &Connection,
    condition: &str,
    index: &str,
    damage: &Damage,
) -> Result<Vec<Arc<Execution>>> {
    let mut statement = connection.prepare(&format!(
        "SELECT {COLUMNS} FROM executions AS e INDEXED BY {index} JOIN routes AS r ON r.route = e.route WHERE {condition} ORDER BY e.row"
    ))?;
    let mut rows = statement.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.extend(record::readable(row, damage)?.map(Arc::new));
    }
    Ok(found)
}
