//! Searches: executions with certain words, newest first, page by page.
//!
//! The index gives the rows with these words, the latest first. Rows are in the order of acceptance
//! and pages in the order of ids, which differ by the time between the creation of an id and the
//! acceptance of its execution.

use std::collections::BTreeSet;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, params};
use tinpot_core::store::{ListOptions, Search};
use tinpot_core::{Execution, ExecutionId};

use super::lists::{ID_TO_ACCEPTANCE_MILLIS, SPARE, Stretch, made_at};
use super::visible::{VisibleRoutes, routes};
use super::{FROM, of_ids, select};
use crate::damage::Damage;
use crate::error::Result;
use crate::record::{COLUMNS, State, execution_id, id_bytes};

/// The rows that are read in vain before the index of the other filters is used.
const VAIN_MAX: usize = 5_000;
/// The executions that are read because their ids begin with a part of the search.
const BY_ID_MAX: usize = 2_000;

/// Returns one page of the executions that match, newest first.
pub(super) fn executions(
    connection: &Connection,
    options: &ListOptions,
    search: &Search,
    damage: &Damage,
) -> Result<Vec<Arc<Execution>>> {
    // All reads are of one moment.
    let _moment = connection.unchecked_transaction()?;
    let filter = Filter::of(connection, options)?;
    let mut page = Page { ids: BTreeSet::new(), limit: options.page_size() + SPARE };
    by_id(connection, options, search, &filter, &mut page, damage)?;
    by_words(connection, search, &filter, &mut page)?;
    let ids = page.ids.into_iter().rev();
    of_ids(connection, ids, damage).take(options.page_size()).collect()
}

/// The newest ids that were found.
struct Page {
    ids: BTreeSet<ExecutionId>,
    limit: usize,
}

impl Page {
    fn add(&mut self, id: ExecutionId) {
        self.ids.insert(id);
        if self.ids.len() > self.limit {
            self.ids.pop_first();
        }
    }

    /// Returns true if no id that was made up to this time can be in the page.
    fn is_full_at(&self, accepted_at: i64) -> bool {
        let oldest = self.ids.first().filter(|_| self.ids.len() == self.limit);
        oldest.is_some_and(|oldest| accepted_at / 1_000 < (oldest.as_u128() >> 80) as i64)
    }
}

/// The other filters of a list, in the values of columns.
struct Filter<'a> {
    options: &'a ListOptions,
    stretch: Stretch,
    states: Vec<State>,
    /// The pairs of queue and action; `None` for all.
    routes: Option<Vec<i64>>,
    visible: Option<VisibleRoutes>,
    /// The rows between which all rows of the stretch are.
    after_row: i64,
    before_row: i64,
}

impl<'a> Filter<'a> {
    fn of(connection: &Connection, options: &'a ListOptions) -> Result<Self> {
        let stretch = Stretch::of(options);
        let of_status = |state: &State| options.has_status(state.status());
        let routes = if options.action.is_none() && options.queue.is_none() {
            None
        } else {
            Some(routes(connection, options)?)
        };
        let mut all_pages = options.clone();
        all_pages.before = None;
        let mut end = Stretch::of(&all_pages).before;
        if let Some(before) = options.before {
            // What was accepted later than that has no smaller id.
            let millis = (before.as_u128() >> 80) as u64;
            end = end.min(made_at(millis + ID_TO_ACCEPTANCE_MILLIS + 1));
        }
        let row = |sql: &str, id: [u8; 16]| -> Result<Option<i64>> {
            Ok(connection.prepare_cached(sql)?.query_row([id], |row| row.get(0)).optional()?)
        };
        let after = "SELECT row FROM executions WHERE id < ?1 ORDER BY id DESC LIMIT 1";
        let before = "SELECT row FROM executions WHERE id >= ?1 ORDER BY id LIMIT 1";
        Ok(Self {
            options,
            states: State::ALL.into_iter().filter(of_status).collect(),
            routes,
            visible: VisibleRoutes::of(connection, options)?,
            after_row: row(after, stretch.first)?.unwrap_or(i64::MIN),
            before_row: row(before, end)?.unwrap_or(i64::MAX),
            stretch,
        })
    }

    /// Returns the rows that pass the filters which have an index, unless there are none of these.
    fn rows(&self, connection: &Connection) -> Result<Option<Bits>> {
        let mut bits = Bits::default();
        let (parent, who) = (self.options.parent.map(id_bytes), &self.options.requested_by);
        if let Some(parent) = parent {
            let sql = "SELECT row FROM executions INDEXED BY children WHERE parent = ?1";
            bits.add(connection.prepare_cached(sql)?.query([parent])?)?;
        } else if let Some(who) = who {
            let sql = "SELECT row FROM executions INDEXED BY requested WHERE requested_by = ?1";
            bits.add(connection.prepare_cached(sql)?.query([who])?)?;
        } else if self.routes.is_some() || !self.options.statuses.is_empty() {
            let routes = match &self.routes {
                Some(routes) => routes.clone(),
                None => {
                    let mut all = connection.prepare_cached("SELECT route FROM routes")?;
                    let all = all.query_map([], |row| row.get(0))?;
                    all.collect::<rusqlite::Result<_>>()?
                }
            };
            let mut rows = connection.prepare_cached(
                "SELECT row FROM executions INDEXED BY listed \
                 WHERE route = ?1 AND state = ?2 AND id >= ?3 AND id < ?4",
            )?;
            let Stretch { first, before, .. } = self.stretch;
            for route in routes {
                for state in &self.states {
                    bits.add(rows.query(params![route, state.code(), first, before])?)?;
                }
            }
        } else {
            return Ok(None);
        }
        Ok(Some(bits))
    }
}

/// A set of rows.
#[derive(Default)]
struct Bits(Vec<u64>);

impl Bits {
    fn add(&mut self, mut rows: rusqlite::Rows<'_>) -> Result<()> {
        while let Some(row) = rows.next()? {
            let row = row.get::<_, i64>(0)?.max(0) as usize;
            if row / 64 >= self.0.len() {
                self.0.resize(row / 64 + 1, 0);
            }
            self.0[row / 64] |= 1 << (row % 64);
        }
        Ok(())
    }

    fn has(&self, row: i64) -> bool {
        let row = row.max(0) as usize;
        self.0.get(row / 64).is_some_and(|bits| bits >> (row % 64) & 1 == 1)
    }
}

/// Adds executions whose ids begin with a part of the search.
fn by_id(
    connection: &Connection,
    options: &ListOptions,
    search: &Search,
    filter: &Filter<'_>,
    page: &mut Page,
    damage: &Damage,
) -> Result<()> {
    let sql = format!(
        "SELECT {COLUMNS} {FROM} WHERE e.id >= ?1 AND e.id <= ?2 AND e.id < ?3 ORDER BY e.id DESC LIMIT {BY_ID_MAX}"
    );
    for (first, last) in search.parts().iter().filter_map(|part| part.ids) {
        let params = params![id_bytes(first), id_bytes(last), filter.stretch.before];
        for found in select(connection, &sql, params, (BY_ID_MAX, usize::MAX), damage)? {
            if options.filters_match(&found) && search.matches(&found) {
                page.add(found.id);
            }
        }
    }
    Ok(())
}

/// Adds executions that have the words.
fn by_words(
    connection: &Connection,
    search: &Search,
    filter: &Filter<'_>,
    page: &mut Page,
) -> Result<()> {
    // Words consist of letters and digits.
    let parts = search.parts().iter().map(|part| format!("\"{}\" *", part.words.join(" ")));
    let parts = parts.collect::<Vec<_>>().join(" AND ");
    let mut matching = connection.prepare_cached(
        "SELECT rowid FROM search WHERE search MATCH ?1 AND rowid > ?2 AND rowid < ?3 ORDER BY rowid DESC",
    )?;
    let mut columns = connection.prepare_cached(
        "SELECT id, route, state, accepted_at, parent, requested_by, team, caller FROM executions WHERE row = ?1",
    )?;
    let Filter { options, stretch, .. } = filter;
    let parent = options.parent.map(id_bytes);
    let mut rows = matching.query(params![parts, filter.after_row, filter.before_row])?;
    let (mut in_vain, mut selected) = (0, None);
    while let Some(row) = rows.next()? {
        let row: i64 = row.get(0)?;
        if selected.as_ref().is_some_and(|selected: &Bits| !selected.has(row)) {
            continue;
        }
        let mut found = columns.query([row])?;
        let Some(found) = found.next()? else { continue };
        let accepted_at: i64 = found.get(3)?;
        if page.is_full_at(accepted_at) {
            return Ok(());
        }
        let id = execution_id(found, 0)?;
        let (route, state): (i64, State) = (found.get(1)?, State::from_code(found.get(2)?)?);
        let passes = (stretch.first..stretch.before).contains(&id_bytes(id))
            && (stretch.since..=stretch.until).contains(&accepted_at)
            && filter.states.contains(&state)
            && filter.routes.as_ref().is_none_or(|routes| routes.contains(&route))
            && parent.is_none_or(|parent| found.get(4) == Ok(Some(parent)))
            && options.requested_by.as_deref().is_none_or(|who| {
                found.get_ref(5).is_ok_and(|by| by.as_str_or_null() == Ok(Some(who)))
            })
            && filter.visible.as_ref().is_none_or(|visible| {
                let text =
                    |column| found.get_ref(column).and_then(|text| Ok(text.as_str_or_null()?));
                match (text(6), text(7)) {
                    (Ok(team), Ok(caller)) => visible.shows(route, team, caller),
                    _ => false,
                }
            });
        if passes {
            page.add(id);
            continue;
        }
        in_vain += 1;
        if in_vain == VAIN_MAX {
            selected = filter.rows(connection)?;
            if selected.as_ref().is_some_and(|selected| selected.0.is_empty()) {
                return Ok(());
            }
        }
    }
    Ok(())
}
