//! Routes and their numbers: the queue, the key of the action and the runtime, if any, of executions.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::Connection;
use tinpot_core::Execution;

use crate::error::Result;

/// The number of each action's routes in a queue, by action and then by runtime. The empty runtime is
/// that of executions without a bundle.
type ByAction = HashMap<Arc<str>, HashMap<Arc<str>, i64>>;

/// All routes of executions in the store. A route without executions is removed at the next opening.
#[derive(Debug, Default)]
pub(super) struct QueueActions {
    by_name: HashMap<Arc<str>, ByAction>,
    actions: HashMap<i64, Arc<str>>,
    /// Routes that are not committed yet.
    new: Vec<(Route, i64)>,
}

/// The queue, the key of the action and the runtime of a route.
type Route = [Arc<str>; 3];

impl QueueActions {
    pub(super) fn load(connection: &Connection) -> Result<Self> {
        connection.execute(
            "DELETE FROM routes WHERE NOT EXISTS (SELECT 1 FROM executions AS e INDEXED BY listed WHERE e.route = routes.route)",
            [],
        )?;
        let mut routes = Self::default();
        let mut statement =
            connection.prepare("SELECT route, queue, action, runtime FROM routes")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let names = [row.get::<_, String>(1)?, row.get(2)?, row.get(3)?];
            routes.insert(names.map(Arc::from), row.get(0)?);
        }
        Ok(routes)
    }

    fn insert(&mut self, [queue, action, runtime]: Route, route: i64) {
        self.actions.insert(route, action.clone());
        let actions = self.by_name.entry(queue).or_default();
        actions.entry(action).or_default().insert(runtime, route);
    }

    /// Returns the number of the route of an execution, and adds a new route.
    pub(super) fn number(&mut self, connection: &Connection, execution: &Execution) -> Result<i64> {
        let (queue, action) = (&execution.queue, execution.action_key());
        let runtime = execution.runtime().map_or("", |runtime| &**runtime);
        let runtimes = self.by_name.get(queue).and_then(|actions| actions.get(&action));
        if let Some(route) = runtimes.and_then(|runtimes| runtimes.get(runtime)) {
            return Ok(*route);
        }
        let sql = "INSERT INTO routes (queue, action, runtime) VALUES (?1, ?2, ?3)";
        connection.prepare_cached(sql)?.execute([&**queue, &*action, runtime])?;
        let route = connection.last_insert_rowid();
        let names = [queue.clone(), action, runtime.into()];
        self.insert(names.clone(), route);
        self.new.push((names, route));
        Ok(route)
    }

    /// Returns the name of the action of a route, of whatever team.
    pub(super) fn action(&self, route: i64) -> &str {
        let key = self.actions.get(&route).map_or("", |action| &**action);
        key.split_once('/').map_or(key, |(_, name)| name)
    }

    /// Ends the transaction after the database has confirmed it.
    pub(super) fn commit(&mut self) {
        self.new.clear();
    }

    /// Ends the transaction after it failed.
    pub(super) fn rollback(&mut self) {
        for ([queue, action, runtime], route) in self.new.drain(..) {
            self.actions.remove(&route);
            let actions = self.by_name.get_mut(&queue);
            if let Some(runtimes) = actions.and_then(|actions| actions.get_mut(&action)) {
                runtimes.remove(&runtime);
            }
        }
    }
}
