//! Executors behind `Arc` and `Box`.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::watch;

use super::{Attempt, Context, Executor};
use crate::model::action::ActionSet;
use crate::model::error::Result;
use crate::model::outcome::Outcome;

macro_rules! forward {
    ($pointer:ident) => {
        #[async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl<T: Executor + ?Sized> Executor for $pointer<T> {
            fn actions(&self) -> watch::Receiver<Arc<ActionSet>> {
                (**self).actions()
            }

            async fn execute(&self, attempt: Attempt, context: Context) -> Outcome {
                (**self).execute(attempt, context).await
            }

            async fn close(&self) -> Result<()> {
                (**self).close().await
            }
        }
    };
}

forward!(Arc);
forward!(Box);
