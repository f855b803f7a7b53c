//! Marked lines: what the Python side says about an attempt between the lines that the attempt prints, and in their order.

use serde::Deserialize;
use tinpot_core::{Context, Json, Level, LogEvent, LogLines, SpanId, Stream};

/// How a marked line begins, before the mark of the interpreter.
const ESCAPE: char = '\u{1b}';

/// One marked line.
#[derive(Debug, Deserialize)]
pub(crate) struct MarkupLine {
    /// Whose it is, where many attempts run in one interpreter.
    a: Option<u64>,
    /// Printed text, there: on which stream.
    o: Option<usize>,
    /// The step that what follows on this stream belongs to; 0 for none.
    s: Option<u32>,
    /// A line of a logging function: its level, message and fields.
    l: Option<Level>,
    #[serde(default)]
    m: String,
    f: Option<Json>,
    e: Option<LogEvent>,
    p: Option<(f64, Option<f64>, String)>,
    /// A piece of an artifact.
    d: Option<String>,
    /// A secret: it is masked from now on.
    x: Option<String>,
}

/// Takes the marked lines of one interpreter out of what it prints.
#[derive(Debug)]
pub(crate) struct MarkupReader {
    prefix: String,
    /// The present step, per stream.
    spans: [u32; 2],
}

/// The streams, and how important they are.
const STREAMS: [(Stream, Level); 2] =
    [(Stream::Stdout, Level::Info), (Stream::Stderr, Level::Error)];

impl MarkupReader {
    /// For an interpreter that was told this mark.
    pub(crate) fn new(mark: &str) -> Self {
        Self { prefix: format!("{ESCAPE}_{mark}"), spans: [0; 2] }
    }

    /// A new attempt begins.
    pub(crate) fn reset(&mut self) {
        self.spans = [0; 2];
    }

    /// What a line says, if it is a marked one.
    pub(crate) fn read(&self, line: &str) -> Option<MarkupLine> {
        serde_json::from_str(line.strip_prefix(&self.prefix)?).ok()
    }

    /// Hands on lines of standard output (0) or standard error (1).
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
            let mark = serde_json::from_str(&line[at + self.prefix.len()..]);
            // The mark begins a line, but what was there of one had no end.
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
                    mark.tell(context).await;
                }
                Err(error) => tracing::debug!(%error, "a marked line cannot be read"),
            }
        }
        if !plain.is_empty() {
            self.plain(context, stream, plain).await;
        }
    }

    async fn plain(&self, context: &Context, stream: usize, lines: Vec<String>) {
        let (kind, level) = STREAMS[stream];
        let span = span(context, self.spans[stream]);
        let lines = LogLines { span, ..LogLines::new(kind, level, lines) };
        context.logs().write_lines(lines).await;
    }
}

impl MarkupLine {
    /// The attempt that it names.
    pub(crate) fn attempt(&self) -> Option<u64> {
        self.a
    }

    /// Does what it says.
    pub(crate) async fn tell(self, context: &Context) {
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
            let lines = LogLines { span, fields, ..LogLines::new(Stream::Log, level, lines) };
            context.logs().write_lines(lines).await;
        } else if let Some((kind, level)) = o.and_then(|stream| STREAMS.get(stream)) {
            let span = span(context, s.unwrap_or(0));
            let lines = LogLines { span, ..LogLines::new(*kind, *level, vec![m]) };
            context.logs().write_lines(lines).await;
        }
    }
}

fn span(context: &Context, number: u32) -> Option<SpanId> {
    (number > 0).then(|| SpanId { attempt: context.attempt(), number })
}
