//! The Python package `tinpot`, which travels inside this crate: nothing has to be installed in the user's environment.

use std::io;
use std::path::Path;

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

/// The package in a private directory, which goes away with this value.
///
/// A directory rather than sources held in memory: Python keeps its compiled form there for the next interpreter, and the processes that
/// multiprocessing starts find it on `sys.path`.
#[derive(Debug)]
pub(crate) struct Package(TempDir);

impl Package {
    pub(crate) fn unpack() -> io::Result<Self> {
        let directory = tempfile::Builder::new().prefix("tinpot-python-").tempdir()?;
        std::fs::create_dir(directory.path().join("tinpot"))?;
        for (name, text) in FILES {
            std::fs::write(directory.path().join(name), text)?;
        }
        Ok(Self(directory))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

#[cfg(test)]
mod tests {
    use super::FILES;

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
