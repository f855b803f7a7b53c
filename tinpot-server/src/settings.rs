//! Settings as plain data, and with the feature `clap` also as flags and environment variables.
//!
//! `Default` gives the values that an empty command line gives.

mod actions;
mod auth;
mod broker;
mod bundles;
mod frames;
mod gateway;
mod identity;
mod limits;
mod log;
#[cfg(feature = "clap")]
mod old_names;
mod principals;
mod protocol;
pub(crate) mod secrets;
mod sign_in;
mod store;
#[cfg(test)]
mod tests;
#[cfg(feature = "otel")]
mod traces;
#[cfg(feature = "clap")]
mod value;
mod workers;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use tinpot_core::{Error, ErrorKind, Result};
use tinpot_http::{AllowedHost, Anonymous, HttpConfig, PublicUrl, RootPath};

pub use self::actions::{ActionsSettings, LimitSettings, SelectionSettings};
pub use self::auth::Auth;
pub use self::broker::BrokerSettings;
pub use self::bundles::BundleSettings;
pub use self::frames::Frames;
pub(crate) use self::gateway::GatewayClient;
pub use self::gateway::GatewaySettings;
pub use self::identity::IdentitySettings;
pub use self::limits::{
    FRAME_BYTES, LOG_BYTES, Limit, REQUEST_BYTES, RESULT_BYTES, UPLOAD_BYTES, limits,
};
pub use self::log::{LogFormat, LogSettings};
#[cfg(feature = "clap")]
pub use self::old_names::{OLD_NAMES, OldName, accept_old_names, old_name_warnings, parse};
pub use self::principals::PrincipalSettings;
pub use self::protocol::{ProtocolSettings, WorkerProtocolSettings};
#[cfg(feature = "clap")]
pub use self::secrets::password_in_arguments;
pub use self::secrets::read_password;
pub use self::sign_in::SignInSettings;
pub use self::store::StoreSettings;
#[cfg(feature = "otel")]
pub use self::traces::{OtlpHeaders, TraceSettings};
#[cfg(feature = "clap")]
pub use self::value::{host, seconds};
pub use self::workers::EnrolmentSettings;
pub use crate::coordinator::{BrokerUser, EmbeddedBroker};
pub use crate::link::HttpWorkers;

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
    /// The callers that the API admits: `users` admits the users in the store, who sign in with a
    /// password, `oidc` the people whom an identity provider signs in, `proxy` those whom a reverse
    /// proxy in front has signed in, and `none` everyone who can reach the port. Separate several
    /// with commas, like users,oidc. All except `none` also admit API tokens.
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            env = "TINPOT_AUTH",
            value_name = "METHOD",
            default_value_t = HttpSettings::default().auth
        )
    )]
    pub auth: Auth,
    /// Allow several teams, which see nothing of each other. Needs --auth users.
    #[cfg_attr(feature = "clap", arg(long, env = "TINPOT_TEAMS"))]
    pub teams: bool,
    /// Serve an address that other machines reach without authentication.
    #[cfg_attr(feature = "clap", arg(long, env = "TINPOT_INSECURE_NO_AUTH"))]
    pub insecure_no_auth: bool,
    /// The file with the certificate chain to serve HTTPS with, in PEM; read again when it changes.
    #[cfg_attr(feature = "clap", arg(long, env = "TINPOT_TLS_CERT", value_name = "FILE"))]
    pub tls_cert: Option<PathBuf>,
    /// The file with the private key of --tls-cert, in PEM.
    #[cfg_attr(feature = "clap", arg(long, env = "TINPOT_TLS_KEY_FILE", value_name = "FILE"))]
    pub tls_key_file: Option<PathBuf>,
    /// The file with the certificates of authorities, in PEM: only clients that have a certificate of
    /// one of them can connect. They sign in as well, unless --client-principals knows the certificate.
    /// Needs --tls-cert.
    #[cfg_attr(feature = "clap", arg(long, env = "TINPOT_CLIENT_CA", value_name = "FILE"))]
    pub client_ca: Option<PathBuf>,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self::new(Ipv4Addr::LOCALHOST.into(), 8000)
    }
}

impl HttpSettings {
    /// That address and port.
    pub fn new(host: IpAddr, port: u16) -> Self {
        Self {
            host,
            port,
            auth: Auth::NONE,
            teams: false,
            insecure_no_auth: false,
            tls_cert: None,
            tls_key_file: None,
            client_ca: None,
        }
    }

    /// Returns the files of the certificate and its key, to serve HTTPS; `None` for plain HTTP.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if only one of them is set.
    pub fn tls_files(&self) -> Result<Option<(&Path, &Path)>> {
        // An environment variable that is set to nothing counts as not set.
        let given = |file: &'_ Option<PathBuf>| {
            file.as_ref().is_some_and(|file| !file.as_os_str().is_empty())
        };
        match (&self.tls_cert, &self.tls_key_file) {
            (Some(cert), Some(key)) if given(&self.tls_cert) && given(&self.tls_key_file) => {
                Ok(Some((cert, key)))
            }
            _ if given(&self.tls_cert) || given(&self.tls_key_file) => {
                let message = "--tls-cert (TINPOT_TLS_CERT) and --tls-key-file \
                               (TINPOT_TLS_KEY_FILE) must be given together";
                Err(Error::new(ErrorKind::InvalidInput, message))
            }
            _ => Ok(None),
        }
    }

    /// Returns the file with the authorities of clients.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] without a certificate of the server.
    pub(crate) fn client_ca(&self) -> Result<Option<&Path>> {
        let file = self.client_ca.as_deref().filter(|file| !file.as_os_str().is_empty());
        if file.is_some() && self.tls_files()?.is_none() {
            let message = "--client-ca (TINPOT_CLIENT_CA) is for HTTPS: add --tls-cert \
                           (TINPOT_TLS_CERT) and --tls-key-file (TINPOT_TLS_KEY_FILE)";
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        Ok(file)
    }

    /// Returns the scheme of the server's URL.
    pub(crate) fn scheme(&self) -> &'static str {
        match self.tls_files() {
            Ok(Some(_)) => "https",
            _ => "http",
        }
    }

    /// Checks that only this machine reaches the address, that callers are authenticated, or that the
    /// settings accept all; and that teams have users.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if they do not.
    pub fn check(&self) -> Result<()> {
        if self.teams && self.auth.is_none() {
            let message = "--teams (TINPOT_TEAMS) needs users, who are in teams: add --auth users \
                           (TINPOT_AUTH)";
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        if self.insecure_no_auth || self.is_local() || !self.auth.is_none() {
            return Ok(());
        }
        let message = format!(
            "refusing to listen on {} without authentication: ask for API tokens with --auth users \
             (TINPOT_AUTH), listen on 127.0.0.1 with a proxy that authenticates in front, or accept \
             with --insecure-no-auth (TINPOT_INSECURE_NO_AUTH) that all clients that reach the port \
             may run actions",
            SocketAddr::new(self.host, self.port)
        );
        Err(Error::new(ErrorKind::InvalidInput, message))
    }

    /// Returns true if only this machine reaches the address.
    pub(crate) fn is_local(&self) -> bool {
        self.host.to_canonical().is_loopback()
    }
}

/// The API, the web UI, and pages of other sites that use them.
#[derive(Clone, Debug, PartialEq, Eq)]
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
        arg(
            long,
            env = "TINPOT_EMBED_PARENTS",
            value_name = "ORIGIN",
            value_delimiter = ',',
            value_parser = self::value::frame_source
        )
    )]
    pub embed_parents: Vec<String>,
    /// The origins of pages that may use the API by CORS, separated by commas; for example
    /// `https://portal.example.org`. `*` stands for all, without credentials.
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            env = "CORS_ORIGINS",
            value_name = "ORIGIN",
            value_delimiter = ',',
            value_parser = self::value::origin
        )
    )]
    pub cors_origins: Vec<String>,
    /// The hosts by which people and programs reach the server, separated by commas: names like
    /// tinpot.example.org, with a port or without, and patterns like `*.example.org`. localhost and
    /// the address to listen on are always allowed; `*` allows every host, and with it pages of other
    /// sites whose names resolve to this server.
    #[cfg_attr(
        feature = "clap",
        arg(
            long = "allow-host",
            env = "TINPOT_ALLOW_HOSTS",
            value_name = "HOST",
            value_delimiter = ',',
            value_parser = self::value::allowed_host
        )
    )]
    pub allow_hosts: Vec<String>,
    /// The URL by which people reach the server, for example `https://tinpot.example.org`: its host is
    /// allowed, its path is the root path, and with https, cookies are sent over HTTPS only.
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            env = "TINPOT_PUBLIC_URL",
            value_name = "URL",
            value_parser = self::value::public_url
        )
    )]
    pub public_url: Option<String>,
    /// The path below which a reverse proxy shows the server, like /tinpot. The proxy may remove it
    /// from requests or not, with the header X-Forwarded-Prefix or without.
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            env = "ROOT_PATH",
            value_name = "PATH",
            default_value = "",
            hide_default_value = true
        )
    )]
    pub root_path: RootPath,
    /// The size of the body of a request, and so of parameters, in bytes or like 10M; at most 15M.
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            env = "TINPOT_LIMIT_REQUEST",
            value_name = "SIZE",
            value_parser = self::value::request_size,
            default_value = "1M"
        )
    )]
    pub limit_request: u64,
    /// The size of an upload for a parameter of the type bytes, in bytes or like 10M; at most 1G.
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            env = "TINPOT_LIMIT_UPLOAD",
            value_name = "SIZE",
            value_parser = self::value::upload_size,
            default_value = "64M"
        )
    )]
    pub limit_upload: u64,
    /// Serve /metrics to everyone who can reach the port. It names actions and queues. Without this,
    /// it needs a token of an admin of the server, with the scope metrics.
    #[cfg_attr(feature = "clap", arg(long, env = "TINPOT_METRICS_OPEN"))]
    pub metrics_open: bool,
    /// The limits of each user and program.
    #[cfg_attr(feature = "clap", command(flatten))]
    pub principals: PrincipalSettings,
}

impl Default for PageSettings {
    fn default() -> Self {
        Self {
            no_ui: false,
            embed_parents: Vec::new(),
            cors_origins: Vec::new(),
            allow_hosts: Vec::new(),
            public_url: None,
            root_path: RootPath::default(),
            limit_request: HttpConfig::default().max_body_bytes as u64,
            limit_upload: HttpConfig::default().max_upload_bytes,
            metrics_open: false,
            principals: PrincipalSettings::default(),
        }
    }
}

impl PageSettings {
    /// Adds routes to those of the API, with and without the root path.
    pub(crate) fn mount(&self, api: axum::Router, routes: axum::Router) -> axum::Router {
        match self.root_path.as_str() {
            "" => api.merge(routes),
            root => api.nest(root, routes.clone()).merge(routes),
        }
    }

    /// Returns the configuration of the router.
    pub fn config(&self) -> HttpConfig {
        let config = HttpConfig::default()
            .authenticator(Anonymous::default())
            .ui(!self.no_ui)
            .embed_parents(trimmed(&self.embed_parents))
            .cors_origins(trimmed(&self.cors_origins))
            .hosts(self.allowed_hosts())
            .root_path(self.root_path.clone())
            .max_body_bytes(self.limit_request_bytes())
            .max_upload_bytes(self.limit_upload)
            .metrics_open(self.metrics_open)
            .principal_limits(self.principals.limits());
        match self.public_url() {
            Some(url) => config.public_url(url),
            None => config,
        }
    }

    /// Returns the URL by which people reach the server; `None` if it is not set, or invalid, which
    /// the command line refuses.
    pub fn public_url(&self) -> Option<PublicUrl> {
        self.public_url.as_deref()?.trim().parse().ok()
    }

    /// Returns the hosts, without those that are none; a command line refuses them.
    fn allowed_hosts(&self) -> Vec<AllowedHost> {
        trimmed(&self.allow_hosts).iter().filter_map(|host| host.parse().ok()).collect()
    }

    /// Returns the largest body of a request, and so the largest parameters, in bytes.
    pub fn limit_request_bytes(&self) -> usize {
        usize::try_from(self.limit_request).unwrap_or(usize::MAX)
    }
}

/// Returns the values of a list without the blanks and empty entries that environment variables tend
/// to have.
fn trimmed(values: &[String]) -> Vec<String> {
    values.iter().map(|value| value.trim().to_owned()).filter(|value| !value.is_empty()).collect()
}
