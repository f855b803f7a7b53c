//! The coordinator that holds the active versions as actions.

use std::collections::HashSet;

use tinpot_core::access::AuditWho;
use tinpot_core::{Action, Coordinator, Deployed, Result};

use super::documents::{APP, read};
use super::{App, Apps, PAGE, Step};
use crate::towerfile::Runtime;

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
        let Some(held) = self.held(app) else { return self.confirm(app).await };
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
    fn held(&self, app: &App) -> Option<Deployed> {
        let coordinator = self.coordinator.as_ref()?;
        let catalogue = coordinator.catalogue();
        let of_app = catalogue.values().filter_map(|entry| deployed_of(app, &entry.action));
        // Actions that are gone are disabled.
        let present = of_app.filter(|deployed| !deployed.is_removed());
        present.max_by_key(|one| (one.enabled, one.version)).cloned()
    }

    /// Adds the actions of the active version to those of the app, if one of its versions is a folder
    /// of actions. `former` is the version that was active before.
    pub(super) async fn learn_actions(&self, app: &mut App, former: Option<u32>) -> Result<()> {
        let Some(active) = app.active else { return Ok(()) };
        let version = self.version(&app.team, &app.name, active).await?;
        let is_folder = version.runtime == Runtime::Python;
        if !is_folder && app.actions.is_empty() {
            return Ok(());
        }
        if is_folder && app.actions.is_empty() && former.is_some() {
            // Until now it was the action of its name, which is disabled from now on.
            app.actions.push(app.name.to_string());
        }
        let active = self.actions(&version).await?.into_iter().map(|action| action.name);
        app.active_actions = active.collect();
        app.actions.extend(app.active_actions.iter().cloned());
        app.actions.sort_unstable();
        app.actions.dedup();
        Ok(())
    }

    /// Gives the coordinator the actions of an app that is removed as those of no version. They stay
    /// disabled, and another app may have their names.
    pub(super) async fn retire(&self, app: &App) -> Result<()> {
        let Some(coordinator) = &self.coordinator else { return Ok(()) };
        let catalogue = coordinator.catalogue();
        let of_app = catalogue.values().filter_map(|entry| {
            let mut deployed = deployed_of(app, &entry.action)?.clone();
            (deployed.version, deployed.enabled) = (Deployed::REMOVED, false);
            Some(Action::clone(&entry.action).deployed(deployed))
        });
        let retired: Vec<Action> = of_app.collect();
        if retired.is_empty() { Ok(()) } else { coordinator.deploy(retired).await }
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
        if self.held(app).is_some_and(|held| (held.version, held.enabled) == (active, app.enabled))
        {
            return Ok(());
        }
        let version = self.version(&app.team, &app.name, active).await?;
        let deployed = |enabled, action: &str| {
            let runtime = version.runtime.as_str();
            let this = Deployed::new(runtime, version.number, version.bundle).enabled(enabled);
            if *action == *app.name { this } else { this.app(app.name.clone()) }
        };
        let mut actions = self.actions(&version).await?;
        let names: HashSet<String> = actions.iter().map(|action| action.name.clone()).collect();
        for action in &mut actions {
            action.deployed = Some(deployed(app.enabled, &action.name));
        }
        // What an earlier version had is disabled, and keeps its definition.
        let catalogue = coordinator.catalogue();
        for name in app.actions.iter().filter(|name| !names.contains(*name)) {
            let key = Action::new(name)?.team(team_of_action(&app.team)).key();
            let former = catalogue.get(&*key).filter(|entry| entry.action.deployed.is_some());
            let former =
                former.map(|entry| Action::clone(&entry.action).deployed(deployed(false, name)));
            actions.extend(former);
        }
        coordinator.deploy(actions).await
    }
}

/// Returns how an action is deployed, if it is one of this app.
fn deployed_of<'a>(app: &App, action: &'a Action) -> Option<&'a Deployed> {
    let deployed = action.deployed.as_ref()?;
    let owner = deployed.app.as_deref().unwrap_or(&action.name);
    (action.team == team_of_action(&app.team) && *owner == *app.name).then_some(deployed)
}

/// Returns the team as actions name it.
pub(super) fn team_of_action(team: &str) -> &str {
    if team == tinpot_core::DEFAULT_TEAM { "" } else { team }
}
