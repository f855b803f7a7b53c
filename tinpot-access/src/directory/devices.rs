//! Proofs that a browser has signed in as a user before.
//!
//! Guesses of strangers use up the attempts that an account has in an hour. A browser with a proof
//! may still try, so that they lock no user out.

use ring::hmac;
use subtle::ConstantTimeEq;
use tinpot_core::{ErrorKind, Result};

use super::Directory;
use super::state::{DEVICE_KEY, ONE};
use crate::secret::{Secret, new_secret, random};
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

    /// Returns a text for a number which tells its readers nothing of the number. Only the directory of
    /// the same team reads it.
    ///
    /// # Errors
    /// Those of [`Records`](tinpot_core::access::Records).
    pub async fn hide_number(&self, number: u64) -> Result<String> {
        self.make_device_key().await?;
        let nonce = hex(&*random::<8>()?);
        let [pad, _] = self.number_tags(&nonce, 0).unwrap_or_default();
        let [_, check] = self.number_tags(&nonce, number).unwrap_or_default();
        Ok(format!("{nonce}{:016x}{check:016x}", number ^ pad))
    }

    /// Returns the number of a text that [`hide_number`](Self::hide_number) has made; `None` for all
    /// other texts.
    pub fn read_number(&self, text: &str) -> Option<u64> {
        let (nonce, rest) = text.split_at_checked(16)?;
        let (hidden, check) = rest.split_at_checked(16)?;
        let number = |text: &str| {
            let fits = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
            fits.then(|| u64::from_str_radix(text, 16).ok()).flatten()
        };
        let [pad, _] = self.number_tags(nonce, 0)?;
        let found = number(hidden)? ^ pad;
        let [_, right] = self.number_tags(nonce, found)?;
        (number(check)? == right).then_some(found)
    }

    /// Returns what a number is hidden with, and the proof of the number.
    fn number_tags(&self, nonce: &str, number: u64) -> Option<[u64; 2]> {
        let team = &self.team;
        let first = |text: String| {
            let tag = self.device_tag(&text)?;
            tag.as_ref().first_chunk().map(|bytes| u64::from_be_bytes(*bytes))
        };
        // No user has such an id.
        let pad = first(format!("number {team} {nonce}"))?;
        Some([pad, first(format!("number {team} {nonce} {number}"))?])
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
