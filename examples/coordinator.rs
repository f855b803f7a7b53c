//! The reference coordinator: the HTTP API in front of workers that are reached by MQTT.
//!
//! ```sh
//! cargo run --release --example coordinator -- --embedded-broker
//! cargo run --release --example worker
//! ```

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use tinpot_core::Coordinator;
use tinpot_examples::{AnyError, BrokerSettings, HttpSettings, ProtocolSettings, StoreSettings};
use tinpot_http::HttpConfig;
use tinpot_mqtt::broker::Broker;

/// Accepts executions over HTTP and has them run by workers that are reached by MQTT.
#[derive(Debug, Parser)]
struct Settings {
    #[command(flatten)]
    http: HttpSettings,
    #[command(flatten)]
    broker: BrokerSettings,
    #[command(flatten)]
    protocol: ProtocolSettings,
    #[command(flatten)]
    store: StoreSettings,
    /// Be the broker too: where MQTT_BROKER says, or on the address given
    #[arg(long, value_name = "ADDRESS")]
    embedded_broker: Option<Option<std::net::SocketAddr>>,
    /// Who may use the embedded broker; needed on an address that other machines can reach
    #[arg(long, env = "BROKER_USER", value_name = "NAME:PASSWORD", value_parser = user, requires = "embedded_broker", hide_env_values = true)]
    broker_user: Option<(String, String)>,
}

fn user(text: &str) -> Result<(String, String), String> {
    let (name, password) = text.split_once(':').ok_or("a name, a colon and a password")?;
    Ok((name.to_owned(), password.to_owned()))
}

#[tokio::main]
async fn main() -> ExitCode {
    tinpot_examples::init_tracing();
    tinpot_examples::exit(run(Settings::parse()).await)
}

async fn run(mut settings: Settings) -> Result<(), AnyError> {
    let shutdown = tinpot_examples::shutdown()?;
    let broker = match settings.embedded_broker {
        Some(address) => {
            let address = match address {
                Some(address) => address,
                None => settings.broker.address()?,
            };
            let mut builder = Broker::builder().bind(address);
            if let Some((name, password)) = &settings.broker_user {
                builder = builder.user(name, password);
            }
            let broker = builder.start().await?;
            settings.broker.url = broker.url();
            println!("The embedded broker listens on {}", settings.broker.url);
            Some(broker)
        }
        None => None,
    };

    let transport = settings.broker.connect(None, settings.broker_user).await?;
    let coordinator = Coordinator::builder(transport)
        .config(settings.protocol.config())
        .store(settings.store.store("./tinpot.db"))
        .start()
        .await?;

    let router = tinpot_http::router(coordinator.clone(), HttpConfig::default());
    let server = tinpot_examples::serve(&settings.http, router, shutdown.clone()).await?;

    tokio::select! {
        () = shutdown.begun() => {}
        () = coordinator.stopped() => return Err("the coordinator has stopped: see the log above".into()),
    }
    coordinator.shutdown().await;
    let _ = tokio::time::timeout(Duration::from_secs(5), server).await;
    if let Some(broker) = broker {
        broker.shutdown().await;
    }
    Ok(())
}
