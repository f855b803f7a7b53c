//! Pages of other origins.

use axum::http::{HeaderMap, HeaderValue, Method, header};

const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, PUT, DELETE, OPTIONS");
const HEADERS: HeaderValue = HeaderValue::from_static("Authorization, Content-Type, X-Lease-Token");
const MAX_AGE: HeaderValue = HeaderValue::from_static("86400");

/// The relation of a request to pages of other origins.
#[derive(Debug, Default)]
pub(crate) struct Cross {
    /// The origin, if it is allowed.
    allowed: Option<HeaderValue>,
    /// If true, the request asks what is allowed, and is answered at once.
    pub(crate) is_preflight: bool,
}

impl Cross {
    pub(crate) fn of(origins: &[String], method: &Method, headers: &HeaderMap) -> Self {
        let Some(origin) = headers.get(header::ORIGIN).filter(|_| !origins.is_empty()) else {
            return Self::default();
        };
        let is_allowed = origins.iter().any(|known| known.as_bytes() == origin.as_bytes());
        Self {
            allowed: is_allowed.then(|| origin.clone()),
            is_preflight: *method == Method::OPTIONS,
        }
    }

    /// Writes the headers of the answer.
    pub(crate) fn write(self, headers: &mut HeaderMap) {
        let Some(origin) = self.allowed else { return };
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HEADERS);
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    }
}
