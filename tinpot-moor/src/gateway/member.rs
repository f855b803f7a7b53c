//! A worker of Tinpot that stands for one of mooR.

use std::sync::Arc;
use std::time::Duration;

use tinpot_core::executor::ActionSet;
use tinpot_core::{Action, Json, LoadError, MemoryNetwork, Result, Worker, WorkerId};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::executor::{Command, MoorExecutor};
use super::parameters::schema;
use crate::server::{MESSAGE_BYTES, MoorType};
use crate::wire::Dialect;

/// The time that attempts have to report that they are lost.
const PATIENCE: Duration = Duration::from_secs(5);

/// The time that attempts have after that, before they are lost: more than the usual grace period.
const GRACE: Duration = Duration::from_secs(15);

/// A worker of Tinpot that stands for one of mooR.
#[derive(Debug)]
pub(super) struct Member {
    action: Action,
    is_promiscuous: bool,
    is_stuck: bool,
    offer: watch::Sender<Arc<ActionSet>>,
    /// The patience with which the worker is to end.
    end: watch::Sender<Option<Duration>>,
}

/// The parts that a member needs to start.
#[derive(Debug)]
pub(super) struct Start<'a> {
    pub(super) worker: Uuid,
    pub(super) incarnation: u64,
    pub(super) kind: &'a MoorType,
    pub(super) dialect: Dialect,
    pub(super) network: &'a MemoryNetwork,
    pub(super) commands: mpsc::Sender<Command>,
    /// If true, the worker is asked to end once it is drained.
    pub(super) ends_drained: bool,
}

impl Member {
    /// Starts the worker. The task ends when the worker has.
    ///
    /// # Errors
    /// `InvalidInput` if the type cannot be the name of an action.
    pub(super) fn start(start: Start<'_>) -> Result<(Self, JoinHandle<()>)> {
        let Start { worker: moor, incarnation, kind, dialect, network, commands, ends_drained } =
            start;
        let action = Action::new(&kind.name)?
            .description(format!("Runs on workers of mooR of the type {}.", kind.name))
            .schema(Json::parse(schema(kind))?);
        let offer = watch::Sender::new(Arc::new(ActionSet::new([action.clone()])));
        let (end, mut ended) = watch::channel(None);
        let executor = MoorExecutor {
            worker: moor,
            incarnation,
            action: action.name.clone(),
            signature: kind.signature.clone(),
            offer: offer.subscribe(),
            commands: commands.clone(),
            closed: watch::Sender::new(false),
        };
        let digits = moor.simple().to_string();
        let name = format!("{}-{}", kind.name, &digits[..8]);
        let id = WorkerId::generate(&name);
        let order = if kind.sequential { ", sequential" } else { "" };
        let builder = Worker::builder(network.transport_of_local(&id))
            .id(id)
            .name(name.clone())
            .slots(kind.slots)
            .max_result_bytes(2 * MESSAGE_BYTES)
            .version(format!("mooR worker, {dialect} dialect{order}"))
            .executor(executor);
        let task = tokio::spawn(async move {
            let worker = match builder.start().await {
                Ok(worker) => worker,
                Err(error) => return tracing::warn!(name, %error, "a worker cannot start"),
            };
            let end = async { ended.wait_for(Option::is_some).await.ok().and_then(|end| *end) };
            let mut end = std::pin::pin!(end);
            let asked = tokio::select! {
                patience = &mut end => Some(patience.unwrap_or(PATIENCE)),
                // It stays attached, and is offered again once it attaches again.
                () = worker.drain_requested() => None,
            };
            // An attempt that was cancelled waits for its worker, which may never answer.
            let has_answered = match asked {
                Some(patience) => {
                    let limit = patience.saturating_add(GRACE);
                    tokio::time::timeout(limit, worker.shutdown(patience)).await.is_ok()
                }
                None => tokio::select! {
                    () = worker.shutdown(Duration::MAX) => {
                        if ends_drained {
                            let _ = commands.send(Command::AskToEnd { incarnation, worker: moor }).await;
                        }
                        true
                    }
                    () = async {
                        let patience = end.await.unwrap_or(PATIENCE);
                        tokio::time::sleep(patience.saturating_add(GRACE)).await;
                    } => false,
                },
            };
            if !has_answered {
                tracing::warn!(name, "a worker of mooR did not answer before its end");
            }
        });
        let member = Self { action, is_promiscuous: false, is_stuck: false, offer, end };
        Ok((member, task))
    }

    /// Ends the worker: it takes nothing new, and what runs has this long to end.
    pub(super) fn end(&self, patience: Option<Duration>) {
        self.end.send_replace(Some(patience.unwrap_or(PATIENCE)));
    }

    pub(super) fn set_stuck(&mut self, is_stuck: bool) {
        self.is_stuck = is_stuck;
        self.renew();
    }

    pub(super) fn set_promiscuous(&mut self) {
        self.is_promiscuous = true;
        self.renew();
    }

    fn renew(&self) {
        let mut offer = ActionSet::new((!self.is_stuck).then(|| self.action.clone()));
        if self.is_stuck {
            let message = "the worker still works on a request that was given up, and cannot be \
                           stopped: it is offered again when it answers";
            offer = offer.load_error(LoadError::new("mooR", message).blocking());
        }
        if self.is_promiscuous {
            let message = "this worker answers requests to other workers as well, so what it does \
                           happens twice: give it a pair of sockets of its own";
            offer = offer.load_error(LoadError::new("mooR, other workers", message));
        }
        self.offer.send_replace(Arc::new(offer));
    }
}
