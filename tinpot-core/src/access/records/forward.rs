//! `Records` for `Arc<T>` and `Box<T>`.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::{Change, Changed, Record, Records};
use crate::model::error::Result;

macro_rules! forward {
    ($pointer:ident) => {
        #[async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl<T: Records + ?Sized> Records for $pointer<T> {
            async fn change(&self, changes: &[Change]) -> Result<u64> {
                (**self).change(changes).await
            }

            async fn get(&self, kind: &str, id: &str) -> Result<Option<Record>> {
                (**self).get(kind, id).await
            }

            async fn list(&self, kind: &str, after: &str, limit: usize) -> Result<Vec<Record>> {
                (**self).list(kind, after, limit).await
            }

            async fn changed(&self, after: u64) -> Result<Changed> {
                (**self).changed(after).await
            }

            fn stamp(&self) -> Option<u64> {
                (**self).stamp()
            }

            async fn append(
                &self,
                log: &str,
                after: Option<u64>,
                entries: &[Bytes],
            ) -> Result<u64> {
                (**self).append(log, after, entries).await
            }

            async fn entries(
                &self,
                log: &str,
                after: u64,
                limit: usize,
            ) -> Result<Vec<(u64, Bytes)>> {
                (**self).entries(log, after, limit).await
            }

            async fn trim(&self, log: &str, up_to: u64) -> Result<()> {
                (**self).trim(log, up_to).await
            }
        }
    };
}

forward!(Arc);
forward!(Box);
