//! Requests to the collector.

use std::sync::Arc;
use std::time::Duration;

use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

/// The largest answer that is read, so that the connection can be used again.
const ANSWER_BYTES: u64 = 64 * 1024;
/// The most of an answer that the log quotes, in characters.
const QUOTED: usize = 200;

/// A client of one collector.
#[derive(Debug)]
pub(crate) struct Collector {
    agent: Agent,
    pub(crate) url: String,
    headers: Vec<(String, String)>,
    timeout: Duration,
}

/// The reason why spans were not taken.
#[derive(Debug)]
pub(crate) enum NotTaken {
    /// The same request may succeed later.
    ForNow(String),
    /// It never will.
    Refused(String),
}

impl Collector {
    pub(crate) fn new(url: String, headers: Vec<(String, String)>, timeout: Duration) -> Self {
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .user_agent(concat!("tinpot/", env!("CARGO_PKG_VERSION")));
        if url.starts_with("http://") {
            // Collectors without TLS are near.
            config = config.proxy(None);
        }
        let config = if url.starts_with("https://") { config.tls_config(tls()) } else { config };
        Self { agent: config.build().new_agent(), url, headers, timeout }
    }

    /// Sends a request, within the time that is left.
    pub(crate) fn send(&self, body: &[u8], left: Option<Duration>) -> Result<(), NotTaken> {
        let timeout = left.map_or(self.timeout, |left| left.min(self.timeout));
        let request = self.agent.post(&self.url).header("content-type", "application/json");
        let headers = self.headers.iter();
        let request = headers.fold(request, |request, (name, value)| request.header(name, value));
        let request = request.config().timeout_global(Some(timeout)).build();
        let mut answer = request.send(body).map_err(|error| {
            NotTaken::ForNow(match error {
                ureq::Error::Io(error) => error.to_string(),
                ureq::Error::HostNotFound => "unknown host".to_owned(),
                ureq::Error::Timeout(_) => "no answer in time".to_owned(),
                error => error.to_string(),
            })
        })?;
        let status = answer.status().as_u16();
        let text = answer.body_mut().with_config().limit(ANSWER_BYTES).read_to_string();
        let text = text.unwrap_or_default();
        let why = || {
            let quoted: String = text.trim().chars().take(QUOTED).collect();
            format!("status {status} {quoted:?}")
        };
        match status {
            200..=299 => Ok(()),
            429 | 502..=504 => Err(NotTaken::ForNow(why())),
            _ => Err(NotTaken::Refused(why())),
        }
    }
}

/// Returns the certificates of this system.
fn tls() -> TlsConfig {
    let found = rustls_native_certs::load_native_certs();
    let roots: Vec<_> = found
        .certs
        .iter()
        .map(|certificate| Certificate::from_der(certificate).to_owned())
        .collect();
    TlsConfig::builder()
        .root_certs(RootCerts::Specific(Arc::new(roots)))
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .build()
}
