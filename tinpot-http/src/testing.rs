//! Conformance suites, the table of routes, and entry points for fuzzing: the readers of untrusted
//! input. Outside semver.

pub mod authenticator;

use axum::http::{HeaderMap, HeaderValue, Uri};
use tinpot_core::Right;

use crate::router::Need;
use crate::sse::resume;
use crate::submission::Submission;

/// Returns the routes: method, path, and the rights that a caller needs; `None` if no caller is needed.
pub fn routes() -> impl Iterator<Item = (String, &'static str, Option<&'static [Right]>)> {
    crate::router::routes().map(|route| {
        let rights: Option<&[Right]> = match route.need {
            Need::Nothing => None,
            Need::Identity => Some(&[]),
            Need::Rights(rights) => Some(rights),
        };
        (route.method.to_string(), route.path, rights)
    })
}

/// Reads the body of a submission. It is valid, or refused with a reason.
pub fn submission(bytes: &[u8]) {
    if let Err(error) = Submission::read(bytes) {
        assert!(!error.detail().is_empty());
    }
}

/// Reads the position of a stream: a `Last-Event-ID`, or a query after `?`.
pub fn resume_id(bytes: &[u8]) {
    let mut headers = HeaderMap::new();
    let mut uri = Uri::from_static("/");
    match bytes.strip_prefix(b"?") {
        Some(query) => {
            let path = [b"/?", query].concat();
            match Uri::try_from(path.as_slice()) {
                Ok(with_query) => uri = with_query,
                Err(_) => return,
            }
        }
        None => match HeaderValue::from_bytes(bytes) {
            Ok(id) => drop(headers.insert("last-event-id", id)),
            Err(_) => return,
        },
    }
    if let Err(error) = resume(&headers, &uri) {
        assert!(!error.detail().is_empty());
    }
}
