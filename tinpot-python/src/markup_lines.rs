//! Markup lines: messages of the Python package between the lines that an attempt prints.
//!
//! They share the pipe with the printed lines, so that all of them arrive in order.

use std::sync::Arc;

use serde::Deserialize;
use tinpot_contain::{ESCAPE, LineSplitter, LiveLine, Part};
use tinpot_core::executor::LogLines;
use tinpot_core::{Context, Json, Level, LogEvent, SpanId, Stream};
use tokio::time::Instant;

use crate::child_text;

/// One markup line.
#[derive(Debug, Deserialize)]
pub(crate) struct MarkupLine {
    /// The attempt, where many attempts run in one interpreter.
    a: Option<u64>,
    /// The stream of the text in `m`: standard error, or both where many attempts run in one
    /// interpreter.
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
    /// The line that a command is writing; empty if there is none.
    u: Option<String>,
}

/// The output of one attempt: writes the lines to its log, and does what the markup lines say.
#[derive(Debug)]
pub(crate) struct MarkupReader {
    /// The running step, by stream.
    spans: [u32; 2],
    /// The text that markup lines carry, by stream.
    carried: [LineSplitter; 2],
    live: LiveLine,
    /// True if a line has ended since [`wrote`](Self::wrote) was called.
    has_ended: bool,
    /// The line that a command of the action is writing.
    of_command: Option<String>,
}

/// The streams and their levels.
const STREAMS: [(Stream, Level); 2] =
    [(Stream::Stdout, Level::Info), (Stream::Stderr, Level::Error)];

/// Returns the beginning of the markup lines of an interpreter with this mark.
pub(crate) fn prefix(mark: &str) -> Arc<[u8]> {
    [&[ESCAPE, b'_'], mark.as_bytes()].concat().into()
}

/// Parses a markup line.
pub(crate) fn read(mark: &[u8]) -> Option<MarkupLine> {
    child_text::read(mark)
        .inspect_err(|error| tracing::warn!(%error, "cannot read a message of an interpreter"))
        .ok()
}

impl MarkupReader {
    /// Returns a reader for a new attempt.
    pub(crate) fn new() -> Self {
        let (spans, carried, live) = Default::default();
        Self { spans, carried, live, has_ended: false, of_command: None }
    }

    /// Writes parts of standard output (0) or standard error (1) to the log of the attempt.
    pub(crate) async fn write(&mut self, context: &Context, stream: usize, parts: Vec<Part>) {
        let mut plain = Vec::new();
        for part in parts {
            let mark = match part {
                Part::Line(line) => {
                    plain.push(line);
                    continue;
                }
                Part::Mark(mark) => mark,
            };
            if !plain.is_empty() {
                self.plain(context, stream, std::mem::take(&mut plain)).await;
            }
            let mark = match child_text::read::<MarkupLine>(&mark) {
                Ok(mark) => mark,
                Err(error) => {
                    plain.push(format!("[tinpot] a message cannot be read: {error}"));
                    continue;
                }
            };
            if let (None, None, Some(number)) = (mark.l, mark.o, mark.s) {
                self.spans[stream] = number;
            }
            self.apply(context, mark).await;
        }
        if !plain.is_empty() {
            self.plain(context, stream, plain).await;
        }
    }

    async fn plain(&mut self, context: &Context, stream: usize, lines: Vec<String>) {
        self.write_lines(context, stream, self.spans[stream], lines).await;
    }

    async fn write_lines(
        &mut self,
        context: &Context,
        stream: usize,
        span_number: u32,
        lines: Vec<String>,
    ) {
        if let (false, Some((kind, level))) = (lines.is_empty(), STREAMS.get(stream)) {
            self.has_ended = true;
            let span = span(context, span_number);
            context.logs().write_lines(LogLines::new(*kind, *level, lines).span(span)).await;
        }
    }

    /// Does what a markup line says.
    pub(crate) async fn apply(&mut self, context: &Context, mark: MarkupLine) {
        let MarkupLine { s, l, m, f: fields, e, p, d, x, o, u, .. } = mark;
        for stream in 0..self.carried.len() {
            let is_other = o.is_some_and(|other| other != stream && m.contains('\n'));
            if l.is_some() || e.is_some() || is_other {
                let mut parts = Vec::new();
                self.carried[stream].end_before(&mut parts);
                self.write_lines(context, stream, s.unwrap_or(0), lines(parts)).await;
            }
        }
        if let Some(secret) = x {
            context.mask(secret);
        }
        if let Some(event) = e {
            context.logs().event(&event);
        }
        if let Some(progress) = p {
            self.live.report(context, progress);
        }
        if let Some(line) = u {
            self.of_command = (!line.is_empty()).then_some(line);
        }
        if let Some(piece) = d {
            let piece = format!("{}.{piece}", context.attempt());
            context.logs().write(Stream::Data, Level::Info, vec![piece]).await;
        }
        if let Some(level) = l {
            let line = |line: &str| line.strip_suffix('\r').unwrap_or(line).to_owned();
            let lines = m.split('\n').map(line).collect();
            let span = span(context, s.unwrap_or(0));
            let lines = LogLines::new(Stream::Log, level, lines).span(span).fields(fields);
            context.logs().write_lines(lines).await;
        } else if let Some((stream, carried)) = o.and_then(|o| Some((o, self.carried.get_mut(o)?)))
        {
            let mut parts = Vec::new();
            carried.split(m.as_bytes(), &mut parts);
            self.write_lines(context, stream, s.unwrap_or(0), lines(parts)).await;
        }
    }

    /// Writes the lines that have no end.
    pub(crate) async fn finish(&mut self, context: &Context) {
        for stream in 0..self.carried.len() {
            let mut parts = Vec::new();
            self.carried[stream].finish(&mut parts);
            self.write_lines(context, stream, self.spans[stream], lines(parts)).await;
        }
        self.of_command = None;
        self.live.wrote(context, true, false);
    }

    /// Takes note that something was written. `printed` are the splitters of the streams.
    pub(crate) fn wrote(&mut self, context: &Context, printed: &[&LineSplitter]) {
        let is_unfinished = self.of_command.is_some()
            || printed.iter().copied().chain(&self.carried).any(LineSplitter::is_unfinished);
        let has_ended = std::mem::take(&mut self.has_ended);
        self.live.wrote(context, has_ended, is_unfinished);
    }

    /// Resolves when an unfinished line is to be shown.
    pub(crate) async fn due(&self) {
        self.live.due().await;
    }

    /// Returns the time at which an unfinished line is to be shown.
    pub(crate) fn due_at(&self) -> Option<Instant> {
        self.live.due_at()
    }

    /// Shows an unfinished line if it is time to.
    pub(crate) fn show(&mut self, context: &Context, printed: &[&LineSplitter]) {
        if self.live.is_due() {
            let line = LiveLine::of(printed.iter().copied().chain(&self.carried));
            self.live.show(context, self.of_command.clone().or(line));
        }
    }
}

/// Returns the lines among some parts.
pub(crate) fn lines(parts: Vec<Part>) -> Vec<String> {
    let line = |part| match part {
        Part::Line(line) => Some(line),
        Part::Mark(_) => None,
    };
    parts.into_iter().filter_map(line).collect()
}

impl MarkupLine {
    /// Returns the attempt that the line names.
    pub(crate) fn attempt(&self) -> Option<u64> {
        self.a
    }

    /// Returns true for a log line or printed text.
    pub(crate) fn has_text(&self) -> bool {
        self.l.is_some() || self.o.is_some()
    }

    /// Returns the text of the line.
    pub(crate) fn into_text(self) -> String {
        self.m
    }
}

fn span(context: &Context, number: u32) -> Option<SpanId> {
    (number > 0).then(|| SpanId { attempt: context.attempt(), number })
}
