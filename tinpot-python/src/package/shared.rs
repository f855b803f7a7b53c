//! The copy of the package that the commands of one user share, with its compiled code.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tinpot_venv::{Cache, Key};

use super::{FILES, MODULES, is_own_directory, private_dir, write_files};

/// The name of the directory in the cache.
const FOLDER: &str = "package";
/// The age at which the copies of other versions are removed.
const MAX_AGE: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// Returns the directory of the modules, which has exactly those of this program. `None` if there can
/// be none: then a command unpacks its own.
pub(super) fn modules() -> Option<PathBuf> {
    let parent = Cache::default_path().join(FOLDER);
    modules_in(&parent)
        .inspect_err(|error| tracing::debug!(%error, "cannot share {}", parent.display()))
        .ok()
}

fn modules_in(parent: &Path) -> io::Result<PathBuf> {
    private_dir(parent)?;
    for directory in [parent, parent.parent().unwrap_or(parent)] {
        let is_writable = fs::metadata(directory)?.mode() & 0o022 != 0;
        if !is_own_directory(directory) || is_writable {
            let message = format!("others may write to {}", directory.display());
            return Err(io::Error::other(message));
        }
    }
    let mut key = Key::default();
    for (name, text) in FILES {
        key.part(name);
        key.part(text);
    }
    let path = parent.join(key.finish());
    if !is_right(&path) {
        let new = tempfile::Builder::new().prefix(".new-").tempdir_in(parent)?;
        private_dir(&new.path().join(MODULES))?;
        write_files(new.path(), |_| true)?;
        // Others may do the same. Whichever is first counts, unless it is damaged.
        if path.exists() && !is_right(&path) {
            let old = tempfile::Builder::new().prefix(".old-").tempdir_in(parent)?;
            let _ = fs::rename(&path, old.path().join("it"));
        }
        if let Err(error) = fs::rename(new.keep(), &path)
            && !is_right(&path)
        {
            return Err(error);
        }
        remove_old(parent, &path);
    }
    Ok(path.join(MODULES))
}

/// Returns true if every file is what it should be.
fn is_right(path: &Path) -> bool {
    let is_same = |(name, text): &(&str, &str)| {
        fs::read(path.join(name)).is_ok_and(|found| found == text.as_bytes())
    };
    is_own_directory(path) && FILES.iter().all(is_same)
}

fn remove_old(parent: &Path, own: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let time = entry.metadata().and_then(|metadata| metadata.modified());
        let is_old = time.is_ok_and(|time| time.elapsed().is_ok_and(|age| age > MAX_AGE));
        if is_old && entry.path() != own {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::modules_in;

    #[test]
    fn damaged_copy_is_replaced_and_a_foreign_one_refused() {
        let place = tempfile::tempdir().expect("a directory");
        let parent = place.path().join("package");
        let modules = modules_in(&parent).expect("modules");
        let compiled = modules.join("__pycache__");
        fs::create_dir(&compiled).expect("a directory");
        assert_eq!(modules_in(&parent).expect("modules"), modules);
        assert!(compiled.exists(), "what is right stays");
        fs::write(modules.join("_run.py"), "evil").expect("a file");
        assert_eq!(modules_in(&parent).expect("modules"), modules);
        assert_ne!(fs::read(modules.join("_run.py")).expect("a file"), b"evil");
        assert!(!compiled.exists(), "it may be that of the damaged files");
        fs::set_permissions(&parent, PermissionsExt::from_mode(0o777)).expect("permissions");
        let error = modules_in(&parent).expect_err("refused");
        assert!(error.to_string().contains("others may write"), "{error}");
    }
}
