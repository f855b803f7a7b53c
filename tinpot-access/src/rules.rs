//! [`Rules`]: the policy of the directory's grants.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock};

use tinpot_core::{Caller, Decision, Names, Policy, Right, Target, Visible, VisiblePart, Watcher};
use tokio::sync::watch;

use crate::directory::{State, group_id};
use crate::documents::{Grant, Grantee, Role};
use crate::scopes::{self, RightSet, Scope};

/// The beginning of [`Caller::via`] for tokens, before their id.
pub(crate) const VIA_TOKEN: &str = "token:";

/// Rights about a whole team. A grant for a part of it does not give them.
const WHOLE: [Right; 5] =
    [Right::DrainWorker, Right::Enrol, Right::ManageTeam, Right::UseSecretStore, Right::ReadAudit];

/// Names of environments with the patterns of their queues.
pub(crate) type Environments = BTreeMap<String, Vec<String>>;

impl Role {
    /// Returns the rights of the role.
    pub(crate) fn rights(self) -> RightSet {
        let viewer = [Right::SeeAction, Right::Read, Right::SeeQueue, Right::SeeWorker];
        let operator = [Right::Run, Right::Cancel, Right::Rerun];
        let developer = [
            Right::UseQueue,
            Right::PauseQueue,
            Right::DrainWorker,
            Right::UseSecretStore,
            Right::Deploy,
        ];
        let admin = [Right::ManageTeam, Right::Enrol, Right::ReadAudit];
        let ranks: [&[Right]; 4] = [&viewer, &operator, &developer, &admin];
        RightSet::of(&ranks[..=self as usize].concat())
    }
}

/// The policy of a [`Directory`](crate::Directory): what its grants give, within the scopes of
/// tokens. Clones are the same policy.
///
/// Pass them to a coordinator with
/// [`CoordinatorBuilder::policy`](tinpot_core::CoordinatorBuilder::policy).
///
/// ```
/// # use std::sync::Arc;
/// # use tinpot_core::access::{AuditWho, MemoryRecords};
/// use tinpot_access::{Directory, Grant, Grantee, NewUser, Role};
/// use tinpot_core::{Caller, Decision, Policy, Right, Target};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> tinpot_core::Result<()> {
/// # let directory = Directory::builder(Arc::new(MemoryRecords::new())).open().await?;
/// # let by = AuditWho::new("operator", "", "root");
/// let ada = directory.add_user(&by, NewUser::new("ada")).await?;
/// let to = Grantee::Principal(ada.id.clone());
/// directory.add_grant(&by, Grant::new(to, Role::Operator).actions(&["deploy-*"])).await?;
///
/// let (rules, ada) = (directory.rules(), Caller::new(ada.id));
/// let (web, backup) = (Target::team("default").action("deploy-web"), Target::team("default"));
/// assert_eq!(rules.decide(&ada, Right::Run, &web), Decision::Allow);
/// assert_eq!(rules.decide(&ada, Right::Run, &backup.action("backup")), Decision::Hide);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Rules {
    compiled: Arc<RwLock<Arc<Compiled>>>,
    revision: watch::Sender<u64>,
}

/// The grants of one revision, by principal.
#[derive(Debug, Default)]
struct Compiled {
    principals: HashMap<Arc<str>, Principal>,
    tokens: HashMap<Arc<str>, TokenRules>,
}

#[derive(Debug, Default)]
struct Principal {
    is_server_admin: bool,
    parts: Vec<Part>,
}

/// A grant, as it is evaluated.
#[derive(Debug)]
struct Part {
    team: Arc<str>,
    rights: RightSet,
    shown: VisiblePart,
}

#[derive(Debug)]
struct TokenRules {
    principal: Arc<str>,
    team: Arc<str>,
    scopes: Vec<Scope>,
}

impl Rules {
    pub(crate) fn new() -> Self {
        Self { compiled: Arc::default(), revision: watch::channel(1).0 }
    }

    /// Takes the grants of a new state. Streams look at their rights again.
    pub(crate) fn compile(&self, state: &State, environments: &Environments) {
        let compiled = Arc::new(Compiled::of(state, environments));
        let mut current = self.compiled.write().unwrap_or_else(PoisonError::into_inner);
        // Readers wait at the lock until the number has grown, too.
        *current = compiled;
        self.wake();
    }

    /// Makes streams look at their rights again.
    pub(crate) fn wake(&self) {
        self.revision.send_modify(|revision| *revision += 1);
    }

    fn compiled(&self) -> Arc<Compiled> {
        self.compiled.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Compiled {
    fn of(state: &State, environments: &Environments) -> Self {
        let mut compiled = Self::default();
        for user in state.users.values().map(|stored| &stored.value) {
            if !user.is_disabled {
                let is_server_admin = state.is_server_admin(&user.id);
                let mut parts = Vec::new();
                if user.is_external_admin() {
                    let grant = Grant::new(Grantee::Principal(user.id.clone()), Role::Admin);
                    parts.push(Part::of(&grant, environments));
                }
                let principal = Principal { is_server_admin, parts };
                compiled.principals.insert(user.id.clone(), principal);
            }
        }
        for program in state.programs.values() {
            compiled.principals.insert(program.value.id.clone(), Principal::default());
        }
        let outside = outside_members(state);
        let grants = state.grants.values().map(|stored| &stored.value);
        for grant in grants.filter(|grant| !state.is_disabled(&grant.team)) {
            let alone;
            let (to, told): (&[Arc<str>], &[Arc<str>]) = match &grant.to {
                Grantee::Principal(id) => {
                    alone = [id.clone()];
                    (&alone[..], &[])
                }
                Grantee::Group(name) => match state.groups.get(&group_id(&grant.team, name)) {
                    Some(group) => {
                        let told = outside.get(&**name).map_or(&[][..], Vec::as_slice);
                        (&group.value.members[..], told)
                    }
                    None => (&[], &[]),
                },
                Grantee::Action(name) => {
                    let id = Caller::of_action(name).id;
                    compiled.principals.entry(id.clone()).or_default();
                    alone = [id];
                    (&alone[..], &[])
                }
            };
            // Another system names groups, but no teams.
            let is_member = |id: &&Arc<str>| {
                let user = state.users.get(*id);
                user.is_some_and(|user| state.is_in(&user.value, &grant.team))
            };
            for id in to.iter().chain(told.iter().filter(is_member)) {
                // A program has no rights in other teams than its own.
                let team = state.programs.get(id).map(|program| &program.value.team);
                if team.is_none_or(|team| *team == grant.team)
                    && let Some(principal) = compiled.principals.get_mut(id)
                {
                    principal.parts.push(Part::of(grant, environments));
                }
            }
        }
        for token in state.tokens.values().map(|entry| &entry.stored.value) {
            // A scope of a later version gives nothing.
            let scopes = scopes::parse(&token.scopes).unwrap_or_default();
            let principal = token.principal.clone();
            // One of a program acts in the team of the program.
            let program = state.programs.get(&principal).map(|program| &program.value.team);
            let team = program.unwrap_or(&token.team).clone();
            let rules = TokenRules { principal, team, scopes };
            compiled.tokens.insert(format!("{VIA_TOKEN}{}", token.id).into(), rules);
        }
        compiled
    }

    /// Returns what is known of a caller, with the scopes of its token; `None` for a stranger.
    fn find(&self, caller: &Caller) -> Option<(&Principal, Option<&[Scope]>)> {
        let principal = self.principals.get(&caller.id)?;
        if !caller.via.starts_with(VIA_TOKEN) {
            return Some((principal, None));
        }
        // Without its token, such as after it was revoked, the caller has no rights; nor in another
        // team than that of the token.
        let token = self.tokens.get(&caller.via)?;
        if token.principal != caller.id || token.team != caller.team {
            return None;
        }
        Some((principal, Some(&token.scopes)))
    }
}

/// Returns the members of groups that other systems name.
fn outside_members(state: &State) -> HashMap<&str, Vec<Arc<str>>> {
    let known: HashSet<&str> = state.groups.values().map(|group| &*group.value.name).collect();
    let mut members: HashMap<&str, Vec<Arc<str>>> = HashMap::new();
    for user in state.users.values().map(|user| &user.value) {
        for group in user.external.iter().flat_map(|external| &external.groups) {
            if known.contains(&**group) {
                members.entry(&**group).or_default().push(user.id.clone());
            }
        }
    }
    members
}

impl Part {
    fn of(grant: &Grant, environments: &Environments) -> Self {
        let names = |list: &Option<Vec<String>>| list.as_ref().map_or(Names::any(), Names::of);
        let mut queues = names(&grant.queues);
        if let Some(named) = &grant.environments {
            let patterns = named.iter().filter_map(|name| environments.get(name)).flatten();
            queues = queues.and(&Names::of(patterns));
        }
        let mut shown = VisiblePart::all()
            .actions(names(&grant.actions))
            .groups(names(&grant.groups))
            .queues(queues);
        if grant.own_only {
            shown = shown.own_only();
        }
        let mut rights = grant.role.rights();
        if shown != VisiblePart::all() {
            let of_parts: Vec<Right> =
                Right::ALL.iter().copied().filter(|right| !WHOLE.contains(right)).collect();
            rights = rights.and(RightSet::of(&of_parts));
        }
        Self { team: grant.team.clone(), rights, shown }
    }
}

/// Returns true if all that a target names is in the part. A target without an action, a queue or
/// an owner is not about them.
fn covers(shown: &VisiblePart, caller: &Caller, right: Right, target: &Target<'_>) -> bool {
    let of_executions = matches!(right, Right::Read | Right::Cancel | Right::Rerun);
    let VisiblePart { actions, groups, queues, own_only, .. } = shown;
    (!of_executions || !own_only || target.owner == Some(&*caller.id))
        && target.action.is_none_or(|action| actions.has(action))
        && (target.action.is_none() || groups.has_known(target.group))
        && target.queue.is_none_or(|queue| queues.has(queue))
}

/// Returns true if one of a token's scopes has the right on the target.
fn within(scopes: Option<&[Scope]>, caller: &Caller, right: Right, target: &Target<'_>) -> bool {
    scopes.is_none_or(|scopes| {
        let mut scopes = scopes.iter();
        scopes.any(|scope| scope.rights.has(right) && covers(&scope.shown, caller, right, target))
    })
}

impl Policy for Rules {
    fn decide(&self, caller: &Caller, right: Right, target: &Target<'_>) -> Decision {
        let compiled = self.compiled();
        let Some((principal, scopes)) = compiled.find(caller) else { return Decision::Hide };
        let allows = |right: Right| {
            if !within(scopes, caller, right, target) {
                return false;
            }
            if right.is_about_server() {
                return principal.is_server_admin;
            }
            *caller.team == *target.team
                && principal.parts.iter().any(|part| {
                    *part.team == *target.team
                        && part.rights.has(right)
                        && covers(&part.shown, caller, right, target)
                })
        };
        let seen = right.sight().is_none_or(allows);
        match seen && allows(right) {
            true => Decision::Allow,
            false if seen && right.sight().is_some() => Decision::Deny,
            false => Decision::Hide,
        }
    }

    fn visible(&self, caller: &Caller) -> Visible {
        let mut visible = Visible::nothing(caller.team.clone(), caller.id.clone());
        let compiled = self.compiled();
        let Some((principal, scopes)) = compiled.find(caller) else { return visible };
        let readable = principal
            .parts
            .iter()
            .filter(|part| *part.team == *caller.team && part.rights.has(Right::Read));
        for part in readable {
            let Some(scopes) = scopes else {
                visible = visible.part(part.shown.clone());
                continue;
            };
            for scope in scopes.iter().filter(|scope| scope.rights.has(Right::Read)) {
                let mut both = part.shown.clone();
                both.actions = both.actions.and(&scope.shown.actions);
                visible = visible.part(both);
            }
        }
        visible
    }

    fn revision(&self) -> Watcher<u64> {
        self.revision.subscribe().into()
    }
}
