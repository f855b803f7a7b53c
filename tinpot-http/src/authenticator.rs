//! Authenticators: the caller of a request.

#[cfg(feature = "access")]
mod certificate;
#[cfg(feature = "access")]
mod directory;
#[cfg(feature = "access")]
mod proxy;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use axum::http::{HeaderMap, HeaderName, Method};
use tinpot_core::{Caller, Result, Timestamp};

#[cfg(feature = "access")]
pub(crate) use self::certificate::CertificateAuthenticator;
#[cfg(feature = "access")]
pub use self::certificate::CertificatePrincipal;
#[cfg(feature = "access")]
pub use self::directory::DirectoryAuthenticator;
#[cfg(feature = "access")]
pub(crate) use self::proxy::ProxyAuthenticator;
#[cfg(feature = "access")]
pub use self::proxy::ProxyUsers;

/// The parts of a request by which it can be authenticated.
///
/// [`Authenticator`] has an example.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct Presented<'a> {
    /// The method.
    pub method: &'a Method,
    /// The path, without a prefix of the router.
    pub path: &'a str,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// The address of the other end of the connection, if the server has added it to the extensions
    /// of the request as a [`PeerAddress`].
    pub peer: Option<SocketAddr>,
    /// The certificate of the other end of the connection, if the server has verified one and added
    /// it to the extensions of the request.
    pub certificate: Option<&'a ClientCertificate>,
    /// If true, the request was authenticated before and is checked again, as open streams are. It
    /// is then older than what other requests have presented since.
    pub is_repeat: bool,
}

/// Shows the names of the headers only: their values are credentials.
impl fmt::Debug for Presented<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { method, path, headers, peer, certificate, is_repeat } = self;
        let names: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        f.debug_struct("Presented")
            .field("method", method)
            .field("path", path)
            .field("headers", &names)
            .field("peer", peer)
            .field("certificate", certificate)
            .field("is_repeat", is_repeat)
            .finish()
    }
}

impl<'a> Presented<'a> {
    /// Creates the parts of a request from an unknown address.
    pub fn new(method: &'a Method, path: &'a str, headers: &'a HeaderMap) -> Self {
        Self { method, path, headers, peer: None, certificate: None, is_repeat: false }
    }

    /// Sets the address of the other end of the connection.
    #[must_use]
    pub fn peer(mut self, peer: Option<SocketAddr>) -> Self {
        self.peer = peer;
        self
    }

    /// Sets the certificate of the other end of the connection.
    #[must_use]
    pub fn certificate(mut self, certificate: Option<&'a ClientCertificate>) -> Self {
        self.certificate = certificate;
        self
    }

    /// Marks the request as one that was authenticated before.
    #[must_use]
    pub fn repeat(mut self) -> Self {
        self.is_repeat = true;
        self
    }
}

/// The address of the other end of a connection, as a server adds it to the extensions of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddress(pub SocketAddr);

/// The certificate of a client, as a server adds it to the extensions of requests after it has
/// verified the certificate. Clones share it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate(Arc<Certificate>);

#[derive(Debug, PartialEq, Eq)]
struct Certificate {
    uris: Vec<String>,
    sha256: [u8; 32],
    ends: Timestamp,
}

impl ClientCertificate {
    /// Describes a certificate by the URIs among its subject alternative names, the SHA-256 of its
    /// DER, and its end.
    pub fn new(uris: Vec<String>, sha256: [u8; 32], ends: Timestamp) -> Self {
        Self(Arc::new(Certificate { uris, sha256, ends }))
    }

    /// Returns the URIs among its subject alternative names.
    pub fn uris(&self) -> &[String] {
        &self.0.uris
    }

    /// Returns the SHA-256 of its DER.
    pub fn sha256(&self) -> &[u8; 32] {
        &self.0.sha256
    }

    /// Returns its end.
    pub fn ends(&self) -> Timestamp {
        self.0.ends
    }

    /// Returns the first digits of its fingerprint.
    #[cfg(feature = "access")]
    pub(crate) fn short(&self) -> String {
        self.0.sha256[..8].iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The answer of an authenticator.
///
/// [`Authenticator`] has an example.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Identity {
    /// The request is one of this caller.
    Known {
        /// The caller.
        caller: Arc<Caller>,
        /// The end of the identity, at which open streams end; `None` if it has none.
        valid_until: Option<Timestamp>,
        /// True if a browser has sent the credential by itself, as it does with cookies. A request
        /// that changes something must then come from a page of this server.
        by_cookie: bool,
    },
    /// The request presents nothing by which a caller could be known.
    Unknown,
    /// The request presents something that is not valid, for this reason, which the client receives.
    Refused(String),
    /// The caller is known, but is not in the team that the request names, or there is no such
    /// team. The client receives the reason.
    NoTeam(String),
    /// The request does not name a team correctly. The client receives the reason.
    Malformed(String),
}

/// Finds out whose request it is.
///
/// # Contract
/// - **Closed**: a credential that is unknown, expired, revoked, malformed or there twice is
///   `Refused`, and never taken for another. Without a credential, the answer is `Unknown`.
/// - **Errors** mean that the authenticator cannot tell now. The request is answered with 503.
/// - **Fast**: it is asked about every request below `/api`.
/// - **No writes for repeats**: a request that is checked [again](Presented::is_repeat) changes
///   nothing, as newer requests may have presented something else.
///
/// # Example
///
/// ```
/// use axum::http::{HeaderMap, Method};
/// use tinpot_core::{Caller, Result};
/// use tinpot_http::{Authenticator, HttpConfig, Identity, Presented};
///
/// /// Takes the user from a single sign-on proxy that forwards every request.
/// #[derive(Debug)]
/// struct BehindProxy;
///
/// #[async_trait::async_trait]
/// impl Authenticator for BehindProxy {
///     async fn authenticate(&self, request: &Presented<'_>) -> Result<Identity> {
///         let mut users = request.headers.get_all("x-remote-user").iter();
///         Ok(match (users.next().map(|user| user.to_str()), users.next()) {
///             (None, _) => Identity::Unknown,
///             (Some(Ok(user)), None) => {
///                 let caller = Caller::new(format!("sso:{user}")).name(user).into();
///                 // The proxy recognizes browsers by a cookie.
///                 Identity::Known { caller, valid_until: None, by_cookie: true }
///             }
///             _ => Identity::Refused("x-remote-user must be there once, in ASCII".to_owned()),
///         })
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let config = HttpConfig::default().authenticator(BehindProxy);
/// # assert!(config.authenticator.is_some());
///
/// let (method, mut headers) = (Method::GET, HeaderMap::new());
/// headers.insert("x-remote-user", "ada".parse()?);
/// let request = Presented::new(&method, "/api/actions", &headers);
/// let identity = BehindProxy.authenticate(&request).await?;
/// assert!(matches!(identity, Identity::Known { caller, .. } if &*caller.name == "ada"));
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait Authenticator: fmt::Debug + Send + Sync + 'static {
    /// Returns the caller of a request.
    ///
    /// # Errors
    /// Any, if it cannot be known now.
    async fn authenticate(&self, request: &Presented<'_>) -> Result<Identity>;

    /// Returns true if every request is one of a known caller, so that there is nothing to sign in
    /// to.
    fn admits_everyone(&self) -> bool {
        false
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<T: Authenticator + ?Sized> Authenticator for Arc<T> {
    async fn authenticate(&self, request: &Presented<'_>) -> Result<Identity> {
        (**self).authenticate(request).await
    }

    fn admits_everyone(&self) -> bool {
        (**self).admits_everyone()
    }
}

/// The authenticator that takes every request for one of the same caller: for servers that only
/// trusted clients can reach.
///
/// ```
/// # use axum::{body::Body, http::Request};
/// # use tinpot_core::{Coordinator, MemoryNetwork};
/// # use tower::ServiceExt;
/// use tinpot_http::{Anonymous, HttpConfig};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let network = MemoryNetwork::new();
/// # let coordinator = Coordinator::builder(network.transport()).start().await?;
/// let config = HttpConfig::default().authenticator(Anonymous::default());
/// let router = tinpot_http::router(coordinator, config);
/// let request = Request::get("/api/actions").body(Body::empty())?;
/// assert_eq!(router.oneshot(request).await?.status(), 200);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Anonymous {
    caller: Arc<Caller>,
}

impl Anonymous {
    /// Takes every request for one of this caller. Executions of a caller without a name keep the
    /// name of the requester that the client gives.
    pub fn acting_as(caller: Caller) -> Self {
        Self { caller: Arc::new(caller) }
    }
}

/// Takes every request for one of [`Caller::anonymous`].
impl Default for Anonymous {
    fn default() -> Self {
        Self::acting_as(Caller::anonymous())
    }
}

#[async_trait]
impl Authenticator for Anonymous {
    async fn authenticate(&self, _: &Presented<'_>) -> Result<Identity> {
        Ok(Identity::Known { caller: self.caller.clone(), valid_until: None, by_cookie: false })
    }

    fn admits_everyone(&self) -> bool {
        true
    }
}
