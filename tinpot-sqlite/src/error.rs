//! The private error type, which is converted at the boundary of the crate.

use std::io;
use std::path::PathBuf;

use rusqlite::ErrorCode;
use tinpot_core::{Error, ErrorKind};

pub(crate) type Result<T, E = Problem> = std::result::Result<T, E>;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Problem {
    #[error("no store can be at {}: {why}", path.display())]
    Place { path: PathBuf, why: String },
    #[error("the store {} is open in another coordinator{}", path.display(), holder(*by))]
    Held { path: PathBuf, by: Option<u32> },
    #[error(
        "the store {} has schema version {found}, and this program knows versions up to {known}: use the program that wrote it, or a newer one",
        path.display()
    )]
    Newer { path: PathBuf, found: i64, known: i64 },
    #[error("{} is not a store of Tinpot: {why}; it was not changed", path.display())]
    Foreign { path: PathBuf, why: String },
    #[error(
        "the store {} is damaged ({found}), and was not changed: restore a backup, or recover what can be read with \"sqlite3 {} .recover\"",
        path.display(), path.display()
    )]
    Damaged { path: PathBuf, found: String },
    #[error(
        "the store {} has lost what its last coordinator wrote: the file {}-wal is missing; put it back, or empty the file {}-lock to go on without it",
        path.display(), path.display(), path.display()
    )]
    Lost { path: PathBuf },
    #[error("a record of the store cannot be read: {0}")]
    Record(String),
    #[error("the store {} is not open", path.display())]
    Closed { path: PathBuf },
    #[error("all readers of the store are busy, and have been for {seconds} s")]
    Busy { seconds: u64 },
    #[error("{doing} {}", path.display())]
    Io { path: PathBuf, doing: &'static str, source: io::Error },
    #[error("{}", says(.0))]
    Sqlite(#[from] rusqlite::Error),
    /// An error that has its kind already.
    #[error(transparent)]
    Refused(#[from] Error),
}

fn holder(by: Option<u32>) -> String {
    match by {
        Some(id) if id == std::process::id() => " (this very process)".to_owned(),
        Some(id) => format!(" (process {id})"),
        None => String::new(),
    }
}

/// Returns the meaning of an SQLite error for users of the store.
fn says(error: &rusqlite::Error) -> &'static str {
    match kind_of(error) {
        ErrorKind::StorageFull if error.sqlite_error_code() == Some(ErrorCode::DiskFull) => {
            "the store cannot write now: the disk is full, or as much is used as may be"
        }
        ErrorKind::StorageFull => "the store cannot write now",
        ErrorKind::Malformed => "the database is damaged",
        ErrorKind::InvalidInput => "the store cannot be written",
        ErrorKind::Unavailable => "another program holds the database",
        _ => "the database does not work",
    }
}

/// SQLite's extended codes of failed writes whose likely reason is the disk, a quota or a limit of
/// the process.
const WRITE_FAILED: [i32; 7] = [
    rusqlite::ffi::SQLITE_IOERR_WRITE,
    rusqlite::ffi::SQLITE_IOERR_FSYNC,
    rusqlite::ffi::SQLITE_IOERR_DIR_FSYNC,
    rusqlite::ffi::SQLITE_IOERR_TRUNCATE,
    rusqlite::ffi::SQLITE_IOERR_SHMSIZE,
    rusqlite::ffi::SQLITE_IOERR_SHMOPEN,
    rusqlite::ffi::SQLITE_IOERR_SHMMAP,
];

fn kind_of(error: &rusqlite::Error) -> ErrorKind {
    let rusqlite::Error::SqliteFailure(failure, _) = error else {
        return match error {
            rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::Utf8Error(..) => ErrorKind::Malformed,
            _ => ErrorKind::Other,
        };
    };
    match failure.code {
        ErrorCode::DiskFull => ErrorKind::StorageFull,
        ErrorCode::SystemIoFailure if WRITE_FAILED.contains(&failure.extended_code) => {
            ErrorKind::StorageFull
        }
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => ErrorKind::Malformed,
        ErrorCode::ReadOnly
        | ErrorCode::CannotOpen
        | ErrorCode::PermissionDenied
        | ErrorCode::TooBig => ErrorKind::InvalidInput,
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => ErrorKind::Unavailable,
        _ => ErrorKind::Other,
    }
}

impl Problem {
    pub(crate) fn kind(&self) -> ErrorKind {
        match self {
            Problem::Place { .. } => ErrorKind::InvalidInput,
            Problem::Held { .. } => ErrorKind::Conflict,
            Problem::Newer { .. }
            | Problem::Foreign { .. }
            | Problem::Damaged { .. }
            | Problem::Lost { .. }
            | Problem::Record(_) => ErrorKind::Malformed,
            Problem::Closed { .. } => ErrorKind::Closed,
            Problem::Busy { .. } => ErrorKind::Overloaded,
            Problem::Io { source, .. } => match source.kind() {
                io::ErrorKind::StorageFull
                | io::ErrorKind::QuotaExceeded
                | io::ErrorKind::FileTooLarge => ErrorKind::StorageFull,
                io::ErrorKind::PermissionDenied
                | io::ErrorKind::ReadOnlyFilesystem
                | io::ErrorKind::NotFound
                | io::ErrorKind::AlreadyExists => ErrorKind::InvalidInput,
                _ => ErrorKind::Other,
            },
            Problem::Sqlite(error) => kind_of(error),
            Problem::Refused(error) => error.kind(),
        }
    }

    /// Returns true if a unique index refused the row.
    pub(crate) fn is_not_unique(&self) -> bool {
        use rusqlite::ffi::{SQLITE_CONSTRAINT_PRIMARYKEY, SQLITE_CONSTRAINT_UNIQUE};
        let Problem::Sqlite(rusqlite::Error::SqliteFailure(failure, _)) = self else {
            return false;
        };
        [SQLITE_CONSTRAINT_PRIMARYKEY, SQLITE_CONSTRAINT_UNIQUE].contains(&failure.extended_code)
    }

    /// Converts the problem to the error of the SDK, which names the store.
    pub(crate) fn at(self, path: &std::path::Path) -> Error {
        match &self {
            Problem::Record(_) | Problem::Busy { .. } | Problem::Sqlite(_) => {
                Error::from(self).with_context(path.display())
            }
            _ => self.into(),
        }
    }
}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        let error = Error::new(problem.kind(), problem.to_string());
        match problem {
            Problem::Io { source, .. } => error.with_source(source),
            Problem::Sqlite(source) => error.with_source(source),
            Problem::Refused(error) => error,
            _ => error,
        }
    }
}
