//! The addresses of a pair of sockets.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// The longest path of a socket: the system has 108 bytes, of which one ends the path.
const PATH_BYTES: usize = 107;
const FORM: &str = "write it as ipc:///run/tinpot/moor or tcp://127.0.0.1:7896";

/// The address of a pair of sockets: `ipc:///tmp/moor` or `tcp://127.0.0.1:7896`.
///
/// ```
/// use tinpot_moor::MoorAddress;
///
/// let files: MoorAddress = "ipc:///tmp/moor".parse()?;
/// assert_eq!(files.requests(), "ipc:///tmp/moor_workers_request.sock");
/// assert_eq!(files.responses(), "ipc:///tmp/moor_workers_response.sock");
/// let ports: MoorAddress = "tcp://127.0.0.1:7896".parse()?;
/// assert_eq!(ports.responses(), "tcp://127.0.0.1:7897");
/// # Ok::<_, String>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MoorAddress(Place);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    /// The beginning of both paths.
    Files(String),
    /// A host, and the ports for requests and responses.
    Ports(IpAddr, u16, u16),
}

impl MoorAddress {
    /// Returns the address at which workers subscribe to requests.
    pub fn requests(&self) -> String {
        match &self.0 {
            Place::Files(path) => format!("ipc://{path}_workers_request.sock"),
            Place::Ports(ip, port, _) => tcp(ip, *port),
        }
    }

    /// Returns the address to which workers send their responses.
    pub fn responses(&self) -> String {
        match &self.0 {
            Place::Files(path) => format!("ipc://{path}_workers_response.sock"),
            Place::Ports(ip, _, port) => tcp(ip, *port),
        }
    }

    /// Returns true if only this machine reaches the address.
    pub fn is_local(&self) -> bool {
        match &self.0 {
            Place::Files(_) => true,
            Place::Ports(ip, ..) => ip.to_canonical().is_loopback(),
        }
    }

    /// Returns the paths of both sockets, if they are files.
    pub(crate) fn paths(&self) -> Option<[PathBuf; 2]> {
        match &self.0 {
            Place::Files(path) => {
                let path = |kind| PathBuf::from(format!("{path}_workers_{kind}.sock"));
                Some([path("request"), path("response")])
            }
            Place::Ports(..) => None,
        }
    }

    /// Returns the address with the ports that the system chose.
    pub(crate) fn bound(self, requests: u16, responses: u16) -> Self {
        match self.0 {
            Place::Ports(ip, ..) => Self(Place::Ports(ip, requests, responses)),
            files => Self(files),
        }
    }
}

fn tcp(ip: &IpAddr, port: u16) -> String {
    match ip {
        IpAddr::V4(ip) => format!("tcp://{ip}:{port}"),
        IpAddr::V6(ip) => format!("tcp://[{ip}]:{port}"),
    }
}

impl FromStr for MoorAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("ipc://") {
            if !path.starts_with('/') || path.ends_with('/') || path.contains('\0') {
                return Err(format!("the path must be absolute, and not that of a folder: {FORM}"));
            }
            let address = Self(Place::Files(path.to_owned()));
            let longest = address.responses().len() - "ipc://".len();
            if longest > PATH_BYTES {
                return Err(format!(
                    "the path of a socket must be at most {PATH_BYTES} bytes (got {longest} with \
                     \"_workers_response.sock\"): choose a shorter one"
                ));
            }
            return Ok(address);
        }
        let Some(rest) = text.strip_prefix("tcp://") else {
            return Err(format!("the scheme must be ipc or tcp: {FORM}"));
        };
        let (ip, port) = rest.rsplit_once(':').ok_or(format!("there is no port: {FORM}"))?;
        let ip = ip.trim_start_matches('[').trim_end_matches(']');
        let ip = ip.parse().map_err(|_| format!("the host must be an IP address: {FORM}"))?;
        let port = port.parse().map_err(|_| format!("the port must be 0 to 65534: {FORM}"))?;
        let next = match port {
            // The system chooses both.
            0 => 0,
            port => u16::checked_add(port, 1)
                .ok_or("the port must be 0 to 65534, since the next one is used as well")?,
        };
        Ok(Self(Place::Ports(ip, port, next)))
    }
}

impl fmt::Display for MoorAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Place::Files(path) => write!(f, "ipc://{path}"),
            Place::Ports(ip, port, _) => f.write_str(&tcp(ip, *port)),
        }
    }
}
