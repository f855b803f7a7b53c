//! The conformance suite on the log sinks of this crate and on the wrappers.

use std::sync::Arc;

use async_trait::async_trait;
use tinpot_core::testing::log_sink::Subject;
use tinpot_core::{ExecutionId, LogSink, MemoryLogSink, TeeLogSink, TracingLogSink};

/// Any sink, with the memory sink behind it when there is one.
#[derive(Debug)]
struct Behind {
    sink: Box<dyn LogSink>,
    memory: Option<Arc<MemoryLogSink>>,
}

impl Behind {
    fn memory(wrap: impl FnOnce(Arc<MemoryLogSink>) -> Box<dyn LogSink>) -> Self {
        let memory = Arc::new(MemoryLogSink::new(100));
        Self { sink: wrap(memory.clone()), memory: Some(memory) }
    }
}

#[async_trait]
impl Subject for Behind {
    fn sink(&self) -> &dyn LogSink {
        &*self.sink
    }

    async fn lines(&self, execution: ExecutionId) -> Option<Vec<String>> {
        self.memory.as_ref().map(|memory| memory.lines(execution))
    }
}

mod memory {
    fn sink() -> std::future::Ready<super::Behind> {
        std::future::ready(super::Behind::memory(|memory| Box::new(memory)))
    }

    tinpot_core::log_sink_conformance!(sink);
}

mod tee {
    use super::{Arc, TeeLogSink, TracingLogSink};

    fn sink() -> std::future::Ready<super::Behind> {
        std::future::ready(super::Behind::memory(|memory| {
            Box::new(TeeLogSink::new(vec![Arc::new(TracingLogSink), memory]))
        }))
    }

    tinpot_core::log_sink_conformance!(sink);
}

mod tracing {
    use super::TracingLogSink;

    fn sink() -> std::future::Ready<super::Behind> {
        std::future::ready(super::Behind { sink: Box::new(TracingLogSink), memory: None })
    }

    tinpot_core::log_sink_conformance!(sink);
}
