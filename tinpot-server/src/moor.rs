//! Workers of mooR at a coordinator.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tinpot_core::transport::JoinedTransport;
use tinpot_core::{Error, ErrorKind, MemoryNetwork, Result, Transport};
use tinpot_moor::{Dialect, Gateway, GatewayBuilder, MoorAddress, MoorType, VerifyingKey};

/// The word for workers of any type.
const ANY: &str = "any";

/// The workers of mooR that a coordinator takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "clap", derive(clap::Args))]
#[non_exhaustive]
pub struct MoorSettings {
    /// Let workers of mooR attach at these addresses, separated by commas: ipc:///tmp/moor is
    /// /tmp/moor_workers_request.sock and /tmp/moor_workers_response.sock, the default of mooR;
    /// tcp://127.0.0.1:7896 is that port and the next one.
    #[cfg_attr(
        feature = "clap",
        arg(long, env = "TINPOT_MOOR", value_name = "ADDRESS", value_delimiter = ',')
    )]
    pub moor: Vec<String>,
    /// The types of workers of mooR that may attach, separated by commas, or any. Each is an
    /// action.
    /// TYPE:4 is a type whose workers take 4 requests at once, and TYPE:sequential one whose workers
    /// answer no ping while they work.
    #[cfg_attr(
        feature = "clap",
        arg(long, env = "TINPOT_MOOR_TYPES", value_name = "TYPE", value_delimiter = ',')
    )]
    pub moor_types: Vec<String>,
    /// The files with the public keys that verify tokens of workers of mooR, separated by commas,
    /// in PEM.
    #[cfg_attr(
        feature = "clap",
        arg(long, env = "TINPOT_MOOR_KEY", value_name = "FILE", value_delimiter = ',')
    )]
    pub moor_key: Vec<PathBuf>,
    /// The dialect of workers of mooR: token for those of October 2025, which send tokens, and
    /// plain for later ones.
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            env = "TINPOT_MOOR_DIALECT",
            value_name = "DIALECT",
            default_value = "token",
            value_parser = dialect
        )
    )]
    pub moor_dialect: String,
    /// Allow workers of mooR at an address that other machines reach: all clients that can connect see
    /// the arguments of all requests.
    #[cfg_attr(feature = "clap", arg(long, env = "TINPOT_MOOR_INSECURE"))]
    pub moor_insecure: bool,
}

/// Checks the name of a dialect.
#[cfg(feature = "clap")]
fn dialect(text: &str) -> Result<String, String> {
    text.parse::<Dialect>().map(|_| text.to_owned())
}

fn invalid(setting: &str, why: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::InvalidInput, format!("{setting}: {why}"))
}

impl MoorSettings {
    fn addresses(&self) -> Result<Vec<MoorAddress>> {
        let set = self.moor.iter().map(|text| text.trim()).filter(|text| !text.is_empty());
        set.map(|text| text.parse().map_err(|why| invalid("--moor (TINPOT_MOOR)", why))).collect()
    }

    /// Checks that the settings can be read and fit together. Reads no file.
    ///
    /// # Errors
    /// `InvalidInput`, naming the setting.
    pub fn check(&self) -> Result<()> {
        let network = MemoryNetwork::new();
        for address in self.addresses()? {
            let _ = self.allow(Gateway::builder(&network, address))?;
        }
        let has_others = !self.moor_types.is_empty() || !self.moor_key.is_empty();
        if self.moor.is_empty() && has_others {
            return Err(invalid(
                "--moor (TINPOT_MOOR)",
                "name the address for the workers of mooR that the other settings are for",
            ));
        }
        Ok(())
    }

    fn allow(&self, mut builder: GatewayBuilder) -> Result<GatewayBuilder> {
        if !self.moor_dialect.is_empty() {
            let dialect = self.moor_dialect.parse();
            let dialect = dialect
                .map_err(|why: String| invalid("--moor-dialect (TINPOT_MOOR_DIALECT)", why))?;
            builder = builder.dialect(dialect);
        }
        for text in self.moor_types.iter().map(|text| text.trim()).filter(|text| !text.is_empty()) {
            builder = if text == ANY {
                builder.allow_any()
            } else {
                let kind: Result<MoorType, String> = text.parse();
                builder.allow(kind.map_err(|why| invalid("--moor-types (TINPOT_MOOR_TYPES)", why))?)
            };
        }
        Ok(builder.insecure(self.moor_insecure))
    }

    /// Starts the gateways; `None` if there is no address.
    ///
    /// # Errors
    /// Those of [`check`](Self::check), and those of keys and sockets.
    pub(crate) async fn start(&self) -> Result<Option<MoorWorkers>> {
        let addresses = self.addresses()?;
        if addresses.is_empty() {
            return Ok(None);
        }
        let mut keys = Vec::new();
        for path in &self.moor_key {
            let failed = |why: String| {
                invalid("--moor-key (TINPOT_MOOR_KEY)", format!("{}: {why}", path.display()))
            };
            let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
            keys.push(
                VerifyingKey::from_pem(&text)
                    .map_err(|error| failed(error.message().to_owned()))?,
            );
        }
        let network = MemoryNetwork::new();
        let mut gateways = Vec::new();
        for address in addresses {
            let mut builder = self.allow(Gateway::builder(&network, address))?;
            for key in &keys {
                builder = builder.key(*key);
            }
            let gateway = builder.bind().await?;
            println!("Workers of mooR attach at {}", gateway.address());
            gateways.push(gateway);
        }
        Ok(Some(MoorWorkers { network, gateways }))
    }
}

/// The gateways for workers of mooR, which are on a network in this process.
#[derive(Debug)]
pub(crate) struct MoorWorkers {
    network: MemoryNetwork,
    gateways: Vec<Gateway>,
}

impl MoorWorkers {
    /// Adds the network of these workers to the transport of a coordinator.
    ///
    /// # Errors
    /// Those of [`JoinedTransport::new`].
    pub(crate) fn join(&self, transport: Arc<dyn Transport>) -> Result<Arc<dyn Transport>> {
        let own: Arc<dyn Transport> = Arc::new(self.network.transport());
        Ok(Arc::new(JoinedTransport::new([transport, own])?))
    }

    /// Drains all workers.
    pub(crate) async fn shutdown(self, patience: Duration) {
        let gateways = self.gateways.into_iter().map(|gateway| gateway.shutdown(patience));
        futures::future::join_all(gateways).await;
    }
}

#[cfg(test)]
mod tests {
    use super::MoorSettings;

    #[test]
    fn settings_that_do_not_fit_are_named() {
        let settings = |moor: &str, types: &str| MoorSettings {
            moor: vec![moor.to_owned()],
            moor_types: vec![types.to_owned()],
            ..MoorSettings::default()
        };
        assert!(settings("ipc:///tmp/moor", "echo:4").check().is_ok());
        assert!(MoorSettings::default().check().is_ok());
        let lonely = MoorSettings { moor: Vec::new(), ..settings("", "echo") };
        for (wrong, why) in [
            (settings("udp://x", "echo"), "--moor (TINPOT_MOOR): the scheme"),
            (settings("ipc:///tmp/moor", "echo:0"), "--moor-types (TINPOT_MOOR_TYPES): slots"),
            (lonely, "--moor (TINPOT_MOOR): name the address"),
        ] {
            let error = wrong.check().unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
