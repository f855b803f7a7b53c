//! ID tokens, and their validation.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::digest;
use serde_json::{Map, Value};

use super::encoded;
use super::keys::{Algorithm, Keys};
use crate::secret::Secret;

/// The maximum length of a token, in bytes.
const BYTES: usize = 64 * 1024;
/// The seconds by which the clocks of the provider and this server may differ.
const LEEWAY: u64 = 60;
/// The age in seconds beyond which a token cannot belong to this sign-in.
const OLDEST: u64 = 600;

/// The values that a token must have.
pub(super) struct Expected<'a> {
    pub(super) issuer: &'a str,
    pub(super) client_id: &'a str,
    pub(super) nonce: &'a str,
    /// The access token that came with the ID token.
    pub(super) access_token: Option<&'a str>,
    /// The current time, in seconds since 1970.
    pub(super) now: u64,
}

/// The reason why a token is refused. No message repeats a secret part of the token.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The provider has no key for it.
    UnknownKey,
    Malformed(&'static str),
    Algorithm(String),
    Signature,
    Claim(&'static str, String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownKey => f.write_str("the identity provider has no key for it"),
            Self::Malformed(why) => f.write_str(why),
            Self::Algorithm(name) => write!(
                f,
                "it must be signed with RS256, ES256, EdDSA or a variant of these (got {name:?})"
            ),
            Self::Signature => f.write_str("its signature is wrong"),
            Self::Claim(name, why) => write!(f, "{name} {why}"),
        }
    }
}

fn object(part: &str) -> Option<Map<String, Value>> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

/// Returns the claims of a token, if all of them are valid.
pub(super) fn verify(
    token: &str,
    keys: &Keys,
    expected: &Expected<'_>,
) -> Result<Map<String, Value>, Fault> {
    if token.len() > BYTES {
        return Err(Fault::Malformed("it is too long"));
    }
    let malformed = Fault::Malformed("it is not a signed JSON web token");
    let Some((message, signature)) = token.rsplit_once('.') else { return Err(malformed) };
    let Some((header, payload)) = message.split_once('.') else { return Err(malformed) };
    let (Some(header), Some(claims)) = (object(header), object(payload)) else {
        return Err(malformed);
    };
    let Ok(signature) = URL_SAFE_NO_PAD.decode(signature) else { return Err(malformed) };
    let name = header.get("alg").and_then(Value::as_str).unwrap_or_default();
    let algorithm = Algorithm::named(name);
    let algorithm = algorithm.ok_or_else(|| Fault::Algorithm(name.chars().take(20).collect()))?;
    if header.contains_key("crit") {
        return Err(Fault::Malformed("it has critical extensions, and none is supported"));
    }
    let id = match header.get("kid") {
        None => None,
        Some(Value::String(id)) => Some(&**id),
        Some(_) => return Err(malformed),
    };
    let key = keys.find(algorithm, id).ok_or(Fault::UnknownKey)?;
    if !key.has_signed(algorithm, message.as_bytes(), &signature) {
        return Err(Fault::Signature);
    }
    check(&claims, expected)?;
    if let (Some(hash), Some(token)) = (claims.get("at_hash"), expected.access_token) {
        let whole = digest(algorithm.hash, token.as_bytes());
        let half = &whole.as_ref()[..whole.as_ref().len() / 2];
        if hash.as_str() != Some(&encoded(half)) {
            return Err(claim("at_hash", "is that of another access token"));
        }
    }
    Ok(claims)
}

fn claim(name: &'static str, why: impl Into<String>) -> Fault {
    Fault::Claim(name, why.into())
}

fn check(claims: &Map<String, Value>, expected: &Expected<'_>) -> Result<(), Fault> {
    let Expected { issuer, client_id, nonce, now, .. } = *expected;
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    if text("iss") != Some(issuer) {
        return Err(claim("iss", "names another identity provider"));
    }
    let audience: Vec<&str> = match claims.get("aud") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(all)) => all.iter().map(|one| one.as_str().unwrap_or_default()).collect(),
        _ => Vec::new(),
    };
    if !audience.contains(&client_id) {
        return Err(claim("aud", "does not name this server"));
    }
    match claims.get("azp") {
        None if audience.len() > 1 => {
            return Err(claim("azp", "must name the server for which the token is"));
        }
        Some(azp) if azp.as_str() != Some(client_id) => {
            return Err(claim("azp", "names another server"));
        }
        _ => {}
    }
    if !text("nonce").is_some_and(|given| Secret::new(nonce).is(given)) {
        return Err(claim("nonce", "is that of another sign-in"));
    }
    if text("sub").is_none_or(str::is_empty) {
        return Err(claim("sub", "names no person"));
    }
    // A number of seconds. Some providers send a fraction.
    let seconds = |name: &'static str| match claims.get(name).and_then(Value::as_f64) {
        Some(seconds) if (0.0..1e12).contains(&seconds) => Ok(Some(seconds as u64)),
        Some(_) => Err(claim(name, "must be a time")),
        None if claims.contains_key(name) => Err(claim(name, "must be a time")),
        None => Ok(None),
    };
    let clocks = "compare the clocks of this server and the identity provider";
    let Some(expires) = seconds("exp")? else { return Err(claim("exp", "is missing")) };
    if expires + LEEWAY <= now {
        let ago = now - expires;
        return Err(claim("exp", format!("was {ago} s ago: {clocks}")));
    }
    let Some(issued) = seconds("iat")? else { return Err(claim("iat", "is missing")) };
    if issued > now + LEEWAY {
        let ahead = issued - now;
        return Err(claim("iat", format!("is {ahead} s ahead: {clocks}")));
    }
    if issued + OLDEST + LEEWAY < now {
        let ago = now - issued;
        return Err(claim("iat", format!("was {ago} s ago: {clocks}")));
    }
    if let Some(from) = seconds("nbf")?
        && from > now + LEEWAY
    {
        return Err(claim("nbf", format!("is {} s ahead: {clocks}", from - now)));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
