//! The lock of a store: an operating system lock on a file next to the database.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tinpot_core::Epoch;

use crate::error::{Problem, Result};
use crate::location::sibling;

/// The content of the lock file: for people, and to detect a database that was restored in place.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Note {
    process: u32,
    epoch: Option<Epoch>,
}

/// A lock that is held until it is dropped or the process dies.
///
/// The file stays: removing it could remove it from under the next holder.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
    path: PathBuf,
    last: Option<Epoch>,
}

impl Lock {
    /// Locks the store at `store`, without waiting.
    pub(crate) fn take(store: &Path) -> Result<Self> {
        let path = sibling(store, "-lock");
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).read(true).write(true);
        let mut file = options.open(&path).map_err(|source| Problem::Io {
            path: path.clone(),
            doing: "creating the lock file",
            source,
        })?;
        let locked = file.try_lock();
        let mut text = String::new();
        // An unreadable note was left by an earlier version or a crash, and is overwritten.
        let _ = (&mut file as &mut dyn Read).take(4096).read_to_string(&mut text);
        let note: Option<Note> = serde_json::from_str(&text).ok();
        match locked {
            Ok(()) => Ok(Self { file, path, last: note.and_then(|note| note.epoch) }),
            Err(TryLockError::WouldBlock) => {
                Err(Problem::Held { path: store.to_owned(), by: note.map(|note| note.process) })
            }
            Err(TryLockError::Error(source)) => Err(Problem::Io { path, doing: "locking", source }),
        }
    }

    /// Returns the epoch of the last session, if the file names one.
    pub(crate) fn last(&self) -> Option<Epoch> {
        self.last
    }

    /// Writes the process that holds the lock and the current epoch to the file.
    pub(crate) fn note(&mut self, epoch: Epoch) -> Result<()> {
        let note = Note { process: std::process::id(), epoch: Some(epoch) };
        let text = serde_json::to_string(&note).unwrap_or_default();
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
