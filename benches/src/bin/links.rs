//! Measures the transports by themselves: round trips on the control lane one by one, and frames as
//! fast as they go, over mosquitto, HTTP and ZeroMQ.
//!
//! Both ends are in this process. Prints medians of the rounds, in which the transports take turns.
//!
//! ```sh
//! links --rounds 5
//! ```

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::serve::ListenerExt;
use bytes::Bytes;
use clap::Parser;
use futures::StreamExt;
use futures::stream::BoxStream;
use tinpot_benches::process::{Process, free_port};
use tinpot_benches::stats::median;
use tinpot_benches::system;
use tinpot_core::transport::{Address, Lane, Received};
use tinpot_core::{Link, Transport, WorkerId};
use tinpot_http_transport::{Admission, HttpTransport, LinkServer, Login, Peer};
use tinpot_mqtt::MqttTransport;
use tinpot_zmq::{ZmqServer, ZmqTransport};

type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// Frames on their way at the same time: fewer than any queue holds.
const WINDOW: usize = 1000;
/// The wait for a frame after which the rest counts as lost.
const LOST: Duration = Duration::from_secs(2);

#[derive(Debug, Parser)]
#[command(about)]
struct Arguments {
    /// The number of rounds; the transports take turns.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Round trips of each round.
    #[arg(long, default_value_t = 5000)]
    round_trips: usize,
    /// Frames of each round.
    #[arg(long, default_value_t = 200_000)]
    frames: usize,
    /// The size of a frame, in bytes.
    #[arg(long, default_value_t = 300)]
    bytes: usize,
}

/// Two ends that are connected.
struct Pair {
    name: &'static str,
    coordinator: Arc<dyn Transport>,
    worker: Arc<dyn Transport>,
    down: Address,
}

/// Round trips in milliseconds, p50 and p99, and frames per second up and down.
type Numbers = [f64; 4];

#[tokio::main]
async fn main() -> Result<(), AnyError> {
    let arguments = Arguments::parse();
    let port = free_port()?;
    let _mosquitto: Process = system::start_mosquitto(port)?;
    let folder = tempfile::tempdir()?;
    let socket = format!("zmq+ipc://{}", folder.path().join("run/zmq").display());
    let pairs = [
        mqtt(&format!("tcp://127.0.0.1:{port}")).await?,
        http().await?,
        zmq("ZeroMQ, tcp", "zmq+tcp://127.0.0.1:0").await?,
        zmq("ZeroMQ, ipc", &socket).await?,
    ];
    let mut found: Vec<[Vec<f64>; 4]> = pairs.iter().map(|_| Default::default()).collect();
    for round in 0..=arguments.rounds {
        // None is always the first.
        for at in (0..pairs.len()).map(|at| (at + round) % pairs.len()) {
            let numbers = pairs[at].measure(&arguments).await?;
            // The first round warms up.
            if round > 0 {
                numbers.iter().zip(&mut found[at]).for_each(|(number, all)| all.push(*number));
            }
        }
    }
    println!("| | round trip, p50 | p99 | frames/s, up | down |");
    println!("| --- | --- | --- | --- | --- |");
    for (pair, [p50, p99, up, down]) in pairs.iter().zip(&found) {
        println!(
            "| {} | {:.3} ms | {:.3} ms | {:.0} | {:.0} |",
            pair.name,
            median(p50),
            median(p99),
            median(up),
            median(down)
        );
    }
    for pair in pairs {
        pair.worker.close().await;
        pair.coordinator.close().await;
    }
    Ok(())
}

async fn pair(
    name: &'static str,
    id: WorkerId,
    coordinator: Arc<dyn Transport>,
    worker: Arc<dyn Transport>,
) -> Result<Pair, AnyError> {
    for end in [&coordinator, &worker] {
        tokio::time::timeout(Duration::from_secs(10), end.status().wait_for(Link::is_up)).await??;
    }
    Ok(Pair { name, coordinator, worker, down: Address::Worker(id) })
}

async fn mqtt(url: &str) -> Result<Pair, AnyError> {
    let id = WorkerId::generate("links");
    let builder = || MqttTransport::builder(url).namespace("links");
    let coordinator = Arc::new(builder().connect().await?);
    let worker = Arc::new(builder().worker(&id).connect().await?);
    pair("mosquitto", id, coordinator, worker).await
}

/// Admits any worker.
#[derive(Debug)]
struct AnyWorker;

impl Admission for AnyWorker {
    fn admit(&self, _: Option<&Login>, worker: &WorkerId) -> tinpot_core::Result<Peer> {
        Ok(Peer::worker("all", worker.name(), worker))
    }
}

async fn http() -> Result<Pair, AnyError> {
    let id = WorkerId::generate("links");
    let server = LinkServer::builder(Arc::new(AnyWorker)).start();
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let url = format!("http://{}", listener.local_addr()?);
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    let app = server.router().into_make_service();
    // It ends with the process.
    drop(tokio::spawn(async move { axum::serve(listener, app).await }));
    let worker = Arc::new(HttpTransport::builder(url, &id).connect().await?);
    pair("HTTP", id, Arc::new(server.transport()), worker).await
}

async fn zmq(name: &'static str, address: &str) -> Result<Pair, AnyError> {
    let server = ZmqServer::builder(address.parse()?).bind().await?;
    let worker = Arc::new(ZmqTransport::builder(server.address().clone()).connect().await?);
    let coordinator = Arc::new(server.transport());
    pair(name, WorkerId::generate("links"), coordinator, worker).await
}

impl Pair {
    async fn measure(&self, arguments: &Arguments) -> Result<Numbers, AnyError> {
        let (coordinator, worker) = (&*self.coordinator, &*self.worker);
        let mut up = coordinator.listen(&Address::Coordinator, Lane::Control).await?;
        let mut down = worker.listen(&self.down, Lane::Control).await?;
        let frame = Bytes::from(vec![b'x'; arguments.bytes]);
        let mut times = Vec::with_capacity(arguments.round_trips);
        for _ in 0..arguments.round_trips {
            let start = Instant::now();
            coordinator.send(&self.down, Lane::Control, frame.clone()).await?;
            down.next().await;
            worker.send(&Address::Coordinator, Lane::Control, frame.clone()).await?;
            up.next().await;
            times.push(start.elapsed().as_secs_f64() * 1000.0);
        }
        times.sort_by(f64::total_cmp);
        let share = |percent: usize| times[(times.len() - 1) * percent / 100];
        let sent_up = stream(worker, &Address::Coordinator, &mut up, &frame, arguments.frames);
        let sent_up = sent_up.await?;
        let sent_down = stream(coordinator, &self.down, &mut down, &frame, arguments.frames);
        Ok([share(50), share(99), sent_up, sent_down.await?])
    }
}

/// Sends frames, and returns how many arrive per second. Lost ones end the measurement.
async fn stream(
    sender: &dyn Transport,
    to: &Address,
    receiver: &mut BoxStream<'static, Received>,
    frame: &Bytes,
    frames: usize,
) -> Result<f64, AnyError> {
    let start = Instant::now();
    let (mut sent, mut received) = (0, 0);
    while received < frames {
        while sent < frames && sent - received < WINDOW {
            match sender.send(to, Lane::Control, frame.clone()).await {
                Ok(()) => sent += 1,
                Err(error) if error.is_retryable() => break,
                Err(error) => return Err(error.into()),
            }
        }
        if tokio::time::timeout(LOST, receiver.next()).await.is_err() {
            return Err(format!("{} of {frames} frames were lost", frames - received).into());
        }
        received += 1;
    }
    Ok(frames as f64 / start.elapsed().as_secs_f64())
}
