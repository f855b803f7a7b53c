//! Markup lines: messages of the Python package between the lines that an attempt prints.
//!
//! They share the pipe with the printed lines, so that all of them arrive in order.

use serde::Deserialize;
use tinpot_core::executor::LogLines;
use tinpot_core::{Context, Json, Level, LogEvent, SpanId, Stream};

use crate::child_text;

/// The first character of a markup line, before the mark of the interpreter.
const ESCAPE: char = '\u{1b}';

/// One markup line.
#[derive(Debug, Deserialize)]
pub(crate) struct MarkupLine {
    /// The attempt, where many attempts run in one interpreter.
    a: Option<u64>,
    /// The stream of printed text, where many attempts run in one interpreter.
    o: Option<usize>,
    /// The step that the following lines of this stream belong to; 0 for none.
    s: Option<u32>,
    /// The level of a log line; its message and fields follow.
    l: Option<Level>,
    #[serde(default)]
    m: String,
    f: Option<Json>,
    e: Option<LogEvent>,
    p: Option<(f64, Option<f64>, String)>,
    /// A piece of an artifact.
    d: Option<String>,
    /// A secret, which is masked from now on.
    x: Option<String>,
}

/// Separates the markup lines of one interpreter from the printed lines.
#[derive(Debug)]
pub(crate) struct MarkupReader {
    prefix: String,
    /// The running step, by stream.
    spans: [u32; 2],
}

/// The streams and their levels.
const STREAMS: [(Stream, Level); 2] =
    [(Stream::Stdout, Level::Info), (Stream::Stderr, Level::Error)];

impl MarkupReader {
    /// Returns a reader for the interpreter with this mark.
    pub(crate) fn new(mark: &str) -> Self {
        Self { prefix: format!("{ESCAPE}_{mark}"), spans: [0; 2] }
    }

    /// Prepares for a new attempt.
    pub(crate) fn reset(&mut self) {
        self.spans = [0; 2];
    }

    /// Parses a line; returns `None` for a printed line.
    pub(crate) fn read(&self, line: &str) -> Option<MarkupLine> {
        child_text::read(line.strip_prefix(&self.prefix)?.as_bytes()).ok()
    }

    /// Writes lines of standard output (0) or standard error (1) to the log of the attempt.
    pub(crate) async fn write(&mut self, context: &Context, stream: usize, lines: Vec<String>) {
        let is_marked = |line: &String| {
            memchr::memchr(ESCAPE as u8, line.as_bytes()).is_some() && line.contains(&self.prefix)
        };
        if !lines.iter().any(is_marked) {
            return self.plain(context, stream, lines).await;
        }
        let mut plain = Vec::new();
        for mut line in lines {
            let Some(at) = line.find(&self.prefix) else {
                plain.push(line);
                continue;
            };
            let mark = child_text::read(&line.as_bytes()[at + self.prefix.len()..]);
            // The mark starts a line, but text without a line end may precede it.
            if at > 0 {
                line.truncate(at);
                plain.push(line);
            }
            if !plain.is_empty() {
                self.plain(context, stream, std::mem::take(&mut plain)).await;
            }
            match mark {
                Ok(mark) => {
                    let mark: MarkupLine = mark;
                    if let (None, Some(number)) = (mark.l, mark.s) {
                        self.spans[stream] = number;
                    }
                    mark.apply(context).await;
                }
                Err(error) => tracing::debug!(%error, "cannot read a markup line"),
            }
        }
        if !plain.is_empty() {
            self.plain(context, stream, plain).await;
        }
    }

    async fn plain(&self, context: &Context, stream: usize, lines: Vec<String>) {
        let (kind, level) = STREAMS[stream];
        let span = span(context, self.spans[stream]);
        let lines = LogLines::new(kind, level, lines).span(span);
        context.logs().write_lines(lines).await;
    }
}

impl MarkupLine {
    /// Returns the attempt that the line names.
    pub(crate) fn attempt(&self) -> Option<u64> {
        self.a
    }

    /// Applies the line to the attempt.
    pub(crate) async fn apply(self, context: &Context) {
        let MarkupLine { s, l, m, f: fields, e, p, d, x, o, .. } = self;
        if let Some(secret) = x {
            context.mask(secret);
        }
        if let Some(event) = e {
            context.logs().event(&event);
        }
        if let Some((done, total, message)) = p {
            context.progress(done, total, message);
        }
        if let Some(piece) = d {
            let piece = format!("{}.{piece}", context.attempt());
            context.logs().write(Stream::Data, Level::Info, vec![piece]).await;
        }
        if let Some(level) = l {
            let lines = m.split('\n').map(str::to_owned).collect();
            let span = span(context, s.unwrap_or(0));
            let lines = LogLines::new(Stream::Log, level, lines).span(span).fields(fields);
            context.logs().write_lines(lines).await;
        } else if let Some((kind, level)) = o.and_then(|stream| STREAMS.get(stream)) {
            let span = span(context, s.unwrap_or(0));
            let lines = LogLines::new(*kind, *level, vec![m]).span(span);
            context.logs().write_lines(lines).await;
        }
    }
}

fn span(context: &Context, number: u32) -> Option<SpanId> {
    (number > 0).then(|| SpanId { attempt: context.attempt(), number })
}
