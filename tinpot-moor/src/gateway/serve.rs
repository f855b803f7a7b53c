//! The task of a gateway.

use std::collections::HashMap;
use std::time::Duration;

use tinpot_core::MemoryNetwork;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use uuid::Uuid;

use super::executor::Command;
use super::member::{Member, Start};
use crate::server::{Answer, Effect, NotSent, Server};
use crate::sockets::{Incoming, Sockets};
use crate::wire::Dialect;

/// Messages and commands that are taken before other tasks may run.
const BATCH: usize = 64;

/// The sockets, the machine, and the workers that stand for those of mooR.
pub(super) struct Serving {
    sockets: Sockets,
    server: Server,
    dialect: Dialect,
    network: MemoryNetwork,
    started: Instant,
    commands: mpsc::Sender<Command>,
    /// The attempts that wait for the answer to a request.
    waiting: HashMap<Uuid, oneshot::Sender<Result<Answer, NotSent>>>,
    members: HashMap<u64, Member>,
    tasks: JoinSet<()>,
    ends_drained: bool,
    is_ending: bool,
}

impl Serving {
    pub(super) fn new(
        sockets: Sockets,
        server: Server,
        dialect: Dialect,
        network: MemoryNetwork,
        commands: mpsc::Sender<Command>,
        ends_drained: bool,
    ) -> Self {
        Self {
            sockets,
            server,
            dialect,
            network,
            started: Instant::now(),
            commands,
            waiting: HashMap::new(),
            members: HashMap::new(),
            tasks: JoinSet::new(),
            ends_drained,
            is_ending: false,
        }
    }

    /// Serves until it is stopped and the workers have ended.
    pub(super) async fn run(
        mut self,
        mut commands: mpsc::Receiver<Command>,
        mut stop: watch::Receiver<Option<Duration>>,
    ) {
        loop {
            let wake = self.started + self.server.wake_at();
            tokio::select! {
                received = self.sockets.next() => match received {
                    Ok(incoming) => {
                        self.receive(&incoming);
                        for _ in 1..BATCH {
                            let Some(incoming) = self.sockets.try_next() else { break };
                            self.receive(&incoming);
                        }
                    }
                    Err(error) => {
                        tracing::error!(%error, "the gateway for workers of mooR has ended");
                        break;
                    }
                },
                Some(command) = commands.recv() => {
                    self.command(command);
                    for _ in 1..BATCH {
                        let Ok(command) = commands.try_recv() else { break };
                        self.command(command);
                    }
                }
                () = tokio::time::sleep_until(wake) => {}
                Some(_) = self.tasks.join_next() => {}
                patience = stopped(&mut stop), if !self.is_ending => {
                    self.is_ending = true;
                    self.members.values().for_each(|member| member.end(patience));
                }
            }
            let now = self.now();
            if now >= self.server.wake_at() {
                self.give_up_abandoned();
                self.server.tick(now);
            }
            self.apply().await;
            if self.is_ending && self.tasks.is_empty() {
                break;
            }
        }
        self.sockets.close().await;
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn receive(&mut self, incoming: &Incoming) {
        let reply = self.server.receive(self.now(), &incoming.frames);
        self.sockets.reply(incoming, reply);
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Submit { incarnation, request, answer } => {
                let id = request.id;
                if answer.is_closed() {
                    return;
                }
                match self.server.submit(incarnation, request) {
                    Ok(()) => {
                        self.waiting.insert(id, answer);
                    }
                    Err(refused) => {
                        let _ = answer.send(Err(refused));
                    }
                }
            }
            Command::AskToEnd { incarnation, worker } => {
                tracing::info!(%worker, "a worker of mooR was drained, and is asked to end");
                self.server.ask_to_end(incarnation, worker);
            }
            Command::GiveUp(request) => {
                self.waiting.remove(&request);
                self.server.give_up(self.now(), request);
            }
        }
    }

    /// Gives up requests whose attempts are gone. Their commands may have found the queue full.
    fn give_up_abandoned(&mut self) {
        let now = self.now();
        let gone = self.waiting.extract_if(|_, answer| answer.is_closed());
        for (request, _) in gone {
            self.server.give_up(now, request);
        }
    }

    async fn apply(&mut self) {
        for effect in self.server.take_effects() {
            match effect {
                Effect::Publish(message) => self.sockets.publish(message).await,
                Effect::Answered { request, answer } => {
                    if let Some(waiting) = self.waiting.remove(&request) {
                        let _ = waiting.send(Ok(answer));
                    }
                }
                Effect::Ready { .. } if self.is_ending => {}
                Effect::Ready { worker, incarnation, kind } => {
                    let start = Start {
                        worker,
                        incarnation,
                        kind: &kind,
                        dialect: self.dialect,
                        network: &self.network,
                        commands: self.commands.clone(),
                        ends_drained: self.ends_drained,
                    };
                    tracing::info!(%worker, kind = %kind, "a worker of mooR has attached");
                    match Member::start(start) {
                        Ok((member, task)) => {
                            self.members.insert(incarnation, member);
                            self.tasks.spawn(async { drop(task.await) });
                        }
                        Err(error) => tracing::warn!(%worker, %error, "a worker cannot be offered"),
                    }
                }
                Effect::Ended { incarnation, reason } => {
                    if let Some(member) = self.members.remove(&incarnation) {
                        tracing::info!(reason, "a worker of mooR is gone");
                        member.end(None);
                    }
                }
                Effect::Stuck { incarnation, is_stuck } => {
                    if let Some(member) = self.members.get_mut(&incarnation) {
                        member.set_stuck(is_stuck);
                    }
                }
                Effect::Promiscuous { incarnation } => {
                    if let Some(member) = self.members.get_mut(&incarnation) {
                        tracing::warn!("a worker of mooR answers requests to other workers");
                        member.set_promiscuous();
                    }
                }
            }
        }
    }
}

/// Waits for the end; the patience is that of the host. A host that is gone ends it as well.
async fn stopped(stop: &mut watch::Receiver<Option<Duration>>) -> Option<Duration> {
    stop.wait_for(Option::is_some).await.ok().and_then(|patience| *patience)
}
