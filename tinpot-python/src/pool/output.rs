//! The standard streams of an interpreter: what an attempt prints, and what belongs to none.

use std::collections::VecDeque;
use std::convert::Infallible;

use tinpot_contain::{LineSplitter, OutputPipes, OutputSink, Part};
use tinpot_core::Context;

use crate::markup_lines::{self, MarkupReader};

/// The target of log events that are output of Python code, of which programs that print no other
/// events show at least these.
const TARGET: &str = "tinpot_python::output";

/// The log of an attempt, for the output of its interpreter.
pub(super) struct AttemptLog<'a> {
    context: &'a Context,
    markup: MarkupReader,
}

impl<'a> AttemptLog<'a> {
    pub(super) fn new(context: &'a Context) -> Self {
        Self { context, markup: MarkupReader::new() }
    }

    /// Writes the lines that have no end.
    pub(super) async fn finish(mut self) {
        self.markup.finish(self.context).await;
    }
}

impl OutputSink for AttemptLog<'_> {
    async fn write(&mut self, stream: usize, parts: Vec<Part>) {
        self.markup.write(self.context, stream, parts).await;
    }

    fn wrote(&mut self, splitters: [&LineSplitter; 2]) {
        self.markup.wrote(self.context, &splitters);
    }

    async fn due(&self) {
        self.markup.due().await;
    }

    fn show(&mut self, splitters: [&LineSplitter; 2]) {
        self.markup.show(self.context, &splitters);
    }
}

/// Output that belongs to no attempt. It is written to the worker's own log.
///
/// Keeps the last lines, for the error if an interpreter does not start.
#[derive(Debug, Default)]
pub(super) struct Tail {
    lines: VecDeque<String>,
    is_of_start: bool,
}

impl Tail {
    const LINES: usize = 50;

    /// Returns a tail of the output of an interpreter that is starting. Each one prints the same.
    pub(super) fn of_start() -> Self {
        Self { is_of_start: true, ..Self::default() }
    }

    /// Takes output as it comes.
    pub(super) async fn watch(&mut self, pipes: &mut OutputPipes) -> Infallible {
        loop {
            self.take(pipes.parts().await);
        }
    }

    pub(super) fn take(&mut self, parts: Vec<Part>) {
        for part in parts {
            let line = match part {
                Part::Line(line) => line,
                Part::Mark(mark) => match markup_lines::read(&mark) {
                    Some(mark) if mark.has_text() => mark.into_text(),
                    _ => continue,
                },
            };
            let what = "output outside of an attempt";
            if self.is_of_start {
                tracing::debug!(target: TARGET, "{what}: {line}");
            } else {
                tracing::info!(target: TARGET, "{what}: {line}");
            }
            if self.lines.len() == Self::LINES {
                self.lines.pop_front();
            }
            self.lines.push_back(line);
        }
    }

    pub(super) fn text(&self) -> String {
        Vec::from_iter(self.lines.iter().map(String::as_str)).join("\n")
    }
}
