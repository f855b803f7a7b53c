//! The state that a browser keeps in a cookie while a person signs in at the identity provider.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use tinpot_core::{Result, Timestamp};

use super::{LIFE, encoded, refused};
use crate::clock::between;
use crate::directory::Directory;
use crate::secret::{Secret, new_secret};

/// The longest path to return to, in bytes.
const PATH_BYTES: usize = 512;

/// One secret, from which the state, the nonce and the verifier are derived; and the time and the
/// path at which the sign-in began.
#[derive(Debug)]
pub(super) struct BrowserState {
    secret: Secret,
    begun: Timestamp,
    return_to: String,
}

impl BrowserState {
    pub(super) fn new(now: Timestamp, return_to: &str) -> Result<Self> {
        let return_to = if is_own_path(return_to) { return_to } else { "/" };
        Ok(Self { secret: new_secret()?, begun: now, return_to: return_to.to_owned() })
    }

    fn derived(&self, what: &str) -> String {
        let text = format!("{what} {}", self.secret.expose());
        encoded(digest(&SHA256, text.as_bytes()))
    }

    /// Returns the state, which binds the response to this browser.
    pub(super) fn state(&self) -> String {
        self.derived("state")
    }

    /// Returns the nonce, which binds the ID token to this sign-in.
    pub(super) fn nonce(&self) -> String {
        self.derived("nonce")
    }

    /// Returns the PKCE verifier, which binds the code to this sign-in.
    pub(super) fn verifier(&self) -> String {
        self.derived("verifier")
    }

    /// Returns the challenge for that verifier.
    pub(super) fn challenge(&self) -> String {
        encoded(digest(&SHA256, self.verifier().as_bytes()))
    }

    pub(super) fn return_to(&self) -> &str {
        &self.return_to
    }

    /// Returns the value of the cookie. Its last part proves that this server created it.
    pub(super) async fn to_cookie(&self, directory: &Directory) -> Result<Secret> {
        let Self { secret, begun, return_to } = self;
        let text = format!("{}.{}.{}", secret.expose(), begun.0, encoded(return_to));
        let proof = directory.cookie_proof(&text).await?;
        Ok(Secret::new(format!("{text}.{proof}")))
    }

    pub(super) async fn from_cookie(directory: &Directory, cookie: Option<&str>) -> Result<Self> {
        let Some(cookie) = cookie else {
            return Err(refused(
                "this browser has no sign-in under way: it began in another browser or more than 10 minutes ago, or cookies are disabled",
            ));
        };
        let broken = || refused("the cookie of the sign-in is not one of this server: begin again");
        let (text, proof) = cookie.rsplit_once('.').ok_or_else(broken)?;
        if !Secret::new(directory.cookie_proof(text).await?).is(proof) {
            return Err(broken());
        }
        let mut parts = text.split('.');
        let (Some(secret), Some(begun), Some(path), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(broken());
        };
        let begun = Timestamp(begun.parse().map_err(|_| broken())?);
        let path = URL_SAFE_NO_PAD.decode(path).ok().and_then(|path| String::from_utf8(path).ok());
        if between(begun, directory.now()) > LIFE {
            return Err(refused("the sign-in took more than 10 minutes: begin again"));
        }
        let return_to = path.filter(|path| is_own_path(path)).unwrap_or_else(|| "/".to_owned());
        Ok(Self { secret: Secret::new(secret), begun, return_to })
    }
}

/// Returns true for the path of a page on this server. Returns false for any text that leads to
/// another host.
fn is_own_path(path: &str) -> bool {
    let fits = path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    path.starts_with('/') && !path.starts_with("//") && path.len() <= PATH_BYTES && fits
}

#[cfg(test)]
mod tests {
    use super::is_own_path;

    #[test]
    fn no_path_leads_to_another_host() {
        for path in ["/", "/executions/1?tab=log#L3", "/a//b"] {
            assert!(is_own_path(path), "{path}");
        }
        let long = format!("/{}", "a".repeat(512));
        for path in [
            "",
            "//evil.example",
            "/\\evil.example",
            "https://evil.example",
            "evil",
            "/a\nb",
            "/\t/evil.example",
            &long,
        ] {
            assert!(!is_own_path(path), "{path}");
        }
    }
}
