//! The commands of a build, and their log.

use std::ffi::OsString;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;

use rustix::process::{Pid, Signal, kill_process_group};
use tinpot_core::{Error, ErrorKind, Result};
use tokio::net::unix::pipe::Receiver;
use tokio::process::Command;

use crate::mask::mask;

/// The size of a log. What a build writes beyond it is only in the tail.
const MAX_LOG_BYTES: usize = 4 << 20;
/// The longest line. The rest of a longer one is the next line.
const MAX_LINE_BYTES: usize = 8 * 1024;
/// The lines at the end of a log that an error shows, and their size.
const TAIL_LINES: usize = 30;
const TAIL_BYTES: usize = 8 * 1024;
/// The size of one read.
const READ_BYTES: usize = 16 * 1024;
/// The reads after the end of a command. A process that has left its group may write for ever.
const LAST_READS: usize = 64;

/// Gets each line of the logs of builds, without passwords of addresses.
#[derive(Clone)]
pub struct Echo(Arc<dyn Fn(&str) + Send + Sync>);

impl Echo {
    /// Creates an echo that calls a function.
    pub fn new(line: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self(Arc::new(line))
    }
}

impl fmt::Debug for Echo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Echo").finish_non_exhaustive()
    }
}

/// The log of a build: a file that only this user can read, without passwords of addresses.
#[derive(Debug)]
pub(crate) struct Log {
    file: File,
    written: usize,
    tail: std::collections::VecDeque<String>,
    partial: Vec<u8>,
    echo: Option<Echo>,
}

impl Log {
    pub(crate) fn create(path: &Path, echo: Option<Echo>) -> Result<Self> {
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(path);
        let file = file.map_err(|error| {
            let message = format!("cannot write {}: {error}", path.display());
            Error::new(ErrorKind::Unavailable, message)
        })?;
        Ok(Self { file, written: 0, tail: Default::default(), partial: Vec::new(), echo })
    }

    /// Adds one line.
    pub(crate) fn line(&mut self, line: &str) {
        let line = mask(line.trim_end());
        if self.written < MAX_LOG_BYTES {
            self.written += line.len() + 1;
            // A full disk is seen by the build itself.
            let _ = writeln!(self.file, "{line}");
        }
        if let Some(Echo(echo)) = &self.echo {
            echo(&line);
        }
        self.tail.push_back(line.into_owned());
        if self.tail.len() > TAIL_LINES {
            self.tail.pop_front();
        }
    }

    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            match byte {
                b'\n' => self.end_line(),
                _ if self.partial.len() >= MAX_LINE_BYTES => {
                    self.end_line();
                    self.partial.push(*byte);
                }
                _ => self.partial.push(*byte),
            }
        }
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.partial);
        self.line(&String::from_utf8_lossy(&line));
    }

    /// Returns the last lines.
    pub(crate) fn finish(mut self) -> String {
        if !self.partial.is_empty() {
            self.end_line();
        }
        let mut bytes = 0;
        let fits = |line: &&String| {
            bytes += line.len() + 1;
            bytes <= TAIL_BYTES
        };
        let mut lines: Vec<&str> =
            self.tail.iter().rev().take_while(fits).map(String::as_str).collect();
        lines.reverse();
        lines.join("\n")
    }
}

/// Kills a process group when it is dropped.
#[derive(Debug)]
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// Runs a command in a process group of its own, with its output in the log. Dropping the future
/// kills the group.
pub(crate) async fn run<'a>(
    command: &[OsString],
    variables: impl IntoIterator<Item = &'a (OsString, OsString)>,
    folder: &Path,
    log: &mut Log,
) -> io::Result<ExitStatus> {
    let Some((program, arguments)) = command.split_first() else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let (output, input) = io::pipe()?;
    let mut command = Command::new(program);
    command.args(arguments).env_clear().current_dir(folder).stdin(Stdio::null());
    command.envs(variables.into_iter().map(|(name, value)| (name, value)));
    command.stdout(input.try_clone()?).stderr(input).process_group(0).kill_on_drop(true);
    let mut child = command.spawn()?;
    // Its copies of the pipe keep the output open.
    drop(command);
    let group = Group(child.id().and_then(|id| Pid::from_raw(id.cast_signed())));
    let output: std::os::fd::OwnedFd = output.into();
    let output = Receiver::from_owned_fd(output)?;
    let mut buffer = vec![0; READ_BYTES];
    let status = loop {
        tokio::select! {
            biased;
            read = read(&output, &mut buffer) => match read? {
                0 => break child.wait().await?,
                count => log.add(&buffer[..count]),
            },
            status = child.wait() => break status?,
        }
    };
    // What it has started must not go on writing into the environment.
    drop(group);
    for _ in 0..LAST_READS {
        let Ok(count @ 1..) = output.try_read(&mut buffer) else { break };
        log.add(&buffer[..count]);
    }
    Ok(status)
}

async fn read(output: &Receiver, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        output.readable().await?;
        match output.try_read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            read => return read,
        }
    }
}
