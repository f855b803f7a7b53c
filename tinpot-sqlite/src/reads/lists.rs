//! Lists of executions: filtered, newest first, page by page.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, params};
use tinpot_core::store::{ListOptions, Search};
use tinpot_core::{Execution, ExecutionId, Timestamp};

use super::visible::{VisibleRoutes, name_in, routes};
use super::{FROM, of_ids, select};
use crate::damage::Damage;
use crate::error::Result;
use crate::record::{COLUMNS, State, execution_id, id_bytes, micros};

/// The most time between the creation of an id and the acceptance of its execution. Both use the
/// same clock, so only a clock that is set can exceed it.
pub(super) const ID_TO_ACCEPTANCE_MILLIS: u64 = 60_000;

/// The further rows that a page looks for, in place of those that cannot be read.
pub(super) const SPARE: usize = 8;

/// The rows that are read for each row of a page, before an index of the visible routes is asked.
const LATEST: usize = 10;

/// The range of ids and times of a page. Ids begin with their millisecond of creation and are in
/// every index, so a query reads only the rows between two times.
pub(super) struct Stretch {
    /// The first id that may be in the page, and the id before which it ends.
    pub(super) first: [u8; 16],
    pub(super) before: [u8; 16],
    pub(super) since: i64,
    pub(super) until: i64,
}

impl Stretch {
    pub(super) fn of(options: &ListOptions) -> Self {
        let millis = |time: Timestamp| time.as_micros() / 1_000;
        let first =
            options.since.map(|since| millis(since) - millis(since).min(ID_TO_ACCEPTANCE_MILLIS));
        // No id is larger, and `before` excludes the id that it names.
        let before = options.before.map_or([0xff; 16], id_bytes);
        let latest = options
            .until
            .map_or([0xff; 16], |until| made_at(millis(until) + ID_TO_ACCEPTANCE_MILLIS));
        Self {
            first: first.map_or([0; 16], made_at),
            before: before.min(latest),
            since: options.since.map_or(i64::MIN, micros),
            until: options.until.map_or(i64::MAX, micros),
        }
    }
}

/// Returns the smallest id that can be made in a millisecond. An id has 48 bits for its time.
pub(super) fn made_at(millis: u64) -> [u8; 16] {
    id_bytes(ExecutionId::from_u128(u128::from(millis.min((1 << 48) - 1)) << 80))
}

/// Returns the condition for visible rows, with the team and the caller as the parameters from this
/// number on.
fn condition(visible: Option<&VisibleRoutes>, first: usize) -> String {
    match visible {
        Some(visible) => visible.condition(first, first + 1),
        None => format!("(?{first} IS NULL OR ?{} IS NOT NULL)", first + 1),
    }
}

/// Returns an id about `n` rows before the newest one of a range; `None` if there are fewer. Rows are
/// numbered in about the order of ids, so that this need not count them.
fn about_before(connection: &Connection, before: &[u8; 16], n: usize) -> Result<Option<[u8; 16]>> {
    let sql = "SELECT id FROM executions WHERE row <= \
               (SELECT row FROM executions WHERE id < ?1 ORDER BY id DESC LIMIT 1) - ?2 \
               ORDER BY row DESC LIMIT 1";
    let n = i64::try_from(n).unwrap_or(i64::MAX);
    let mut id = connection.prepare_cached(sql)?;
    Ok(id.query_row(params![before, n], |row| row.get(0)).optional()?)
}

/// Returns one page of executions, newest first.
pub(crate) fn executions(
    connection: &Connection,
    options: &ListOptions,
    damage: &Damage,
) -> Result<Vec<Arc<Execution>>> {
    if let Some(key) = &options.idempotency_key {
        let sql = format!("SELECT {COLUMNS} {FROM} WHERE e.idempotency_key = ?1");
        return select(connection, &sql, [key], (usize::MAX, usize::MAX), damage);
    }
    let search = options.search.as_deref().map(Search::new);
    if let Some(number) = options.number {
        let sql = format!("SELECT {COLUMNS} {FROM} WHERE e.row = ?1");
        let row = i64::try_from(number).unwrap_or(-1);
        let mut found = select(connection, &sql, [row], (usize::MAX, usize::MAX), damage)?;
        found.retain(|execution| {
            options.filters_match(execution)
                && options.before.is_none_or(|before| execution.id < before)
                && search.as_ref().is_none_or(|search| search.matches(execution))
        });
        return Ok(found);
    }
    if let Some(search) = search.filter(|search| !search.parts().is_empty()) {
        return super::search::executions(connection, options, &search, damage);
    }
    let visible = VisibleRoutes::of(connection, options)?;
    let seen = visible.as_ref();
    if seen.is_some_and(VisibleRoutes::is_empty) {
        return Ok(Vec::new());
    }
    // Without conditions on them, the two parameters are there as well.
    let (team, caller) = seen.map_or((&None, ""), |seen| (&seen.team, seen.caller.as_str()));
    let limit = options.page_size();
    let Stretch { first, before, since, until } = Stretch::of(options);
    let of_status = |state: &State| options.has_status(state.status());
    let states: Vec<State> = State::ALL.into_iter().filter(of_status).collect();
    let codes: Vec<String> = states.iter().map(|state| state.code().to_string()).collect();
    let codes = codes.join(", ");
    let within = "e.id >= ?1 AND e.id < ?2 AND e.accepted_at >= ?3 AND e.accepted_at <= ?4";
    if options.parent.is_some() || options.requested_by.is_some() {
        // Either filter leaves few rows.
        let index = if options.parent.is_some() { "children" } else { "requested" };
        let (visible, name) = (condition(seen, 9), name_in("r.action"));
        let sql = format!(
            "SELECT {COLUMNS} FROM executions AS e INDEXED BY {index} JOIN routes AS r ON r.route = e.route \
             WHERE {within} AND (?5 IS NULL OR r.action = ?5 OR {name} = ?5) AND (?6 IS NULL OR r.queue = ?6) \
             AND e.state IN ({codes}) AND {visible} AND {} ORDER BY e.id DESC",
            match (&options.parent, &options.requested_by) {
                (Some(_), Some(_)) => "e.parent = ?7 AND e.requested_by = ?8",
                (Some(_), None) => "e.parent = ?7 AND ?8 IS NULL",
                _ => "?7 IS NULL AND e.requested_by = ?8",
            }
        );
        let parent = options.parent.map(id_bytes);
        let (action, queue, who) = (&options.action, &options.queue, &options.requested_by);
        let params = params![first, before, since, until, action, queue, parent, who, team, caller];
        return select(connection, &sql, params, (limit, usize::MAX), damage);
    }
    let is_unfiltered =
        options.statuses.is_empty() && (&options.action, &options.queue) == (&None, &None);
    if is_unfiltered {
        // What only the caller has submitted is in an index of its own.
        let is_own = seen.is_some_and(VisibleRoutes::are_own);
        let index = if is_own { "INDEXED BY owned" } else { "" };
        let sql = format!(
            "SELECT {COLUMNS} FROM executions AS e {index} JOIN routes AS r ON r.route = e.route WHERE {within} AND {} ORDER BY e.id DESC",
            condition(seen, 5)
        );
        let from = |first| {
            let params = params![first, before, since, until, team, caller];
            select(connection, &sql, params, (limit, usize::MAX), damage)
        };
        if is_own || !seen.is_some_and(VisibleRoutes::are_few) {
            return from(first);
        }
        // Often some of the newest rows are visible, and fill the page.
        let latest = limit.saturating_mul(LATEST);
        let begin = about_before(connection, &before, latest)?.unwrap_or(first).max(first);
        let found = from(begin)?;
        if found.len() >= limit || begin == first {
            return Ok(found);
        }
    }
    // With any filters, the rows are ranges of one index, each in the order of ids. The newest of
    // each range are merged.
    let mut routes = routes(connection, options)?;
    routes.retain(|route| seen.is_none_or(|seen| seen.may_show(*route)));
    let visible = condition(seen, 8);
    // Without a time filter, the index alone answers.
    let timed = options.since.is_some() || options.until.is_some();
    let times = if timed { "accepted_at >= ?6 AND accepted_at <= ?7" } else { "?6 <= ?7" };
    let mut newest = connection.prepare_cached(&format!(
        "SELECT id FROM executions AS e INDEXED BY listed WHERE route = ?1 AND state = ?2 AND id >= ?3 AND id < ?4 AND {times} AND {visible} \
         ORDER BY id DESC LIMIT ?5"
    ))?;
    let mut ids: Vec<ExecutionId> = Vec::new();
    // Some that cannot be read are left out.
    let wanted = limit + SPARE;
    for route in routes {
        for state in &states {
            let (state, wanted) = (state.code(), wanted as i64);
            let params = params![route, state, first, before, wanted, since, until, team, caller];
            let mut rows = newest.query(params)?;
            while let Some(row) = rows.next()? {
                ids.push(execution_id(row, 0)?);
            }
        }
        // At most two pages of ids are kept at a time.
        if ids.len() > 2 * wanted {
            ids.sort_unstable_by(|a, b| b.cmp(a));
            ids.truncate(wanted);
        }
    }
    ids.sort_unstable_by(|a, b| b.cmp(a));
    ids.truncate(wanted);
    of_ids(connection, ids, damage).take(limit).collect()
}
