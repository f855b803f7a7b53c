//! The path of a store, and the identity of its file.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use crate::error::{Problem, Result};

/// The first bytes of every SQLite database.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// Resolves the path of the store through all links: two names of a file must not be two locks.
pub(crate) fn resolve(path: &Path) -> Result<PathBuf> {
    let refuse = |why: &str| Err(Problem::Place { path: path.to_owned(), why: why.to_owned() });
    let failed = |source| Problem::Io { path: path.to_owned(), doing: "looking for", source };
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => refuse("it is a directory; name a file in it"),
        Ok(metadata) if !metadata.is_file() => refuse("it is not a regular file"),
        Ok(_) => path.canonicalize().map_err(failed),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // A file that is there by now was made by another process since.
            if path.is_symlink() {
                return refuse("it is a link to a file that does not exist");
            }
            let Some(name) = path.file_name() else { return refuse("it names no file") };
            let parent = match path.parent() {
                Some(parent) if !parent.as_os_str().is_empty() => parent,
                _ => Path::new("."),
            };
            match parent.canonicalize() {
                Ok(parent) => Ok(parent.join(name)),
                Err(_) => refuse(&format!("there is no directory {}", parent.display())),
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            refuse("what should be its directory is a file")
        }
        Err(error) => Err(failed(error)),
    }
}

/// Returns the path of a file next to the database: `tinpot.db` and `-lock` give `tinpot.db-lock`.
pub(crate) fn sibling(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// Refuses a file that is not an SQLite database. A missing or an empty file is fine.
///
/// Must be called with the lock held, and before SQLite opens the file: when a process closes any
/// descriptor of a file, POSIX releases all its locks on that file, including those of SQLite.
pub(crate) fn check_magic(path: &Path) -> Result<()> {
    let failed = |source| Problem::Io { path: path.to_owned(), doing: "reading", source };
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    let mut start = Vec::with_capacity(MAGIC.len());
    file.by_ref().take(MAGIC.len() as u64).read_to_end(&mut start).map_err(failed)?;
    if start.is_empty() || start == MAGIC {
        return Ok(());
    }
    Err(Problem::Foreign { path: path.to_owned(), why: "it is no SQLite database".to_owned() })
}

/// Returns what distinguishes a file from its copies: its inode number, and its creation time where
/// that is known. The device is left out, since its number may change with a reboot.
pub(crate) fn identity(path: &Path) -> Result<String> {
    let failed = |source| Problem::Io { path: path.to_owned(), doing: "looking at", source };
    let metadata = fs::metadata(path).map_err(failed)?;
    let made = metadata.created().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let made = made.map_or(0, |since| since.as_nanos());
    #[cfg(unix)]
    let number = std::os::unix::fs::MetadataExt::ino(&metadata);
    #[cfg(not(unix))]
    let number = 0;
    Ok(format!("{number}.{made}"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{identity, sibling};

    #[test]
    fn names_of_companion_files_are_appended() {
        assert_eq!(sibling(Path::new("/a/t.db"), "-lock"), Path::new("/a/t.db-lock"));
    }

    #[test]
    fn a_copy_is_another_file() {
        let directory = tempfile::tempdir().unwrap();
        let [one, two] = ["one", "two"].map(|name| directory.path().join(name));
        std::fs::write(&one, "text").unwrap();
        std::fs::copy(&one, &two).unwrap();
        let before = identity(&one).unwrap();
        std::fs::write(&one, "other text").unwrap();
        assert_eq!(identity(&one).unwrap(), before);
        assert_ne!(identity(&two).unwrap(), before);
    }
}
