//! The packages and the Python that an operator sets for a directory.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use tinpot_core::{Error, ErrorKind};

use super::versions;
use crate::mask;
use crate::versions::Versions;

/// The packages and the Python of a directory, in place of what the files in it ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DirectoryRequest {
    /// The packages; `None` for those that the files ask for.
    pub requirements: Option<Requirements>,
    /// The groups of its `pyproject.toml` (PEP 735); `None` for those that it selects itself.
    pub groups: Option<Vec<String>>,
    /// The interpreter; `None` for the preferred one of those that fit.
    pub python: Option<WantedPython>,
}

/// The packages of a directory. `Debug` shows no passwords in URLs.
#[derive(Clone, PartialEq, Eq)]
pub enum Requirements {
    /// Requirements, such as `numpy>=2`.
    List(Vec<String>),
    /// A file of requirements, relative to the directory.
    File(PathBuf),
}

impl fmt::Debug for Requirements {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::List(all) => {
                let all: Vec<_> = all.iter().map(|one| mask(one)).collect();
                f.debug_tuple("List").field(&all).finish()
            }
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
        }
    }
}

/// The interpreter of a directory. Its text is a list of versions, such as `>=3.11,<4` or `3.12`, or
/// the path of a program or a virtual environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WantedPython {
    /// Any interpreter with one of these versions.
    Versions(Versions),
    /// A program, or the directory of a virtual environment.
    Program(PathBuf),
}

impl DirectoryRequest {
    /// Returns true if everything is left to the files.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

impl FromStr for WantedPython {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let invalid = |message: String| Error::new(ErrorKind::InvalidInput, message);
        let text = text.trim();
        if text.is_empty() {
            let message =
                "must be versions like \">=3.11\" or \"3.12\", or the path of an interpreter";
            return Err(invalid(message.to_owned()));
        }
        if !text.starts_with(|c: char| c.is_ascii_digit() || "<>=!~".contains(c)) {
            return Ok(Self::Program(PathBuf::from(text)));
        }
        let read = versions(Some(&toml::Value::from(text)));
        let wrong =
            || invalid(format!("must be versions like \">=3.11\" or \"3.12\" (got {text:?})"));
        read.ok().flatten().map(Self::Versions).ok_or_else(wrong)
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::{Requirements, WantedPython};

    #[test]
    fn passwords_are_not_shown() {
        let all = Requirements::List(vec!["a @ https://me:hunter2@host/a.whl".to_owned()]);
        assert_eq!(format!("{all:?}"), "List([\"a @ https://***@host/a.whl\"])");
    }

    #[test]
    fn versions_and_paths_are_told_apart() {
        for text in [">=3.11,<4", "3.12", "==3.12.*"] {
            let wanted: WantedPython = text.parse().expect("versions");
            assert!(matches!(wanted, WantedPython::Versions(_)), "{text}");
        }
        for text in ["/opt/python", "python3.12", ".venv"] {
            let wanted: WantedPython = text.parse().expect("a path");
            assert_eq!(wanted, WantedPython::Program(PathBuf::from(text)));
        }
        for text in ["", "  ", ">=new", "=="] {
            let error = text.parse::<WantedPython>().expect_err("an error");
            assert!(error.message().contains("must be versions like"), "{error}");
        }
    }
}
