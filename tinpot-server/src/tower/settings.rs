//! The values of MiniTower's variables, read as Go reads them.

use std::path::PathBuf;
use std::time::Duration;

use tinpot_core::{Error, ErrorKind, Result};

use super::TowerSettings;

/// The shortest lease: a runner beats every 2 s, and keeps a distance of 5 s to the end. With a
/// shorter one, it would give up what it runs.
const SHORTEST_LEASE: Duration = Duration::from_secs(7);

/// The values of the settings.
#[derive(Debug)]
pub(super) struct TowerValues {
    /// The host, unless it is all addresses, and the port.
    pub(super) listen: (Option<String>, u16),
    pub(super) db: PathBuf,
    pub(super) objects: PathBuf,
    pub(super) sign_up: bool,
    pub(super) cors_origins: Vec<String>,
    pub(super) lease: Duration,
    /// The time after which silent runners are forgotten; `None` for never.
    pub(super) prune_after: Option<Duration>,
    pub(super) max_body_bytes: usize,
    pub(super) max_artifact_bytes: u64,
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::InvalidInput, message)
}

/// Returns the value of a variable, or its default if it is empty.
fn value<'a>(text: &'a str, default: &'a str) -> &'a str {
    Some(text.trim()).filter(|text| !text.is_empty()).unwrap_or(default)
}

impl TowerValues {
    pub(super) fn of(settings: &TowerSettings) -> Result<Self> {
        let sign_up = boolean(
            "MINITOWER_PUBLIC_SIGNUP_ENABLED",
            value(&settings.public_signup_enabled, "true"),
        )?;
        if !sign_up && settings.bootstrap_token.is_none() {
            return Err(invalid(
                "MINITOWER_BOOTSTRAP_TOKEN is required if MINITOWER_PUBLIC_SIGNUP_ENABLED is false"
                    .to_owned(),
            ));
        }
        let duration = |name: &str, text: &str, default| {
            let text = value(text, default);
            duration(text).ok_or_else(|| {
                invalid(format!("{name} must be a duration such as 90s or 1m30s (got {text:?})"))
            })
        };
        let lease = duration("MINITOWER_LEASE_TTL", &settings.lease_ttl, "60s")?;
        let lease = lease.unwrap_or_default().max(SHORTEST_LEASE);
        let interval = &settings.expiry_check_interval;
        duration("MINITOWER_EXPIRY_CHECK_INTERVAL", interval, "10s")?;
        let prune = duration("MINITOWER_RUNNER_PRUNE_AFTER", &settings.runner_prune_after, "24h")?;
        let bytes = |name: &str, text: &str, default| -> Result<u64> {
            let text = value(text, default);
            text.parse().ok().filter(|bytes| *bytes > 0).ok_or_else(|| {
                invalid(format!("{name} must be a number of bytes above 0 (got {text:?})"))
            })
        };
        let body = &settings.max_request_body_size;
        let body = bytes("MINITOWER_MAX_REQUEST_BODY_SIZE", body, "10485760")?;
        let artifact = &settings.max_artifact_size;
        let origins = settings.cors_origins.split(',').map(str::trim);
        Ok(Self {
            listen: address(value(&settings.listen_addr, ":8080"))?,
            db: value(&settings.db_path, "./minitower.db").into(),
            objects: value(&settings.objects_dir, "./objects").into(),
            sign_up,
            cors_origins: origins.filter(|origin| !origin.is_empty()).map(str::to_owned).collect(),
            lease,
            prune_after: prune.filter(|after| !after.is_zero()),
            max_body_bytes: usize::try_from(body).unwrap_or(usize::MAX),
            max_artifact_bytes: bytes("MINITOWER_MAX_ARTIFACT_SIZE", artifact, "104857600")?,
        })
    }
}

fn address(text: &str) -> Result<(Option<String>, u16)> {
    let parts = text.rsplit_once(':');
    let read = parts.and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
    let Some((host, port)) = read else {
        return Err(invalid(format!(
            "MINITOWER_LISTEN_ADDR must be host:port or :port (got {text:?})"
        )));
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    Ok((Some(host.to_owned()).filter(|host| !host.is_empty()), port))
}

fn boolean(name: &str, text: &str) -> Result<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        _ => Err(invalid(format!("{name} must be true or false (got {text:?})"))),
    }
}

/// Reads a duration such as `1m30s`, `500ms` or `0`. The inner `None` is one below zero.
fn duration(text: &str) -> Option<Option<Duration>> {
    let (is_negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(Some(Duration::ZERO));
    }
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        seconds += number
            * match &rest[..unit] {
                "ns" => 1e-9,
                "us" | "µs" | "μs" => 1e-6,
                "ms" => 1e-3,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3_600.0,
                _ => return None,
            };
        rest = &rest[unit..];
    }
    if text.is_empty() || seconds > 1e10 {
        return None;
    }
    Some((!is_negative).then(|| Duration::from_secs_f64(seconds)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tinpot_access::Secret;

    use super::{TowerValues, address, duration};
    use crate::tower::TowerSettings;

    #[test]
    fn durations_are_those_of_go() {
        for (text, millis) in [
            ("60s", 60_000),
            ("1m30s", 90_000),
            ("500ms", 500),
            ("1.5h", 5_400_000),
            ("0", 0),
            ("+2s", 2_000),
            (".5s", 500),
        ] {
            assert_eq!(duration(text), Some(Some(Duration::from_millis(millis))), "{text}");
        }
        assert_eq!(duration("-1s"), Some(None));
        for wrong in ["", "60", "s", "1 s", "1d", "1s2", "x", "1..2s", "1e3s"] {
            assert_eq!(duration(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn addresses_are_those_of_go() {
        let all = |port| (None, port);
        assert_eq!(address(":8080").unwrap(), all(8080));
        let one = |host: &str, port| (Some(host.to_owned()), port);
        assert_eq!(address("127.0.0.1:0").unwrap(), one("127.0.0.1", 0));
        assert_eq!(address("[::1]:80").unwrap(), one("::1", 80));
        assert_eq!(address("localhost:80").unwrap(), one("localhost", 80));
        for wrong in ["8080", "host", ":x", ":70000", ""] {
            assert!(address(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn empty_variables_are_defaults_and_wrong_ones_are_named() {
        let values = TowerValues::of(&TowerSettings::default()).unwrap();
        assert_eq!(values.listen, (None, 8080));
        assert!(values.sign_up && values.cors_origins.is_empty());
        assert_eq!((values.max_body_bytes, values.max_artifact_bytes), (10 << 20, 100 << 20));
        let refused = |change: fn(&mut TowerSettings), name: &str| {
            let mut settings = TowerSettings::default();
            change(&mut settings);
            let error = TowerValues::of(&settings).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        };
        refused(|all| all.listen_addr = "8080".into(), "MINITOWER_LISTEN_ADDR");
        refused(|all| all.public_signup_enabled = "yes".into(), "MINITOWER_PUBLIC_SIGNUP_ENABLED");
        refused(|all| all.public_signup_enabled = "0".into(), "MINITOWER_BOOTSTRAP_TOKEN");
        refused(|all| all.lease_ttl = "60".into(), "MINITOWER_LEASE_TTL");
        refused(|all| all.expiry_check_interval = "x".into(), "MINITOWER_EXPIRY_CHECK_INTERVAL");
        refused(|all| all.runner_prune_after = "x".into(), "MINITOWER_RUNNER_PRUNE_AFTER");
        refused(|all| all.max_request_body_size = "1k".into(), "MINITOWER_MAX_REQUEST_BODY_SIZE");
        refused(|all| all.max_artifact_size = "0".into(), "MINITOWER_MAX_ARTIFACT_SIZE");
        let settings = TowerSettings {
            public_signup_enabled: " F ".to_owned(),
            bootstrap_token: Some(Secret::new("b")),
            cors_origins: " http://a:1 ,, http://b ".to_owned(),
            lease_ttl: "2s".to_owned(),
            ..TowerSettings::default()
        };
        let values = TowerValues::of(&settings).unwrap();
        assert!(!values.sign_up);
        assert_eq!(values.lease, super::SHORTEST_LEASE);
        assert_eq!(values.cors_origins, ["http://a:1", "http://b"]);
        assert_eq!(values.prune_after, Some(Duration::from_secs(86_400)));
        for never in ["0", "-1h"] {
            let settings =
                TowerSettings { runner_prune_after: never.to_owned(), ..TowerSettings::default() };
            assert_eq!(TowerValues::of(&settings).unwrap().prune_after, None);
        }
    }

    #[test]
    fn tokens_come_from_variables_and_are_never_shown() {
        let settings = TowerSettings::default().with_tokens(|name| match name {
            "MINITOWER_BOOTSTRAP_TOKEN" => Some(" hidden ".to_owned()),
            _ => Some(String::new()),
        });
        assert!(settings.bootstrap_token.as_ref().is_some_and(|token| token.is("hidden")));
        assert!(settings.registration_token.is_none());
        assert!(!format!("{settings:?}").contains("hidden"));
    }
}
