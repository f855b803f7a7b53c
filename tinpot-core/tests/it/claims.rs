//! Workers that claim to be others, or to know something about them: none is believed beyond what
//! a channel and a grant prove.

use std::sync::Arc;

use futures::StreamExt;
use tinpot_core::protocol::{
    Accept, Beat, Epoch, Frame, Log, Message, ProgressReport, Released, ReleasedHow, ResultReport,
    WhoIsThere,
};
use tinpot_core::transport::{Address, Lane};
use tinpot_core::{
    Context, Coordinator, Event, ExecutionHandle, Fence, FunctionExecutor, Json, Level, LogChunk,
    MemoryNetwork, Outcome, Progress, Refusal, Status, Stream, SubmitOptions, Timestamp, Transport,
    Worker, WorkerId,
};
use tokio::sync::watch;

use crate::support::{Nothing, available, in_time, outcome, submit};

/// A cluster whose worker holds an attempt until the gate opens.
struct World {
    network: MemoryNetwork,
    coordinator: Coordinator,
    gate: watch::Sender<bool>,
    victim: WorkerId,
    _worker: Worker,
}

impl World {
    async fn new() -> Self {
        let network = MemoryNetwork::new();
        let transport = network.transport_of(&Address::Coordinator);
        let coordinator = Coordinator::builder(transport).start().await.expect("a coordinator");
        let (gate, victim) = (watch::Sender::new(false), WorkerId::generate("victim"));
        let opened = gate.clone();
        let executor = FunctionExecutor::builder()
            .action("hold", move |context: Context, Nothing {}| {
                let mut gate = opened.subscribe();
                async move {
                    context.log(Level::Info, "before").await;
                    gate.wait_for(|open| *open).await.map_err(|e| e.to_string())?;
                    context.log(Level::Info, "after").await;
                    Ok::<_, String>("the truth")
                }
            })
            .build()
            .expect("an executor");
        let transport = network.transport_of(&Address::Worker(victim.clone()));
        let worker = Worker::builder(transport).id(victim.clone()).executor(executor);
        let _worker = worker.start().await.expect("a worker");
        available(&coordinator, "hold").await;
        Self { network, coordinator, gate, victim, _worker }
    }

    /// Starts an attempt that holds, and returns its fence.
    async fn held(&self) -> (ExecutionHandle, Fence) {
        let options = SubmitOptions::new();
        let handle = submit(&self.coordinator, "hold", options).await.expect("accepted");
        let mut events = handle.events(0);
        let mut logs = false;
        while !logs {
            let event = in_time("an event", events.next()).await.expect("it has not ended");
            logs = matches!(event, Event::Logs(_));
        }
        let execution = handle.execution().await.expect("it is there");
        (handle, execution.attempts[0].fence)
    }

    /// Sends a frame by the channel of the worker `liar`, in the name of `from`.
    async fn lie(&self, liar: &WorkerId, from: &WorkerId, lane: Lane, messages: Vec<Message>) {
        let transport = self.network.transport_of(&Address::Worker(liar.clone()));
        let frame = Frame { from: Some(from.clone()), to: None, messages };
        transport.send(&Address::Coordinator, lane, frame.encode()).await.expect("sent");
    }

    /// Waits until that many frames or messages were refused for this reason.
    async fn refused(&self, reason: Refusal, count: u64) {
        in_time("the refusals", async {
            while self.coordinator.refused(reason) < count {
                tokio::task::yield_now().await;
            }
        })
        .await;
        assert_eq!(self.coordinator.refused(reason), count, "{reason:?}");
    }

    async fn ends_with_the_truth(&self, handle: &ExecutionHandle) {
        self.gate.send_replace(true);
        let value = outcome(handle).await;
        assert_eq!(value.value().map(Json::as_str), Some("\"the truth\""));
        let chunks = self.coordinator.logs(handle.id(), 0, 1_000_000).await.expect("a log");
        let lines: Vec<String> = chunks.iter().flat_map(|chunk| chunk.lines.clone()).collect();
        assert_eq!(lines, ["before", "after"]);
        let execution = handle.execution().await.expect("it is there");
        assert_eq!(execution.attempts.len(), 1);
        assert_eq!(execution.status, Status::Succeeded);
    }
}

fn reports(fence: Fence) -> Vec<Message> {
    let outcome = Outcome::Succeeded(Json::parse("\"a lie\"").expect("JSON"));
    vec![
        Message::Accept(Accept { fence, running: true }),
        Message::Result(ResultReport { fence, outcome, last_log_seq: 0, ran_us: 1, killed: false }),
        Message::Released(Released { fence, how: ReleasedHow::Killed }),
    ]
}

fn lines(fence: Fence) -> Vec<Message> {
    let (stream, level) = (Stream::Stdout, Level::Info);
    let lines = vec!["a lie".to_owned()];
    let chunk = Arc::new(LogChunk::new(2, Timestamp(1), stream, level, lines));
    let progress = Progress::new(9.0, None, "a lie");
    vec![Message::Log(Log { fence, chunk }), Message::Progress(ProgressReport { fence, progress })]
}

#[tokio::test]
async fn a_frame_in_the_name_of_another_worker_is_dropped() {
    let world = World::new().await;
    let (handle, fence) = world.held().await;
    let liar = WorkerId::generate("liar");
    world.lie(&liar, &world.victim, Lane::Control, reports(fence)).await;
    world.lie(&liar, &world.victim, Lane::Logs, lines(fence)).await;
    world.refused(Refusal::Sender, 2).await;
    world.ends_with_the_truth(&handle).await;
}

#[tokio::test]
async fn a_worker_is_not_heard_on_an_attempt_of_another_on_either_lane() {
    let world = World::new().await;
    let (handle, fence) = world.held().await;
    let liar = WorkerId::generate("liar");
    world.lie(&liar, &liar, Lane::Control, reports(fence)).await;
    world.refused(Refusal::NotHolder, 3).await;
    world.lie(&liar, &liar, Lane::Logs, lines(fence)).await;
    world.refused(Refusal::NotHolder, 5).await;
    world.ends_with_the_truth(&handle).await;
}

#[tokio::test]
async fn a_claim_of_a_later_epoch_stops_no_coordinator() {
    let world = World::new().await;
    let (handle, fence) = world.held().await;
    let liar = WorkerId::generate("liar");
    let epoch = Epoch { number: u32::MAX, ..fence.epoch };
    let beat = Message::Beat(Beat { seq: 1, free: 1, held: vec![], epoch: Some(epoch) });
    world.lie(&liar, &liar, Lane::Control, vec![beat; 3]).await;
    world.refused(Refusal::LaterEpoch, 3).await;
    // The workers do not follow it either.
    let messages = vec![Message::WhoIsThere(WhoIsThere { epoch })];
    let broadcast = Frame { from: None, to: None, messages }.encode();
    let anyone = world.network.transport();
    anyone.send(&Address::AllWorkers, Lane::Control, broadcast).await.expect("sent");
    world.ends_with_the_truth(&handle).await;
    let again = submit(&world.coordinator, "hold", SubmitOptions::new()).await.expect("accepted");
    world.ends_with_the_truth(&again).await;
    assert_eq!(world.coordinator.refused(Refusal::LaterEpoch), 3);
}

/// A frame of many messages once took a time that was quadratic in their number: 8 s for 13 MB, in
/// which the lines of all other workers waited.
#[tokio::test]
async fn a_frame_of_very_many_log_messages_is_taken_in_linear_time() {
    let world = World::new().await;
    let (handle, fence) = world.held().await;
    let line = |seq: u64| {
        let (stream, level) = (Stream::Stdout, Level::Info);
        let lines = vec![format!("line {seq}")];
        Message::Log(Log {
            fence,
            chunk: Arc::new(LogChunk::new(seq, Timestamp(1), stream, level, lines)),
        })
    };
    // New lines, repeated ones, and gaps.
    let last = 30_001;
    let messages = (2..=last).flat_map(|seq| [line(seq), line(1), line(u64::MAX - seq)]);
    let began = std::time::Instant::now();
    world.lie(&world.victim, &world.victim, Lane::Logs, messages.collect()).await;
    let mut events = handle.events(0);
    let mut seen = 0;
    while seen < last {
        if let Event::Logs(chunk) = in_time("lines", events.next()).await.expect("it goes on") {
            seen = seen.max(chunk.last_seq());
        }
    }
    let took = began.elapsed();
    assert!(took.as_secs() < 20, "{last} lines took {took:?}");
}
