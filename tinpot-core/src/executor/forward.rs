//! Executors behind `Arc` and `Box`.

use std::sync::Arc;

use async_trait::async_trait;

use super::{Attempt, Context, Executor};
use crate::model::action::ActionSet;
use crate::model::error::Result;
use crate::model::outcome::Outcome;
use crate::watcher::Watcher;

macro_rules! forward {
    ($pointer:ident) => {
        #[async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl<T: Executor + ?Sized> Executor for $pointer<T> {
            fn actions(&self) -> Watcher<Arc<ActionSet>> {
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
