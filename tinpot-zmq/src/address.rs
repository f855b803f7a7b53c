//! The address of a coordinator.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use omq_tokio::Endpoint;
use omq_tokio::endpoint::Host;
use tinpot_core::{Error, Result};

use crate::error::invalid;

/// The longest path of a socket: the system has 108 bytes, of which one ends the path.
const PATH_BYTES: usize = 107;
const FORM: &str = "write it as zmq+ipc:///run/tinpot/zmq or zmq+tcp://host:port";

/// The address of a coordinator: a socket in the file system, or a TCP port.
///
/// ```
/// use tinpot_zmq::ZmqAddress;
///
/// let address: ZmqAddress = "zmq+tcp://127.0.0.1:5555".parse()?;
/// assert!(address.is_local());
/// assert!("zmq+tcp://127.0.0.1".parse::<ZmqAddress>().is_err());
/// # Ok::<_, tinpot_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZmqAddress(Place);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A socket in the file system.
    File(PathBuf),
    /// A host, without the brackets of an IPv6 address, and a port.
    Tcp(String, u16),
}

impl ZmqAddress {
    /// Returns true if only this machine reaches the address.
    pub fn is_local(&self) -> bool {
        match &self.0 {
            Place::File(_) => true,
            Place::Tcp(host, _) => match host.parse::<IpAddr>() {
                Ok(ip) => ip.to_canonical().is_loopback(),
                Err(_) => host == "localhost",
            },
        }
    }

    /// Returns the path of the socket, if the address is one in the file system.
    pub fn path(&self) -> Option<&Path> {
        match &self.0 {
            Place::File(path) => Some(path),
            Place::Tcp(..) => None,
        }
    }

    pub(crate) fn place(&self) -> &Place {
        &self.0
    }

    pub(crate) fn endpoint(&self) -> Result<Endpoint> {
        match &self.0 {
            Place::File(path) => {
                let text = format!("ipc://{}", path.display());
                text.parse().map_err(|error| invalid(format!("invalid address: {error}; {FORM}")))
            }
            Place::Tcp(host, port) => {
                let host = match host.parse() {
                    Ok(ip) => Host::Ip(ip),
                    Err(_) => Host::Name(host.clone()),
                };
                Ok(Endpoint::Tcp { host, port: *port })
            }
        }
    }

    /// Returns this address with the port that the system chose.
    pub(crate) fn bound(&self, endpoint: &Endpoint) -> Self {
        match (&self.0, endpoint) {
            (Place::Tcp(host, _), Endpoint::Tcp { port, .. }) => {
                Self(Place::Tcp(host.clone(), *port))
            }
            _ => self.clone(),
        }
    }
}

impl fmt::Display for ZmqAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Place::File(path) => write!(f, "zmq+ipc://{}", path.display()),
            Place::Tcp(host, port) => match host.parse::<Ipv6Addr>() {
                Ok(ip) => write!(f, "zmq+tcp://{}", SocketAddr::new(ip.into(), *port)),
                Err(_) => write!(f, "zmq+tcp://{host}:{port}"),
            },
        }
    }
}

impl FromStr for ZmqAddress {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bad = |why: &str| invalid(format!("invalid address {text:?}: {why}; {FORM}"));
        let (scheme, rest) =
            text.trim().split_once("://").ok_or_else(|| bad("there is no scheme"))?;
        if scheme.eq_ignore_ascii_case("zmq+ipc") {
            if !rest.starts_with('/') {
                return Err(bad("the path must be absolute"));
            }
            if rest.ends_with('/') || rest.contains('\0') {
                return Err(bad("the path must be that of a file"));
            }
            let bytes = rest.len();
            if bytes > PATH_BYTES {
                return Err(invalid(format!(
                    "the path of a socket must be at most {PATH_BYTES} bytes (got {bytes}): choose a \
                     shorter one than {rest}"
                )));
            }
            return Ok(Self(Place::File(rest.into())));
        }
        if !scheme.eq_ignore_ascii_case("zmq+tcp") {
            return Err(bad("the scheme must be zmq+ipc or zmq+tcp"));
        }
        if rest.contains(['@', '/', '?', '#']) {
            return Err(bad("there must be a host and a port only"));
        }
        let (host, port) = rest.rsplit_once(':').ok_or_else(|| bad("there is no port"))?;
        let port = port.parse().map_err(|_| bad("the port must be from 0 to 65535"))?;
        let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(ip) if ip.parse::<Ipv6Addr>().is_ok() => ip,
            Some(_) => return Err(bad("what is in brackets must be an IPv6 address")),
            None => host,
        };
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        let is_bracketed = host.parse::<Ipv6Addr>().is_ok() && rest.starts_with('[');
        if !is_bracketed && (host.is_empty() || !host.chars().all(is_name)) {
            return Err(bad("the host must be a name or an IP address, with IPv6 in brackets"));
        }
        Ok(Self(Place::Tcp(host.to_owned(), port)))
    }
}

#[cfg(test)]
mod tests {
    use super::ZmqAddress;

    #[test]
    fn addresses_are_paths_or_hosts_with_ports() {
        for text in [
            "zmq+ipc:///run/tinpot/zmq",
            "zmq+tcp://127.0.0.1:5555",
            "zmq+tcp://[::1]:5555",
            "zmq+tcp://tinpot.example.org:1",
        ] {
            let address: ZmqAddress = text.parse().unwrap();
            assert_eq!(address.to_string(), text);
            assert_eq!(address.is_local(), !text.contains("example"), "{text}");
            address.endpoint().unwrap();
        }
        assert!(!"zmq+tcp://0.0.0.0:1".parse::<ZmqAddress>().unwrap().is_local());
        for (text, why) in [
            ("tcp://h:1", "the scheme must be zmq+ipc or zmq+tcp"),
            ("zmq+tcp", "there is no scheme"),
            ("zmq+tcp://h", "there is no port"),
            ("zmq+tcp://h:70000", "the port must be from 0 to 65535"),
            ("zmq+tcp://:1", "the host must be a name"),
            ("zmq+tcp://::1:1", "with IPv6 in brackets"),
            ("zmq+tcp://me:secret@h:1", "a host and a port only"),
            ("zmq+ipc://run/zmq", "the path must be absolute"),
            ("zmq+ipc://@name", "the path must be absolute"),
            ("zmq+ipc:///run/", "that of a file"),
        ] {
            let error = text.parse::<ZmqAddress>().unwrap_err().to_string();
            assert!(error.contains(why) && error.contains("zmq+tcp://host:port"), "{error}");
        }
        let long = format!("zmq+ipc:///{}", "x".repeat(107));
        let error = long.parse::<ZmqAddress>().unwrap_err().to_string();
        assert!(error.contains("at most 107 bytes (got 108)"), "{error}");
        assert!(long[..long.len() - 1].parse::<ZmqAddress>().is_ok());
    }
}
