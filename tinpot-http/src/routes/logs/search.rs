//! The search of a log: one pass over all of it.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::Response;
use regex::{Regex, RegexBuilder};
use serde::Serialize;
use serde_json::value::RawValue;
use tinpot_core::{LogChunk, Readable};
use tokio::time::Instant;
use utoipa::ToSchema;

use super::filter::Filter;
use crate::error::ApiError;
use crate::model::{LineEncoder, LogLine, json_response};
use crate::params::Params;

/// The searches that run at a time: they take CPU time that executions need as well.
pub(crate) const SEARCHES: usize = 2;
/// The time that a search waits for its turn.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

const PATTERN_CHARS: usize = 1_000;
/// The memory that each form of a compiled pattern may take.
const PATTERN_BYTES: usize = 1024 * 1024;
const LIMIT: usize = 100;
const LIMIT_MAX: usize = 1_000;
const CONTEXT_MAX: usize = 5;
/// The bytes that are read from the store at once. The next portion is read while this one is
/// searched.
const READ_BYTES: usize = 2 * 1024 * 1024;
/// The time after which a pass is cut.
const TIME: Duration = Duration::from_secs(5);
/// The largest answer.
const ANSWER_BYTES: usize = 4 * 1024 * 1024;

/// A search.
#[derive(Debug)]
pub(super) struct Search {
    pattern: Regex,
    filter: Filter,
    after: u64,
    limit: usize,
    context: usize,
}

/// The matches of a search, in ascending order.
#[derive(Default, Serialize, ToSchema)]
pub(crate) struct LogMatches {
    matches: Vec<LogMatch>,
    /// The `after` of the next search; null if these are the last matches.
    next: Option<u64>,
    /// The number of matches above `after`; null if the search was cut.
    total: Option<u64>,
}

/// One matching line, with the lines around it.
#[derive(Serialize, ToSchema)]
pub(crate) struct LogMatch {
    seq: u64,
    #[schema(value_type = LogLine)]
    line: Box<RawValue>,
    #[schema(value_type = Vec<LogLine>)]
    before: Vec<Box<RawValue>>,
    #[schema(value_type = Vec<LogLine>)]
    after: Vec<Box<RawValue>>,
}

impl Search {
    pub(super) const NAMES: [&str; 8] =
        ["q", "regex", "case", "level", "stream", "after", "limit", "context"];

    pub(super) fn of(params: &Params) -> Result<Self, ApiError> {
        let text = params.text("q").unwrap_or_default();
        let chars = text.chars().count();
        if !(1..=PATTERN_CHARS).contains(&chars) {
            let detail = format!("q must have 1 to {PATTERN_CHARS} characters (got {chars})");
            return Err(ApiError::unprocessable(detail));
        }
        let is_regex = params.flag("regex")?;
        let escaped = if is_regex { Cow::Borrowed(text) } else { regex::escape(text).into() };
        let pattern = RegexBuilder::new(&escaped)
            .case_insensitive(!params.flag("case")?)
            .size_limit(PATTERN_BYTES)
            .dfa_size_limit(PATTERN_BYTES)
            .build()
            .map_err(|error| {
                ApiError::unprocessable(format!("q must be a regular expression: {error}"))
            })?;
        let expected = format!("an integer from 0 to {CONTEXT_MAX}");
        let context = params.read("context", &expected, |text| {
            text.parse().ok().filter(|context| *context <= CONTEXT_MAX)
        })?;
        Ok(Self {
            pattern,
            filter: Filter::of(params)?,
            after: params.line("after")?.unwrap_or(0),
            limit: params.limit(LIMIT_MAX)?.unwrap_or(LIMIT),
            context: context.unwrap_or(0),
        })
    }

    pub(super) async fn run(self, readable: &Readable) -> Result<Response, ApiError> {
        let deadline = Instant::now() + TIME;
        let mut pass = Pass::of(self);
        // The context of the first match may start below `after`.
        let mut last = pass.search.after.saturating_sub(pass.search.context as u64 * 2);
        let mut chunks = readable.logs(last, READ_BYTES).await?;
        while let Some(end) = chunks.last().map(|chunk| chunk.last_seq()).filter(|end| *end > last)
        {
            let search = tokio::task::spawn_blocking(move || {
                let flow = pass.portion(&chunks, last);
                (pass, flow)
            });
            let (searched, next) = tokio::join!(search, readable.logs(end, READ_BYTES));
            let flow;
            (pass, flow) = searched.map_err(|error| {
                tracing::error!(%error, "a search panicked");
                ApiError::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "search failed; the server logged the reason",
                )
            })?;
            (chunks, last) = (next?, end);
            if flow.is_break() || (Instant::now() >= deadline && !chunks.is_empty()) {
                pass.found.next.get_or_insert(last);
                return Ok(json_response(StatusCode::OK, &pass.found));
            }
        }
        pass.found.total = Some(pass.total);
        Ok(json_response(StatusCode::OK, &pass.found))
    }
}

/// The state of a running search.
struct Pass {
    search: Search,
    found: LogMatches,
    total: u64,
    bytes: usize,
    /// The lines before the current one that a match would show, of any stream.
    before: VecDeque<(Arc<LogChunk>, usize)>,
}

impl Pass {
    fn of(search: Search) -> Self {
        Self { search, found: LogMatches::default(), total: 0, bytes: 0, before: VecDeque::new() }
    }

    /// Searches some chunks. Breaks if the answer is full.
    fn portion(&mut self, chunks: &[Arc<LogChunk>], last: u64) -> ControlFlow<()> {
        for chunk in chunks.iter().filter(|chunk| chunk.stream.is_text()) {
            let wanted = self.search.filter.passes(chunk);
            for (at, line) in chunk.lines.iter().enumerate() {
                let seq = chunk.first_seq + at as u64;
                if seq <= last {
                    continue;
                }
                self.add_after(chunk, at);
                if wanted && seq > self.search.after && self.matches(line) {
                    self.total += 1;
                    self.matched(chunk, at, seq);
                }
                if self.search.context > 0 {
                    if self.before.len() >= self.search.context {
                        self.before.pop_front();
                    }
                    self.before.push_back((chunk.clone(), at));
                }
            }
            if self.bytes >= ANSWER_BYTES {
                self.found.next = self.found.matches.last().map(|last| last.seq);
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    }

    fn matches(&self, line: &str) -> bool {
        if memchr::memchr(0x1b, line.as_bytes()).is_none() {
            return self.search.pattern.is_match(line);
        }
        self.search.pattern.is_match(&anstream::adapter::strip_str(line).to_string())
    }

    fn matched(&mut self, chunk: &Arc<LogChunk>, at: usize, seq: u64) {
        if self.found.matches.len() >= self.search.limit || self.bytes >= ANSWER_BYTES {
            // The answer is full: the rest of the pass only counts.
            let last = self.found.matches.last().map(|last| last.seq);
            self.found.next = self.found.next.or(last);
            return;
        }
        let before: Vec<_> =
            self.before.iter().filter_map(|(chunk, at)| encoded(chunk, *at)).collect();
        let Some(line) = encoded(chunk, at) else { return };
        self.bytes += before.iter().chain([&line]).map(|line| line.get().len()).sum::<usize>();
        self.found.matches.push(LogMatch { seq, line, before, after: Vec::new() });
    }

    /// Adds a line to the matches that it follows.
    fn add_after(&mut self, chunk: &Arc<LogChunk>, at: usize) {
        let (context, bytes) = (self.search.context, &mut self.bytes);
        // Every match receives each line after it, so only the last few still lack some.
        let short = self.found.matches.iter_mut().rev().take(context);
        for found in short.filter(|found| found.after.len() < context) {
            if let Some(line) = encoded(chunk, at) {
                *bytes += line.get().len();
                found.after.push(line);
            }
        }
    }
}

fn encoded(chunk: &LogChunk, at: usize) -> Option<Box<RawValue>> {
    let line = LineEncoder::of(chunk).to_vec(chunk.first_seq + at as u64, &chunk.lines[at]);
    RawValue::from_string(String::from_utf8(line).ok()?).ok()
}
