//! The executor conformance suite.

use std::sync::Arc;

use async_trait::async_trait;
use tinpot_core::executor::{ActionSet, Attempt};
use tinpot_core::testing::executor::Subject;
use tinpot_core::{Action, Context, Executor, Outcome, Result, Watcher};
use tinpot_process::ProcessExecutor;
use tokio::sync::watch;

use crate::support::host;

const ACTIONS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/conformance");

/// Apps under the names of the suite: the name of an app has hyphens where those have underscores.
#[derive(Debug)]
struct Renamed {
    executor: ProcessExecutor,
    offer: watch::Sender<Arc<ActionSet>>,
}

#[async_trait]
impl Executor for Renamed {
    fn actions(&self) -> Watcher<Arc<ActionSet>> {
        self.offer.subscribe().into()
    }

    async fn execute(&self, mut attempt: Attempt, context: Context) -> Outcome {
        let name = attempt.action.replace('_', "-");
        if self.executor.actions().current().actions.iter().any(|action| action.name == name) {
            attempt.action = name.into();
        }
        self.executor.execute(attempt, context).await
    }

    async fn close(&self) -> Result<()> {
        self.executor.close().await
    }
}

async fn subject() -> Subject {
    static CACHE: std::sync::OnceLock<tempfile::TempDir> = std::sync::OnceLock::new();
    let cache = CACHE.get_or_init(|| tempfile::tempdir().expect("a directory"));
    let builder = ProcessExecutor::builder(ACTIONS).supervisor(host());
    let executor = builder.cache(cache.path().join("cache")).start().await.expect("an executor");
    let mut offer = ActionSet::clone(&executor.actions().current());
    assert_eq!(offer.load_errors, []);
    for action in &mut offer.actions {
        let mut renamed = Action::clone(action);
        renamed.name = renamed.name.replace('-', "_");
        *action = Arc::new(renamed);
    }
    Subject::new(Renamed { executor, offer: watch::Sender::new(Arc::new(offer)) })
}

tinpot_core::executor_conformance!(subject);
