//! Actions of a coordinator at a daemon of mooR.

use std::path::PathBuf;
use std::time::Duration;

use tinpot_core::{Coordinator, Result};
use tinpot_moor::{Dialect, Guest, GuestBuilder, MoorAddress, SigningKey};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::invalid;

/// The pause before a worker that the daemon has refused attaches again.
const AGAIN: Duration = Duration::from_secs(30);

/// The actions that a coordinator offers to a daemon of mooR.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "clap", derive(clap::Args))]
#[non_exhaustive]
pub struct MoorDaemonSettings {
    /// Attach to the daemon of mooR at this address, so that a MOO can run the actions of
    /// --moor-daemon-actions: ipc:///tmp/moor or tcp://127.0.0.1:7896.
    #[cfg_attr(feature = "clap", arg(long, env = "TINPOT_MOOR_DAEMON", value_name = "ADDRESS"))]
    pub moor_daemon: Option<String>,
    /// The actions that a MOO can run, separated by commas. Each is a type of workers there, with
    /// the name of the action; TYPE=ACTION sets another name.
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            env = "TINPOT_MOOR_DAEMON_ACTIONS",
            value_name = "ACTION",
            value_delimiter = ','
        )
    )]
    pub moor_daemon_actions: Vec<String>,
    /// The file with the private key that signs tokens for the daemon of mooR, in PEM. Omit it for
    /// a daemon that takes no tokens.
    #[cfg_attr(feature = "clap", arg(long, env = "TINPOT_MOOR_DAEMON_KEY", value_name = "FILE"))]
    pub moor_daemon_key: Option<PathBuf>,
}

impl MoorDaemonSettings {
    fn address(&self) -> Result<Option<MoorAddress>> {
        let set = self.moor_daemon.as_deref().map(str::trim).filter(|text| !text.is_empty());
        let parsed = set.map(str::parse).transpose();
        parsed.map_err(|why: String| invalid("--moor-daemon (TINPOT_MOOR_DAEMON)", why))
    }

    /// Returns the types of workers, with their actions.
    fn types(&self) -> Vec<(&str, &str)> {
        let set = self.moor_daemon_actions.iter().map(|text| text.trim());
        set.filter(|text| !text.is_empty())
            .map(|text| text.split_once('=').unwrap_or((text, text)))
            .collect()
    }

    /// Checks that the settings fit together. Reads no file.
    ///
    /// # Errors
    /// `InvalidInput`, naming the setting.
    pub fn check(&self) -> Result<()> {
        let (address, types) = (self.address()?, self.types());
        if address.is_some() && types.is_empty() {
            return Err(invalid(
                "--moor-daemon-actions (TINPOT_MOOR_DAEMON_ACTIONS)",
                "name the actions that the MOO can run",
            ));
        }
        if address.is_none() && (!types.is_empty() || self.moor_daemon_key.is_some()) {
            return Err(invalid(
                "--moor-daemon (TINPOT_MOOR_DAEMON)",
                "name the address of the daemon that the other settings are for",
            ));
        }
        if let Some((worker_type, action)) =
            types.iter().find(|(one, other)| one.is_empty() || other.is_empty())
        {
            return Err(invalid(
                "--moor-daemon-actions (TINPOT_MOOR_DAEMON_ACTIONS)",
                format!("write ACTION or TYPE=ACTION (got {worker_type}={action})"),
            ));
        }
        Ok(())
    }

    /// Attaches to the daemon; `None` if there is no address.
    ///
    /// # Errors
    /// Those of [`check`](Self::check), and those of the key.
    pub(crate) fn start(&self, coordinator: &Coordinator) -> Result<Option<MoorGuests>> {
        self.check()?;
        let Some(address) = self.address()? else { return Ok(None) };
        let key = match &self.moor_daemon_key {
            Some(path) => {
                let failed = |why: &str| {
                    let setting = "--moor-daemon-key (TINPOT_MOOR_DAEMON_KEY)";
                    invalid(setting, format!("{}: {why}", path.display()))
                };
                let text =
                    std::fs::read_to_string(path).map_err(|error| failed(&error.to_string()))?;
                Some(SigningKey::from_pem(&text).map_err(|error| failed(error.message()))?)
            }
            None => None,
        };
        let (stop, stopped) = watch::channel(None);
        let mut guests = Vec::new();
        for (worker_type, action) in self.types() {
            let guest = Guest::builder(coordinator, address.clone(), worker_type).action(action);
            let guest = match &key {
                Some(key) => guest.dialect(Dialect::Token).key(key),
                None => guest.dialect(Dialect::Plain),
            };
            guests.push(tokio::spawn(serve(guest, worker_type.to_owned(), stopped.clone())));
        }
        println!("Actions are offered to the daemon of mooR at {address}");
        Ok(Some(MoorGuests { guests, stop }))
    }
}

/// Keeps a worker at the daemon until it is stopped, or until the daemon asks it to end.
async fn serve(
    builder: GuestBuilder,
    worker_type: String,
    mut stop: watch::Receiver<Option<Duration>>,
) {
    loop {
        let mut guest = match builder.clone().start() {
            Ok(guest) => guest,
            Err(error) => {
                return tracing::error!(worker_type, %error, "a worker for mooR cannot start");
            }
        };
        let ended = tokio::select! {
            ended = guest.ended() => ended,
            patience = stopped(&mut stop) => {
                if let Err(error) = guest.shutdown(patience).await {
                    tracing::debug!(worker_type, %error, "a worker at a daemon of mooR has ended");
                }
                return;
            }
        };
        match ended {
            Ok(()) => {
                return tracing::warn!(worker_type, "the daemon of mooR has ended the worker");
            }
            Err(error) => tracing::error!(worker_type, %error, "no worker at the daemon of mooR"),
        }
        tokio::select! {
            () = tokio::time::sleep(AGAIN) => {}
            _ = stopped(&mut stop) => return,
        }
    }
}

/// Waits for the end; the patience is that of the host.
async fn stopped(stop: &mut watch::Receiver<Option<Duration>>) -> Duration {
    match stop.wait_for(Option::is_some).await {
        Ok(patience) => patience.unwrap_or_default(),
        Err(_) => Duration::ZERO,
    }
}

/// The workers at a daemon of mooR. Dropping them ends them.
#[derive(Debug)]
pub(crate) struct MoorGuests {
    guests: Vec<JoinHandle<()>>,
    stop: watch::Sender<Option<Duration>>,
}

impl MoorGuests {
    /// Lets requests end, and detaches.
    pub(crate) async fn shutdown(self, patience: Duration) {
        self.stop.send_replace(Some(patience));
        futures::future::join_all(self.guests).await;
    }
}

#[cfg(test)]
mod tests {
    use super::MoorDaemonSettings;

    #[test]
    fn settings_that_do_not_fit_are_named() {
        let settings = |address: &str, actions: &str| MoorDaemonSettings {
            moor_daemon: (!address.is_empty()).then(|| address.to_owned()),
            moor_daemon_actions: actions.split(',').map(str::to_owned).collect(),
            moor_daemon_key: None,
        };
        assert!(settings("ipc:///tmp/moor", "echo,rain=weather").check().is_ok());
        assert!(MoorDaemonSettings::default().check().is_ok());
        for (address, actions, why) in [
            ("udp://x", "echo", "--moor-daemon (TINPOT_MOOR_DAEMON): the scheme"),
            ("ipc:///tmp/moor", "", "name the actions"),
            ("", "echo", "name the address"),
            ("ipc:///tmp/moor", "=echo", "write ACTION or TYPE=ACTION"),
        ] {
            let error = settings(address, actions).check().unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
