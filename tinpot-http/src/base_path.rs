//! The path at which clients find this router, for the page and for paths in answers.

use std::convert::Infallible;

use axum::extract::{FromRequestParts, OriginalUri};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Uri};

use crate::root_path::{Root, is_plain};

/// The header in which a proxy sends the prefix that it removed from the path.
const PREFIX: &str = "x-forwarded-prefix";

/// The path in front of every path of this router, as clients see it: empty, or like `/tools/tinpot`.
///
/// It consists of the prefix that a proxy removed, and the prefix that nesting removed.
#[derive(Debug)]
pub(crate) struct BasePath(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for BasePath {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let OriginalUri(original) = OriginalUri::from_request_parts(parts, state).await?;
        let prefix = forwarded(&parts.headers).unwrap_or_default();
        let nested = nested(&original, &parts.uri);
        Ok(Self(match parts.extensions.get::<Root>() {
            Some(root) => root.base(prefix, nested),
            None => format!("{prefix}{nested}"),
        }))
    }
}

/// Returns the prefix that nesting removed: the path at which the host mounted the router.
fn nested<'a>(original: &'a Uri, seen: &Uri) -> &'a str {
    // A router that is nested at `/x` sees `/` for a request to `/x`.
    let inner =
        if seen.path() == "/" && !original.path().ends_with('/') { "" } else { seen.path() };
    original.path().strip_suffix(inner).unwrap_or_default()
}

/// Returns the prefix that a proxy removed, if it is a plain absolute path.
///
/// Any client can send the header to a server without a proxy, and the page loads its scripts from
/// that path: `//elsewhere` would be another host.
fn forwarded(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(PREFIX).iter();
    let prefix = values.next()?.to_str().ok()?;
    let fits = values.next().is_none() && is_plain(prefix);
    fits.then(|| prefix.strip_suffix('/').unwrap_or(prefix))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;
    use crate::root_path::PATH_BYTES as PREFIX_BYTES;

    fn given(values: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(PREFIX, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        forwarded(&headers).map(str::to_owned)
    }

    #[test]
    fn plain_absolute_paths_are_accepted() {
        let longest = format!("/{}", "x".repeat(PREFIX_BYTES - 1));
        for (value, prefix) in [
            ("/tinpot", "/tinpot"),
            ("/tinpot/", "/tinpot"),
            ("/a/b-c/d_e/~f/1.2/..g", "/a/b-c/d_e/~f/1.2/..g"),
            ("/", ""),
            (&longest, &longest),
        ] {
            assert_eq!(given(&[value]).as_deref(), Some(prefix));
        }
    }

    #[test]
    fn anything_else_is_ignored() {
        let long = format!("/{}", "x".repeat(PREFIX_BYTES));
        for value in [
            "",
            "tinpot",
            "//elsewhere",
            "/a//b",
            "/a//",
            "///",
            "https://elsewhere/",
            "/\\elsewhere",
            "/a b",
            "/a\"b",
            "/a<b",
            "/a%2Fb",
            "/a?b",
            "/a#b",
            "/a:b",
            "/a@b",
            "/a,/b",
            "/ü",
            "/..",
            "/a/../b",
            "/./a",
            &long,
        ] {
            assert_eq!(given(&[value]), None, "{value}");
        }
        assert_eq!(given(&[]), None);
        assert_eq!(given(&["/a", "/b"]), None, "several are ambiguous");
    }
}
