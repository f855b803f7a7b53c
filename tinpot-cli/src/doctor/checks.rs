//! The checks.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tinpot_core::{Executor, Link, Transport};
use tinpot_python::{Containment, PythonPool};
use tinpot_server::error_chain;
use tinpot_server::settings::{BrokerSettings, HttpSettings};

use super::Finding;
use crate::client::Client;
use crate::profile::Server;

/// The time limit for a connection to the broker.
const BROKER: Duration = Duration::from_secs(4);
/// The tolerated difference between the clocks of coordinator and clients, in seconds.
const CLOCKS_APART: f64 = 5.0;
const MIB: u64 = 1024 * 1024;

pub(super) fn server(client: &Client, server: &Server) -> Finding {
    let url = client.base();
    match client.get("/ready") {
        Ok(_) => {
            Finding::ok("server", format!("{url} ({}) is running, with workers", server.source))
        }
        Err(refused) if refused.status.is_some_and(|status| status == 503) => Finding::warning(
            "server",
            format!("{url} is running: {}", refused.detail),
            "start a worker with `tinpot worker`, or wait for one that is starting",
        ),
        Err(refused) => Finding::warning(
            "server",
            refused.detail,
            "start a server with `tinpot dev`, or name another with --server, TINPOT_SERVER or --profile",
        ),
    }
}

/// Checks the wall clock, which times for people and `not_before` follow. Leases follow monotonic
/// clocks.
pub(super) fn clock(date: Option<&str>) -> Finding {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |now| now.as_secs_f64());
    // A date before this check was written.
    if now < 1_790_000_000.0 {
        return Finding::problem(
            "clock",
            "the clock of this machine is years behind",
            "set the time, and synchronise it (timedatectl set-ntp true, chrony or ntpd)",
        );
    }
    match date.and_then(http_date) {
        Some(theirs) if (theirs - now).abs() > CLOCKS_APART => Finding::warning(
            "clock",
            format!(
                "the clocks of this machine and the server differ by {:.0} s",
                (theirs - now).abs()
            ),
            "synchronise both by NTP (timedatectl set-ntp true): times in lists and `not_before` \
             are those of the server",
        ),
        Some(_) => Finding::ok("clock", "agrees with the server"),
        None => Finding::ok("clock", "plausible; no server to compare it with"),
    }
}

/// Returns an HTTP date in seconds since 1970.
fn http_date(text: &str) -> Option<f64> {
    let time = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    Some(time.as_duration().as_secs_f64())
}

pub(super) fn port(settings: &HttpSettings, client: &Client) -> Finding {
    let port = settings.port;
    let address = SocketAddr::new(settings.host, port);
    match TcpListener::bind(address) {
        Ok(_) => Finding::ok("port", format!("{address} is free")),
        Err(e) if e.kind() == std::io::ErrorKind::AddrInUse => {
            let ours =
                client.base().ends_with(&format!(":{port}")) && client.get("/health").is_ok();
            if ours {
                return Finding::ok("port", format!("{address} is in use by the server"));
            }
            let found = format!("{address} is in use by another program");
            let advice = format!(
                "choose another --port (PORT), or find the program with: ss -ltnp 'sport = :{port}'"
            );
            Finding::problem("port", found, advice)
        }
        Err(e) => Finding::problem(
            "port",
            format!("cannot listen on {address}: {e}"),
            "choose another --host or --port; only root can use ports below 1024",
        ),
    }
}

/// Returns the free space at a path, in bytes.
fn free_space(path: &Path) -> Result<u64, String> {
    let found =
        rustix::fs::statvfs(path).map_err(|e| format!("cannot inspect {}: {e}", path.display()))?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}

pub(super) fn disk(store: Option<&Path>) -> Finding {
    let store =
        store.filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new("./tinpot.db"));
    if store.as_os_str() == "memory" {
        return Finding::ok("disk", "executions are kept in memory");
    }
    let folder =
        store.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if let Err(e) = tempfile::tempfile_in(folder) {
        let found =
            format!("cannot write to {}, the directory of the store: {e}", folder.display());
        return Finding::problem(
            "disk",
            found,
            "choose a --store (TINPOT_STORE) in a writable directory",
        );
    }
    free("disk", folder, 1024 * MIB, 100 * MIB)
}

pub(super) fn temporary() -> Finding {
    let folder = std::env::temp_dir();
    if let Err(e) = tempfile::tempfile_in(&folder) {
        let found = format!("cannot write to {}: {e}", folder.display());
        return Finding::problem("temporary", found, "set TMPDIR to a writable directory");
    }
    free("temporary", &folder, 500 * MIB, 50 * MIB)
}

fn free(what: &'static str, folder: &Path, little: u64, too_little: u64) -> Finding {
    let free = match free_space(folder) {
        Ok(free) => free,
        Err(why) => return Finding::warning(what, why, "check the file system"),
    };
    let found = format!("{} MiB are free in {}", free / MIB, folder.display());
    let advice = "free space: a full disk refuses results and logs";
    match free {
        free if free < too_little => Finding::problem(what, found, advice),
        free if free < little => Finding::warning(what, found, advice),
        _ => Finding::ok(what, found),
    }
}

/// Starts an interpreter as a worker does, and reports how its processes are held.
pub(super) async fn pythons(pythons: &[PathBuf]) -> Vec<Finding> {
    let mut findings = python(pythons.first().map(PathBuf::as_path)).await;
    for other in pythons.iter().skip(1) {
        let of_python = |finding: &Finding| finding.what == "python";
        findings.extend(python(Some(other)).await.into_iter().filter(of_python));
    }
    findings
}

async fn python(python: Option<&Path>) -> Vec<Finding> {
    let advice = "install Python 3.9 or newer, or name an interpreter or virtual environment with \
                  --python (TINPOT_PYTHON)";
    let folder = match tempfile::tempdir() {
        Ok(folder) => folder,
        Err(e) => {
            return vec![Finding::problem(
                "python",
                format!("cannot create a directory for the check: {e}"),
                advice,
            )];
        }
    };
    let mut builder = PythonPool::builder(folder.path()).size(1).spare(0).reload(false);
    if let Some(python) = python {
        builder = builder.python(python);
    }
    let (pool, version) = tokio::join!(builder.start(), version(python));
    let pool = match pool {
        Ok(pool) => pool,
        Err(e) => return vec![Finding::problem("python", error_chain(&e), advice)],
    };
    let contained = match pool.containment() {
        Containment::Cgroup { path } => {
            Finding::ok("cgroups", format!("attempts run in cgroups below {}", path.display()))
        }
        Containment::ProcessGroup { reason } => Finding::warning(
            "cgroups",
            format!("attempts run in process groups, without cgroups: {reason}"),
            "to use cgroups, run workers as root, or under systemd with Delegate=yes",
        ),
        _ => Finding::ok("cgroups", pool.containment().to_string()),
    };
    let _ = pool.close().await;
    vec![Finding::ok("python", version), contained]
}

async fn version(python: Option<&Path>) -> String {
    let program = match (python, std::env::var_os("VIRTUAL_ENV")) {
        (Some(path), _) if path.join("bin/python").exists() => path.join("bin/python"),
        (Some(path), _) => path.to_owned(),
        (None, Some(venv)) if !venv.is_empty() => PathBuf::from(venv).join("bin/python"),
        _ => PathBuf::from("python3"),
    };
    let said = tokio::task::spawn_blocking(move || {
        let output = std::process::Command::new(&program).arg("--version").output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        Some(format!("{text} ({})", program.display()))
    });
    said.await.ok().flatten().unwrap_or_else(|| "starts and imports".to_owned())
}

/// Checks the broker, which only coordinators and workers on several machines need.
pub(super) async fn broker(settings: &BrokerSettings) -> Finding {
    let place = settings.url_without_password();
    let advice = "only `tinpot coordinator` and `tinpot worker` need a broker: start mosquitto, or the coordinator with \
                  --embedded-broker, and name it with --broker (MQTT_BROKER)";
    if settings.is_none() || settings.is_server() {
        return Finding::ok("broker", format!("not needed: workers use HTTP (--broker {place})"));
    }
    let transport = match settings.connect(None, None).await {
        Ok(transport) => transport,
        Err(e) => {
            return Finding::problem("broker", format!("{place}: {}", error_chain(&e)), advice);
        }
    };
    let mut status = transport.status();
    // Down without a reason means that the first attempt is not over.
    let known = |link: &Link| !matches!(link, Link::Down { reason } if reason.is_empty());
    let _ = tokio::time::timeout(BROKER, status.wait_for(known)).await;
    let link = transport.status().current();
    transport.close().await;
    if link == Link::Up {
        return Finding::ok("broker", format!("{place} accepts connections"));
    }
    let why = match link {
        Link::Down { reason } if !reason.is_empty() => reason,
        _ => "no answer".to_owned(),
    };
    let found = format!("cannot connect to {place}: {why}");
    // A broker that the user names has to work; the default one need not exist.
    let by_flag = settings.url != BrokerSettings::DEFAULT_URL;
    if by_flag || std::env::var_os("MQTT_BROKER").is_some() {
        return Finding::problem("broker", found, advice);
    }
    let found = format!(
        "none at {place}; `tinpot dev` needs none, only `tinpot coordinator` and `tinpot worker` do"
    );
    Finding::ok("broker", found)
}

#[cfg(test)]
mod tests {
    use super::http_date;

    #[test]
    fn a_date_header_is_parsed() {
        assert_eq!(http_date("Thu, 24 Dec 2026 18:00:00 GMT"), Some(1_798_135_200.0));
        assert_eq!(http_date("soon"), None);
    }
}
