//! `Store`, `Session` and `KeyValueStore` for `Arc<T>` and `Box<T>`.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;

use super::{
    KeyValue, KeyValueChange, KeyValueStore, ListOptions, Opened, QueuePage, Session, Store,
    StoreProblem, Transition,
};
use crate::model::error::Result;
use crate::model::execution::Execution;
use crate::model::fence::Epoch;
use crate::model::id::ExecutionId;
use crate::model::log::LogBatch;
use crate::model::log::LogChunk;
use crate::model::time::Timestamp;

macro_rules! forward {
    ($pointer:ident) => {
        #[async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl<T: Store + ?Sized> Store for $pointer<T> {
            async fn open(&self) -> Result<(Opened, Arc<dyn Session>)> {
                (**self).open().await
            }

            async fn execution(&self, id: ExecutionId) -> Result<Option<Arc<Execution>>> {
                (**self).execution(id).await
            }

            async fn executions(&self, options: &ListOptions) -> Result<Vec<Arc<Execution>>> {
                (**self).executions(options).await
            }

            async fn logs(
                &self,
                id: ExecutionId,
                after: u64,
                max_bytes: usize,
            ) -> Result<Vec<Arc<LogChunk>>> {
                (**self).logs(id, after, max_bytes).await
            }

            fn problems(&self) -> Vec<StoreProblem> {
                (**self).problems()
            }
        }

        #[async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl<T: Session + ?Sized> Session for $pointer<T> {
            async fn commit(&self, batch: &[Transition], at: Timestamp) -> Result<()> {
                (**self).commit(batch, at).await
            }

            async fn append_logs(&self, batches: &[LogBatch]) -> Result<()> {
                (**self).append_logs(batches).await
            }

            async fn queued(&self, page: &QueuePage) -> Result<Vec<Arc<Execution>>> {
                (**self).queued(page).await
            }

            async fn current(&self) -> Result<Epoch> {
                (**self).current().await
            }

            async fn close(&self) -> Result<()> {
                (**self).close().await
            }
        }

        #[async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl<T: KeyValueStore + ?Sized> KeyValueStore for $pointer<T> {
            async fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
                (**self).get(key).await
            }

            async fn scan(&self, range: Range<Vec<u8>>, limit: usize) -> Result<Vec<KeyValue>> {
                (**self).scan(range, limit).await
            }

            async fn write(&self, changes: Vec<KeyValueChange>) -> Result<()> {
                (**self).write(changes).await
            }
        }
    };
}

forward!(Arc);
forward!(Box);
