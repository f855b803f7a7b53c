//! How a pool keeps hold of everything that its attempts start.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use tinpot_core::{Error, ErrorKind};

/// Which containment a [`PythonPool`](crate::PythonPool) is to use.
///
/// As text: `auto`, `cgroup` or `process-group`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ContainmentMode {
    /// Cgroups where they can be used, else process groups.
    #[default]
    Auto,
    /// Cgroups; the pool does not start where they cannot be used.
    Cgroup,
    /// Process groups, also where cgroups could be used.
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
                let message = format!(
                    "there is no containment {text:?}: it is auto, cgroup or process-group"
                );
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

/// Which containment is in force; its text says so to people.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Containment {
    /// Each interpreter has a control group (cgroup v2) of its own, which the kernel kills all at once: nothing that an attempt starts gets
    /// away, however it forks and whichever session it moves to.
    Cgroup {
        /// The cgroup of the pool, which has those of its interpreters below it.
        path: PathBuf,
    },
    /// Each interpreter leads a process group and adopts what its descendants leave behind, and all that descends from it is searched for and
    /// killed, one by one. What forks faster than it can be found gets away.
    ProcessGroup {
        /// Why it is not cgroups, in a few words.
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
