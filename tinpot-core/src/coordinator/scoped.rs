//! A coordinator as one caller may use it: the only place that asks the policy.
//!
//! A target that is hidden from a caller has the answers of one that never was, word for word.

mod apps;
mod checks;
mod queues;
mod readable;
mod rights;
mod sight;
mod workers;

use std::net::IpAddr;
use std::sync::Arc;

pub(super) use self::checks::may_call;
use self::checks::{forbidden, group_of, may_run, target_of};
pub use self::readable::Readable;
pub use self::sight::Sight;
use super::core::RequestedCancel;
use super::stats::{Recent, Stats};
use super::submit::{find_action, unknown_action};
use super::trail::{self, Entry, Object, Origin, Particulars};
use super::{Changes, Coordinator, ExecutionHandle, Shared, unknown_execution};
use crate::access::{Caller, Decision, Right};
use crate::model::action::Action;
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::execution::{Execution, Owner, SubmitOptions};
use crate::model::id::ExecutionId;
use crate::model::json::Json;
use crate::model::page::ListOptions;
use crate::model::time::Timestamp;
use crate::model::visible::{DEFAULT_TEAM, Target};
use crate::protocol::{CancelOutcome, Catalogue, CatalogueEntry};

/// The pages of executions that are counted for a caller who does not see all: the latest 10,000.
const COUNTED_PAGES: usize = 10;

/// A coordinator as one caller may use it: every method asks the coordinator's
/// [policy](super::CoordinatorBuilder::policy).
///
/// A name that is hidden from the caller is answered like one that does not exist: by `NotFound`
/// with the same message, or by its absence from a list. `Forbidden` means that the caller may see
/// the target, but not do this.
///
/// ```
/// use tinpot_core::{Caller, Coordinator, MemoryNetwork};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> tinpot_core::Result<()> {
/// let coordinator = Coordinator::builder(MemoryNetwork::new().transport()).start().await?;
/// let scoped = coordinator.scoped(Caller::new("user:7").name("Ada"));
/// assert!(scoped.catalogue().is_empty());
/// # coordinator.shutdown().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Scoped {
    coordinator: Coordinator,
    caller: Arc<Caller>,
    /// The request that is being answered, for the audit.
    origin: Option<Origin>,
}

impl Coordinator {
    /// Returns this coordinator as a caller may use it. The coordinator itself is for the program
    /// that runs it: it asks no policy.
    pub fn scoped(&self, caller: impl Into<Arc<Caller>>) -> Scoped {
        Scoped { coordinator: self.clone(), caller: caller.into(), origin: None }
    }
}

impl Scoped {
    /// Returns the caller.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Sets the address of the client and the id of the request, which the audit records with what the
    /// caller does.
    #[must_use]
    pub fn asked_from(mut self, address: Option<IpAddr>, request_id: impl Into<Arc<str>>) -> Self {
        self.origin = Some(Origin { address, request_id: request_id.into() });
        self
    }

    /// Returns the executions that the caller may read, kept up to date.
    pub fn sight(&self) -> Sight {
        let shared = &self.coordinator.shared;
        let (policy, caller) = (shared.policy.clone(), self.caller.clone());
        Sight::new(policy, caller, shared.catalogue.clone(), shared.has_teams)
    }

    /// Returns the actions that the caller may see, by name.
    pub fn catalogue(&self) -> Arc<Catalogue> {
        let all = self.coordinator.catalogue();
        let is_of_default = *self.caller.team == *DEFAULT_TEAM;
        if is_of_default && all.values().all(|entry| self.sees(entry)) {
            return all;
        }
        let seen = all.iter().filter(|(_, entry)| {
            *entry.action.team_name() == *self.caller.team && self.sees(entry)
        });
        let name = |key: &Arc<str>, entry: &CatalogueEntry| match is_of_default {
            true => key.clone(),
            false => entry.action.name.as_str().into(),
        };
        Arc::new(seen.map(|(key, entry)| (name(key, entry), entry.clone())).collect())
    }

    /// Returns an action.
    ///
    /// # Errors
    /// `NotFound` if it is unknown or hidden.
    pub fn action(&self, name: &str) -> Result<CatalogueEntry> {
        let catalogue = self.coordinator.catalogue();
        let Some((_, entry)) = find_action(&catalogue, &self.caller.team, name) else {
            return Err(unknown_action(name));
        };
        let see = || format!("see action {name:?}");
        match self.decide(Right::SeeAction, &target_of(entry), see) {
            Decision::Allow => Ok(entry.clone()),
            Decision::Deny | Decision::Hide => Err(unknown_action(name)),
        }
    }

    fn sees(&self, entry: &CatalogueEntry) -> bool {
        !entry.is_removed() && self.allows(Right::SeeAction, &target_of(entry))
    }

    fn shared(&self) -> &Shared {
        &self.coordinator.shared
    }

    /// Returns true if the caller has a right: for what is shown of what there is.
    fn allows(&self, right: Right, target: &Target<'_>) -> bool {
        self.shared().policy.decide(&self.caller, right, target) == Decision::Allow
    }

    /// Asks the policy about an act. A refusal is counted in the audit.
    fn decide(&self, right: Right, target: &Target<'_>, act: impl FnOnce() -> String) -> Decision {
        self.shared().decide(&self.caller, right, target, act)
    }

    /// Begins a note in the audit about an act that must not wait for it.
    fn note(
        &self,
        what: &'static str,
        object: Object,
        particulars: Particulars,
    ) -> Option<Entry<'_>> {
        let audit = self.shared().audit.as_ref()?;
        let note = audit.begin_now(&self.caller, what).from(self.origin.as_ref());
        Some(note.about(object, particulars))
    }

    /// Submits an execution of an action, as one of the caller's.
    ///
    /// # Errors
    /// `NotFound` if the action is unknown or hidden; `Forbidden` if the caller may not run it, or
    /// not in this queue; and the errors of [`Coordinator::submit`].
    pub async fn submit(
        &self,
        action: &str,
        parameters: Json,
        options: SubmitOptions,
    ) -> Result<ExecutionHandle> {
        let catalogue = self.coordinator.catalogue();
        let of_version = options.definition.as_deref().map(|version| &*version.queue);
        let queue = options.queue.as_deref().or(of_version);
        may_run(self.shared(), std::slice::from_ref(&self.caller), &catalogue, action, queue)?;
        // From the same catalogue: the queue of the action may have changed since.
        let owner = self.owner();
        let execution = self.coordinator.prepare(&catalogue, action, parameters, options, owner)?;
        self.submit_noted(execution, None).await
    }

    /// Checks that the caller may run an action, in its own queue.
    ///
    /// # Errors
    /// `NotFound` if the action is unknown or hidden; `Forbidden` if the caller may not run it.
    pub fn may_run(&self, action: &str) -> Result<()> {
        let catalogue = self.coordinator.catalogue();
        may_run(self.shared(), std::slice::from_ref(&self.caller), &catalogue, action, None)
    }

    /// Submits an execution of a deployed action that is not in the catalogue, as one of the caller's:
    /// workers with its runtime know what it is. The policy is not asked: the program has decided that
    /// the caller may run it.
    ///
    /// # Errors
    /// `InvalidInput` for an action without a version, or of another team; and the errors of
    /// [`Coordinator::submit`].
    pub async fn submit_outside(
        &self,
        action: Action,
        options: SubmitOptions,
    ) -> Result<ExecutionHandle> {
        let entry = CatalogueEntry::outside(action)?;
        let owner = self.owner();
        if entry.bundle().is_none() || entry.action.team != *owner.team {
            let message = "action must have a version, and be of the caller's team";
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        let name = entry.action.name.clone();
        let catalogue = Catalogue::from([(entry.action.key(), entry)]);
        let parameters = Json::empty_object();
        let execution = self.coordinator.prepare(&catalogue, &name, parameters, options, owner)?;
        self.submit_noted(execution, None).await
    }

    /// Submits an execution, and notes it in the audit.
    async fn submit_noted(
        &self,
        execution: Execution,
        of: Option<ExecutionId>,
    ) -> Result<ExecutionHandle> {
        let Some(audit) = &self.shared().audit else {
            return self.coordinator.submit_prepared(execution, of).await;
        };
        let (id, what) = (execution.id, if of.is_some() { "rerun" } else { "run" });
        let particulars = audit.particulars(&execution, of);
        let note = audit.begin(&self.caller, what).await?.from(self.origin.as_ref());
        // If the caller does not wait for the answer, the note is written nevertheless.
        let note = note.about(Object::Execution(id), particulars);
        match self.coordinator.submit_prepared(execution, of).await {
            Ok(handle) if handle.id() == id => {
                note.done();
                Ok(handle)
            }
            Ok(earlier) => {
                note.repeated(earlier.id());
                Ok(earlier)
            }
            Err(error) => {
                note.withdraw();
                Err(error)
            }
        }
    }

    fn owner(&self) -> Owner {
        let Caller { id, team, .. } = &*self.caller;
        let team = if **team == *DEFAULT_TEAM { "".into() } else { team.clone() };
        Owner { team, caller: id.clone(), name: self.name(), on_behalf_of: None }
    }

    /// Opens an execution for reading.
    ///
    /// # Errors
    /// `NotFound` if the execution is unknown, hidden or was removed; the errors of the store.
    pub async fn execution(&self, id: ExecutionId) -> Result<Readable> {
        let sight = self.sight();
        match self.coordinator.execution(id).await? {
            Some(execution) if sight.shows(&execution) => {
                let execution = self.without_hidden_parent(&sight, execution).await?;
                Ok(Readable::new(self.coordinator.clone(), sight, execution))
            }
            Some(_) => {
                let read = || format!("read execution {id}");
                self.shared().refused(&self.caller, Decision::Hide, read);
                Err(unknown_execution(id))
            }
            None => Err(unknown_execution(id)),
        }
    }

    /// Returns one page of the executions that the caller may read, newest first.
    ///
    /// # Errors
    /// The errors of [`Store::executions`](crate::Store::executions).
    pub async fn executions(&self, options: &ListOptions) -> Result<Vec<Arc<Execution>>> {
        let mut options = options.clone();
        // No caller looks executions up by keys: those of others are not told.
        options.idempotency_key = None;
        let sight = self.sight();
        options.visible = sight.filter();
        if let (Some(parent), false) = (options.parent, sight.is_everything()) {
            let parent = self.coordinator.execution(parent).await?;
            if !parent.is_some_and(|parent| sight.shows(&parent)) {
                return Ok(Vec::new());
            }
        }
        let mut page = self.coordinator.executions(&options).await?;
        for execution in &mut page {
            *execution = self.without_hidden_parent(&sight, execution.clone()).await?;
        }
        Ok(page)
    }

    /// Returns the execution that the caller submitted with an idempotency key, or `None`. Keys of
    /// other callers are others, also if their text is the same.
    ///
    /// # Errors
    /// The errors of [`Store::executions`](crate::Store::executions).
    pub async fn with_idempotency_key(&self, key: &str) -> Result<Option<Arc<Execution>>> {
        let key = self.owner().idempotency_key(key);
        let found = super::idempotency::with_key(&*self.shared().store, &key).await?;
        Ok(found.filter(|execution| self.sight().shows(execution)))
    }

    /// Returns the execution without its parent, if the caller may not read that.
    async fn without_hidden_parent(
        &self,
        sight: &Sight,
        mut execution: Arc<Execution>,
    ) -> Result<Arc<Execution>> {
        let Some(parent) = execution.parent.filter(|_| !sight.is_everything()) else {
            return Ok(execution);
        };
        let parent = self.coordinator.execution(parent.execution).await?;
        if !parent.is_some_and(|parent| sight.shows(&parent)) {
            Arc::make_mut(&mut execution).parent = None;
        }
        Ok(execution)
    }

    /// Cancels an execution, as [`Coordinator::cancel`] does. The name of the requester is that of
    /// the caller, if it is known.
    ///
    /// # Errors
    /// `NotFound` if the execution is unknown or hidden; `Forbidden` if the caller may not cancel
    /// it; and the errors of [`Coordinator::cancel_by`].
    pub async fn cancel(
        &self,
        id: ExecutionId,
        force: bool,
        requester: Option<&str>,
    ) -> Result<CancelOutcome> {
        self.may(Right::Cancel, &self.execution(id).await?.execution, "cancel")?;
        if let Some(requester) = requester {
            super::idempotency::check_name("requested_by", requester)?;
        }
        let by = self.name().or(requester.map(Arc::from));
        let how = if force { Particulars::Text("by force") } else { Particulars::None };
        let note = self.note("cancel", Object::Execution(id), how);
        let outcome = self.coordinator.cancel_requested(id, RequestedCancel { by, force }).await;
        trail::ended(note, &outcome);
        outcome
    }

    fn name(&self) -> Option<Arc<str>> {
        Some(self.caller.name.clone()).filter(|name| !name.is_empty())
    }

    /// Checks a right on an execution that the caller may read.
    fn may(&self, right: Right, execution: &Execution, verb: &str) -> Result<()> {
        let catalogue = self.coordinator.catalogue();
        let group = group_of(&catalogue, execution.team_name(), &execution.action);
        let target = execution.target(group);
        let act = || format!("{verb} execution {}", execution.id);
        match self.decide(right, &target, act) {
            Decision::Allow => Ok(()),
            Decision::Deny => Err(forbidden(&self.caller, &act())),
            Decision::Hide => Err(unknown_execution(execution.id)),
        }
    }

    /// Submits a recorded execution again, as [`Coordinator::rerun`] does, as one of the caller's.
    ///
    /// # Errors
    /// `NotFound` if the execution or its action is unknown or hidden; `Forbidden` if the caller
    /// may not submit it again, or not run the action in its queue; and the errors of
    /// [`Coordinator::rerun`].
    pub async fn rerun(&self, id: ExecutionId, options: SubmitOptions) -> Result<ExecutionHandle> {
        let recorded = self.execution(id).await?.execution;
        self.may(Right::Rerun, &recorded, "rerun")?;
        let catalogue = self.coordinator.catalogue();
        let queue = options.queue.as_deref().unwrap_or(&recorded.queue);
        let caller = std::slice::from_ref(&self.caller);
        may_run(self.shared(), caller, &catalogue, &recorded.action, Some(queue))?;
        let execution =
            self.coordinator.prepare_rerun(&catalogue, &recorded, options, self.owner())?;
        self.submit_noted(execution, Some(id)).await
    }

    /// Returns the counts of each of the last `minutes`, as [`Coordinator::stats`] does. For a
    /// caller who does not see everything, they are counted from the latest 10,000 executions that
    /// the caller may read.
    pub async fn stats(&self, minutes: usize) -> Stats {
        let Some(visible) = self.sight().filter() else {
            return self.coordinator.stats(minutes);
        };
        let now = Timestamp::now();
        let counted = Recent::new(now);
        let page = ListOptions::new().visible(visible).limit(ListOptions::LIMIT_MAX);
        counted.count(&*self.coordinator.shared.store, page, COUNTED_PAGES).await;
        counted.stats(now, minutes)
    }

    /// Returns a feed of changes from now on, as [`Coordinator::changes`] does. It names executions
    /// by id only: read them to learn more, or ask [`sight`](Self::sight).
    pub fn changes(&self) -> Changes {
        self.coordinator.changes()
    }
}
