//! Tokens that have been proved, and how often strangers may try.

use std::collections::HashMap;
use std::time::Duration;

use uuid::Uuid;

use crate::keys::VerifyingKey;
use crate::wire::message::Reply;

/// Proofs per second: each costs a tenth of a millisecond, and anyone can ask for one.
const PER_SECOND: f64 = 500.0;
/// Proofs at once.
const BURST: f64 = 1000.0;

/// The tokens of workers.
#[derive(Debug)]
pub(super) struct Tokens {
    keys: Vec<VerifyingKey>,
    /// A worker has one token, so one that was proved once needs no other proof.
    proved: HashMap<Uuid, String>,
    max_proved: usize,
    left: f64,
    filled_at: Duration,
}

impl Tokens {
    pub(super) fn new(keys: Vec<VerifyingKey>, max_proved: usize) -> Self {
        let proved = HashMap::new();
        Self { keys, proved, max_proved, left: BURST, filled_at: Duration::ZERO }
    }

    /// Proves that this is the token of this worker.
    pub(super) fn check(&mut self, now: Duration, worker: Uuid, token: &str) -> Result<(), Reply> {
        if self.proved.get(&worker).is_some_and(|proved| proved == token) {
            return Ok(());
        }
        let passed = now.saturating_sub(self.filled_at).as_secs_f64();
        (self.left, self.filled_at) = ((self.left + passed * PER_SECOND).min(BURST), now);
        if self.left < 1.0 {
            let reason = "too many tokens to check: try again in a second";
            return Err(Reply::Rejected(reason.to_owned()));
        }
        self.left -= 1.0;
        match self.keys.iter().find_map(|key| key.worker_of(token)) {
            Some(of) if of == worker => {
                if self.proved.len() >= self.max_proved {
                    self.proved.clear();
                }
                self.proved.insert(worker, token.to_owned());
                Ok(())
            }
            Some(_) => Err(Reply::AuthFailed("the token is that of another worker".to_owned())),
            None => Err(Reply::AuthFailed(
                "the token was not signed with the key of this coordinator (--moor-key)".to_owned(),
            )),
        }
    }
}
