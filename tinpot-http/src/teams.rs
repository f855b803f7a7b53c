//! The header, or the cookie of the web UI, with which a person in several teams chooses one.

use axum::http::{HeaderMap, HeaderName};

use crate::cookies;

/// The header: the name of a team, or its id.
const TEAM: HeaderName = HeaderName::from_static("tinpot-team");
/// The maximum length of a name, in bytes.
const NAME_BYTES: usize = 64;

/// Returns the team that a request names, or that the cookie of a browser names; `None` if none is
/// named.
///
/// # Errors
/// The reason why it cannot be read.
pub(crate) fn wanted(headers: &HeaderMap, by_cookie: bool) -> Result<Option<&str>, String> {
    let mut all = headers.get_all(TEAM).iter();
    let Some(value) = all.next() else {
        return if by_cookie { cookies::team(headers) } else { Ok(None) };
    };
    if all.next().is_some() {
        return Err("header Tinpot-Team must be there once (got several)".to_owned());
    }
    let text = std::str::from_utf8(value.as_bytes()).ok().map(str::trim);
    match text.filter(|text| (1..=NAME_BYTES).contains(&text.len())) {
        Some(team) => Ok(Some(team)),
        None => Err(format!(
            "header Tinpot-Team must be the name or the id of a team, with 1 to {NAME_BYTES} bytes of UTF-8 (got {} bytes)",
            value.len()
        )),
    }
}
