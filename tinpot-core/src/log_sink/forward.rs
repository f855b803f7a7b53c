//! Log sinks behind `Arc` and `Box`.

use std::sync::Arc;

use async_trait::async_trait;

use super::{LogBatch, LogSink};
use crate::model::error::Result;

macro_rules! forward {
    ($pointer:ident) => {
        #[async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl<T: LogSink + ?Sized> LogSink for $pointer<T> {
            async fn append(&self, batches: &[LogBatch]) -> Result<()> {
                (**self).append(batches).await
            }

            async fn flush(&self) -> Result<()> {
                (**self).flush().await
            }

            async fn close(&self) -> Result<()> {
                (**self).close().await
            }
        }
    };
}

forward!(Arc);
forward!(Box);
