//! HTTP requests to the identity provider. They block, so they run on threads for blocking work.
//! Their time, size and number are bounded.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tinpot_core::{Error, ErrorKind, Result};
use tokio::sync::Semaphore;
use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use crate::secret::Secret;

/// The time limit for one request, including its answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// The time limit for waiting until a request may start.
const TURN: Duration = Duration::from_secs(5);
/// The maximum number of concurrent requests.
const AT_ONCE: usize = 4;
/// The maximum size of an answer, in bytes. ID tokens and keys take a few kilobytes.
const ANSWER_BYTES: u64 = 1024 * 1024;

/// An answer: its status and its body.
pub(super) type Answer = (u16, Vec<u8>);

/// A client of one identity provider.
#[derive(Debug)]
pub(super) struct Http {
    issuer: Arc<str>,
    /// Created with the first request, because this reads the certificates of the system.
    agent: Arc<OnceLock<Agent>>,
    turns: Arc<Semaphore>,
}

/// Returns true for HTTPS URLs, and for URLs on this machine.
pub(super) fn is_private(url: &str) -> bool {
    match url.strip_prefix("http://") {
        Some(rest) => is_here(rest),
        None => url
            .strip_prefix("https://")
            .is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/')),
    }
}

/// Returns true if the host of a URL, without its scheme, is this machine.
fn is_here(rest: &str) -> bool {
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let bare = match host.strip_prefix('[') {
        Some(inner) => inner.split_once(']').map_or("", |(bare, _)| bare),
        None => host.split(':').next().unwrap_or_default(),
    };
    let address = bare.parse().map(|address: IpAddr| address.is_loopback());
    !host.contains('@') && address.unwrap_or_else(|_| bare.eq_ignore_ascii_case("localhost"))
}

impl Http {
    pub(super) fn new(issuer: &str) -> Self {
        let agent = Arc::new(OnceLock::new());
        Self { issuer: issuer.into(), agent, turns: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    /// Requests a document.
    ///
    /// # Errors
    /// `Unavailable` if there is no answer.
    pub(super) async fn get(&self, url: String, bearer: Option<Secret>) -> Result<Answer> {
        self.run(move |agent| {
            let mut request = agent.get(&url).header("accept", "application/json");
            if let Some(bearer) = &bearer {
                request = request.header("authorization", format!("Bearer {}", bearer.expose()));
            }
            request.call()
        })
        .await
    }

    /// Sends a form.
    ///
    /// # Errors
    /// `Unavailable` if there is no answer.
    pub(super) async fn post(
        &self,
        url: String,
        form: String,
        login: Option<String>,
    ) -> Result<Answer> {
        self.run(move |agent| {
            let request = agent.post(&url).header("accept", "application/json");
            let mut request = request.header("content-type", "application/x-www-form-urlencoded");
            if let Some(login) = &login {
                request = request.header("authorization", login);
            }
            request.send(form.as_str())
        })
        .await
    }

    async fn run(
        &self,
        send: impl FnOnce(&Agent) -> Result<ureq::http::Response<ureq::Body>, ureq::Error>
        + Send
        + 'static,
    ) -> Result<Answer> {
        let turn = tokio::time::timeout(TURN, self.turns.clone().acquire_owned()).await;
        let Ok(Ok(turn)) = turn else { return Err(self.away("too many people are signing in")) };
        let (agent, issuer) = (self.agent.clone(), self.issuer.clone());
        let task = tokio::task::spawn_blocking(move || {
            // The request goes on if no caller waits for its answer any more, as after a client has
            // gone.
            let _turn = turn;
            let mut answer = send(agent.get_or_init(|| new_agent(&issuer)))?;
            let status = answer.status().as_u16();
            let body = answer.body_mut().with_config().limit(ANSWER_BYTES).read_to_vec()?;
            Ok::<Answer, ureq::Error>((status, body))
        });
        let answer = task.await.map_err(|_| self.away("the request failed"))?;
        answer.map_err(|error| self.away(&words(&error)))
    }

    /// Returns the error for a provider that gives no valid answer.
    pub(super) fn away(&self, why: &str) -> Error {
        let message = format!("the identity provider {} does not answer: {why}", self.issuer);
        Error::new(ErrorKind::Unavailable, message)
    }
}

fn words(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Io(error) => error.to_string(),
        ureq::Error::HostNotFound => "unknown host".to_owned(),
        ureq::Error::Timeout(_) => "no answer in time".to_owned(),
        error => error.to_string(),
    }
}

fn new_agent(issuer: &str) -> Agent {
    let mut config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .timeout_global(Some(PATIENCE))
        .user_agent(concat!("tinpot/", env!("CARGO_PKG_VERSION")));
    if issuer.starts_with("http://") {
        // To a proxy, that name means the proxy's own machine.
        config = config.proxy(None);
    }
    config.tls_config(tls()).build().new_agent()
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

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::{AT_ONCE, Http, is_private};

    #[tokio::test]
    async fn requests_without_a_client_keep_their_turn() {
        let http = Http::new("http://127.0.0.1:1");
        let (started, has_started) = tokio::sync::oneshot::channel();
        let (end, may_end) = mpsc::channel::<()>();
        let request = http.run(move |_| {
            let _ = started.send(());
            let _ = may_end.recv();
            Err(ureq::Error::HostNotFound)
        });
        tokio::select! {
            biased;
            _ = request => panic!("it has not ended"),
            _ = has_started => {}
        }
        // The future of the request is gone.
        assert_eq!(http.turns.available_permits(), AT_ONCE - 1);
        drop(end);
        let all = http.turns.acquire_many(AT_ONCE as u32).await;
        assert_eq!(all.expect("it is open").num_permits(), AT_ONCE);
    }

    #[test]
    fn plain_http_is_for_this_machine() {
        for url in [
            "https://idp.example.org",
            "http://localhost:1/x",
            "http://127.0.0.1",
            "http://[::1]:9/",
        ] {
            assert!(is_private(url), "{url}");
        }
        for url in [
            "http://idp.example.org",
            "http://localhost.example.org",
            "http://localhost@evil.example",
            "http://localhost:x@evil.example",
            "ftp://a",
            "https://",
            "https:///x",
            "",
        ] {
            assert!(!is_private(url), "{url}");
        }
    }
}
