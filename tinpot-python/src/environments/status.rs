//! The descriptions of environments that a worker reports.

use tinpot_core::{EnvironmentState, LoadError, PythonEnvironment, Timestamp};
use tinpot_venv::{BuildError, Environment, mask};

/// The maximum number of environments that are reported, as a coordinator takes them.
const REPORTED: usize = 100;

/// Returns the description of an environment whose build begins. Until the build ends, another try
/// shows why the last one failed.
pub(super) fn building(
    before: Option<PythonEnvironment>,
    place: &str,
    files: Option<&[String]>,
    has_changed: bool,
) -> PythonEnvironment {
    let (state, now) = (EnvironmentState::Building, Timestamp::now());
    let mut status = before.unwrap_or_else(|| PythonEnvironment::new(place, state, now));
    place.clone_into(&mut status.place);
    status.asked = files.map_or_else(|| vec![place.to_owned()], <[String]>::to_vec);
    (status.state, status.since) = (state, now);
    if has_changed {
        status.reason.clear();
        status.log.clear();
    }
    status
}

/// Notes that a build has failed. If `is_kept`, the last good environment stays in use.
pub(super) fn failed(status: &mut PythonEnvironment, error: &BuildError, is_kept: bool) {
    let prefix = format!("{}: ", status.place);
    let reason = error.reason.strip_prefix(&*prefix).unwrap_or(&error.reason);
    status.reason = mask(reason).into_owned();
    status.log = mask(&error.log).into_owned();
    status.since = Timestamp::now();
    status.state = if is_kept { EnvironmentState::Kept } else { EnvironmentState::Failed };
    if !is_kept {
        status.key = error.short_key().to_owned();
    }
}

/// The part of a description that a build finds out.
#[derive(Debug)]
pub(super) struct Ready {
    key: String,
    python: String,
    installer: String,
    packages: u64,
    bytes: u64,
}

impl Ready {
    pub(super) fn of(environment: &Environment) -> Self {
        let record = &environment.record;
        Self {
            key: environment.short_key().to_owned(),
            python: record.python.clone(),
            installer: record.installer.clone(),
            packages: record.packages.len() as u64,
            bytes: environment.bytes,
        }
    }

    /// Notes that the environment is what its files ask for.
    pub(super) fn note(self, status: &mut PythonEnvironment) {
        let Self { key, python, installer, packages, bytes } = self;
        (status.state, status.since) = (EnvironmentState::Ready, Timestamp::now());
        (status.key, status.python, status.installer) = (key, python, installer);
        (status.packages, status.bytes) = (packages, bytes);
        status.reason.clear();
        status.log.clear();
    }
}

/// Returns the descriptions that are reported: those that need attention first if there are too
/// many.
pub(super) fn bounded(
    mut all: Vec<PythonEnvironment>,
    problems: &mut Vec<LoadError>,
) -> Vec<PythonEnvironment> {
    let more = all.len().saturating_sub(REPORTED);
    if more > 0 {
        all.sort_by_key(|environment| environment.state == EnvironmentState::Ready);
        all.truncate(REPORTED);
        let message = format!(
            "{more} Python environments are not shown: a worker may report at most {REPORTED}"
        );
        problems.push(LoadError::new("python_environments", message));
    }
    all
}
