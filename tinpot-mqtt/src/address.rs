//! The URL of a broker.

use std::fmt;

use crate::error::MqttError;

/// The protocol below MQTT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    Tcp,
    Tls,
    Ws,
    Wss,
}

impl Scheme {
    pub(crate) fn is_encrypted(self) -> bool {
        matches!(self, Scheme::Tls | Scheme::Wss)
    }

    fn default_port(self) -> u16 {
        match self {
            Scheme::Tcp => 1883,
            Scheme::Tls => 8883,
            Scheme::Ws => 80,
            Scheme::Wss => 443,
        }
    }
}

/// A parsed URL of a broker. `Debug` and `Display` leave its secrets out.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct BrokerAddress {
    pub(crate) scheme: Scheme,
    /// Without the brackets of an IPv6 address.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// The path of a WebSocket; begins with `/`.
    pub(crate) path: String,
    pub(crate) user: Option<String>,
    pub(crate) password: Option<String>,
}

impl fmt::Display for BrokerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Debug for BrokerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {self}{} as {:?}", self.scheme, self.path, self.user)
    }
}

fn bad(why: impl Into<String>) -> MqttError {
    MqttError::Url(why.into())
}

impl BrokerAddress {
    /// Parses a URL: `mqtt://user:password@host:1883`, `wss://host/path`.
    ///
    /// Errors repeat at most scheme, host and port: a password may be anywhere else.
    pub(crate) fn parse(url: &str) -> Result<Self, MqttError> {
        let (scheme, rest) = url
            .split_once("://")
            .ok_or_else(|| bad("there is no scheme; write it as mqtt://host:1883"))?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "mqtt" | "tcp" => Scheme::Tcp,
            "mqtts" => Scheme::Tls,
            "ws" => Scheme::Ws,
            "wss" => Scheme::Wss,
            other => {
                return Err(bad(format!(
                    "{other:?} is not a scheme for MQTT; use mqtt, tcp, mqtts, ws or wss"
                )));
            }
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        if path.contains(['?', '#']) || path.contains(char::is_whitespace) {
            return Err(bad(
                "there is something after the path; options are set in code, and `?`, `#` and `/` in a password are \
                 written as %3F, %23 and %2F",
            ));
        }
        let (login, place) = match authority.rsplit_once('@') {
            Some((login, place)) => (Some(login), place),
            None => (None, authority),
        };
        let (user, password) = login.map_or(Ok((None, None)), parse_login)?;
        let (host, port) = parse_place(place, scheme)?;
        let path = match scheme {
            // The path that most brokers and proxies use.
            Scheme::Ws | Scheme::Wss if matches!(path, "" | "/") => "/mqtt",
            Scheme::Ws | Scheme::Wss => path,
            Scheme::Tcp | Scheme::Tls if matches!(path, "" | "/") => "",
            Scheme::Tcp | Scheme::Tls => {
                return Err(bad(
                    "there is a path after the host; only ws:// and wss:// have one, and the namespace is set in code",
                ));
            }
        };
        Ok(Self { scheme, host, port, path: path.to_owned(), user, password })
    }

    /// Returns the URL of a WebSocket, without the secrets.
    pub(crate) fn websocket_url(&self) -> String {
        let scheme = if self.scheme == Scheme::Wss { "wss" } else { "ws" };
        format!("{scheme}://{self}{}", self.path)
    }
}

fn parse_login(login: &str) -> Result<(Option<String>, Option<String>), MqttError> {
    let (user, password) = match login.split_once(':') {
        Some((user, password)) => (user, Some(password)),
        None => (login, None),
    };
    if user.is_empty() {
        return Err(bad("there is no user name before the `@`; write user:password@host"));
    }
    let password = password.map(|password| decode(password, "password")).transpose()?;
    Ok((Some(decode(user, "user name")?), password))
}

fn parse_place(place: &str, scheme: Scheme) -> Result<(String, u16), MqttError> {
    let (host, port) = if let Some(rest) = place.strip_prefix('[') {
        let (host, after) = rest
            .split_once(']')
            .ok_or_else(|| bad("the `[` of the IPv6 address is never closed; write [::1]:1883"))?;
        let port = match after {
            "" => None,
            after => Some(after.strip_prefix(':').ok_or_else(|| {
                bad(format!("{after:?} follows the IPv6 address; write [::1]:1883"))
            })?),
        };
        (host, port)
    } else {
        match place.split_once(':') {
            Some((_, port)) if port.contains(':') => {
                return Err(bad(format!(
                    "{place:?} has several `:`; write an IPv6 address as [::1]:1883"
                )));
            }
            Some((host, port)) => (host, Some(port)),
            None => (place, None),
        }
    };
    let allowed = |c: char| c.is_alphanumeric() || matches!(c, '-' | '.' | '_' | ':' | '%');
    if host.is_empty() {
        return Err(bad("there is no host; write mqtt://host:1883"));
    }
    if !host.chars().all(allowed) {
        return Err(bad(format!("{host:?} is not a host name or an address")));
    }
    let port = match port {
        None => scheme.default_port(),
        Some(text) => match text.parse() {
            Ok(port) if port > 0 => port,
            _ => {
                return Err(bad(format!("{text:?} is not a port; it is a number from 1 to 65535")));
            }
        },
    };
    Ok((host.to_owned(), port))
}

/// Decodes percent encoding, as in `p%40ss`.
fn decode(text: &str, what: &str) -> Result<String, MqttError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |at: usize| after.get(at).and_then(|&c| (c as char).to_digit(16));
        let (Some(high), Some(low)) = (digit(0), digit(1)) else {
            return Err(bad(format!(
                "the {what} has a `%` without two hex digits; a `%` is written as %25"
            )));
        };
        bytes.push((high * 16 + low) as u8);
        rest = &after[2..];
    }
    String::from_utf8(bytes)
        .map_err(|_| bad(format!("the {what} is not UTF-8 once its %xx are decoded")))
}

#[cfg(test)]
mod tests {
    use super::{BrokerAddress, Scheme};

    fn parsed(url: &str) -> (Scheme, String, String) {
        let address = BrokerAddress::parse(url).unwrap();
        (address.scheme, address.to_string(), address.path)
    }

    #[test]
    fn schemes_have_their_ports_and_paths() {
        let none = String::new();
        assert_eq!(parsed("mqtt://h"), (Scheme::Tcp, "h:1883".into(), none.clone()));
        assert_eq!(parsed("tcp://h:99/"), (Scheme::Tcp, "h:99".into(), none.clone()));
        assert_eq!(parsed("MQTTS://h"), (Scheme::Tls, "h:8883".into(), none.clone()));
        assert_eq!(parsed("mqtt://[::1]"), (Scheme::Tcp, "[::1]:1883".into(), none));
        assert_eq!(parsed("ws://h"), (Scheme::Ws, "h:80".into(), "/mqtt".into()));
        assert_eq!(parsed("wss://h/a/b"), (Scheme::Wss, "h:443".into(), "/a/b".into()));
    }

    #[test]
    fn login_is_decoded_and_never_shown() {
        let address = BrokerAddress::parse("mqtt://me:s%40cr%3At@h").unwrap();
        assert_eq!(address.user.as_deref(), Some("me"));
        assert_eq!(address.password.as_deref(), Some("s@cr:t"));
        assert!(!format!("{address:?} {address}").contains("s@cr"), "{address:?}");
        assert_eq!(BrokerAddress::parse("mqtt://me@h").unwrap().password, None);
    }
}
