//! The audit of what callers do: noted on the callers' own threads, and written by a task.
//!
//! A note is a few reference counts, so that a submission does not wait for the audit. It does wait
//! once [`WAITING`] notes are not written yet.

mod events;
mod refused;
mod strangers;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};

pub(super) use self::events::{Object, Origin, Particulars};
use self::refused::Refused;
use self::strangers::Strangers;
use crate::access::{AuditDecision, AuditEvent, AuditSink, Caller, SecretSealer};
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::execution::Execution;
use crate::model::id::ExecutionId;
use crate::model::time::Timestamp;

/// The notes that may wait to be written: a few seconds' worth under load, 16 MiB. Beyond it,
/// submissions wait.
const WAITING: usize = 65_536;
/// The longest wait of a submission for the audit.
const PATIENCE: Duration = Duration::from_secs(10);
/// The time for which notes are gathered into one write.
const GATHER: Duration = Duration::from_millis(100);
/// The most notes of one write.
const TOGETHER: usize = 4_096;
/// The interval at which refusals are written at most, one entry for each caller, network or peer.
const REFUSALS: Duration = Duration::from_secs(60);
/// The time for which the first refusals are gathered.
const FIRST_REFUSALS: Duration = Duration::from_secs(1);
/// The time before a failed write is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// The purpose of digests of parameters.
const DIGEST: &str = "audit parameters";
/// The longest wait for the last write at a shutdown.
const LAST: Duration = Duration::from_secs(5);

/// The notes of one coordinator, on their way to the sink.
#[derive(Debug)]
pub(super) struct Trail {
    queue: mpsc::UnboundedSender<Item>,
    digests: Option<Arc<dyn SecretSealer>>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// One permit for each note that may wait.
    room: Semaphore,
    refusals: Mutex<Refusals>,
    /// The time of the first refusal that is not written.
    refused_since: watch::Sender<Option<Instant>>,
    problem: Mutex<Option<String>>,
}

/// Refusals that are not written yet.
#[derive(Debug, Default)]
struct Refusals {
    of_callers: Refused,
    of_strangers: Strangers,
}

/// The writer's end. Its queue has no bound of its own: each note has a permit, except those about
/// acts that must not wait, such as cancels, of which callers have one open at a time.
#[derive(Debug)]
pub(super) struct TrailWriter {
    sink: Arc<dyn AuditSink>,
    inbox: mpsc::UnboundedReceiver<Item>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
enum Item {
    Note(Box<Note>),
    /// Everything before it is to be written now.
    Flush(oneshot::Sender<()>),
}

/// An act of a caller.
#[derive(Debug)]
struct Note {
    time: Timestamp,
    caller: Arc<Caller>,
    origin: Option<Origin>,
    what: &'static str,
    object: Object,
    particulars: Particulars,
    failed: Option<String>,
    /// If true, it holds a permit.
    counted: bool,
}

impl Trail {
    pub(super) fn new(
        sink: Arc<dyn AuditSink>,
        digests: Option<Arc<dyn SecretSealer>>,
    ) -> (Self, TrailWriter) {
        let (queue, inbox) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            room: Semaphore::new(WAITING),
            refusals: Mutex::default(),
            refused_since: watch::Sender::new(None),
            problem: Mutex::default(),
        });
        (Self { queue, digests, shared: shared.clone() }, TrailWriter { sink, inbox, shared })
    }

    /// Waits until there is room for a note, without taking it.
    pub(super) async fn room(&self) -> Result<()> {
        self.permit().await.map(drop)
    }

    async fn permit(&self) -> Result<tokio::sync::SemaphorePermit<'_>> {
        if let Ok(permit) = self.shared.room.try_acquire() {
            return Ok(permit);
        }
        match timeout(PATIENCE, self.shared.room.acquire()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => {
                let why = self.problem().unwrap_or_else(|| "it is too slow".to_owned());
                let message = format!(
                    "nothing is accepted, since the audit cannot be written ({why}): try again \
                     later"
                );
                Err(Error::new(ErrorKind::Overloaded, message))
            }
        }
    }

    /// Begins a note about an execution, which waits while the audit is behind.
    pub(super) async fn begin(
        &self,
        caller: &Arc<Caller>,
        what: &'static str,
    ) -> Result<Entry<'_>> {
        self.permit().await?.forget();
        Ok(self.entry(caller, what, true))
    }

    /// Begins a note about an act that must not wait.
    pub(super) fn begin_now(&self, caller: &Arc<Caller>, what: &'static str) -> Entry<'_> {
        let permit = self.shared.room.try_acquire();
        let counted = permit.map(tokio::sync::SemaphorePermit::forget).is_ok();
        self.entry(caller, what, counted)
    }

    fn entry(&self, caller: &Arc<Caller>, what: &'static str, counted: bool) -> Entry<'_> {
        let note = Note {
            time: Timestamp::now(),
            caller: caller.clone(),
            origin: None,
            what,
            object: Object::None,
            particulars: Particulars::None,
            failed: None,
            counted,
        };
        Entry { trail: self, note: Some(note) }
    }

    /// Notes an execution that was called, and has been accepted, under the caller of its root.
    pub(super) fn called(&self, execution: &Execution) {
        if execution.parent.is_none() || execution.caller.is_empty() {
            return;
        }
        let Execution { id, caller, requested_by, .. } = execution;
        let root = Caller::new(caller.clone())
            .name(requested_by.clone().unwrap_or_else(|| "".into()))
            .team(execution.team_name());
        self.begin_now(&Arc::new(root), "call")
            .about(Object::Execution(*id), self.particulars(execution, None))
            .done();
    }

    /// Describes an execution that is submitted, perhaps as another one again.
    pub(super) fn particulars(
        &self,
        execution: &Execution,
        again: Option<ExecutionId>,
    ) -> Particulars {
        let digest = |digests: &Arc<dyn SecretSealer>| {
            digests.digest(DIGEST, execution.parameters.as_str().as_bytes())
        };
        Particulars::of(execution, again, self.digests.as_ref().map(digest))
    }

    /// Counts an act that the policy has refused.
    pub(super) fn refused(&self, caller: &Arc<Caller>, act: String, is_hidden: bool) {
        self.shared.refuse(|all| all.of_callers.count(caller, act, is_hidden));
    }

    /// Counts a credential of a client at this address that was refused.
    pub(super) fn refused_credential(&self, address: Option<IpAddr>, why: &str) {
        self.shared.refuse(|all| all.of_strangers.credential(address, why));
    }

    /// Returns a function that counts a frame of a peer that was refused.
    pub(super) fn refused_frames(&self) -> impl Fn(&str, &str) + Send + Sync + 'static {
        let shared = self.shared.clone();
        move |peer, why| shared.refuse(|all| all.of_strangers.frame(peer, why))
    }

    /// Returns the reason for which the audit cannot be written now.
    pub(super) fn problem(&self) -> Option<String> {
        self.shared.problem.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Writes everything that was noted, within 5 s.
    pub(super) async fn flush(&self) {
        let (done, written) = oneshot::channel();
        let _ = self.queue.send(Item::Flush(done));
        if timeout(LAST, written).await.is_err() {
            tracing::error!("the last entries of the audit were not written");
        }
    }

    fn push(&self, note: Note) {
        // The writer ends with the coordinator.
        let _ = self.queue.send(Item::Note(Box::new(note)));
    }
}

impl Shared {
    fn refuse(&self, count: impl FnOnce(&mut Refusals)) {
        count(&mut self.refusals());
        self.refused_since.send_if_modified(|since| {
            let is_first = since.is_none();
            since.get_or_insert_with(Instant::now);
            is_first
        });
    }

    fn refusals(&self) -> MutexGuard<'_, Refusals> {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A note that is being taken. If it is dropped, the act may have been done, and it is written.
#[must_use]
pub(super) struct Entry<'a> {
    trail: &'a Trail,
    note: Option<Note>,
}

impl fmt::Debug for Entry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").field("note", &self.note).finish_non_exhaustive()
    }
}

impl Entry<'_> {
    /// Sets the request that asks for it.
    pub(super) fn from(mut self, origin: Option<&Origin>) -> Self {
        if let Some(note) = &mut self.note {
            note.origin = origin.cloned();
        }
        self
    }

    /// Sets what it is about.
    pub(super) fn about(mut self, object: Object, particulars: Particulars) -> Self {
        if let Some(note) = &mut self.note {
            (note.object, note.particulars) = (object, particulars);
        }
        self
    }

    /// Ends the note of an act that was done. The same as dropping it.
    pub(super) fn done(self) {}

    /// Ends the note of a submission that was accepted before, as this execution.
    pub(super) fn repeated(mut self, earlier: ExecutionId) {
        if let Some(note) = &mut self.note {
            note.object = Object::Execution(earlier);
            note.particulars = Particulars::Text("submitted before, with the same idempotency key");
        }
    }

    /// Ends the note of an act that has a result.
    pub(super) fn ended<T>(mut self, result: &Result<T>) {
        if let Some(mut note) = self.note.take() {
            note.failed = result.as_ref().err().map(|error| error.message().to_owned());
            self.trail.push(note);
        }
    }

    /// Takes the note back: nothing was done.
    pub(super) fn withdraw(mut self) {
        if self.note.take().is_some_and(|note| note.counted) {
            self.trail.shared.room.add_permits(1);
        }
    }
}

/// Ends the note of an act that has a result, if there is one.
pub(super) fn ended<T>(note: Option<Entry<'_>>, result: &Result<T>) {
    if let Some(note) = note {
        note.ended(result);
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        if let Some(note) = self.note.take() {
            self.trail.push(note);
        }
    }
}

impl TrailWriter {
    /// Writes what is noted, until the coordinator ends.
    pub(super) async fn run(mut self) {
        let mut refused_since = self.shared.refused_since.subscribe();
        let mut last_refusals: Option<Instant> = None;
        let mut items = Vec::new();
        loop {
            let refusals_are_due = async {
                let since = refused_since.wait_for(Option::is_some).await;
                // `shared` has the sender.
                let since = since.ok().and_then(|since| *since).unwrap_or_else(Instant::now);
                let earliest = last_refusals.map(|last| last + REFUSALS);
                sleep_until((since + FIRST_REFUSALS).max(earliest.unwrap_or(since))).await;
            };
            tokio::select! {
                taken = self.inbox.recv_many(&mut items, TOGETHER) => {
                    if taken == 0 {
                        return;
                    }
                    let is_flush = items.iter().any(|item| matches!(item, Item::Flush(_)));
                    if items.len() < TOGETHER && !is_flush {
                        sleep(GATHER).await;
                        while items.len() < TOGETHER && let Ok(item) = self.inbox.try_recv() {
                            items.push(item);
                        }
                    }
                    self.write(&mut items).await;
                }
                () = refusals_are_due => {
                    let events = self.take_refusals();
                    self.record(&events).await;
                    last_refusals = Some(Instant::now());
                }
            }
        }
    }

    async fn write(&self, items: &mut Vec<Item>) {
        let mut events = Vec::with_capacity(items.len());
        let (mut counted, mut flushes) = (0, Vec::new());
        let mut last = None;
        for item in items.drain(..) {
            match item {
                Item::Note(note) => {
                    counted += usize::from(note.counted);
                    events.push(note.into_event(&mut last));
                }
                Item::Flush(done) => flushes.push(done),
            }
        }
        if !flushes.is_empty() {
            events.extend(self.take_refusals());
        }
        // A note is queued when its act has ended, and an act may cause others meanwhile.
        events.sort_by_key(|event| event.time);
        self.record(&events).await;
        self.shared.room.add_permits(counted);
        for done in flushes {
            let _ = done.send(());
        }
    }

    fn take_refusals(&self) -> Vec<AuditEvent> {
        // First: what is counted from now on is due again.
        self.shared.refused_since.send_replace(None);
        let Refusals { of_callers, of_strangers } = std::mem::take(&mut *self.shared.refusals());
        let mut events = of_callers.into_events();
        events.extend(of_strangers.into_events());
        events.sort_by_key(|event| event.time);
        events
    }

    /// Records events, and tries it again until it succeeds.
    async fn record(&self, events: &[AuditEvent]) {
        if events.is_empty() {
            return;
        }
        let mut is_failing = false;
        while let Err(error) = self.sink.record(events).await {
            if !std::mem::replace(&mut is_failing, true) {
                tracing::error!(%error, "the audit cannot be written: submissions will wait for it");
                self.set_problem(Some(error.message().to_owned()));
            }
            sleep(RETRY).await;
        }
        if is_failing {
            tracing::info!("the audit can be written again");
            self.set_problem(None);
        }
    }

    fn set_problem(&self, problem: Option<String>) {
        *self.shared.problem.lock().unwrap_or_else(PoisonError::into_inner) = problem;
    }
}

impl Note {
    /// Returns the event of a note. `last` is the principal of the note before, which is often the
    /// same.
    fn into_event(self, last: &mut Option<(Arc<Caller>, crate::access::AuditWho)>) -> AuditEvent {
        let who = match last {
            Some((caller, who)) if Arc::ptr_eq(caller, &self.caller) || *caller == self.caller => {
                who.clone()
            }
            _ => {
                let who = events::who(&self.caller);
                *last = Some((self.caller.clone(), who.clone()));
                who
            }
        };
        let event = AuditEvent::new(self.time, who, self.what)
            .target(self.object.into_target(&self.caller))
            .detail(self.particulars.to_string());
        let event = match self.origin {
            Some(Origin { address, request_id }) => {
                let address = address.map(|address| address.to_string()).unwrap_or_default();
                event.request(address, &*request_id)
            }
            None => event,
        };
        match self.failed {
            Some(why) => event.decided(AuditDecision::Failed, why),
            None => event,
        }
    }
}
