//! The task of a runner: its peer, between the calls of the runner and the coordinator.

use std::collections::HashMap;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::BoxStream;
use tinpot_core::protocol::{Fence, Frame, Message, Tick};
use tinpot_core::transport::{Address, Lane, Received};
use tinpot_core::{
    Error, ErrorKind, MemoryNetwork, MemoryTransport, Result, Timestamp, Transport, WorkerId,
};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::peer::{Adopted, Answer, Call, Effect, RunnerPeer, Ticket};

/// Calls that wait for the task: a runner makes one or two at a time.
const CALLS: usize = 16;
/// The longest wait for an answer, besides that of a request for a run. Runners wait for 30 s.
const PATIENCE: Duration = Duration::from_secs(20);

/// The settings of all runners.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// The lease that runners get.
    pub(super) lease: Duration,
    /// The time for which a request for a run waits.
    pub(super) wait: Duration,
}

#[derive(Debug)]
enum Command {
    Call { call: Call, reply: oneshot::Sender<(Answer, Clock)> },
    Holds(Fence, oneshot::Sender<bool>),
    Adopt(Adopted),
    Serve(String),
}

/// The clock of the task, to tell wall-clock times.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    origin: Instant,
}

impl Clock {
    fn now(self) -> Tick {
        Tick(u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    fn instant(self, tick: Tick) -> Instant {
        self.origin + Duration::from_micros(tick.0)
    }

    /// Returns the time of day at a tick.
    pub(super) fn time(self, tick: Tick) -> Timestamp {
        let (now, time) = (self.now(), Timestamp::now());
        match tick.0.checked_sub(now.0) {
            Some(ahead) => Timestamp(time.0.saturating_add(ahead)),
            None => Timestamp(time.0.saturating_sub(now.0 - tick.0)),
        }
    }
}

/// The way to the task of a runner. The task ends with it.
#[derive(Debug)]
pub(super) struct RunnerLink {
    commands: mpsc::Sender<Command>,
}

impl RunnerLink {
    /// Starts the task of a runner, which serves a queue.
    pub(super) async fn start(
        network: &MemoryNetwork,
        id: WorkerId,
        queue: String,
        times: Times,
    ) -> Result<Self> {
        let transport = network.transport_of_local(&id);
        let address = Address::Worker(id.clone());
        let control = transport.listen(&address, Lane::Control).await?;
        let logs = transport.listen(&address, Lane::Logs).await?;
        let all = transport.listen(&Address::AllWorkers, Lane::Control).await?;
        let (commands, inbox) = mpsc::channel(CALLS);
        let task = Task {
            peer: RunnerPeer::new(id.clone(), queue, times.lease, times.wait),
            id,
            transport,
            clock: Clock { origin: Instant::now() },
            replies: HashMap::new(),
            last_ticket: 0,
            effects: Vec::new(),
        };
        tokio::spawn(task.run(inbox, [control, logs, all]));
        Ok(Self { commands })
    }

    /// Passes a call to the runner's peer, and waits for the answer.
    ///
    /// # Errors
    /// `Unavailable` if the coordinator does not answer in time, `Overloaded` with too many calls.
    pub(super) async fn call(&self, call: Call) -> Result<(Answer, Clock)> {
        let is_lease = matches!(call, Call::Lease);
        let (reply, answer) = oneshot::channel();
        self.send(Command::Call { call, reply })?;
        if is_lease {
            return answer.await.map_err(|_| closed());
        }
        match tokio::time::timeout(PATIENCE, answer).await {
            Ok(answered) => answered.map_err(|_| closed()),
            Err(_) => {
                let message = "the coordinator cannot record this now: try again";
                Err(Error::new(ErrorKind::Unavailable, message))
            }
        }
    }

    /// Returns true if the runner's peer holds the attempt.
    ///
    /// # Errors
    /// `Overloaded` with too many calls.
    pub(super) async fn holds(&self, fence: Fence) -> Result<bool> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Holds(fence, reply))?;
        answer.await.map_err(|_| closed())
    }

    /// Lets the runner's peer take over an attempt that began before it.
    ///
    /// # Errors
    /// `Overloaded` with too many calls.
    pub(super) fn adopt(&self, adopted: Adopted) -> Result<()> {
        self.send(Command::Adopt(adopted))
    }

    fn send(&self, command: Command) -> Result<()> {
        self.commands.try_send(command).map_err(|_| {
            Error::new(ErrorKind::Overloaded, "this runner makes too many calls at one time")
        })
    }

    /// Lets the runner serve another queue.
    pub(super) async fn serve(&self, queue: String) {
        // Without the task, there is nothing to serve.
        let _ = self.commands.send(Command::Serve(queue)).await;
    }
}

struct Task {
    id: WorkerId,
    peer: RunnerPeer,
    transport: MemoryTransport,
    clock: Clock,
    replies: HashMap<Ticket, oneshot::Sender<(Answer, Clock)>>,
    last_ticket: Ticket,
    effects: Vec<Effect>,
}

impl Task {
    async fn run(
        mut self,
        mut inbox: mpsc::Receiver<Command>,
        [mut control, mut logs, mut all]: [BoxStream<'static, Received>; 3],
    ) {
        loop {
            let wake = self.peer.wake_at().map(|tick| self.clock.instant(tick));
            tokio::select! {
                command = inbox.recv() => match command {
                    Some(command) => self.command(command),
                    None => return,
                },
                Some(frame) = control.next() => self.frame(&frame),
                Some(frame) = logs.next() => self.frame(&frame),
                Some(frame) = all.next() => self.frame(&frame),
                () = until(wake) => {}
            }
            self.peer.tick(self.clock.now(), &mut self.effects);
            self.perform().await;
        }
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Serve(queue) => self.peer.serve(queue),
            Command::Holds(fence, reply) => drop(reply.send(self.peer.holds(fence))),
            Command::Adopt(adopted) => self.peer.adopt(self.clock.now(), adopted),
            Command::Call { call, reply } => {
                self.last_ticket += 1;
                self.replies.retain(|_, reply| !reply.is_closed());
                self.replies.insert(self.last_ticket, reply);
                self.peer.call(self.clock.now(), self.last_ticket, call, &mut self.effects);
            }
        }
    }

    fn frame(&mut self, received: &Received) {
        // What is sealed is for others.
        let Ok((frame, _)) = Frame::decode(&received.bytes) else { return };
        let is_for = frame.to.is_none_or(|to| to == self.id);
        if frame.from.is_some() || !is_for {
            return;
        }
        let now = self.clock.now();
        for message in frame.messages {
            self.peer.receive(now, message, &mut self.effects);
        }
    }

    async fn perform(&mut self) {
        // An answer that reaches no runner has effects of its own.
        while !self.effects.is_empty() {
            let (mut control, mut logs) = (Vec::new(), Vec::new());
            for effect in std::mem::take(&mut self.effects) {
                match effect {
                    Effect::Send(message @ Message::Log(_)) => logs.push(message),
                    Effect::Send(message) => control.push(message),
                    Effect::Answer(ticket, answer) => self.answer(ticket, answer),
                }
            }
            self.send(Lane::Control, control).await;
            self.send(Lane::Logs, logs).await;
        }
    }

    fn answer(&mut self, ticket: Ticket, answer: Answer) {
        let Some(reply) = self.replies.remove(&ticket) else { return };
        if let Err((answer, _)) = reply.send((answer, self.clock)) {
            self.peer.unheard(self.clock.now(), &answer, &mut self.effects);
        }
    }

    async fn send(&self, lane: Lane, messages: Vec<Message>) {
        if messages.is_empty() {
            return;
        }
        let frame = Frame { from: Some(self.id.clone()), to: None, messages };
        if let Err(error) = self.transport.send(&Address::Coordinator, lane, frame.encode()).await {
            // The peer says it again.
            tracing::debug!(runner = %self.id, %error, "a frame of a runner was not sent");
        }
    }
}

fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the server is shutting down")
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
