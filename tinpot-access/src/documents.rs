//! The documents of the directory, as they are stored.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tinpot_core::{DEFAULT_TEAM, Timestamp};

use crate::secret::Digest;

/// The stored hash of a password. `Debug` prints `***`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct PasswordHash(pub(crate) String);

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A team: a tenant, which owns actions, executions, grants, tokens, secrets and workers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Team {
    /// The id, by which all other documents name the team. It is never reused.
    pub id: Arc<str>,
    /// The name, for people.
    pub name: Arc<str>,
    /// The description, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// If true, no principal has rights in the team, and its tokens are refused.
    #[serde(default)]
    pub is_disabled: bool,
    /// The time at which it was created; `None` for the default team.
    #[serde(default)]
    pub created: Option<Timestamp>,
}

impl Team {
    /// Returns the default team, as it is before any change. It owns everything that names no team.
    pub(crate) fn default_team() -> Self {
        let (id, name) = (DEFAULT_TEAM.into(), DEFAULT_TEAM.into());
        Self { id, name, description: String::new(), is_disabled: false, created: None }
    }
}

fn default_team() -> Arc<str> {
    DEFAULT_TEAM.into()
}

fn is_default_team(team: &Arc<str>) -> bool {
    **team == *DEFAULT_TEAM
}

fn default_teams() -> Vec<Arc<str>> {
    vec![default_team()]
}

fn are_default_teams(teams: &Vec<Arc<str>>) -> bool {
    matches!(&**teams, [team] if is_default_team(team))
}

/// A person.
///
/// [`NewUser`](crate::NewUser) has an example.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct User {
    /// The id, such as `user:4fzK1…`. It is never used again.
    pub id: Arc<str>,
    /// The name to sign in with.
    pub name: Arc<str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) password: Option<PasswordHash>,
    /// True if the password was set by a caller who does not manage the server, and who may know it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) is_password_of_team: bool,
    /// A number that ends all sign-ins of the user when it grows.
    #[serde(default)]
    pub generation: u64,
    /// If true, the user cannot sign in, and has no rights.
    #[serde(default)]
    pub is_disabled: bool,
    /// The ids of the teams that the user is a member of.
    #[serde(default = "default_teams", skip_serializing_if = "are_default_teams")]
    pub teams: Vec<Arc<str>>,
    /// The team whose admin added the user; `None` if an admin of the server did, or if there is only
    /// one team.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) added_by: Option<Arc<str>>,
    /// The time at which the user was added.
    pub created: Timestamp,
    /// The identity in another system, if the user comes from one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) external: Option<External>,
}

/// The identity of a user in another system, as that system last reported it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct External {
    /// The name of the system, such as the URL of an identity provider.
    pub(crate) issuer: Arc<str>,
    /// The id of the person there.
    pub(crate) subject: Arc<str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) email: Option<Arc<str>>,
    #[serde(default)]
    pub(crate) groups: std::collections::BTreeSet<Arc<str>>,
    /// If true, one of the groups is that of the server's admins.
    #[serde(default)]
    pub(crate) is_admin: bool,
}

impl User {
    /// Returns true if the user is a member of the team.
    pub fn is_in(&self, team: &str) -> bool {
        self.teams.iter().any(|of| **of == *team)
    }
}

/// A service account of one team.
///
/// [`NewToken`](crate::NewToken) has an example.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Program {
    /// The id, such as `program:4fzK1…`. It is never used again.
    pub id: Arc<str>,
    /// The name, for people.
    pub name: Arc<str>,
    /// The team.
    pub team: Arc<str>,
    /// The time at which it was added.
    pub created: Timestamp,
}

/// Users with the same grants.
///
/// [`Grant`] has an example.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Group {
    /// The name, unique in its team.
    pub name: Arc<str>,
    /// The team.
    #[serde(default = "default_team", skip_serializing_if = "is_default_team")]
    pub team: Arc<str>,
    /// The ids of the users.
    pub members: Vec<Arc<str>>,
}

/// A role: the rights of a grant.
///
/// [`Grant`] has an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Role {
    /// Sees actions, executions, queues and workers.
    Viewer,
    /// Also runs, cancels and runs again.
    Operator,
    /// Also chooses and pauses queues, drains workers, and sets secrets.
    Developer,
    /// Also manages the team: members, grants, tokens, workers and audit.
    Admin,
}

/// The principals that a grant is for.
///
/// [`Grant`] has an example.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Grantee {
    /// A user or a program, by its id.
    Principal(Arc<str>),
    /// The members of a group, by its name.
    Group(Arc<str>),
    /// The executions of an action of the team, by its name, when they call other actions. It counts
    /// besides the rights of the caller of the root.
    Action(Arc<str>),
}

/// A grant: a role, and where it holds. All conditions must hold.
///
/// ```
/// # use std::sync::Arc;
/// # use tinpot_core::access::{AuditWho, MemoryRecords};
/// use tinpot_access::{Directory, Grant, Grantee, NewUser, Role};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> tinpot_core::Result<()> {
/// # let directory = Directory::builder(Arc::new(MemoryRecords::new())).open().await?;
/// # let by = AuditWho::new("operator", "", "root");
/// let ada = directory.add_user(&by, NewUser::new("ada")).await?;
/// directory.set_group(&by, "release-team", &[ada.id]).await?;
///
/// let to = Grantee::Group("release-team".into());
/// let grant = Grant::new(to, Role::Developer).queues(&["release-*"]).own_only();
/// let grant = directory.add_grant(&by, grant).await?;
/// assert_eq!(directory.grants(), [grant]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Grant {
    /// The id.
    #[serde(default)]
    pub id: Arc<str>,
    /// The team.
    pub team: Arc<str>,
    /// The principals.
    pub to: Grantee,
    /// The role.
    pub role: Role,
    /// Names and patterns of actions; `None` is every action, and an empty list is no action.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actions: Option<Vec<String>>,
    /// Names and patterns of groups of actions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups: Option<Vec<String>>,
    /// Names and patterns of queues.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queues: Option<Vec<String>>,
    /// Names of environments, which stand for patterns of queues in the configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environments: Option<Vec<String>>,
    /// If true, it holds only for executions that the principal has submitted.
    #[serde(default)]
    pub own_only: bool,
}

impl Grant {
    /// Creates a grant for everything in the default team.
    pub fn new(to: Grantee, role: Role) -> Self {
        Self {
            id: "".into(),
            team: DEFAULT_TEAM.into(),
            to,
            role,
            actions: None,
            groups: None,
            queues: None,
            environments: None,
            own_only: false,
        }
    }

    /// Sets the team.
    #[must_use]
    pub fn team(mut self, team: impl Into<Arc<str>>) -> Self {
        self.team = team.into();
        self
    }

    /// Limits it to these actions, each a name or a pattern.
    #[must_use]
    pub fn actions(mut self, actions: &[&str]) -> Self {
        self.actions = Some(owned(actions));
        self
    }

    /// Limits it to these groups of actions, each a name or a pattern.
    #[must_use]
    pub fn groups(mut self, groups: &[&str]) -> Self {
        self.groups = Some(owned(groups));
        self
    }

    /// Limits it to these queues, each a name or a pattern.
    #[must_use]
    pub fn queues(mut self, queues: &[&str]) -> Self {
        self.queues = Some(owned(queues));
        self
    }

    /// Limits it to the queues of these environments.
    #[must_use]
    pub fn environments(mut self, environments: &[&str]) -> Self {
        self.environments = Some(owned(environments));
        self
    }

    /// Returns true if it is for everything in its team.
    pub fn is_for_all(&self) -> bool {
        let lists = [&self.actions, &self.groups, &self.queues, &self.environments];
        !self.own_only && lists.iter().all(|list| list.is_none())
    }

    /// Limits it to the principal's own executions.
    #[must_use]
    pub fn own_only(mut self) -> Self {
        self.own_only = true;
        self
    }
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// One of the secrets of a token: the second is there while it is rotated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TokenHash {
    pub(crate) hash: Digest,
    /// The time at which this one ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) until: Option<Timestamp>,
    /// The last characters of the secret, which are digits of its checksum.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) hint: String,
}

/// An API token, without its secret.
///
/// [`NewToken`](crate::NewToken) has an example.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Token {
    /// The id, by which it is named everywhere.
    pub id: Arc<str>,
    /// The name, for people.
    pub name: Arc<str>,
    /// The id of the user or program whose rights it has.
    pub principal: Arc<str>,
    /// The team in which it has them.
    #[serde(default = "default_team", skip_serializing_if = "is_default_team")]
    pub team: Arc<str>,
    /// The scopes: the token has only those rights of its principal that one of them has.
    pub scopes: Vec<String>,
    /// The time at which it was created.
    pub created: Timestamp,
    /// The time at which it ends; `None` for never.
    pub expires: Option<Timestamp>,
    /// The time of a use, at most 5 minutes before the last one.
    #[serde(default)]
    pub last_used: Option<Timestamp>,
    /// The microseconds for which it is valid after its creation or a rotation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) lifetime: Option<u64>,
    /// True if another system has issued it. Such tokens do not count against the bound of tokens.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) is_foreign: bool,
    pub(crate) hashes: Vec<TokenHash>,
}

impl Token {
    /// Returns the last characters of the latest secret, by which people know it; may be empty.
    pub fn hint(&self) -> &str {
        self.hashes.last().map_or("", |hash| &hash.hint)
    }
}

/// A sign-in of a user, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SignIn {
    /// The id, for lists and the audit. It is not the secret.
    pub id: Arc<str>,
    /// The id of the user.
    pub user: Arc<str>,
    /// The generation of the user at that time.
    pub generation: u64,
    /// The time at which the user signed in.
    pub created: Timestamp,
    /// The time of a use, at most 5 minutes before the last one.
    pub seen: Timestamp,
    pub(crate) hash: Digest,
}

/// A ticket: its principal may use one path once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Ticket {
    /// The id of the user or program.
    pub principal: Arc<str>,
    /// The id of the token or sign-in by which it was known.
    pub via: Arc<str>,
    /// The team in which it acts.
    #[serde(default = "default_team", skip_serializing_if = "is_default_team")]
    pub team: Arc<str>,
    /// The path.
    pub path: String,
    /// The time at which it ends.
    pub expires: Timestamp,
}

/// The users who manage the server: one document, so that two of them cannot leave it without any.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ServerAdmins {
    pub(crate) users: std::collections::BTreeSet<Arc<str>>,
}
