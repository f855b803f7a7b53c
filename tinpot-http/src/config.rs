//! The configuration of the API.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use tinpot_core::observer::Observer;
use tinpot_core::{Sampling, Watcher};

#[cfg(feature = "access")]
use crate::accounts::Accounts;
use crate::address_range::AddressRange;
use crate::authenticator::Authenticator;
use crate::hosts::AllowedHost;
use crate::principals::PrincipalLimits;
use crate::public_url::PublicUrl;
use crate::root_path::RootPath;

/// Returns metrics in the text format of Prometheus.
pub(crate) type Render = Arc<dyn Fn() -> String + Send + Sync>;

/// The configuration of the API.
///
/// ```
/// use std::time::Duration;
/// use tinpot_http::HttpConfig;
///
/// let config = HttpConfig::default()
///     .max_body_bytes(64 * 1024)
///     .heartbeat(Duration::from_secs(5))
///     .embed_parents(["https://wiki.example.org"]);
/// assert!(config.ui);
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct HttpConfig {
    /// The largest request body, in bytes. Larger ones are refused with 413. Default: 1 MiB.
    pub max_body_bytes: usize,
    /// The largest upload for a parameter, in bytes. Default: 64 MiB.
    pub max_upload_bytes: u64,
    /// The interval of heartbeats on silent streams; zero for none. Default: 15 s, which is shorter than
    /// the idle timeouts of proxies.
    pub heartbeat: Duration,
    /// If true, and with the feature `ui`, the web UI is served as well. Default: true.
    pub ui: bool,
    /// The origins of pages that may show `/embed/executions/{id}` in a frame, as in
    /// `https://wiki.example.org`. Default: none.
    pub embed_parents: Vec<String>,
    /// The origins of other sites whose pages may change something here, as in
    /// `https://wiki.example.org`. A host that allows origins by CORS names them here too. Default:
    /// none.
    pub allow_origins: Vec<String>,
    /// The origins of other sites whose pages may use the API by CORS: they may read answers and change
    /// something. `*` stands for all, without credentials. Default: none.
    pub cors_origins: Vec<String>,
    /// The path below which clients find the router, where a proxy does not say it. Default: none.
    pub root_path: RootPath,
    /// The hosts that requests may name, in addition to `localhost` and the addresses of loopback:
    /// those by which others reach the server, through a proxy for example. Default: none.
    pub hosts: Vec<AllowedHost>,
    /// The addresses of reverse proxies in front of the server. Their headers `X-Forwarded-For`,
    /// `-Host` and `-Proto` are trusted, as are those of programs on this machine. Default: none.
    pub proxies: Vec<AddressRange>,
    /// The URL by which people reach the server. Default: none.
    pub public_url: Option<PublicUrl>,
    /// The authenticator. Without one, every request below `/api` is answered with 401. Default: none.
    pub authenticator: Option<Arc<dyn Authenticator>>,
    /// The limits of each principal. They do not apply if all requests have the same caller, as
    /// with [`Anonymous`](crate::Anonymous). Default: those of [`PrincipalLimits`].
    pub principal_limits: PrincipalLimits,
    /// If true, the UI warns that every client of the server may do everything. Default: false.
    pub insecure: bool,
    pub(crate) certificate_problem: Option<Watcher<Option<String>>>,
    /// If true, `/metrics` needs no caller. Default: false.
    pub metrics_open: bool,
    /// The observer of requests and streams. Default: none.
    pub observer: Option<Arc<dyn Observer>>,
    /// The choice of traces, if requests that submit executions get spans of their own. Default: none.
    pub traces: Option<Sampling>,
    pub(crate) metrics: Option<Render>,
    #[cfg(feature = "access")]
    pub(crate) accounts: Option<Accounts>,
    #[cfg(feature = "apps")]
    pub(crate) apps: Option<tinpot_bundle::Apps>,
    shutdown: Shared<BoxFuture<'static, ()>>,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            max_body_bytes: 1024 * 1024,
            max_upload_bytes: 64 * 1024 * 1024,
            heartbeat: Duration::from_secs(15),
            ui: true,
            embed_parents: Vec::new(),
            allow_origins: Vec::new(),
            cors_origins: Vec::new(),
            root_path: RootPath::default(),
            hosts: Vec::new(),
            proxies: Vec::new(),
            public_url: None,
            authenticator: None,
            principal_limits: PrincipalLimits::default(),
            insecure: false,
            certificate_problem: None,
            metrics_open: false,
            observer: None,
            traces: None,
            metrics: None,
            #[cfg(feature = "access")]
            accounts: None,
            #[cfg(feature = "apps")]
            apps: None,
            shutdown: futures::future::pending().boxed().shared(),
        }
    }
}

impl HttpConfig {
    /// Sets the largest request body, in bytes.
    #[must_use]
    pub fn max_body_bytes(mut self, bytes: usize) -> Self {
        self.max_body_bytes = bytes;
        self
    }

    /// Sets the largest upload for a parameter, in bytes.
    #[must_use]
    pub fn max_upload_bytes(mut self, bytes: u64) -> Self {
        self.max_upload_bytes = bytes;
        self
    }

    /// Sets the interval of heartbeats on silent streams; zero for none.
    #[must_use]
    pub fn heartbeat(mut self, interval: Duration) -> Self {
        self.heartbeat = interval;
        self
    }

    /// Turns the web UI on or off. A host that merges the router and has a page of its own at `/` turns
    /// it off.
    #[must_use]
    pub fn ui(mut self, served: bool) -> Self {
        self.ui = served;
        self
    }

    /// Sets the origins of pages that may show `/embed/executions/{id}` in a frame, as in
    /// `https://wiki.example.org`.
    #[must_use]
    pub fn embed_parents(mut self, origins: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.embed_parents = origins.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the origins of other sites whose pages may change something here, as in
    /// `https://wiki.example.org`.
    #[must_use]
    pub fn allow_origins(mut self, origins: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.allow_origins = origins.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the origins of other sites whose pages may use the API by CORS: `*` for all, or origins as
    /// in `https://portal.example.org`.
    #[must_use]
    pub fn cors_origins(mut self, origins: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.cors_origins = origins.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the path below which clients find the router. Requests may have it or not: a proxy may
    /// remove it.
    #[must_use]
    pub fn root_path(mut self, path: RootPath) -> Self {
        self.root_path = path;
        self
    }

    /// Adds hosts that requests may name, as in `tinpot.example.org`. All others are answered with 421,
    /// and each is logged once.
    #[must_use]
    pub fn hosts(mut self, hosts: impl IntoIterator<Item = AllowedHost>) -> Self {
        self.hosts.extend(hosts);
        self
    }

    /// Adds reverse proxies in front of the server, whose headers `X-Forwarded-For`, `-Host` and
    /// `-Proto` are trusted. These headers are removed from requests of other
    /// [peers](crate::PeerAddress), if the server states who the peer is.
    #[must_use]
    pub fn proxies(mut self, ranges: impl IntoIterator<Item = AddressRange>) -> Self {
        self.proxies.extend(ranges);
        self
    }

    /// Sets the URL by which people reach the server. Its host is allowed, pages of its origin may
    /// change something, and its path is the [root path](Self::root_path), unless that is set.
    #[must_use]
    pub fn public_url(mut self, url: PublicUrl) -> Self {
        self.hosts.push(url.host());
        if self.root_path.as_str().is_empty() {
            self.root_path = url.path().clone();
        }
        self.public_url = Some(url);
        self
    }

    /// Sets the authenticator, which says whose request it is. Without one, every request below `/api`
    /// is answered with 401.
    #[must_use]
    pub fn authenticator(mut self, authenticator: impl Authenticator) -> Self {
        self.authenticator = Some(Arc::new(authenticator));
        self
    }

    /// Sets the users who sign in, and the routes with which they do. Their tokens and sign-ins are
    /// known by a [`DirectoryAuthenticator`](crate::DirectoryAuthenticator), until
    /// [`authenticator`](Self::authenticator) sets another one.
    #[cfg(feature = "access")]
    #[must_use]
    pub fn accounts(mut self, accounts: Accounts) -> Self {
        let known = crate::DirectoryAuthenticator::new(accounts.directory().clone());
        let known = known.local(accounts.is_local());
        let known: Arc<dyn Authenticator> = match accounts.proxy_users().cloned() {
            Some(users) => {
                self.proxies.extend(users.from());
                let login = accounts.login().clone();
                Arc::new(crate::authenticator::ProxyAuthenticator::new(users, login, known))
            }
            None => Arc::new(known),
        };
        self.authenticator = Some(match accounts.certificate_principals() {
            [] => known,
            principals => Arc::new(crate::authenticator::CertificateAuthenticator {
                principals: principals.into(),
                directory: accounts.directory().clone(),
                others: known,
            }),
        });
        self.accounts = Some(accounts);
        self
    }

    /// Sets the source of what is wrong with the certificate of the server, in words: `/health` and
    /// `/ready` report it.
    #[must_use]
    pub fn certificate_problem(mut self, problem: Watcher<Option<String>>) -> Self {
        self.certificate_problem = Some(problem);
        self
    }

    /// Sets the apps that the routes below `/api/apps` and `/api/blobs` manage. Without them, these
    /// routes answer 404.
    #[cfg(feature = "apps")]
    #[must_use]
    pub fn apps(mut self, apps: tinpot_bundle::Apps) -> Self {
        self.apps = Some(apps);
        self
    }

    /// Sets the limits of each principal.
    #[must_use]
    pub fn principal_limits(mut self, limits: PrincipalLimits) -> Self {
        self.principal_limits = limits;
        self
    }

    /// Returns the limits that apply. There are none if all clients are the same principal: on a
    /// server for this machine only, or without authentication.
    pub(crate) fn limits(&self) -> PrincipalLimits {
        #[cfg(feature = "access")]
        let is_local = self.accounts.as_ref().is_some_and(Accounts::is_local);
        #[cfg(not(feature = "access"))]
        let is_local = false;
        let is_one = self.authenticator.as_ref().is_some_and(|one| one.admits_everyone());
        if is_local || is_one { PrincipalLimits::none() } else { self.principal_limits }
    }

    /// If true, the UI warns that every client of the server may do everything.
    #[must_use]
    pub fn insecure(mut self, yes: bool) -> Self {
        self.insecure = yes;
        self
    }

    /// Sets the observer of requests and streams: that of the coordinator, mostly.
    #[must_use]
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.observer = Some(Arc::new(observer));
        self
    }

    /// Gives each request that submits an execution a span of its own, which the observer can record:
    /// that of the execution is below it.
    #[must_use]
    pub fn traces(mut self, sampling: Sampling) -> Self {
        self.traces = Some(sampling);
        self
    }

    /// Sets the source of `GET /metrics`: it returns metrics in the text format of Prometheus, such as
    /// those of `PrometheusObserver` in the crate tinpot-metrics. Before that, the coordinator passes
    /// its present state to its observer ([`Coordinator::measure`](tinpot_core::Coordinator::measure)).
    /// The source must not block for long.
    #[must_use]
    pub fn metrics(mut self, render: impl Fn() -> String + Send + Sync + 'static) -> Self {
        self.metrics = Some(Arc::new(render));
        self
    }

    /// If true, `/metrics` needs no caller. Otherwise, it needs one who has the right
    /// [`ReadMetrics`](tinpot_core::Right::ReadMetrics).
    #[must_use]
    pub fn metrics_open(mut self, yes: bool) -> Self {
        self.metrics_open = yes;
        self
    }

    /// Ends open streams, and answers requests that wait for an execution with 503, once `signal`
    /// resolves. Executions continue.
    ///
    /// Pass the signal of the graceful shutdown of the server: it waits for open responses, and a
    /// stream is open until its execution ends.
    #[must_use]
    pub fn shutdown_signal(mut self, signal: impl Future<Output = ()> + Send + 'static) -> Self {
        self.shutdown = signal.boxed().shared();
        self
    }

    /// Returns a future that resolves when the host shuts down.
    pub(crate) fn shutdown(&self) -> Shared<BoxFuture<'static, ()>> {
        self.shutdown.clone()
    }
}

impl fmt::Debug for HttpConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpConfig")
            .field("max_body_bytes", &self.max_body_bytes)
            .field("max_upload_bytes", &self.max_upload_bytes)
            .field("heartbeat", &self.heartbeat)
            .field("ui", &self.ui)
            .field("embed_parents", &self.embed_parents)
            .field("allow_origins", &self.allow_origins)
            .field("cors_origins", &self.cors_origins)
            .field("root_path", &self.root_path)
            .field("hosts", &self.hosts)
            .field("proxies", &self.proxies)
            .field("public_url", &self.public_url)
            .field("authenticator", &self.authenticator)
            .field("principal_limits", &self.principal_limits)
            .finish_non_exhaustive()
    }
}
