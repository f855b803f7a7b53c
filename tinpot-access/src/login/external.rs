//! Sign-in of people whom another system has authenticated.

use std::net::IpAddr;
use std::time::Duration;

use tinpot_core::{ErrorKind, Result};

use super::{Answer, Login, LoginRefused, who};
use crate::directory::{ExternalIdentity, Rejection};

impl Login {
    /// Signs in a person whom another system has authenticated.
    ///
    /// # Errors
    /// Those of [`Directory::external_user`](crate::Directory::external_user). The inner error is the
    /// refusal.
    pub async fn sign_in_external(
        &self,
        identity: &ExternalIdentity,
        address: IpAddr,
    ) -> Result<Answer> {
        let directory = self.directory.asked_from(address.to_string());
        let Ok(user) = directory.external_user(identity).await? else {
            return self.refuse_disabled(address).await;
        };
        match directory.sign_in_at(&who(&user), &user.id, Some(user.generation)).await {
            Ok(signed_in) => Ok(Ok(signed_in)),
            Err(error) if matches!(error.kind(), ErrorKind::Conflict | ErrorKind::NotFound) => {
                self.refuse_disabled(address).await
            }
            Err(error) => Err(error),
        }
    }

    async fn refuse_disabled(&self, address: IpAddr) -> Result<Answer> {
        self.refused("", "the account is disabled", address).await?;
        Ok(Err(LoginRefused::Ticket(Rejection::Disabled)))
    }

    /// Allows an attempt to sign in from this address other than with a password, or returns the
    /// time to wait.
    ///
    /// # Errors
    /// The time after which another attempt is allowed.
    pub fn attempt_from(&self, address: IpAddr) -> std::result::Result<(), Duration> {
        self.throttle.attempt_from(self.directory.now(), address)
    }

    /// Allows a client at this address to begin a sign-in at an identity provider; otherwise returns
    /// the time to wait.
    ///
    /// # Errors
    /// The time after which another beginning is allowed.
    pub fn begin_from(&self, address: IpAddr) -> std::result::Result<(), Duration> {
        self.throttle.begin_from(self.directory.now(), address)
    }

    /// Records that a sign-in was refused for this reason.
    ///
    /// # Errors
    /// Those of the audit.
    pub async fn refused(&self, name: &str, why: &str, address: IpAddr) -> Result<()> {
        self.record_refusal(name, why, address).await
    }
}
