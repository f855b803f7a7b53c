//! The attempts that a worker has asked for, if it has to ask, and the lease that it agreed to.

use super::terms::Terms;
use super::worker::WorkerEntry;

impl WorkerEntry {
    /// Returns true if it is granted attempts without asking.
    pub(super) fn is_pushed(&self) -> bool {
        self.credit.is_none()
    }

    /// Returns true if it need not ask for attempts, or has asked for another one.
    pub(super) fn has_credit(&self) -> bool {
        self.credit.is_none_or(|credit| credit > 0)
    }

    /// Spends the credit for one attempt.
    pub(super) fn spend_credit(&mut self) {
        self.credit = self.credit.map(|credit| credit.saturating_sub(1));
    }

    /// Takes the credit of a beat in place of that of the one before.
    pub(super) fn renew_credit(&mut self, free: u32) {
        self.credit = self.credit.map(|_| free);
    }

    /// Takes the terms of a hello. A lease is never shortened: a message on its way may extend that
    /// of the worker by its former terms.
    pub(super) fn agree(&mut self, asked: Terms) {
        if self.terms.is_none_or(|terms| terms.lease < asked.lease) {
            self.terms = Some(asked);
        }
    }
}
