//! The lock of a store: operating system locks on the database, and on a file next to it.

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tinpot_core::Epoch;

use crate::error::{Problem, Result};
use crate::location::sibling;
use crate::private;

/// The content of the lock file: for people, and to detect a database that was restored in place, or
/// that has lost its write-ahead log.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Note {
    process: u32,
    epoch: Option<Epoch>,
    /// True from the opening of the store to its close.
    #[serde(default)]
    open: bool,
}

impl Note {
    fn read(file: &mut File) -> Option<Self> {
        let mut text = String::new();
        file.take(4096).read_to_string(&mut text).ok()?;
        serde_json::from_str(&text).ok()
    }
}

/// Returns true if the store at `store` is open, or if its last session did not close it. Takes no
/// lock: it may be opened or closed at any moment.
pub(crate) fn is_open(store: &Path) -> bool {
    let file = File::open(sibling(store, "-lock"));
    file.ok().and_then(|mut file| Note::read(&mut file)).is_some_and(|note| note.open)
}

/// The last session, as the lock file has it.
#[derive(Debug)]
pub(crate) struct Last {
    pub(crate) epoch: Epoch,
    /// True if the session did not close the store.
    pub(crate) is_open: bool,
}

/// A lock that is held until it is dropped or the process dies.
///
/// The file stays: removing it could remove it from under the next holder.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
    path: PathBuf,
    last: Option<Last>,
    is_emptied: bool,
    /// The lock of the database itself: a hard link to it has another lock file. SQLite has locks of
    /// another kind, which end when this process closes any descriptor of the file: this one is closed
    /// after all of SQLite's.
    database: File,
}

impl Drop for Lock {
    /// Unlocks both files. Closing them alone would not: a program that another thread starts at this
    /// moment has copies of the descriptors until it is executed.
    fn drop(&mut self) {
        // The end of the process unlocks what cannot be unlocked here.
        let _ = self.file.unlock();
        let _ = self.database.unlock();
    }
}

impl Lock {
    /// Locks the store at `store`, without waiting. Creates the files for this user alone.
    pub(crate) fn take(store: &Path) -> Result<Self> {
        let path = sibling(store, "-lock");
        let existed = path.symlink_metadata().is_ok();
        let mut file = private::open(&path, "creating the lock file")?;
        let locked = file.try_lock();
        // An unreadable note was left by an earlier version or a crash, and is overwritten.
        let note = Note::read(&mut file).unwrap_or_default();
        let held = |by| Problem::Held { path: store.to_owned(), by };
        let failed = |source| Problem::Io { path: path.clone(), doing: "locking", source };
        locked.map_err(|error| match error {
            TryLockError::WouldBlock => held((note.process != 0).then_some(note.process)),
            TryLockError::Error(source) => failed(source),
        })?;
        let database = private::open(store, "opening")?;
        database.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => held(None),
            TryLockError::Error(source) => failed(source),
        })?;
        private::tighten(store);
        let of_epoch = |epoch| Last { epoch, is_open: note.open };
        let last = note.epoch.map(of_epoch);
        let is_emptied = existed && last.is_none();
        Ok(Self { file, path, last, is_emptied, database })
    }

    /// Returns what the file says of the last session.
    pub(crate) fn last(&self) -> Option<&Last> {
        self.last.as_ref()
    }

    /// Returns true if the file was there and says nothing: an operator has emptied it, or a crash.
    pub(crate) fn is_emptied(&self) -> bool {
        self.is_emptied
    }

    /// Writes the process that holds the lock and the current epoch to the file.
    pub(crate) fn note(&mut self, epoch: Epoch) -> Result<()> {
        self.write(&Note { process: std::process::id(), epoch: Some(epoch), open: true })
    }

    /// Writes that the store is closed, and needs no write-ahead log from now on.
    pub(crate) fn note_close(&mut self, epoch: Epoch) -> Result<()> {
        self.write(&Note { process: std::process::id(), epoch: Some(epoch), open: false })
    }

    fn write(&mut self, note: &Note) -> Result<()> {
        let text = serde_json::to_string(note).unwrap_or_default();
        let mut write = || {
            self.file.rewind()?;
            self.file.set_len(0)?;
            self.file.write_all(text.as_bytes())?;
            self.file.sync_data()
        };
        let failed = |source| Problem::Io { path: self.path.clone(), doing: "writing", source };
        write().map_err(failed)
    }
}
