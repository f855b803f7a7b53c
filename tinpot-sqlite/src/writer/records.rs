//! The rows of executions that are being changed.

use std::collections::HashMap;
use std::time::Duration;

use rusqlite::{Connection, params};
use tinpot_core::store::{CachedExecution, LogSpan, Transition, WriteCache};
use tinpot_core::{Error, ErrorKind, Execution, ExecutionId, Json, Timestamp};

use super::logs::Tail;
use super::queue_actions::QueueActions;
use super::search_index;
use crate::error::{Problem, Result};
use crate::record::{self, COLUMN_COUNT, COLUMNS_WITHOUT_PARAMETERS, State, micros};

/// Logs that wait to be packed. Beyond that, a log stays as it is: larger, and as readable.
const LOOSE_MAX: usize = 1_024;
/// Parameters of more bytes are kept in a table of their own.
const LARGE_PARAMETERS_BYTES: usize = 1024;

/// The row of an execution.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) row: i64,
    route: i64,
    /// The indexed columns as they are stored. None while there is no row.
    stored: Option<(State, Option<Timestamp>)>,
    /// The end of its log, once it was needed.
    pub(super) tail: Option<Tail>,
}

pub(super) type Entry = CachedExecution<Row>;

/// A bucket of ended executions: one route and one terminal state.
pub(super) type Bucket = (i64, State);

/// Executions with their rows, and counts of those that have ended.
///
/// The cached executions have no parameters once their rows are written.
#[derive(Debug)]
pub(super) struct Records {
    cache: WriteCache<Row>,
    pub(super) queue_actions: QueueActions,
    no_parameters: Json,
    /// The number of executions in each bucket.
    pub(super) ended: HashMap<Bucket, u64>,
    /// The changes of these numbers by the current transaction.
    pub(super) moves: Vec<(Bucket, i64)>,
    /// Rows of executions whose logs have ended and are not packed.
    pub(super) loose: Vec<i64>,
}

impl Records {
    pub(super) fn new(
        queue_actions: QueueActions,
        last_row: i64,
        ended: HashMap<Bucket, u64>,
    ) -> Self {
        Self {
            cache: WriteCache::new().last_number(last_row.max(0) as u64),
            queue_actions,
            no_parameters: Json::empty_object(),
            ended,
            moves: Vec::new(),
            loose: Vec::new(),
        }
    }

    /// Applies a batch, or nothing of it: then the problem is [`Problem::Refused`], unless the
    /// database failed.
    ///
    /// The database checks three conditions itself when the rows are written, by unique indexes:
    /// that an id, a number and an idempotency key are new. That saves look-ups for every execution.
    pub(super) fn apply(
        &mut self,
        connection: &Connection,
        batch: &[Transition],
        at: Timestamp,
    ) -> Result<()> {
        for id in self.cache.missing(batch) {
            self.load(connection, id)?;
        }
        let Self { cache, queue_actions, .. } = self;
        cache.apply(batch, at, |execution| -> Result<Row> {
            let route = queue_actions.number(connection, execution)?;
            // A transition with a larger number is refused.
            let row = i64::try_from(execution.number).unwrap_or(i64::MAX);
            Ok(Row { row, route, stored: None, tail: Some(Tail::default()) })
        })?;
        for transition in batch {
            write_setting(connection, transition)?;
        }
        Ok(())
    }

    /// Counts log lines, or none of them: then the problem is [`Problem::Refused`], unless the
    /// database failed.
    pub(super) fn append(&mut self, connection: &Connection, spans: &[LogSpan]) -> Result<()> {
        for span in spans {
            if self.cache.get(span.execution).is_none() {
                self.load(connection, span.execution)?;
            }
        }
        Ok(self.cache.append(spans)?)
    }

    /// Returns the row of an execution that was loaded by this transaction.
    pub(super) fn row(&mut self, id: ExecutionId) -> Option<&mut Row> {
        self.cache.get_mut(id).map(|entry| &mut entry.row)
    }

    fn load(&mut self, connection: &Connection, id: ExecutionId) -> Result<()> {
        let sql = format!(
            "SELECT {COLUMNS_WITHOUT_PARAMETERS}, e.route, e.lease FROM executions AS e \
             JOIN routes AS r ON r.route = e.route WHERE e.id = ?1"
        );
        let mut statement = connection.prepare_cached(&sql)?;
        let mut rows = statement.query([record::id_bytes(id)])?;
        let Some(row) = rows.next()? else { return Ok(()) };
        let execution = record::read(row)?;
        let lease: Option<i64> = row.get(COLUMN_COUNT + 1)?;
        let lease = lease.map(|lease| Duration::from_micros(lease.max(0) as u64));
        let bytes = row.get_ref(record::REST_COLUMN)?.as_str().map_or(0, str::len);
        let row = Row {
            row: row.get(record::ROW_COLUMN)?,
            route: row.get(COLUMN_COUNT)?,
            stored: Some((State::of(&execution)?, execution.not_before)),
            tail: None,
        };
        self.cache.insert(execution, lease, row, bytes);
        Ok(())
    }

    /// Writes the rows that have changed.
    pub(super) fn write(&mut self, connection: &Connection) -> Result<()> {
        let Self { cache, moves, no_parameters, .. } = self;
        cache.write(|entry| {
            let state = State::of(&entry.execution)?;
            let rest = record::rest_of(&entry.execution)?;
            match entry.row.stored {
                None => {
                    insert(connection, entry, state, &rest)
                        .map_err(|problem| refused(problem, entry))?;
                    entry.execution.parameters = no_parameters.clone();
                }
                Some(stored) => update(connection, entry, stored, state, &rest)?,
            }
            let is_stored = entry.row.stored.is_some();
            let before = entry.row.stored.replace((state, entry.execution.not_before));
            let was_ended = before.is_some_and(|(state, _)| state.status().is_terminal());
            if state.status().is_terminal() && !was_ended {
                moves.push(((entry.row.route, state), 1));
                if is_stored && entry.execution.has_forgotten_secrets() {
                    forget_secrets(connection, entry)?;
                }
            }
            Ok(rest.len())
        })
    }

    /// Forgets an execution whose row was removed.
    pub(super) fn forget(&mut self, id: ExecutionId, bucket: Bucket) {
        self.cache.remove(id);
        self.moves.push((bucket, -1));
    }

    /// Packs one of the logs that have ended.
    pub(super) fn pack_one(&mut self, connection: &Connection) -> Result<()> {
        // Ended executions are not in the cache, so no cached tail refers to the rows that go.
        let Some(row) = self.loose.pop() else { return Ok(()) };
        Tail::load(connection, row)?.pack(connection, row)
    }

    /// Ends the transaction after the database has confirmed it.
    pub(super) fn commit(&mut self) {
        let Self { cache, loose, .. } = self;
        self.queue_actions.commit();
        for (bucket, by) in self.moves.drain(..) {
            let count = self.ended.entry(bucket).or_default();
            *count = count.saturating_add_signed(by);
            if *count == 0 {
                self.ended.remove(&bucket);
            }
        }
        cache.commit(|entry| {
            if loose.len() < LOOSE_MAX && entry.row.tail.is_some_and(|tail| tail.is_worth_packing())
            {
                loose.push(entry.row.row);
            }
        });
    }

    /// Ends the transaction after it failed.
    pub(super) fn rollback(&mut self) {
        self.queue_actions.rollback();
        self.moves.clear();
        self.cache.rollback();
    }
}

/// Writes a transition that is about an action or a queue.
fn write_setting(connection: &Connection, transition: &Transition) -> Result<()> {
    match transition {
        Transition::Offer(action) => {
            let text = Json::serialize(&**action)?;
            let sql = "INSERT INTO actions (name, action) VALUES (?1, ?2) \
                       ON CONFLICT (name) DO UPDATE SET action = excluded.action";
            connection.prepare_cached(sql)?.execute([&*action.key(), text.as_str()])?;
        }
        Transition::Pause { queue, since } => {
            let sql = "INSERT INTO paused_queues (queue, since) VALUES (?1, ?2) \
                       ON CONFLICT (queue) DO UPDATE SET since = excluded.since";
            connection.prepare_cached(sql)?.execute(params![&**queue, micros(*since)])?;
        }
        Transition::Resume { queue } => {
            let sql = "DELETE FROM paused_queues WHERE queue = ?1";
            connection.prepare_cached(sql)?.execute([&**queue])?;
        }
        _ => {}
    }
    Ok(())
}

/// Translates a failed insert: the unique indexes check the conditions that were not looked up
/// before.
fn refused(problem: Problem, entry: &Entry) -> Problem {
    if !problem.is_not_unique() {
        return problem;
    }
    let text = Error::from(problem).message().to_owned();
    let key = entry.execution.idempotency_key.as_deref();
    let message = match key {
        Some(key) if text.contains("idempotency_key") => {
            format!("the idempotency key {key:?} belongs to another execution")
        }
        _ if text.contains("executions.row") => {
            format!("the number {} belongs to another execution", entry.execution.number)
        }
        _ => format!("execution {}: it exists already", entry.execution.id),
    };
    Problem::Refused(Error::new(ErrorKind::Conflict, message))
}

fn insert(connection: &Connection, entry: &Entry, state: State, rest: &str) -> Result<()> {
    let execution = &entry.execution;
    let parameters = execution.parameters.as_str();
    let is_large = parameters.len() > LARGE_PARAMETERS_BYTES;
    let mut statement = connection.prepare_cached(
        "INSERT INTO executions (row, id, route, state, rank, accepted_at, not_before, expires_at, finished_at, lease, log_lines, \
         log_open, idempotency_key, parameters, rest, parent, requested_by, team, caller) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19)",
    )?;
    statement.execute(params![
        entry.row.row,
        record::id_bytes(execution.id),
        entry.row.route,
        state.code(),
        execution.rank(),
        micros(execution.accepted_at),
        execution.not_before.map(micros),
        execution.expires_at.map(micros),
        execution.finished_at.map(micros),
        entry.lease.map(record::duration_micros),
        execution.log_lines() as i64,
        execution.log_is_open(),
        execution.idempotency_key.as_deref(),
        (!is_large).then_some(parameters),
        rest,
        execution.parent.map(|parent| record::id_bytes(parent.execution)),
        execution.requested_by.as_deref(),
        Some(&*execution.team).filter(|team| !team.is_empty()),
        Some(&*execution.caller).filter(|caller| !caller.is_empty()),
    ])?;
    if is_large {
        let sql = "INSERT INTO large_parameters (row, parameters) VALUES (?1, ?2)";
        connection.prepare_cached(sql)?.execute(params![entry.row.row, parameters])?;
    }
    search_index::put(connection, entry.row.row, execution)
}

/// Erases the secrets among the parameters of an execution that has ended. The cache has no parameters.
fn forget_secrets(connection: &Connection, entry: &Entry) -> Result<()> {
    let row = entry.row.row;
    let find = "SELECT coalesce(e.parameters, (SELECT l.parameters FROM large_parameters AS l WHERE l.row = e.row)) \
                FROM executions AS e WHERE e.row = ?1";
    let found: Option<String> =
        connection.prepare_cached(find)?.query_row([row], |row| row.get(0))?;
    // Parameters that are damaged are left out of every read.
    let Some(parameters) = found.and_then(|text| Json::parse(text).ok()) else { return Ok(()) };
    let mut shown = Execution::new(entry.execution.id, "", parameters);
    shown.secrets.clone_from(&entry.execution.secrets);
    let shown = shown.shown_parameters();
    // What is written over must not stay in free space.
    connection.pragma_update(None, "secure_delete", true)?;
    let large = "UPDATE large_parameters SET parameters = ?2 WHERE row = ?1";
    if connection.prepare_cached(large)?.execute(params![row, shown.as_str()])? == 0 {
        let small = "UPDATE executions SET parameters = ?2 WHERE row = ?1";
        connection.prepare_cached(small)?.execute(params![row, shown.as_str()])?;
    }
    connection.pragma_update(None, "secure_delete", false)?;
    Ok(())
}

fn update(
    connection: &Connection,
    entry: &Entry,
    stored: (State, Option<Timestamp>),
    state: State,
    rest: &str,
) -> Result<()> {
    let execution = &entry.execution;
    let lease = entry.lease.map(record::duration_micros);
    let (lines, log_open) = (execution.log_lines() as i64, execution.log_is_open());
    if stored == (state, execution.not_before) {
        // SQLite touches every index that has a column which is set, changed or not.
        let sql = "UPDATE executions SET lease = ?2, log_lines = ?3, log_open = ?4, rest = ?5 WHERE row = ?1";
        let mut statement = connection.prepare_cached(sql)?;
        statement.execute(params![entry.row.row, lease, lines, log_open, rest])?;
        return Ok(());
    }
    let mut statement = connection.prepare_cached(
        "UPDATE executions SET lease = ?2, log_lines = ?3, log_open = ?4, rest = ?5, state = ?6, not_before = ?7, finished_at = ?8 \
         WHERE row = ?1",
    )?;
    statement.execute(params![
        entry.row.row,
        lease,
        lines,
        log_open,
        rest,
        state.code(),
        execution.not_before.map(micros),
        execution.finished_at.map(micros),
    ])?;
    if state == State::Failed {
        search_index::put_failed(connection, entry.row.row, execution)?;
    }
    Ok(())
}
