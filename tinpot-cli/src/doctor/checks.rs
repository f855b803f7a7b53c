//! What is looked at.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tinpot_core::{Executor, Link, Transport};
use tinpot_python::{Containment, PythonPool};
use tinpot_server::error_chain;
use tinpot_server::settings::{BrokerSettings, HttpSettings};

use super::Finding;
use crate::client::Client;
use crate::profile::Server;

/// How long a broker may take to let us in.
const BROKER: Duration = Duration::from_secs(4);
/// So far may the clocks of coordinator and clients be apart.
const CLOCKS_APART: f64 = 5.0;
const MIB: u64 = 1024 * 1024;

pub(super) fn server(client: &Client, server: &Server) -> Finding {
    let url = client.base();
    match client.get("/ready") {
        Ok(_) => {
            Finding::ok("server", format!("{url} ({}) is there, with workers", server.said_by))
        }
        Err(refused) if refused.status.is_some_and(|status| status == 503) => Finding::warning(
            "server",
            format!("{url} is there: {}", refused.detail),
            "start a worker (tinpot worker), or wait for the one that starts",
        ),
        Err(refused) => Finding::warning(
            "server",
            refused.detail,
            "start one with `tinpot dev`; or name another by --server, TINPOT_SERVER or --profile",
        ),
    }
}

/// Leases are measured by clocks that only go forward; what people read, and `not_before`, are not.
pub(super) fn clock(date: Option<&str>) -> Finding {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |now| now.as_secs_f64());
    // The day before this was written.
    if now < 1_790_000_000.0 {
        return Finding::problem(
            "clock",
            "this machine believes that it is years ago",
            "set its time, and have it kept (timedatectl set-ntp true, chrony or ntpd)",
        );
    }
    match date.and_then(http_date) {
        Some(theirs) if (theirs - now).abs() > CLOCKS_APART => Finding::warning(
            "clock",
            format!("this machine and the server are {:.0} s apart", (theirs - now).abs()),
            "have both set by NTP (timedatectl set-ntp true): times in lists and `not_before` are the server's",
        ),
        Some(_) => Finding::ok("clock", "agrees with the server's"),
        None => Finding::ok("clock", "plausible; there is no server to compare it with"),
    }
}

/// Seconds since 1970 of a date as HTTP has it.
fn http_date(text: &str) -> Option<f64> {
    let months =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut parts = text.split_once(", ")?.1.split(' ');
    let day = parts.next()?;
    let name = parts.next()?;
    let month = months.iter().position(|month| *month == name)? + 1;
    let (year, time) = (parts.next()?, parts.next()?);
    crate::commands::moment(&format!("{year}-{month:02}-{day}T{time}Z"))
}

pub(super) fn port(settings: &HttpSettings, client: &Client) -> Finding {
    let (host, port) = (settings.host, settings.port);
    match TcpListener::bind((host, port)) {
        Ok(_) => Finding::ok("port", format!("{host}:{port} is free")),
        Err(e) if e.kind() == std::io::ErrorKind::AddrInUse => {
            let ours =
                client.base().ends_with(&format!(":{port}")) && client.get("/health").is_ok();
            if ours {
                return Finding::ok("port", format!("{host}:{port} is the server's"));
            }
            let found = format!("{host}:{port} is taken by another program");
            let advice = format!(
                "give --port (PORT) another one, or see who it is: ss -ltnp 'sport = :{port}'"
            );
            Finding::problem("port", found, advice)
        }
        Err(e) => Finding::problem(
            "port",
            format!("{host}:{port} cannot be listened on: {e}"),
            "choose another --host or --port; ports below 1024 are root's",
        ),
    }
}

/// The free room at a path, in bytes.
fn room(path: &Path) -> Result<u64, String> {
    let found = rustix::fs::statvfs(path)
        .map_err(|e| format!("{} cannot be looked at: {e}", path.display()))?;
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
        let found = format!(
            "nothing can be written in {}, where executions would be kept: {e}",
            folder.display()
        );
        return Finding::problem(
            "disk",
            found,
            "give --store (TINPOT_STORE) a path in a folder that can be written",
        );
    }
    free("disk", folder, 1024 * MIB, 100 * MIB)
}

pub(super) fn temporary() -> Finding {
    let folder = std::env::temp_dir();
    if let Err(e) = tempfile::tempfile_in(&folder) {
        let found = format!("nothing can be written in {}: {e}", folder.display());
        return Finding::problem("temporary", found, "set TMPDIR to a folder that can be written");
    }
    free("temporary", &folder, 500 * MIB, 50 * MIB)
}

fn free(what: &'static str, folder: &Path, little: u64, too_little: u64) -> Finding {
    let free = match room(folder) {
        Ok(free) => free,
        Err(why) => return Finding::warning(what, why, "look at the file system"),
    };
    let found = format!("{} MiB are free in {}", free / MIB, folder.display());
    let advice = "make room: results and logs are refused when the disk is full";
    match free {
        free if free < too_little => Finding::problem(what, found, advice),
        free if free < little => Finding::warning(what, found, advice),
        _ => Finding::ok(what, found),
    }
}

/// Starts an interpreter as a worker does, and sees what holds its processes.
pub(super) async fn python(python: Option<&Path>) -> Vec<Finding> {
    let advice = "install Python 3.9 or newer, or name one by --python (TINPOT_PYTHON): an interpreter or a virtual environment";
    let folder = match tempfile::tempdir() {
        Ok(folder) => folder,
        Err(e) => {
            return vec![Finding::problem(
                "python",
                format!("no folder to try it in: {e}"),
                advice,
            )];
        }
    };
    let mut builder = PythonPool::builder(folder.path()).size(1).spare(0).reload(false);
    if let Some(python) = python {
        builder = builder.python(python);
    }
    let pool = match builder.start().await {
        Ok(pool) => pool,
        Err(e) => return vec![Finding::problem("python", error_chain(&e), advice)],
    };
    let contained = match pool.containment() {
        Containment::Cgroup { path } => {
            Finding::ok("cgroups", format!("attempts are held in cgroups below {}", path.display()))
        }
        Containment::ProcessGroup { reason } => Finding::warning(
            "cgroups",
            format!("attempts are held by process groups and a search: {reason}"),
            "for the kernel's own hold, run workers as root, or under systemd with Delegate=yes",
        ),
        _ => Finding::ok("cgroups", pool.containment().to_string()),
    };
    let _ = pool.close().await;
    vec![Finding::ok("python", version(python).await), contained]
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

/// Only coordinators and workers on several machines need one.
pub(super) async fn broker(settings: &BrokerSettings) -> Finding {
    let place = settings.url_without_password();
    let advice = "only coordinator and worker need one, not `tinpot dev`: start mosquitto, or the coordinator with \
                  --embedded-broker, and name it by --broker (MQTT_BROKER)";
    let transport = match settings.connect(None, None).await {
        Ok(transport) => transport,
        Err(e) => {
            return Finding::problem("broker", format!("{place}: {}", error_chain(&e)), advice);
        }
    };
    let mut status = transport.status();
    let up = tokio::time::timeout(BROKER, status.wait_for(|link| *link == Link::Up)).await;
    let is_up = matches!(up, Ok(Ok(_)));
    drop(up);
    let link = transport.status().borrow().clone();
    transport.close().await;
    if is_up {
        return Finding::ok("broker", format!("{place} lets us in"));
    }
    let why = match link {
        Link::Down { reason } if !reason.is_empty() => reason,
        _ => "no answer".to_owned(),
    };
    let found = format!("{place} cannot be used: {why}");
    // Whoever names one means it.
    let by_flag = settings.url != BrokerSettings::DEFAULT_URL;
    if by_flag || std::env::var_os("MQTT_BROKER").is_some() {
        return Finding::problem("broker", found, advice);
    }
    Finding::warning("broker", found, advice)
}

#[cfg(test)]
mod tests {
    use super::http_date;

    #[test]
    fn a_date_of_a_header_is_read() {
        assert_eq!(http_date("Thu, 24 Dec 2026 18:00:00 GMT"), Some(1_798_135_200.0));
        assert_eq!(http_date("soon"), None);
    }
}
