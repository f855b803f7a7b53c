//! A coordinator as a program: the HTTP API in front of workers that connect through MQTT, HTTP or
//! ZeroMQ.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tinpot_access::{AuditCopyTarget, IdentityKey, RingSuite, StoreKeys};
use tinpot_core::seal::Suite;
use tinpot_core::{Coordinator, Error, ErrorKind, Names, Result, Transport};
use tinpot_metrics::PrometheusObserver;
use tinpot_mqtt::broker::{Broker, BrokerRights};

use crate::access::Access;
use crate::collection::{Collecting, Observing};
use crate::enrolment::Enrolment;
use crate::error::error_chain;
use crate::gateway;
use crate::link::{self, HttpWorkers};
use crate::metrics::serve_metrics;
use crate::serve::ConnectionLimits;
use crate::settings::{
    BrokerSettings, EnrolmentSettings, GatewayClient, GatewaySettings, HttpSettings, LogSettings,
    PageSettings, ProtocolSettings, SignInSettings, StoreSettings, secrets,
};
use crate::shutdown::Shutdown;
use crate::traces::Traces;

/// The file of the store, if the settings name none.
const STORE: &str = "./tinpot.db";
/// The user of the coordinator at its embedded broker.
const COORDINATOR: &str = "coordinator";
/// The longest wait for open requests once the shutdown has begun.
const PATIENCE: Duration = Duration::from_secs(5);

/// The settings of a coordinator.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "clap", derive(clap::Args))]
#[non_exhaustive]
pub struct CoordinatorSettings {
    /// The address of the API.
    #[cfg_attr(feature = "clap", command(flatten))]
    pub http: HttpSettings,
    /// The API, the web UI, and pages of other sites that use them.
    #[cfg_attr(feature = "clap", command(flatten))]
    pub pages: PageSettings,
    /// The proxy in front of the server, and people whom other systems sign in.
    #[cfg_attr(feature = "clap", command(flatten))]
    pub sign_in: SignInSettings,
    /// The broker.
    #[cfg_attr(feature = "clap", command(flatten))]
    pub broker: BrokerSettings,
    /// The MQTT gateway.
    #[cfg_attr(feature = "clap", command(flatten))]
    pub gateway: GatewaySettings,
    /// Heartbeat and leases.
    #[cfg_attr(feature = "clap", command(flatten))]
    pub protocol: ProtocolSettings,
    /// The store.
    #[cfg_attr(feature = "clap", command(flatten))]
    pub store: StoreSettings,
    /// The workers.
    #[cfg_attr(feature = "clap", command(flatten))]
    pub enrolment: EnrolmentSettings,
    /// The workers of mooR.
    #[cfg(feature = "moor")]
    #[cfg_attr(feature = "clap", command(flatten))]
    pub moor: crate::moor::MoorSettings,
    /// The daemon of mooR that can run actions.
    #[cfg(feature = "moor")]
    #[cfg_attr(feature = "clap", command(flatten))]
    pub moor_daemon: crate::moor::MoorDaemonSettings,
    /// The log.
    #[cfg_attr(feature = "clap", command(flatten))]
    pub log: LogSettings,
    /// The export of traces.
    #[cfg(feature = "otel")]
    #[cfg_attr(feature = "clap", command(flatten))]
    pub traces: crate::settings::TraceSettings,
    /// Run an MQTT broker in this process: at ADDRESS, or at the address of --broker.
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            env = "TINPOT_EMBEDDED_BROKER",
            value_name = "ADDRESS",
            num_args = 0..=1,
            default_missing_value = "true"
        )
    )]
    pub embedded_broker: Option<EmbeddedBroker>,
    /// Take workers by ZeroMQ at this address, without a broker unless --broker names one:
    /// zmq+ipc:///run/tinpot/zmq is a socket for the users of this machine who can enter its directory,
    /// and zmq+tcp://host:port is for other machines, too.
    #[cfg(feature = "zmq")]
    #[cfg_attr(feature = "clap", arg(long, env = "TINPOT_LISTEN", value_name = "URL"))]
    pub listen: Option<String>,
    /// Take workers that connect to this server by HTTP, on paths below /api/link, and need no broker:
    /// those that have joined. `auto` is `on` with authentication, or with --broker none.
    #[cfg_attr(
        feature = "clap",
        arg(long, env = "TINPOT_HTTP_WORKERS", value_name = "WHEN", default_value_t)
    )]
    pub http_workers: HttpWorkers,
    /// The user that the embedded broker admits; required if other machines can reach its address.
    #[cfg_attr(
        feature = "clap",
        arg(long, env = "BROKER_USER", value_name = "NAME:PASSWORD", hide_env_values = true)
    )]
    pub broker_user: Option<BrokerUser>,
    /// The file with that user as NAME:PASSWORD, in one line. On the command line it is refused.
    #[cfg_attr(feature = "clap", arg(long, env = "BROKER_USER_FILE", value_name = "FILE"))]
    pub broker_user_file: Option<PathBuf>,
    /// Send secrets, including secret parameters, to workers whose frames are not sealed: everyone
    /// who can read the broker's messages can read them.
    #[cfg_attr(feature = "clap", arg(long, env = "TINPOT_INSECURE_PLAIN_SECRETS"))]
    pub insecure_plain_secrets: bool,
    /// The file to which every entry of the audit is appended as a line of JSON, or - for standard
    /// output.
    #[cfg_attr(feature = "clap", arg(long, env = "TINPOT_AUDIT_TO", value_name = "FILE"))]
    pub audit_to: Option<String>,
}

/// The address of the embedded broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EmbeddedBroker {
    /// No embedded broker.
    Off,
    /// The address in the broker's URL.
    AtUrl,
    /// This address.
    At(SocketAddr),
}

impl FromStr for EmbeddedBroker {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "" | "false" => Ok(Self::Off),
            "true" => Ok(Self::AtUrl),
            address => address
                .parse()
                .map(Self::At)
                .map_err(|_| "must be an address like 127.0.0.1:1883, true or false".to_owned()),
        }
    }
}

/// A user of the embedded broker. Its `Debug` form leaves out the password.
#[derive(Clone, PartialEq, Eq)]
pub struct BrokerUser {
    name: String,
    password: String,
}

impl BrokerUser {
    /// Creates a user with this name and password.
    pub fn new(name: impl Into<String>, password: impl Into<String>) -> Self {
        Self { name: name.into(), password: password.into() }
    }
}

impl std::fmt::Debug for BrokerUser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BrokerUser").field("name", &self.name).finish_non_exhaustive()
    }
}

impl FromStr for BrokerUser {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, password) =
            text.split_once(':').ok_or("must be a name, a colon and a password")?;
        Ok(Self::new(name, password))
    }
}

/// Returns the URL at which a server on this machine is reached from there.
fn reachable(scheme: &str, mut address: SocketAddr) -> String {
    if address.ip().is_unspecified() {
        address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
    }
    format!("{scheme}://{address}")
}

impl CoordinatorSettings {
    /// Checks that the settings fit together.
    ///
    /// ```
    /// use tinpot_server::CoordinatorSettings;
    /// use tinpot_server::settings::Auth;
    ///
    /// let mut settings = CoordinatorSettings::default();
    /// settings.http.host = "0.0.0.0".parse()?;
    /// settings.http.auth = Auth::USERS;
    /// settings.check()?;
    /// // Without authentication, other machines must not reach it.
    /// settings.http.auth = Auth::NONE;
    /// assert!(settings.check().is_err());
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if there is a user for an embedded broker that is off, a password
    /// in several places, users of a store in memory, a proxy without a secret, or an address that other machines reach
    /// without authentication or `insecure_no_auth`.
    pub fn check(&self) -> Result<()> {
        let invalid = |message: &str| Err(Error::new(ErrorKind::InvalidInput, message));
        self.http.check()?;
        #[cfg(feature = "moor")]
        self.moor.check()?;
        #[cfg(feature = "moor")]
        self.moor_daemon.check()?;
        self.sign_in.check(self.http.auth, self.pages.public_url().as_ref())?;
        if !self.sign_in.certificate_principals()?.is_empty()
            && (self.http.auth.is_none() || self.http.client_ca()?.is_none())
        {
            return invalid(
                "--client-principals (TINPOT_CLIENT_PRINCIPALS) names users by the certificates of \
                 clients: add --client-ca (TINPOT_CLIENT_CA) and --auth (TINPOT_AUTH)",
            );
        }
        if !self.http.auth.is_none() {
            Access::check(&self.store, STORE)?;
        }
        if self.http.auth.is_none() && self.audit_target().is_some() {
            return invalid(
                "--audit-to (TINPOT_AUDIT_TO) needs users, whose acts the audit records: add --auth \
                 (TINPOT_AUTH)",
            );
        }
        if self.broker_user.is_some() && self.broker_user_file.is_some() {
            return invalid(
                "--broker-user (BROKER_USER) and --broker-user-file (BROKER_USER_FILE) exclude each \
                 other: set one",
            );
        }
        if self.broker.is_server() {
            return invalid(
                "--broker (MQTT_BROKER) must be the URL of a broker, or none: only workers can name a \
                 server there",
            );
        }
        #[cfg(feature = "zmq")]
        {
            if self.broker.is_zmq() {
                return invalid(
                    "--broker (MQTT_BROKER) must be the URL of a broker, or none: name the address at \
                     which workers connect with --listen (TINPOT_LISTEN)",
                );
            }
            crate::zmq::address(self.listen.as_deref(), self.enrolment.frames)?;
        }
        if self.embedded_broker == Some(EmbeddedBroker::AtUrl) && self.broker.is_none() {
            return invalid(
                "--broker none (MQTT_BROKER) and --embedded-broker exclude each other: leave out one",
            );
        }
        if self.embeds_broker() && self.broker.password_file.is_some() {
            return invalid(
                "--broker-password-file (MQTT_BROKER_PASSWORD_FILE) is for a broker elsewhere: name \
                 the user of the embedded broker with --broker-user-file (BROKER_USER_FILE)",
            );
        }
        self.gateway_clients()?;
        let has_user = self.broker_user.is_some() || self.broker_user_file.is_some();
        if !self.embeds_broker() && has_user {
            let message = "--broker-user (BROKER_USER) applies to the embedded broker only: add --embedded-broker, or \
                           put name and password into the URL of --broker";
            return invalid(message);
        }
        Ok(())
    }

    /// Returns the rules of the MQTT gateway.
    fn gateway_clients(&self) -> Result<Vec<GatewayClient>> {
        self.gateway.clients(self.http.auth, &self.broker, self.embeds_broker())
    }

    /// Returns the place for a copy of the audit.
    fn audit_target(&self) -> Option<AuditCopyTarget> {
        match self.audit_to.as_deref().map(str::trim).filter(|text| !text.is_empty())? {
            "-" => Some(AuditCopyTarget::Stdout),
            path => Some(AuditCopyTarget::File(path.into())),
        }
    }

    /// Returns true if workers connect by ZeroMQ.
    fn listens(&self) -> bool {
        #[cfg(feature = "zmq")]
        let is_set = self.listen.as_deref().is_some_and(|address| !address.trim().is_empty());
        #[cfg(not(feature = "zmq"))]
        let is_set = false;
        is_set
    }

    /// Returns true if there is a broker: one that is embedded, or that the settings name.
    fn has_broker(&self) -> bool {
        let is_named = !self.listens() || self.broker.url != BrokerSettings::DEFAULT_URL;
        self.embeds_broker() || (is_named && !self.broker.is_none())
    }

    fn embeds_broker(&self) -> bool {
        !matches!(self.embedded_broker, None | Some(EmbeddedBroker::Off))
    }

    /// Starts the broker if it is embedded, and points the settings at it.
    ///
    /// The coordinator has a login of its own, and each worker uses its own topics.
    async fn start_broker(
        &mut self,
        enrolment: Option<&Enrolment>,
        login: &(String, String),
    ) -> Result<Option<Broker>> {
        let address = match self.embedded_broker {
            None | Some(EmbeddedBroker::Off) => return Ok(None),
            Some(EmbeddedBroker::AtUrl) => self.broker.address()?,
            Some(EmbeddedBroker::At(address)) => address,
        };
        let (user, password) = login;
        let mut rights = BrokerRights::new(&*self.broker.namespace, user, password)
            .open(enrolment.is_none_or(Enrolment::takes_plain));
        if let Some(enrolment) = enrolment {
            rights = rights.workers(enrolment.logins());
        }
        let clients = self.gateway_clients()?;
        for client in &clients {
            rights = rights.prefix(&*client.prefix, client.offers != Names::none());
        }
        let other = self.broker_user.as_ref().map(|user| &*user.name);
        for login in self.gateway.logins(&clients, other)? {
            rights = rights.client(login.prefix, login.user, login.password);
        }
        let mut builder = Broker::builder().bind(address).rights(rights);
        if let Some(user) = &self.broker_user {
            builder = builder.user(&user.name, &user.password);
        }
        let broker = builder.start().await.map_err(|error| {
            let hint = match error.kind() {
                ErrorKind::InvalidInput if self.broker_user.is_none() => {
                    " (--broker-user-file, BROKER_USER)"
                }
                ErrorKind::InvalidInput => "",
                _ => "; choose another address with --embedded-broker or --broker",
            };
            Error::new(error.kind(), format!("{}{hint}", error_chain(&error)))
        })?;
        self.broker.url = broker.url();
        println!("The embedded broker listens on {}", self.broker.url);
        Ok(Some(broker))
    }

    /// Runs the coordinator and its HTTP API until `shutdown` begins, then ends them in order.
    ///
    /// Executions are kept in `./tinpot.db` unless the settings name another store. Prints the
    /// addresses to standard output.
    ///
    /// # Errors
    /// Fails if the settings do not fit together, an address cannot be bound, a certificate cannot
    /// be read, the store cannot be opened, or the coordinator stops by itself.
    // A future of a function that is not inlined is compiled here, and not again in each program.
    #[inline(never)]
    pub fn serve(self, shutdown: Shutdown) -> BoxFuture<'static, Result<()>> {
        Box::pin(self.serve_until(shutdown))
    }

    async fn serve_until(mut self, shutdown: Shutdown) -> Result<()> {
        self.check()?;
        if let Some(file) = &self.broker_user_file {
            let text = secrets::read_password(file, "--broker-user-file, BROKER_USER_FILE")?;
            let user = text.parse().map_err(|why| {
                let message =
                    format!("{} (--broker-user-file, BROKER_USER_FILE) {why}", file.display());
                Error::new(ErrorKind::InvalidInput, message)
            })?;
            self.broker_user = Some(user);
        }
        // First of all: a port in use must not leave a store behind. The listener is closed again,
        // so that clients are refused until this coordinator can answer.
        drop(crate::serve::listen(&self.http).await?);
        #[cfg(feature = "zmq")]
        let zmq = match crate::zmq::address(self.listen.as_deref(), self.enrolment.frames)? {
            Some(address) => Some(crate::zmq::start(address).await?),
            None => None,
        };
        #[cfg(feature = "moor")]
        let moor = self.moor.start().await?;
        crate::restored::check(&self.store, STORE).await?;
        let enrolment = Enrolment::open(&self.enrolment, &self.store, STORE).await?;
        // A public key that was made a moment ago, and is used for nothing else, is a secret.
        let secret = RingSuite::new(&IdentityKey::generate()?).public().to_string();
        let login = (COORDINATOR.to_owned(), secret);
        let broker = self.start_broker(enrolment.as_ref(), &login).await?;
        let user = broker.is_some().then_some(login);
        let has_authentication = !self.http.auth.is_none();
        let (has_broker, listens) = (self.has_broker(), self.listens());
        let has_other = has_broker || listens;
        let link =
            link::start(self.http_workers, has_authentication, has_other, enrolment.as_ref())?;
        let clients = self.gateway_clients()?;
        let network = gateway::network(&clients);
        let mut transports: Vec<Arc<dyn Transport>> = Vec::new();
        if has_broker {
            transports.push(self.broker.connect(None, user.clone()).await?);
        }
        #[cfg(feature = "zmq")]
        transports.extend(zmq.iter().map(|zmq| Arc::new(zmq.transport()) as Arc<dyn Transport>));
        transports.extend(link.iter().map(|link| Arc::new(link.transport()) as Arc<dyn Transport>));
        transports
            .extend(network.iter().map(|all| Arc::new(all.transport()) as Arc<dyn Transport>));
        let transport = link::join(transports)?;
        #[cfg(feature = "moor")]
        let transport = match &moor {
            Some(moor) => moor.join(transport)?,
            None => transport,
        };
        let label = match (has_broker, listens) {
            (true, _) => "mqtt",
            (false, true) => "zmq",
            (false, false) => "http",
        };
        let metrics = Arc::new(PrometheusObserver::of_coordinator(label)?);
        let mut apps = self.store.apps(STORE).await?.observer(metrics.clone());
        #[cfg(feature = "otel")]
        let traces = Traces::start(&self.traces, "tinpot-coordinator")?;
        #[cfg(not(feature = "otel"))]
        let traces = Traces::default();
        let observer = Arc::new(Observing(metrics.clone(), apps.uses()));
        let builder = traces.of_coordinator(Coordinator::builder(transport.clone()), observer);
        let mut builder = builder
            .config(self.pages.principals.limit(self.protocol.config()))
            .max_parameters_bytes(self.pages.limit_request_bytes())
            .store(self.store.store(STORE).await?);
        if let Some(enrolment) = &enrolment {
            builder = enrolment.seal(builder, &self.broker.namespace);
        }
        let proxies = self.sign_in.ranges()?;
        let limits = ConnectionLimits::default().proxies(proxies.clone());
        let mut config = self.pages.config().hosts([self.http.host.into()]).proxies(proxies);
        let access = if self.http.auth.is_none() {
            None
        } else {
            let signer = enrolment.as_ref().map(Enrolment::suite);
            let access = Access::open(&self.store, STORE, self.http.teams, signer).await?;
            let access = access.signed_in_by(&self).await?;
            Some(access.copied_to(self.audit_target())?)
        };
        if let Some(access) = &access {
            builder = builder.policy(access.rules()).audit(access.audit()).teams(self.http.teams);
            if let Some(sealer) = self.store.sealer(STORE).await? {
                builder = builder.audit_digests(sealer);
            }
        }
        config = config.insecure(self.http.insecure_no_auth && access.is_none());
        if self.insecure_plain_secrets {
            tracing::warn!("secrets are sent to workers unencrypted: --insecure-plain-secrets");
            builder = builder.plain_secrets(true);
        }
        builder = builder.forget_secrets(self.store.forget_secrets);
        if self.store.forget_secrets
            && let Some(sealer) = self.store.sealer(STORE).await?
        {
            builder = builder.secret_digests(sealer);
        }
        let mut secrets = self.store.secrets(STORE).await?;
        if let Some(access) = &access {
            secrets = secrets.map(|secrets| secrets.audit(Arc::new(access.audit())));
        }
        if let Some(secrets) = &secrets {
            builder = builder.secrets(secrets.clone());
        }
        if let Some(access) = &access {
            let mut accounts = access.accounts();
            if let Some(secrets) = &secrets {
                accounts = accounts.secrets(secrets.clone());
            }
            if let Some(enrolment) = &enrolment {
                accounts = enrolment.manage(accounts);
            }
            config = config.accounts(accounts);
        }
        // A store in memory forgets its attempts, and so may the key of their tickets.
        let tickets = match self.store.sealer(STORE).await? {
            Some(sealer) => sealer,
            None => StoreKeys::generate()?.sealer(),
        };
        let url = self.pages.public_url().map(|url| url.to_string());
        builder = builder.bundle_tickets(tickets).server_url(url);
        if let Some(access) = &access {
            apps = apps.audit(Arc::new(access.audit()));
        }
        let coordinator = builder.uploads(apps.uploads()).start().await?;
        let apps = apps.attach(coordinator.clone()).await?;
        let _collecting = Collecting::start(apps.clone());
        config = config.apps(apps.clone());
        if let Some(secrets) = secrets {
            crate::access::reseal(secrets).await;
        }
        crate::access::note_start(&self, access.as_ref(), STORE).await?;
        let tls = crate::serve::open_tls(&self.http)?;
        if let Some(tls) = &tls {
            config = config.certificate_problem(tls.problem());
        }
        let config = config.shutdown_signal(shutdown.clone().begun());
        let config = serve_metrics(config, &metrics, self.store.file(STORE));
        let config = traces.of_api(config, metrics);
        let mut router = tinpot_http::router(coordinator.clone(), config);
        if let Some(link) = &link {
            router = self.pages.mount(router, link.router());
        }
        let gateway = gateway::start(
            &self.gateway,
            clients,
            (&self.broker, user),
            self.pages.limit_request_bytes(),
            access.as_ref().map(Access::directory),
            network,
            &coordinator,
        );
        let gateway = gateway.await?;
        #[cfg(feature = "moor")]
        let guests = self.moor_daemon.start(&coordinator)?;
        let listener = crate::serve::listen(&self.http).await?;
        let address = crate::serve::local_address(&listener)?;
        let at = (listener, tls);
        let server = crate::serve::serve_at(&self.http, at, router, limits, shutdown.clone())?;
        if let Some(access) = &access {
            let url = self.pages.public_url().map(|url| url.to_string());
            let url = url.unwrap_or_else(|| reachable(self.http.scheme(), address));
            access.invite(&url).await?;
        }
        tokio::select! {
            () = shutdown.begun() => {}
            () = coordinator.stopped() => {
                let message = "the coordinator stopped; the log above has the reason";
                return Err(Error::new(ErrorKind::Closed, message));
            }
        }
        if let Some(gateway) = gateway {
            // Before the coordinator, whose results it publishes.
            gateway.shutdown().await;
        }
        #[cfg(feature = "moor")]
        if let Some(guests) = guests {
            guests.shutdown(PATIENCE).await;
        }
        #[cfg(feature = "moor")]
        if let Some(moor) = moor {
            moor.shutdown(PATIENCE).await;
        }
        coordinator.shutdown().await;
        if let Err(error) = apps.note_uses().await {
            let why = error_chain(&error);
            tracing::warn!("the uses of versions are not written: {why}");
        }
        let _ = tokio::time::timeout(PATIENCE, server).await;
        traces.end().await;
        if let Some(broker) = broker {
            // The transport goes first. Otherwise it would log the end of the broker as an outage.
            transport.close().await;
            broker.shutdown().await;
        }
        Ok(())
    }
}
