//! A stage: one worker, its broker, and a coordinator that follows the script of a scene.

mod answers;
mod expect;
mod orders;
mod trace;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::OsString;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use tinpot_core::protocol::{Epoch, Fence, Frame, Hello, Message, Tick};
use tinpot_core::transport::{Address, Lane, Received};
use tinpot_core::{Transport, WorkerId};
use tokio::time::{Instant, sleep_until};

pub(crate) use self::answers::Answers;
pub(crate) use self::expect::{about, succeeded};
pub(crate) use self::trace::Trace;
use crate::miss::{Miss, Play};
use crate::place::Place;
use crate::program::Program;
use crate::random::Random;
use crate::rules::Rules;
use crate::scene::section;
use crate::sealing::{Keys, Opened};

/// The name of every worker. It has the character that ends a name in an id.
pub(crate) const NAME: &str = "kit-1";
/// A frame with several messages is no larger.
const FRAME_BYTES: usize = 4 * 1024 * 1024;
const FRAME_MESSAGES: usize = 512;
/// The shortest time to wait for a worker that starts.
const START: Duration = Duration::from_secs(30);
/// The time for which frames of a worker that has ended are awaited.
const LAST_FRAMES: Duration = Duration::from_millis(300);

/// A message of the worker.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    pub(crate) at: Instant,
    pub(crate) lane: Lane,
    pub(crate) message: Message,
}

/// The stage of one scene.
#[derive(Debug)]
pub(crate) struct Stage {
    command: Arc<[OsString]>,
    pub(crate) place: Place,
    program: Option<Program>,
    /// The end of the program, once it came.
    ended: Option<String>,
    exit: Option<ExitStatus>,
    /// If true, the program may end.
    pub(crate) may_end: bool,
    /// The number of slots of the worker.
    pub(crate) slots: u32,
    pub(crate) keys: Option<Keys>,
    id: Option<WorkerId>,
    pub(crate) hello: Option<Hello>,
    pub(crate) epoch: Epoch,
    next_fence: u64,
    /// The fences up to this one are settled.
    pub(crate) settled: u64,
    pub(crate) lease: Duration,
    pub(crate) beat: Duration,
    pub(crate) answers: Answers,
    /// The number of the last beat, and the epoch that it named.
    pub(crate) last_beat: u64,
    named: Option<Epoch>,
    beats: BTreeMap<u64, Instant>,
    began: Instant,
    pub(crate) patience: Duration,
    pub(crate) random: Random,
    heard: VecDeque<Heard>,
    /// The attempts that were reported, and their first reports until a scene takes them.
    reported: BTreeSet<Fence>,
    reports: BTreeMap<Fence, Heard>,
    rules: Rules,
    /// The first rule that a message broke.
    pub(crate) broken: Option<Miss>,
    pub(crate) trace: Trace,
}

impl Stage {
    /// Sets up the stage. The worker is not started yet.
    pub(crate) async fn open(
        command: Arc<[OsString]>,
        random: Random,
        patience: Duration,
    ) -> Play<Self> {
        let began = Instant::now();
        Ok(Self {
            command,
            place: Place::open().await?,
            program: None,
            ended: None,
            exit: None,
            may_end: false,
            slots: 2,
            keys: None,
            id: None,
            hello: None,
            epoch: Epoch { instance: 0x00c0_ffee, number: 3 },
            next_fence: 1,
            settled: 0,
            lease: Duration::from_secs(60),
            beat: Duration::from_millis(500),
            answers: Answers::default(),
            last_beat: 0,
            named: None,
            beats: BTreeMap::new(),
            began,
            patience,
            random,
            heard: VecDeque::new(),
            reported: BTreeSet::new(),
            reports: BTreeMap::new(),
            rules: Rules::default(),
            broken: None,
            trace: Trace::new(began),
        })
    }

    /// Makes keys and a join token, so that frames are sealed.
    pub(crate) fn seal(&mut self) -> Play {
        if self.keys.is_none() {
            self.keys = Some(Keys::new(self.epoch, NAME)?);
        }
        Ok(())
    }

    /// Starts the worker.
    pub(crate) fn launch(&mut self) -> Play {
        self.rules.slots = self.slots;
        let mut settings: Vec<(&str, OsString)> = vec![
            ("MQTT_BROKER", self.place.gate.url().into()),
            ("WORKER_NAME", NAME.into()),
            ("CONCURRENCY", self.slots.to_string().into()),
        ];
        if let Some(keys) = &self.keys {
            let file = self.place.folder.path().join("token");
            std::fs::write(&file, &keys.token)
                .map_err(|error| Miss::broken("the file of the join token", error))?;
            settings.push(("TINPOT_JOIN_TOKEN_FILE", file.into()));
        }
        let started = Program::start(&self.command, self.place.folder.path(), &settings);
        let words: Vec<_> = self.command.iter().map(|word| word.to_string_lossy()).collect();
        let expected = format!("the command `{}` starts", words.join(" "));
        let started = started.map_err(|error| Miss::new(expected, error.to_string()))?;
        self.program = Some(started);
        Ok(())
    }

    /// Starts the worker, and waits until it follows the coordinator.
    pub(crate) async fn start(&mut self) -> Play {
        self.launch()?;
        self.followed().await
    }

    /// Waits until the worker names the epoch of the coordinator in a beat.
    pub(crate) async fn followed(&mut self) -> Play {
        let epoch = self.epoch;
        let expected = format!("a hello, and then a beat that names the epoch {epoch}");
        while !self.is_followed() {
            let is_one = |heard: &Heard| {
                matches!(heard.message, Message::Beat(_) | Message::Hello(_)).then_some(())
            };
            // Many programs that start at once take their time.
            let patience = self.patience.max(START);
            let heard = self.expect_within(patience, &expected, is_one).await;
            heard.map_err(|miss| miss.of(section::SHORT))?;
        }
        Ok(())
    }

    /// Returns true if the worker has introduced itself, and follows the coordinator.
    pub(crate) fn is_followed(&self) -> bool {
        self.named == Some(self.epoch) && self.hello.is_some()
    }

    /// Returns the id of the worker, once it was heard.
    pub(crate) fn id(&self) -> Play<WorkerId> {
        self.id.clone().ok_or_else(|| Miss::new("a frame of the worker", "none so far"))
    }

    /// Notes that a message to the worker names this attempt.
    pub(crate) fn tell(&mut self, fence: Fence) {
        self.rules.tell(fence);
    }

    /// Asks the program to end.
    pub(crate) fn terminate(&mut self) {
        self.trace.note("SIGTERM");
        if let Some(program) = &self.program {
            program.terminate();
        }
    }

    /// Kills the program. Another one may be launched.
    pub(crate) fn forget(&mut self) {
        (self.program, self.id, self.hello) = (None, None, None);
        self.rules = Rules::default();
        self.heard.clear();
        (self.last_beat, self.named, self.ended, self.exit) = (0, None, None, None);
    }

    pub(crate) fn program(&self) -> Option<&Program> {
        self.program.as_ref()
    }

    /// Returns the time as sessions see it.
    pub(crate) fn tick(&self) -> Tick {
        Tick(0) + self.began.elapsed()
    }

    /// Returns when a beat came.
    pub(crate) fn came(&self, beat: u64) -> Instant {
        self.beats.get(&beat).copied().unwrap_or(self.began)
    }

    /// Returns the lines of an attempt that came so far.
    pub(crate) fn lines(&mut self, fence: Fence) -> &[String] {
        &self.rules.lines(fence).texts
    }

    /// Returns the next message, and answers it. `None` if none comes in time.
    pub(crate) async fn next(&mut self, until: Instant) -> Play<Option<Heard>> {
        loop {
            // What an ended worker has sent comes soon, or not at all.
            let until = match &self.ended {
                Some(_) => until.min(Instant::now() + LAST_FRAMES),
                None => until,
            };
            if let Some(heard) = self.heard.pop_front() {
                if let Some(fence) = expect::reported(&heard)
                    && self.reported.insert(fence)
                {
                    self.reports.insert(fence, heard.clone());
                }
                self.answer(&heard).await?;
                return Ok(Some(heard));
            }
            let (lane, received) = tokio::select! {
                biased;
                received = self.place.control.next() => (Lane::Control, received),
                received = self.place.logs.next() => (Lane::Logs, received),
                Some(received) = self.place.joins.next() => {
                    self.join(&received).await?;
                    continue;
                }
                status = end_of(&mut self.program), if self.ended.is_none() => {
                    self.has_ended(status);
                    continue;
                }
                () = sleep_until(until) => return Ok(None),
            };
            let closed = || Miss::broken("the connection of the suite to its broker", "it closed");
            self.take(lane, received.ok_or_else(closed)?).await?;
        }
    }

    fn has_ended(&mut self, status: std::io::Result<ExitStatus>) {
        let text = match &status {
            Ok(status) => format!("the worker ended ({status})"),
            Err(error) => format!("the end of the worker is not known: {error}"),
        };
        self.trace.note(&text);
        self.ended = Some(text);
        self.exit = status.ok();
        // What it has sent before still comes.
    }

    /// Answers a request to join.
    async fn join(&mut self, received: &Received) -> Play {
        let now = self.tick();
        let Some(keys) = &mut self.keys else { return Ok(()) };
        match keys.joined(now, &received.bytes) {
            Ok((joiner, answer)) => {
                self.trace.note("← join, → joined");
                self.publish(&Address::Joiner(joiner), Lane::Control, answer).await
            }
            Err(why) => {
                self.trace.note(&format!("← join: {why}"));
                Ok(())
            }
        }
    }

    /// Reads a frame.
    async fn take(&mut self, lane: Lane, received: Received) -> Play {
        let now = self.tick();
        let opened = match &mut self.keys {
            None => Opened::Document(received.bytes.to_vec()),
            Some(keys) => keys.open(now, lane, &received),
        };
        let document = match opened {
            Opened::Document(document) => document,
            Opened::Accept(worker, accept) => {
                self.trace.note("← init, → accept");
                self.id.get_or_insert_with(|| worker.clone());
                return self.publish(&Address::Worker(worker), Lane::Control, accept).await;
            }
            Opened::Notice(worker, notice) => {
                self.trace.note("← a frame of a session that is over, → notice");
                return self.publish(&Address::Worker(worker), Lane::Control, notice).await;
            }
            Opened::Nothing(why) => {
                self.trace.note(&format!("← {why}"));
                if why.contains("plain") {
                    self.breaks(Miss::new("a worker with keys seals its frames", why));
                }
                return Ok(());
            }
        };
        let (frame, errors) = match Frame::decode(&document) {
            Ok(read) => read,
            Err(error) => {
                self.trace.note(&format!("← {error}"));
                self.breaks(Miss::new("a frame of version 1", error.to_string()));
                return Ok(());
            }
        };
        if let Some(error) = errors.first() {
            self.trace.note(&format!("← {error}"));
            self.breaks(Miss::new("messages that can be read", error.to_string()));
        }
        self.look(&received, &frame, document.len());
        if let Some(from) = frame.from {
            self.id.get_or_insert(from);
        }
        let at = Instant::now();
        for message in frame.messages {
            self.trace.heard(lane, &message);
            if let Err(miss) = self.rules.look(&message) {
                self.breaks(miss);
            }
            match &message {
                Message::Hello(hello) => self.hello = Some(hello.clone()),
                Message::Beat(beat) => {
                    (self.last_beat, self.named) = (beat.seq, beat.epoch);
                    self.beats.insert(beat.seq, at);
                }
                _ => {}
            }
            self.heard.push_back(Heard { at, lane, message });
        }
        Ok(())
    }

    /// Looks at the outside of a frame.
    fn look(&mut self, received: &Received, frame: &Frame, bytes: usize) {
        let channel = &received.channel;
        if !channel.admits(frame.from.as_ref()) {
            let from = frame.from.as_ref().map_or("no worker", WorkerId::as_str);
            let came = format!("from {from}, on the topic of {channel}");
            let expected = "`from` is the worker of the topic, and the id begins with its name";
            self.breaks(Miss::new(expected, came).of(section::LANES));
        }
        if let (Some(id), Some(from)) = (&self.id, &frame.from)
            && id != from
        {
            let came = format!("{from}, and {id} before");
            self.breaks(Miss::new("a worker has one id from its start to its end", came));
        }
        let count = frame.messages.len();
        if count > FRAME_MESSAGES || (count > 1 && bytes > FRAME_BYTES) {
            let expected = "frames of at most 512 messages and 4 MiB";
            self.breaks(Miss::new(expected, format!("{count} messages, {bytes} bytes")));
        }
    }

    /// Notes that a message broke a rule that holds in every scene. The first one counts.
    fn breaks(&mut self, miss: Miss) {
        let section = miss.section.unwrap_or(section::FRAMES);
        self.broken.get_or_insert(miss.of(section));
    }

    /// Hands over a frame as it is.
    pub(crate) async fn publish(&mut self, to: &Address, lane: Lane, frame: Vec<u8>) -> Play {
        let sent = self.place.transport.send(to, lane, frame.into()).await;
        sent.map_err(|error| Miss::broken("the connection of the suite to its broker", error))
    }
}

/// Waits for the end of the program. Never comes if there is none.
async fn end_of(program: &mut Option<Program>) -> std::io::Result<ExitStatus> {
    match program {
        Some(running) => running.ended().await,
        None => std::future::pending().await,
    }
}
