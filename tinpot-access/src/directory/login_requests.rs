//! Programs that wait for a person to approve their sign-in: the device flow of `tinpot login`.
//!
//! The program has a secret and shows a short code. A person who is signed in enters the code on a
//! page, sees which program asks, and agrees. The program can then exchange the secret for one
//! token of that person.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tinpot_core::access::records::Change;
use tinpot_core::access::{AuditEvent, AuditTarget, AuditWho};
use tinpot_core::{DEFAULT_TEAM, Error, ErrorKind, Result, Timestamp};

use super::state::LOGIN_REQUEST;
use super::{Directory, NewToken, not_found};
use crate::clock::after;
use crate::documents::Token;
use crate::scopes;
use crate::secret::{Digest, Secret, new_secret, random};
use crate::stored::{Stored, read, write};
use crate::throttle::network_of;

/// The time within which a person must agree.
const LIFE: Duration = Duration::from_secs(600);
/// The maximum number of waiting requests.
const MOST: usize = 1_000;
/// The letters of codes: no vowels, so no words, and none that look alike.
const LETTERS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";
/// The number of letters of a code: 34 bits, too many to guess with 20 tries a minute in 10
/// minutes.
const CODE: usize = 8;
/// The maximum length of the name of a client, in characters.
const CLIENT_CHARS: usize = 64;
/// The maximum lifetime of the token, in days.
const DAYS: u64 = 366;
/// The maximum number of waiting requests of one network, a /24 or a /64.
const OF_NETWORK: usize = 20;

/// A request of a program to act as a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LoginRequest {
    /// The code that the program shows.
    pub code: Arc<str>,
    /// The name of the machine, as the program states it: letters, digits, dots, hyphens and
    /// underscores.
    pub client: String,
    /// The address from which it asks.
    pub address: String,
    /// The days for which the token will be valid.
    pub days: u64,
    /// The scopes of the token.
    #[serde(default = "everything")]
    pub scopes: Vec<String>,
    /// The time until which a person can agree.
    pub expires: Timestamp,
    hash: Digest,
    /// The user who has agreed, in this generation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    agreed: Option<(Arc<str>, u64)>,
    /// The team in which the user has agreed, which is that of the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    team: Option<Arc<str>>,
}

/// The scope of a token with the rights of the person, which makes no other tokens.
fn everything() -> Vec<String> {
    vec!["all".to_owned()]
}

/// A program that asks for a token of the person who will agree.
///
/// ```
/// use tinpot_access::NewLogin;
///
/// let new = NewLogin::new("laptop", [192, 0, 2, 1]).days(7).scopes(["read"]);
/// # let _ = new;
/// ```
#[derive(Clone, Debug)]
pub struct NewLogin {
    client: String,
    address: IpAddr,
    days: u64,
    scopes: Vec<String>,
}

impl NewLogin {
    /// Describes a program on a machine with this name, which asks from this address for a token for
    /// 30 days.
    pub fn new(client: impl Into<String>, address: impl Into<IpAddr>) -> Self {
        Self { client: client.into(), address: address.into(), days: 30, scopes: everything() }
    }

    /// Sets the days for which the token will be valid.
    #[must_use]
    pub fn days(mut self, days: u64) -> Self {
        self.days = days;
        self
    }

    /// Sets the scopes of the token. Default: `all`.
    #[must_use]
    pub fn scopes(mut self, scopes: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.scopes = scopes.into_iter().map(Into::into).collect();
        self
    }
}

/// The answer to a program that polls.
#[derive(Debug)]
#[non_exhaustive]
pub enum LoginAnswer {
    /// No person has agreed yet.
    Pending,
    /// A person has agreed: the secret of a new token of that person.
    Agreed(Secret, Token),
    /// A person has refused, the request has expired, or there is no such request.
    Gone,
}

/// Returns a code in the form in which it is stored: people type lower-case letters and omit the
/// hyphen.
fn normal(code: &str) -> Option<String> {
    let letters = code.chars().filter(|c| !matches!(c, '-' | ' ')).take(CODE + 1);
    let letters: String = letters.map(|c| c.to_ascii_uppercase()).collect();
    let fits = letters.len() == CODE && letters.bytes().all(|letter| LETTERS.contains(&letter));
    fits.then(|| format!("{}-{}", &letters[..CODE / 2], &letters[CODE / 2..]))
}

fn new_code() -> Result<String> {
    loop {
        // 240 is a multiple of 20: above it, some letters would be more likely.
        let bytes = random::<32>()?;
        let fair =
            bytes.iter().filter(|byte| **byte < 240).map(|byte| LETTERS[usize::from(byte % 20)]);
        let letters: String = fair.take(CODE).map(char::from).collect();
        if let Some(code) = normal(&letters) {
            return Ok(code);
        }
    }
}

impl Directory {
    /// Creates a request for a token of the person who will agree. Returns the request, and the
    /// secret with which the program polls for the answer.
    ///
    /// # Errors
    /// `InvalidInput` for a token lifetime of more than 366 days, or unknown scopes; `Overloaded` if
    /// too many programs wait; those of [`Records`](tinpot_core::access::Records).
    pub async fn request_login(&self, new: NewLogin) -> Result<(Secret, LoginRequest)> {
        let NewLogin { client, address, days, scopes } = new;
        scopes::parse(&scopes)?;
        if !(1..=DAYS).contains(&days) {
            let message = format!("days must be from 1 to {DAYS} (got {days})");
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        self.make_room_for_requests(address).await?;
        let plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        let client: String = client.chars().filter(plain).take(CLIENT_CHARS).collect();
        let (code, secret) = (new_code()?, new_secret()?);
        let request = LoginRequest {
            code: code.as_str().into(),
            client: if client.is_empty() { "unknown".to_owned() } else { client },
            address: address.to_string(),
            days,
            scopes,
            expires: after(self.now(), LIFE),
            hash: Digest::of(secret.expose().as_bytes()),
            agreed: None,
            team: None,
        };
        self.inner.records.change(&[write(LOGIN_REQUEST, &code, 0, &request)?]).await?;
        Ok((Secret::new(format!("{code}.{}", secret.expose())), request))
    }

    /// Removes requests that have ended; fails if too many are left.
    async fn make_room_for_requests(&self, address: IpAddr) -> Result<()> {
        let now = self.now();
        let all = self.inner.records.list(LOGIN_REQUEST, "", MOST).await?;
        let (mut over, mut of_network) = (Vec::new(), 0_usize);
        for record in &all {
            match read::<LoginRequest>(record) {
                Ok(Stored { value, .. }) if value.expires > now => {
                    let from: Option<IpAddr> = value.address.parse().ok();
                    let is_near = from.map(network_of) == Some(network_of(address));
                    of_network += usize::from(is_near);
                }
                _ => over.push(Change::remove(LOGIN_REQUEST, record.id.clone(), record.version)),
            }
        }
        if of_network >= OF_NETWORK {
            let message = format!(
                "{OF_NETWORK} programs of this network wait for a sign-in: try again in a few minutes"
            );
            return Err(Error::new(ErrorKind::Overloaded, message));
        }
        if all.len() >= MOST && over.is_empty() {
            let message = "too many programs wait for a sign-in: try again in a few minutes";
            return Err(Error::new(ErrorKind::Overloaded, message));
        }
        self.change_each(over).await
    }

    async fn stored_request(&self, code: &str) -> Result<Option<Stored<LoginRequest>>> {
        let Some(code) = normal(code) else { return Ok(None) };
        let Some(record) = self.inner.records.get(LOGIN_REQUEST, &code).await? else {
            return Ok(None);
        };
        let request: Stored<LoginRequest> = read(&record).map_err(|error| {
            Error::new(ErrorKind::Malformed, "a login request cannot be read").with_source(error)
        })?;
        Ok(Some(request).filter(|request| request.value.expires > self.now()))
    }

    /// Returns the request with this code, while a person can still agree.
    ///
    /// # Errors
    /// Those of [`Records`](tinpot_core::access::Records).
    pub async fn login_request(&self, code: &str) -> Result<Option<LoginRequest>> {
        let found = self.stored_request(code).await?.map(|request| request.value);
        Ok(found.filter(|request| request.agreed.is_none()))
    }

    /// Signs in the program with this code as a user, or refuses it. The caller of this method must
    /// have checked that this user made the decision.
    ///
    /// # Errors
    /// `NotFound` if there is no such request, or it is already decided; those of
    /// [`Records`](tinpot_core::access::Records) and of the audit.
    pub async fn decide_login(
        &self,
        by: &AuditWho,
        user: &str,
        code: &str,
        agrees: bool,
    ) -> Result<()> {
        let missing = || not_found("program that waits with the code", code);
        let found = self.stored_request(code).await?;
        let found = found.filter(|request| request.value.agreed.is_none()).ok_or_else(missing)?;
        let Stored { version, value: mut request } = found;
        let generation = self.user_by_id(user).ok_or_else(|| not_found("user", user))?.generation;
        let code = request.code.clone();
        let detail =
            format!("{} at {}, for {} days: ", request.client, request.address, request.days)
                + &request.scopes.join(", ");
        let change = if agrees {
            request.agreed = Some((user.into(), generation));
            request.team = Some(self.team.clone());
            write(LOGIN_REQUEST, &code, version, &request)?
        } else {
            Change::remove(LOGIN_REQUEST, &*code, version)
        };
        let what = if agrees { "login.agree" } else { "login.refuse" };
        let event = AuditEvent::new(self.now(), by.clone(), what);
        let event = event.target(AuditTarget::new("login", code)).detail(detail);
        let event = match &self.asked_from {
            Some(address) => event.request(&**address, &*self.request_id),
            None => event,
        };
        self.record_all(&[event]).await?;
        match self.inner.records.change(&[change]).await {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == ErrorKind::Conflict => Err(missing()),
            Err(error) => Err(error),
        }
    }

    /// Answers a program that polls with its secret. Returns the token only once.
    ///
    /// # Errors
    /// Those of [`create_token`](Self::create_token).
    pub async fn redeem_login(&self, secret: &str) -> Result<LoginAnswer> {
        let Some((code, secret)) = secret.split_once('.') else { return Ok(LoginAnswer::Gone) };
        let Some(Stored { version, value: request }) = self.stored_request(code).await? else {
            return Ok(LoginAnswer::Gone);
        };
        if Digest::of(secret.as_bytes()) != request.hash {
            return Ok(LoginAnswer::Gone);
        }
        let Some((user, generation)) = &request.agreed else { return Ok(LoginAnswer::Pending) };
        let use_up = Change::remove(LOGIN_REQUEST, &*request.code, version);
        match self.inner.records.change(&[use_up]).await {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::Conflict => return Ok(LoginAnswer::Gone),
            Err(error) => return Err(error),
        }
        // The user may have been disabled, or have ended all sign-ins, since.
        self.refresh().await?;
        let user = self.user_by_id(user).filter(|user| user.is_valid(*generation));
        let Some(user) = user else { return Ok(LoginAnswer::Gone) };
        let by = AuditWho::new("user", user.id.clone(), user.name.clone()).via("login");
        let new = NewToken::new(format!("tinpot login on {}", request.client), user.id);
        let scopes: Vec<&str> = request.scopes.iter().map(String::as_str).collect();
        let new = new.lifetime(Duration::from_secs(request.days * 86_400)).scopes(&scopes);
        let team = request.team.unwrap_or_else(|| DEFAULT_TEAM.into());
        let (secret, token) = self.of_team(team).create_token(&by, new).await?;
        Ok(LoginAnswer::Agreed(secret, token))
    }
}

#[cfg(test)]
mod tests {
    use super::{new_code, normal};

    #[test]
    fn codes_are_read_as_people_type_them() {
        let code = new_code().expect("a code");
        assert_eq!(normal(&code), Some(code.clone()));
        assert_eq!(normal(&code.to_lowercase().replace('-', " ")), Some(code.clone()));
        for wrong in ["", "BCDF-GHJ", "BCDF-GHJKL", "ACDF-GHJK", "BCDF_GHJK", "ÄCDF-GHJK"] {
            assert_eq!(normal(wrong), None, "{wrong}");
        }
        assert_ne!(new_code().expect("a code"), code);
    }
}
