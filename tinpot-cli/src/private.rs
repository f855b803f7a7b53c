//! Files that only their owner may read.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use rustix::fs::OFlags;

/// The largest file, in bytes.
const BYTES: u64 = 1024 * 1024;
/// The bits of a mode that let others than the owner use a file.
const OTHERS: u32 = 0o077;

/// Creates a folder for this user alone, unless it exists and is that.
///
/// # Errors
/// Fails if it is another user's, or a link.
pub(crate) fn folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    let found = std::fs::symlink_metadata(path)?;
    if !found.is_dir() || found.uid() != own_id() {
        return Err(io::Error::other("it must be a directory of this user"));
    }
    if found.mode() & OTHERS != 0 {
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o700))?;
    }
    Ok(())
}

/// Writes a file for this user alone, in place of the one before.
///
/// # Errors
/// Those of the file system.
pub(crate) fn write(path: &Path, text: &str) -> io::Result<()> {
    persist(path, text, |_| ()).map(drop)
}

/// Writes a file as [`write`] does, and holds its lock until the answer is dropped or this process ends,
/// where the file system has locks.
///
/// # Errors
/// Those of the file system.
pub(crate) fn write_locked(path: &Path, text: &str) -> io::Result<File> {
    // Before it has its name: no other process finds it without the lock.
    persist(path, text, |file| {
        let _ = file.try_lock();
    })
}

/// Returns true if the process that holds the lock of a file has ended; false if it cannot tell.
pub(crate) fn is_left(file: &File) -> bool {
    // A shared lock, so that two that look at the same time do not take each other for the holder.
    let is_free = file.try_lock_shared().is_ok();
    if is_free {
        let _ = file.unlock();
    }
    is_free
}

fn persist(path: &Path, text: &str, prepare: impl FnOnce(&File)) -> io::Result<File> {
    let folder = path.parent().unwrap_or(Path::new("."));
    // Its mode is 0600 from the beginning.
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    prepare(file.as_file());
    file.persist(path).map_err(|error| error.error)
}

/// Reads a file of this user; `None` if there is none.
///
/// # Errors
/// Fails if others may read it, if it is another user's, a link, or no regular file.
pub(crate) fn read(path: &Path) -> io::Result<Option<String>> {
    Ok(open(path)?.map(|(_, text)| text))
}

/// Opens and reads a file as [`read`] does.
///
/// # Errors
/// Those of [`read`].
pub(crate) fn open(path: &Path) -> io::Result<Option<(File, String)>> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let opened = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path);
    let file: File = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let found = file.metadata()?;
    if !found.is_file() || found.uid() != own_id() {
        return Err(io::Error::other("it must be a file of this user"));
    }
    let mode = found.mode() & 0o777;
    if mode & OTHERS != 0 {
        let path = path.display();
        let message = format!("it may be read by others ({mode:04o}): chmod 600 {path}");
        return Err(io::Error::other(message));
    }
    let mut text = String::new();
    (&file).take(BYTES).read_to_string(&mut text)?;
    Ok(Some((file, text)))
}

fn own_id() -> u32 {
    nix::unistd::geteuid().as_raw()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::{folder, read, write};

    #[test]
    fn files_are_for_their_owner_alone() {
        let place = tempfile::tempdir().expect("a folder");
        let inner = place.path().join("a/b");
        folder(&inner).expect("a folder");
        let mode = |path: &std::path::Path| {
            path.metadata().expect("it is there").permissions().mode() & 0o777
        };
        let set = |path: &std::path::Path, mode: u32| {
            std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).expect("a mode");
        };
        assert_eq!(mode(&inner), 0o700);
        set(&inner, 0o755);
        folder(&inner).expect("it is made private");
        assert_eq!(mode(&inner), 0o700);
        let file = inner.join("file");
        assert_eq!(read(&file).expect("nothing"), None);
        for text in ["one", "two"] {
            write(&file, text).expect("written");
            assert_eq!(read(&file).expect("read").as_deref(), Some(text));
        }
        assert_eq!(mode(&file), 0o600);
        set(&file, 0o640);
        let refused = read(&file).expect_err("others may read it").to_string();
        assert!(refused.contains("(0640): chmod 600"), "{refused}");
        set(&file, 0o600);
        let link = inner.join("link");
        symlink(&file, &link).expect("a link");
        read(&link).expect_err("a link");
        symlink(place.path(), inner.join("folder")).expect("a link");
        folder(&inner.join("folder")).expect_err("a link");
    }
}
