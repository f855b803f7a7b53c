//! The host names that requests may have.
//!
//! A page of another site can let its own name resolve to this server's address (DNS rebinding). The
//! browser then takes the server for that site, and lets the page read every answer. Only the header
//! `Host` tells such requests apart, so that each name needs an allowance. Names that mean this
//! machine to every browser cannot be rebound, and need none.

mod refused;

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

use axum::http::{HeaderMap, Uri, header};
use tinpot_core::{Error, ErrorKind};

use self::refused::Refused;

/// The longest host that is compared: that of a DNS name, with a port.
const HOST_BYTES: usize = 262;
/// The part of a refused host that is logged.
const LOGGED_CHARS: usize = 100;

/// A host that requests may name, in addition to `localhost`, names below it, and the addresses of the
/// loopback interface.
///
/// It is a name or an address, with a port or without: without one, every port is allowed.
/// `*.example.org` stands for all names below `example.org`, an unspecified address (`0.0.0.0` or `::`)
/// for every address, and `*` for every host, which gives up the protection against DNS rebinding.
///
/// ```
/// use tinpot_http::AllowedHost;
///
/// let host: AllowedHost = "Tinpot.example.org:8443".parse()?;
/// assert_eq!(host.to_string(), "tinpot.example.org:8443");
/// assert!("https://tinpot.example.org".parse::<AllowedHost>().is_err());
/// # Ok::<(), tinpot_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedHost {
    name: Name,
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Name {
    Any,
    /// The names that end with this one, which begins with a dot.
    Below(String),
    Exactly(String),
    Address(IpAddr),
}

impl From<IpAddr> for AllowedHost {
    fn from(address: IpAddr) -> Self {
        Self { name: Name::Address(address), port: None }
    }
}

impl fmt::Display for AllowedHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Name::Any => f.write_str("*")?,
            Name::Below(end) => write!(f, "*{end}")?,
            Name::Exactly(name) => f.write_str(name)?,
            Name::Address(IpAddr::V6(address)) => write!(f, "[{address}]")?,
            Name::Address(address) => write!(f, "{address}")?,
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl FromStr for AllowedHost {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let invalid = || {
            let message = format!(
                "allowed host must be a name or an address, with a port or without, like \
                 tinpot.example.org or *.example.org:8443 (got {text:?})"
            );
            Error::new(ErrorKind::InvalidInput, message)
        };
        let bare = text.trim();
        if bare == "*" {
            return Ok(Self { name: Name::Any, port: None });
        }
        if let Ok(address) = bare.parse::<IpAddr>() {
            return Ok(address.into());
        }
        if let Some(rest) = bare.strip_prefix("*.") {
            let (name, port) = Host::named(rest).ok_or_else(invalid)?;
            return Ok(Self { name: Name::Below(format!(".{name}")), port });
        }
        let host = Host::parse(bare).ok_or_else(invalid)?;
        let name = match host.address {
            Some(address) => Name::Address(address),
            None => Name::Exactly(host.name),
        };
        Ok(Self { name, port: host.port })
    }
}

impl AllowedHost {
    fn admits(&self, host: &Host) -> bool {
        let name = match &self.name {
            Name::Any => return true,
            Name::Below(end) => host.address.is_none() && host.name.ends_with(&**end),
            Name::Exactly(name) => host.address.is_none() && host.name == *name,
            // The name of another site is never an address.
            Name::Address(address) if address.is_unspecified() => host.address.is_some(),
            Name::Address(address) => host.address == Some(*address),
        };
        name && (self.port.is_none() || self.port == host.port)
    }
}

/// The host of a request.
#[derive(Debug)]
struct Host {
    /// In small letters, without a dot at its end.
    name: String,
    address: Option<IpAddr>,
    port: Option<u16>,
}

impl Host {
    fn parse(text: &str) -> Option<Self> {
        if text.len() > HOST_BYTES {
            return None;
        }
        if let Some(rest) = text.strip_prefix('[') {
            let (address, port) = rest.split_once(']')?;
            let address = IpAddr::V6(address.parse().ok()?).to_canonical();
            let port = if port.is_empty() { None } else { Some(number(port.strip_prefix(':')?)?) };
            return Some(Self { name: String::new(), address: Some(address), port });
        }
        let (name, port) = Self::named(text)?;
        Some(Self { address: name.parse().ok(), name, port })
    }

    /// Splits a name or an IPv4 address from its port.
    fn named(text: &str) -> Option<(String, Option<u16>)> {
        let (name, port) = match text.split_once(':') {
            Some((name, port)) => (name, Some(number(port)?)),
            None => (text, None),
        };
        let name = name.strip_suffix('.').unwrap_or(name);
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        let fits = !name.is_empty() && !name.starts_with('.') && name.bytes().all(plain);
        fits.then(|| (name.to_ascii_lowercase(), port))
    }

    /// Returns true if every browser looks for the host on its own machine.
    fn is_loopback(&self) -> bool {
        match self.address {
            Some(address) => address.is_loopback(),
            None => self.name == "localhost" || self.name.ends_with(".localhost"),
        }
    }
}

fn number(port: &str) -> Option<u16> {
    port.bytes().all(|byte| byte.is_ascii_digit()).then(|| port.parse().ok()).flatten()
}

/// The guard of one router.
#[derive(Debug)]
pub(crate) struct Hosts {
    allowed: Vec<AllowedHost>,
    refused: Mutex<Refused>,
}

impl Hosts {
    pub(crate) fn new(allowed: Vec<AllowedHost>) -> Self {
        Self { allowed, refused: Mutex::default() }
    }

    /// Returns true if every host that a request names is allowed; logs one that is not.
    ///
    /// A request in memory, or of HTTP/1.0, may name none. Browsers always do.
    pub(crate) fn admit(&self, uri: &Uri, headers: &HeaderMap) -> bool {
        let given = headers.get_all(header::HOST).iter().map(|host| host.as_bytes());
        // HTTP/2, and requests that are meant for a proxy.
        let of_uri = uri.authority().map(|authority| authority.as_str().as_bytes());
        let refused = given.chain(of_uri).find(|host| !self.admits(host));
        if let Some(host) = refused {
            self.log(host);
        }
        refused.is_none()
    }

    fn admits(&self, host: &[u8]) -> bool {
        let host = std::str::from_utf8(host).ok().and_then(Host::parse);
        let known = |host: &Host| {
            host.is_loopback() || self.allowed.iter().any(|allowed| allowed.admits(host))
        };
        host.as_ref().is_some_and(known) || self.allowed.iter().any(|one| one.name == Name::Any)
    }

    fn log(&self, host: &[u8]) {
        let host: String = String::from_utf8_lossy(host).chars().take(LOGGED_CHARS).collect();
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if refused.is_news(&host) {
            tracing::warn!(
                ?host,
                "refused a request to a host that is not allowed; if people use this name, allow it \
                 with --allow-host (TINPOT_ALLOW_HOSTS), in Rust with HttpConfig::hosts"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admits(allowed: &[&str], host: &str) -> bool {
        let allowed = allowed.iter().map(|text| text.parse().expect(text)).collect();
        Hosts::new(allowed).admits(host.as_bytes())
    }

    #[test]
    fn names_of_this_machine_need_no_allowance() {
        for host in [
            "localhost",
            "LOCALHOST:8000",
            "localhost.:1",
            "tinpot.localhost",
            "127.0.0.1:8000",
            "127.8.7.6",
            "[::1]:8000",
            "[::ffff:127.0.0.1]",
        ] {
            assert!(admits(&[], host), "{host}");
        }
        for host in [
            "",
            ":8000",
            "evil.example",
            "localhost.evil.example",
            "notlocalhost",
            "127.0.0.1.evil.example",
            "10.0.0.1:8000",
            "0.0.0.0",
            "[::2]",
            "[::1",
            "[::1]x",
            "localhost:x",
            "localhost:+1",
            "localhost:80:80",
            "localhost@evil.example",
            "evil.example/localhost",
            "localhost, evil.example",
            ".localhost",
        ] {
            assert!(!admits(&[], host), "{host}");
        }
    }

    #[test]
    fn an_allowance_is_for_its_name_and_its_port() {
        let allowed =
            ["tinpot.example.org", "b.example:8443", "*.c.example", "10.0.0.1", "fe80::1"];
        for host in [
            "tinpot.example.org",
            "Tinpot.Example.org:80",
            "b.example:8443",
            "x.c.example:1",
            "10.0.0.1:8000",
            "[fe80::1]:8000",
        ] {
            assert!(admits(&allowed, host), "{host}");
        }
        for host in ["b.example", "b.example:8000", "c.example", "xc.example", "10.0.0.2"] {
            assert!(!admits(&allowed, host), "{host}");
        }
        assert!(admits(&["0.0.0.0"], "10.0.0.1:8000") && admits(&["::"], "[fe80::1]"));
        assert!(!admits(&["0.0.0.0"], "evil.example"));
        assert!(admits(&["*"], "evil.example") && admits(&["*"], "%"));
    }

    #[test]
    fn a_url_or_a_pattern_elsewhere_is_no_host() {
        for text in ["", "http://a.example", "a.example/", "a.*", "*.", "**", "a:b", "a b", "a,b"] {
            let error = text.parse::<AllowedHost>().expect_err(text);
            assert!(error.to_string().contains("allowed host must be a name"), "{error}");
        }
    }
}
