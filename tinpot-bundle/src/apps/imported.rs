//! Folders of Python actions that come without what an import finds in them, such as from a browser: a
//! worker imports them.

use std::time::Duration;

pub use tinpot_core::IMPORT_ACTION;
use tinpot_core::access::{AuditWho, Caller};
use tinpot_core::{Action, Deployed, Error, ErrorKind, Outcome, Result, SubmitOptions};

use super::active::team_of_action;
use super::deploy::check_name;
use super::{Apps, invalid};
use crate::blob::{PutOptions, body};
use crate::manifest::Manifest;
use crate::towerfile::{Kind, Runtime, Towerfile};

/// The kind of the failure of an import.
pub const IMPORT_FAILED: &str = "ImportFailed";

/// The time for which an import waits for a worker.
const WAITS: Duration = Duration::from_secs(30);
/// The time of the import itself, with the environment that it may need.
const TAKES: Duration = Duration::from_secs(120);

impl Apps {
    /// Returns the manifest of an archive, for a folder of Python actions with the actions that a
    /// worker finds in it.
    ///
    /// The import runs code of the archive: first of all, `may` decides about the action by which it
    /// does.
    pub(super) async fn imported(
        &self,
        by: &AuditWho,
        team: &str,
        name: &str,
        towerfile: &Towerfile,
        manifest: Manifest,
        may: &(dyn Fn(&Action) -> Result<()> + Sync),
    ) -> Result<Manifest> {
        let Some(coordinator) = &self.coordinator else { return Ok(manifest) };
        if towerfile.tinpot.kind != Kind::Actions || manifest.actions.is_some() {
            return Ok(manifest);
        }
        let mut action = Action::new(IMPORT_ACTION)?;
        may(&action)?;
        check_name(towerfile, name)?;
        towerfile.check_actions()?;
        let bundle = self.put_blob(team, body(manifest.to_bytes()?), PutOptions::default());
        let bundle = bundle.await?.digest;
        let next = match self.app(team, name).await {
            Ok(app) => app.versions.saturating_add(1),
            Err(error) if error.kind() == ErrorKind::NotFound => 1,
            Err(error) => return Err(error),
        };
        let deployed = Deployed::new(Runtime::Python.as_str(), next, bundle).app(name);
        action = action.deployed(deployed);
        action.team = team_of_action(team).to_owned();
        (action.expires_in, action.timeout) = (Some(WAITS), Some(TAKES));
        let queue = action.queue.clone();
        let caller = Caller::new(by.id.clone()).team(team).name(by.name.clone());
        let scoped = coordinator.scoped(caller);
        let import = scoped.submit_outside(action, SubmitOptions::new()).await?;
        let actions: Vec<Action> = match import.outcome().await? {
            Outcome::Succeeded(found) => found.deserialize()?,
            Outcome::Failed(failure) if failure.kind == "Expired" => return Err(no_worker(&queue)),
            Outcome::Failed(failure) => {
                let why = failure.message;
                return Err(invalid(format!("the folder cannot be imported: {why}")));
            }
            ended => {
                let message = format!(
                    "the import of the folder on a worker did not end ({}): deploy it again, or with \
                     \"tinpot deploy\", which imports it itself",
                    ended.status().as_str()
                );
                return Err(Error::new(ErrorKind::Unavailable, message));
            }
        };
        if actions.is_empty() {
            return Err(invalid(
                "there is no Python function with @action in the folder: write one",
            ));
        }
        manifest.with_actions(&actions)
    }
}

fn no_worker(queue: &str) -> Error {
    let message = format!(
        "no worker for Python actions that serves queue {queue:?} was free to import the folder \
         within {} s (workers that are limited to other queues do not import): start one, or deploy \
         the folder with \"tinpot deploy\", which imports it itself",
        WAITS.as_secs()
    );
    Error::new(ErrorKind::Unavailable, message)
}
