//! The pools of all environments, as one set of actions.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tinpot_core::executor::ActionSet;
use tinpot_core::{Executor, LoadError, PythonEnvironment, Result, Watcher};
use tinpot_venv::{BuildError, Builder, Environment, Origin};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::status;
use crate::child_text::load_error;
use crate::directories::Directories;
use crate::pool::{PythonPool, PythonPoolBuilder, Share};

/// All pools, and what they offer together.
#[derive(Debug)]
pub(super) struct Members {
    pub(super) builder: Builder,
    /// The pool of an environment, apart from the environment.
    template: PythonPoolBuilder,
    pub(super) directories: Directories,
    main: Arc<Member>,
    state: Mutex<State>,
    offer: watch::Sender<Arc<ActionSet>>,
    /// True while no environment is being built for the first time.
    is_settled: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct State {
    groups: BTreeMap<Origin, Group>,
    routes: HashMap<String, Arc<Member>>,
    /// Load errors besides those of pools and groups.
    load_errors: Vec<LoadError>,
    /// Settings of directories that are not there.
    missing: Vec<LoadError>,
    /// Members that still run attempts, besides those of groups.
    retired: Vec<Weak<Member>>,
    is_closed: bool,
}

/// The files that ask for one environment.
#[derive(Debug, Default)]
struct Group {
    files: Vec<String>,
    member: Option<Arc<Member>>,
    /// The reason why the environment is not the one that is asked for.
    problem: Option<LoadError>,
    /// The description of the environment, once its state is known.
    status: Option<PythonEnvironment>,
    /// False until the first build has ended.
    is_settled: bool,
}

/// A pool and its environment.
#[derive(Debug)]
pub(super) struct Member {
    pool: PythonPool,
    /// Holds the environment in the cache. `None` for the interpreter of the worker, and for an
    /// environment that is gone.
    environment: Mutex<Option<Environment>>,
    /// True if the pool runs in the interpreter of the worker.
    is_plain: bool,
    /// Publishes changes of the pool's actions.
    forward: Mutex<Option<AbortHandle>>,
}

impl Member {
    pub(super) fn new(pool: PythonPool, environment: Option<Environment>) -> Arc<Self> {
        let is_plain = environment.is_none();
        let (environment, forward) = (Mutex::new(environment), Mutex::default());
        Arc::new(Self { pool, environment, is_plain, forward })
    }

    pub(super) fn pool(&self) -> &PythonPool {
        &self.pool
    }

    fn environment(&self) -> MutexGuard<'_, Option<Environment>> {
        self.environment.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let forward = self.forward.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(forward) = forward.take() {
            forward.abort();
        }
    }
}

impl Members {
    pub(super) fn new(
        builder: Builder,
        template: PythonPoolBuilder,
        directories: Directories,
        main: PythonPool,
    ) -> Arc<Self> {
        let this = Arc::new(Self {
            builder,
            template,
            directories,
            main: Member::new(main, None),
            state: Mutex::default(),
            offer: watch::Sender::default(),
            is_settled: watch::Sender::new(true),
        });
        this.follow(&this.main);
        this.publish(&mut this.lock());
        this
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn main(&self) -> &PythonPool {
        &self.main.pool
    }

    pub(super) fn offer(&self) -> Watcher<Arc<ActionSet>> {
        self.offer.subscribe().into()
    }

    /// Keeps an environment in the cache, that of the only file.
    pub(super) fn keep(&self, environment: Environment) {
        *self.main.environment() = Some(environment);
    }

    pub(super) fn add_load_error(&self, load_error: LoadError) {
        let mut state = self.lock();
        tracing::warn!(place = load_error.place, "{}", load_error.message);
        state.load_errors.push(load_error);
        self.publish(&mut state);
    }

    /// Sets the load errors about directories that are not there.
    pub(super) fn set_missing(&self, missing: Vec<LoadError>) {
        let mut state = self.lock();
        if state.missing != missing {
            missing.iter().for_each(|error| tracing::warn!("{}", error.message));
            state.missing = missing;
            self.publish(&mut state);
        }
    }

    pub(super) fn route(&self, action: &str) -> Option<Arc<Member>> {
        self.lock().routes.get(action).cloned()
    }

    pub(super) fn is_building(&self) -> bool {
        !*self.is_settled.borrow()
    }

    pub(super) async fn settled(&self) {
        // Cannot fail: the sender is a field of this value.
        let _ = self.is_settled.subscribe().wait_for(|is_settled| *is_settled).await;
    }

    /// Publishes the changes of a pool's actions from now on.
    fn follow(self: &Arc<Self>, member: &Arc<Member>) {
        let (this, mut actions) = (Arc::downgrade(self), member.pool.actions());
        let task = tokio::spawn(async move {
            while actions.next().await.is_some() {
                let Some(this) = this.upgrade() else { return };
                this.publish(&mut this.lock());
            }
        });
        let mut forward = member.forward.lock().unwrap_or_else(PoisonError::into_inner);
        *forward = Some(task.abort_handle());
    }

    /// Adds a group, or sets its files. Returns true if it is new.
    pub(super) fn set_files(&self, origin: &Origin, files: &[String]) -> bool {
        let mut state = self.lock();
        let is_new = !state.groups.contains_key(origin);
        let group = state.groups.entry(origin.clone()).or_default();
        if is_new || group.files != files {
            group.files = files.to_vec();
            self.publish(&mut state);
        }
        is_new
    }

    /// Removes a group. Its running attempts end.
    pub(super) fn remove(&self, origin: &Origin) {
        let mut state = self.lock();
        let group = state.groups.remove(origin);
        self.publish(&mut state);
        drop(state);
        if let Some(member) = group.and_then(|group| group.member) {
            self.retire(member);
        }
    }

    fn retire(&self, member: Arc<Member>) {
        let mut state = self.lock();
        state.retired.retain(|retired| retired.strong_count() > 0);
        state.retired.push(Arc::downgrade(&member));
        drop(state);
        // Its last attempt drops it, which kills the interpreters.
        drop(member);
    }

    /// Returns true if the environment of a group is not what it was any more. Then it is given up,
    /// so that it can be built again.
    pub(super) fn take_damaged(&self, origin: &Origin) -> bool {
        let member = self.lock().groups.get(origin).and_then(|group| group.member.clone());
        let Some(member) = member else { return false };
        let mut environment = member.environment();
        let is_damaged = environment.as_ref().is_some_and(|environment| !environment.is_there());
        if is_damaged {
            *environment = None;
        }
        is_damaged
    }

    /// Notes that the environment of a group is being built. `files` are those that ask, if they can
    /// be read; with `has_changed`, they ask for something else than before.
    pub(super) fn building(
        &self,
        origin: &Origin,
        place: &str,
        files: Option<&[String]>,
        has_changed: bool,
    ) {
        let mut state = self.lock();
        let Some(group) = state.groups.get_mut(origin) else { return };
        let before = group.status.take();
        group.status = Some(status::building(before, place, files, has_changed));
        if group.member.is_none() {
            let files = group.files.join(", ");
            let message = format!(
                "the Python environment of {place} is being built; until it is ready, the actions \
                 of these files cannot run: {files}"
            );
            group.problem = Some(load_error(place, &message).blocking());
        }
        self.publish(&mut state);
    }

    /// Notes that the environment of a group cannot be built.
    pub(super) fn failed(&self, origin: &Origin, place: &str, error: &BuildError) {
        let reason = &*error.message;
        let without = reason.strip_prefix(place).and_then(|rest| rest.strip_prefix(": "));
        let reason = without.unwrap_or(reason);
        let mut state = self.lock();
        let Some(group) = state.groups.get_mut(origin) else { return };
        let files = group.files.join(", ");
        let end = match group.member {
            Some(_) => "The last good environment stays in use.".to_owned(),
            None => format!("The actions of these files cannot run: {files}"),
        };
        let problem = load_error(place, &format!("{reason}\n{end}"));
        // The coordinator then says why actions that it knows are not offered.
        let problem = if group.member.is_none() { problem.blocking() } else { problem };
        if group.problem.as_ref() != Some(&problem) {
            tracing::warn!(place, "{}", problem.message);
        }
        group.problem = Some(problem);
        group.is_settled = true;
        if let Some(status) = &mut group.status {
            status::failed(status, error, group.member.is_some());
        }
        self.publish(&mut state);
    }

    /// Makes an environment that of a group, and starts its pool. Without one, the group runs in the
    /// interpreter of the worker.
    pub(super) async fn adopt(
        self: &Arc<Self>,
        origin: &Origin,
        environment: Option<Environment>,
    ) -> Result<()> {
        let member = self.lock().groups.get(origin).and_then(|group| group.member.clone());
        let ready = environment.as_ref().map(status::Ready::of);
        let is_same = member.is_some_and(|member| match &environment {
            Some(new) => member.environment().as_ref().is_some_and(|old| old.key == new.key),
            None => member.is_plain,
        });
        let member = match is_same {
            true => None,
            false => {
                let pool = self.template.clone();
                let pool = match &environment {
                    Some(environment) => pool.inside(&environment.path),
                    None => pool,
                };
                let pool = self.directories.configure(origin, pool);
                let pool = pool.share(Share::Of(origin.clone())).held_by(self.main());
                let member = Member::new(pool.start().await?, environment);
                self.follow(&member);
                Some(member)
            }
        };
        let mut state = self.lock();
        if state.is_closed {
            return Ok(());
        }
        let Some(group) = state.groups.get_mut(origin) else { return Ok(()) };
        (group.problem, group.is_settled) = (None, true);
        match (ready, &mut group.status) {
            (Some(ready), Some(status)) => ready.note(status),
            (Some(_), None) => {}
            (None, status) => *status = None,
        }
        let old = member.and_then(|member| group.member.replace(member));
        self.publish(&mut state);
        drop(state);
        if let Some(old) = old {
            self.retire(old);
        }
        Ok(())
    }

    /// Publishes the actions and load errors of all pools.
    fn publish(&self, state: &mut State) {
        let mut joint = ActionSet::default();
        let mut routes: HashMap<String, Arc<Member>> = HashMap::new();
        let mut errors = state.load_errors.clone();
        errors.extend(state.missing.iter().cloned());
        let members = state.groups.values().filter_map(|group| group.member.as_ref());
        for member in std::iter::once(&self.main).chain(members) {
            let set = member.pool.actions().current();
            errors.extend(set.load_errors.iter().cloned());
            for action in &set.actions {
                if routes.contains_key(action.name.as_str()) {
                    let message = "two actions in different Python environments have this name, \
                                   and one of them is not offered: rename one";
                    errors.push(LoadError::new(&*action.name, message));
                    continue;
                }
                routes.insert(action.name.to_string(), member.clone());
                joint.actions.push(action.clone());
            }
        }
        errors.extend(state.groups.values().filter_map(|group| group.problem.clone()));
        for error in errors {
            if !joint.load_errors.contains(&error) {
                joint.load_errors.push(error);
            }
        }
        let statuses = state.groups.values().filter_map(|group| group.status.clone());
        joint.environments = status::bounded(statuses.collect(), &mut joint.load_errors);
        state.routes = routes;
        let is_settled = state.groups.values().all(|group| group.is_settled);
        self.offer.send_if_modified(|offered| {
            let has_changed = **offered != joint;
            if has_changed {
                *offered = Arc::new(joint);
            }
            has_changed
        });
        self.is_settled.send_replace(is_settled);
    }

    /// Closes all pools, the one that holds the others last.
    pub(super) async fn close(&self) -> Result<()> {
        let members: Vec<_> = {
            let mut state = self.lock();
            state.is_closed = true;
            let retired: Vec<_> = state.retired.drain(..).filter_map(|old| old.upgrade()).collect();
            let groups = std::mem::take(&mut state.groups).into_values();
            groups.filter_map(|group| group.member).chain(retired).collect()
        };
        for member in members {
            member.pool.close().await?;
        }
        self.main.pool.close().await
    }
}
