//! The gate: the only part of the API that holds the coordinator itself. Handlers receive it as the
//! caller of their request may use it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
#[cfg(feature = "apps")]
use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
#[cfg(feature = "access")]
use tinpot_core::Caller;
use tinpot_core::observer::{AuthFailure, Measure, Observer};
use tinpot_core::store::StoreProblem;
use tinpot_core::{Catalogue, Coordinator, Execution, Link, Result, Scoped, Timestamp, WorkerInfo};

use crate::authenticator::{Authenticator, ClientCertificate, Identity, PeerAddress, Presented};
use crate::csrf;
use crate::error::ApiError;
use crate::front::RequestId;
use crate::principals::{PrincipalLimits, Principals};
use crate::proxies::ClientAddress;
use crate::router::{App, Need, need_of};

/// The times between checks of an open stream: if its identity has expired, as clocks may be set, and
/// after changes of the policy, of which many may follow each other.
const CHECK: Duration = Duration::from_millis(500);
const GATHER: Duration = Duration::from_millis(200);
/// The path of the metrics.
const METRICS: &str = "/metrics";

/// The coordinator behind the authenticator.
#[derive(Debug)]
pub(crate) struct Gate {
    coordinator: Coordinator,
    authenticator: Option<Arc<dyn Authenticator>>,
    principals: Principals,
    observer: Option<Arc<dyn Observer>>,
    /// If true, metrics need no caller.
    metrics_open: bool,
}

impl Gate {
    pub(crate) fn new(
        coordinator: Coordinator,
        authenticator: Option<Arc<dyn Authenticator>>,
        limits: PrincipalLimits,
    ) -> Self {
        if authenticator.is_none() {
            tracing::warn!(
                "the API has no authenticator and refuses all requests: pass one to \
                 HttpConfig::authenticator"
            );
        }
        let principals = Principals::new(limits);
        Self { coordinator, authenticator, principals, observer: None, metrics_open: false }
    }

    /// Measures failures by this observer. If `metrics_open` is true, metrics need no caller.
    pub(crate) fn observed(self, observer: Option<Arc<dyn Observer>>, metrics_open: bool) -> Self {
        Self { observer, metrics_open, ..self }
    }

    /// Measures a failure.
    pub(crate) fn failed(&self, why: AuthFailure) {
        if let Some(observer) = &self.observer {
            observer.observe(&Measure::AuthFailed(why));
        }
    }

    /// Returns the coordinator for a caller who has just signed in.
    #[cfg(feature = "access")]
    pub(crate) fn entered(&self, caller: Caller, valid_until: Option<Timestamp>) -> Entered {
        Entered { scoped: self.coordinator.scoped(caller), valid_until }
    }

    /// Returns true if every request is one of a known caller.
    pub(crate) fn admits_everyone(&self) -> bool {
        self.authenticator.as_ref().is_some_and(|one| one.admits_everyone())
    }

    /// Returns the state of the coordinator that monitoring sees, which needs no caller.
    pub(crate) fn probe(&self) -> Probe<'_> {
        Probe(&self.coordinator)
    }

    /// Returns the coordinator for the caller of a request that needs none; `None` if the caller is
    /// not known.
    pub(crate) async fn recognize(&self, request: &Presented<'_>) -> Option<Entered> {
        self.enter(request).await.ok()
    }

    async fn enter(&self, request: &Presented<'_>) -> std::result::Result<Entered, ApiError> {
        self.identify(request).await.map_err(|denied| denied.error)
    }

    async fn identify(&self, request: &Presented<'_>) -> std::result::Result<Entered, Denied> {
        use AuthFailure::{Expired, Malformed, Missing, Refused};
        let denied = |why: AuthFailure, error| Err(Denied { why: Some(why), error });
        let Some(authenticator) = &self.authenticator else { return denied(Missing, missing()) };
        match authenticator.authenticate(request).await {
            Ok(Identity::Known { valid_until: Some(end), .. }) if end <= Timestamp::now() => {
                denied(Expired, unauthorized("identity has expired"))
            }
            Ok(Identity::Known { by_cookie: true, .. })
                if !csrf::admits_cookie(request.method, request.headers) =>
            {
                Err(csrf::refused(request.headers).into())
            }
            Ok(Identity::Known { caller, valid_until, .. }) => {
                Ok(Entered { scoped: self.coordinator.scoped(caller), valid_until })
            }
            Ok(Identity::Refused(why)) => denied(Refused, unauthorized(&why)),
            Ok(Identity::NoTeam(why)) => Err(ApiError::new(StatusCode::NOT_FOUND, why).into()),
            Ok(Identity::Malformed(why)) => denied(Malformed, ApiError::bad_request(why)),
            Ok(Identity::Unknown) => denied(Missing, missing()),
            Err(error) => {
                tracing::error!(?error, "a request cannot be authenticated");
                let detail = "authentication is not available now; retry in a moment";
                Err(ApiError::unavailable(detail).into())
            }
        }
    }
}

/// The answer to a request that is not admitted, and the reason if the request is at fault.
#[derive(Debug)]
struct Denied {
    error: ApiError,
    why: Option<AuthFailure>,
}

impl From<ApiError> for Denied {
    fn from(error: ApiError) -> Self {
        Self { error, why: None }
    }
}

/// The header with the ticket of an attempt, in place of a caller.
#[cfg(feature = "apps")]
const TICKET: HeaderName = HeaderName::from_static("tinpot-ticket");
/// The beginning of the paths that tickets are for.
#[cfg(feature = "apps")]
const BLOBS: &str = "/api/blobs/";

/// Returns the ticket of a request that may have one.
#[cfg(feature = "apps")]
fn ticket_of(request: &Request) -> Option<&HeaderValue> {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let is_for_blobs = reads && request.uri().path().starts_with(BLOBS);
    request.headers().get(TICKET).filter(|_| is_for_blobs)
}

#[cfg(feature = "apps")]
impl Gate {
    /// Answers a request of an attempt, which reads its bundle, and nothing else.
    async fn admit_attempt<F: Future<Output = Response>>(
        &self,
        mut request: Request,
        next: impl FnOnce(Request) -> F,
    ) -> Response {
        // What is no text is no ticket.
        let ticket = ticket_of(&request).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let reader = match self.coordinator.admit_ticket(ticket).await {
            Ok(reader) => reader,
            Err(error) if error.kind() == tinpot_core::ErrorKind::Forbidden => {
                self.failed(AuthFailure::Refused);
                return unauthorized(error.message()).into_response();
            }
            Err(error) => return ApiError::from(error).into_response(),
        };
        let id = format!("attempt:{}", reader.fence).into();
        let admitted = match self.principals.admit(&id, request.method(), request.uri().path()) {
            Ok(admitted) => admitted,
            Err(error) => return error.into_response(),
        };
        request.extensions_mut().insert(reader);
        admitted.until_sent(next(request).await)
    }
}

/// Authenticates every request below `/api`, known or not, and all others whose route needs it.
pub(crate) async fn authenticate<F: Future<Output = Response>>(
    gate: &Gate,
    mut request: Request,
    next: impl FnOnce(Request) -> F,
) -> Response {
    #[cfg(feature = "apps")]
    if ticket_of(&request).is_some() {
        return gate.admit_attempt(request, next).await;
    }
    let is_open = gate.metrics_open && request.uri().path() == METRICS;
    if need_of(request.method(), request.uri().path()) != Need::Nothing && !is_open {
        let peer = request.extensions().get().map(|PeerAddress(peer)| *peer);
        let presented = Presented::new(request.method(), request.uri().path(), request.headers())
            .peer(peer)
            .certificate(request.extensions().get());
        match gate.identify(&presented).await {
            Ok(mut entered) => {
                let address = request.extensions().get().map(|ClientAddress(address)| *address);
                let request_id = request.extensions().get().map(RequestId::as_str);
                entered.scoped = entered.scoped.asked_from(address, request_id.unwrap_or_default());
                let id = &entered.scoped.caller().id;
                let admitted = gate.principals.admit(id, request.method(), request.uri().path());
                let admitted = match admitted {
                    Ok(admitted) => admitted,
                    Err(error) => return error.into_response(),
                };
                request.extensions_mut().insert(entered);
                return admitted.until_sent(next(request).await);
            }
            Err(Denied { error, why }) => {
                why.inspect(|why| gate.failed(*why));
                if matches!(why, Some(AuthFailure::Refused | AuthFailure::Expired)) {
                    let address = request.extensions().get().map(|ClientAddress(address)| *address);
                    gate.coordinator.refused_credential(address, error.detail());
                }
                return error.into_response();
            }
        }
    }
    next(request).await
}

/// The coordinator as the caller of the request may use it, for as long as the identity is valid.
#[derive(Clone, Debug)]
pub(crate) struct Entered {
    pub(crate) scoped: Scoped,
    pub(crate) valid_until: Option<Timestamp>,
}

impl<S: Send + Sync> FromRequestParts<S> for Entered {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> std::result::Result<Self, ApiError> {
        parts.extensions.get().cloned().ok_or_else(missing)
    }
}

/// The sender of a request, as the request presents it, to be checked again after its body has arrived.
#[derive(Debug)]
pub(crate) struct Sender {
    pub(crate) headers: HeaderMap,
    /// `None` for a route that needs no caller.
    entered: Option<Entered>,
    method: Method,
    uri: Uri,
    peer: Option<PeerAddress>,
    certificate: Option<ClientCertificate>,
}

impl Sender {
    /// Takes the headers out of a request.
    pub(crate) fn take(request: &mut Request) -> Self {
        Self {
            headers: std::mem::take(request.headers_mut()),
            entered: request.extensions().get().cloned(),
            method: request.method().clone(),
            uri: request.uri().clone(),
            peer: request.extensions().get().copied(),
            certificate: request.extensions().get().cloned(),
        }
    }

    /// Checks that the request is still that of the same caller.
    pub(crate) async fn confirm(&self, gate: &Gate) -> std::result::Result<(), ApiError> {
        let Some(entered) = &self.entered else { return Ok(()) };
        let presented = Presented::new(&self.method, self.uri.path(), &self.headers)
            .peer(self.peer.map(|PeerAddress(peer)| peer))
            .certificate(self.certificate.as_ref())
            .repeat();
        let now = gate.enter(&presented).await?;
        if now.scoped.caller() == entered.scoped.caller() {
            Ok(())
        } else {
            Err(unauthorized("identity has ended"))
        }
    }
}

/// Returns the answer to a request without a caller.
fn missing() -> ApiError {
    unauthorized("request needs authentication")
}

fn unauthorized(detail: &str) -> ApiError {
    ApiError::new(StatusCode::UNAUTHORIZED, detail)
}

/// The authentication of an open stream, which is repeated while the stream is open.
pub(crate) struct Watch {
    entered: Entered,
    gate: Arc<Gate>,
    method: Method,
    path: String,
    headers: HeaderMap,
    peer: Option<PeerAddress>,
    certificate: Option<ClientCertificate>,
}

impl FromRequestParts<Arc<App>> for Watch {
    type Rejection = ApiError;

    async fn from_request_parts(
        parts: &mut Parts,
        app: &Arc<App>,
    ) -> std::result::Result<Self, ApiError> {
        Ok(Self {
            entered: Entered::from_request_parts(parts, app).await?,
            gate: app.gate.clone(),
            method: parts.method.clone(),
            path: parts.uri.path().to_owned(),
            headers: parts.headers.clone(),
            peer: parts.extensions.get().copied(),
            certificate: parts.extensions.get().cloned(),
        })
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch")
            .field("entered", &self.entered)
            .field("presented", &self.presented())
            .finish_non_exhaustive()
    }
}

impl Watch {
    fn presented(&self) -> Presented<'_> {
        Presented::new(&self.method, &self.path, &self.headers)
            .peer(self.peer.map(|PeerAddress(peer)| peer))
            .certificate(self.certificate.as_ref())
            .repeat()
    }

    /// Waits until the identity has ended, or the caller may not read one of the executions any
    /// more.
    pub(crate) async fn denied(mut self, executions: Vec<Arc<Execution>>) {
        let mut sight = self.entered.scoped.sight();
        loop {
            tokio::select! {
                () = self.expired() => return,
                // At once for the first time: it may have changed since the request was
                // authenticated.
                () = sight.changed() => {}
            }
            tokio::time::sleep(GATHER).await;
            if !self.is_known_still().await
                || !executions.iter().all(|execution| sight.shows(execution))
            {
                return;
            }
        }
    }

    async fn expired(&self) {
        let Some(end) = self.entered.valid_until else { return std::future::pending().await };
        while Timestamp::now() < end {
            tokio::time::sleep(CHECK).await;
        }
    }

    /// Returns true if what the request presents is still good for the same caller, and takes the
    /// new end of the identity.
    async fn is_known_still(&mut self) -> bool {
        let Ok(entered) = self.gate.enter(&self.presented()).await else { return false };
        self.entered.valid_until = entered.valid_until;
        entered.scoped.caller() == self.entered.scoped.caller()
    }
}

/// The state of the coordinator that monitoring sees.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Probe<'a>(&'a Coordinator);

impl Probe<'_> {
    pub(crate) async fn workers(&self) -> Result<Vec<WorkerInfo>> {
        self.0.workers().await
    }

    pub(crate) async fn answer_join(&self, request: &[u8]) -> Result<Vec<u8>> {
        self.0.answer_join(request).await
    }

    /// Passes the present state to the observer.
    pub(crate) async fn measure(&self) -> Result<()> {
        self.0.measure().await
    }

    pub(crate) fn link(&self) -> Link {
        self.0.link().current()
    }

    pub(crate) fn catalogue(&self) -> Arc<Catalogue> {
        self.0.catalogue()
    }

    pub(crate) fn audit_problem(&self) -> Option<String> {
        self.0.audit_problem()
    }

    pub(crate) fn store_problems(&self) -> Vec<StoreProblem> {
        self.0.store_problems()
    }
}
