//! The limits of what an attempt stores in addition to its text: events and the bytes of artifacts.

use crate::model::log::{Artifact, LogEvent};
use crate::model::text::cut;

/// The maximum number of events of an attempt: steps, mostly.
pub(super) const EVENTS_MAX: u32 = 100_000;
/// The least room for the events of an attempt, in bytes, if the limit of its log is lower.
pub(super) const EVENT_BYTES_MIN: u64 = 1024 * 1024;
/// The maximum size of the artifacts of an attempt in base64, in bytes: 64 MiB of files.
pub(super) const DATA_BYTES_MAX: u64 = 88 * 1024 * 1024;
/// The maximum length of the name of a step, in bytes. The rest is cut off.
const NAME_BYTES: usize = 1024;
/// The maximum length of the error of a step, in bytes. The rest is cut off.
const ERROR_BYTES: usize = 16 * 1024;
/// The maximum length of the name of an artifact, in bytes: that of a file.
const ARTIFACT_NAME_BYTES: usize = 255;

/// Cuts the texts of an event, or returns the reason why it is not kept.
pub(super) fn check(event: &mut LogEvent) -> Result<(), String> {
    match event {
        LogEvent::SpanStarted { name, .. } => cut(name, NAME_BYTES),
        LogEvent::SpanEnded { error: Some(error), .. } => cut(error, ERROR_BYTES),
        LogEvent::Artifact(artifact) => return check_artifact(artifact),
        _ => {}
    }
    Ok(())
}

fn check_artifact(artifact: &Artifact) -> Result<(), String> {
    let name = artifact.name.as_str();
    let is_segment = !name.contains(['/', '\\']) && !matches!(name, "." | "..");
    let fits = (1..=ARTIFACT_NAME_BYTES).contains(&name.len());
    if is_segment && fits && !name.chars().any(char::is_control) {
        return Ok(());
    }
    let shown: String = name.chars().take(64).collect();
    Err(format!(
        "the name of an artifact must be that of a file, with 1 to {ARTIFACT_NAME_BYTES} bytes and \
         without control characters (got {shown:?}): it is not kept"
    ))
}
