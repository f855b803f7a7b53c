//! The Python package `tinpot`, which this crate contains: users need not install it.

mod shared;

use std::ffi::OsString;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{FlockOperation, OFlags, flock};
use tempfile::TempDir;

/// Every file of the package, and the program of a child interpreter.
pub(crate) const FILES: &[(&str, &str)] = &[
    ("tinpot_child.py", include_str!("../python/tinpot_child.py")),
    ("tinpot/__init__.py", include_str!("../python/tinpot/__init__.py")),
    ("tinpot/__main__.py", include_str!("../python/tinpot/__main__.py")),
    ("tinpot/py.typed", include_str!("../python/tinpot/py.typed")),
    ("tinpot/client.py", include_str!("../python/tinpot/client.py")),
    ("tinpot/decorators.py", include_str!("../python/tinpot/decorators.py")),
    ("tinpot/logging.py", include_str!("../python/tinpot/logging.py")),
    ("tinpot/pytest_plugin.py", include_str!("../python/tinpot/pytest_plugin.py")),
    ("tinpot/schema.py", include_str!("../python/tinpot/schema.py")),
    ("tinpot/testing.py", include_str!("../python/tinpot/testing.py")),
    ("tinpot/_action.py", include_str!("../python/tinpot/_action.py")),
    ("tinpot/_annotations.py", include_str!("../python/tinpot/_annotations.py")),
    ("tinpot/_param.py", include_str!("../python/tinpot/_param.py")),
    ("tinpot/_child.py", include_str!("../python/tinpot/_child.py")),
    ("tinpot/_integrations.py", include_str!("../python/tinpot/_integrations.py")),
    ("tinpot/_enums.py", include_str!("../python/tinpot/_enums.py")),
    ("tinpot/_client_async.py", include_str!("../python/tinpot/_client_async.py")),
    ("tinpot/_client_core.py", include_str!("../python/tinpot/_client_core.py")),
    ("tinpot/_client_errors.py", include_str!("../python/tinpot/_client_errors.py")),
    ("tinpot/_client_io.py", include_str!("../python/tinpot/_client_io.py")),
    ("tinpot/_client_options.py", include_str!("../python/tinpot/_client_options.py")),
    ("tinpot/_client_proxy.py", include_str!("../python/tinpot/_client_proxy.py")),
    ("tinpot/_client_settings.py", include_str!("../python/tinpot/_client_settings.py")),
    ("tinpot/_client_steps.py", include_str!("../python/tinpot/_client_steps.py")),
    ("tinpot/_client_sync.py", include_str!("../python/tinpot/_client_sync.py")),
    ("tinpot/_client_uploads.py", include_str!("../python/tinpot/_client_uploads.py")),
    ("tinpot/_command.py", include_str!("../python/tinpot/_command.py")),
    ("tinpot/_connection.py", include_str!("../python/tinpot/_connection.py")),
    ("tinpot/_containers.py", include_str!("../python/tinpot/_containers.py")),
    ("tinpot/_context.py", include_str!("../python/tinpot/_context.py")),
    ("tinpot/_dict_versions.py", include_str!("../python/tinpot/_dict_versions.py")),
    ("tinpot/_discovery.py", include_str!("../python/tinpot/_discovery.py")),
    ("tinpot/_docstring.py", include_str!("../python/tinpot/_docstring.py")),
    ("tinpot/_embedded.py", include_str!("../python/tinpot/_embedded.py")),
    ("tinpot/_errors.py", include_str!("../python/tinpot/_errors.py")),
    ("tinpot/_formats.py", include_str!("../python/tinpot/_formats.py")),
    ("tinpot/_guardian.py", include_str!("../python/tinpot/_guardian.py")),
    ("tinpot/_http_async.py", include_str!("../python/tinpot/_http_async.py")),
    ("tinpot/_template.py", include_str!("../python/tinpot/_template.py")),
    ("tinpot/_test_server.py", include_str!("../python/tinpot/_test_server.py")),
    ("tinpot/_types.py", include_str!("../python/tinpot/_types.py")),
    ("tinpot/_limits.py", include_str!("../python/tinpot/_limits.py")),
    ("tinpot/_channel.py", include_str!("../python/tinpot/_channel.py")),
    ("tinpot/_instances.py", include_str!("../python/tinpot/_instances.py")),
    ("tinpot/_modules.py", include_str!("../python/tinpot/_modules.py")),
    ("tinpot/_pydantic.py", include_str!("../python/tinpot/_pydantic.py")),
    ("tinpot/_records.py", include_str!("../python/tinpot/_records.py")),
    ("tinpot/_run.py", include_str!("../python/tinpot/_run.py")),
    ("tinpot/_secret.py", include_str!("../python/tinpot/_secret.py")),
    ("tinpot/_sources.py", include_str!("../python/tinpot/_sources.py")),
    ("tinpot/_swallowed.py", include_str!("../python/tinpot/_swallowed.py")),
    ("tinpot/_streams.py", include_str!("../python/tinpot/_streams.py")),
    ("tinpot/_shared_interpreter.py", include_str!("../python/tinpot/_shared_interpreter.py")),
    ("tinpot/_text.py", include_str!("../python/tinpot/_text.py")),
    ("tinpot/_unions.py", include_str!("../python/tinpot/_unions.py")),
    ("tinpot/_encode.py", include_str!("../python/tinpot/_encode.py")),
    ("tinpot/_forms.py", include_str!("../python/tinpot/_forms.py")),
    ("tinpot/_frames.py", include_str!("../python/tinpot/_frames.py")),
    ("tinpot/_log_records.py", include_str!("../python/tinpot/_log_records.py")),
    ("tinpot/_clean_interpreter.py", include_str!("../python/tinpot/_clean_interpreter.py")),
    ("tinpot/_event_loop.py", include_str!("../python/tinpot/_event_loop.py")),
    ("tinpot/_exit_handlers.py", include_str!("../python/tinpot/_exit_handlers.py")),
    ("tinpot/_file_views.py", include_str!("../python/tinpot/_file_views.py")),
    ("tinpot/_isolated_run.py", include_str!("../python/tinpot/_isolated_run.py")),
    ("tinpot/_isolation.py", include_str!("../python/tinpot/_isolation.py")),
    ("tinpot/_hazards.py", include_str!("../python/tinpot/_hazards.py")),
    ("tinpot/_late_imports.py", include_str!("../python/tinpot/_late_imports.py")),
    ("tinpot/_leftovers.py", include_str!("../python/tinpot/_leftovers.py")),
    ("tinpot/_logging_state.py", include_str!("../python/tinpot/_logging_state.py")),
    ("tinpot/_parts.py", include_str!("../python/tinpot/_parts.py")),
    ("tinpot/_process_parts.py", include_str!("../python/tinpot/_process_parts.py")),
    ("tinpot/_process_state.py", include_str!("../python/tinpot/_process_state.py")),
    ("tinpot/_resets.py", include_str!("../python/tinpot/_resets.py")),
    ("tinpot/_standard_streams.py", include_str!("../python/tinpot/_standard_streams.py")),
    ("tinpot/_version.py", include_str!("../python/tinpot/_version.py")),
    ("tinpot/_wrapper.py", include_str!("../python/tinpot/_wrapper.py")),
];

/// The directory of the modules.
const MODULES: &str = "tinpot";
/// The name of a package's directory before the random characters.
const PREFIX: &str = "tinpot-python-";
/// A file that is locked while the directory is in use.
const LOCK: &str = "in-use";
/// A file with the path of the pool's cgroup, whose name is that of the directory.
const CGROUP: &str = "cgroup";
/// The longest path in it.
const NOTE_BYTES: u64 = 4096;

/// The package in a private directory, which is removed with this value.
///
/// A directory, not sources in memory: Python keeps compiled code there for the next interpreter,
/// and the processes that multiprocessing starts find the package on `sys.path`.
#[derive(Debug)]
pub(crate) struct Package {
    directory: TempDir,
    /// If true, the modules are links to the copy that all commands of this user share.
    is_shared: bool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Locked until this process ends, however it ends.
    lock: File,
    /// The path of the pool's cgroup, if it has one.
    cgroup: Option<PathBuf>,
}

impl Package {
    /// Unpacks the package, and removes the directories that killed workers left behind.
    ///
    /// If `is_shared`, its modules and their compiled code stay for the next command: that is for
    /// the user's own scripts. Actions of a worker must not find what others left there.
    pub(crate) fn unpack(is_shared: bool) -> io::Result<Self> {
        remove_unused(&std::env::temp_dir());
        let directory = tempfile::Builder::new().prefix(PREFIX).tempdir()?;
        let lock = write(directory.path(), is_shared)?;
        let state = Mutex::new(State { lock, cgroup: None });
        Ok(Self { directory, is_shared, state })
    }

    /// Unpacks the package again if a file of it is gone: temporary files may be cleaned away.
    pub(crate) fn restore(&self) -> io::Result<()> {
        let path = self.path();
        let names = FILES.iter().map(|(name, _)| *name).chain([LOCK]);
        if names.map(|name| path.join(name)).all(|file| file.exists()) {
            return Ok(());
        }
        tracing::warn!("files of {} are gone; unpacking them again", path.display());
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        private_dir(path)?;
        state.lock = write(path, self.is_shared)?;
        match &state.cgroup {
            Some(cgroup) => write_cgroup(path, cgroup),
            None => Ok(()),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Returns the name of the directory, which is unique.
    pub(crate) fn name(&self) -> String {
        name_of(self.path())
    }

    /// Writes the path of the pool's cgroup down, to be cleared when this process is gone.
    pub(crate) fn note_cgroup(&self, cgroup: &Path) -> io::Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.cgroup = Some(cgroup.to_owned());
        write_cgroup(self.path(), cgroup)
    }
}

/// A private directory for the files of one pool. Later workers remove it if this one is killed.
#[derive(Debug)]
#[cfg(feature = "bundles")]
pub(crate) struct OwnDirectory {
    directory: TempDir,
    _lock: File,
}

#[cfg(feature = "bundles")]
impl OwnDirectory {
    pub(crate) fn create() -> io::Result<Self> {
        let directory = tempfile::Builder::new().prefix(PREFIX).tempdir()?;
        let lock = lock(directory.path())?;
        Ok(Self { directory, _lock: lock })
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }
}

/// Creates the locked file.
fn lock(directory: &Path) -> io::Result<File> {
    let locked_first = directory.join("locked");
    let lock = private_file(&locked_first)?;
    flock(&lock, FlockOperation::LockExclusive)?;
    std::fs::rename(locked_first, directory.join(LOCK))?;
    Ok(lock)
}

/// Writes the files of the package, and returns the locked file.
fn write(directory: &Path, is_shared: bool) -> io::Result<File> {
    let lock = lock(directory)?;
    let modules = directory.join(MODULES);
    if modules.is_symlink() {
        std::fs::remove_file(&modules)?;
    }
    let shared = if is_shared { shared::modules() } else { None };
    match &shared {
        Some(shared) => std::os::unix::fs::symlink(shared, modules)?,
        None => private_dir(&modules)?,
    }
    let is_module = |name: &str| Path::new(name).starts_with(MODULES);
    write_files(directory, |name| shared.is_none() || !is_module(name))?;
    Ok(lock)
}

/// Writes those of the files whose names fit. Their directories are there.
fn write_files(directory: &Path, fits: impl Fn(&str) -> bool) -> io::Result<()> {
    for (name, text) in FILES.iter().filter(|(name, _)| fits(name)) {
        private_file(&directory.join(name))?.write_all(text.as_bytes())?;
    }
    Ok(())
}

fn write_cgroup(directory: &Path, cgroup: &Path) -> io::Result<()> {
    private_file(&directory.join(CGROUP))?.write_all(cgroup.as_os_str().as_bytes())
}

/// Creates a directory, and those above it, for this user alone, unless it exists.
pub(crate) fn private_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Creates or empties a file for this user alone. The umask of actions may allow more.
pub(crate) fn private_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Removes the unused packages below `temporary`, and clears their cgroups.
///
/// A directory without a lock file is still being made.
fn remove_unused(temporary: &Path) {
    let Ok(entries) = std::fs::read_dir(temporary) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        if !name_of(&path).starts_with(PREFIX) {
            continue;
        }
        if is_own_directory(&path)
            && let Ok(lock) = open_file(&path.join(LOCK))
            && flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok()
            && noted_cgroup(&path).is_none_or(|cgroup| tinpot_contain::clear_cgroup(&cgroup))
        {
            let _ = std::fs::remove_dir_all(path);
        }
    }
}

/// Returns true if this user made the directory. Other users can make directories of any name next
/// to it, with anything in them.
fn is_own_directory(path: &Path) -> bool {
    let own = rustix::process::geteuid().as_raw();
    path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir() && metadata.uid() == own)
}

/// Opens a regular file to read, without waiting for anything: not for the writer of a named pipe,
/// and not through a link.
fn open_file(path: &Path) -> io::Result<File> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::ErrorKind::InvalidInput.into()),
    }
}

/// Returns the cgroup that the user of the package in `directory` noted.
fn noted_cgroup(directory: &Path) -> Option<PathBuf> {
    let mut noted = Vec::new();
    open_file(&directory.join(CGROUP)).ok()?.take(NOTE_BYTES).read_to_end(&mut noted).ok()?;
    let cgroup = PathBuf::from(OsString::from_vec(noted));
    (cgroup.file_name() == directory.file_name()).then_some(cgroup)
}

#[cfg(test)]
mod tests {
    use super::{FILES, LOCK, PREFIX, remove_unused};
    use rustix::fs::{FlockOperation, flock};
    use std::fs::File;

    #[test]
    fn only_unused_packages_are_removed() {
        let temporary = tempfile::tempdir().expect("a directory");
        let make = |name: &str, lock: bool| {
            let path = temporary.path().join(format!("{PREFIX}{name}"));
            std::fs::create_dir(&path).expect("a directory");
            let file = lock.then(|| File::create(path.join(LOCK)).expect("a file"));
            (path, file)
        };
        let (used, unused, young) =
            (make("used", true), make("unused", true), make("young", false));
        let lock = used.1.as_ref().expect("a lock");
        flock(lock, FlockOperation::LockExclusive).expect("locked");
        remove_unused(temporary.path());
        assert_eq!((used.0.exists(), unused.0.exists(), young.0.exists()), (true, false, true));
    }

    /// Runs what a worker does at its start, which must end.
    fn starts(temporary: std::path::PathBuf) {
        let (done, ended) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            remove_unused(&temporary);
            let _ = done.send(());
        });
        let ended = ended.recv_timeout(std::time::Duration::from_secs(30));
        ended.expect("a worker starts whatever others put into the temporary folder");
    }

    #[test]
    fn nothing_that_others_make_of_a_package_is_waited_for_or_followed() {
        use std::os::unix::fs::symlink;

        use rustix::fs::{CWD, FileType, Mode, mknodat};

        let temporary = tempfile::tempdir().expect("a directory");
        let elsewhere = tempfile::tempdir().expect("a directory");
        File::create(elsewhere.path().join(LOCK)).expect("a file");
        let package = |name: &str| temporary.path().join(format!("{PREFIX}{name}"));
        let pipe = |path: &std::path::Path| {
            mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a pipe");
        };
        std::fs::create_dir(package("pipe")).expect("a directory");
        pipe(&package("pipe").join(LOCK));
        std::fs::create_dir(package("noted")).expect("a directory");
        File::create(package("noted").join(LOCK)).expect("a file");
        pipe(&package("noted").join(super::CGROUP));
        symlink(elsewhere.path(), package("link")).expect("a link");
        pipe(&package("itself"));
        starts(temporary.path().to_owned());
        assert!(elsewhere.path().join(LOCK).exists(), "a link is not followed");
    }

    #[test]
    fn version_of_the_package_is_that_of_the_crate() {
        let text = include_str!("../python/tinpot/_version.py");
        let line = format!("__version__ = {:?}\n", env!("CARGO_PKG_VERSION"));
        assert!(text.ends_with(&line), "_version.py must have {line}");
    }

    #[test]
    fn list_has_every_file_of_the_package() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/python/tinpot");
        for entry in std::fs::read_dir(folder).expect("the package's folder") {
            let name = entry.expect("an entry").file_name().into_string().expect("a name");
            let known = FILES.iter().any(|(file, _)| *file == format!("tinpot/{name}"));
            assert!(known || name == "__pycache__", "{name} is not in the list");
        }
    }
}
