//! Containment: the way in which a pool finds and kills all processes of its attempts.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use tinpot_core::{Error, ErrorKind};

/// The containment that a executor should use.
///
/// Its text is `auto`, `cgroup` or `process-group`.
///
/// ```
/// use tinpot_contain::ContainmentMode;
///
/// let mode: ContainmentMode = "cgroup".parse()?;
/// assert_eq!(mode, ContainmentMode::Cgroup);
/// # Ok::<_, tinpot_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ContainmentMode {
    /// Cgroups if they can be used, else process groups.
    #[default]
    Auto,
    /// Cgroups. The pool does not start if they cannot be used.
    Cgroup,
    /// Process groups, even if cgroups can be used.
    ProcessGroup,
}

impl FromStr for ContainmentMode {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "auto" => Ok(Self::Auto),
            "cgroup" => Ok(Self::Cgroup),
            "process-group" => Ok(Self::ProcessGroup),
            _ => {
                let message = format!("must be auto, cgroup or process-group (got {text:?})");
                Err(Error::new(ErrorKind::InvalidInput, message))
            }
        }
    }
}

impl fmt::Display for ContainmentMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Cgroup => "cgroup",
            Self::ProcessGroup => "process-group",
        })
    }
}

/// The containment in force. `Display` describes it for people.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Containment {
    /// Each interpreter has a control group (cgroup v2) of its own, which the kernel kills at once.
    /// No process of an attempt can escape by a fork or by a session of its own.
    Cgroup {
        /// The cgroup of the pool, which contains those of its interpreters.
        path: PathBuf,
    },
    /// Each interpreter leads a process group and adopts orphaned descendants. The pool searches
    /// for its descendants and kills them one by one. A process that forks faster than the search
    /// can escape.
    ProcessGroup {
        /// The reason why cgroups are not used.
        reason: String,
    },
}

impl fmt::Display for Containment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cgroup { path } => write!(f, "cgroups below {}", path.display()),
            Self::ProcessGroup { reason } => {
                write!(f, "process groups and a search for descendants, not cgroups: {reason}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ContainmentMode;

    #[test]
    fn modes_are_read_as_they_are_written() {
        for mode in [ContainmentMode::Auto, ContainmentMode::Cgroup, ContainmentMode::ProcessGroup]
        {
            assert_eq!(mode.to_string().parse::<ContainmentMode>().expect("a mode"), mode);
        }
        let error = "cgroups".parse::<ContainmentMode>().expect_err("no mode").to_string();
        assert!(error.contains("\"cgroups\"") && error.contains("process-group"), "{error}");
    }
}
