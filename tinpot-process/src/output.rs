//! Writes the output of a program to the log of its attempt.

use std::io;
use std::os::fd::OwnedFd;

use tinpot_contain::{LineSplitter, LiveLine, OutputPipes, OutputSink, Part};
use tinpot_core::{Context, Level, Stream};

/// The longest line in the message of a failure.
const LAST_BYTES: usize = 500;

/// The kinds of both standard streams in the log.
pub(crate) type Kinds = [(Stream, Level); 2];

/// Both standard streams of a program.
#[derive(Debug)]
pub(crate) struct Outputs {
    pub(crate) pipes: OutputPipes,
    pub(crate) kinds: Kinds,
}

impl Outputs {
    /// Creates the pipes of a program; returns the reading ends, and the writing ends of standard
    /// output and standard error.
    pub(crate) fn of_program() -> io::Result<(Self, OwnedFd, OwnedFd)> {
        Self::open([(Stream::Stdout, Level::Info), (Stream::Stderr, Level::Error)])
    }

    /// Creates the pipes of a tool that sets up an environment.
    pub(crate) fn of_setup() -> io::Result<(Self, OwnedFd, OwnedFd)> {
        Self::open([(Stream::System, Level::Info); 2])
    }

    fn open(kinds: Kinds) -> io::Result<(Self, OwnedFd, OwnedFd)> {
        let (pipes, stdout, stderr) = OutputPipes::open(None)?;
        Ok((Self { pipes, kinds }, stdout, stderr))
    }
}

/// The log of an attempt, for the output of one program.
pub(crate) struct ProgramLog<'a> {
    context: &'a Context,
    kinds: Kinds,
    live: LiveLine,
    /// True if a line has ended since [`wrote`](OutputSink::wrote) was called.
    has_ended: bool,
    /// The last lines that are not blank, of both streams.
    last: [String; 2],
}

impl<'a> ProgramLog<'a> {
    pub(crate) fn new(context: &'a Context, kinds: Kinds) -> Self {
        Self { context, kinds, live: LiveLine::default(), has_ended: false, last: <_>::default() }
    }

    /// Ends the log; returns the last line that is not blank: of standard error, if there is one.
    pub(crate) fn finish(mut self) -> String {
        self.live.wrote(self.context, true, false);
        let [stdout, stderr] = self.last;
        let mut line = if stderr.is_empty() { stdout } else { stderr };
        if line.len() > LAST_BYTES {
            let end = (0..=LAST_BYTES).rev().find(|at| line.is_char_boundary(*at));
            line.truncate(end.unwrap_or_default());
            line.push('…');
        }
        line
    }
}

impl OutputSink for ProgramLog<'_> {
    async fn write(&mut self, stream: usize, parts: Vec<Part>) {
        let lines = parts.into_iter().map(|part| match part {
            Part::Line(line) => line,
            // There is no prefix of marks.
            Part::Mark(mark) => String::from_utf8_lossy(&mark).into_owned(),
        });
        let lines: Vec<String> = lines.collect();
        if let Some(last) = lines.iter().rev().find(|line| !line.trim().is_empty()) {
            self.last[stream].clone_from(last);
        }
        self.has_ended = true;
        let (kind, level) = self.kinds[stream];
        self.context.logs().write(kind, level, lines).await;
    }

    fn wrote(&mut self, splitters: [&LineSplitter; 2]) {
        let is_unfinished = splitters.into_iter().any(LineSplitter::is_unfinished);
        let has_ended = std::mem::take(&mut self.has_ended);
        self.live.wrote(self.context, has_ended, is_unfinished);
    }

    async fn due(&self) {
        self.live.due().await;
    }

    fn show(&mut self, splitters: [&LineSplitter; 2]) {
        if self.live.is_due() {
            self.live.show(self.context, LiveLine::of(splitters));
        }
    }
}
