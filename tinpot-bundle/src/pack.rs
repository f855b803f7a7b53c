//! Packing a folder: the same files give the same bundle on every machine.

mod listing;
mod selection;
mod writing;

use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom};
use std::path::Path;

use tinpot_core::{Error, ErrorKind, Result};

pub use self::listing::{PackEntry, list};
pub use self::selection::select;
use crate::archive::inspect;
use crate::limits::{Limits, refused};
use crate::manifest::Manifest;
use crate::towerfile::{MAX_TOWERFILE_BYTES, TOWERFILE, Towerfile};

/// The options of [`pack`] and [`list`].
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct PackOptions {
    /// Globs of files to leave out, in addition to those in `.tinpotignore`.
    pub exclude: Vec<String>,
    /// The limits of the bundle.
    pub limits: Limits,
    /// The Towerfile of a folder that has none.
    pub towerfile: Option<String>,
}

impl PackOptions {
    /// Leaves out the files that match these globs.
    #[must_use]
    pub fn exclude<T: Into<String>>(mut self, globs: impl IntoIterator<Item = T>) -> Self {
        self.exclude.extend(globs.into_iter().map(Into::into));
        self
    }

    /// Sets the text of the Towerfile for a folder that has none.
    #[must_use]
    pub fn towerfile(mut self, text: impl Into<String>) -> Self {
        self.towerfile = Some(text.into());
        self
    }

    /// Returns the text of the Towerfile that is packed if the folder has none.
    fn written(&self, folder: &Path) -> Option<&str> {
        let text = self.towerfile.as_deref()?;
        let has_none = fs::symlink_metadata(folder.join(TOWERFILE))
            .is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
        has_none.then_some(text)
    }
}

/// A packed folder.
#[derive(Debug)]
#[non_exhaustive]
pub struct Packed {
    /// The Towerfile.
    pub towerfile: Towerfile,
    /// The description of the bundle.
    pub manifest: Manifest,
    /// The archive, in a temporary file without a name, positioned at its start.
    pub archive: File,
}

/// Reads the Towerfile of a folder.
///
/// # Errors
/// `NotFound` if there is none; `InvalidInput` if it breaks a rule; `Unavailable` if it cannot be
/// read.
pub fn read_towerfile(folder: &Path) -> Result<Towerfile> {
    let path = folder.join(TOWERFILE);
    let metadata = fs::metadata(&path).map_err(|error| failed("read", &path, &error))?;
    if metadata.len() > MAX_TOWERFILE_BYTES as u64 {
        let bytes = metadata.len();
        return Err(refused(format!(
            "the Towerfile must have at most {MAX_TOWERFILE_BYTES} bytes (got {bytes})"
        )));
    }
    let text = fs::read(&path).map_err(|error| failed("read", &path, &error))?;
    let text = String::from_utf8(text).map_err(|_| refused("the Towerfile must be UTF-8"))?;
    Towerfile::parse(&text)
}

/// Packs a folder with a Towerfile, of its own or of the options. Blocks the thread.
///
/// The archive starts with the Towerfile. Times, owners, the umask and the order of the folder on
/// the disk do not matter. The new archive is then inspected in the same way as on the server.
///
/// # Errors
/// `NotFound` if there is no folder or Towerfile; `InvalidInput` if the Towerfile, a file or the
/// whole bundle breaks a rule or a limit; `StorageFull` if there is no space for the archive;
/// `Unavailable` if a file cannot be read.
pub fn pack(folder: &Path, options: &PackOptions) -> Result<Packed> {
    let written = options.written(folder);
    let towerfile = match written {
        Some(text) => Towerfile::parse(text)?,
        None => read_towerfile(folder)?,
    };
    let entries = list(folder, &towerfile, options)?;
    let archive = tempfile::tempfile()
        .map_err(|error| failed("create", Path::new("a temporary file"), &error))?;
    let mut archive = writing::write(folder, &entries, written, archive)?;
    rewind(&mut archive)?;
    let inspection = inspect(&archive, &options.limits)?;
    rewind(&mut archive)?;
    // The Towerfile again: the one that is packed counts.
    let (towerfile, manifest) = inspection.manifest()?;
    Ok(Packed { towerfile, manifest, archive })
}

fn rewind(archive: &mut File) -> Result<()> {
    let start = archive.seek(SeekFrom::Start(0));
    start.map(drop).map_err(|error| failed("read", Path::new("a temporary file"), &error))
}

fn failed(what: &str, path: &Path, error: &io::Error) -> Error {
    let kind = match error.kind() {
        io::ErrorKind::NotFound => ErrorKind::NotFound,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::StorageFull,
        _ => ErrorKind::Unavailable,
    };
    Error::new(kind, format!("bundle: cannot {what} {}: {error}", path.display()))
}
