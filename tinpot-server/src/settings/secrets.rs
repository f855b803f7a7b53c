//! Passwords of settings: in files, and never in the arguments of a process.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use tinpot_core::{Error, ErrorKind, Result};

/// The largest file with a password.
const BYTES: u64 = 4096;

/// Reads a password from the one line of a file, as systemd and Docker provide it. `setting` is the
/// name of the setting that names the file, for the error.
///
/// # Errors
/// `InvalidInput` if the file cannot be read, is empty, or has more than one line.
pub fn read_password(path: &Path, setting: &str) -> Result<String> {
    let invalid = |why: String| {
        let message = format!("cannot read a password from {} ({setting}): {why}", path.display());
        Error::new(ErrorKind::InvalidInput, message)
    };
    let mut text = String::new();
    let file = File::open(path).map_err(|e| invalid(e.to_string()))?;
    file.take(BYTES + 1).read_to_string(&mut text).map_err(|e| invalid(e.to_string()))?;
    let secret = text.trim_end_matches(['\r', '\n']);
    if secret.is_empty() || secret.contains('\n') || secret.len() as u64 > BYTES {
        return Err(invalid(format!("it must have one line of at most {BYTES} bytes")));
    }
    Ok(secret.to_owned())
}

/// Returns the reason to refuse a command line that has a password in it: every user of the machine
/// sees the arguments of its processes.
#[cfg(feature = "clap")]
pub fn password_in_arguments(
    command: &clap::Command,
    matches: &clap::ArgMatches,
) -> Option<String> {
    if let Some((name, matches)) = matches.subcommand() {
        return password_in_arguments(command.find_subcommand(name)?, matches);
    }
    let given = |long: &str| {
        let arg = command.get_arguments().find(|arg| arg.get_long() == Some(long))?;
        let id = arg.get_id().as_str();
        let source = matches.value_source(id)?;
        let text = matches.get_raw(id)?.next()?.to_str()?;
        (source == clap::parser::ValueSource::CommandLine).then_some(text)
    };
    let seen = "on the command line, where every user of this machine sees it";
    if given("broker-user").is_some() {
        return Some(format!(
            "--broker-user has a password {seen}: put NAME:PASSWORD into a file, and name it with \
             --broker-user-file (BROKER_USER_FILE)"
        ));
    }
    if given("otlp-headers").is_some() {
        return Some(format!(
            "--otlp-headers has credentials {seen}: set the variable OTEL_EXPORTER_OTLP_HEADERS, or \
             otlp-headers in the settings file"
        ));
    }
    given("broker").filter(|url| has_password(url)).map(|_| {
        format!(
            "--broker has a password {seen}: keep the user in the URL, put the password into a \
             file, and name it with --broker-password-file (MQTT_BROKER_PASSWORD_FILE)"
        )
    })
}

/// Returns true if a URL has a password.
pub(crate) fn has_password(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.rsplit_once('@').is_some_and(|(login, _)| login.contains(':'))
}
