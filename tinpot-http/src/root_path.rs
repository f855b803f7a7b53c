//! The path below which a server is found, if that is not the root of its host.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::Uri;
use tinpot_core::{Error, ErrorKind};
use tower::ServiceExt;

/// The longest accepted path, in bytes.
pub(crate) const PATH_BYTES: usize = 256;

/// The first segments of the server's own paths.
const OWN: &[&str] = &[
    "actions",
    "api",
    "auth",
    "embed",
    "executions",
    "health",
    "openapi.json",
    "queues",
    "ready",
    "ui",
    "watch",
    "workers",
];

/// The path below which clients find the server: empty, or like `/tinpot`.
///
/// A reverse proxy may remove it from the path of a request, with the header `X-Forwarded-Prefix` or
/// without, or leave it there: the server answers in each case.
///
/// ```
/// use tinpot_http::RootPath;
///
/// let path: RootPath = "tools/tinpot/".parse()?;
/// assert_eq!(path.as_str(), "/tools/tinpot");
/// assert!("/a b".parse::<RootPath>().is_err());
/// # Ok::<(), tinpot_core::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RootPath(Arc<str>);

impl RootPath {
    /// Returns the path, with a slash at its beginning and none at its end.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Lets a router answer requests with and without this path.
    pub(crate) fn serve(&self, router: Router) -> Router {
        if self.0.is_empty() {
            return router;
        }
        let root = self.0.clone();
        let service = router.map_request(move |request| removed(&root, request));
        // Routes, since a fallback is lost when the router is nested twice.
        Router::new().route_service("/", service.clone()).route_service("/{*rest}", service)
    }
}

impl fmt::Display for RootPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for RootPath {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let invalid = |why: &str| {
            let message = format!("root path must {why} (got {text:?})");
            Error::new(ErrorKind::InvalidInput, message)
        };
        let path = text.trim().trim_matches('/');
        if path.is_empty() {
            return Ok(Self::default());
        }
        let path = format!("/{path}");
        if !is_plain(&path) {
            let expected = "be a path like /tinpot, of letters, digits and -._~/";
            return Err(invalid(expected));
        }
        let first = path.split('/').nth(1).unwrap_or_default();
        if OWN.contains(&first) {
            return Err(invalid(&format!("not begin with /{first}, a path of the server itself")));
        }
        Ok(Self(path.into()))
    }
}

/// Returns true if a browser resolves the path to itself, on the same host.
pub(crate) fn is_plain(path: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    path.len() <= PATH_BYTES
        && path.starts_with('/')
        // It would be another host.
        && !path.contains("//")
        && path.bytes().all(plain)
        && !path.split('/').any(|segment| matches!(segment, "." | ".."))
}

/// The root path of a request, for the base path of its answer.
#[derive(Clone, Debug)]
pub(crate) struct Root {
    path: Arc<str>,
    /// True if the request had it.
    removed: bool,
}

impl Root {
    /// Returns the base path: `forwarded` is the prefix that a proxy removed, `nested` the one that
    /// routers and this root path removed.
    pub(crate) fn base(&self, forwarded: &str, nested: &str) -> String {
        let path = &*self.path;
        if self.removed {
            // A proxy may name the prefix although it does not remove it.
            let forwarded = forwarded.strip_suffix(path).unwrap_or(forwarded);
            return format!("{forwarded}{nested}");
        }
        format!("{}{nested}", if forwarded.is_empty() { path } else { forwarded })
    }
}

/// Removes the root path from a request, if it is there.
fn removed(root: &Arc<str>, mut request: Request) -> Request {
    let uri = request.uri();
    let rest = uri.path().strip_prefix(&**root);
    let rest = rest.filter(|rest| rest.is_empty() || rest.starts_with('/'));
    let inner = rest.and_then(|rest| {
        let path = if rest.is_empty() { "/" } else { rest };
        let query = uri.query().map_or(String::new(), |query| format!("?{query}"));
        let mut parts = uri.clone().into_parts();
        parts.path_and_query = Some(format!("{path}{query}").parse().ok()?);
        Uri::from_parts(parts).ok()
    });
    let known = Root { path: root.clone(), removed: inner.is_some() };
    if let Some(inner) = inner {
        *request.uri_mut() = inner;
    }
    request.extensions_mut().insert(known);
    request
}

#[cfg(test)]
mod tests {
    use super::RootPath;

    #[test]
    fn a_root_path_is_plain_and_no_path_of_the_server() {
        for (text, path) in [
            ("", ""),
            ("/", ""),
            (" /tinpot/ ", "/tinpot"),
            ("tinpot", "/tinpot"),
            ("/a/b.c/~d", "/a/b.c/~d"),
            ("/apis", "/apis"),
        ] {
            assert_eq!(text.parse::<RootPath>().expect(text).as_str(), path);
        }
        let long = "x".repeat(300);
        for text in ["/a b", "/a//b", "/../a", "http://host/a", "/a?b", "/ü", "/api/x", "ui", &long]
        {
            let error = text.parse::<RootPath>().expect_err(text);
            assert!(error.to_string().contains("root path must"), "{error}");
        }
    }
}
