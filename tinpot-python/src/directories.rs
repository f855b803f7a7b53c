//! Settings of single directories of actions.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Component, Path};
use std::str::FromStr;

use tinpot_core::{Error, ErrorKind, Result};
use tinpot_venv::{DirectoryRequest, Origin, Requirements, WantedPython};

use crate::isolation::Isolation;
use crate::pool::PythonPoolBuilder;

/// The settings of a directory, for all Python files in it and below it.
///
/// The packages and the interpreter come before what the files in the directory ask for, such as a
/// `requirements.txt`. A directory below it that asks itself, and a file with inline metadata, have
/// their own. The start and the isolation apply to them, too, unless a nearer directory has others.
///
/// ```
/// use tinpot_python::{DirectorySettings, Isolation, Requirements};
///
/// let mut settings = DirectorySettings::default();
/// settings.requirements = Some(Requirements::List(vec!["numpy>=2".to_owned()]));
/// settings.python = Some(">=3.11".parse()?);
/// settings.isolation = Some(Isolation::Fresh);
/// # Ok::<_, tinpot_core::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DirectorySettings {
    /// The packages; `None` for those that the files ask for.
    pub requirements: Option<Requirements>,
    /// The groups of its `pyproject.toml`; `None` for those that it selects itself.
    pub groups: Option<Vec<String>>,
    /// The interpreter; `None` for one that fits.
    pub python: Option<WantedPython>,
    /// The start of interpreters; `None` for that of the pool.
    pub start: Option<StartMode>,
    /// The isolation of attempts, where an action declares none; `None` for that of the pool.
    pub isolation: Option<Isolation>,
}

/// The start of interpreters. Its text is `auto`, `fork` or `spawn`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartMode {
    /// As those of the pool elsewhere.
    Auto,
    /// As copies where that is safe, also if the pool makes none elsewhere.
    Fork,
    /// Each by itself, with all imports.
    Spawn,
}

impl FromStr for StartMode {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "auto" => Ok(Self::Auto),
            "fork" => Ok(Self::Fork),
            "spawn" => Ok(Self::Spawn),
            _ => Err(invalid(format!("must be auto, fork or spawn (got {text:?})"))),
        }
    }
}

impl fmt::Display for StartMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Fork => "fork",
            Self::Spawn => "spawn",
        })
    }
}

/// The settings of directories by their names: paths relative to the directory of actions, which
/// itself is `.`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directories(BTreeMap<String, DirectorySettings>);

impl Directories {
    /// Sets the settings of a directory.
    ///
    /// # Errors
    /// `InvalidInput` if the name is not a path below the directory of actions, or the settings
    /// contradict each other.
    pub fn set(&mut self, name: &str, settings: DirectorySettings) -> Result<()> {
        let wrong = || invalid("must be a path below the directory of actions".to_owned());
        let mut plain = Vec::new();
        for part in Path::new(name).components() {
            match part {
                Component::Normal(part) => plain.push(part.to_str().ok_or_else(wrong)?),
                Component::CurDir => {}
                _ => return Err(wrong()),
            }
        }
        if settings.requirements.is_some() && settings.groups.is_some() {
            let message = "requirements and groups exclude each other: groups are those of a \
                           pyproject.toml, which requirements replace";
            return Err(invalid(message.to_owned()));
        }
        self.0.insert(plain.join("/"), settings);
        Ok(())
    }

    /// Returns true if no directory has settings.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the names of the directories.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Returns what the directories ask for.
    pub(crate) fn requests(&self) -> BTreeMap<String, DirectoryRequest> {
        let request = |settings: &DirectorySettings| {
            let mut request = DirectoryRequest::default();
            request.requirements.clone_from(&settings.requirements);
            request.groups.clone_from(&settings.groups);
            request.python = settings.python.clone().map(absolute);
            request
        };
        self.0.iter().map(|(name, settings)| (name.clone(), request(settings))).collect()
    }

    /// Configures the pool of an origin.
    pub(crate) fn configure(
        &self,
        origin: &Origin,
        mut pool: PythonPoolBuilder,
    ) -> PythonPoolBuilder {
        let folder = match origin {
            Origin::Folder(name) => name.as_str(),
            Origin::Script(file) => file.rsplit_once('/').map_or("", |(folder, _)| folder),
        };
        // The nearest one comes first.
        let nearest = || above(folder).filter_map(|name| self.0.get(name));
        if let Some(start) = nearest().find_map(|settings| settings.start) {
            pool = match start {
                StartMode::Auto => pool,
                StartMode::Fork => pool.copies(true),
                StartMode::Spawn => pool.copies(false),
            };
        }
        match nearest().find_map(|settings| settings.isolation) {
            Some(isolation) => pool.isolation(isolation),
            None => pool,
        }
    }
}

/// Returns a directory and those above it.
fn above<'a>(folder: &'a str) -> impl Iterator<Item = &'a str> {
    let up = |name: &&'a str| -> Option<&'a str> {
        match name.rsplit_once('/') {
            Some((above, _)) => Some(above),
            None if name.is_empty() => None,
            None => Some(""),
        }
    };
    std::iter::successors(Some(folder), up)
}

/// The working directory may be deleted, and another process may be asked.
fn absolute(python: WantedPython) -> WantedPython {
    match python {
        WantedPython::Program(path) if path.components().count() > 1 || path.is_dir() => {
            WantedPython::Program(std::path::absolute(&path).unwrap_or(path))
        }
        other => other,
    }
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::InvalidInput, message)
}

#[cfg(test)]
mod tests {
    use super::{Directories, DirectorySettings, StartMode, above};

    #[test]
    fn names_are_paths_below_the_directory() {
        let mut directories = Directories::default();
        for name in ["./a//b/", ".", "c"] {
            directories.set(name, DirectorySettings::default()).expect("a name");
        }
        assert_eq!(directories.names().collect::<Vec<_>>(), ["", "a/b", "c"]);
        for name in ["/a", "../a", "a/../../b"] {
            let error = directories.set(name, DirectorySettings::default()).expect_err("an error");
            assert!(error.message().contains("below the directory of actions"), "{error}");
        }
        assert_eq!(above("a/b").collect::<Vec<_>>(), ["a/b", "a", ""]);
        assert_eq!(above("").collect::<Vec<_>>(), [""]);
    }

    #[test]
    fn starts_are_read_as_they_are_written() {
        for start in [StartMode::Auto, StartMode::Fork, StartMode::Spawn] {
            assert_eq!(start.to_string().parse::<StartMode>().expect("one"), start);
        }
        let error = "copy".parse::<StartMode>().expect_err("none").to_string();
        assert!(error.contains("must be auto, fork or spawn (got \"copy\")"), "{error}");
    }
}
