//! Where clients find what this router serves: for the page, and for the paths in answers.

use std::convert::Infallible;

use axum::extract::{FromRequestParts, OriginalUri};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Uri};

/// The header by which a proxy says what it has taken off the path.
const PREFIX: &str = "x-forwarded-prefix";

/// The longest prefix that is believed.
const PREFIX_BYTES: usize = 256;

/// The path in front of every path of this router, as clients see it: empty, or like `/tools/tinpot`.
///
/// It is what a proxy in front says that it has taken off, and then what nesting has taken off.
#[derive(Debug)]
pub(crate) struct BasePath(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for BasePath {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let OriginalUri(original) = OriginalUri::from_request_parts(parts, state).await?;
        let prefix = forwarded(&parts.headers).unwrap_or_default();
        Ok(Self(format!("{prefix}{}", nested(&original, &parts.uri))))
    }
}

/// Where the host has mounted the router: what nesting has taken off the path that was asked for.
fn nested<'a>(original: &'a Uri, seen: &Uri) -> &'a str {
    // What is nested at `/x` sees `/` when `/x` is asked for.
    let inner =
        if seen.path() == "/" && !original.path().ends_with('/') { "" } else { seen.path() };
    original.path().strip_suffix(inner).unwrap_or_default()
}

/// What the proxy has taken off, when that is a plain absolute path.
///
/// Anybody can send the header to a server without a proxy, and a page looks there for its scripts: `//elsewhere` would be another host.
fn forwarded(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(PREFIX).iter();
    let prefix = values.next()?.to_str().ok()?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    let fits = values.next().is_none()
        && prefix.len() <= PREFIX_BYTES
        && prefix.starts_with('/')
        && !prefix.contains("//")
        && prefix.bytes().all(plain)
        // A browser would walk up.
        && !prefix.split('/').any(|segment| matches!(segment, "." | ".."));
    fits.then(|| prefix.strip_suffix('/').unwrap_or(prefix))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn given(values: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(PREFIX, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        forwarded(&headers).map(str::to_owned)
    }

    #[test]
    fn plain_absolute_paths_are_believed() {
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
        assert_eq!(given(&["/a", "/b"]), None, "which of them is not known");
    }
}
