//! Sign-in with an identity provider through OpenID Connect: the authorization code flow with PKCE.
//!
//! This module uses no OpenID Connect library: `openidconnect` brings 135 crates, while `ring`,
//! which is a dependency anyway, can check the signatures. The module accepts only what the flow
//! needs: one issuer, one client, one redirect URI, and ID tokens that come directly from the token
//! endpoint. It checks their signatures nevertheless.

mod browser_state;
mod http;
mod id_token;
mod keys;
mod provider;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::{Map, Value};
use tinpot_core::{Error, ErrorKind, Result};

use self::browser_state::BrowserState;
use self::http::Http;
use self::id_token::{Expected, Fault};
use self::provider::{Metadata, Provider};
use crate::directory::{Directory, ExternalIdentity};
use crate::secret::{Digest, Secret};

/// The time within which a person must come back from the identity provider.
pub(crate) const LIFE: Duration = Duration::from_secs(600);
/// The maximum number of sign-ins that are remembered as used.
const USED: usize = 10_000;
/// The maximum length of a message of the identity provider that a person sees, in characters.
const QUOTED: usize = 200;

/// The identity provider, and this server as its client.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct OidcConfig {
    /// The issuer URL of the provider, exactly as the provider states it.
    pub issuer: String,
    /// The client id of this server at the provider.
    pub client_id: String,
    /// The client secret of this server at the provider; `None` for a public client.
    pub client_secret: Option<Arc<Secret>>,
    /// The URL of this server to which the provider sends people back.
    pub redirect_uri: String,
    /// The scopes to ask for. Default: `openid profile email`.
    pub scopes: String,
    /// The claim with the groups of the person; dots select nested fields. Default: `groups`.
    pub groups_claim: String,
    /// The group whose members are admins of the server. Default: none.
    pub admin_group: Option<String>,
    /// The group that a person must be in to sign in. Default: none.
    pub required_group: Option<String>,
}

impl OidcConfig {
    /// Describes a client of a provider.
    pub fn new(
        issuer: impl Into<String>,
        client_id: impl Into<String>,
        redirect_uri: impl Into<String>,
    ) -> Self {
        Self {
            issuer: issuer.into(),
            client_id: client_id.into(),
            client_secret: None,
            redirect_uri: redirect_uri.into(),
            scopes: "openid profile email".to_owned(),
            groups_claim: "groups".to_owned(),
            admin_group: None,
            required_group: None,
        }
    }

    /// Sets the secret of this server at the provider.
    #[must_use]
    pub fn client_secret(mut self, secret: Secret) -> Self {
        self.client_secret = Some(Arc::new(secret));
        self
    }

    /// Sets the scopes to ask for, separated by blanks. `openid` is always asked for.
    #[must_use]
    pub fn scopes(mut self, scopes: impl Into<String>) -> Self {
        self.scopes = scopes.into();
        self
    }

    /// Sets the claim with the groups of the person.
    #[must_use]
    pub fn groups_claim(mut self, claim: impl Into<String>) -> Self {
        self.groups_claim = claim.into();
        self
    }

    /// Makes the members of this group admins of the server.
    #[must_use]
    pub fn admin_group(mut self, group: impl Into<String>) -> Self {
        self.admin_group = Some(group.into());
        self
    }

    /// Lets only the members of this group sign in, and those of the group of the admins.
    #[must_use]
    pub fn required_group(mut self, group: impl Into<String>) -> Self {
        self.required_group = Some(group.into());
        self
    }
}

/// Sign-in with an identity provider. Clones share the cached endpoints and keys of the provider.
#[derive(Clone, Debug)]
pub struct Oidc {
    inner: Arc<Inner>,
}

struct Inner {
    config: OidcConfig,
    provider: Provider,
    /// The sign-ins that are complete, until their cookies expire.
    used: Mutex<HashMap<Digest, Instant>>,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner").field("config", &self.config).finish_non_exhaustive()
    }
}

/// A sign-in that has begun.
#[derive(Debug)]
#[non_exhaustive]
pub struct OidcBegun {
    /// The URL at the provider to which the browser is sent.
    pub url: String,
    /// The value of a cookie that the browser must bring back within 10 minutes.
    pub cookie: Secret,
}

/// The response that a browser brings back from the provider, as query parameters.
#[derive(Clone, Default, Deserialize)]
#[non_exhaustive]
pub struct OidcReturn {
    /// The state that this server sent.
    #[serde(default)]
    pub state: String,
    /// The authorization code.
    pub code: Option<String>,
    /// The issuer, if the provider states it.
    pub iss: Option<String>,
    /// The error code, if the provider refused the sign-in.
    pub error: Option<String>,
    /// The description of the error.
    pub error_description: Option<String>,
}

impl fmt::Debug for OidcReturn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OidcReturn")
            .field("iss", &self.iss)
            .field("error", &self.error)
            .finish_non_exhaustive()
    }
}

/// A person whom the provider has signed in.
#[derive(Debug)]
#[non_exhaustive]
pub struct OidcFinished {
    /// The person.
    pub identity: ExternalIdentity,
    /// The path at which the sign-in began.
    pub return_to: String,
}

#[derive(Deserialize)]
struct Tokens {
    id_token: Option<String>,
    access_token: Option<String>,
}

#[derive(Deserialize)]
struct TokenError {
    error: String,
    error_description: Option<String>,
}

fn refused(why: impl Into<String>) -> Error {
    Error::new(ErrorKind::Forbidden, why.into())
}

impl Oidc {
    /// Creates a client of the provider. It contacts the provider when the first person signs in.
    ///
    /// # Errors
    /// `InvalidInput` if the issuer or the redirect URI is neither HTTPS nor on this machine, or the
    /// client has no id.
    pub fn new(config: OidcConfig) -> Result<Self> {
        for (what, url) in [("issuer", &config.issuer), ("redirect URI", &config.redirect_uri)] {
            if !http::is_private(url) || url.contains(['?', '#']) {
                let message = format!(
                    "the {what} of OpenID Connect must be an https:// URL without query (got {url:?}); http:// is allowed only on this machine"
                );
                return Err(Error::new(ErrorKind::InvalidInput, message));
            }
        }
        if config.client_id.is_empty() {
            let message = "OpenID Connect needs the client id of this server at the provider";
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        let provider = Provider::new(&config.issuer, Http::new(&config.issuer));
        Ok(Self { inner: Arc::new(Inner { config, provider, used: Mutex::default() }) })
    }

    /// Returns the URL of the provider.
    pub fn issuer(&self) -> &str {
        &self.inner.config.issuer
    }

    /// Begins a sign-in, from this path of the server.
    ///
    /// # Errors
    /// `Unavailable` if the provider gives no valid answer; those of
    /// [`Records`](tinpot_core::access::Records).
    pub async fn begin(&self, directory: &Directory, return_to: &str) -> Result<OidcBegun> {
        let OidcConfig { client_id, redirect_uri, scopes, .. } = &self.inner.config;
        let metadata = self.inner.provider.metadata().await?;
        let now = directory.now();
        let state = BrowserState::new(now, return_to)?;
        let scopes = match scopes.split_whitespace().any(|scope| scope == "openid") {
            true => scopes.clone(),
            false => format!("openid {scopes}"),
        };
        let endpoint = &metadata.authorization_endpoint;
        let url = {
            // The URL of an endpoint may already have a query.
            let joint = if endpoint.contains('?') { '&' } else { '?' };
            let start = format!("{endpoint}{joint}");
            let mut query = form_urlencoded::Serializer::for_suffix(start.clone(), start.len());
            query
                .append_pair("response_type", "code")
                .append_pair("client_id", client_id)
                .append_pair("redirect_uri", redirect_uri)
                .append_pair("scope", &scopes)
                .append_pair("state", &state.state())
                .append_pair("nonce", &state.nonce())
                .append_pair("code_challenge", &state.challenge())
                .append_pair("code_challenge_method", "S256");
            query.finish()
        };
        Ok(OidcBegun { url, cookie: state.to_cookie(directory).await? })
    }

    /// Finishes a sign-in with the response that the browser brought back.
    ///
    /// # Errors
    /// `Forbidden`, with a reason that the person may read, if the sign-in is refused;
    /// `Unavailable` if the provider gives no valid answer; those of
    /// [`Records`](tinpot_core::access::Records).
    pub async fn finish(
        &self,
        directory: &Directory,
        cookie: Option<&str>,
        answer: &OidcReturn,
    ) -> Result<OidcFinished> {
        let Inner { config, provider, .. } = &*self.inner;
        let state = BrowserState::from_cookie(directory, cookie).await?;
        if !Secret::new(state.state()).is(&answer.state) {
            return Err(refused("the answer belongs to another sign-in: begin again"));
        }
        let metadata = provider.metadata().await?;
        match &answer.iss {
            Some(iss) if *iss != config.issuer => {
                return Err(refused("the answer comes from another identity provider"));
            }
            None if metadata.authorization_response_iss_parameter_supported => {
                return Err(refused("the answer does not name the identity provider"));
            }
            _ => {}
        }
        self.use_up(&state)?;
        let finished = self.exchange(directory, &metadata, &state, answer).await;
        if finished.is_err() {
            // Only people who have signed in take room. The code of this answer is of no use.
            self.forget(&state);
        }
        finished
    }

    /// Exchanges the code of an answer for the identity of the person.
    async fn exchange(
        &self,
        directory: &Directory,
        metadata: &Metadata,
        state: &BrowserState,
        answer: &OidcReturn,
    ) -> Result<OidcFinished> {
        if let Some(error) = &answer.error {
            let words = quoted(error, answer.error_description.as_deref());
            return Err(refused(format!("the identity provider refused the sign-in: {words}")));
        }
        let code = answer.code.as_deref().filter(|code| !code.is_empty());
        let code = code.ok_or_else(|| refused("the answer has no code"))?;
        let tokens = self.redeem(metadata, code, state).await?;
        let id_token = tokens
            .id_token
            .as_deref()
            .ok_or_else(|| refused("the identity provider sent no ID token"))?;
        let claims =
            self.verify(directory, id_token, state, tokens.access_token.as_deref()).await?;
        let claims = self.with_user_info(metadata, claims, tokens.access_token).await?;
        let identity = self.identity(&claims)?;
        Ok(OidcFinished { identity, return_to: state.return_to().to_owned() })
    }

    /// Marks a sign-in as complete. Fails if it already is, so that an answer works only once.
    fn use_up(&self, state: &BrowserState) -> Result<()> {
        let mut used = self.inner.used.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        used.retain(|_, at| now.duration_since(*at) < LIFE);
        if used.len() >= USED {
            let message = "too many people are signing in: try again in a few minutes";
            return Err(Error::new(ErrorKind::Overloaded, message));
        }
        match used.insert(Digest::of(state.state().as_bytes()), now) {
            None => Ok(()),
            Some(_) => Err(refused("the answer was used already: begin again")),
        }
    }

    fn forget(&self, state: &BrowserState) {
        let mut used = self.inner.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.remove(&Digest::of(state.state().as_bytes()));
    }

    /// Exchanges a code for tokens.
    async fn redeem(
        &self,
        metadata: &Metadata,
        code: &str,
        state: &BrowserState,
    ) -> Result<Tokens> {
        let provider = &self.inner.provider;
        let (form, basic) = self.token_request(metadata, code, state);
        let (status, body) =
            provider.http().post(metadata.token_endpoint.clone(), form, basic).await?;
        if status != 200 {
            let words = match serde_json::from_slice(&body) {
                Ok(TokenError { error, error_description }) => {
                    quoted(&error, error_description.as_deref())
                }
                Err(_) => format!("status {status}"),
            };
            return Err(refused(format!("the identity provider refused the code: {words}")));
        }
        serde_json::from_slice(&body)
            .map_err(|_| refused("the answer of the identity provider with the token is not JSON"))
    }

    /// Returns the form for that exchange, and the credentials of this server if it has any.
    fn token_request(
        &self,
        metadata: &Metadata,
        code: &str,
        state: &BrowserState,
    ) -> (String, Option<String>) {
        let config = &self.inner.config;
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "authorization_code")
            .append_pair("code", code)
            .append_pair("redirect_uri", &config.redirect_uri)
            .append_pair("code_verifier", &state.verifier());
        match &config.client_secret {
            Some(secret) if metadata.takes_basic() => {
                let encoded = |text: &str| -> String {
                    form_urlencoded::byte_serialize(text.as_bytes()).collect()
                };
                let pair = format!("{}:{}", encoded(&config.client_id), encoded(secret.expose()));
                (form.finish(), Some(format!("Basic {}", STANDARD.encode(pair))))
            }
            secret => {
                form.append_pair("client_id", &config.client_id);
                if let Some(secret) = secret {
                    form.append_pair("client_secret", secret.expose());
                }
                (form.finish(), None)
            }
        }
    }

    async fn verify(
        &self,
        directory: &Directory,
        id_token: &str,
        state: &BrowserState,
        access_token: Option<&str>,
    ) -> Result<Map<String, Value>> {
        let Inner { config, provider, .. } = &*self.inner;
        let nonce = state.nonce();
        let expected = Expected {
            issuer: &config.issuer,
            client_id: &config.client_id,
            nonce: &nonce,
            access_token,
            now: directory.now().0 / 1_000_000,
        };
        let keys = provider.keys(false).await?;
        let verified = match id_token::verify(id_token, &keys, &expected) {
            // The provider may have replaced its keys.
            Err(Fault::UnknownKey) => {
                id_token::verify(id_token, &*provider.keys(true).await?, &expected)
            }
            verified => verified,
        };
        verified.map_err(|fault| refused(format!("the ID token is not accepted: {fault}")))
    }

    /// Adds the claims that some providers return only from the userinfo endpoint.
    async fn with_user_info(
        &self,
        metadata: &Metadata,
        mut claims: Map<String, Value>,
        access_token: Option<String>,
    ) -> Result<Map<String, Value>> {
        let Inner { config, provider, .. } = &*self.inner;
        let is_complete = claims.contains_key("preferred_username")
            && claim(&claims, &config.groups_claim).is_some();
        let (Some(endpoint), Some(token), false) =
            (&metadata.userinfo_endpoint, access_token, is_complete)
        else {
            return Ok(claims);
        };
        let (status, body) =
            provider.http().get(endpoint.clone(), Some(Secret::new(token))).await?;
        let more: Option<Map<String, Value>> = serde_json::from_slice(&body).ok();
        let Some(more) = more.filter(|_| status == 200) else {
            return Err(refused(format!(
                "the identity provider does not describe the person: its userinfo endpoint must answer with JSON (got status {status})"
            )));
        };
        if more.get("sub") != claims.get("sub") {
            return Err(refused(
                "the identity provider describes another person than the ID token",
            ));
        }
        for (name, value) in more {
            claims.entry(name).or_insert(value);
        }
        Ok(claims)
    }

    fn identity(&self, claims: &Map<String, Value>) -> Result<ExternalIdentity> {
        let config = &self.inner.config;
        let text =
            |name: &str| claims.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        let subject = text("sub").ok_or_else(|| refused("the ID token names no person"))?;
        let is_verified = claims.get("email_verified").is_some_and(|verified| {
            // Some providers send it as a string.
            *verified == Value::Bool(true) || verified.as_str() == Some("true")
        });
        let email = text("email").filter(|_| is_verified);
        let name = text("preferred_username").or(email).or(text("name")).unwrap_or(subject);
        let groups: Vec<&str> = match claim(claims, &config.groups_claim) {
            Some(Value::Array(groups)) => groups.iter().filter_map(Value::as_str).collect(),
            Some(Value::String(group)) => vec![group],
            _ => Vec::new(),
        };
        let is_in =
            |group: &Option<String>| group.as_deref().is_some_and(|group| groups.contains(&group));
        if config.required_group.is_some()
            && !is_in(&config.required_group)
            && !is_in(&config.admin_group)
        {
            return Err(refused(
                "only members of a group that the operator of this server has named can sign in; \
                 ask the operator to add you to it",
            ));
        }
        let identity = ExternalIdentity::new("oidc", &config.issuer, subject);
        let identity = identity.map_err(|error| refused(error.to_string()))?;
        let identity = identity.name(name).email(email).groups(groups);
        Ok(identity.admin_group(config.admin_group.as_deref()))
    }
}

/// Returns a claim. Dots in its name select nested fields.
fn claim<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    if let Some(found) = claims.get(name) {
        return Some(found);
    }
    let (first, rest) = name.split_once('.')?;
    claim(claims.get(first)?.as_object()?, rest)
}

/// Returns a message of the provider, shortened and without control characters.
fn quoted(error: &str, description: Option<&str>) -> String {
    let text = match description {
        Some(description) => format!("{error}: {description}"),
        None => error.to_owned(),
    };
    text.chars().filter(|c| !c.is_control()).take(QUOTED).collect()
}

/// Returns bytes in the base64 encoding for URLs.
fn encoded(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
