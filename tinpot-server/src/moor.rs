//! Workers of mooR at a coordinator, and the other way: its actions at a daemon of mooR.

mod daemon;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tinpot_core::transport::JoinedTransport;
use tinpot_core::{Error, ErrorKind, MemoryNetwork, Result, Transport};
use tinpot_moor::{
    CurveClients, CurveKey, Dialect, Gateway, GatewayBuilder, MoorAddress, MoorType, VerifyingKey,
};

pub use self::daemon::MoorDaemonSettings;

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
    /// answer no ping while they work. TYPE(city: str, days: int?):4 names the arguments, which are
    /// the parameters of the action then.
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
    /// The file with the secret CURVE key of this coordinator, as `tinpot moor curve-keygen` writes
    /// it: connections by TCP in the dialect plain are encrypted, and only the workers of
    /// --moor-curve-clients can connect.
    #[cfg_attr(feature = "clap", arg(long, env = "TINPOT_MOOR_CURVE_KEY", value_name = "FILE"))]
    pub moor_curve_key: Option<PathBuf>,
    /// The file with the public CURVE keys of workers of mooR, one in a line. An enrolment adds a
    /// line.
    #[cfg_attr(
        feature = "clap",
        arg(long, env = "TINPOT_MOOR_CURVE_CLIENTS", value_name = "FILE")
    )]
    pub moor_curve_clients: Option<PathBuf>,
    /// Enroll workers of mooR at this address, such as tcp://127.0.0.1:7900: those that know the
    /// token can connect by CURVE.
    #[cfg_attr(
        feature = "clap",
        arg(long, env = "TINPOT_MOOR_ENROLLMENT", value_name = "ADDRESS")
    )]
    pub moor_enrollment: Option<String>,
    /// The file with the token for the enrollment of workers of mooR, in one line.
    #[cfg_attr(
        feature = "clap",
        arg(long, env = "TINPOT_MOOR_ENROLLMENT_TOKEN_FILE", value_name = "FILE")
    )]
    pub moor_enrollment_token_file: Option<PathBuf>,
    /// Ask a worker of mooR to end once it is drained. Some workers end even if the request names
    /// another.
    #[cfg_attr(feature = "clap", arg(long, env = "TINPOT_MOOR_END_DRAINED"))]
    pub moor_end_drained: bool,
}

/// Splits types at commas outside of parentheses. `,` may have split them already.
fn split_types(given: &[String]) -> Vec<String> {
    let mut types = vec![String::new()];
    let mut depth = 0_usize;
    for character in given.join(",").chars() {
        match character {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        match (character, types.last_mut()) {
            (',', _) if depth == 0 => types.push(String::new()),
            (_, Some(last)) => last.push(character),
            _ => {}
        }
    }
    types.iter().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()).collect()
}

/// Checks the name of a dialect.
#[cfg(feature = "clap")]
fn dialect(text: &str) -> Result<String, String> {
    text.parse::<Dialect>().map(|_| text.to_owned())
}

fn read(setting: &str, path: &Path) -> Result<String> {
    std::fs::read_to_string(path)
        .map_err(|error| invalid(setting, format!("{}: {error}", path.display())))
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
        let has_curve = self.moor_curve_key.is_some();
        let has_others = !self.moor_types.is_empty() || !self.moor_key.is_empty() || has_curve;
        if self.moor.is_empty() && has_others {
            return Err(invalid(
                "--moor (TINPOT_MOOR)",
                "name the address for the workers of mooR that the other settings are for",
            ));
        }
        let has_enrollment = self.moor_enrollment.is_some();
        if !has_curve && (has_enrollment || self.moor_curve_clients.is_some()) {
            return Err(invalid(
                "--moor-curve-key (TINPOT_MOOR_CURVE_KEY)",
                "name the file with the key of the coordinator: tinpot moor curve-keygen writes one",
            ));
        }
        if has_curve && !has_enrollment && self.moor_curve_clients.is_none() {
            return Err(invalid(
                "--moor-curve-clients (TINPOT_MOOR_CURVE_CLIENTS)",
                "name the file with the keys of workers that can connect",
            ));
        }
        if has_enrollment != self.moor_enrollment_token_file.is_some() {
            return Err(invalid(
                "--moor-enrollment-token-file (TINPOT_MOOR_ENROLLMENT_TOKEN_FILE)",
                "an enrollment needs --moor-enrollment and a token",
            ));
        }
        Ok(())
    }

    /// Reads the keys of CURVE, and the clients.
    fn curve(&self) -> Result<Option<(CurveKey, CurveClients)>> {
        let Some(path) = &self.moor_curve_key else { return Ok(None) };
        let text = read("--moor-curve-key (TINPOT_MOOR_CURVE_KEY)", path)?;
        let key = CurveKey::parse(&text).map_err(|error| {
            let why = format!("{}: {}", path.display(), error.message());
            invalid("--moor-curve-key (TINPOT_MOOR_CURVE_KEY)", why)
        })?;
        let clients = match &self.moor_curve_clients {
            Some(path) => CurveClients::open(path).map_err(|error| {
                invalid("--moor-curve-clients (TINPOT_MOOR_CURVE_CLIENTS)", error.message())
            })?,
            None => CurveClients::in_memory(),
        };
        Ok(Some((key, clients)))
    }

    /// Reads the address and the token of the enrollment.
    fn enrollment(&self) -> Result<Option<(MoorAddress, String)>> {
        let (Some(address), Some(path)) = (&self.moor_enrollment, &self.moor_enrollment_token_file)
        else {
            return Ok(None);
        };
        let address = address
            .parse()
            .map_err(|why: String| invalid("--moor-enrollment (TINPOT_MOOR_ENROLLMENT)", why))?;
        let setting = "--moor-enrollment-token-file (TINPOT_MOOR_ENROLLMENT_TOKEN_FILE)";
        Ok(Some((address, read(setting, path)?)))
    }

    fn allow(&self, mut builder: GatewayBuilder) -> Result<GatewayBuilder> {
        if !self.moor_dialect.is_empty() {
            let dialect = self.moor_dialect.parse();
            let dialect = dialect
                .map_err(|why: String| invalid("--moor-dialect (TINPOT_MOOR_DIALECT)", why))?;
            builder = builder.dialect(dialect);
        }
        for text in split_types(&self.moor_types) {
            builder = if text == ANY {
                builder.allow_any()
            } else {
                let kind: Result<MoorType, String> = text.parse();
                builder.allow(kind.map_err(|why| invalid("--moor-types (TINPOT_MOOR_TYPES)", why))?)
            };
        }
        Ok(builder.insecure(self.moor_insecure).end_drained(self.moor_end_drained))
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
            let setting = "--moor-key (TINPOT_MOOR_KEY)";
            let key = VerifyingKey::from_pem(&read(setting, path)?).map_err(|error| {
                invalid(setting, format!("{}: {}", path.display(), error.message()))
            })?;
            keys.push(key);
        }
        let curve = self.curve()?;
        let mut enrollment = self.enrollment()?;
        let network = MemoryNetwork::new();
        let mut gateways = Vec::new();
        for address in addresses {
            let mut builder = self.allow(Gateway::builder(&network, address))?;
            for key in &keys {
                builder = builder.key(*key);
            }
            if let Some((key, clients)) = &curve {
                builder = builder.curve(key.clone(), clients.clone());
            }
            // One for all addresses: they share the clients.
            if let Some((address, token)) = enrollment.take() {
                builder = builder.enrolled_at(address, &token);
            }
            let gateway = builder.bind().await?;
            println!("Workers of mooR attach at {}", gateway.address());
            if let Some(address) = gateway.enrolment() {
                println!("Workers of mooR are enrolled at {address}");
            }
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
    use super::{MoorSettings, split_types};

    #[test]
    fn types_have_commas_of_their_own() {
        let given = ["echo", "weather(city: str", " days: int?):4", "any"].map(str::to_owned);
        let types = ["echo", "weather(city: str, days: int?):4", "any"];
        assert_eq!(split_types(&given), types);
    }

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
        let here = || settings("tcp://127.0.0.1:7896", "echo");
        let curve = MoorSettings { moor_curve_key: Some("key".into()), ..here() };
        let token = Some("token".into());
        let token = MoorSettings { moor_enrollment_token_file: token, ..curve.clone() };
        let clients = MoorSettings { moor_curve_clients: Some("keys".into()), ..here() };
        for (wrong, why) in [
            (curve, "--moor-curve-clients (TINPOT_MOOR_CURVE_CLIENTS): name"),
            (MoorSettings { moor_curve_clients: Some("k".into()), ..token }, "needs --moor-enroll"),
            (clients, "--moor-curve-key (TINPOT_MOOR_CURVE_KEY): name"),
            (settings("udp://x", "echo"), "--moor (TINPOT_MOOR): the scheme"),
            (settings("ipc:///tmp/moor", "echo:0"), "--moor-types (TINPOT_MOOR_TYPES): slots"),
            (lonely, "--moor (TINPOT_MOOR): name the address"),
        ] {
            let error = wrong.check().unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
