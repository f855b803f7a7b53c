//! The Python environments of other executors, from the same cache and with the same tools.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use tinpot_bundle::Towerfile;
use tinpot_bundle::worker::{BundleEnvironment, BundleEnvironments};
use tinpot_contain::StopRequests;
use tinpot_core::{Context, Outcome};
use tokio::time::Instant;

use super::{ProcessExecutor, Running, Shared, say};
use crate::attempt;
use crate::python::SetupError;
use crate::run::Runner;
use crate::workspace::Workspace;

impl ProcessExecutor {
    /// Returns what makes the environments of deployed Python actions, for the executor that runs
    /// them. It works until this executor is closed.
    pub fn environments(&self) -> Arc<dyn BundleEnvironments> {
        Arc::new(SharedEnvironments(self.shared.clone()))
    }
}

/// The environments of an executor for programs.
struct SharedEnvironments(Arc<Shared>);

#[async_trait]
impl BundleEnvironments for SharedEnvironments {
    async fn prepare(
        &self,
        folder: &Path,
        towerfile: &Towerfile,
        context: &Context,
    ) -> Result<Option<BundleEnvironment>, Outcome> {
        let shared = &self.0;
        let _running = Running::begin(&shared.running);
        let tree = folder.to_owned();
        let copied =
            tokio::task::spawn_blocking(move || Workspace::of_tree(&std::env::temp_dir(), &tree));
        let workspace = match copied.await {
            Ok(copied) => copied.map_err(|error| attempt::setup_failed(error.message()))?,
            Err(_) => return Err(Outcome::not_started("the runtime ends")),
        };
        let prepared = shared.prepare(towerfile, &workspace, context).await;
        let _ = tokio::task::spawn_blocking(move || workspace.remove()).await;
        if let Err(Outcome::Failed(failure)) = &prepared {
            say(context, &failure.message).await;
        }
        prepared
    }
}

impl Shared {
    async fn prepare(
        &self,
        towerfile: &Towerfile,
        workspace: &Workspace,
        context: &Context,
    ) -> Result<Option<BundleEnvironment>, Outcome> {
        let needs = self.python.is_needed(towerfile, workspace);
        if !needs.map_err(|error| attempt::setup_failed(error.message()))? {
            return Ok(None);
        }
        let supervision = self.supervision().await;
        let supervision =
            supervision.map_err(|error| Outcome::not_started(error.message().to_owned()))?;
        let mut runner = Runner {
            supervision,
            context,
            stops: StopRequests::of(context),
            closed: self.closed.subscribe(),
            stopped: false,
        };
        let cache = self.cache.get().await;
        let cache = cache.map_err(|error| attempt::setup_failed(error.message()))?;
        let limit = towerfile.tinpot.setup_timeout.unwrap_or(self.config.setup_timeout);
        let until = Instant::now() + limit;
        let venv = self.python.prepare(cache, towerfile, workspace, &mut runner, until);
        let venv = venv.await.map_err(SetupError::outcome)?;
        Ok(venv.into_entry().map(BundleEnvironment::new))
    }
}

impl fmt::Debug for SharedEnvironments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedEnvironments").finish_non_exhaustive()
    }
}
