//! Backups of an open store.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use crate::connection;
use crate::error::{Problem, Result};
use crate::location::{self, sibling};
use crate::private;

/// A file that is removed on drop.
struct Draft(PathBuf);

impl Drop for Draft {
    fn drop(&mut self) {
        // Either file may not exist.
        let _ = fs::remove_file(&self.0);
        let _ = fs::remove_file(sibling(&self.0, "-journal"));
    }
}

/// Copies the store at `from` to `to`, which must not exist. Blocks the thread.
pub(crate) fn copy(from: &Path, to: &Path) -> Result<()> {
    let to = &location::resolve(to)?;
    let failed = |doing| move |source| Problem::Io { path: to.clone(), doing, source };
    if fs::symlink_metadata(to).is_ok() {
        return Err(failed("backing up to")(io::ErrorKind::AlreadyExists.into()));
    }
    let number = Uuid::new_v4().as_u128() as u32;
    let draft = Draft(sibling(to, &format!("-part-{number:08x}")));
    let name = draft.0.to_str().ok_or_else(|| {
        let why = "its name is not UTF-8, which SQLite needs".to_owned();
        Problem::Place { path: to.clone(), why }
    })?;
    // SQLite fills a file that is empty, and keeps its mode.
    drop(private::open(&draft.0, "backing up to")?);
    connection::reader(from)?.execute("VACUUM INTO ?1", [name])?;
    let copy = connection::plain(&draft.0)?;
    copy.execute("UPDATE store SET instance = ?1, file = ''", [number])?;
    copy.close().map_err(|(_, error)| error)?;
    File::open(&draft.0).and_then(|file| file.sync_all()).map_err(failed("writing"))?;
    // A link fails if another process has created the file meanwhile; a rename would replace it.
    fs::hard_link(&draft.0, to).map_err(failed("backing up to"))
}
