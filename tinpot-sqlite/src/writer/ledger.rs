//! Executions that are being changed, and the rows that become of them.
//!
//! The writer is the only one who changes anything, so what it has read or written once it need not read again. Within one transaction the
//! changes of an execution are made here, by the functions of the core, and its row is written once, at the end.

use std::collections::HashMap;
use std::time::Duration;

use rusqlite::{Connection, params};
use tinpot_core::store::{Standing, Transition};
use tinpot_core::{Error, ErrorKind, Execution, ExecutionId, Json, Timestamp};

use super::logs::Tail;
use super::routes::Routes;
use crate::error::{Problem, Result};
use crate::record::{self, COLUMN_COUNT, COLUMNS_WITHOUT_PARAMETERS, State, micros};

/// Executions kept between transactions, and the bytes of what is known of them; then all are dropped, which costs one read each for those
/// that are still of interest. Far more than workers hold at a time.
const ENTRIES_MAX: usize = 16_384;
const ENTRIES_MAX_BYTES: usize = 32 * 1024 * 1024;
/// Logs that wait to be packed. When there are more, the rest stays as it is: larger, and as readable.
const LOOSE_MAX: usize = 1_024;
/// Parameters of more bytes have a table of their own.
const LARGE_PARAMETERS_BYTES: usize = 1024;

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) row: i64,
    route: i64,
    /// Without its parameters, once they are written.
    pub(super) execution: Execution,
    lease: Option<Duration>,
    /// What the indexes have: `None` while there is no row.
    stored: Option<(State, Option<Timestamp>)>,
    changed: bool,
    bytes: usize,
    /// The end of its log, once it was needed.
    pub(super) tail: Option<Tail>,
}

#[derive(Debug)]
pub(super) struct Ledger {
    pub(super) routes: Routes,
    entries: HashMap<ExecutionId, Entry>,
    bytes: usize,
    /// Those whose rows have to be written, in the order of their first change.
    changed: Vec<ExecutionId>,
    next_row: i64,
    no_parameters: Json,
    /// How many have ended, of each route and state.
    pub(super) ended: HashMap<(i64, State), u64>,
    /// What this transaction adds to, or takes from, that.
    pub(super) moves: Vec<((i64, State), i64)>,
    /// Rows of executions whose logs have ended and are not packed.
    pub(super) loose: Vec<i64>,
}

impl Ledger {
    pub(super) fn new(routes: Routes, next_row: i64, ended: HashMap<(i64, State), u64>) -> Self {
        Self {
            routes,
            entries: HashMap::new(),
            bytes: 0,
            changed: Vec::new(),
            next_row,
            no_parameters: Json::empty_object(),
            ended,
            moves: Vec::new(),
            loose: Vec::new(),
        }
    }

    /// Makes the changes of a batch, or none of them: then the problem is [`Problem::Refused`], unless the database failed.
    pub(super) fn commit(
        &mut self,
        connection: &Connection,
        batch: &[Transition],
        at: Timestamp,
    ) -> Result<()> {
        let mut standings: HashMap<ExecutionId, Standing> = HashMap::with_capacity(batch.len());
        for transition in batch {
            let Some(id) = transition.execution() else { continue };
            let now = match standings.get(&id) {
                Some(standing) => Some(*standing),
                // Whether the id is new is for the index to say, when the row is written: that saves a look for every execution.
                None if matches!(transition, Transition::Accept(_)) => {
                    self.entries.get(&id).map(|entry| entry.execution.standing())
                }
                None => self.entry(connection, id)?.map(|entry| entry.execution.standing()),
            };
            standings.insert(id, transition.check(now)?);
        }
        for transition in batch {
            self.apply(connection, transition, at)?;
        }
        Ok(())
    }

    fn apply(
        &mut self,
        connection: &Connection,
        transition: &Transition,
        at: Timestamp,
    ) -> Result<()> {
        match transition {
            Transition::Offer(action) => {
                let text = Json::serialize(&**action)?;
                let sql = "INSERT INTO actions (name, action) VALUES (?1, ?2) \
                           ON CONFLICT (name) DO UPDATE SET action = excluded.action";
                connection.prepare_cached(sql)?.execute([&action.name, text.as_str()])?;
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
            Transition::Accept(execution) => {
                let route = self.routes.number(connection, &execution.queue, &execution.action)?;
                let mut execution = (**execution).clone();
                execution.accepted_at = at;
                let id = execution.id;
                let row = self.next_row;
                self.next_row += 1;
                let tail = Some(Tail::default());
                let entry = Entry {
                    row,
                    route,
                    execution,
                    lease: None,
                    stored: None,
                    changed: true,
                    bytes: 0,
                    tail,
                };
                self.entries.insert(id, entry);
                self.changed.push(id);
            }
            _ => {
                let Some(id) = transition.execution() else { return Ok(()) };
                let Some(entry) = self.change(id) else { return Ok(()) };
                if let Transition::Grant { lease, .. } = transition {
                    entry.lease = Some(*lease);
                }
                transition.apply(&mut entry.execution, at);
            }
        }
        Ok(())
    }

    /// What is known of an execution, read if need be.
    pub(super) fn entry(
        &mut self,
        connection: &Connection,
        id: ExecutionId,
    ) -> Result<Option<&mut Entry>> {
        if !self.entries.contains_key(&id) {
            let Some(entry) = load(connection, id)? else { return Ok(None) };
            self.bytes += entry.bytes;
            self.entries.insert(id, entry);
        }
        Ok(self.entries.get_mut(&id))
    }

    /// The same, of one that is about to be changed and was looked at before.
    pub(super) fn change(&mut self, id: ExecutionId) -> Option<&mut Entry> {
        let entry = self.entries.get_mut(&id)?;
        if !std::mem::replace(&mut entry.changed, true) {
            self.changed.push(id);
        }
        Some(entry)
    }

    /// Writes the rows that have changed.
    pub(super) fn write(&mut self, connection: &Connection) -> Result<()> {
        for id in &self.changed {
            let Some(entry) = self.entries.get_mut(id) else { continue };
            let state = State::of(&entry.execution);
            let rest = record::rest_of(&entry.execution)?;
            self.bytes = self.bytes.saturating_sub(entry.bytes);
            entry.bytes = rest.len();
            self.bytes += entry.bytes;
            match entry.stored {
                None => {
                    insert(connection, entry, state, &rest)
                        .map_err(|problem| refused(problem, entry))?;
                    entry.execution.parameters = self.no_parameters.clone();
                }
                Some(stored) => update(connection, entry, stored, state, &rest)?,
            }
            let before = entry.stored.replace((state, entry.execution.not_before));
            entry.changed = false;
            let was_ended = before.is_some_and(|(state, _)| state.status().is_terminal());
            if state.status().is_terminal() && !was_ended {
                self.moves.push(((entry.route, state), 1));
            }
        }
        Ok(())
    }

    /// An execution is forgotten: its row is gone.
    pub(super) fn forget(&mut self, id: ExecutionId, shelf: (i64, State)) {
        if let Some(entry) = self.entries.remove(&id) {
            self.bytes = self.bytes.saturating_sub(entry.bytes);
        }
        self.moves.push((shelf, -1));
    }

    /// Packs one of the logs that have ended.
    pub(super) fn pack_one(&mut self, connection: &Connection) -> Result<()> {
        // What has ended is not among the entries, so nothing here knows of the rows that go.
        let Some(row) = self.loose.pop() else { return Ok(()) };
        Tail::load(connection, row)?.pack(connection, row)
    }

    /// The transaction is committed.
    pub(super) fn settle(&mut self) {
        self.routes.settle();
        for (shelf, by) in self.moves.drain(..) {
            let count = self.ended.entry(shelf).or_default();
            *count = count.saturating_add_signed(by);
            if *count == 0 {
                self.ended.remove(&shelf);
            }
        }
        for id in self.changed.drain(..) {
            // Nothing will change it any more but its log, if that is under way.
            let is_done = |entry: &Entry| {
                entry.execution.status.is_terminal() && !entry.execution.log_is_open()
            };
            if self.entries.get(&id).is_some_and(is_done)
                && let Some(entry) = self.entries.remove(&id)
            {
                self.bytes = self.bytes.saturating_sub(entry.bytes);
                if self.loose.len() < LOOSE_MAX
                    && entry.tail.is_some_and(|tail| tail.is_worth_packing())
                {
                    self.loose.push(entry.row);
                }
            }
        }
        if self.entries.len() > ENTRIES_MAX || self.bytes > ENTRIES_MAX_BYTES {
            self.entries.clear();
            self.bytes = 0;
        }
    }

    /// The transaction was rolled back: what it has changed is read again.
    pub(super) fn undo(&mut self) {
        self.routes.undo();
        self.moves.clear();
        for id in self.changed.drain(..) {
            if let Some(entry) = self.entries.remove(&id) {
                self.bytes = self.bytes.saturating_sub(entry.bytes);
            }
        }
    }
}

/// What a failed insert means: the unique indexes hold the two conditions that are not looked up before.
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
        _ => format!("execution {}: it exists already", entry.execution.id),
    };
    Problem::Refused(Error::new(ErrorKind::Conflict, message))
}

fn load(connection: &Connection, id: ExecutionId) -> Result<Option<Entry>> {
    let sql = format!(
        "SELECT {COLUMNS_WITHOUT_PARAMETERS}, e.row, e.route, e.lease FROM executions AS e \
         JOIN routes AS r ON r.route = e.route WHERE e.id = ?1"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query([record::id_bytes(id)])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let execution = record::read(row)?;
    let lease: Option<i64> = row.get(COLUMN_COUNT + 2)?;
    Ok(Some(Entry {
        row: row.get(COLUMN_COUNT)?,
        route: row.get(COLUMN_COUNT + 1)?,
        lease: lease.map(|lease| Duration::from_micros(lease.max(0) as u64)),
        stored: Some((State::of(&execution), execution.not_before)),
        changed: false,
        bytes: row.get_ref(record::REST_COLUMN)?.as_str().map_or(0, str::len),
        tail: None,
        execution,
    }))
}

fn insert(connection: &Connection, entry: &Entry, state: State, rest: &str) -> Result<()> {
    let execution = &entry.execution;
    let parameters = execution.parameters.as_str();
    let is_large = parameters.len() > LARGE_PARAMETERS_BYTES;
    let mut statement = connection.prepare_cached(
        "INSERT INTO executions (row, id, route, state, rank, accepted_at, not_before, expires_at, finished_at, lease, log_lines, \
         log_open, idempotency_key, parameters, rest, parent, requested_by) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)",
    )?;
    statement.execute(params![
        entry.row,
        record::id_bytes(execution.id),
        entry.route,
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
    ])?;
    if is_large {
        let sql = "INSERT INTO large_parameters (row, parameters) VALUES (?1, ?2)";
        connection.prepare_cached(sql)?.execute(params![entry.row, parameters])?;
    }
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
        statement.execute(params![entry.row, lease, lines, log_open, rest])?;
        return Ok(());
    }
    let mut statement = connection.prepare_cached(
        "UPDATE executions SET lease = ?2, log_lines = ?3, log_open = ?4, rest = ?5, state = ?6, not_before = ?7, finished_at = ?8 \
         WHERE row = ?1",
    )?;
    statement.execute(params![
        entry.row,
        lease,
        lines,
        log_open,
        rest,
        state.code(),
        execution.not_before.map(micros),
        execution.finished_at.map(micros),
    ])?;
    Ok(())
}
