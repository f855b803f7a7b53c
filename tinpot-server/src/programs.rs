//! Programs as actions, next to Python actions.

use std::path::Path;

use tinpot_process::{ProcessExecutor, ProcessExecutorBuilder};
use tinpot_python::{Containment, ContainmentMode};

/// Returns the builder of an executor for the programs below a directory, next to Python with this
/// containment.
///
/// Programs run below the cgroup of the Python pool: a record of the worker names that one, and it
/// is empty only if nothing of either is alive.
pub(crate) fn builder(
    dir: &Path,
    mode: ContainmentMode,
    python: Option<&Containment>,
) -> ProcessExecutorBuilder {
    let builder =
        ProcessExecutor::builder(dir).surroundings(crate::process::found()).containment(mode);
    match python {
        Some(Containment::Cgroup { path }) => builder.cgroup_below(path),
        _ => builder,
    }
}
