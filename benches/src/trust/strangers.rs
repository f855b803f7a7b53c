//! Many strangers who say hello, with frames that are plain: the latency of others, and the memory. A
//! coordinator with sealed frames refuses them; one with plain frames takes them for workers.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tinpot_access::{IdentityKey, RingSuite};
use tinpot_core::action::{Action, ActionSet};
use tinpot_core::protocol::{Frame, Hello, Message};
use tinpot_core::seal::{CoordinatorOptions, EnrolledKeys, Pins, Suite, WorkerGrant};
use tinpot_core::{Coordinator, FunctionExecutor, Worker, WorkerId};
use tinpot_mqtt::MqttTransport;

use super::{AnyError, Line};
use crate::process::{free_port, resident_mb};
use crate::stats::percentile;
use crate::system::start_mosquitto;

/// The actions of each stranger.
const ACTIONS: usize = 5;
const NAMESPACE: &str = "bench";

/// Measures this many strangers.
pub async fn measure(strangers: usize) -> Result<Vec<Line>, AnyError> {
    let mut lines = Vec::new();
    for is_sealed in [true, false] {
        lines.extend(measure_one(strangers, is_sealed).await?);
    }
    Ok(lines)
}

async fn measure_one(strangers: usize, is_sealed: bool) -> Result<Vec<Line>, AnyError> {
    let port = free_port()?;
    let _mosquitto = start_mosquitto(port)?;
    let mqtt = || MqttTransport::builder(format!("mqtt://127.0.0.1:{port}")).namespace(NAMESPACE);
    let mut coordinator = Coordinator::builder(mqtt().connect().await?);
    let [shared, own] = [IdentityKey::generate()?, IdentityKey::generate()?];
    let [shared, own] = [RingSuite::new(&shared), RingSuite::new(&own)];
    let pins = Pins::new(NAMESPACE, [shared.public()]);
    if is_sealed {
        let enrolled = Arc::new(EnrolledKeys::default());
        enrolled.enrol(&shared, WorkerGrant::new(own.public(), "echo"));
        coordinator = coordinator.sealed(shared, CoordinatorOptions::new(NAMESPACE, enrolled));
    }
    let coordinator = coordinator.start().await?;
    let echo = |_, ()| async { Ok::<_, String>(()) };
    let executor = FunctionExecutor::builder().action("echo", echo).build()?;
    let id = WorkerId::generate("echo");
    let mut worker =
        Worker::builder(mqtt().worker(&id).connect().await?).name("echo").id(id).executor(executor);
    if is_sealed {
        worker = worker.sealed(own, pins);
    }
    let worker = worker.start().await?;
    coordinator.action_available("echo").await?;
    let packets: Vec<_> = (0..strangers).map(hello).collect();
    let mut stranger = connect(port)?;
    let ended = Arc::new(AtomicBool::new(false));
    let echoes = tokio::spawn(echoes(coordinator.clone(), ended.clone()));
    let before = resident_mb(std::process::id()).unwrap_or_default();
    let begin = Instant::now();
    let sent = tokio::task::spawn_blocking(move || {
        packets.iter().try_for_each(|packet| stranger.write_all(packet)).map(|()| stranger)
    });
    // The connection stays open until all is read.
    let _stranger = sent.await??;
    let took = begin.elapsed();
    // Until the echo that began last has come: the frames are taken in, or refused.
    ended.store(true, Ordering::Relaxed);
    let mut times = echoes.await??;
    let memory = resident_mb(std::process::id()).unwrap_or_default() - before;
    let (worst, p99) = (percentile(&mut times, 1.0), percentile(&mut times, 0.99));
    let known = coordinator.workers().await?.len();
    worker.shutdown(Duration::ZERO).await;
    coordinator.shutdown().await;
    let how = if is_sealed { "sealed" } else { "plain" };
    let what =
        format!("{strangers} strangers, {how} frames, in {took:.1?}: an echo meanwhile, p99");
    Ok(vec![
        Line::new(what, "50 ms", "5 ms", format!("{p99:.1} ms; at most {worst:.0} ms")),
        Line::new(
            "the same: memory",
            "+50 MB",
            "+10 MB",
            format!("+{memory:.0} MB, with {known} workers known"),
        ),
    ])
}

/// Connects to the broker as a client that only sends.
fn connect(port: u16) -> Result<TcpStream, AnyError> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    let name = b"strangers";
    let mut packet = vec![0x10, 12 + name.len() as u8, 0, 4];
    packet.extend_from_slice(b"MQTT\x04\x02\x00\x00\x00");
    packet.push(name.len() as u8);
    packet.extend_from_slice(name);
    stream.write_all(&packet)?;
    let mut answer = [0; 4];
    stream.read_exact(&mut answer)?;
    match answer {
        [0x20, 2, 0, 0] => Ok(stream),
        other => Err(format!("the broker answers {other:?}").into()),
    }
}

/// Returns the packet that publishes the hello of an unknown worker.
fn hello(number: usize) -> Vec<u8> {
    let id = WorkerId::generate(&format!("stranger-{number}"));
    let actions = (0..ACTIONS).filter_map(|n| Action::new(format!("a{number}-{n}")).ok());
    let hello = Hello {
        name: id.name().to_owned(),
        slots: 1,
        offer: ActionSet::new(actions),
        ..Hello::default()
    };
    let topic = format!("{NAMESPACE}/worker/{}/{id}/up/control", id.name());
    let messages = vec![Message::Hello(hello)];
    let frame = Frame { from: Some(id), to: None, messages }.encode();
    let mut left = 2 + topic.len() + frame.len();
    let mut packet = vec![0x30];
    loop {
        packet.push((left % 128) as u8 | if left >= 128 { 128 } else { 0 });
        left /= 128;
        if left == 0 {
            break;
        }
    }
    packet.extend_from_slice(&(topic.len() as u16).to_be_bytes());
    packet.extend_from_slice(topic.as_bytes());
    packet.extend_from_slice(&frame);
    packet
}

async fn echoes(
    coordinator: Coordinator,
    ended: Arc<AtomicBool>,
) -> Result<Vec<f64>, tinpot_core::Error> {
    let mut times = Vec::new();
    while !ended.load(Ordering::Relaxed) {
        let begin = Instant::now();
        coordinator.call::<()>("echo", ()).await?;
        times.push(begin.elapsed().as_secs_f64() * 1e3);
    }
    Ok(times)
}
