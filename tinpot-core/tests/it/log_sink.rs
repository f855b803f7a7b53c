//! The conformance suite on the log sinks of this crate and on the wrappers.

use std::future::{Ready, ready};
use std::sync::Arc;

use async_trait::async_trait;
use tinpot_core::testing::log_sink::{Faults, Subject};
use tinpot_core::{ExecutionId, LogSink, MemoryLogSink, TeeLogSink, TracingLogSink};

/// A sink, with the memory sink behind it if there is one.
#[derive(Debug)]
struct Wrapped {
    sink: Box<dyn LogSink>,
    memory: Option<Arc<MemoryLogSink>>,
}

impl Wrapped {
    fn memory(wrap: impl FnOnce(Arc<MemoryLogSink>) -> Box<dyn LogSink>) -> Self {
        let memory = Arc::new(MemoryLogSink::new(1_000));
        Self { sink: wrap(memory.clone()), memory: Some(memory) }
    }
}

#[async_trait]
impl Subject for Wrapped {
    fn sink(&self) -> &dyn LogSink {
        &*self.sink
    }

    async fn lines(&self, execution: ExecutionId) -> Option<Vec<String>> {
        self.memory.as_ref().map(|memory| memory.lines(execution))
    }

    fn keeps_events(&self) -> bool {
        false
    }

    fn faults(&self) -> Option<&dyn Faults> {
        None
    }
}

mod memory {
    use super::{Ready, Wrapped, ready};

    fn subject() -> Ready<Wrapped> {
        ready(Wrapped::memory(|memory| Box::new(memory)))
    }

    tinpot_core::log_sink_conformance!(subject);
}

mod tee {
    use super::{Arc, Ready, TeeLogSink, TracingLogSink, Wrapped, ready};

    fn subject() -> Ready<Wrapped> {
        ready(Wrapped::memory(|memory| {
            Box::new(TeeLogSink::new(vec![Arc::new(TracingLogSink), memory]))
        }))
    }

    tinpot_core::log_sink_conformance!(subject);
}

mod tracing {
    use super::{Ready, TracingLogSink, Wrapped, ready};

    fn subject() -> Ready<Wrapped> {
        ready(Wrapped { sink: Box::new(TracingLogSink), memory: None })
    }

    tinpot_core::log_sink_conformance!(subject);
}
