//! The limits of what one attempt stores, whatever the code in it sends.

use std::sync::Arc;

use tinpot_core::executor::{LogBuffer, LogLines};
use tinpot_core::{Artifact, Json, Level, LogEvent, LogWriter, SpanId, Stream, Timestamp};
use tokio::sync::Notify;

const LIMIT: u64 = 2 * 1024 * 1024;

fn log() -> (LogWriter, LogBuffer) {
    LogWriter::channel(Arc::new(Notify::new()), LIMIT)
}

/// Takes what was written: the bytes of all of it, and the markers.
fn taken(buffer: &LogBuffer) -> (usize, Vec<String>) {
    let (mut bytes, mut markers) = (0, Vec::new());
    for chunk in buffer.take(usize::MAX) {
        bytes += chunk.fields.as_ref().map_or(0, |fields| fields.as_str().len());
        bytes += chunk.lines.iter().map(String::len).sum::<usize>();
        if chunk.stream == Stream::System {
            markers.extend(chunk.lines);
        }
    }
    (bytes, markers)
}

#[tokio::test]
async fn fields_count_as_the_log_that_they_are_stored_with() {
    let (logs, buffer) = log();
    let text = format!("{{\"a\":{:?}}}", "x".repeat(7_000));
    let (mut bytes, mut markers) = (0, Vec::new());
    for _ in 0..1_000 {
        let fields = Some(Json::parse(&text).expect("JSON"));
        let lines = LogLines::new(Stream::Log, Level::Info, vec!["m".to_owned()]).fields(fields);
        logs.write_lines(lines).await;
        let (more, said) = taken(&buffer);
        bytes += more;
        markers.extend(said);
    }
    assert!(bytes as u64 <= LIMIT + 1_000, "{bytes}");
    assert_eq!(markers.len(), 1, "{markers:?}");
    assert!(markers[0].contains("the log is longer than 2097152 bytes"), "{markers:?}");
    // Fields that no line of a log can have are left out, and the line says so.
    let (logs, buffer) = log();
    let large = Json::parse(format!("{{\"a\":{:?}}}", "x".repeat(100_000))).expect("JSON");
    let lines = LogLines::new(Stream::Log, Level::Info, vec!["m".to_owned()]).fields(Some(large));
    logs.write_lines(lines).await;
    let chunk = &buffer.take(usize::MAX)[0];
    assert!(chunk.fields.is_none());
    assert_eq!(chunk.lines, ["m … [tinpot] 100008 bytes of fields are not kept"]);
}

#[test]
fn names_of_steps_and_summaries_are_bounded_in_bytes() {
    let (logs, buffer) = log();
    let name = "ä".repeat(100_000);
    for number in 1..=10_000 {
        let span = SpanId { attempt: 1, number };
        let (parent, name, at) = (None, name.clone(), Timestamp(1));
        logs.event(&LogEvent::SpanStarted { span, parent, name, at });
    }
    let (bytes, markers) = taken(&buffer);
    assert!(bytes as u64 <= LIMIT + 1_000, "{bytes}");
    assert_eq!(markers.len(), 1, "{markers:?}");
    assert!(markers[0].contains("100000 with 2097152 bytes"), "{markers:?}");
}

fn artifact(number: u32, name: &str) -> LogEvent {
    let artifact = serde_json::json!({
        "number": number, "attempt": 1, "name": name, "size_bytes": 1, "media_type": "text/plain",
    });
    let artifact: Artifact = serde_json::from_value(artifact).expect("an artifact");
    LogEvent::Artifact(artifact)
}

#[test]
fn an_artifact_has_the_name_of_a_file() {
    let (logs, buffer) = log();
    let long = "x".repeat(256);
    let bad = ["../../etc/passwd", "/etc/passwd", "a\\b", "..", ".", "", "a\nb", "a\u{9b}b", &long];
    for name in bad {
        logs.event(&artifact(1, name));
    }
    let (_, markers) = taken(&buffer);
    assert_eq!(markers.len(), bad.len(), "{markers:?}");
    assert!(markers[0].contains("must be that of a file"), "{markers:?}");
    for name in ["report.txt", "ä ö.pdf", ".env", &"x".repeat(255)] {
        logs.event(&artifact(1, name));
        assert_eq!(taken(&buffer).1, [""; 0]);
    }
}

#[tokio::test]
async fn the_bytes_of_artifacts_are_counted_where_they_are_stored() {
    let (logs, buffer) = log();
    let (mut bytes, mut markers) = (0, Vec::new());
    for _ in 0..1_600 {
        let piece = vec![format!("1.1 {}", "x".repeat(60_000))];
        logs.write(Stream::Data, Level::Info, piece).await;
        let (more, said) = taken(&buffer);
        bytes += more;
        markers.extend(said);
    }
    assert!(bytes <= 88 * 1024 * 1024 + 1_000, "{bytes}");
    assert_eq!(markers.len(), 1, "{markers:?}");
    // An artifact of which bytes are missing is not shown.
    logs.event(&artifact(1, "large.bin"));
    assert!(buffer.is_empty());
}
