//! One page of a log, read forwards or backwards.
//!
//! The store reads forwards only. The lines of an execution are numbered without a gap, so the lines before one are found by their numbers:
//! backwards is forwards, in windows that end where the last one began.

use std::collections::VecDeque;

use axum::http::StatusCode;
use axum::response::Response;
use tinpot_core::{Coordinator, ExecutionId};

use super::filter::Filter;
use crate::error::ApiError;
use crate::model::json_bytes;
use crate::stream::LineWriter;

/// The most text of one page, and what is read from the store at once. A page that is full before its limit of lines says where to go on.
const PAGE_BYTES: usize = 4 * 1024 * 1024;
/// What is read from the store at once.
const READ_BYTES: usize = 1024 * 1024;
/// How much of a log one request goes through for lines that its filter wants; then it says where to go on.
const SCAN_BYTES: usize = 64 * 1024 * 1024;
/// The lines of one window: few enough that a page costs what it shows, and more when few of them are wanted.
const WINDOW_LINES_MIN: u64 = 256;
const WINDOW_LINES_MAX: u64 = 16 * 1024;

/// The part of a log that is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Part {
    /// The first lines above a number.
    After(u64),
    /// The last lines below a number.
    Before(u64),
}

/// A log of which pages are read.
#[derive(Debug)]
pub(super) struct Pages<'a> {
    pub(super) coordinator: &'a Coordinator,
    pub(super) id: ExecutionId,
    pub(super) filter: Filter,
    pub(super) limit: usize,
    /// The last line that is stored.
    pub(super) last_seq: u64,
}

/// Lines as JSON, with their numbers, oldest first.
#[derive(Default)]
struct Lines {
    lines: VecDeque<(u64, Vec<u8>)>,
    bytes: usize,
    /// What was read for them.
    scanned: usize,
}

impl Lines {
    fn push(&mut self, seq: u64, line: Vec<u8>) {
        self.bytes += line.len();
        self.lines.push_back((seq, line));
    }

    fn is_full(&self, limit: usize) -> bool {
        self.lines.len() >= limit || self.bytes >= PAGE_BYTES
    }

    fn pop_front(&mut self) -> Option<u64> {
        let (seq, line) = self.lines.pop_front()?;
        self.bytes -= line.len();
        Some(seq)
    }
}

impl Pages<'_> {
    pub(super) async fn page(&self, part: Part) -> Result<Response, ApiError> {
        match part {
            Part::After(after) => self.forwards(after).await,
            Part::Before(before) => self.backwards(before).await,
        }
    }

    async fn forwards(&self, after: u64) -> Result<Response, ApiError> {
        let mut page = Lines::default();
        let mut last = after;
        let room = |page: &Lines| !page.is_full(self.limit) && page.scanned < SCAN_BYTES;
        while room(&page) {
            let chunks = self.coordinator.logs(self.id, last, READ_BYTES).await?;
            let before = last;
            for chunk in &chunks {
                if !room(&page) {
                    break;
                }
                page.scanned += chunk.size_bytes();
                if !self.filter.wants(chunk) {
                    last = last.max(chunk.last_seq());
                    continue;
                }
                let writer = LineWriter::of(chunk);
                for (seq, line) in (chunk.first_seq..).zip(&chunk.lines) {
                    if seq > last && !page.is_full(self.limit) {
                        page.push(seq, writer.to_vec(seq, line));
                        last = seq;
                    }
                }
            }
            if last == before {
                break;
            }
        }
        let more = !room(&page) && !self.coordinator.logs(self.id, last, 1).await?.is_empty();
        let previous = (after > 0 && self.last_seq > 0).then(|| after.min(self.last_seq) + 1);
        Ok(self.answer(&page, more.then_some(last), previous, last))
    }

    async fn backwards(&self, before: u64) -> Result<Response, ApiError> {
        let end = before.clamp(1, self.last_seq + 1);
        let (mut page, mut low) = (Lines::default(), end);
        let mut size = (self.limit as u64).max(WINDOW_LINES_MIN);
        while low > 1 && !page.is_full(self.limit) && page.scanned < SCAN_BYTES {
            let start = low.saturating_sub(size).max(1);
            let room = self.limit - page.lines.len();
            let (window, dropped) = self.window(start, low, room, PAGE_BYTES - page.bytes).await?;
            // Large lines: the next window is smaller. Few that are wanted: it is larger.
            size = if window.scanned > PAGE_BYTES { WINDOW_LINES_MIN } else { size * 2 };
            size = size.min(WINDOW_LINES_MAX);
            low = window.lines.front().filter(|_| dropped).map_or(start, |(seq, _)| *seq);
            page.bytes += window.bytes;
            page.scanned += window.scanned;
            for line in window.lines.into_iter().rev() {
                page.lines.push_front(line);
            }
            if dropped {
                break;
            }
        }
        let next = (end <= self.last_seq).then(|| end - 1);
        Ok(self.answer(&page, next, (low > 1).then_some(low), end - 1))
    }

    /// The last lines from `start` on and below `end` that there is room for, and whether there were others.
    async fn window(
        &self,
        start: u64,
        end: u64,
        limit: usize,
        max_bytes: usize,
    ) -> Result<(Lines, bool), ApiError> {
        let (mut window, mut dropped, mut last) = (Lines::default(), false, start - 1);
        while last + 1 < end {
            let chunks = self.coordinator.logs(self.id, last, READ_BYTES).await?;
            let before = last;
            for chunk in chunks.iter().filter(|chunk| chunk.first_seq < end) {
                window.scanned += chunk.size_bytes();
                if self.filter.wants(chunk) {
                    let writer = LineWriter::of(chunk);
                    for (seq, line) in (chunk.first_seq..end).zip(&chunk.lines) {
                        if seq <= last {
                            continue;
                        }
                        window.push(seq, writer.to_vec(seq, line));
                        // The last one of all is shown however large it is.
                        while window.lines.len() > limit
                            || (window.bytes > max_bytes && window.lines.len() > 1)
                        {
                            dropped |= window.pop_front().is_some();
                        }
                    }
                }
                last = last.max(chunk.last_seq());
            }
            if last == before {
                break;
            }
        }
        Ok((window, dropped))
    }

    fn answer(
        &self,
        page: &Lines,
        next: Option<u64>,
        previous: Option<u64>,
        seen: u64,
    ) -> Response {
        let mut body = Vec::with_capacity(page.bytes + page.lines.len() + 100);
        body.extend_from_slice(br#"{"lines":["#);
        for (at, (_, line)) in page.lines.iter().enumerate() {
            if at > 0 {
                body.push(b',');
            }
            body.extend_from_slice(line);
        }
        let last_shown = page.lines.back().map_or(0, |(seq, _)| *seq);
        // A log that grows meanwhile is further than it was asked for, but nobody's number makes it longer.
        let last_seq = self.last_seq.max(last_shown.min(seen));
        let number = |number: Option<u64>| number.map_or("null".to_owned(), |seq| seq.to_string());
        let rest = format!(
            r#"],"next":{},"previous":{},"last_seq":{last_seq}}}"#,
            number(next),
            number(previous)
        );
        body.extend_from_slice(rest.as_bytes());
        json_bytes(StatusCode::OK, body)
    }
}
