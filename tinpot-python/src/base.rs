//! The environment and surroundings that every process of a pool starts with, whatever the program has
//! changed for itself.

use std::ffi::OsString;
use std::path::Path;

use rustix::fs::Mode;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tinpot_contain::{Environment, Surroundings};
use tokio::process::Command;

/// The part that the commands of a pool have in common.
#[derive(Debug)]
pub(crate) struct Base {
    environment: Environment,
    /// Changes of the environment; `None` removes a variable.
    changes: Vec<(OsString, Option<OsString>)>,
    surroundings: Surroundings,
}

impl Base {
    pub(crate) fn new(
        environment: Environment,
        changes: Vec<(OsString, Option<OsString>)>,
        surroundings: Surroundings,
    ) -> Self {
        Self { environment, changes, surroundings }
    }

    /// Returns a command with the environment and the surroundings.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        self.environment.replace(&mut command);
        for (name, value) in &self.changes {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        restore(&mut command, self.surroundings);
        command
    }
}

/// Makes the process begin with these surroundings, and without the descriptors that this process
/// has inherited itself. Its own are closed by `exec` anyway.
#[allow(unsafe_code, reason = "there is no safe way to run code between fork and exec")]
fn restore(command: &mut Command, surroundings: Surroundings) {
    let between_fork_and_exec = move || {
        close_at_exec();
        if let Some(mask) = surroundings.umask {
            rustix::process::umask(Mode::from_raw_mode(mask));
        }
        if let Some(number) = surroundings.open_files {
            let maximum = getrlimit(Resource::Nofile).maximum;
            setrlimit(Resource::Nofile, Rlimit { current: Some(number), maximum })?;
        }
        #[cfg(target_os = "linux")]
        if surroundings.no_new_privileges {
            rustix::thread::set_no_new_privs(true)?;
        }
        Ok(())
    };
    // SAFETY: the closure makes system calls only. It neither allocates nor takes a lock, which
    // must not happen between fork and exec in a process with threads.
    unsafe {
        command.pre_exec(between_fork_and_exec);
    }
}

/// Marks all descriptors but the first three as ones that `exec` closes. Those to keep are marked
/// otherwise after that.
#[allow(unsafe_code, reason = "there is no safe function for it")]
fn close_at_exec() {
    #[cfg(target_os = "linux")]
    // SAFETY: it closes nothing now, and changes what `exec` does in this process only. Kernels before
    // 5.11 know no such call, and answer with an error.
    unsafe {
        libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC);
    }
}
