//! Files that only their owner may read: keys.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use tinpot_core::{Error, ErrorKind, Result};
use zeroize::Zeroizing;

/// More than any key file has.
const BYTES: u64 = 4096;

/// Reads a file that only its owner may read.
///
/// # Errors
/// `InvalidInput` if others may read it; `NotFound` if it does not exist; `Unavailable` if it cannot
/// be read.
pub(crate) fn load(path: &Path) -> Result<Zeroizing<String>> {
    let (text, mode) = read(path).map_err(|error| failed("read", path, &error))?;
    if mode & 0o077 != 0 {
        let path = path.display();
        let message = format!("{path} may be read by others ({mode:04o}): chmod 600 it");
        return Err(Error::new(ErrorKind::InvalidInput, message));
    }
    Ok(text)
}

/// Writes a new file, which only its owner may read.
///
/// # Errors
/// `Conflict` if the file exists; `Unavailable` if it cannot be written.
pub(crate) fn create(path: &Path, text: &[u8]) -> Result<()> {
    write(path, text, |draft| fs::hard_link(draft, path))
        .map_err(|error| failed("create", path, &error))
}

/// Replaces the content of a file: it has the former content or the new one, whatever happens.
///
/// # Errors
/// `Unavailable` if it cannot be written.
pub(crate) fn replace(path: &Path, text: &[u8]) -> Result<()> {
    write(path, text, |draft| fs::rename(draft, path))
        .map_err(|error| failed("write", path, &error))
}

fn failed(what: &str, path: &Path, error: &io::Error) -> Error {
    let kind = match error.kind() {
        io::ErrorKind::NotFound => ErrorKind::NotFound,
        io::ErrorKind::AlreadyExists => ErrorKind::Conflict,
        _ => ErrorKind::Unavailable,
    };
    Error::new(kind, format!("cannot {what} the key {}: {error}", path.display()))
}

/// Returns the text of a file, and its permissions.
fn read(path: &Path) -> io::Result<(Zeroizing<String>, u32)> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    let mut text = Zeroizing::new(String::new());
    file.take(BYTES).read_to_string(&mut text)?;
    #[cfg(unix)]
    let mode = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o7777;
    #[cfg(not(unix))]
    let mode = 0;
    Ok((text, mode))
}

/// Writes a file next to its place, and then gives it its name.
fn write(
    path: &Path,
    text: &[u8],
    publish: impl FnOnce(&Path) -> io::Result<()>,
) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let draft = path.with_file_name(name);
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(&draft).and_then(|mut file| {
        file.write_all(text)?;
        file.sync_all()?;
        publish(&draft)
    });
    // Not there any more if it was renamed.
    let _ = fs::remove_file(&draft);
    written?;
    File::open(folder(path))?.sync_all()
}

fn folder(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}
