//! The secrets that attempts ask for: only the holder of an attempt gets one.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::read::{PendingSecret, Read};
use super::{CoordinatorEffect, CoordinatorMachine};
use crate::model::address::Address;
use crate::model::error::{Error, ErrorKind};
use crate::model::fence::Fence;
use crate::model::id::WorkerId;
use crate::model::secret::SECRET_NAME_BYTES;
use crate::protocol::message::Message;
use crate::protocol::secret::{SecretAnswer, SecretGet, SecretState};

/// The most secrets of one attempt that are read at once.
const READS_MAX: usize = 16;

/// The secrets that are being read, so that a repeated request starts no second read.
#[derive(Debug, Default)]
pub(super) struct SecretReads(BTreeSet<(Fence, Arc<str>)>);

impl SecretReads {
    fn of_attempt(&self, fence: Fence) -> usize {
        self.0.range((fence, Arc::from(""))..).take_while(|(of, _)| *of == fence).count()
    }
}

impl CoordinatorMachine {
    /// Handles a request for a secret, which may be a repeated one. The sender is the holder of the
    /// attempt, or the attempt has ended.
    pub(super) fn secret_asked(
        &mut self,
        from: &WorkerId,
        get: SecretGet,
        out: &mut Vec<CoordinatorEffect>,
    ) {
        let SecretGet { fence, name } = get;
        let Some(execution) = self.caller(from, fence).cloned() else {
            let message = "the attempt that asks has ended, or was asked to end";
            let error = Error::new(ErrorKind::Closed, message);
            return self.answer_secret(from, fence, name, SecretState::refused(&error), out);
        };
        if name.is_empty() || name.len() > SECRET_NAME_BYTES {
            let message = format!(
                "the name of a secret must have 1 to {SECRET_NAME_BYTES} bytes (got {})",
                name.len()
            );
            let state = SecretState::refused(&Error::new(ErrorKind::InvalidInput, message));
            return self.answer_secret(from, fence, name, state, out);
        }
        // The worker asks again.
        if self.secret_reads.of_attempt(fence) >= READS_MAX {
            return;
        }
        if self.secret_reads.0.insert((fence, name.clone())) {
            let pending = PendingSecret { worker: from.clone(), fence, name, execution };
            out.push(CoordinatorEffect::Read(Read::Secret(Box::new(pending))));
        }
    }

    /// Answers a request with what was read. An attempt that has ended meanwhile, or that another
    /// worker holds, gets nothing.
    pub fn secret_read(
        &mut self,
        pending: PendingSecret,
        state: SecretState,
        out: &mut Vec<CoordinatorEffect>,
    ) {
        let PendingSecret { worker, fence, name, .. } = pending;
        self.secret_reads.0.remove(&(fence, name.clone()));
        if self.caller(&worker, fence).is_some() {
            self.answer_secret(&worker, fence, name, state, out);
        }
    }

    /// Refuses a request before it is read, if its sender holds the attempt.
    pub fn refuse_secret(
        &self,
        from: &WorkerId,
        get: SecretGet,
        error: &Error,
        out: &mut Vec<CoordinatorEffect>,
    ) {
        if self.caller(from, get.fence).is_some() {
            self.answer_secret(from, get.fence, get.name, SecretState::refused(error), out);
        }
    }

    fn answer_secret(
        &self,
        worker: &WorkerId,
        fence: Fence,
        name: Arc<str>,
        state: SecretState,
        out: &mut Vec<CoordinatorEffect>,
    ) {
        let answer = SecretAnswer { epoch: self.epoch, fence, name, state };
        let message = Message::Secret(Box::new(answer));
        out.push(CoordinatorEffect::Send(Address::Worker(worker.clone()), message));
    }
}
