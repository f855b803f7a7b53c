//! Pipes as log lines.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;

use tokio::io::{AsyncRead, ReadBuf};

use super::LogWriter;
use crate::model::log::{Level, Stream};

/// Bytes read at once. The lines in them are written together.
const READ_BYTES: usize = 16 * 1024;
/// The longest line that is collected; what follows is a line of its own. The log cuts lines at the
/// same length.
const LINE_BYTES: usize = 64 * 1024;

impl LogWriter {
    /// Writes the lines of a pipe, if there is one, until it ends, and returns the last line.
    ///
    /// Bytes that are not UTF-8 become U+FFFD; a line end is `\n` or `\r\n`. While the log is not
    /// drained, nothing is read, so the writing process waits.
    ///
    /// # Errors
    /// The error of the pipe. The lines before it are written.
    pub async fn copy<P: AsyncRead + Unpin>(
        &self,
        stream: Stream,
        level: Level,
        pipe: Option<P>,
    ) -> io::Result<Option<String>> {
        let Some(mut pipe) = pipe else { return Ok(None) };
        let mut buffer = vec![0; READ_BYTES];
        let mut rest = Vec::new();
        let mut last = None;
        loop {
            let read = read(&mut pipe, &mut buffer).await;
            let ended = !matches!(read, Ok(1..));
            rest.extend_from_slice(&buffer[..*read.as_ref().unwrap_or(&0)]);
            let mut lines = take_lines(&mut rest);
            if !rest.is_empty() && (ended || rest.len() >= LINE_BYTES) {
                lines.push(text(&std::mem::take(&mut rest)));
            }
            if let Some(line) = lines.last() {
                last = Some(line.clone());
                self.write(stream, level, lines).await;
            }
            if ended {
                return read.map(|_| last);
            }
        }
    }
}

/// Takes the complete lines; what follows the last line end stays.
fn take_lines(bytes: &mut Vec<u8>) -> Vec<String> {
    let Some(end) = bytes.iter().rposition(|byte| *byte == b'\n') else { return Vec::new() };
    let lines = bytes[..end].split(|byte| *byte == b'\n').map(text).collect();
    bytes.drain(..=end);
    lines
}

fn text(line: &[u8]) -> String {
    String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line)).into_owned()
}

/// Reads once. tokio's own extension trait is behind a feature that nothing else here needs.
async fn read(pipe: &mut (impl AsyncRead + Unpin), buffer: &mut [u8]) -> io::Result<usize> {
    let mut buffer = ReadBuf::new(buffer);
    poll_fn(|context| Pin::new(&mut *pipe).poll_read(context, &mut buffer)).await?;
    Ok(buffer.filled().len())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::Notify;

    use super::*;

    async fn copied(bytes: &[u8]) -> (Vec<String>, Option<String>) {
        let (writer, buffer) = LogWriter::channel(Arc::new(Notify::new()), u64::MAX);
        let last = writer.copy(Stream::Stdout, Level::Info, Some(bytes)).await.expect("a pipe");
        let chunks = buffer.take(usize::MAX);
        (chunks.into_iter().flat_map(|chunk| chunk.lines).collect(), last)
    }

    #[tokio::test]
    async fn lines_are_split_at_line_ends_only() {
        let (lines, last) = copied(b"a\n\r\nb\r\n\nc\xff\xe2\x82").await;
        assert_eq!(lines, ["a", "", "b", "", "c\u{fffd}\u{fffd}"]);
        assert_eq!(last.as_deref(), Some("c\u{fffd}\u{fffd}"));
        assert_eq!(copied(b"").await, (vec![], None));
        assert_eq!(copied(b"\n").await, (vec![String::new()], Some(String::new())));
    }

    #[tokio::test]
    async fn characters_and_lines_across_reads_are_whole() {
        let text = format!("{}\n", "é".repeat(1_000)).repeat(40);
        let (lines, _) = copied(text.as_bytes()).await;
        assert_eq!(lines.len(), 40);
        assert!(lines.iter().all(|line| *line == "é".repeat(1_000)));
    }

    #[tokio::test]
    async fn endless_line_is_written_in_parts() {
        let (lines, _) = copied(&vec![b'x'; 200_000]).await;
        assert!(lines.len() >= 3, "{} lines", lines.len());
        assert_eq!(lines.iter().map(String::len).sum::<usize>(), 200_000);
    }
}
