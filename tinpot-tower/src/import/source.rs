//! MiniTower's database, as it is read.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, OpenFlags, Row};
use tinpot_bundle::Hasher;
use tinpot_core::{Error, ErrorKind, Result, Timestamp};

use super::ActiveRuns;

/// The migrations that are known: later ones may have added what is not taken.
const MIGRATIONS: i64 = 5;
/// The tables without which a database is not MiniTower's.
const TABLES: [&str; 9] = [
    "teams",
    "team_tokens",
    "environments",
    "apps",
    "app_versions",
    "runs",
    "runners",
    "run_attempts",
    "run_logs",
];

/// The database of a MiniTower, as it was when it was opened. It is only read.
#[derive(Debug)]
pub struct MiniTower {
    connection: Mutex<Connection>,
    /// The migrations that are not known.
    pub(super) later_migrations: i64,
}

pub(super) struct Team {
    pub(super) id: i64,
    pub(super) slug: String,
    pub(super) name: String,
    pub(super) password_hash: Option<String>,
}

pub(super) struct Token {
    pub(super) id: i64,
    pub(super) hash: String,
    pub(super) name: Option<String>,
    pub(super) is_admin: bool,
    pub(super) created: Timestamp,
}

pub(super) struct App {
    pub(super) id: i64,
    pub(super) team: i64,
    pub(super) slug: String,
    pub(super) description: Option<String>,
    pub(super) is_disabled: bool,
    pub(super) created: Timestamp,
    pub(super) updated: Timestamp,
}

pub(super) struct Version {
    pub(super) id: i64,
    pub(super) number: i64,
    pub(super) object: String,
    pub(super) sha256: String,
    pub(super) entrypoint: String,
    pub(super) timeout_seconds: Option<i64>,
    pub(super) towerfile: Option<String>,
    pub(super) created: Timestamp,
}

pub(super) struct Runner {
    pub(super) id: i64,
    pub(super) name: String,
    pub(super) environment: String,
    pub(super) token_hash: String,
    pub(super) last_seen: Timestamp,
    pub(super) has_run: bool,
}

pub(super) struct Run {
    pub(super) id: i64,
    pub(super) app: i64,
    pub(super) version: i64,
    pub(super) environment: String,
    pub(super) number: i64,
    pub(super) input: Option<String>,
    pub(super) status: String,
    pub(super) priority: i64,
    pub(super) max_retries: i64,
    pub(super) is_cancel_requested: bool,
    pub(super) created: Timestamp,
    pub(super) finished: Option<Timestamp>,
}

pub(super) struct Attempt {
    pub(super) id: i64,
    pub(super) number: i64,
    pub(super) runner: i64,
    pub(super) exit_code: Option<i64>,
    pub(super) error: Option<String>,
    pub(super) created: Timestamp,
    pub(super) started: Option<Timestamp>,
    pub(super) finished: Option<Timestamp>,
}

pub(super) struct Line {
    pub(super) seq: i64,
    pub(super) is_stderr: bool,
    pub(super) text: String,
    pub(super) logged: Timestamp,
}

/// Milliseconds since 1970, as all times are stored.
fn time(millis: i64) -> Timestamp {
    Timestamp(u64::try_from(millis).unwrap_or_default().saturating_mul(1_000))
}

fn failed(error: rusqlite::Error) -> Error {
    let message = format!("the database of MiniTower cannot be read: {error}");
    Error::new(ErrorKind::Malformed, message).with_source(error)
}

/// Returns true if the file is the database of a MiniTower.
///
/// Nothing but its list of tables is read. A file that is no database is not one.
pub fn is_minitower(file: &Path) -> bool {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    file.is_file()
        && Connection::open_with_flags(file, flags)
            .is_ok_and(|connection| missing_table(&connection).is_ok_and(|none| none.is_none()))
}

/// Returns the first table that is missing.
fn missing_table(connection: &Connection) -> rusqlite::Result<Option<&'static str>> {
    let sql = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1)";
    for table in TABLES {
        if !connection.query_row(sql, [table], |row| row.get::<_, bool>(0))? {
            return Ok(Some(table));
        }
    }
    Ok(None)
}

impl MiniTower {
    /// Opens a database, and reads it from now on as it is now. Blocks the thread.
    ///
    /// # Errors
    /// `NotFound` if there is no such file; `InvalidInput` if it is not the database of a MiniTower;
    /// `Malformed` if it cannot be read.
    pub fn open(file: &Path) -> Result<Self> {
        let shown = file.display();
        if !file.is_file() {
            let message =
                format!("no file {shown}: name the database of MiniTower with --database");
            return Err(Error::new(ErrorKind::NotFound, message));
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(file, flags).map_err(failed)?;
        // The first read begins the transaction: nothing changes from then on.
        connection.execute_batch("BEGIN").map_err(failed)?;
        let foreign = |why: String| {
            let message = format!("{shown} is not the database of a MiniTower: {why}");
            Error::new(ErrorKind::InvalidInput, message)
        };
        let missing = missing_table(&connection).map_err(|error| foreign(error.to_string()))?;
        if let Some(table) = missing {
            return Err(foreign(format!("it has no table {table}")));
        }
        let sql = "SELECT count(*) FROM schema_migrations";
        let migrations: i64 = connection.query_row(sql, [], |row| row.get(0)).unwrap_or_default();
        let later_migrations = (migrations - MIGRATIONS).max(0);
        Ok(Self { connection: Mutex::new(connection), later_migrations })
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn all<T>(
        &self,
        sql: &str,
        values: impl rusqlite::Params,
        read: impl Fn(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>> {
        let connection = self.connection();
        let mut statement = connection.prepare_cached(sql).map_err(failed)?;
        let rows = statement.query_map(values, read).map_err(failed)?;
        rows.collect::<rusqlite::Result<_>>().map_err(failed)
    }

    /// Returns a column, or NULL in its place if the table was made before it.
    fn column(&self, table: &str, column: &str) -> Result<String> {
        let sql = "SELECT count(*) FROM pragma_table_info(?1) WHERE name = ?2";
        let found = self.all(sql, [table, column], |row| row.get::<_, i64>(0))?;
        let is_there = found.first().is_some_and(|count| *count > 0);
        Ok(if is_there { column.to_owned() } else { "NULL".to_owned() })
    }

    /// Returns a text that another state of the database does not have.
    ///
    /// # Errors
    /// `Malformed` if it cannot be read.
    pub fn fingerprint(&self) -> Result<String> {
        let mut hasher = Hasher::new();
        for table in TABLES {
            let sql = format!("SELECT count(*), coalesce(max(id), 0) FROM {table}");
            for (count, last) in
                self.all(&sql, [], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)))?
            {
                hasher.update(format!("{table} {count} {last}\n").as_bytes());
            }
        }
        let sql = "SELECT status, count(*) FROM runs GROUP BY status ORDER BY status";
        for (status, count) in
            self.all(sql, [], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)))?
        {
            hasher.update(format!("{status} {count}\n").as_bytes());
        }
        // Credentials above all: what was revoked since must not be valid here.
        for Team { id, slug, password_hash, .. } in self.teams()? {
            hasher.update(format!("{slug} {password_hash:?}\n").as_bytes());
            for Token { id, hash, is_admin, .. } in self.tokens(id)? {
                hasher.update(format!("{id} {hash} {is_admin}\n").as_bytes());
            }
        }
        for Runner { name, token_hash, .. } in self.runners()? {
            hasher.update(format!("{name} {token_hash}\n").as_bytes());
        }
        for App { id, is_disabled, .. } in self.apps()? {
            hasher.update(format!("{id} {is_disabled}\n").as_bytes());
        }
        Ok(hasher.finish().to_string())
    }

    /// Checks that no runner has a run, unless it is clear what becomes of it.
    ///
    /// # Errors
    /// `Conflict` if runners have runs, and `active` does not say what becomes of them; `Malformed` if
    /// the database cannot be read.
    pub fn check_active(&self, active: Option<ActiveRuns>) -> Result<()> {
        let running = self.active_runs()?;
        if running == 0 || active.is_some() {
            return Ok(());
        }
        let message = format!(
            "{running} runs are with runners: wait until they have ended, or say what becomes of them: \
             --active dead, or --active requeue, which runs them again"
        );
        Err(Error::new(ErrorKind::Conflict, message))
    }

    /// Returns the number of runs that a runner has.
    fn active_runs(&self) -> Result<u64> {
        let sql = "SELECT count(*) FROM runs WHERE status IN ('leased', 'running', 'cancelling')";
        let found = self.all(sql, [], |row| row.get::<_, i64>(0))?;
        Ok(found.first().map_or(0, |count| count.unsigned_abs()))
    }

    pub(super) fn teams(&self) -> Result<Vec<Team>> {
        let password = self.column("teams", "password_hash")?;
        let sql = format!("SELECT id, slug, name, {password} FROM teams ORDER BY id");
        self.all(&sql, [], |row| {
            Ok(Team {
                id: row.get(0)?,
                slug: row.get(1)?,
                name: row.get(2)?,
                password_hash: row.get(3)?,
            })
        })
    }

    /// Returns the tokens of a team that are not revoked.
    pub(super) fn tokens(&self, team: i64) -> Result<Vec<Token>> {
        let role = self.column("team_tokens", "role")?;
        let sql = format!(
            "SELECT id, token_hash, name, coalesce({role}, 'admin'), created_at FROM team_tokens \
             WHERE team_id = ?1 AND revoked_at IS NULL ORDER BY id"
        );
        self.all(&sql, [team], |row| {
            Ok(Token {
                id: row.get(0)?,
                hash: row.get(1)?,
                name: row.get(2)?,
                is_admin: row.get::<_, String>(3)? == "admin",
                created: time(row.get(4)?),
            })
        })
    }

    pub(super) fn apps(&self) -> Result<Vec<App>> {
        let sql = "SELECT id, team_id, slug, description, disabled, created_at, updated_at \
                   FROM apps ORDER BY id";
        self.all(sql, [], |row| {
            Ok(App {
                id: row.get(0)?,
                team: row.get(1)?,
                slug: row.get(2)?,
                description: row.get(3)?,
                is_disabled: row.get(4)?,
                created: time(row.get(5)?),
                updated: time(row.get(6)?),
            })
        })
    }

    /// Returns the versions of an app, by number.
    pub(super) fn versions(&self, app: i64) -> Result<Vec<Version>> {
        let towerfile = self.column("app_versions", "towerfile_toml")?;
        let sql = format!(
            "SELECT id, version_no, artifact_object_key, artifact_sha256, entrypoint, \
             timeout_seconds, {towerfile}, created_at \
             FROM app_versions WHERE app_id = ?1 ORDER BY version_no"
        );
        self.all(&sql, [app], |row| {
            Ok(Version {
                id: row.get(0)?,
                number: row.get(1)?,
                object: row.get(2)?,
                sha256: row.get(3)?,
                entrypoint: row.get(4)?,
                timeout_seconds: row.get(5)?,
                towerfile: row.get(6)?,
                created: time(row.get(7)?),
            })
        })
    }

    pub(super) fn runners(&self) -> Result<Vec<Runner>> {
        let sql = "SELECT id, name, environment, token_hash, coalesce(last_seen_at, created_at), \
                   EXISTS (SELECT 1 FROM run_attempts WHERE runner_id = runners.id) \
                   FROM runners ORDER BY id";
        self.all(sql, [], |row| {
            Ok(Runner {
                id: row.get(0)?,
                name: row.get(1)?,
                environment: row.get(2)?,
                token_hash: row.get(3)?,
                last_seen: time(row.get(4)?),
                has_run: row.get(5)?,
            })
        })
    }

    /// Returns runs with ids above `after`, by id.
    pub(super) fn runs(&self, after: i64, limit: usize) -> Result<Vec<Run>> {
        let sql = "SELECT runs.id, app_id, app_version_id, environments.name, run_no, input_json, \
                   status, priority, max_retries, cancel_requested, runs.created_at, queued_at, \
                   finished_at \
                   FROM runs LEFT JOIN environments ON environments.id = runs.environment_id \
                   WHERE runs.id > ?1 ORDER BY runs.id LIMIT ?2";
        self.all(sql, (after, limit as i64), |row| {
            let created: Option<i64> = row.get(10)?;
            Ok(Run {
                id: row.get(0)?,
                app: row.get(1)?,
                version: row.get(2)?,
                environment: row.get::<_, Option<String>>(3)?.unwrap_or_default(),
                number: row.get(4)?,
                input: row.get(5)?,
                status: row.get(6)?,
                priority: row.get(7)?,
                max_retries: row.get(8)?,
                is_cancel_requested: row.get(9)?,
                created: time(created.map_or_else(|| row.get(11), Ok)?),
                finished: row.get::<_, Option<i64>>(12)?.map(time),
            })
        })
    }

    /// Returns the attempts of a run, by number.
    pub(super) fn attempts(&self, run: i64) -> Result<Vec<Attempt>> {
        let sql = "SELECT id, attempt_no, runner_id, exit_code, error_message, created_at, \
                   started_at, finished_at FROM run_attempts WHERE run_id = ?1 ORDER BY attempt_no";
        self.all(sql, [run], |row| {
            Ok(Attempt {
                id: row.get(0)?,
                number: row.get(1)?,
                runner: row.get(2)?,
                exit_code: row.get(3)?,
                error: row.get(4)?,
                created: time(row.get(5)?),
                started: row.get::<_, Option<i64>>(6)?.map(time),
                finished: row.get::<_, Option<i64>>(7)?.map(time),
            })
        })
    }

    /// Returns lines of an attempt with numbers above `after`, in order.
    pub(super) fn lines(&self, attempt: i64, after: i64, limit: usize) -> Result<Vec<Line>> {
        let sql = "SELECT seq, stream, line, logged_at FROM run_logs \
                   WHERE run_attempt_id = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3";
        self.all(sql, (attempt, after, limit as i64), |row| {
            Ok(Line {
                seq: row.get(0)?,
                is_stderr: row.get::<_, String>(1)? == "stderr",
                text: row.get(2)?,
                logged: time(row.get(3)?),
            })
        })
    }
}
