//! [`AuditCopy`]: the entries of the audit as lines of JSON in a file, or on standard output.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tinpot_core::access::records::Records;
use tinpot_core::{Error, ErrorKind, Result};

use super::{AUDIT_LOG, PAGE, RUNS_LOG};
use crate::stored::{read, write};

/// The kind of the documents that say what was copied.
const COPIED: &str = "audit_copied";
/// The time between two looks for new entries.
const INTERVAL: Duration = Duration::from_secs(1);

/// The place for the copy.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AuditCopyTarget {
    /// Standard output.
    Stdout,
    /// The end of a file. It is created with mode 0600, and again when another program has renamed
    /// or removed it.
    File(PathBuf),
}

/// Copies the entries of both logs, whatever process has written them, as lines of JSON:
/// `{"log":"audit","n":7,"prev":"…",…}`. It goes on where it stopped before a restart; the last
/// entries before a crash may be there twice, and none is left out.
#[derive(Debug)]
pub struct AuditCopy {
    records: Arc<dyn Records>,
    target: AuditCopyTarget,
}

/// The last entry of a log that was copied.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Copied {
    up_to: u64,
}

/// A file that is open, with its identity.
type Open = Option<(File, (u64, u64))>;

impl AuditCopy {
    /// Describes the copy of the logs in these records.
    pub fn new(records: Arc<dyn Records>, target: AuditCopyTarget) -> Self {
        Self { records, target }
    }

    /// Checks that the target can be written.
    ///
    /// # Errors
    /// `InvalidInput` if it cannot.
    pub fn check(&self) -> Result<()> {
        let AuditCopyTarget::File(path) = &self.target else { return Ok(()) };
        opened(path, &mut None).map(drop).map_err(|error| {
            let message = format!("the audit cannot be copied to {}: {error}", path.display());
            Error::new(ErrorKind::InvalidInput, message)
        })
    }

    /// Copies entries as they come, and never ends. While the target cannot be written, entries
    /// wait in the log.
    pub async fn run(self) {
        let (mut open, mut is_failing) = (None, false);
        loop {
            for log in [AUDIT_LOG, RUNS_LOG] {
                match self.copy(log, &mut open).await {
                    Ok(()) => is_failing = false,
                    // Once for an outage.
                    Err(error) if !std::mem::replace(&mut is_failing, true) => {
                        tracing::error!(log, %error, "the audit cannot be copied: it will be later");
                    }
                    Err(_) => {}
                }
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }

    /// Copies the new entries of a log.
    async fn copy(&self, log: &'static str, open: &mut Open) -> Result<()> {
        loop {
            let record = self.records.get(COPIED, log).await?;
            let copied = record.as_ref().map(read::<Copied>).transpose();
            let copied = copied.map_err(|error| super::unreadable(&error))?;
            let (version, up_to) = match copied {
                Some(copied) => (copied.version, copied.value.up_to),
                // The first copy begins with what comes now.
                None => (0, self.records.append(log, None, &[]).await?),
            };
            let entries = self.records.entries(log, up_to, PAGE).await?;
            let last = entries.last().map_or(up_to, |(number, _)| *number);
            if version > 0 && entries.is_empty() {
                return Ok(());
            }
            let lines = lines(log, &entries);
            let (target, mut file) = (self.target.clone(), open.take());
            let written = tokio::task::spawn_blocking(move || {
                let written = append(&target, &mut file, &lines);
                (written, file)
            });
            let failed = |_| Error::new(ErrorKind::Other, "the writer of the copy has ended");
            let (written, file) = written.await.map_err(failed)?;
            *open = file;
            written.map_err(|error| Error::new(ErrorKind::Unavailable, error.to_string()))?;
            let change = write(COPIED, log, version, &Copied { up_to: last })?;
            match self.records.change(&[change]).await {
                Ok(_) => {}
                // Another process copies the same log.
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                Err(error) => return Err(error),
            }
            if entries.len() < PAGE {
                return Ok(());
            }
        }
    }
}

/// Returns the entries as lines, each with the name of its log in front.
fn lines(log: &str, entries: &[(u64, Bytes)]) -> Vec<u8> {
    let mut lines = Vec::new();
    for (_, entry) in entries {
        // An entry that is damaged stays in the log, and `verify_audit` finds it.
        let Some(rest) = entry.strip_prefix(b"{") else { continue };
        lines.extend_from_slice(format!("{{\"log\":\"{log}\",").as_bytes());
        lines.extend_from_slice(rest);
        lines.push(b'\n');
    }
    lines
}

fn append(target: &AuditCopyTarget, open: &mut Open, lines: &[u8]) -> io::Result<()> {
    match target {
        AuditCopyTarget::Stdout => {
            let mut out = io::stdout().lock();
            out.write_all(lines)?;
            out.flush()
        }
        AuditCopyTarget::File(path) => {
            let mut file = opened(path, open)?;
            file.write_all(lines)?;
            file.sync_data()
        }
    }
}

/// Returns the file with this path, which may be another one than before.
fn opened<'a>(path: &Path, open: &'a mut Open) -> io::Result<&'a File> {
    let identity = |file: &std::fs::Metadata| (file.dev(), file.ino());
    let present = std::fs::metadata(path).ok().map(|found| identity(&found));
    let is_same = open.as_ref().is_some_and(|(_, known)| Some(*known) == present);
    if !is_same {
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
        let known = identity(&file.metadata()?);
        *open = Some((file, known));
    }
    let file = open.as_ref().map(|(file, _)| file);
    file.ok_or_else(|| io::Error::other("the file was closed"))
}
