//! Proofs that a browser has signed in as a user before.
//!
//! Guesses of strangers use up the attempts that an account has in an hour. A browser with a proof
//! may still try, so that they lock no user out.

use ring::hmac;
use subtle::ConstantTimeEq;
use tinpot_core::{ErrorKind, Result};

use super::Directory;
use super::state::{DEVICE_KEY, ONE};
use crate::secret::{Secret, new_secret};
use crate::stored::write;

impl Directory {
    /// Returns the proof for a browser in which a user has just signed in.
    ///
    /// # Errors
    /// Those of [`Records`](tinpot_core::access::Records).
    pub async fn device_proof(&self, user: &str) -> Result<Secret> {
        self.make_device_key().await?;
        let tag = self.device_tag(user).map(|tag| hex(tag.as_ref())).unwrap_or_default();
        Ok(Secret::new(tag))
    }

    /// Returns the proof that a process of this server created the text of a cookie.
    ///
    /// # Errors
    /// Those of [`Records`](tinpot_core::access::Records).
    #[cfg(feature = "oidc")]
    pub(crate) async fn cookie_proof(&self, text: &str) -> Result<String> {
        self.make_device_key().await?;
        // No user has such an id.
        let tag = self.device_tag(&format!("cookie {text}"));
        let missing =
            || tinpot_core::Error::new(ErrorKind::Unavailable, "the key of cookies is missing");
        tag.map(|tag| hex(tag.as_ref())).ok_or_else(missing)
    }

    /// Returns true if the text is the proof of a browser in which the user with this name has
    /// signed in.
    pub fn is_known_device(&self, name: &str, proof: &str) -> bool {
        let Some(user) = self.user(name) else { return false };
        let Some(tag) = self.device_tag(&user.id) else { return false };
        hex(tag.as_ref()).as_bytes().ct_eq(proof.as_bytes()).into()
    }

    fn device_tag(&self, user: &str) -> Option<hmac::Tag> {
        let state = self.state();
        let key = state.device_key.as_ref()?;
        let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes());
        Some(hmac::sign(&key, user.as_bytes()))
    }

    /// Makes the key of all proofs, unless there is one.
    async fn make_device_key(&self) -> Result<()> {
        if self.state().device_key.is_some() {
            return Ok(());
        }
        let key = new_secret()?;
        let change = write(DEVICE_KEY, ONE, 0, &key.expose())?;
        match self.inner.records.change(&[change]).await {
            Err(error) if error.kind() != ErrorKind::Conflict => Err(error),
            // Or another process was faster.
            _ => self.refresh().await,
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
