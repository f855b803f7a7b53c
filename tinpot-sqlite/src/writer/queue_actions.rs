//! Pairs of queue and key of an action, and their numbers: the table `routes`.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::Connection;

use crate::error::Result;

/// All pairs of executions in the store. A pair without executions is removed at the next opening.
#[derive(Debug, Default)]
pub(super) struct QueueActions {
    by_name: HashMap<Arc<str>, HashMap<Arc<str>, i64>>,
    actions: HashMap<i64, Arc<str>>,
    /// Pairs that are not committed yet.
    new: Vec<(Arc<str>, Arc<str>, i64)>,
}

impl QueueActions {
    pub(super) fn load(connection: &Connection) -> Result<Self> {
        connection.execute(
            "DELETE FROM routes WHERE NOT EXISTS (SELECT 1 FROM executions AS e INDEXED BY listed WHERE e.route = routes.route)",
            [],
        )?;
        let mut routes = Self::default();
        let mut statement = connection.prepare("SELECT route, queue, action FROM routes")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let [queue, action] = [row.get::<_, String>(1)?, row.get(2)?].map(Arc::from);
            routes.insert(queue, action, row.get(0)?);
        }
        Ok(routes)
    }

    fn insert(&mut self, queue: Arc<str>, action: Arc<str>, route: i64) {
        self.actions.insert(route, action.clone());
        self.by_name.entry(queue).or_default().insert(action, route);
    }

    /// Returns the number of a pair, and adds a new pair.
    pub(super) fn number(
        &mut self,
        connection: &Connection,
        queue: &Arc<str>,
        action: &Arc<str>,
    ) -> Result<i64> {
        if let Some(route) = self.by_name.get(queue).and_then(|actions| actions.get(action)) {
            return Ok(*route);
        }
        let sql = "INSERT INTO routes (queue, action) VALUES (?1, ?2)";
        connection.prepare_cached(sql)?.execute([&**queue, &**action])?;
        let route = connection.last_insert_rowid();
        self.insert(queue.clone(), action.clone(), route);
        self.new.push((queue.clone(), action.clone(), route));
        Ok(route)
    }

    /// Returns the name of the action of a pair, of whatever team.
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
        for (queue, action, route) in self.new.drain(..) {
            self.actions.remove(&route);
            if let Some(actions) = self.by_name.get_mut(&queue) {
                actions.remove(&action);
            }
        }
    }
}
