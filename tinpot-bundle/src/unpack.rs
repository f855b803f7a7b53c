//! Unpacking an archive into a folder, without writing outside it.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use rustix::fs::{Mode, OFlags, fchmod, mkdirat, openat, symlinkat};
use rustix::io::Errno;
use tinpot_core::{Error, ErrorKind, Result};

use crate::archive::{self, Inspection, Receiver};
use crate::limits::Limits;

/// Unpacks an archive into a new folder, which only its owner may enter. Blocks the thread.
///
/// Files have the mode 0755 or 0644, and links come last. If anything fails, the folder is removed.
/// The files are not synchronized to the disk.
///
/// # Errors
/// `Conflict` if the folder exists; `InvalidInput` for an archive that breaks a rule or a limit;
/// `StorageFull` if there is no space; `Unavailable` if the reader or the folder fails.
pub fn unpack(reader: impl Read, folder: &Path, limits: &Limits) -> Result<Inspection> {
    let failed = |error: io::Error| {
        let kind = match error.kind() {
            io::ErrorKind::AlreadyExists => ErrorKind::Conflict,
            _ => ErrorKind::Unavailable,
        };
        Error::new(kind, format!("bundle: cannot create {}: {error}", folder.display()))
    };
    DirBuilder::new().mode(0o700).create(folder).map_err(failed)?;
    let unpacked = Tree::open(folder)
        .map_err(failed)
        .and_then(|mut tree| archive::read(reader, limits, &mut tree));
    if unpacked.is_err() {
        // Follows no links. What cannot be removed now is as private as it was.
        drop(fs::remove_dir_all(folder));
    }
    unpacked
}

/// A folder, accessed by descriptors: no name is looked up through a link, even if another process
/// of the same user creates one meanwhile.
struct Tree {
    root: OwnedFd,
    /// The folder of the last entry, and its path.
    last: Option<(String, OwnedFd)>,
}

const FOLDER: OFlags =
    OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC).union(OFlags::RDONLY);
const NEW_FILE: OFlags = OFlags::CREATE
    .union(OFlags::EXCL)
    .union(OFlags::WRONLY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

impl Tree {
    fn open(folder: &Path) -> io::Result<Self> {
        let root = openat(rustix::fs::CWD, folder, FOLDER, Mode::empty())?;
        Ok(Self { root, last: None })
    }

    /// Returns a folder, and creates what is missing on the way to it.
    fn walk(&mut self, path: &str) -> io::Result<&OwnedFd> {
        if path.is_empty() {
            return Ok(&self.root);
        }
        if self.last.as_ref().is_none_or(|(last, _)| last != path) {
            let mut at: Option<OwnedFd> = None;
            for name in path.split('/') {
                let parent = at.as_ref().unwrap_or(&self.root);
                match mkdirat(parent, name, Mode::from_raw_mode(0o755)) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(error) => return Err(error.into()),
                }
                at = Some(openat(parent, name, FOLDER, Mode::empty())?);
            }
            self.last = at.map(|at| (path.to_owned(), at));
        }
        Ok(self.last.as_ref().map_or(&self.root, |(_, at)| at))
    }

    /// Returns the folder of an entry, and its name there.
    fn place<'p>(&mut self, path: &'p str) -> io::Result<(&OwnedFd, &'p str)> {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        Ok((self.walk(parent)?, name))
    }
}

impl Receiver for Tree {
    fn folder(&mut self, path: &str) -> io::Result<()> {
        self.walk(path).map(drop)
    }

    fn file(&mut self, path: &str, executable: bool) -> io::Result<Box<dyn Write + '_>> {
        let (parent, name) = self.place(path)?;
        let mode = Mode::from_raw_mode(if executable { 0o755 } else { 0o644 });
        let file = openat(parent, name, NEW_FILE, mode)?;
        // Regardless of the umask.
        fchmod(&file, mode)?;
        Ok(Box::new(File::from(file)))
    }

    fn link(&mut self, path: &str, target: &str) -> io::Result<()> {
        let (parent, name) = self.place(path)?;
        Ok(symlinkat(target, parent, name)?)
    }
}
