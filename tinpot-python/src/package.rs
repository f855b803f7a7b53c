//! The Python package `tinpot`, which travels inside this crate: nothing has to be installed in the user's environment.

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use tempfile::TempDir;

/// Every file of the package, and what a child interpreter starts with.
pub(crate) const FILES: &[(&str, &str)] = &[
    ("tinpot_child.py", include_str!("../python/tinpot_child.py")),
    ("tinpot/__init__.py", include_str!("../python/tinpot/__init__.py")),
    ("tinpot/py.typed", include_str!("../python/tinpot/py.typed")),
    ("tinpot/schema.py", include_str!("../python/tinpot/schema.py")),
    ("tinpot/_action.py", include_str!("../python/tinpot/_action.py")),
    ("tinpot/_child.py", include_str!("../python/tinpot/_child.py")),
    ("tinpot/_command.py", include_str!("../python/tinpot/_command.py")),
    ("tinpot/_discovery.py", include_str!("../python/tinpot/_discovery.py")),
    ("tinpot/_embedded.py", include_str!("../python/tinpot/_embedded.py")),
    ("tinpot/_errors.py", include_str!("../python/tinpot/_errors.py")),
    ("tinpot/_run.py", include_str!("../python/tinpot/_run.py")),
];

/// What the directory of a package is called, before some random characters.
const PREFIX: &str = "tinpot-python-";
/// The file that is locked for as long as the directory is in use.
const LOCK: &str = "in-use";

/// The package in a private directory, which goes away with this value.
///
/// A directory rather than sources held in memory: Python keeps its compiled form there for the next interpreter, and the processes that
/// multiprocessing starts find it on `sys.path`.
#[derive(Debug)]
pub(crate) struct Package {
    directory: TempDir,
    /// Locked until this process ends, however it does.
    _lock: File,
}

impl Package {
    /// Unpacks the package, and removes what killed workers have left behind.
    pub(crate) fn unpack() -> io::Result<Self> {
        tidy(&std::env::temp_dir());
        let directory = tempfile::Builder::new().prefix(PREFIX).tempdir()?;
        let locked_first = directory.path().join("locked");
        let lock = File::create(&locked_first)?;
        flock(&lock, FlockOperation::LockExclusive)?;
        std::fs::rename(locked_first, directory.path().join(LOCK))?;
        std::fs::create_dir(directory.path().join("tinpot"))?;
        for (name, text) in FILES {
            std::fs::write(directory.path().join(name), text)?;
        }
        Ok(Self { directory, _lock: lock })
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }
}

/// Removes the packages below `temporary` that nobody uses any more. One without a lock is still being made.
fn tidy(temporary: &Path) {
    let Ok(entries) = std::fs::read_dir(temporary) else { return };
    for entry in entries.flatten() {
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        // What cannot be opened or removed belongs to somebody else.
        if let Ok(lock) = File::open(entry.path().join(LOCK))
            && flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok()
        {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{FILES, LOCK, PREFIX, tidy};
    use rustix::fs::{FlockOperation, flock};
    use std::fs::File;

    #[test]
    fn only_what_nobody_uses_is_removed() {
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
        tidy(temporary.path());
        assert_eq!((used.0.exists(), unused.0.exists(), young.0.exists()), (true, false, true));
    }

    #[test]
    fn every_file_of_the_package_travels_along() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/python/tinpot");
        for entry in std::fs::read_dir(folder).expect("the package's folder") {
            let name = entry.expect("an entry").file_name().into_string().expect("a name");
            let known = FILES.iter().any(|(file, _)| *file == format!("tinpot/{name}"));
            assert!(known || name == "__pycache__", "{name} is not in the list");
        }
    }
}
