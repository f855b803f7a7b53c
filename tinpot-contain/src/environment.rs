//! The environment of interpreters: the part of the worker's own that actions may see.
//!
//! The settings of a worker may have passwords in them, and so may the shell that started it.
//! Everything that an action starts inherits what the action has. So interpreters begin with the
//! variables that programs need, and with those that the operator names.

use std::ffi::{OsStr, OsString};

use tokio::process::Command;

/// The variables that programs need to find files, texts, certificates and the network.
const ALWAYS: &[&str] = &[
    "ALL_PROXY",
    "FTP_PROXY",
    "HOME",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "LANG",
    "LANGUAGE",
    "LD_LIBRARY_PATH",
    "LD_PRELOAD",
    "LOGNAME",
    "NO_PROXY",
    "PATH",
    "SHELL",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "TERM",
    "TMPDIR",
    "TZ",
    "USER",
    "VIRTUAL_ENV",
    "all_proxy",
    "ftp_proxy",
    "http_proxy",
    "https_proxy",
    "no_proxy",
];
/// The beginnings of such variables: the locale, and the settings of Python.
const ALWAYS_BEGIN: &[&str] = &["LC_", "PYTHON"];
/// The beginning of the variables with secrets of actions. They are no part of the environment, which
/// everything that an action starts inherits, and which `/proc` shows.
pub(crate) const SECRETS: &str = "TINPOT_SECRET_";
const SECRETS_DIR: &str = "TINPOT_SECRETS_DIR";
/// The beginnings of the worker's own settings, which no name and no pattern selects.
const OWN: &[&str] = &["TINPOT_", "MQTT_", "BROKER_"];
/// The ends of variables that only their whole names select.
const CREDENTIALS: &[&str] = &["_TOKEN", "_PASSWORD"];
/// The beginnings of such variables: addresses of package indexes have passwords in them.
const INSTALLERS: &[&str] = &["PIP_", "UV_"];

/// The variables of this process that interpreters get.
#[derive(Clone, Debug, Default)]
pub struct Environment(Vec<(OsString, OsString)>);

impl Environment {
    /// Takes the variables that are always passed, and those that `names` select: names, or their
    /// beginnings with a `*`.
    pub fn of_this_process(names: &[String]) -> Self {
        let passed = |(name, _): &(OsString, OsString)| is_passed(name, names);
        Self(std::env::vars_os().filter(passed).collect())
    }

    /// Returns the variables.
    pub fn into_variables(self) -> Vec<(OsString, OsString)> {
        self.0
    }

    /// Gives a command these variables and no others.
    pub fn replace(&self, command: &mut Command) {
        command.env_clear().envs(self.0.iter().map(|(name, value)| (name, value)));
    }
}

fn is_passed(name: &OsStr, names: &[String]) -> bool {
    // A name that is not text is no setting, and only `*` selects it.
    let Some(name) = name.to_str() else { return names.iter().any(|pattern| pattern == "*") };
    if name == SECRETS_DIR {
        return true;
    }
    if OWN.iter().any(|begin| name.starts_with(begin)) {
        return false;
    }
    if ALWAYS.contains(&name) || ALWAYS_BEGIN.iter().any(|begin| name.starts_with(begin)) {
        return true;
    }
    let is_credential = CREDENTIALS.iter().any(|end| name.ends_with(end))
        || INSTALLERS.iter().any(|begin| name.starts_with(begin));
    names.iter().any(|pattern| match pattern.strip_suffix('*') {
        Some(begin) => !is_credential && name.starts_with(begin),
        None => name == pattern,
    })
}

#[cfg(test)]
mod tests {
    use super::is_passed;

    #[test]
    fn credentials_need_their_names_and_own_settings_have_none() {
        let passed = |name: &str, names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            is_passed(name.as_ref(), &names)
        };
        for name in ["PATH", "LC_ALL", "PYTHONPATH", "https_proxy", "TINPOT_SECRETS_DIR"] {
            assert!(passed(name, &[]), "{name}");
        }
        for name in ["AWS_REGION", "GITHUB_TOKEN", "DB_PASSWORD", "path", "LC", ""] {
            assert!(!passed(name, &[]), "{name}");
        }
        assert!(passed("AWS_REGION", &["AWS_*"]) && passed("AWS_REGION", &["x", "*"]));
        assert!(passed("AWS_REGION", &["AWS_REGION"]) && !passed("AWS_REGION", &["AWS_"]));
        assert!(!passed("AWS_SESSION_TOKEN", &["AWS_*", "*"]));
        assert!(passed("AWS_SESSION_TOKEN", &["AWS_SESSION_TOKEN"]));
        assert!(!passed("PIP_INDEX_URL", &["PIP_*", "*"]) && passed("UV_INDEX", &["UV_INDEX"]));
        for name in [
            "TINPOT_SECRET_DB",
            "MQTT_BROKER",
            "TINPOT_BROKER_USER",
            "BROKER_USER",
            "MQTT_BROKER_PASSWORD",
        ] {
            assert!(!passed(name, &["*", name]), "{name}");
        }
    }
}
