//! The logins of MQTT clients at the embedded broker.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use tinpot_core::{Error, ErrorKind, Result};

use super::GatewayClient;

/// The largest file of logins.
const BYTES: u64 = 1 << 20;
/// The number of logins.
const LOGINS: usize = 1000;
/// The users of the coordinator and of workers that join.
const RESERVED: [&str; 2] = ["coordinator", "join"];

/// A login that reaches the topics of a prefix. Its `Debug` form leaves out the password.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct PlainLogin {
    pub(crate) prefix: String,
    pub(crate) user: String,
    pub(crate) password: String,
}

impl fmt::Debug for PlainLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { prefix, user, .. } = self;
        f.debug_struct("PlainLogin").field("prefix", prefix).field("user", user).finish()
    }
}

/// Reads the logins of a file. `other` is the user of the broker, if it has one.
///
/// # Errors
/// `InvalidInput` if the file cannot be read, or a line does not count.
pub(crate) fn read(
    path: &Path,
    clients: &[GatewayClient],
    other: Option<&str>,
) -> Result<Vec<PlainLogin>> {
    let invalid = |why: String| {
        let path = path.display();
        let message = format!("{path} (--mqtt-users-file, TINPOT_MQTT_USERS_FILE): {why}");
        Error::new(ErrorKind::InvalidInput, message)
    };
    let mut text = String::new();
    let file = File::open(path).map_err(|error| invalid(error.to_string()))?;
    file.take(BYTES + 1).read_to_string(&mut text).map_err(|error| invalid(error.to_string()))?;
    if text.len() as u64 > BYTES {
        return Err(invalid(format!("it must have at most {BYTES} bytes")));
    }
    parse(&text, clients, other).map_err(invalid)
}

fn parse(
    text: &str,
    clients: &[GatewayClient],
    other: Option<&str>,
) -> Result<Vec<PlainLogin>, String> {
    let mut logins: Vec<PlainLogin> = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        // A password may end with a space.
        if line.trim().is_empty() || line.trim_start().starts_with('#') {
            continue;
        }
        // The line has a password, so it is not shown.
        let wrong = |why: &str| format!("line {number}: {why}");
        let parts = line.split_once('=').and_then(|(prefix, login)| {
            let (user, password) = login.split_once(':')?;
            Some((prefix.trim(), user.trim(), password))
        });
        let (prefix, user, password) =
            parts.ok_or_else(|| wrong("must be PREFIX=NAME:PASSWORD"))?;
        if !clients.iter().any(|client| client.prefix == prefix) {
            return Err(wrong(&format!(
                "the prefix must be one of --mqtt-clients (got {prefix:?})"
            )));
        }
        if user.is_empty() || password.is_empty() {
            return Err(wrong("the name and the password must not be empty"));
        }
        // The id of the key of a worker.
        let is_key = user.len() == 32 && user.bytes().all(|byte| byte.is_ascii_hexdigit());
        if RESERVED.contains(&user) || other == Some(user) || is_key {
            return Err(wrong(&format!("the user {user:?} has another role: choose another name")));
        }
        if logins.iter().any(|login| login.user == user) {
            return Err(wrong(&format!("the user {user:?} has a line already")));
        }
        if logins.len() >= LOGINS {
            return Err(wrong(&format!("there must be at most {LOGINS} logins")));
        }
        let (prefix, user) = (prefix.to_owned(), user.to_owned());
        logins.push(PlainLogin { prefix, user, password: password.to_owned() });
    }
    if logins.is_empty() {
        return Err("it must have a line PREFIX=NAME:PASSWORD".to_owned());
    }
    Ok(logins)
}

#[cfg(test)]
mod tests {
    use tinpot_core::{DEFAULT_TEAM, Names};

    use super::{GatewayClient, parse};

    fn clients() -> Vec<GatewayClient> {
        let client = |prefix: &str| GatewayClient {
            prefix: prefix.to_owned(),
            team: DEFAULT_TEAM.to_owned(),
            user: None,
            offers: Names::none(),
        };
        vec![client("home"), client("factory/line-3")]
    }

    #[test]
    fn lines_are_logins() {
        let text = "# the house\nhome=hall:s=e:cret\r\n\n factory/line-3 = robot:x \nhome=door:y\n";
        let logins = parse(text, &clients(), Some("web")).expect("logins");
        let short = |at: usize| (&*logins[at].prefix, &*logins[at].user, &*logins[at].password);
        assert_eq!(short(0), ("home", "hall", "s=e:cret"));
        assert_eq!(short(1), ("factory/line-3", "robot", "x "));
        assert_eq!((logins.len(), short(2)), (3, ("home", "door", "y")));
        assert!(!format!("{logins:?}").contains("s=e:cret"));
    }

    #[test]
    fn wrong_lines_are_refused_without_their_password() {
        for (text, why) in [
            ("", "must have a line"),
            ("home=secret", "line 1: must be PREFIX=NAME:PASSWORD"),
            ("hall:secret", "line 1: must be PREFIX=NAME:PASSWORD"),
            ("# x\noffice=hall:secret", "line 2: the prefix must be one of --mqtt-clients"),
            ("home=:secret", "must not be empty"),
            ("home=hall:", "must not be empty"),
            ("home=coordinator:secret", "another role"),
            ("home=join:secret", "another role"),
            ("home=web:secret", "another role"),
            ("home=0123456789abcdef0123456789ABCDEF:secret", "another role"),
            ("home=hall:secret\nhome=hall:secret", "line 2: the user \"hall\" has a line already"),
        ] {
            let error = parse(text, &clients(), Some("web")).expect_err(why);
            assert!(error.contains(why) && !error.contains("secret"), "{error}");
        }
        let many: String = (0..1001).map(|number| format!("home=u{number}:x\n")).collect();
        assert!(parse(&many, &clients(), None).expect_err("many").contains("at most 1000 logins"));
    }
}
