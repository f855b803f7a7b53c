//! The executions that a caller may read, as conditions of queries.
//!
//! Names and patterns are about queues and actions, which are pairs in a small table: a route is
//! visible as a whole, or as far as the caller owns its executions, or not at all.

use std::collections::HashSet;

use rusqlite::{Connection, params};
use tinpot_core::store::ListOptions;
use tinpot_core::{DEFAULT_TEAM, Target};

use crate::error::Result;

/// The most routes for which an index of routes is faster than reading all rows.
const FEW: usize = 16;

/// The visible routes.
#[derive(Debug)]
pub(super) struct VisibleRoutes {
    /// The team; `None` for the default team.
    pub(super) team: Option<String>,
    pub(super) caller: String,
    /// The routes whose executions are all visible, and those of which the caller's own are.
    all: HashSet<i64>,
    own: HashSet<i64>,
}

impl VisibleRoutes {
    /// Returns the routes that a list may show; `None` if it shows all.
    pub(super) fn of(connection: &Connection, options: &ListOptions) -> Result<Option<Self>> {
        let Some(visible) = &options.visible else { return Ok(None) };
        let team = Some(visible.team.to_string()).filter(|team| team != DEFAULT_TEAM);
        let caller = visible.caller.to_string();
        let (mut all, mut own) = (HashSet::new(), HashSet::new());
        let mut routes = connection.prepare_cached("SELECT route, queue, action FROM routes")?;
        let mut rows = routes.query([])?;
        while let Some(row) = rows.next()? {
            let route = row.get(0)?;
            let text = |column| row.get_ref(column)?.as_str().map_err(rusqlite::Error::from);
            let (queue, key) = (text(1)?, text(2)?);
            let name = match &team {
                Some(team) => key.strip_prefix(team.as_str()).and_then(|key| key.strip_prefix('/')),
                None => Some(key),
            };
            let Some(action) = name else { continue };
            let target = Target::team(&visible.team).action(action).queue(queue);
            if visible.shows(&target) {
                all.insert(route);
            } else if visible.shows(&target.owner(&visible.caller)) {
                own.insert(route);
            }
        }
        Ok(Some(Self { team, caller, all, own }))
    }

    /// Returns true if an execution with these columns is visible.
    pub(super) fn shows(&self, route: i64, team: Option<&str>, caller: Option<&str>) -> bool {
        team == self.team.as_deref()
            && (self.all.contains(&route)
                || (caller == Some(&self.caller) && self.own.contains(&route)))
    }

    /// Returns true if some execution of the route may be visible.
    pub(super) fn may_show(&self, route: i64) -> bool {
        self.all.contains(&route) || self.own.contains(&route)
    }

    /// Returns true if no route is visible. A condition on no route is one that no index can answer.
    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty() && self.own.is_empty()
    }

    /// Returns true if only executions of the caller are visible.
    pub(super) fn are_own(&self) -> bool {
        self.all.is_empty()
    }

    /// Returns true if few routes are visible.
    pub(super) fn are_few(&self) -> bool {
        self.all.len() + self.own.len() <= FEW
    }

    /// Returns the condition for rows of `executions AS e`, with the team and the caller as these
    /// parameters. A condition on the caller alone lets the index of owners answer.
    pub(super) fn condition(&self, team: usize, caller: usize) -> String {
        let list = |routes: &HashSet<i64>| {
            let mut routes: Vec<i64> = routes.iter().copied().collect();
            routes.sort_unstable();
            let numbers: Vec<String> = routes.iter().map(i64::to_string).collect();
            numbers.join(", ")
        };
        let (all, own) = (list(&self.all), list(&self.own));
        // The route first, which most rows fail by: it is at the front of a row.
        let shown = format!("+e.route IN ({all})");
        let owned = format!("(e.caller = ?{caller} AND +e.route IN ({own}))");
        let routes = match (self.all.is_empty(), self.own.is_empty()) {
            (true, _) => owned,
            (false, true) => format!("{shown} AND ?{caller} IS NOT NULL"),
            (false, false) => format!("({shown} OR {owned})"),
        };
        format!("{routes} AND +e.team IS ?{team}")
    }
}

/// Returns the expression of the name in the key of an action, of any team. Names have no slash.
pub(super) fn name_in(key: &str) -> String {
    format!("substr({key}, instr({key}, '/') + 1)")
}

/// Returns the pairs of queue and action of a list, of all teams.
pub(super) fn routes(connection: &Connection, options: &ListOptions) -> Result<Vec<i64>> {
    let mut routes = connection.prepare_cached(&format!(
        "SELECT route FROM routes WHERE (?1 IS NULL OR action = ?1 OR {} = ?1) AND (?2 IS NULL OR queue = ?2)",
        name_in("action")
    ))?;
    let routes = routes.query_map(params![options.action, options.queue], |row| row.get(0))?;
    Ok(routes.collect::<rusqlite::Result<_>>()?)
}
