//! `tinpot coordinator`: the HTTP API in front of workers that are reached by MQTT.

use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tinpot_core::{Coordinator, Transport};
use tinpot_mqtt::broker::Broker;

use super::{ConfigArgs, PagesArgs};
use crate::exit::{Done, Failure};
use crate::serve::AnyError;
use crate::settings::{BrokerSettings, HttpSettings, ProtocolSettings, StoreSettings};

/// How long open requests may take once the end has begun.
const PATIENCE: Duration = Duration::from_secs(5);

/// The settings of the coordinator.
#[derive(Args, Clone, Debug)]
pub(crate) struct CoordinatorArgs {
    #[command(flatten)]
    http: HttpSettings,
    #[command(flatten)]
    pages: PagesArgs,
    #[command(flatten)]
    broker: BrokerSettings,
    #[command(flatten)]
    protocol: ProtocolSettings,
    #[command(flatten)]
    store: StoreSettings,
    /// Be the broker too: where MQTT_BROKER says, or on the address given
    #[arg(long, env = "TINPOT_EMBEDDED_BROKER", value_name = "ADDRESS", num_args = 0..=1, default_missing_value = "true")]
    embedded_broker: Option<Embedded>,
    /// Who may use the embedded broker; needed on an address that other machines can reach
    #[arg(long, env = "BROKER_USER", value_name = "NAME:PASSWORD", hide_env_values = true)]
    broker_user: Option<User>,
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
}

/// Where the embedded broker listens.
#[derive(Clone, Copy, Debug)]
enum Embedded {
    Off,
    /// Where the broker's URL says.
    AtUrl,
    At(SocketAddr),
}

impl FromStr for Embedded {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "" | "false" => Ok(Self::Off),
            "true" => Ok(Self::AtUrl),
            address => address
                .parse()
                .map(Self::At)
                .map_err(|_| "neither an address like 127.0.0.1:1883 nor true or false".to_owned()),
        }
    }
}

#[derive(Clone)]
struct User(String, String);

impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("User").field(&self.0).finish_non_exhaustive()
    }
}

impl FromStr for User {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, password) = text.split_once(':').ok_or("a name, a colon and a password")?;
        Ok(Self(name.to_owned(), password.to_owned()))
    }
}

/// Runs until SIGTERM or Ctrl-C.
pub(crate) fn coordinator(arguments: CoordinatorArgs) -> Done {
    let embedded = match arguments.embedded_broker {
        None | Some(Embedded::Off) => None,
        Some(Embedded::AtUrl) => Some(None),
        Some(Embedded::At(address)) => Some(Some(address)),
    };
    if embedded.is_none() && arguments.broker_user.is_some() {
        let message = "--broker-user (BROKER_USER) is for the embedded broker: give --embedded-broker too, or put \
                       name and password into the URL of --broker";
        return Err(Failure::usage(message));
    }
    super::run(serve(arguments, embedded))
}

async fn serve(
    mut arguments: CoordinatorArgs,
    embedded: Option<Option<SocketAddr>>,
) -> Result<(), AnyError> {
    let shutdown = crate::shutdown::shutdown()?;
    let user = arguments.broker_user.take();
    let broker = match embedded {
        Some(address) => {
            let address = match address {
                Some(address) => address,
                None => arguments.broker.address()?,
            };
            let mut builder = Broker::builder().bind(address);
            if let Some(User(name, password)) = &user {
                builder = builder.user(name, password);
            }
            let broker = builder.start().await.map_err(|error| {
                let hint = if user.is_none() { " (--broker-user, BROKER_USER)" } else { "" };
                format!("{}{hint}", crate::serve::chain(&error))
            })?;
            arguments.broker.url = broker.url();
            println!("The embedded broker listens on {}", arguments.broker.url);
            Some(broker)
        }
        None => None,
    };
    let user = user.map(|User(name, password)| (name, password));
    let transport = Arc::new(arguments.broker.connect(None, user).await?);
    let coordinator = Coordinator::builder(transport.clone())
        .config(arguments.protocol.config())
        .store(arguments.store.store("./tinpot.db"))
        .start()
        .await?;
    let config = arguments.pages.config().shutdown_signal(shutdown.clone().begun());
    let router = tinpot_http::router(coordinator.clone(), config);
    let server = crate::serve::serve(&arguments.http, router, shutdown.clone()).await?;
    tokio::select! {
        () = shutdown.begun() => {}
        () = coordinator.stopped() => return Err("the coordinator has stopped: see the log above".into()),
    }
    coordinator.shutdown().await;
    let _ = tokio::time::timeout(PATIENCE, server).await;
    if let Some(broker) = broker {
        // Else the log would have an outage that is none.
        transport.close().await;
        broker.shutdown().await;
    }
    Ok(())
}
