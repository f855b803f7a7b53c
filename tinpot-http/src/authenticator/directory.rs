//! [`DirectoryAuthenticator`]: the tokens and sign-ins of a directory.

use async_trait::async_trait;
use axum::http::header;
use tinpot_access::{Directory, Known, Rejection};
use tinpot_core::Result;

use super::{Authenticator, Identity, Presented};
use crate::{cookies, teams};

/// The longest header, in bytes.
const HEADER_BYTES: usize = 16 * 1024;
/// The scheme of tokens, in RFC 6750.
const SCHEME: &str = "bearer";

/// The authenticator of a [`Directory`]: takes API tokens, as `Authorization: Bearer tpt_…`, and
/// the cookies of sign-ins. If a request has both, the token counts. The header `Tinpot-Team`
/// selects the team in which a person acts who is in several.
///
/// It asks the directory in memory, and whether another process has changed it. The host calls [`Directory::refresh`] and
/// [`Directory::maintain`], and gives [`Directory::rules`] to the coordinator.
///
/// ```
/// # use std::sync::Arc;
/// # use tinpot_core::access::{AuditWho, MemoryRecords};
/// # use axum::{body::Body, http::Request};
/// # use tinpot_core::{Coordinator, MemoryNetwork};
/// # use tower::ServiceExt;
/// use tinpot_access::{Directory, NewToken, NewUser};
/// use tinpot_http::{DirectoryAuthenticator, HttpConfig};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = Directory::builder(Arc::new(MemoryRecords::new())).open().await?;
/// # let by = AuditWho::new("operator", "", "root");
/// # let network = MemoryNetwork::new();
/// let ada = directory.add_user(&by, NewUser::new("ada")).await?;
/// let (token, _) = directory.create_token(&by, NewToken::new("laptop", ada.id)).await?;
/// let coordinator = Coordinator::builder(network.transport()).policy(directory.rules());
/// let config = HttpConfig::default().authenticator(DirectoryAuthenticator::new(directory));
/// let router = tinpot_http::router(coordinator.start().await?, config);
///
/// let request = Request::get("/api/actions").body(Body::empty())?;
/// assert_eq!(router.clone().oneshot(request).await?.status(), 401);
/// let bearer = format!("Bearer {}", token.expose());
/// let request = Request::get("/api/actions").header("authorization", bearer).body(Body::empty())?;
/// assert_eq!(router.oneshot(request).await?.status(), 200);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct DirectoryAuthenticator {
    directory: Directory,
    is_local: bool,
}

impl DirectoryAuthenticator {
    /// Takes the tokens and sign-ins of this directory.
    pub fn new(directory: Directory) -> Self {
        Self { directory, is_local: false }
    }

    /// Says that the only user is the person at this machine: executions keep the name of the
    /// requester that the client gives.
    #[must_use]
    pub(crate) fn local(self, is_local: bool) -> Self {
        Self { is_local, ..self }
    }

    fn identity(
        &self,
        request: &Presented<'_>,
        known: std::result::Result<Known, Rejection>,
        by_cookie: bool,
    ) -> Identity {
        match known {
            Ok(Known { caller, valid_until, .. }) => {
                let wanted = match teams::wanted(request.headers, by_cookie) {
                    Ok(wanted) => wanted,
                    Err(why) => return Identity::Malformed(why),
                };
                let mut caller = match self.directory.enter_team(caller, wanted) {
                    Ok(caller) => caller,
                    Err(error) => return Identity::NoTeam(error.message().to_owned()),
                };
                if self.is_local {
                    caller = caller.name("");
                }
                Identity::Known { caller: caller.into(), valid_until, by_cookie }
            }
            Err(rejection) => Identity::Refused(rejection.to_string()),
        }
    }
}

#[async_trait]
impl Authenticator for DirectoryAuthenticator {
    async fn authenticate(&self, request: &Presented<'_>) -> Result<Identity> {
        match token(request) {
            Ok(Some(token)) => {
                self.directory.keep_current().await?;
                let known = self.directory.authenticate_token(token);
                return Ok(self.identity(request, known, false));
            }
            Ok(None) => {}
            Err(why) => return Ok(Identity::Refused(why)),
        }
        match cookies::read(request.headers) {
            Ok(Some(secret)) => {
                self.directory.keep_current().await?;
                let known = self.directory.authenticate_sign_in(secret);
                Ok(self.identity(request, known, true))
            }
            Ok(None) => Ok(Identity::Unknown),
            Err(why) => Ok(Identity::Refused(why)),
        }
    }
}

/// Returns the token that a request presents, or the reason to refuse what it presents instead.
///
/// No reason repeats the header: it may be a secret with a typing error.
fn token<'a>(request: &Presented<'a>) -> std::result::Result<Option<&'a str>, String> {
    let mut headers = request.headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = headers.next() else { return Ok(None) };
    if headers.next().is_some() {
        return Err("the header Authorization must be there once (got several)".to_owned());
    }
    let length = value.len();
    if length > HEADER_BYTES {
        return Err(format!(
            "the header Authorization must have at most {HEADER_BYTES} bytes (got {length})"
        ));
    }
    let parts = value.to_str().ok().and_then(|text| text.trim().split_once(' '));
    match parts {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case(SCHEME) => Ok(Some(token.trim())),
        _ => Err("the header Authorization must be \"Bearer\", a blank and a token".to_owned()),
    }
}
