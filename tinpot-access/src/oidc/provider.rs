//! The cached endpoints and keys of the identity provider.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use tinpot_core::Result;
use tokio::sync::Mutex;

use super::http::{Http, is_private};
use super::keys::Keys;

/// The time for which the endpoints and keys are cached.
const FRESH: Duration = Duration::from_secs(3_600);
/// The time after which a failed request, or a request for a missing key, is sent again.
const AGAIN: Duration = Duration::from_secs(5);

/// The part of the provider's metadata that the flow needs.
#[derive(Debug, Deserialize)]
pub(super) struct Metadata {
    issuer: String,
    pub(super) authorization_endpoint: String,
    pub(super) token_endpoint: String,
    jwks_uri: String,
    pub(super) userinfo_endpoint: Option<String>,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    #[serde(default)]
    pub(super) authorization_response_iss_parameter_supported: bool,
}

impl Metadata {
    /// Returns true if the client secret may be sent in a header, which is the default.
    pub(super) fn takes_basic(&self) -> bool {
        let methods = self.token_endpoint_auth_methods_supported.as_ref();
        methods.is_none_or(|methods| methods.iter().any(|method| method == "client_secret_basic"))
    }

    /// Checks that the metadata is that of this issuer, and that all endpoints keep secrets
    /// private.
    fn check(&self, issuer: &str) -> Result<(), String> {
        if self.issuer != *issuer {
            return Err(format!("its issuer is {:?}: set --oidc-issuer to that", self.issuer));
        }
        let Self { authorization_endpoint, token_endpoint, jwks_uri, userinfo_endpoint, .. } = self;
        let mut all =
            [authorization_endpoint, token_endpoint, jwks_uri].into_iter().chain(userinfo_endpoint);
        let is_here = issuer.starts_with("http://");
        // A provider on another machine must not direct requests to this machine.
        match all.find(|url| !is_private(url) || (!is_here && url.starts_with("http://"))) {
            Some(url) => Err(format!("its endpoint {url:?} must use HTTPS")),
            None => Ok(()),
        }
    }
}

/// The identity provider.
#[derive(Debug)]
pub(super) struct Provider {
    issuer: String,
    http: Http,
    /// Locked during a request to the provider, so that concurrent callers share one.
    metadata: Mutex<Known<Metadata>>,
    keys: Mutex<Known<Keys>>,
}

/// A document of the provider.
#[derive(Debug)]
struct Known<T> {
    value: Option<(Arc<T>, Instant)>,
    /// The error and the time of the last failed request.
    failed: Option<(tinpot_core::Error, Instant)>,
}

impl<T> Default for Known<T> {
    fn default() -> Self {
        Self { value: None, failed: None }
    }
}

impl<T: DeserializeOwned> Known<T> {
    /// Returns the document, no older than this. If the provider does not answer, returns an older
    /// one.
    async fn get(
        &mut self,
        http: &Http,
        url: String,
        age: Duration,
        check: impl Fn(&T) -> Result<(), String>,
    ) -> Result<Arc<T>> {
        if let Some((value, at)) = &self.value
            && at.elapsed() < age
        {
            return Ok(value.clone());
        }
        if let Some((error, at)) = &self.failed
            && at.elapsed() < AGAIN
        {
            return match &self.value {
                Some((value, _)) => Ok(value.clone()),
                None => Err(http.away(&error.to_string())),
            };
        }
        match ask(http, url, check).await {
            Ok(value) => {
                let value = Arc::new(value);
                (self.value, self.failed) = (Some((value.clone(), Instant::now())), None);
                Ok(value)
            }
            Err(error) => {
                tracing::warn!("{error}");
                let kept = self.value.as_ref().map(|(value, _)| value.clone());
                let again = tinpot_core::Error::new(error.kind(), "it failed a moment ago");
                self.failed = Some((again, Instant::now()));
                kept.ok_or(error)
            }
        }
    }
}

async fn ask<T: DeserializeOwned>(
    http: &Http,
    url: String,
    check: impl Fn(&T) -> Result<(), String>,
) -> Result<T> {
    let (status, body) = http.get(url.clone(), None).await?;
    if status != 200 {
        return Err(http.away(&format!("{url} has status {status}")));
    }
    let value = serde_json::from_slice(&body);
    let value: T = value.map_err(|error| http.away(&format!("{url}: {error}")))?;
    check(&value).map_err(|why| http.away(&format!("{url}: {why}")))?;
    Ok(value)
}

impl Provider {
    pub(super) fn new(issuer: &str, http: Http) -> Self {
        let issuer = issuer.to_owned();
        Self { issuer, http, metadata: Mutex::default(), keys: Mutex::default() }
    }

    pub(super) fn http(&self) -> &Http {
        &self.http
    }

    /// Returns the endpoints.
    ///
    /// # Errors
    /// `Unavailable` if they are neither cached nor available from the provider.
    pub(super) async fn metadata(&self) -> Result<Arc<Metadata>> {
        let base = self.issuer.trim_end_matches('/');
        let url = format!("{base}/.well-known/openid-configuration");
        let check = |metadata: &Metadata| metadata.check(&self.issuer);
        self.metadata.lock().await.get(&self.http, url, FRESH, check).await
    }

    /// Returns the keys. Requests them again if one is missing.
    ///
    /// # Errors
    /// `Unavailable` if they are neither cached nor available from the provider.
    pub(super) async fn keys(&self, is_missing: bool) -> Result<Arc<Keys>> {
        let url = self.metadata().await?.jwks_uri.clone();
        let age = if is_missing { AGAIN } else { FRESH };
        self.keys.lock().await.get(&self.http, url, age, |_| Ok(())).await
    }
}
