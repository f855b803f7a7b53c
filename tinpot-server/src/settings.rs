//! Settings as plain data, and with the feature `clap` also as flags and environment variables.
//!
//! `Default` gives the values that an empty command line gives.

mod actions;
mod broker;
mod limits;
#[cfg(feature = "clap")]
mod old_names;
mod protocol;
mod store;
#[cfg(test)]
mod tests;
#[cfg(feature = "clap")]
mod value;

use std::net::{IpAddr, Ipv4Addr};

use tinpot_http::HttpConfig;

pub use self::actions::{ActionsSettings, LimitSettings, SelectionSettings};
pub use self::broker::BrokerSettings;
pub use self::limits::{FRAME_BYTES, LOG_BYTES, Limit, RESULT_BYTES, limits};
#[cfg(feature = "clap")]
pub use self::old_names::{OLD_NAMES, OldName, accept_old_names, old_name_warnings, parse};
pub use self::protocol::{ProtocolSettings, WorkerProtocolSettings};
pub use self::store::StoreSettings;
#[cfg(feature = "clap")]
pub use self::value::{host, seconds};
pub use crate::coordinator::{BrokerUser, EmbeddedBroker};

/// The address of the API.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "clap", derive(clap::Args))]
#[non_exhaustive]
pub struct HttpSettings {
    /// The address or host name to listen on. The default admits this machine only.
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            env = "HOST",
            value_parser = value::host,
            default_value_t = HttpSettings::default().host
        )
    )]
    pub host: IpAddr,
    /// The port to listen on; 0 takes a free one.
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            env = "PORT",
            default_value_t = HttpSettings::default().port
        )
    )]
    pub port: u16,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self::new(Ipv4Addr::LOCALHOST.into(), 8000)
    }
}

impl HttpSettings {
    /// That address and port.
    pub fn new(host: IpAddr, port: u16) -> Self {
        Self { host, port }
    }
}

/// The web UI, and views of executions in other pages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "clap", derive(clap::Args))]
#[non_exhaustive]
pub struct PageSettings {
    /// Serve the API without the web UI.
    #[cfg_attr(feature = "clap", arg(long, env = "TINPOT_NO_UI"))]
    pub no_ui: bool,
    /// The origins of pages that may show an execution in a frame, separated by commas; for example
    /// `https://wiki.example.org`.
    #[cfg_attr(
        feature = "clap",
        arg(long, env = "TINPOT_EMBED_PARENTS", value_name = "ORIGIN", value_delimiter = ',')
    )]
    pub embed_parents: Vec<String>,
}

impl PageSettings {
    /// Returns the configuration of the router.
    pub fn config(&self) -> HttpConfig {
        let parents = self.embed_parents.iter().map(|origin| origin.trim());
        let parents = parents.filter(|origin| !origin.is_empty());
        HttpConfig::default().ui(!self.no_ui).embed_parents(parents)
    }
}
