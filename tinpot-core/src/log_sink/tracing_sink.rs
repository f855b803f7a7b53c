//! Log lines of actions as events of `tracing`.

use async_trait::async_trait;

use super::{LogBatch, LogSink};
use crate::model::error::Result;
use crate::model::log::Level;

/// Emits each line of text as a `tracing` event of target `tinpot::log`, with execution, action,
/// attempt and line number.
///
/// Lines of [`Stream::Event`](crate::Stream::Event) and [`Stream::Data`](crate::Stream::Data) are
/// left out.
///
/// ```
/// # use tinpot_core::{Failure, FunctionExecutor, Level};
/// use tinpot_core::{Local, TracingLogSink};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> tinpot_core::Result<()> {
/// # let executor = FunctionExecutor::builder()
/// #     .action("greet", |context, ()| async move {
/// #         context.log(Level::Info, "hello\nworld").await;
/// #         Ok::<_, Failure>(())
/// #     })
/// #     .build()?;
/// // A subscriber with the filter `tinpot::log=info` shows the lines of all actions.
/// let tinpot = Local::builder(executor).log_sink(TracingLogSink).start().await?;
/// tinpot.call::<()>("greet", ()).await?;
/// # tinpot.shutdown(std::time::Duration::from_secs(10)).await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct TracingLogSink;

macro_rules! emit {
    ($level:ident, $batch:ident, $seq:ident, $line:ident) => {
        tracing::event!(
            target: "tinpot::log",
            tracing::Level::$level,
            execution = %$batch.execution,
            action = &*$batch.action,
            attempt = $batch.attempt,
            seq = $seq,
            "{}",
            $line
        )
    };
}

#[async_trait]
impl LogSink for TracingLogSink {
    async fn append(&self, batches: &[LogBatch]) -> Result<()> {
        for batch in batches {
            for chunk in batch.text_chunks() {
                for (seq, line) in (chunk.first_seq..).zip(&chunk.lines) {
                    match chunk.level {
                        Level::Debug => emit!(DEBUG, batch, seq, line),
                        Level::Info => emit!(INFO, batch, seq, line),
                        Level::Warning => emit!(WARN, batch, seq, line),
                        Level::Error => emit!(ERROR, batch, seq, line),
                    }
                }
            }
        }
        Ok(())
    }

    async fn flush(&self) -> Result<()> {
        Ok(())
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }
}
