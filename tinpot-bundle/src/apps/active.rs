//! The coordinator that holds the active versions as actions.

use tinpot_core::access::AuditWho;
use tinpot_core::{Action, Coordinator, Deployed, Result};

use super::documents::{APP, read};
use super::{App, Apps, PAGE, Step};

impl Apps {
    /// Makes the active versions actions of a coordinator, now and with each change.
    ///
    /// If the coordinator has an app, its version counts as the active one: a process may have ended
    /// after a version was activated, and before that was recorded. Apps that the coordinator does
    /// not have are activated again. An app for which this fails is logged, and stays as it was.
    ///
    /// # Errors
    /// Those of the records.
    pub async fn attach(mut self, coordinator: Coordinator) -> Result<Self> {
        self.coordinator = Some(coordinator);
        let mut after = String::new();
        loop {
            let page = self.records.list(APP, &after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(self) };
            after = last.id.to_string();
            for record in page {
                let restored = match read::<App>(&record) {
                    Ok(app) => self.restore(&app).await,
                    Err(error) => Err(error),
                };
                if let Err(error) = restored {
                    let app = &record.id;
                    tracing::warn!(%app, "an app is not activated: {error}");
                }
            }
        }
    }

    async fn restore(&self, app: &App) -> Result<()> {
        let Some(held) = self.held(app)? else { return self.confirm(app).await };
        if app.active == Some(held.version) && app.enabled == held.enabled {
            return Ok(());
        }
        let by = AuditWho::new("coordinator", "", "");
        let recovered = self.update(&by, &app.team, &app.name, |app| {
            (app.active, app.enabled) = (Some(held.version), held.enabled);
            let detail = format!("version {}, as the coordinator has it", held.version);
            Ok(Some(Step { what: "app.recover", detail, more: None, announced: false }))
        });
        recovered.await.map(drop)
    }

    /// Returns the version of an app that the coordinator has.
    fn held(&self, app: &App) -> Result<Option<Deployed>> {
        let Some(coordinator) = &self.coordinator else { return Ok(None) };
        let action = Action::new(app.name.to_string())?.team(team_of_action(&app.team));
        let catalogue = coordinator.catalogue();
        Ok(catalogue.get(&*action.key()).and_then(|entry| entry.action.deployed.clone()))
    }

    /// Makes sure that the coordinator has the active version of an app, as it is recorded now.
    pub(super) async fn confirm(&self, app: &App) -> Result<()> {
        let _changing = self.changing.lock().await;
        let (_, app) = self.find(&app.team, &app.name).await?;
        self.announce(&app).await
    }

    /// Gives the coordinator the active version of an app, if there is one.
    pub(super) async fn announce(&self, app: &App) -> Result<()> {
        let (Some(coordinator), Some(active)) = (&self.coordinator, app.active) else {
            return Ok(());
        };
        if self.held(app)?.is_some_and(|held| (held.version, held.enabled) == (active, app.enabled))
        {
            return Ok(());
        }
        let version = self.version(&app.team, &app.name, active).await?;
        let deployed = Deployed::new(version.runtime.as_str(), version.number, version.bundle);
        let action = self.action(&version).await?.deployed(deployed.enabled(app.enabled));
        coordinator.deploy(vec![action]).await
    }
}

/// Returns the team as actions name it.
pub(super) fn team_of_action(team: &str) -> &str {
    if team == tinpot_core::DEFAULT_TEAM { "" } else { team }
}
