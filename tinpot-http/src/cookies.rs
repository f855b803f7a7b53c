//! The cookies of a sign-in, and of a browser that has signed in before.
//!
//! Over HTTPS its name begins with `__Host-`, so that no page of another host or of plain HTTP can
//! set it. Over plain HTTP, which is for this machine, the name has the port: browsers send the
//! cookies of a host to all its ports.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

/// The beginning of the names over HTTPS.
const SECURE: &str = "__Host-tinpot";
/// The word in the name of the cookie of a known browser.
const DEVICE: &str = "-device";
/// The word in the name of the cookie with the team that the pages of a browser have chosen.
const TEAM: &str = "-team";
/// The longest life of a sign-in, in seconds. The server ends it earlier.
const MAX_AGE: u32 = 7 * 86_400;
/// The time for which a browser is known, in seconds.
const DEVICE_MAX_AGE: u32 = 365 * 86_400;
/// The word in the name of the cookie of a sign-in that is in progress at an identity provider.
#[cfg(feature = "oidc")]
const UNDER_WAY: &str = "-oidc";
/// The time within which such a sign-in must end, in seconds.
#[cfg(feature = "oidc")]
const UNDER_WAY_MAX_AGE: u32 = 600;
/// The longest cookie header, in bytes.
const HEADER_BYTES: usize = 16 * 1024;
const PROTOCOL: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The cookie that a request has, or would have.
#[derive(Debug)]
struct Kind {
    name: String,
    is_secure: bool,
}

impl Kind {
    fn of(headers: &HeaderMap, word: &str) -> Self {
        let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        if text(PROTOCOL) == Some("https") {
            return Self { name: format!("{SECURE}{word}"), is_secure: true };
        }
        let host = text(header::HOST).unwrap_or_default();
        let port = host.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
        Self { name: format!("tinpot{word}-{}", port.unwrap_or(80)), is_secure: false }
    }

    fn set(&self, value: &str, max_age: u32) -> Option<HeaderValue> {
        let rules = if self.is_secure { "Secure; SameSite=Lax" } else { "SameSite=Strict" };
        self.set_with(value, max_age, rules)
    }

    fn set_with(&self, value: &str, max_age: u32, rules: &str) -> Option<HeaderValue> {
        let name = &self.name;
        let text = format!("{name}={value}; Path=/; Max-Age={max_age}; HttpOnly; {rules}");
        let mut value = HeaderValue::try_from(text).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

/// Returns the secret in the cookie of a request, or the reason to refuse what is there instead.
///
/// No reason repeats a cookie.
pub(crate) fn read(headers: &HeaderMap) -> Result<Option<&str>, String> {
    find(headers, "")
}

/// Returns the proof that the browser has signed in before.
pub(crate) fn device(headers: &HeaderMap) -> Option<&str> {
    find(headers, DEVICE).ok().flatten()
}

/// Returns the team that the pages of the browser have chosen. They set the cookie themselves: it
/// gives no rights.
pub(crate) fn team(headers: &HeaderMap) -> Result<Option<&str>, String> {
    find(headers, TEAM)
}

fn find<'a>(headers: &'a HeaderMap, word: &str) -> Result<Option<&'a str>, String> {
    if !headers.contains_key(header::COOKIE) {
        return Ok(None);
    }
    let Kind { name, .. } = Kind::of(headers, word);
    let mut found = None;
    for value in headers.get_all(header::COOKIE) {
        let length = value.len();
        if length > HEADER_BYTES {
            return Err(format!(
                "the header Cookie must have at most {HEADER_BYTES} bytes (got {length})"
            ));
        }
        // Cookies of other programs may have other characters.
        let Ok(text) = value.to_str() else { continue };
        for (key, value) in text.split(';').filter_map(|pair| pair.trim().split_once('=')) {
            if key != name {
                continue;
            }
            if found.replace(value).is_some() {
                return Err(format!("the cookie {name} must be there once (got several)"));
            }
        }
    }
    Ok(found.filter(|secret| !secret.is_empty()))
}

/// Returns the header that sets the cookie in the answer to a request with these headers.
pub(crate) fn set(headers: &HeaderMap, secret: &str) -> Option<HeaderValue> {
    Kind::of(headers, "").set(secret, MAX_AGE)
}

/// Returns the header that makes the browser a known one.
pub(crate) fn set_device(headers: &HeaderMap, proof: &str) -> Option<HeaderValue> {
    Kind::of(headers, DEVICE).set(proof, DEVICE_MAX_AGE)
}

/// Returns the header that removes the cookie.
pub(crate) fn clear(headers: &HeaderMap) -> Option<HeaderValue> {
    Kind::of(headers, "").set("", 0)
}

/// Returns the state of a sign-in that is in progress at an identity provider.
#[cfg(feature = "oidc")]
pub(crate) fn under_way(headers: &HeaderMap) -> Option<&str> {
    find(headers, UNDER_WAY).ok().flatten()
}

/// Returns the header that sets that state or, without a state, the header that removes it. The
/// cookie is not `SameSite=Strict`: the browser must send it when the provider sends the browser
/// back.
#[cfg(feature = "oidc")]
pub(crate) fn set_under_way(headers: &HeaderMap, state: Option<&str>) -> Option<HeaderValue> {
    let kind = Kind::of(headers, UNDER_WAY);
    let rules = if kind.is_secure { "Secure; SameSite=Lax" } else { "SameSite=Lax" };
    let max_age = if state.is_some() { UNDER_WAY_MAX_AGE } else { 0 };
    kind.set_with(state.unwrap_or_default(), max_age, rules)
}
