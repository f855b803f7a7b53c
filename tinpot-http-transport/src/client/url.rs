//! The URL of a server.

use hyper::Uri;
use tinpot_core::{Error, ErrorKind, Result};

/// The URL of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServerUrl {
    is_encrypted: bool,
    /// Without the brackets of an IPv6 address.
    host: String,
    port: u16,
    /// The header `Host`.
    authority: String,
    /// The path below which the server is; empty or like `/tinpot`.
    base: String,
}

impl ServerUrl {
    /// Parses a URL: `https://host/path` or `http://host:port`.
    ///
    /// # Errors
    /// `InvalidInput`. The message does not repeat the URL: it may have a password.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let invalid = |why: &str| {
            let message = format!("invalid server URL: {why}; write it as https://host");
            Error::new(ErrorKind::InvalidInput, message)
        };
        let uri: Uri = text.trim().parse().map_err(|_| invalid("it is no URL"))?;
        let is_encrypted = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(invalid("the scheme must be https or http")),
        };
        let authority = uri.authority().ok_or_else(|| invalid("there is no host"))?;
        if authority.as_str().contains('@') {
            return Err(invalid("it must not have a user or a password"));
        }
        if uri.query().is_some() || text.contains('#') {
            return Err(invalid("something follows the path"));
        }
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        if host.is_empty() {
            return Err(invalid("there is no host"));
        }
        let port = match authority.port() {
            None if is_encrypted => 443,
            None => 80,
            Some(port) => port.as_u16(),
        };
        let base = uri.path().trim_end_matches('/').to_owned();
        Ok(Self { is_encrypted, host, port, authority: authority.to_string(), base })
    }

    pub(crate) fn is_encrypted(&self) -> bool {
        self.is_encrypted
    }

    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }

    /// Returns the path of a request.
    pub(crate) fn path(&self, below: &str) -> String {
        format!("{}{below}", self.base)
    }
}

#[cfg(test)]
mod tests {
    use super::ServerUrl;

    #[test]
    fn urls_have_a_scheme_a_host_and_perhaps_a_path() {
        let parsed = |text: &str| {
            let url = ServerUrl::parse(text).unwrap();
            (url.is_encrypted(), url.host().to_owned(), url.port(), url.path("/api"))
        };
        let https = |host: &str, port, path: &str| (true, host.to_owned(), port, path.to_owned());
        assert_eq!(parsed("https://h"), https("h", 443, "/api"));
        assert_eq!(parsed("https://h:8443/tinpot/"), https("h", 8443, "/tinpot/api"));
        assert_eq!(parsed("https://[::1]:1"), https("::1", 1, "/api"));
        assert_eq!(parsed("http://h/"), (false, "h".to_owned(), 80, "/api".to_owned()));
        for bad in ["h", "ftp://h", "https://", "https://me:secret@h", "https://h/?a=b", "/a"] {
            let error = ServerUrl::parse(bad).unwrap_err().to_string();
            assert!(error.contains("https://host") && !error.contains("secret"), "{bad}: {error}");
        }
    }
}
