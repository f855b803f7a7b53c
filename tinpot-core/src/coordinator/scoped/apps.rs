//! The apps, as one caller may see and deploy them. An app is the action of its name.

use super::checks::{forbidden, group_of};
use super::{Decision, Right, Scoped};
use crate::model::action::Action;
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::visible::Target;

impl Scoped {
    /// Returns true if the caller may see an app of its team, known or not.
    pub fn sees_app(&self, app: &str) -> bool {
        let catalogue = self.coordinator.catalogue();
        let group = group_of(&catalogue, &self.caller.team, app);
        self.allows(Right::SeeAction, &Target::team(&self.caller.team).action(app).group(group))
    }

    /// Returns true if the caller may deploy an app of its team, known or not.
    pub fn deploys_app(&self, app: &str) -> bool {
        let catalogue = self.coordinator.catalogue();
        let group = group_of(&catalogue, &self.caller.team, app);
        self.allows(Right::Deploy, &Target::team(&self.caller.team).action(app).group(group))
    }

    /// Checks that the caller may see an app of its team, known or not.
    ///
    /// # Errors
    /// `NotFound` if it is hidden.
    pub fn may_see_app(&self, app: &str) -> Result<()> {
        self.may_with_app(Right::SeeAction, app)
    }

    /// Checks that the caller may deploy an app of its team, known or not.
    ///
    /// # Errors
    /// `NotFound` if it is hidden; `Forbidden` if the caller may not deploy it.
    pub fn may_deploy(&self, app: &str) -> Result<()> {
        self.may_with_app(Right::Deploy, app)
    }

    fn may_with_app(&self, right: Right, app: &str) -> Result<()> {
        let catalogue = self.coordinator.catalogue();
        let group = group_of(&catalogue, &self.caller.team, app);
        let target = Target::team(&self.caller.team).action(app).group(group);
        let act =
            || format!("{} app {app:?}", if right == Right::Deploy { "deploy" } else { "see" });
        match self.decide(right, &target, act) {
            Decision::Allow => Ok(()),
            Decision::Deny => Err(forbidden(&self.caller, &act())),
            Decision::Hide => {
                Err(Error::new(ErrorKind::NotFound, format!("app {app:?} not found")))
            }
        }
    }

    /// Checks that the caller may make an app this action, in its group and its queue. An app that is
    /// a folder of Python actions has others than that of its name, and the right to deploy the app
    /// covers them.
    ///
    /// # Errors
    /// `Forbidden` if the caller may not deploy there.
    pub fn may_deploy_action(&self, app: &str, action: &Action) -> Result<()> {
        let Action { group, queue, .. } = action;
        let target = Target::team(&self.caller.team).action(app);
        let target = target.group(Some(group.as_str())).queue(queue);
        let act = || format!("deploy app {app:?} to group {group:?} and queue {queue:?}");
        match self.decide(Right::Deploy, &target, act) {
            Decision::Allow => Ok(()),
            // The same for a group and a queue that there are and those that there are not.
            Decision::Deny | Decision::Hide => Err(forbidden(&self.caller, &act())),
        }
    }
}
