//! Measures the cost of sealed frames, and of HTTP instead of a broker: the same system over one
//! mosquitto with plain and with sealed frames, and over HTTP with sealed ones.
//!
//! Coordinator, worker and API of both are in this process, so that the processor time counts at
//! both ends of every frame. Prints medians, and how the other ways compare with plain frames.
//!
//! ```sh
//! sealed --rounds 7
//! ```

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::serve::ListenerExt;
use clap::Parser;
use tinpot_access::{IdentityKey, RingSuite};
use tinpot_benches::process::{Process, free_port};
use tinpot_benches::stats::median;
use tinpot_benches::{load, sse, system};
use tinpot_core::seal::{CoordinatorOptions, EnrolledKeys, Pins, Suite, WorkerGrant};
use tinpot_core::{
    Context, Coordinator, FunctionExecutor, Json, Level, Stream, Transport, Worker, WorkerId,
};
use tinpot_http::{Anonymous, HttpConfig};
use tinpot_http_transport::{Admission, HttpTransport, LinkServer, Login, Peer};
use tinpot_mqtt::MqttTransport;

type AnyError = Box<dyn std::error::Error + Send + Sync>;

const WORKER: &str = "worker";

#[derive(Debug, Parser)]
#[command(about)]
struct Arguments {
    /// The number of rounds; the ways take turns.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Requests of the latency measurement.
    #[arg(long, default_value_t = 3000)]
    requests: usize,
    /// Seconds of the throughput measurement.
    #[arg(long, default_value_t = 2)]
    seconds: u64,
    /// Executions of the end-to-end measurement.
    #[arg(long, default_value_t = 20_000)]
    executions: usize,
    /// Lines of the log measurement.
    #[arg(long, default_value_t = 200_000)]
    lines: u64,
}

/// A row: the name, and true if more is better.
const ROWS: [(&str, bool); 4] = [
    ("sync_execute, 1 client, p50, ms", false),
    ("sync_execute, 16 clients, per second", true),
    ("log lines per second", true),
    ("SDK, all at once, executions per second", true),
];

#[tokio::main]
async fn main() -> Result<(), AnyError> {
    let arguments = Arguments::parse();
    let port = free_port()?;
    let _mosquitto: Process = system::start_mosquitto(port)?;
    let broker = format!("tcp://127.0.0.1:{port}");
    let systems = [
        System::start(&broker, Way::Plain).await?,
        System::start(&broker, Way::Sealed).await?,
        System::start(&broker, Way::Http).await?,
    ];
    let mut found = [(); 3].map(|()| ROWS.map(|_| Vec::new()));
    for round in 0..=arguments.rounds {
        // None is always the first.
        for at in (0..systems.len()).map(|at| (at + round) % systems.len()) {
            let numbers = systems[at].measure(&arguments).await?;
            // The first round warms up.
            if round > 0 {
                (0..ROWS.len()).for_each(|row| found[at][row].push(numbers[row]));
            }
        }
    }
    println!("| | plain | sealed | against plain | sealed, HTTP | against plain |");
    println!("| --- | --- | --- | --- | --- | --- |");
    for (row, (name, _)) in ROWS.iter().enumerate() {
        let plain = &found[0][row];
        print!("| {name} | {:.3} |", median(plain));
        for other in &found[1..] {
            let ratios = other[row].iter().zip(plain).map(|(one, other)| one / other);
            let change = (median(&ratios.collect::<Vec<f64>>()) - 1.0) * 100.0;
            print!(" {:.3} | {change:+.1} % |", median(&other[row]));
        }
        println!();
    }
    Ok(())
}

/// The way of the frames.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    Plain,
    Sealed,
    Http,
}

/// Admits any worker.
#[derive(Debug)]
struct AnyWorker;

impl Admission for AnyWorker {
    fn admit(&self, _: Option<&Login>, worker: &WorkerId) -> tinpot_core::Result<Peer> {
        Ok(Peer::worker("all", worker.name(), worker))
    }
}

struct System {
    coordinator: Coordinator,
    address: SocketAddr,
    _worker: Worker,
}

impl System {
    async fn start(broker: &str, way: Way) -> Result<Self, AnyError> {
        let namespace = if way == Way::Plain { "plain" } else { "sealed" };
        let id = WorkerId::generate(WORKER);
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let link = LinkServer::builder(Arc::new(AnyWorker)).start();
        let mqtt = || MqttTransport::builder(broker).namespace(namespace);
        let at_coordinator: Arc<dyn Transport> = match way {
            Way::Http => Arc::new(link.transport()),
            Way::Plain | Way::Sealed => Arc::new(mqtt().connect().await?),
        };
        let mut coordinator = Coordinator::builder(at_coordinator);
        let keys = (way != Way::Plain).then(Keys::generate).transpose()?;
        if let Some(Keys { shared, own }) = &keys {
            let enrolled = Arc::new(EnrolledKeys::default());
            enrolled.enrol(shared, WorkerGrant::new(own.public(), WORKER));
            let options = CoordinatorOptions::new(namespace, enrolled);
            coordinator = coordinator.sealed(shared.clone(), options);
        }
        let coordinator = coordinator.start().await?;
        let config = HttpConfig::default().authenticator(Anonymous::default());
        let router = tinpot_http::router(coordinator.clone(), config).merge(link.router());
        let listener = listener.tap_io(|stream| {
            let _ = stream.set_nodelay(true);
        });
        let router = router.into_make_service();
        tokio::spawn(async move { axum::serve(listener, router).await });
        let at_worker: Arc<dyn Transport> = match way {
            Way::Http => {
                let url = format!("http://{address}");
                Arc::new(HttpTransport::builder(url, &id).connect().await?)
            }
            Way::Plain | Way::Sealed => Arc::new(mqtt().worker(&id).connect().await?),
        };
        let mut worker = Worker::builder(at_worker);
        worker = worker.name(WORKER).id(id).executor(actions()?).slots(4);
        if let Some(Keys { shared, own }) = keys {
            worker = worker.sealed(own, Pins::new(namespace, [shared.public()]));
        }
        let worker = worker.start().await?;
        let mut catalogue = coordinator.watch_catalogue();
        let offered =
            catalogue.wait_for(|known| known.get("noop").is_some_and(|one| one.available));
        tokio::time::timeout(Duration::from_secs(30), offered).await??;
        Ok(Self { coordinator, address, _worker: worker })
    }

    async fn measure(&self, arguments: &Arguments) -> Result<[f64; 4], AnyError> {
        let (address, noop) = (self.address, load::sync_execute("noop"));
        let (requests, lines) = (arguments.requests, arguments.lines);
        let duration = Duration::from_secs(arguments.seconds);
        let over_http = tokio::task::spawn_blocking(move || {
            let latency = load::latency(address, &noop, requests)?.p50_ms;
            let many = load::throughput(address, &noop, 16, duration)?;
            let lines = sse::lines(address, "lines", lines)?;
            Ok::<_, std::io::Error>([latency, many, lines.per_second()])
        });
        let [latency, many, lines] = over_http.await??;
        Ok([latency, many, lines, self.end_to_end(arguments.executions).await?])
    }

    async fn end_to_end(&self, count: usize) -> Result<f64, AnyError> {
        let begin = Instant::now();
        let submitters = (0..16).map(|_| {
            let coordinator = self.coordinator.clone();
            tokio::spawn(async move {
                for _ in 0..count / 16 {
                    coordinator.submit("noop", Json::empty_object()).await?.outcome().await?;
                }
                Ok::<_, tinpot_core::Error>(())
            })
        });
        for submitter in submitters.collect::<Vec<_>>() {
            submitter.await??;
        }
        Ok(count as f64 / begin.elapsed().as_secs_f64())
    }
}

struct Keys {
    shared: RingSuite,
    own: RingSuite,
}

impl Keys {
    fn generate() -> tinpot_core::Result<Self> {
        let [shared, own] = [IdentityKey::generate()?, IdentityKey::generate()?];
        Ok(Self { shared: RingSuite::new(&shared), own: RingSuite::new(&own) })
    }
}

fn actions() -> tinpot_core::Result<FunctionExecutor> {
    let noop = |_: Context, _: BTreeMap<String, u64>| async { Ok::<_, String>(()) };
    let lines = |context: Context, parameters: BTreeMap<String, u64>| async move {
        let count = parameters.get("count").copied().unwrap_or_default();
        for begin in (0..count).step_by(100) {
            let lines = (begin..count.min(begin + 100)).map(|n| format!("line {n} of the log"));
            context.logs().write(Stream::Stdout, Level::Info, lines.collect()).await;
        }
        Ok::<_, String>(())
    };
    FunctionExecutor::builder().action("noop", noop).action("lines", lines).build()
}
