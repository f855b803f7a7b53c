//! A supervisor: a small process between a worker and one program, which holds all processes that
//! the program starts.
//!
//! It is the program of the host, started again with a hidden first argument. It adopts orphaned
//! descendants, so that it knows all of them for certain: it has no children when they are dead.
//! When the worker asks for it, or is gone, however it ended, the supervisor kills all of them.

mod killer;
mod process;
mod reports;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub(crate) use self::reports::{DROP, KILL, Report, TERMINATE};

/// The first argument of a program that is started as a supervisor.
const ARGUMENT: &str = "supervise-attempt";
/// A variable in the environment of supervisors and their programs, so that a program that does not
/// know the argument is not started again and again.
pub(crate) const VARIABLE: &str = "TINPOT_SUPERVISED";

/// The limits that the kernel enforces on each process, and what the program starts with.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Orders {
    pub(crate) umask: Option<u32>,
    pub(crate) open_files: Option<u64>,
    #[serde(default)]
    pub(crate) no_new_privileges: bool,
    pub(crate) address_space: Option<u64>,
    pub(crate) cpu_seconds: Option<u64>,
}

/// The folders of an attempt.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places {
    /// The cgroup of the program.
    pub(crate) cgroup: Option<PathBuf>,
    /// The worker's own cgroup, in which the supervisor stays.
    pub(crate) own_cgroup: Option<PathBuf>,
    /// A folder to remove if the worker is gone.
    pub(crate) scratch: Option<PathBuf>,
}

/// Returns the arguments of a supervisor before the program and its arguments.
pub(crate) fn arguments(orders: &Orders, places: &Places) -> Vec<OsString> {
    // Cannot fail: it writes numbers to memory.
    let orders = serde_json::to_string(orders).unwrap_or_default();
    let path = |path: &Option<PathBuf>| path.clone().unwrap_or_default().into_os_string();
    let Places { cgroup, own_cgroup, scratch } = places;
    vec![ARGUMENT.into(), orders.into(), path(cgroup), path(own_cgroup), path(scratch)]
}

/// Makes this process the supervisor of a program if an executor has started it for that; returns
/// at once otherwise.
///
/// Call it first in `main` of a program that runs processes as actions. The executor starts the
/// program itself again for each attempt.
///
/// ```
/// tinpot_contain::supervise_if_asked();
/// // The program begins here.
/// ```
pub fn supervise_if_asked() {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().as_deref() != Some(OsStr::new(ARGUMENT)) {
        return;
    }
    let path = |text: Option<OsString>| text.filter(|text| !text.is_empty()).map(PathBuf::from);
    let orders = arguments.next().unwrap_or_default();
    let places = Places {
        cgroup: path(arguments.next()),
        own_cgroup: path(arguments.next()),
        scratch: path(arguments.next()),
    };
    let code = match serde_json::from_slice(orders.as_encoded_bytes()) {
        Ok(orders) => process::supervise(&orders, places, arguments),
        Err(error) => {
            eprintln!("{ARGUMENT} is for Tinpot's workers only: {error}");
            2
        }
    };
    std::process::exit(code);
}

/// Returns true if this process was started as a supervisor, or by one.
pub(crate) fn is_supervised() -> bool {
    std::env::var_os(VARIABLE).is_some()
}

/// Returns the file that moves processes to a cgroup.
fn procs(cgroup: &Path) -> PathBuf {
    cgroup.join("cgroup.procs")
}
