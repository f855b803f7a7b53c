//! Sign-in with a name and a password, or with a ticket.

mod external;
mod refusals;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tinpot_core::access::AuditWho;
use tinpot_core::{Error, ErrorKind, Result};

use self::refusals::Refusals;
use crate::directory::{Directory, NewTeam, NewUser, Rejection, UserUpdate};
use crate::documents::{SignIn, Team, User};
use crate::passwords::{PasswordMatch, Passwords};
use crate::secret::Secret;
use crate::throttle::Throttle;

/// The reason for which a sign-in is refused.
///
/// [`Login`] has an example.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LoginRefused {
    /// The name or the password is wrong, or the user cannot sign in. The client does not learn
    /// which.
    Wrong,
    /// The ticket is not accepted for this reason.
    Ticket(Rejection),
    /// There were too many attempts. The next one is allowed after this time.
    Wait(Duration),
}

/// The answer to an attempt to sign in: the secret for a cookie, or the refusal.
type Answer = Result<(Secret, SignIn), LoginRefused>;

/// Signs users in, as often as the throttle allows, and sets their passwords. Clones share the
/// throttle.
///
/// Refused sign-ins are recorded in the audit, at most once a second for each network. The entry
/// has the number of those since the last entry.
///
/// ```
/// # use std::sync::Arc;
/// # use tinpot_core::access::{AuditWho, MemoryRecords};
/// use tinpot_access::{Directory, Login, LoginRefused, NewUser, PasswordCost, Passwords, Secret};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> tinpot_core::Result<()> {
/// # let directory = Directory::builder(Arc::new(MemoryRecords::new())).open().await?;
/// # let by = AuditWho::new("operator", "", "root");
/// # let home = std::net::Ipv4Addr::LOCALHOST.into();
/// # let cost = PasswordCost::default().memory_kib(64).passes(1);
/// let login = Login::new(directory.clone(), Passwords::new(cost)?);
/// let password = || Secret::new("correct horse battery");
/// login.add_user(&by, NewUser::new("ada"), password(), home).await?;
///
/// let (cookie, _) = login.sign_in("ada", password(), home, false).await?.expect("signed in");
/// assert!(directory.authenticate_sign_in(cookie.expose()).is_ok());
/// let guess = login.sign_in("ada", Secret::new("password"), home, false).await?;
/// assert_eq!(guess.unwrap_err(), LoginRefused::Wrong);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Login {
    directory: Directory,
    passwords: Passwords,
    throttle: Arc<Throttle>,
    refusals: Arc<Refusals>,
}

impl Login {
    /// Creates the sign-in for the users of a directory.
    pub fn new(directory: Directory, passwords: Passwords) -> Self {
        Self { directory, passwords, throttle: Arc::default(), refusals: Arc::default() }
    }

    /// Returns the directory.
    pub fn directory(&self) -> &Directory {
        &self.directory
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
    ) -> Result<Answer> {
        let user = match self.verify(name, password, address, is_known_device).await? {
            Ok(user) => user,
            Err(refused) => return Ok(Err(refused)),
        };
        let directory = self.directory.asked_from(address.to_string());
        let by = who(&user);
        // The password was compared with a copy: it may have been changed since, even by another
        // process.
        match directory.sign_in_at(&by, &user.id, Some(user.generation)).await {
            Ok(signed_in) => {
                self.throttle.succeeded(name, address);
                Ok(Ok(signed_in))
            }
            Err(error) if matches!(error.kind(), ErrorKind::Conflict | ErrorKind::NotFound) => {
                self.refuse(name, address).await.map(Err)
            }
            Err(error) => Err(error),
        }
    }

    /// Checks the password of a user who gets a token instead of a cookie. A wrong one counts as a
    /// failed sign-in.
    ///
    /// # Errors
    /// As [`sign_in`](Self::sign_in). The inner error is the refusal.
    pub async fn check_password(
        &self,
        name: &str,
        password: Secret,
        address: IpAddr,
    ) -> Result<Result<User, LoginRefused>> {
        let checked = self.verify(name, password, address, false).await?;
        if checked.is_ok() {
            self.throttle.succeeded(name, address);
        }
        Ok(checked)
    }

    /// Creates a team together with its first user, an admin of it, as often as the throttle allows.
    ///
    /// # Errors
    /// `InvalidInput` for a wrong name or password; `Overloaded`; those of
    /// [`Directory::create_team_with`]. The inner error is the refusal.
    pub async fn sign_up(
        &self,
        by: &AuditWho,
        team: NewTeam,
        first: NewUser,
        password: Secret,
        address: IpAddr,
    ) -> Result<Result<(Team, User), LoginRefused>> {
        first.check()?;
        if let Err(wait) = self.throttle.attempt_from(self.directory.now(), address) {
            return Ok(Err(LoginRefused::Wait(wait)));
        }
        let hash = self.passwords.hash(first.name(), password).await?;
        let directory = self.directory.asked_from(address.to_string());
        let first = first.password_hash(hash);
        directory.create_team_with(by, team, first, false).await.map(Ok)
    }

    /// Returns the user with this name and password, as often as the throttle allows.
    async fn verify(
        &self,
        name: &str,
        password: Secret,
        address: IpAddr,
        is_known_device: bool,
    ) -> Result<Result<User, LoginRefused>> {
        let now = self.directory.now();
        if let Err(wait) = self.throttle.attempt(now, name, address, is_known_device) {
            return self.too_many(name, wait, address).await.map(Err);
        }
        // Another process may just have added the user.
        self.directory.keep_current().await?;
        let user = self.directory.user(name);
        let stored = user.as_ref().and_then(|user| user.stored_password());
        let again = Secret::new(password.expose());
        let found = self.passwords.compare(password, stored).await?;
        let Some(user) = user.filter(|user| found != PasswordMatch::Mismatch && !user.is_disabled)
        else {
            return self.refuse(name, address).await.map(Err);
        };
        let directory = self.directory.asked_from(address.to_string());
        if let (PasswordMatch::Outdated, Some(old)) = (found, user.stored_password()) {
            // It was set under the rules of its time: a rule of today must not refuse the sign-in.
            if let Ok(new) = self.passwords.hash(&user.name, again).await {
                directory.renew_password_hash(&who(&user), &user.id, old, &new).await?;
            }
        }
        Ok(Ok(user))
    }

    async fn refuse(&self, name: &str, address: IpAddr) -> Result<LoginRefused> {
        // An unknown name may be a password that was typed into the wrong field.
        let known = self.directory.user(name).map(|user| user.name);
        self.record_refusal(&known.unwrap_or_default(), "wrong name or password", address).await?;
        Ok(LoginRefused::Wrong)
    }

    /// Refuses an attempt that comes too early. Many of them are one entry of the audit.
    async fn too_many(&self, name: &str, wait: Duration, address: IpAddr) -> Result<LoginRefused> {
        let known = self.directory.user(name).map(|user| user.name);
        self.record_refusal(&known.unwrap_or_default(), "too many attempts", address).await?;
        Ok(LoginRefused::Wait(wait))
    }

    /// Signs in the user of a [ticket](Directory::create_sign_in_ticket), and uses the ticket up.
    ///
    /// # Errors
    /// Those of [`Directory::sign_in_by_ticket`]. The inner error is the refusal.
    pub async fn sign_in_by_ticket(&self, ticket: &str, address: IpAddr) -> Result<Answer> {
        if let Err(wait) = self.throttle.attempt_from(self.directory.now(), address) {
            return self.too_many("", wait, address).await.map(Err);
        }
        let directory = self.directory.asked_from(address.to_string());
        let answer = directory.sign_in_by_ticket(ticket).await?;
        self.ticket_answer(answer, address).await
    }

    /// Uses a [ticket](Directory::create_set_up_ticket) up to make the first user, an admin, who is
    /// signed in.
    ///
    /// # Errors
    /// `InvalidInput` for a wrong name or password; those of [`Directory::set_up`]. The inner error is
    /// the refusal.
    pub async fn set_up(
        &self,
        ticket: &str,
        name: &str,
        password: Secret,
        address: IpAddr,
    ) -> Result<Answer> {
        if let Err(wait) = self.throttle.attempt_from(self.directory.now(), address) {
            return self.too_many("", wait, address).await.map(Err);
        }
        let hash = self.passwords.hash(name, password).await?;
        let directory = self.directory.asked_from(address.to_string());
        let answer = directory.set_up(ticket, NewUser::new(name).password_hash(hash)).await?;
        self.ticket_answer(answer, address).await
    }

    async fn ticket_answer(
        &self,
        answer: Result<(Secret, SignIn), Rejection>,
        address: IpAddr,
    ) -> Result<Answer> {
        match answer {
            Ok(signed_in) => Ok(Ok(signed_in)),
            Err(rejection) => {
                self.record_refusal("", &format!("ticket: {rejection}"), address).await?;
                Ok(Err(LoginRefused::Ticket(rejection)))
            }
        }
    }

    /// Adds a user with a password.
    ///
    /// # Errors
    /// `InvalidInput` if the password is too short or too long, or is the name; `Overloaded`; those
    /// of [`Directory::add_user`].
    pub async fn add_user(
        &self,
        by: &AuditWho,
        new: NewUser,
        password: Secret,
        address: IpAddr,
    ) -> Result<User> {
        new.check()?;
        let hash = self.passwords.hash(new.name(), password).await?;
        let directory = self.directory.asked_from(address.to_string());
        directory.add_user(by, new.password_hash(hash)).await
    }

    /// Checks a new password of the user with this name, and returns its hash.
    ///
    /// # Errors
    /// `InvalidInput` if the password is too short or too long, or is the name; `Overloaded`.
    pub async fn hash(&self, name: &str, password: Secret) -> Result<String> {
        self.passwords.hash(name, password).await
    }

    /// Changes the password of a user who knows the current one. All sign-ins of the user end, and
    /// a new one begins. A wrong current password counts as a failed sign-in.
    ///
    /// # Errors
    /// As [`hash`](Self::hash); `Conflict` if another password was set meanwhile, or all sign-ins
    /// ended. The inner error is the refusal.
    pub async fn change_password(
        &self,
        id: &str,
        current: Secret,
        new: Secret,
        address: IpAddr,
    ) -> Result<Answer> {
        let Some(user) = self.directory.user_by_id(id) else {
            return Err(Error::new(ErrorKind::NotFound, "the user was removed"));
        };
        let now = self.directory.now();
        // Its owner is signed in here: others cannot lock it.
        if let Err(wait) = self.throttle.attempt(now, &user.name, address, true) {
            return self.too_many(&user.name, wait, address).await.map(Err);
        }
        let found = self.passwords.compare(current, user.stored_password()).await?;
        if found == PasswordMatch::Mismatch {
            return self.refuse(&user.name, address).await.map(Err);
        }
        self.throttle.succeeded(&user.name, address);
        let by = who(&user);
        let hash = self.passwords.hash(&user.name, new).await?;
        let directory = self.directory.asked_from(address.to_string());
        // The current one was compared with a copy: another may have been set since, against a thief who
        // knows it.
        let update = UserUpdate::default().password_hash(hash).of_generation(user.generation);
        let user = directory.update_user(&by, id, update).await?;
        directory.sign_in_at(&by, id, Some(user.generation)).await.map(Ok)
    }

    /// Removes attempts that no longer have an effect, and records refusals that are not recorded
    /// yet. Once a minute is enough.
    ///
    /// # Errors
    /// Those of the audit.
    pub async fn sweep(&self) -> Result<()> {
        let now = self.directory.now();
        self.throttle.sweep(now);
        for event in self.refusals.left(now) {
            self.directory.record(event).await?;
        }
        Ok(())
    }

    async fn record_refusal(&self, name: &str, why: &str, address: IpAddr) -> Result<()> {
        match self.refusals.event(self.directory.now(), name, why, address) {
            Some(event) => self.directory.record(event).await,
            None => Ok(()),
        }
    }
}

fn who(user: &User) -> AuditWho {
    AuditWho::new("user", user.id.clone(), user.name.clone())
}
