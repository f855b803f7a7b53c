//! Executions that other executions ask for: accepted like any other, and ended with those that wait for them.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Weak};

use tokio::sync::mpsc;

use super::control::Command;
use super::{Coordinator, Shared, Tasks};
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::execution::{Execution, Parent};
use crate::model::fence::{Epoch, Fence};
use crate::model::id::{ExecutionId, WorkerId};
use crate::model::page::ListOptions;
use crate::model::transition::Transition;
use crate::protocol::{Call, CallState, Called};

/// Children that are read at once.
const PAGE: usize = 200;

pub(super) type CallKey = (Fence, u64);

/// A coordinator that does not keep its tasks running.
#[derive(Clone, Debug)]
pub(super) struct WeakCoordinator {
    pub(super) shared: Arc<Shared>,
    pub(super) commands: mpsc::WeakSender<Command>,
    pub(super) tasks: Weak<Tasks>,
}

impl WeakCoordinator {
    fn upgrade(&self) -> Option<Coordinator> {
        let (commands, tasks) = (self.commands.upgrade()?, self.tasks.upgrade()?);
        Some(Coordinator { shared: self.shared.clone(), commands, _tasks: tasks })
    }
}

#[derive(Debug)]
struct OpenCall {
    worker: WorkerId,
    wait: bool,
    accepted: Option<ExecutionId>,
}

/// The calls under way.
#[derive(Debug)]
pub(super) struct Calls {
    epoch: Epoch,
    max_depth: u32,
    open: HashMap<CallKey, OpenCall>,
    /// How many calls each attempt waits for.
    waits: HashMap<Fence, usize>,
    /// Attempts that may have children which must end with them.
    callers: HashSet<Fence>,
}

/// What is to be done about a call.
#[derive(Debug)]
pub(super) enum Next {
    Answer(Called),
    /// It is under way.
    Nothing,
    Serve(Parent),
}

impl Calls {
    pub(super) fn new(epoch: Epoch, max_depth: u32) -> Self {
        let (open, waits, callers) = Default::default();
        Self { epoch, max_depth, open, waits, callers }
    }

    /// An attempt that runs while the coordinator starts may have called before.
    pub(super) fn expect(&mut self, fence: Option<Fence>) {
        self.callers.extend(fence);
    }

    fn called(&self, key: CallKey, state: CallState) -> Called {
        Called { epoch: self.epoch, fence: key.0, number: key.1, state }
    }

    /// A worker sends a call, maybe again. `caller`: the execution of the attempt, if that runs there and was not asked to end.
    pub(super) fn take(
        &mut self,
        from: &WorkerId,
        call: &Call,
        caller: Option<&Execution>,
    ) -> Next {
        let key = (call.fence, call.number);
        if let Some(open) = self.open.get(&key) {
            return match open.accepted {
                Some(execution) => {
                    Next::Answer(self.called(key, CallState::Accepted { execution }))
                }
                None => Next::Nothing,
            };
        }
        let Some(caller) = caller else {
            let error =
                Error::new(ErrorKind::Closed, "the attempt that asks has been asked to end");
            return Next::Answer(self.called(key, refused(&error)));
        };
        let depth = caller.parent.map_or(0, |parent| parent.depth) + 1;
        if depth > self.max_depth {
            let message = format!(
                "{} would be {depth} executions deep: at most {} may be nested",
                call.action, self.max_depth
            );
            let error = Error::new(ErrorKind::InvalidInput, message);
            return Next::Answer(self.called(key, refused(&error)));
        }
        let open = OpenCall { worker: from.clone(), wait: call.wait, accepted: None };
        self.open.insert(key, open);
        if call.wait {
            self.callers.insert(call.fence);
        }
        let (fence, span, waits) = (call.fence, call.span, call.wait);
        Next::Serve(Parent { execution: caller.id, fence, span, depth, waits })
    }

    /// Something has become of a call: whom to tell, and whether the attempt waits from now on, or does not any more. `None` when nobody
    /// wants to know.
    pub(super) fn update(
        &mut self,
        key: CallKey,
        state: CallState,
    ) -> Option<(WorkerId, Called, Option<bool>)> {
        let open = self.open.get_mut(&key)?;
        let (worker, waits) = (open.worker.clone(), open.wait);
        let mut parks = None;
        if let CallState::Accepted { execution } = state
            && waits
        {
            open.accepted = Some(execution);
            let count = self.waits.entry(key.0).or_default();
            *count += 1;
            parks = (*count == 1).then_some(true);
        } else {
            let was_accepted = open.accepted.is_some();
            self.open.remove(&key);
            if was_accepted && self.waits_less(key.0) {
                parks = Some(false);
            }
        }
        Some((worker, self.called(key, state), parks))
    }

    fn waits_less(&mut self, fence: Fence) -> bool {
        let Some(count) = self.waits.get_mut(&fence) else { return false };
        *count -= 1;
        let none = *count == 0;
        if none {
            self.waits.remove(&fence);
        }
        none
    }

    /// The attempt that a transition ends, if it may have children that have to end with it; and those that were asked for before it waited
    /// for them.
    pub(super) fn ended(&mut self, transition: &Transition) -> Option<(ExecutionId, Ends)> {
        let (execution, fence) = match transition {
            Transition::Finish { execution, fence: Some(fence), .. } => (*execution, *fence),
            Transition::Requeue { execution, fence, .. } => (*execution, *fence),
            _ => return None,
        };
        if !self.callers.remove(&fence) {
            return None;
        }
        let gone = self.open.extract_if(|key, _| key.0 == fence);
        let awaited = gone.filter(|(_, open)| open.wait).filter_map(|(_, open)| open.accepted);
        let awaited = awaited.collect();
        self.waits.remove(&fence);
        Some((execution, Ends::With { fence, awaited }))
    }
}

/// Which children end with their parent.
#[derive(Debug)]
pub(super) enum Ends {
    /// All of them.
    All,
    /// Those that one of its attempts waits for.
    With {
        /// The attempt.
        fence: Fence,
        /// Some of them.
        awaited: HashSet<ExecutionId>,
    },
}

impl Ends {
    fn includes(&self, child: &Execution) -> bool {
        match self {
            Self::All => child.parent.is_some(),
            Self::With { fence, awaited } => {
                let waits = |parent: Parent| parent.waits && parent.fence == *fence;
                child.parent.is_some_and(waits) || awaited.contains(&child.id)
            }
        }
    }
}

/// The answer to a call that was refused.
pub(super) fn refused(error: &Error) -> CallState {
    CallState::Refused { kind: format!("{:?}", error.kind()), message: error.to_string() }
}

/// Accepts what a call asks for, waits for its end where the caller does, and tells the control loop.
pub(super) async fn serve(coordinator: WeakCoordinator, call: Call, parent: Parent) {
    let key = (call.fence, call.number);
    let commands = coordinator.commands.clone();
    let tell = async |state: CallState| {
        if let Some(commands) = commands.upgrade() {
            let _ = commands.send(Command::Called { key, state }).await;
        }
    };
    let mut options = call.options;
    // The same call, however often it is sent.
    options.idempotency_key.get_or_insert_with(|| format!("call {} {}", key.0, key.1));
    let Some(strong) = coordinator.upgrade() else { return };
    let submitted = strong.submit_as(&call.action, call.parameters, options, Some(parent)).await;
    drop(strong);
    match submitted {
        Err(error) => tell(refused(&error)).await,
        Ok(handle) => {
            let execution = handle.id();
            tell(CallState::Accepted { execution }).await;
            if parent.waits {
                // Not the handle: that would keep the coordinator running.
                let live = handle.into_live();
                let mut state = live.state.subscribe();
                let ended = state.wait_for(|state| state.outcome.is_some() || state.refused);
                let outcome = ended.await.ok().and_then(|state| state.outcome.clone());
                if let Some(outcome) = outcome {
                    tell(CallState::Ended { execution, outcome }).await;
                }
            }
        }
    }
}

/// Cancels a child in the background.
pub(super) fn cancel_one(coordinator: &WeakCoordinator, child: ExecutionId) {
    let coordinator = coordinator.clone();
    tokio::spawn(async move {
        let Some(coordinator) = coordinator.upgrade() else { return };
        if let Err(error) = coordinator.cancel(child, false).await {
            tracing::debug!(%child, %error, "a child was not cancelled");
        }
    });
}

/// Cancels children in the background.
pub(super) fn cancel_children(
    coordinator: &WeakCoordinator,
    parent: ExecutionId,
    which: Ends,
    force: bool,
) {
    let coordinator = coordinator.clone();
    tokio::spawn(async move {
        let Some(coordinator) = coordinator.upgrade() else { return };
        if let Err(error) = coordinator.cancel_children(parent, &which, force).await {
            tracing::warn!(%parent, %error, "children of what has ended were not all cancelled");
        }
    });
}

impl Coordinator {
    /// Cancels what an execution has asked for.
    pub(super) async fn cancel_children(
        &self,
        parent: ExecutionId,
        which: &Ends,
        force: bool,
    ) -> Result<()> {
        let mut options =
            ListOptions { parent: Some(parent), limit: PAGE, ..ListOptions::default() };
        loop {
            let page = self.executions(&options).await?;
            let ends =
                |child: &&Arc<Execution>| !child.status.is_terminal() && which.includes(child);
            for child in page.iter().filter(ends) {
                match Box::pin(self.cancel(child.id, force)).await {
                    Err(error)
                        if !matches!(error.kind(), ErrorKind::Conflict | ErrorKind::NotFound) =>
                    {
                        return Err(error);
                    }
                    _ => {}
                }
            }
            let Some(last) = page.last().filter(|_| page.len() >= options.page_size()) else {
                return Ok(());
            };
            options.before = Some(last.id);
        }
    }

    pub(super) fn downgrade(&self) -> WeakCoordinator {
        let (shared, commands) = (self.shared.clone(), self.commands.downgrade());
        WeakCoordinator { shared, commands, tasks: Arc::downgrade(&self._tasks) }
    }
}
