//! Measures a broker: round trips one by one, and frames as fast as possible.
//!
//! `cargo run --release -p tinpot-mqtt --example link_speed -- mqtt://127.0.0.1:1883 [frames]
//! [bytes]`

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use tinpot_core::transport::{Address, Lane, Received};
use tinpot_core::{Error, Result, Transport, WorkerId};
use tinpot_mqtt::MqttTransport;

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().unwrap_or_else(|| "mqtt://127.0.0.1:1883".to_owned());
    let mut number =
        |default| arguments.next().and_then(|text| text.parse().ok()).unwrap_or(default);
    let (frames, bytes) = (number(100_000), number(300));

    let worker_id = WorkerId::generate("speed");
    let down = Address::Worker(worker_id.clone());
    let coordinator = MqttTransport::builder(&url).namespace("tinpot-speed").connect().await?;
    let worker =
        MqttTransport::builder(&url).namespace("tinpot-speed").worker(&worker_id).connect().await?;
    let mut at_coordinator = coordinator.listen(&Address::Coordinator, Lane::Control).await?;
    let mut at_worker = worker.listen(&down, Lane::Control).await?;
    let frame = Bytes::from(vec![b'x'; bytes]);

    let mut times = Vec::new();
    for _ in 0..5000 {
        let start = Instant::now();
        coordinator.send(&down, Lane::Control, frame.clone()).await?;
        at_worker.next().await;
        worker.send(&Address::Coordinator, Lane::Control, frame.clone()).await?;
        at_coordinator.next().await;
        times.push(start.elapsed());
    }
    times.sort();
    println!(
        "round trip: p50 {:?}, p99 {:?}",
        times[times.len() / 2],
        times[times.len() * 99 / 100]
    );

    let start = Instant::now();
    let lost = stream(&worker, &Address::Coordinator, &mut at_coordinator, &frame, frames).await?;
    report("one way", frames, lost, start.elapsed());

    let start = Instant::now();
    let (up, down) = tokio::join!(
        stream(&worker, &Address::Coordinator, &mut at_coordinator, &frame, frames),
        stream(&coordinator, &down, &mut at_worker, &frame, frames),
    );
    report("each way at once", frames, up?.max(down?), start.elapsed());
    coordinator.close().await;
    worker.close().await;
    Ok(())
}

/// Sends `frames` with a window of 1,000, and returns the number that did not arrive.
async fn stream(
    sender: &MqttTransport,
    to: &Address,
    receiver: &mut BoxStream<'static, Received>,
    frame: &Bytes,
    frames: usize,
) -> Result<usize> {
    let (mut sent, mut received) = (0, 0);
    while received < frames {
        while sent < frames && sent - received < 1000 {
            match sender.send(to, Lane::Control, frame.clone()).await {
                Ok(()) => sent += 1,
                Err(error) if Error::is_retryable(&error) => break,
                Err(error) => return Err(error),
            }
        }
        match tokio::time::timeout(Duration::from_secs(2), receiver.next()).await {
            Ok(_) => received += 1,
            Err(_) => break,
        }
    }
    Ok(frames - received)
}

fn report(what: &str, frames: usize, lost: usize, took: Duration) {
    println!("{what}: {:.0} frames/s, {lost} lost of {frames}", frames as f64 / took.as_secs_f64());
}
