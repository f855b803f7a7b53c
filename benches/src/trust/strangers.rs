//! Many strangers who say hello, with frames that are plain: the latency of others, and the memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tinpot_core::action::{Action, ActionSet};
use tinpot_core::protocol::{Frame, Hello, Message};
use tinpot_core::transport::{Address, Lane};
use tinpot_core::{
    Coordinator, ErrorKind, FunctionExecutor, MemoryNetwork, Transport, Worker, WorkerId,
};

use super::{AnyError, Line};
use crate::process::resident_mb;
use crate::stats::percentile;

/// The actions of each stranger.
const ACTIONS: usize = 5;
/// The time before a frame is offered again.
const PAUSE: Duration = Duration::from_millis(1);

/// Measures this many strangers.
pub async fn measure(strangers: usize) -> Result<Vec<Line>, AnyError> {
    let network = MemoryNetwork::new();
    let transport = network.transport_of(&Address::Coordinator);
    let coordinator = Coordinator::builder(transport).start().await?;
    let echo = |_, ()| async { Ok::<_, String>(()) };
    let executor = FunctionExecutor::builder().action("echo", echo).build()?;
    let id = WorkerId::generate("echo");
    let own = network.transport_of(&Address::Worker(id.clone()));
    let worker = Worker::builder(own).id(id).executor(executor).start().await?;
    coordinator.action_available("echo").await?;
    let frames: Vec<_> = (0..strangers)
        .map(|number| {
            let id = WorkerId::generate(&format!("stranger-{number}"));
            let actions = (0..ACTIONS).filter_map(|n| Action::new(format!("a{number}-{n}")).ok());
            let hello = Hello {
                name: id.name().to_owned(),
                queues: Vec::new(),
                groups: Vec::new(),
                slots: 1,
                offer: ActionSet::new(actions),
                clean_slate: Vec::new(),
                epoch: None,
                version: String::new(),
                started_at: None,
                pull: false,
                lease: None,
                seq: 0,
                teams: Vec::new(),
                granted: Box::default(),
            };
            let messages = vec![Message::Hello(hello)];
            let frame = Frame { from: Some(id.clone()), to: None, messages };
            (id, frame.encode())
        })
        .collect();
    let ended = Arc::new(AtomicBool::new(false));
    let echoes = tokio::spawn(echoes(coordinator.clone(), ended.clone()));
    let before = resident_mb(std::process::id()).unwrap_or_default();
    let begin = Instant::now();
    for (id, frame) in frames {
        let transport = network.transport_of(&Address::Worker(id));
        // As fast as they are read.
        while let Err(error) =
            transport.send(&Address::Coordinator, Lane::Control, frame.clone()).await
        {
            if error.kind() != ErrorKind::Overloaded {
                return Err(error.into());
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
    let took = begin.elapsed();
    // Until the echo that began last has come: the frames are taken in, or refused.
    ended.store(true, Ordering::Relaxed);
    let mut times = echoes.await??;
    let memory = resident_mb(std::process::id()).unwrap_or_default() - before;
    let (worst, p99) = (percentile(&mut times, 1.0), percentile(&mut times, 0.99));
    let known = coordinator.workers().await?.len();
    worker.shutdown(Duration::ZERO).await;
    coordinator.shutdown().await;
    let what = format!("{strangers} strangers say hello in {took:.1?}: an echo meanwhile, p99");
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
