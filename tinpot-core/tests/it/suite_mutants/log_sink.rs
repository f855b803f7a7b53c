//! A log sink that buffers, and its mutants.

use std::collections::VecDeque;
use std::future::{Ready, ready};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use tinpot_core::log_sink::LogBatch;
use tinpot_core::testing::log_sink::{Faults, Subject};
use tinpot_core::{Error, ErrorKind, ExecutionId, Level, LogSink, Result};

use super::caught;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    LosesTailInClose,
    FlushReturnsEarly,
    BuffersWithoutBound,
    ReversesLines,
    MixesExecutions,
    PassesEvents,
    DropsDebugLines,
    CutsLongLines,
    RefusesEmptyBatches,
    LosesBufferInOutage,
    HidesOutage,
    ReturnsPermanentErrors,
    HangsInCloseInOutage,
    ClosesOnce,
    LocksUpAfterDroppedAppend,
    AppendsTwice,
}

type Line = (ExecutionId, String);

const BUFFER_BYTES: usize = 8 * 1024 * 1024;

/// A sink that buffers lines and writes them to a destination that can be unreachable.
#[derive(Debug)]
struct BufferingSink {
    fault: Fault,
    buffer: Mutex<VecDeque<Line>>,
    destination: Mutex<Vec<Line>>,
    away: AtomicBool,
    busy: AtomicBool,
    closed: AtomicBool,
}

fn sink(fault: Fault) -> Ready<BufferingSink> {
    ready(BufferingSink {
        fault,
        buffer: Mutex::default(),
        destination: Mutex::default(),
        away: AtomicBool::new(false),
        busy: AtomicBool::new(false),
        closed: AtomicBool::new(false),
    })
}

fn correct() -> Ready<BufferingSink> {
    sink(Fault::None)
}

impl BufferingSink {
    fn is(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    fn write(&self) -> Result<()> {
        let mut buffer = self.buffer.lock().expect("a lock");
        if self.away.load(Ordering::SeqCst) {
            if self.is(Fault::LosesBufferInOutage) {
                buffer.clear();
            }
            let kind = match self.is(Fault::ReturnsPermanentErrors) {
                true => ErrorKind::Other,
                false => ErrorKind::Unavailable,
            };
            return match self.is(Fault::HidesOutage) {
                true => {
                    buffer.clear();
                    Ok(())
                }
                false => Err(Error::new(kind, "the log server does not answer")),
            };
        }
        let mut destination = self.destination.lock().expect("a lock");
        match self.is(Fault::ReversesLines) {
            true => destination.extend(buffer.drain(..).rev()),
            false => destination.extend(buffer.drain(..)),
        }
        Ok(())
    }
}

#[async_trait]
impl LogSink for BufferingSink {
    async fn append(&self, batches: &[LogBatch]) -> Result<()> {
        if self.is(Fault::LocksUpAfterDroppedAppend) {
            while self.busy.swap(true, Ordering::SeqCst) {
                tokio::task::yield_now().await;
            }
            tokio::task::yield_now().await;
            self.busy.store(false, Ordering::SeqCst);
        }
        let empty = batches.iter().all(|batch| batch.chunks.iter().all(|c| c.lines.is_empty()));
        if empty && self.is(Fault::RefusesEmptyBatches) {
            return Err(Error::new(ErrorKind::InvalidInput, "no lines"));
        }
        let mut lines = Vec::new();
        for batch in batches {
            let id = if self.is(Fault::MixesExecutions) { &batches[0] } else { batch }.execution;
            for chunk in &batch.chunks {
                let hidden = chunk.level == Level::Debug && self.is(Fault::DropsDebugLines)
                    || !chunk.stream.is_text() && !self.is(Fault::PassesEvents);
                if !hidden {
                    lines.extend(chunk.lines.iter().map(|line| (id, line.clone())));
                }
            }
        }
        if self.is(Fault::CutsLongLines) {
            lines.iter_mut().for_each(|(_, line)| line.truncate(1024));
        }
        if self.is(Fault::AppendsTwice) {
            lines.extend(lines.clone());
        }
        let buffered: usize =
            self.buffer.lock().expect("a lock").iter().map(|(_, line)| line.len()).sum();
        if buffered > BUFFER_BYTES && !self.is(Fault::BuffersWithoutBound) {
            self.write()?;
        }
        self.buffer.lock().expect("a lock").extend(lines);
        Ok(())
    }

    async fn flush(&self) -> Result<()> {
        if self.is(Fault::FlushReturnsEarly) {
            return Ok(());
        }
        self.write()
    }

    async fn close(&self) -> Result<()> {
        if self.closed.swap(true, Ordering::SeqCst) {
            return match self.is(Fault::ClosesOnce) {
                true => Err(Error::new(ErrorKind::Closed, "closed twice")),
                false => Ok(()),
            };
        }
        if self.is(Fault::LosesTailInClose) {
            self.buffer.lock().expect("a lock").clear();
            return Ok(());
        }
        while self.is(Fault::HangsInCloseInOutage) && self.write().is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        self.write()
    }
}

#[async_trait]
impl Subject for BufferingSink {
    fn sink(&self) -> &dyn LogSink {
        self
    }

    async fn lines(&self, execution: ExecutionId) -> Option<Vec<String>> {
        let lines = self.destination.lock().expect("a lock");
        Some(
            lines.iter().filter(|(id, _)| *id == execution).map(|(_, line)| line.clone()).collect(),
        )
    }

    fn keeps_events(&self) -> bool {
        false
    }

    fn faults(&self) -> Option<&dyn Faults> {
        Some(self)
    }
}

#[async_trait]
impl Faults for BufferingSink {
    async fn cut(&self) {
        self.away.store(true, Ordering::SeqCst);
    }

    async fn restore(&self) {
        self.away.store(false, Ordering::SeqCst);
    }
}

mod without_a_fault {
    use super::correct;

    tinpot_core::log_sink_conformance!(correct);
}

caught! {
    log_sink, sink:
    tail_lost_in_close(Fault::LosesTailInClose) by close_flushes;
    flush_that_returns_early(Fault::FlushReturnsEarly) by lines_arrive_in_order;
    buffer_without_bound(Fault::BuffersWithoutBound) by outage_fills_no_memory;
    reversed_lines(Fault::ReversesLines) by lines_arrive_in_order;
    mixed_executions(Fault::MixesExecutions) by executions_are_kept_apart;
    events_passed_as_text(Fault::PassesEvents) by events_and_data_are_no_text;
    dropped_debug_lines(Fault::DropsDebugLines) by every_stream_and_level_is_taken;
    cut_lines(Fault::CutsLongLines) by long_lines_and_many_lines_arrive;
    refused_empty_batches(Fault::RefusesEmptyBatches) by empty_batches_are_taken;
    buffer_lost_in_an_outage(Fault::LosesBufferInOutage) by errors_can_be_retried;
    hidden_outage(Fault::HidesOutage) by errors_can_be_retried close_returns_in_an_outage;
    permanent_errors(Fault::ReturnsPermanentErrors) by errors_can_be_retried;
    close_that_hangs(Fault::HangsInCloseInOutage) by close_returns_in_an_outage;
    close_that_works_once(Fault::ClosesOnce) by close_is_idempotent;
    append_that_locks_up(Fault::LocksUpAfterDroppedAppend) by dropped_append_harms_no_later_one;
    repeated_lines(Fault::AppendsTwice) by lines_arrive_in_order;
}
