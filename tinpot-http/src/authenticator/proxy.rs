//! [`ProxyUsers`]: people whom a reverse proxy in front has signed in.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use tinpot_access::{ExternalIdentity, Login, Secret};
use tinpot_core::{Caller, Error, ErrorKind, Result};

use super::{Authenticator, DirectoryAuthenticator, Identity, Presented};
use crate::address_range::AddressRange;
use crate::teams;

/// The header with the secret of the proxy.
const SECRET: HeaderName = HeaderName::from_static("tinpot-proxy-secret");
/// The header with the user, by default.
const USER: HeaderName = HeaderName::from_static("remote-user");
/// The maximum length of a header of the proxy, in bytes.
const HEADER_BYTES: usize = 8 * 1024;
/// The minimum length of the secret, in bytes.
const SECRET_BYTES: usize = 16;
/// The issuer of all people whom proxies sign in.
const ISSUER: &str = "proxy";
/// The refusal of a request that is older than the last change of its user.
const CHANGED: &str = "the user was changed after this request began: send it again";

/// The reverse proxies that sign people in, and the headers in which they name them.
///
/// The user that a request names is accepted if the request comes from one of the addresses *and*
/// has the secret of the proxy in the header `Tinpot-Proxy-Secret`. Any other request with one of
/// these headers is refused. The proxy must set or remove all of them in each request that it
/// forwards.
#[derive(Clone)]
pub struct ProxyUsers {
    from: Arc<[AddressRange]>,
    secret: Arc<Secret>,
    user: HeaderName,
    groups: Option<HeaderName>,
    admin_group: Option<Arc<str>>,
}

impl fmt::Debug for ProxyUsers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, user, groups, admin_group, .. } = self;
        f.debug_struct("ProxyUsers")
            .field("from", from)
            .field("user", user)
            .field("groups", groups)
            .field("admin_group", admin_group)
            .finish_non_exhaustive()
    }
}

impl ProxyUsers {
    /// Trusts the proxies at these addresses that send this secret.
    ///
    /// # Errors
    /// `InvalidInput` if there is no address, or if the secret has fewer than 16 bytes or cannot be
    /// sent in a header.
    pub fn new(from: Vec<AddressRange>, secret: Secret) -> Result<Self> {
        let invalid = |message: String| Err(Error::new(ErrorKind::InvalidInput, message));
        if from.is_empty() {
            return invalid("proxies that sign people in need an address".to_owned());
        }
        let text = secret.expose();
        let fits = text.bytes().all(|byte| byte.is_ascii_graphic());
        if text.len() < SECRET_BYTES || text.len() > HEADER_BYTES || !fits {
            let got = text.len();
            return invalid(format!(
                "the secret of a proxy must have {SECRET_BYTES} printable characters or more, without blanks (got {got} bytes)"
            ));
        }
        let (from, secret) = (from.into(), Arc::new(secret));
        Ok(Self { from, secret, user: USER, groups: None, admin_group: None })
    }

    /// Sets the header with the user; `Remote-User` by default.
    ///
    /// # Errors
    /// `InvalidInput` if it is not a valid name of a header, or is that of a header of HTTP itself.
    pub fn user_header(mut self, name: &str) -> Result<Self> {
        self.user = header_name(name)?;
        Ok(self)
    }

    /// Sets the header with the groups of the user, separated by commas. Without it, groups are
    /// ignored: a proxy that does not set the header forwards what the client sends.
    ///
    /// # Errors
    /// As [`user_header`](Self::user_header).
    pub fn groups_header(mut self, name: &str) -> Result<Self> {
        self.groups = Some(header_name(name)?);
        Ok(self)
    }

    /// Makes the members of this group admins of the server.
    #[must_use]
    pub fn admin_group(mut self, group: impl Into<Arc<str>>) -> Self {
        self.admin_group = Some(group.into());
        self
    }

    pub(crate) fn from(&self) -> &[AddressRange] {
        &self.from
    }

    /// Returns the person whom a request names, or the reason to refuse it. No reason repeats the
    /// value of a header.
    fn person(&self, request: &Presented<'_>) -> Result<Option<ExternalIdentity>, String> {
        let Self { from, secret, user, groups, .. } = self;
        let headers = request.headers;
        let names = [Some(&SECRET), Some(user), groups.as_ref()];
        if !names.into_iter().flatten().any(|name| headers.contains_key(name)) {
            return Ok(None);
        }
        let peer = request.peer.map(|peer| peer.ip());
        if !peer.is_some_and(|peer| from.iter().any(|range| range.contains(peer))) {
            let name = names.into_iter().flatten().find(|name| headers.contains_key(*name));
            let name = name.map_or("", HeaderName::as_str);
            return Err(format!("header {name} is only for the proxy in front of this server"));
        }
        let given = one(headers, &SECRET)?.unwrap_or_default();
        if !secret.is(given) {
            return Err(format!("header {SECRET} must have the secret of the proxy"));
        }
        let person = one(headers, user)?;
        let of_groups = match groups {
            Some(name) => one(headers, name)?,
            None => None,
        };
        let Some(person) = person.filter(|person| !person.is_empty()) else {
            return match of_groups.filter(|groups| !groups.is_empty()) {
                Some(_) => Err(format!("header {user} must be there if the groups are")),
                None => Ok(None),
            };
        };
        let identity = ExternalIdentity::new("proxy", ISSUER, person);
        let identity = identity.map_err(|_| format!("header {user} must have 1 to 256 bytes"))?;
        let of_groups = of_groups.unwrap_or_default().split(',');
        Ok(Some(identity.groups(of_groups).admin_group(self.admin_group.as_deref())))
    }
}

/// Returns the value of a header that must occur at most once; `None` if it is absent.
fn one<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, String> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(format!("header {name} must be there once (got several)"));
    }
    let length = value.len();
    if length > HEADER_BYTES {
        return Err(format!("header {name} must have at most {HEADER_BYTES} bytes (got {length})"));
    }
    let text = std::str::from_utf8(value.as_bytes()).ok().map(str::trim);
    text.map(Some).ok_or_else(|| format!("header {name} must be UTF-8"))
}

fn header_name(name: &str) -> Result<HeaderName> {
    let of_http = [header::AUTHORIZATION, header::COOKIE, header::HOST, header::ORIGIN, SECRET];
    let parsed = name.parse().ok().filter(|name| !of_http.contains(name));
    parsed.ok_or_else(|| {
        let message = format!("header of a proxy must be like Remote-User (got {name:?})");
        Error::new(ErrorKind::InvalidInput, message)
    })
}

/// The authenticator of people whom a proxy signs in, and of the tokens and sign-ins of a directory.
///
/// If a request has several, a token takes precedence over the headers of the proxy, and those over
/// the cookie. A browser sends what identifies it to the proxy automatically, so the rules for
/// cookies apply.
#[derive(Clone, Debug)]
pub(crate) struct ProxyAuthenticator {
    users: ProxyUsers,
    login: Login,
    others: DirectoryAuthenticator,
}

impl ProxyAuthenticator {
    pub(crate) fn new(users: ProxyUsers, login: Login, others: DirectoryAuthenticator) -> Self {
        Self { users, login, others }
    }
}

#[async_trait]
impl Authenticator for ProxyAuthenticator {
    async fn authenticate(&self, request: &Presented<'_>) -> Result<Identity> {
        let person = match self.users.person(request) {
            Ok(Some(person)) if !has_token(request.headers) => person,
            Ok(_) => return self.others.authenticate(request).await,
            Err(why) => return Ok(Identity::Refused(why)),
        };
        let directory = self.login.directory();
        directory.keep_current().await?;
        let found = if request.is_repeat {
            // The headers are those of the start of a stream or a body. Newer requests may have
            // named other groups, which must stay.
            match directory.current_external_user(&person) {
                Some(user) => Ok(user),
                None => return Ok(Identity::Refused(CHANGED.to_owned())),
            }
        } else {
            directory.external_user(&person).await?
        };
        match found {
            Ok(user) => {
                let caller = Caller::new(user.id).name(user.name).via("proxy");
                let wanted = match teams::wanted(request.headers, true) {
                    Ok(wanted) => wanted,
                    Err(why) => return Ok(Identity::Malformed(why)),
                };
                let caller = match directory.enter_team(caller, wanted) {
                    Ok(caller) => caller,
                    Err(error) => return Ok(Identity::NoTeam(error.message().to_owned())),
                };
                Ok(Identity::Known { caller: caller.into(), valid_until: None, by_cookie: true })
            }
            Err(rejection) => Ok(Identity::Refused(rejection.to_string())),
        }
    }
}

/// Returns true if a request has an API token: other credentials in that header are for the proxy.
fn has_token(headers: &HeaderMap) -> bool {
    let is_token = |value: &HeaderValue| {
        let mut words = value.to_str().unwrap_or_default().split_whitespace();
        words.next().is_some_and(|scheme| scheme.eq_ignore_ascii_case("bearer"))
            && words.next().is_some_and(|token| token.starts_with("tpt_"))
    };
    headers.get_all(header::AUTHORIZATION).iter().any(is_token)
}
