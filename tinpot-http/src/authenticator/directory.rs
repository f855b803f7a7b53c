//! [`DirectoryAuthenticator`]: the users and tokens of a directory.

use async_trait::async_trait;
use axum::http::header;
use tinpot_access::Directory;
use tinpot_core::Result;

use super::{Authenticator, Identity, Presented};

/// The longest header, in bytes.
const HEADER_BYTES: usize = 16 * 1024;
/// The scheme of tokens, in RFC 6750.
const SCHEME: &str = "bearer";

/// The authenticator of a [`Directory`]: takes API tokens, as `Authorization: Bearer tpt_…`.
///
/// It asks the directory in memory. The host calls [`Directory::refresh`] and
/// [`Directory::maintain`], and gives [`Directory::rules`] to the coordinator.
#[derive(Clone, Debug)]
pub struct DirectoryAuthenticator {
    directory: Directory,
}

impl DirectoryAuthenticator {
    /// Takes the tokens of this directory.
    pub fn new(directory: Directory) -> Self {
        Self { directory }
    }
}

#[async_trait]
impl Authenticator for DirectoryAuthenticator {
    async fn authenticate(&self, request: &Presented<'_>) -> Result<Identity> {
        let token = match token(request) {
            Ok(Some(token)) => token,
            Ok(None) => return Ok(Identity::Unknown),
            Err(why) => return Ok(Identity::Refused(why)),
        };
        Ok(match self.directory.authenticate_token(token) {
            Ok(known) => {
                Identity::Known { caller: known.caller.into(), valid_until: known.valid_until }
            }
            Err(rejection) => Identity::Refused(rejection.to_string()),
        })
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
