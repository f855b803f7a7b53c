//! Rules for every message of a worker, in every scene.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use tinpot_core::protocol::{Fence, Log, Message};

use crate::miss::Miss;
use crate::scene::section;

/// The bytes of log lines that may be in flight for each attempt.
const WINDOW_BYTES: usize = 512 * 1024;
/// The longest line of a log.
const LINE_BYTES: usize = 64 * 1024;
/// The bytes that each line and each message of lines counts, besides the text.
const PER_LINE: usize = 8;
const PER_MESSAGE: usize = 64;

/// An attempt, as the coordinator knows it from the worker.
#[derive(Debug, Default)]
struct Attempt {
    is_accepted: bool,
    is_running: bool,
    report: Option<Message>,
    /// The coordinator has told the worker to forget it.
    is_closed: bool,
    lines: Lines,
}

/// The log of an attempt.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    pub(crate) texts: Vec<String>,
    pub(crate) acked: u64,
    in_flight: usize,
    /// The last lines of the messages that are in flight.
    messages: VecDeque<u64>,
}

impl Lines {
    pub(crate) fn last(&self) -> u64 {
        self.texts.len() as u64
    }

    /// Notes that lines were acknowledged.
    pub(crate) fn ack(&mut self, seq: u64) {
        let seq = seq.min(self.last());
        for number in self.acked..seq {
            self.in_flight -= self.texts[number as usize].len() + PER_LINE;
        }
        self.acked = self.acked.max(seq);
        while self.messages.front().is_some_and(|last| *last <= self.acked) {
            self.messages.pop_front();
        }
    }

    fn take(&mut self, log: &Log) -> Result<(), Miss> {
        let chunk = &log.chunk;
        if chunk.lines.is_empty() || chunk.first_seq == 0 {
            let came = format!("{} lines from line {}", chunk.lines.len(), chunk.first_seq);
            return Err(Miss::new("messages with lines, which are numbered from 1", came));
        }
        if chunk.first_seq > self.last() + 1 {
            let came = format!("line {} after line {}", chunk.first_seq, self.last());
            return Err(Miss::new("lines are numbered without a gap", came));
        }
        let before = self.last();
        for (seq, line) in (chunk.first_seq..).zip(&chunk.lines) {
            if line.len() > LINE_BYTES {
                let came = format!("line {seq} has {} bytes", line.len());
                return Err(Miss::new("a line has at most 64 KiB", came));
            }
            match self.texts.get(seq as usize - 1) {
                Some(known) if known != line => {
                    let came = format!("line {seq} was {known:?}, and is {line:?}");
                    return Err(Miss::new("a line that is sent again is the same", came));
                }
                Some(_) => {}
                None => {
                    self.in_flight += line.len() + PER_LINE;
                    self.texts.push(line.clone());
                }
            }
        }
        if self.last() > before {
            self.messages.push_back(self.last());
        }
        let in_flight = self.in_flight + self.messages.len() * PER_MESSAGE;
        if in_flight > WINDOW_BYTES {
            let came = format!("{in_flight} bytes are not acknowledged");
            return Err(Miss::new("at most 512 KiB of an attempt's log are in flight", came));
        }
        Ok(())
    }
}

/// The rules, and what was heard of the worker so far.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    pub(crate) slots: u32,
    /// The fences in messages to the worker.
    told: BTreeSet<Fence>,
    attempts: BTreeMap<Fence, Attempt>,
    last_beat: u64,
    /// The number of the beat that the last hello announced.
    announced: Option<u64>,
    has_left: bool,
}

impl Rules {
    pub(crate) fn tell(&mut self, fence: Fence) {
        self.told.insert(fence);
    }

    /// Notes that the coordinator tells the worker to forget an attempt.
    pub(crate) fn close(&mut self, fence: Fence) {
        let attempt = self.attempts.entry(fence).or_default();
        (attempt.is_closed, attempt.is_running, attempt.report) = (true, false, None);
    }

    pub(crate) fn lines(&mut self, fence: Fence) -> &mut Lines {
        &mut self.attempts.entry(fence).or_default().lines
    }

    /// Looks at a message of the worker.
    pub(crate) fn look(&mut self, message: &Message) -> Result<(), Miss> {
        if self.has_left {
            let came = format!("`{}` after `goodbye`", message.key());
            return Err(Miss::new("nothing follows a `goodbye`", came).of(section::UP));
        }
        match message {
            Message::Hello(hello) => {
                self.announced = Some(hello.seq).filter(|seq| *seq > 0);
                let slots = self.slots;
                if hello.slots != slots && hello.slots != 0 {
                    let expected = format!("{slots} slots, as CONCURRENCY says, or 0 in a drain");
                    let came = format!("{} slots", hello.slots);
                    return Err(Miss::new(expected, came).of(section::UP));
                }
            }
            Message::Beat(beat) => return self.beat(beat.seq, beat.free, &beat.held),
            Message::Accept(accept) => {
                let (fence, slots) = (accept.fence, self.slots as usize);
                let attempt = self.heard_of(fence, message)?;
                if attempt.report.is_some() {
                    let came = format!("an `accept` of {fence} after its report");
                    let expected = "no `accept` follows the report of an attempt";
                    return Err(Miss::new(expected, came).of(section::SHORT));
                }
                if !attempt.is_closed {
                    (attempt.is_accepted, attempt.is_running) = (true, accept.running);
                }
                let running = self.attempts.values().filter(|one| one.is_running).count();
                if running > slots {
                    let expected = format!("at most {slots} attempts run at once");
                    let came = format!("{running} attempts run");
                    return Err(Miss::new(expected, came).of(section::DOWN));
                }
            }
            Message::Result(result) => self.report(result.fence, message)?,
            Message::Released(released) => self.report(released.fence, message)?,
            Message::Reject(reject) => {
                self.heard_of(reject.fence, message)?;
            }
            Message::Progress(progress) => {
                self.heard_of(progress.fence, message)?;
            }
            Message::Log(log) => {
                let attempt = self.heard_of(log.fence, message)?;
                attempt.lines.take(log).map_err(|miss| miss.of(section::LOGS))?;
                if let Some(Message::Result(result)) = &attempt.report
                    && attempt.lines.last() > result.last_log_seq
                {
                    let last = attempt.lines.last();
                    let expected = "`last_log_seq` is the number of the last line";
                    let came = format!("{} in the result, and line {last}", result.last_log_seq);
                    return Err(Miss::new(expected, came).of(section::UP));
                }
            }
            Message::Goodbye(_) => self.has_left = true,
            Message::Call(_) | Message::SecretGet(_) | Message::Rotate(_) => {}
            other => {
                let expected = "messages that a worker sends";
                return Err(Miss::new(expected, format!("`{}`", other.key())).of(section::UP));
            }
        }
        Ok(())
    }

    fn heard_of(&mut self, fence: Fence, message: &Message) -> Result<&mut Attempt, Miss> {
        if !self.told.contains(&fence) {
            let came =
                format!("`{}` of {fence}, which no message to this worker named", message.key());
            let expected = "messages about attempts of this worker";
            return Err(Miss::new(expected, came).of(section::LANES));
        }
        Ok(self.attempts.entry(fence).or_default())
    }

    fn beat(&mut self, seq: u64, free: u32, held: &[Fence]) -> Result<(), Miss> {
        let before = std::mem::replace(&mut self.last_beat, seq);
        // The first ones may be lost before there is a session.
        if seq <= before {
            let came = format!("beat {seq} after beat {before}");
            return Err(Miss::new("beats count up from 1", came).of(section::UP));
        }
        if let Some(announced) = self.announced.take()
            && announced != seq
        {
            let expected = "`seq` of a hello is the number of the beat that follows";
            let came = format!("{announced}, and then beat {seq}");
            return Err(Miss::new(expected, came).of(section::UP));
        }
        if free > self.slots {
            let expected = format!("at most {} free slots", self.slots);
            return Err(Miss::new(expected, format!("{free} free slots")).of(section::UP));
        }
        let missing = self.attempts.iter().find(|(fence, attempt)| {
            attempt.is_accepted && !attempt.is_closed && !held.contains(fence)
        });
        if let Some((fence, _)) = missing {
            let expected = "a beat lists every attempt that waits, runs, or has ended without an \
                            acknowledgement";
            let came = format!("beat {seq} without {fence}, which was accepted");
            return Err(Miss::new(expected, came).of(section::UP));
        }
        Ok(())
    }

    fn report(&mut self, fence: Fence, message: &Message) -> Result<(), Miss> {
        let attempt = self.heard_of(fence, message)?;
        attempt.is_running = false;
        if let Message::Result(result) = message
            && attempt.lines.last() > result.last_log_seq
        {
            let last = attempt.lines.last();
            let expected = "`last_log_seq` is the number of the last line";
            let came = format!("{} in the result, after line {last}", result.last_log_seq);
            return Err(Miss::new(expected, came).of(section::UP));
        }
        if attempt.is_closed {
            return Ok(());
        }
        match &attempt.report {
            Some(first) if first != message => {
                let expected = "a report that is sent again is the same";
                let came = format!("{}, and then {}", short(first), short(message));
                Err(Miss::new(expected, came).of(section::SHORT))
            }
            Some(_) => Ok(()),
            None => {
                attempt.report = Some(message.clone());
                Ok(())
            }
        }
    }
}

/// Returns the beginning of a message as JSON.
pub(crate) fn short(message: &Message) -> String {
    cut(&serde_json::to_string(message).unwrap_or_default(), 200)
}

/// Returns the beginning of a text.
pub(crate) fn cut(text: &str, bytes: usize) -> String {
    if text.len() <= bytes {
        return text.to_owned();
    }
    let end = (0..=bytes).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    format!("{}… ({} bytes)", &text[..end], text.len())
}
