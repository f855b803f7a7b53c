//! The versions of the schema, and the migrations between them.
//!
//! The version is SQLite's `user_version`, and each migration is one transaction. The crates for
//! migrations either did not support this version of rusqlite, or depend on regular expressions,
//! URLs and dates (November 2026).

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use crate::error::{Problem, Result};

/// The migrations, from version 1 on. Never change a released one: add another.
const VERSIONS: &[&str] = &[
    include_str!("schema/V1__initial.sql"),
    include_str!("schema/V2__logs_that_are_open_or_forgotten.sql"),
    include_str!("schema/V3__children.sql"),
    include_str!("schema/V4__paused_queues.sql"),
    include_str!("schema/V5__requested_by.sql"),
    include_str!("schema/V6__search.sql"),
    include_str!("schema/V7__callers.sql"),
    include_str!("schema/V8__records.sql"),
    include_str!("schema/V9__rewritten_parameters.sql"),
    include_str!("schema/V10__runtimes.sql"),
    include_str!("schema/V11__numbers.sql"),
];

/// SQLite's `application_id` of a store: "TPOT".
const APPLICATION: i64 = 0x5450_4f54;

/// Refuses a database of another program and a schema of a later version, without changing
/// anything.
pub(crate) fn check(connection: &Connection, path: &Path) -> Result<()> {
    // One state of the file: another process may be creating it now.
    let connection = &connection.unchecked_transaction()?;
    let application: i64 =
        connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let is_empty: bool =
        connection
            .query_row("SELECT NOT EXISTS (SELECT 1 FROM sqlite_schema)", [], |row| row.get(0))?;
    if application != APPLICATION && !(is_empty && application == 0) {
        let why = "it is an SQLite database of another program".to_owned();
        return Err(Problem::Foreign { path: path.to_owned(), why });
    }
    let known = VERSIONS.len() as i64;
    if found > known {
        return Err(Problem::Newer { path: path.to_owned(), found, known });
    }
    Ok(())
}

/// Migrates the database to the version of this program, one transaction per version. Other
/// processes may do the same at the same time.
pub(crate) fn migrate(connection: &mut Connection, path: &Path) -> Result<()> {
    migrate_to(connection, path, VERSIONS.len())
}

fn version(connection: &Connection) -> Result<u32> {
    Ok(connection.pragma_query_value(None, "user_version", |row| row.get(0))?)
}

pub(crate) fn migrate_to(connection: &mut Connection, path: &Path, to: usize) -> Result<()> {
    let from = version(connection)?;
    for (number, sql) in (1..).zip(VERSIONS).take(to).skip(from as usize) {
        let step = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if version(&step)? >= number {
            continue;
        }
        step.execute_batch(sql)?;
        step.pragma_update(None, "user_version", number)?;
        step.commit()?;
        if from > 0 {
            tracing::info!(path = %path.display(), version = number, "the store was brought to a newer schema");
        }
    }
    Ok(())
}
