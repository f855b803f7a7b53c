//! The file of a socket: who may use it, and whether another server does.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tinpot_core::{Error, ErrorKind, Result};
use tokio::net::UnixStream;

use crate::error::invalid;

/// Rights of users that are neither the owner nor in the group.
const OTHERS: u32 = 0o007;

/// The path of a socket, while no other server may listen there.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    /// Locked while the server runs. The system unlocks it when the process ends in any way.
    _lock: File,
}

impl SocketFile {
    /// Makes the path ready to be bound: its folder keeps others out, no server listens there, and
    /// nothing is there.
    ///
    /// # Errors
    /// `Conflict` if a server listens there; `InvalidInput` if the path cannot be used.
    pub(super) async fn prepare(path: &Path) -> Result<Self> {
        let folder = path.parent().unwrap_or(Path::new("/"));
        check_folder(folder)?;
        let lock = lock(path)?;
        remove_stale(path).await?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// Lets the group of the file connect, as far as it can enter the folder.
    pub(super) fn admit_group(&self) -> Result<()> {
        fs::set_permissions(&self.path, Permissions::from_mode(0o660))
            .map_err(|error| failed("set the rights of", &self.path, &error))
    }
}

fn check_folder(folder: &Path) -> Result<()> {
    let created = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    created.map_err(|error| failed("create", folder, &error))?;
    let metadata = fs::metadata(folder).map_err(|error| failed("read", folder, &error))?;
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & OTHERS != 0 {
        let folder = folder.display();
        return Err(invalid(format!(
            "other users of this machine can enter {folder} (mode {mode:o}), and could connect: choose \
             a folder that they cannot enter, like /run/tinpot with mode 750"
        )));
    }
    Ok(())
}

/// Locks a file next to the socket.
fn lock(path: &Path) -> Result<File> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let name = PathBuf::from(name);
    let mut options = OpenOptions::new();
    options.create(true).write(true).truncate(false).mode(0o600);
    let file = options.open(&name).map_err(|error| failed("open", &name, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(in_use(path)),
        Err(TryLockError::Error(error)) => Err(failed("lock", &name, &error)),
    }
}

/// Removes a socket that a process which has ended left behind.
async fn remove_stale(path: &Path) -> Result<()> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed("read", path, &error)),
    };
    if !metadata.file_type().is_socket() {
        let path = path.display();
        return Err(invalid(format!("{path} exists and is no socket: choose another path")));
    }
    // A program that takes no lock, such as a broker.
    match UnixStream::connect(path).await {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(|error| failed("remove", path, &error))
        }
        _ => Err(in_use(path)),
    }
}

fn in_use(path: &Path) -> Error {
    let message =
        format!("another program listens at {}: end it, or choose another path", path.display());
    Error::new(ErrorKind::Conflict, message)
}

fn failed(what: &str, path: &Path, error: &io::Error) -> Error {
    invalid(format!("cannot {what} {}: {error}", path.display()))
}
