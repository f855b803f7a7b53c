//! Tokens of runners and of leases.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use tinpot_bundle::Hasher;
use tinpot_core::access::Records;
use tinpot_core::access::records::Change;
use tinpot_core::{Digest, Error, ErrorKind, Fence, Result, WorkerId};

/// The document with the key of lease tokens.
const KEY: (&str, &str) = ("tower.key", "lease");
const KEY_BYTES: usize = 32;
/// The beginning of every token of a runner.
const RUNNER: &str = "mtr_";

fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    let failed = |_| Error::new(ErrorKind::Unavailable, "the system has no random numbers now");
    SystemRandom::new().fill(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

/// Returns a new token of a runner.
pub(super) fn runner_token() -> Result<String> {
    Ok(format!("{RUNNER}{}", URL_SAFE_NO_PAD.encode(random::<32>()?)))
}

/// Returns the digest under which a token is stored.
pub(super) fn digest(token: &str) -> Digest {
    Hasher::of(token.as_bytes())
}

/// The key of lease tokens. Nothing of a token is stored: it follows from the attempt.
pub(super) struct LeaseKey(hmac::Key);

impl fmt::Debug for LeaseKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LeaseKey")
    }
}

impl LeaseKey {
    fn new(bytes: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }

    /// Reads the key, which is made once.
    pub(super) async fn open(records: &dyn Records) -> Result<Self> {
        let (kind, id) = KEY;
        if let Some(found) = records.get(kind, id).await? {
            return Ok(Self::new(&found.document));
        }
        let bytes = random::<KEY_BYTES>()?;
        match records.change(&[Change::create(kind, id, bytes.to_vec())]).await {
            Ok(_) => Ok(Self::new(&bytes)),
            // Another process was faster.
            Err(error) if error.kind() == ErrorKind::Conflict => {
                let found = records.get(kind, id).await?.ok_or(error)?;
                Ok(Self::new(&found.document))
            }
            Err(error) => Err(error),
        }
    }

    fn text(fence: Fence, runner: &WorkerId) -> String {
        format!("{fence}\0{runner}")
    }

    /// Returns the token of a runner's attempt.
    pub(super) fn token(&self, fence: Fence, runner: &WorkerId) -> String {
        let tag = hmac::sign(&self.0, Self::text(fence, runner).as_bytes());
        URL_SAFE_NO_PAD.encode(tag)
    }

    /// Returns true if a token is that of the runner's attempt. Takes the same time for any token.
    pub(super) fn is_of(&self, token: &str, fence: Fence, runner: &WorkerId) -> bool {
        let Ok(tag) = URL_SAFE_NO_PAD.decode(token) else { return false };
        hmac::verify(&self.0, Self::text(fence, runner).as_bytes(), &tag).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use tinpot_core::access::MemoryRecords;
    use tinpot_core::{Epoch, Fence, WorkerId};

    use super::{LeaseKey, digest, runner_token};

    #[tokio::test]
    async fn a_lease_token_is_of_one_attempt_and_one_runner() {
        let records = MemoryRecords::new();
        let key = LeaseKey::open(&records).await.expect("a key");
        let fence = |number| Fence { epoch: Epoch { instance: 1, number: 2 }, number };
        let runner = |id| WorkerId::new(id).expect("an id");
        let token = key.token(fence(3), &runner("a-1"));
        assert_eq!(token.len(), 43);
        let again = LeaseKey::open(&records).await.expect("the same key");
        assert!(again.is_of(&token, fence(3), &runner("a-1")));
        assert!(!again.is_of(&token, fence(4), &runner("a-1")));
        assert!(!again.is_of(&token, fence(3), &runner("a-2")));
        assert!(!again.is_of("", fence(3), &runner("a-1")));
        let other = LeaseKey::open(&MemoryRecords::new()).await.expect("another key");
        assert!(!other.is_of(&token, fence(3), &runner("a-1")));
    }

    #[test]
    fn tokens_of_runners_are_long_and_different() {
        let (one, other) = (runner_token().expect("a token"), runner_token().expect("a token"));
        assert_eq!((one.len(), &one[..4]), (47, "mtr_"));
        assert_ne!(digest(&one), digest(&other));
    }
}
