//! The queue between observers and the thread that exports.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::span::Span;

/// The spans that wait: about 5 MB of them. OpenTelemetry's own default is 2,048, which one second of
/// short executions fills.
const SPANS: usize = 8_192;
/// The most spans of one request, as OpenTelemetry has it.
pub(crate) const BATCH: usize = 512;

/// A bounded queue. Adding to it waits for nothing.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    spans: VecDeque<Span>,
    /// The number of spans that found no room.
    lost: u64,
    /// The time at which the exporter ends at the latest, once it was asked to.
    end_by: Option<Instant>,
    ended: bool,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a span, unless there is no room.
    pub(crate) fn push(&self, span: Span) {
        let mut state = self.lock();
        if state.spans.len() >= SPANS || state.end_by.is_some_and(|end| end <= Instant::now()) {
            state.lost += 1;
            return;
        }
        state.spans.push_back(span);
        if state.spans.len() == BATCH {
            drop(state);
            self.changed.notify_all();
        }
    }

    /// Waits for a full batch, for `interval`, or for the end, and takes the spans of one request.
    /// Returns `None` at the end.
    pub(crate) fn batch(&self, interval: Duration) -> Option<Vec<Span>> {
        let state = self.lock();
        let waits = |state: &mut State| state.spans.len() < BATCH && state.end_by.is_none();
        let waited = self.changed.wait_timeout_while(state, interval, waits);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if state.spans.is_empty() && state.end_by.is_some() {
            return None;
        }
        let count = state.spans.len().min(BATCH);
        Some(state.spans.drain(..count).collect())
    }

    /// Waits for this time, or until the exporter is asked to end. Returns the time that is left then.
    pub(crate) fn pause(&self, pause: Duration) -> Option<Duration> {
        let state = self.lock();
        let waits = |state: &mut State| state.end_by.is_none();
        let waited = self.changed.wait_timeout_while(state, pause, waits);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.end_by.map(|end| end.saturating_duration_since(Instant::now()))
    }

    /// Returns the time that is left if the exporter was asked to end.
    pub(crate) fn left(&self) -> Option<Duration> {
        self.pause(Duration::ZERO)
    }

    /// Returns the number of spans that were lost since the last call, with those that the caller has
    /// lost itself.
    pub(crate) fn take_lost(&self) -> u64 {
        std::mem::take(&mut self.lock().lost)
    }

    /// Counts spans as lost.
    pub(crate) fn lose(&self, count: usize) {
        self.lock().lost += count as u64;
    }

    /// Asks the exporter to end within this time.
    pub(crate) fn end_within(&self, patience: Duration) {
        self.lock().end_by.get_or_insert(Instant::now() + patience);
        self.changed.notify_all();
    }

    /// Says that the exporter has ended.
    pub(crate) fn set_ended(&self) {
        self.lock().ended = true;
        self.changed.notify_all();
    }

    /// Waits until the exporter has ended, for at most this time.
    pub(crate) fn wait_for_end(&self, patience: Duration) {
        let state = self.lock();
        let waits = |state: &mut State| !state.ended;
        drop(self.changed.wait_timeout_while(state, patience, waits));
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use tinpot_core::Sampling;

    use super::{BATCH, Queue, SPANS};
    use crate::span::{Kind, Span};

    const LONG: Duration = Duration::from_secs(3600);

    fn span() -> Span {
        Span::new(Sampling::always().of_request(None), Kind::Server, "test".to_owned())
    }

    #[test]
    fn spans_that_find_no_room_are_counted() {
        let queue = Queue::default();
        (0..SPANS + 10).for_each(|_| queue.push(span()));
        assert_eq!((queue.take_lost(), queue.take_lost()), (10, 0));
        // A full batch waits for nothing.
        for _ in 0..SPANS / BATCH {
            assert_eq!(queue.batch(LONG).map(|batch| batch.len()), Some(BATCH));
        }
        queue.push(span());
        assert_eq!(queue.batch(Duration::ZERO).map(|batch| batch.len()), Some(1));
        queue.lose(3);
        assert_eq!(queue.take_lost(), 3);
    }

    #[test]
    fn the_end_interrupts_every_wait_and_takes_no_more_spans() {
        let queue = Queue::default();
        let began = Instant::now();
        std::thread::scope(|threads| {
            threads.spawn(|| queue.end_within(Duration::ZERO));
            assert_eq!(queue.pause(LONG), Some(Duration::ZERO));
        });
        assert!(queue.batch(LONG).is_none());
        queue.push(span());
        assert_eq!(queue.take_lost(), 1);
        queue.set_ended();
        queue.wait_for_end(LONG);
        assert!(began.elapsed() < LONG);
    }
}
