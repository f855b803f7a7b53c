//! One page of a log, read forwards or backwards.
//!
//! The store reads forwards only. The lines of an execution are numbered without gaps, so a page is
//! read backwards in windows of numbers: each window is read forwards, and ends where the one before
//! began.

use std::collections::VecDeque;

use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use tinpot_core::Readable;
use utoipa::ToSchema;

use super::filter::Filter;
use crate::error::ApiError;
use crate::model::{LineEncoder, LogLine, json_bytes};

/// The largest page. A page that is full before it has the requested lines says where to continue.
const PAGE_BYTES: usize = 4 * 1024 * 1024;
/// The bytes that are read from the store at once.
const READ_BYTES: usize = 1024 * 1024;
/// The bytes of a log that one request scans for lines that pass its filter. After that, the answer
/// says where to continue.
const SCAN_BYTES: usize = 64 * 1024 * 1024;
/// The lines of one window: few, so that a page costs little more than it shows, and more when few
/// of them pass the filter.
const WINDOW_LINES_MIN: u64 = 256;
const WINDOW_LINES_MAX: u64 = 16 * 1024;

/// The requested part of a log.
#[derive(Clone, Copy, Debug)]
pub(super) enum Part {
    /// The first lines above a number.
    After(u64),
    /// The last lines below a number.
    Before(u64),
}

/// One page of a log, in ascending order.
#[derive(Serialize, ToSchema)]
pub(crate) struct LogPage<'a> {
    lines: Vec<LogLine<'a>>,
    /// The `after` of the next page; null if there are no later lines yet.
    next: Option<u64>,
    /// The `before` of the previous page; null if there are no earlier lines.
    previous: Option<u64>,
    /// The number of the last stored line, of any kind.
    last_seq: u64,
}

/// A reader of pages.
#[derive(Debug)]
pub(super) struct Pages {
    pub(super) readable: Readable,
    pub(super) filter: Filter,
    pub(super) limit: usize,
    /// The number of the last stored line.
    pub(super) last_seq: u64,
}

/// Lines as JSON with their numbers, oldest first.
#[derive(Default)]
struct Lines {
    lines: VecDeque<(u64, Vec<u8>)>,
    bytes: usize,
    /// The bytes that were read for them.
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

impl Pages {
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
            let chunks = self.readable.logs(last, READ_BYTES).await?;
            let before = last;
            for chunk in &chunks {
                if !room(&page) {
                    break;
                }
                page.scanned += chunk.size_bytes();
                if !self.filter.passes(chunk) {
                    last = last.max(chunk.last_seq());
                    continue;
                }
                let encoder = LineEncoder::of(chunk);
                for (seq, line) in (chunk.first_seq..).zip(&chunk.lines) {
                    if seq > last && !page.is_full(self.limit) {
                        page.push(seq, encoder.to_vec(seq, line));
                        last = seq;
                    }
                }
            }
            if last == before {
                break;
            }
        }
        let more = !room(&page) && !self.readable.logs(last, 1).await?.is_empty();
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
            // Large lines make the next window smaller; few lines that pass make it larger.
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

    /// Returns the last lines from `start` on and below `end` that fit, and true if others were
    /// dropped.
    async fn window(
        &self,
        start: u64,
        end: u64,
        limit: usize,
        max_bytes: usize,
    ) -> Result<(Lines, bool), ApiError> {
        let (mut window, mut dropped, mut last) = (Lines::default(), false, start - 1);
        while last + 1 < end {
            let chunks = self.readable.logs(last, READ_BYTES).await?;
            let before = last;
            for chunk in chunks.iter().filter(|chunk| chunk.first_seq < end) {
                window.scanned += chunk.size_bytes();
                if self.filter.passes(chunk) {
                    let encoder = LineEncoder::of(chunk);
                    for (seq, line) in (chunk.first_seq..end).zip(&chunk.lines) {
                        if seq <= last {
                            continue;
                        }
                        window.push(seq, encoder.to_vec(seq, line));
                        // The last line is kept, however large it is.
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
        let last_shown = page.lines.back().map_or(0, |(seq, _)| *seq);
        // The log may have grown since it was read; a number that the client sent never extends it.
        let last_seq = self.last_seq.max(last_shown.min(seen));
        let empty = LogPage { lines: Vec::new(), next, previous, last_seq };
        let json = serde_json::to_string(&empty).unwrap_or_default();
        // The lines are encoded already: they go between the brackets of the empty list.
        let (head, tail) = json.split_at(json.find(']').unwrap_or_default());
        let mut body = Vec::with_capacity(page.bytes + page.lines.len() + json.len());
        body.extend_from_slice(head.as_bytes());
        for (at, (_, line)) in page.lines.iter().enumerate() {
            if at > 0 {
                body.push(b',');
            }
            body.extend_from_slice(line);
        }
        body.extend_from_slice(tail.as_bytes());
        json_bytes(StatusCode::OK, body)
    }
}
