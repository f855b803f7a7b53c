//! The process of a server.

use std::sync::OnceLock;

use rustix::fs::Mode;
#[cfg(target_os = "linux")]
use rustix::process::DumpableBehavior;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit, umask};
use tinpot_python::Surroundings;

/// The open files that a server asks for: more than all connections and workers need.
const OPEN_FILES: u64 = 1 << 20;

/// A process has these once, so that the record of what they were is one, too.
static FOUND: OnceLock<Surroundings> = OnceLock::new();

/// Prepares this process to be a server: files that it creates are its user's alone, it may open as
/// many files as the system allows, and on Linux other processes of the user cannot read its memory
/// and environment, nor does it dump core: both have keys. The processes that actions start get back
/// what was there.
///
/// Call it first in `main`.
pub fn keep_private() {
    FOUND.get_or_init(|| {
        hide_memory();
        let found = Surroundings::default().umask(umask(Mode::RWXG | Mode::RWXO).as_raw_mode());
        let limit = getrlimit(Resource::Nofile);
        let wanted = limit.maximum.unwrap_or(OPEN_FILES).min(OPEN_FILES);
        match limit.current {
            Some(current) if current < wanted => {
                let raised = Rlimit { current: Some(wanted), maximum: limit.maximum };
                match setrlimit(Resource::Nofile, raised) {
                    Ok(()) => found.open_files(current),
                    // It goes on with what it has.
                    Err(_) => found,
                }
            }
            _ => found,
        }
    });
}

/// The variables that may have secrets: addresses with passwords, and tokens.
const SECRET_VARIABLES: [&str; 7] = [
    "MQTT_BROKER",
    "BROKER_USER",
    "TINPOT_BROKER_USER",
    "TINPOT_TOKEN",
    "MINITOWER_BOOTSTRAP_TOKEN",
    "MINITOWER_RUNNER_REGISTRATION_TOKEN",
    "OTEL_EXPORTER_OTLP_HEADERS",
];
/// The beginning of those with secrets of actions.
const ACTION_SECRETS: &str = "TINPOT_SECRET_";

/// Takes variables with secrets out of the environment of this process, once its settings are read, and
/// out of what `/proc` shows of it. Actions still get those that are for them. If actions run in this
/// process, they read the environment themselves, and their secrets stay in it.
///
/// Call it before anything starts a thread: it has no effect in a process that has several.
pub fn hide_secret_variables(run_actions_here: bool) {
    // Without /proc, children inherit none of them either: their environment is chosen.
    let _ = tinpot_contain::hide_variables(|name| {
        SECRET_VARIABLES.contains(&name) || (name.starts_with(ACTION_SECRETS) && !run_actions_here)
    });
}

/// Keeps the memory and the environment of this process from other processes of its user, and from
/// core dumps.
fn hide_memory() {
    #[cfg(target_os = "linux")]
    // It goes on with what it has.
    let _ = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable);
}

/// Gives this process its umask back, for actions that run in it.
#[cfg(feature = "embed")]
pub(crate) fn share_umask() {
    if let Some(mask) = found().umask {
        umask(Mode::from_raw_mode(mask));
    }
}

/// Returns what [`keep_private`] has changed.
pub(crate) fn found() -> Surroundings {
    FOUND.get().copied().unwrap_or_default()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use rustix::process::{DumpableBehavior, dumpable_behavior, set_dumpable_behavior};

    #[test]
    fn a_server_dumps_no_core() {
        let before = dumpable_behavior().expect("a behaviour");
        super::hide_memory();
        assert_eq!(dumpable_behavior(), Ok(DumpableBehavior::NotDumpable));
        set_dumpable_behavior(before).expect("as before");
    }
}
