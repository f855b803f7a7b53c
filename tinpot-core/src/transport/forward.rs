//! Transports behind `Arc` and `Box`.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;

use super::{Address, Channel, Lane, Link, Received, Transport};
use crate::model::error::Result;
use crate::watcher::Watcher;

macro_rules! forward {
    ($pointer:ident) => {
        #[async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl<T: Transport + ?Sized> Transport for $pointer<T> {
            async fn send(&self, to: &Address, lane: Lane, frame: Bytes) -> Result<()> {
                (**self).send(to, lane, frame).await
            }

            async fn listen(
                &self,
                at: &Address,
                lane: Lane,
            ) -> Result<BoxStream<'static, Received>> {
                (**self).listen(at, lane).await
            }

            fn speaks_for(&self) -> Channel {
                (**self).speaks_for()
            }

            fn status(&self) -> Watcher<Link> {
                (**self).status()
            }

            async fn close(&self) {
                (**self).close().await;
            }
        }
    };
}

forward!(Arc);
forward!(Box);
