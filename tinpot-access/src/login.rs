//! Sign-in with a name and a password.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tinpot_core::access::{AuditDecision, AuditWho};
use tinpot_core::{ErrorKind, Result};

use crate::directory::Directory;
use crate::documents::SignIn;
use crate::passwords::{PasswordMatch, Passwords};
use crate::secret::Secret;
use crate::throttle::Throttle;

/// The reason for which a sign-in is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LoginRefused {
    /// The name or the password is wrong, or the user cannot sign in. Nothing says which.
    Wrong,
    /// There were too many attempts: wait this long.
    Wait(Duration),
}

/// Signs users in by their passwords, as often as the throttle allows. Clones share the throttle.
#[derive(Clone, Debug)]
pub struct Login {
    directory: Directory,
    passwords: Passwords,
    throttle: Arc<Throttle>,
}

impl Login {
    /// Creates the sign-in for the users of a directory.
    pub fn new(directory: Directory, passwords: Passwords) -> Self {
        Self { directory, passwords, throttle: Arc::default() }
    }

    /// Signs a user in, and returns the secret for a cookie. `is_known_device` is true if the client
    /// has proved that it has signed in as this user before.
    ///
    /// A password whose hash has another cost than new ones is hashed again.
    ///
    /// # Errors
    /// `Overloaded` if too many passwords are being checked; those of
    /// [`Records`](tinpot_core::access::Records) and of the audit. The inner error is the refusal.
    pub async fn sign_in(
        &self,
        name: &str,
        password: Secret,
        address: IpAddr,
        is_known_device: bool,
    ) -> Result<Result<(Secret, SignIn), LoginRefused>> {
        let now = self.directory.now();
        if let Err(wait) = self.throttle.attempt(now, name, address, is_known_device) {
            return Ok(Err(LoginRefused::Wait(wait)));
        }
        let user = self.directory.user(name);
        let stored = user.as_ref().and_then(|user| user.stored_password());
        let again = Secret::new(password.expose());
        let found = self.passwords.compare(password, stored).await?;
        let Some(user) = user.filter(|user| found != PasswordMatch::Mismatch && !user.is_disabled)
        else {
            self.directory.record_refusal(name, address).await?;
            return Ok(Err(LoginRefused::Wrong));
        };
        let by = AuditWho::new("user", user.id.clone(), user.name.clone());
        if let (PasswordMatch::Outdated, Some(old)) = (found, user.stored_password()) {
            // It was set under the rules of its time: a rule of today must not refuse the sign-in.
            if let Ok(new) = self.passwords.hash(&user.name, again).await {
                self.directory.renew_password_hash(&by, &user.id, old, &new).await?;
            }
        }
        // The password was compared with a copy: it may have been changed since, even by another
        // process.
        let signed_in = self.directory.sign_in_at(&by, &user.id, Some(user.generation)).await;
        match signed_in {
            Ok(signed_in) => {
                self.throttle.succeeded(name, address);
                Ok(Ok(signed_in))
            }
            Err(error) if matches!(error.kind(), ErrorKind::Conflict | ErrorKind::NotFound) => {
                self.directory.record_refusal(name, address).await?;
                Ok(Err(LoginRefused::Wrong))
            }
            Err(error) => Err(error),
        }
    }

    /// Forgets attempts that have no effect any more. Once a minute is enough.
    pub fn sweep(&self) {
        self.throttle.sweep(self.directory.now());
    }
}

impl Directory {
    /// Records a wrong password. The throttle bounds how often.
    async fn record_refusal(&self, name: &str, address: IpAddr) -> Result<()> {
        let who = AuditWho::default();
        let event = tinpot_core::access::AuditEvent::new(self.now(), who, "sign_in")
            .detail(name.chars().take(64).collect::<String>())
            .decided(AuditDecision::Refused, "wrong name or password")
            .request(address.to_string(), "");
        self.record(event).await
    }
}
