//! The worker, as a program.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::process::{Child, Command};

/// The end of the output that is shown of a failed scene.
const OUTPUT_BYTES: usize = 2_000;

/// A running program, in a folder and a process group of its own.
#[derive(Debug)]
pub(crate) struct Program {
    child: Child,
    pid: Option<Pid>,
    output: PathBuf,
}

impl Program {
    pub(crate) fn start(
        words: &[OsString],
        folder: &Path,
        settings: &[(&str, OsString)],
    ) -> io::Result<Self> {
        let [program, arguments @ ..] = words else {
            return Err(io::Error::other("there is no command"));
        };
        let output = folder.join("output");
        let file = File::options().create(true).append(true).open(&output)?;
        let mut command = Command::new(absolute(program));
        command
            .args(arguments.iter().map(|word| absolute(word)))
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .process_group(0)
            .kill_on_drop(true);
        command.envs(settings.iter().map(|(name, value)| (name, value)));
        let child = command.spawn()?;
        let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        Ok(Self { child, pid, output })
    }

    /// Waits for its end.
    pub(crate) async fn ended(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Asks it to end, as a supervisor does.
    pub(crate) fn terminate(&self) {
        if let Some(pid) = self.pid {
            let _ = kill_process(pid, Signal::TERM);
        }
    }

    /// Returns the end of its output.
    pub(crate) fn output(&self) -> String {
        let bytes = std::fs::read(&self.output).unwrap_or_default();
        let from = bytes.len().saturating_sub(OUTPUT_BYTES);
        String::from_utf8_lossy(&bytes[from..]).into_owned()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Also what it has started. The group is there until the program was waited for.
        if let Some(pid) = self.pid
            && self.child.id().is_some()
        {
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

/// Returns the path of a file as it is found from any folder. Other words stay as they are.
fn absolute(word: &OsStr) -> OsString {
    let path = Path::new(word);
    match path.is_relative() && path.exists() {
        // Not `canonicalize`: the interpreter of a virtual environment is a link.
        true => std::path::absolute(path).map_or_else(|_| word.to_owned(), PathBuf::into_os_string),
        false => word.to_owned(),
    }
}
