//! The objects of rights, and the part of them that a caller may read.

use std::sync::Arc;

use super::names::Names;

/// The team of everything that names none.
pub const DEFAULT_TEAM: &str = "default";

/// Returns the key of an action: its name, which has no slash, and in front of it the team if that is
/// not the default team. Actions of two teams that share a name have different keys.
pub(crate) fn action_key(team: &str, action: &str) -> Arc<str> {
    match team {
        "" | DEFAULT_TEAM => action.into(),
        team => format!("{team}/{action}").into(),
    }
}

/// Returns the team in the key of an action, or of a paused queue.
pub(crate) fn team_of_key(key: &str) -> &str {
    key.split_once('/').map_or(DEFAULT_TEAM, |(team, _)| team)
}

/// The object of a right: a team and, as far as they are known, an action, its group, a queue, and
/// the owner of an execution.
///
/// An execution has all of them, but a group only while its action is in the catalogue. A part that
/// the right is not about is `None`, such as the action when a queue is paused.
///
/// [`Visible`] has an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Target<'a> {
    /// The team that it belongs to.
    pub team: &'a str,
    /// The name of the action.
    pub action: Option<&'a str>,
    /// The group of the action.
    pub group: Option<&'a str>,
    /// The name of the queue.
    pub queue: Option<&'a str>,
    /// The id of the caller who has submitted the execution.
    pub owner: Option<&'a str>,
}

impl<'a> Target<'a> {
    /// Creates a target that is a whole team.
    pub fn team(team: &'a str) -> Self {
        Self { team, action: None, group: None, queue: None, owner: None }
    }

    /// Sets the name of the action.
    #[must_use]
    pub fn action(mut self, action: &'a str) -> Self {
        self.action = Some(action);
        self
    }

    /// Sets the group of the action, if it is known.
    #[must_use]
    pub fn group(mut self, group: Option<&'a str>) -> Self {
        self.group = group;
        self
    }

    /// Sets the name of the queue.
    #[must_use]
    pub fn queue(mut self, queue: &'a str) -> Self {
        self.queue = Some(queue);
        self
    }

    /// Sets the id of the caller who has submitted the execution.
    #[must_use]
    pub fn owner(mut self, owner: &'a str) -> Self {
        self.owner = Some(owner);
        self
    }
}

/// The executions that a caller may read: the union of its parts, within one team.
///
/// Each part is what one grant shows. Lists and streams use this instead of asking a policy about
/// each execution.
///
/// ```
/// use tinpot_core::{Names, Target, Visible, VisiblePart};
///
/// let visible = Visible::nothing("default", "ada")
///     .part(VisiblePart::all().actions(Names::of(["deploy-*"])))
///     .part(VisiblePart::all().own_only());
/// let target = Target::team("default").action("backup").queue("default");
/// assert!(visible.shows(&target.owner("ada")));
/// assert!(!visible.shows(&target.owner("bob")));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Visible {
    /// The team whose executions they are.
    pub team: Arc<str>,
    /// The id of the caller, whose own executions the parts with `own_only` show.
    pub caller: Arc<str>,
    /// The parts, each with what it shows.
    pub parts: Vec<VisiblePart>,
}

/// A part of what a caller may read: all its conditions hold for an execution in it.
///
/// [`Visible`] has an example.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct VisiblePart {
    /// The actions whose executions are shown.
    pub actions: Names,
    /// The groups of actions whose executions are shown.
    pub groups: Names,
    /// The queues whose executions are shown.
    pub queues: Names,
    /// If true, only executions that the caller has submitted are shown.
    pub own_only: bool,
}

impl Visible {
    /// Creates a view of a team in which the caller with this id sees nothing.
    pub fn nothing(team: impl Into<Arc<str>>, caller: impl Into<Arc<str>>) -> Self {
        Self { team: team.into(), caller: caller.into(), parts: Vec::new() }
    }

    /// Creates a view of a team in which the caller with this id sees everything.
    pub fn everything(team: impl Into<Arc<str>>, caller: impl Into<Arc<str>>) -> Self {
        Self::nothing(team, caller).part(VisiblePart::all())
    }

    /// Adds a part.
    #[must_use]
    pub fn part(mut self, part: VisiblePart) -> Self {
        self.parts.push(part);
        self
    }

    /// Returns true if everything in the team is shown.
    pub fn is_everything(&self) -> bool {
        self.parts.iter().any(|part| *part == VisiblePart::all())
    }

    /// Returns true if an execution is shown.
    pub fn shows(&self, execution: &Target<'_>) -> bool {
        *self.team == *execution.team
            && self.parts.iter().any(|part| {
                (!part.own_only || execution.owner == Some(&*self.caller))
                    && part.actions.has_known(execution.action)
                    && part.groups.has_known(execution.group)
                    && part.queues.has_known(execution.queue)
            })
    }
}

impl VisiblePart {
    /// Creates a part that shows every execution.
    pub fn all() -> Self {
        Self::default()
    }

    /// Shows only executions of these actions.
    #[must_use]
    pub fn actions(mut self, actions: Names) -> Self {
        self.actions = actions;
        self
    }

    /// Shows only executions of actions in these groups.
    #[must_use]
    pub fn groups(mut self, groups: Names) -> Self {
        self.groups = groups;
        self
    }

    /// Shows only executions in these queues.
    #[must_use]
    pub fn queues(mut self, queues: Names) -> Self {
        self.queues = queues;
        self
    }

    /// Shows only executions that the caller has submitted.
    #[must_use]
    pub fn own_only(mut self) -> Self {
        self.own_only = true;
        self
    }
}
