//! The secrets that attempts ask for: requests are sent until the coordinator answers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::{WorkerEffect, WorkerMachine};
use crate::model::fence::Fence;
use crate::protocol::message::Message;
use crate::protocol::secret::{SecretAnswer, SecretGet};
use crate::protocol::tick::Tick;

/// The maximum number of resend intervals between two sends of a request. The wait doubles from one
/// interval up to this.
const INTERVALS_MAX: u32 = 10;

/// A request: the attempt that asks, and the name of the secret.
type SecretId = (Fence, Arc<str>);

/// The open requests of the attempts that run.
#[derive(Debug, Default)]
pub(super) struct SecretRequests {
    open: BTreeMap<SecretId, (Tick, Duration)>,
    due: BTreeSet<(Tick, SecretId)>,
}

impl SecretRequests {
    /// Returns when a request must be resent.
    pub(super) fn wake_at(&self) -> Option<Tick> {
        self.due.first().map(|due| due.0)
    }

    fn close(&mut self, id: &SecretId) -> bool {
        let Some((send_at, _)) = self.open.remove(id) else { return false };
        self.due.remove(&(send_at, id.clone()));
        true
    }
}

impl WorkerMachine {
    /// Asks for a secret for an attempt that runs here. The answer is a
    /// [`WorkerEffect::SecretUpdate`]. Returns false if the attempt does not run.
    pub fn ask_secret(
        &mut self,
        now: Tick,
        fence: Fence,
        name: Arc<str>,
        out: &mut Vec<WorkerEffect>,
    ) -> bool {
        if !self.held.get(&fence).is_some_and(|held| held.runs()) {
            return false;
        }
        let id = (fence, name.clone());
        if self.secrets.open.contains_key(&id) {
            return true;
        }
        let interval = self.config.resend_interval;
        let send_at = now + interval;
        self.secrets.open.insert(id.clone(), (send_at, interval));
        self.secrets.due.insert((send_at, id));
        out.push(WorkerEffect::Send(Message::SecretGet(SecretGet { fence, name })));
        true
    }

    /// Handles the coordinator's answer. One that no attempt waits for is dropped.
    pub(super) fn secret_answered(&mut self, answer: SecretAnswer, out: &mut Vec<WorkerEffect>) {
        let SecretAnswer { fence, name, state, .. } = answer;
        let id = (fence, name);
        if self.secrets.close(&id) {
            out.push(WorkerEffect::SecretUpdate(id.0, id.1, state));
        }
    }

    /// Drops the requests of an attempt that has ended.
    pub(super) fn forget_secrets(&mut self, fence: Fence) {
        let of_attempt = self.secrets.open.range((fence, Arc::from(""))..);
        let ids: Vec<SecretId> =
            of_attempt.map(|(id, _)| id.clone()).take_while(|(of, _)| *of == fence).collect();
        for id in &ids {
            self.secrets.close(id);
        }
    }

    /// Resends the requests whose answers are overdue.
    pub(super) fn resend_secrets(&mut self, now: Tick, out: &mut Vec<WorkerEffect>) {
        let longest = self.config.resend_interval * INTERVALS_MAX;
        while let Some((at, id)) = self.secrets.due.first().cloned()
            && at <= now
        {
            self.secrets.due.pop_first();
            let Some((send_at, interval)) = self.secrets.open.get_mut(&id) else { continue };
            *interval = (*interval * 2).min(longest);
            *send_at = now + *interval;
            let (send_at, (fence, name)) = (*send_at, id.clone());
            self.secrets.due.insert((send_at, id));
            out.push(WorkerEffect::Send(Message::SecretGet(SecretGet { fence, name })));
        }
    }
}
