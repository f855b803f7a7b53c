//! The URL by which people reach a server.

use std::fmt;
use std::str::FromStr;

use axum::http::Uri;
use axum::http::uri::Scheme;
use tinpot_core::{Error, ErrorKind};

use crate::hosts::AllowedHost;
use crate::root_path::RootPath;

/// The URL by which people reach a server, such as `https://tinpot.example.org`, with the path
/// below which a proxy serves it.
///
/// ```
/// use tinpot_http::PublicUrl;
///
/// let url: PublicUrl = "https://Tools.example.org/tinpot/".parse()?;
/// assert_eq!(url.to_string(), "https://tools.example.org/tinpot");
/// assert!("tools.example.org".parse::<PublicUrl>().is_err());
/// # Ok::<(), tinpot_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl {
    is_secure: bool,
    /// The host, with the port if the URL has one.
    authority: String,
    path: RootPath,
    host: AllowedHost,
}

impl PublicUrl {
    /// Returns true if its scheme is HTTPS.
    pub fn is_secure(&self) -> bool {
        self.is_secure
    }

    /// Returns the path, below which the server is found.
    pub fn path(&self) -> &RootPath {
        &self.path
    }

    /// Returns the scheme.
    pub(crate) fn scheme(&self) -> &'static str {
        if self.is_secure { "https" } else { "http" }
    }

    /// Returns the host, with the port if the URL has one.
    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }

    /// Returns the host as requests name it.
    pub(crate) fn host(&self) -> AllowedHost {
        self.host.clone()
    }

    /// Returns true if a request that names this host is a request to this URL.
    pub(crate) fn is_host(&self, host: &str) -> bool {
        let default = if self.is_secure { ":443" } else { ":80" };
        let bare = |text: &str| text.strip_suffix(default).unwrap_or(text).to_ascii_lowercase();
        bare(host) == bare(&self.authority)
    }
}

impl FromStr for PublicUrl {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let invalid = || {
            let message = format!(
                "public URL must be like https://tinpot.example.org or https://example.org/tinpot (got {text:?})"
            );
            Error::new(ErrorKind::InvalidInput, message)
        };
        let uri: Uri = text.parse().map_err(|_| invalid())?;
        let is_secure = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(scheme) if *scheme == Scheme::HTTP => false,
            _ => return Err(invalid()),
        };
        let authority = uri.authority().map(|authority| authority.as_str().to_ascii_lowercase());
        let authority =
            authority.filter(|authority| !authority.contains('@')).ok_or_else(invalid)?;
        if uri.query().is_some() || text.contains('#') || authority.contains('*') {
            return Err(invalid());
        }
        let host = authority.parse().map_err(|_| invalid())?;
        let path = uri.path().parse().map_err(|_| invalid())?;
        Ok(Self { is_secure, authority, path, host })
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme(), self.authority, self.path.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::PublicUrl;

    #[test]
    fn a_public_url_has_a_scheme_a_host_and_a_path_at_most() {
        for (text, shown) in [
            ("https://tinpot.example.org", "https://tinpot.example.org"),
            ("https://Tinpot.example.org:8443/a/b/", "https://tinpot.example.org:8443/a/b"),
            ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
            ("http://[::1]:8000/", "http://[::1]:8000"),
        ] {
            assert_eq!(text.parse::<PublicUrl>().expect(text).to_string(), shown);
        }
        for wrong in [
            "",
            "tinpot.example.org",
            "ftp://a.example",
            "https://",
            "https://me@a.example",
            "https://a.example?x",
            "https://a.example/#x",
            "https://*.a.example",
            "https://a.example/a b",
            "/tinpot",
        ] {
            wrong.parse::<PublicUrl>().expect_err(wrong);
        }
    }

    #[test]
    fn the_port_of_the_scheme_may_be_named() {
        let url: PublicUrl = "https://a.example".parse().expect("a URL");
        assert!(url.is_host("a.example") && url.is_host("A.example:443"));
        assert!(!url.is_host("a.example:80") && !url.is_host("b.example"));
    }
}
