//! The lines of an attempt: a runner's numbers, which may skip, and ours, which may not.

use std::sync::Arc;

use tinpot_core::{Json, Level, LogChunk, Stream, Timestamp};

/// The field of a line about missing ones: what to add to our numbers of later lines to get the
/// runner's.
const OFFSET: &str = "offset";

/// A line as a runner sends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) seq: u64,
    pub(super) stream: Stream,
    pub(super) text: String,
    pub(super) time: Timestamp,
}

/// The numbers of an attempt's lines.
///
/// A runner numbers the lines that it reads, and drops batches that it cannot send. One line of the
/// log then stands for all that are missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LineNumbers {
    /// The runner's number of the last line that was taken.
    theirs: u64,
    /// Our number of the last line.
    ours: u64,
}

impl LineNumbers {
    /// Returns the numbers after `lines` lines are stored, the later ones of which have this offset.
    pub(super) fn stored(lines: u64, offset: u64) -> Self {
        Self { theirs: lines + offset, ours: lines }
    }

    /// Returns the number of lines so far.
    pub(super) fn last(&self) -> u64 {
        self.ours
    }

    /// Numbers the lines that are new.
    pub(super) fn take(&mut self, lines: Vec<Line>) -> Vec<Arc<LogChunk>> {
        let mut chunks: Vec<LogChunk> = Vec::new();
        for line in lines {
            // The first line with a number counts.
            let Some(missing) = line.seq.checked_sub(self.theirs + 1) else { continue };
            if missing > 0 {
                self.ours += 1;
                chunks.push(gap(missing, self.ours, line.seq - 1, line.time));
            }
            (self.theirs, self.ours) = (line.seq, self.ours + 1);
            match chunks.last_mut() {
                Some(last)
                    if (last.stream, last.time) == (line.stream, line.time)
                        && last.fields.is_none() =>
                {
                    last.lines.push(line.text);
                }
                _ => chunks.push(chunk(self.ours, line)),
            }
        }
        chunks.into_iter().map(Arc::new).collect()
    }
}

fn chunk(first_seq: u64, line: Line) -> LogChunk {
    let level = if line.stream == Stream::Stderr { Level::Error } else { Level::Info };
    LogChunk::new(first_seq, line.time, line.stream, level, vec![line.text])
}

/// Returns the line that stands for missing ones. `theirs` is the runner's number of the last of
/// them.
fn gap(missing: u64, ours: u64, theirs: u64, time: Timestamp) -> LogChunk {
    let lines = if missing == 1 { "line of this log was" } else { "lines of this log were" };
    let text = format!("[tinpot] {missing} {lines} lost on the way");
    let mut chunk = LogChunk::new(ours, time, Stream::System, Level::Warning, vec![text]);
    let offset = theirs - ours;
    chunk.fields = Json::parse(format!("{{\"{OFFSET}\":{offset}}}")).ok();
    chunk
}

/// Returns the offset of the lines after a stored one, if it stands for missing lines.
pub(super) fn offset_after(chunk: &LogChunk) -> Option<u64> {
    if chunk.stream != Stream::System {
        return None;
    }
    let fields = chunk.fields.as_ref()?;
    let fields: serde_json::Value = serde_json::from_str(fields.as_str()).ok()?;
    fields.get(OFFSET)?.as_u64()
}

#[cfg(test)]
mod tests {
    use tinpot_core::{Stream, Timestamp};

    use super::{Line, LineNumbers, offset_after};

    fn lines(seqs: &[u64]) -> Vec<Line> {
        let line = |seq: &u64| Line {
            seq: *seq,
            stream: Stream::Stdout,
            text: format!("line {seq}"),
            time: Timestamp(1),
        };
        seqs.iter().map(line).collect()
    }

    #[test]
    fn lines_have_numbers_without_gaps() {
        let mut numbers = LineNumbers::default();
        let chunks = numbers.take(lines(&[1, 2]));
        assert_eq!((chunks.len(), chunks[0].first_seq), (1, 1));
        assert_eq!(chunks[0].lines, ["line 1", "line 2"]);
        assert!(numbers.take(lines(&[1, 2])).is_empty(), "the first one counts");
        let chunks = numbers.take(lines(&[2, 3, 7, 8]));
        let first: Vec<_> = chunks.iter().map(|chunk| chunk.first_seq).collect();
        assert_eq!(first, [3, 4, 5]);
        assert_eq!(chunks[1].lines, ["[tinpot] 3 lines of this log were lost on the way"]);
        assert_eq!(chunks[1].stream, Stream::System);
        assert_eq!(chunks[2].lines, ["line 7", "line 8"]);
        assert_eq!((numbers.last(), offset_after(&chunks[1])), (6, Some(2)));
        assert_eq!(offset_after(&chunks[0]), None);
        // Another process of the server goes on with what is stored.
        assert_eq!(LineNumbers::stored(6, 2), numbers);
        let chunks = numbers.take(lines(&[10]));
        assert_eq!(chunks[0].lines, ["[tinpot] 1 line of this log was lost on the way"]);
        assert_eq!(offset_after(&chunks[0]), Some(2));
        assert_eq!(chunks[1].first_seq, 8);
    }
}
