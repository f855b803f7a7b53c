//! The event stream of one execution, across disconnections, merged with signals.

use std::io::{BufRead, BufReader, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::{Client, RequestError};
use crate::exit::CliError;
use crate::times::Clock;

/// The bound of the queue of events to show. When it is full, the server holds the rest.
const EVENTS_MAX: usize = 1024;
/// The longest line of a stream: room for the longest log line and its envelope.
const LINE_BYTES: u64 = 64 * 1024 * 1024;
/// The longest wait for a server that went away.
const AWAY_MAX: Duration = Duration::from_secs(300);
const PAUSE_FIRST: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// An event of the stream, of the server, or of the user.
#[derive(Debug)]
pub(crate) enum Input {
    /// An event of the stream, as JSON.
    Event(String),
    /// The server went away, for this reason; the client keeps trying.
    Away(String),
    /// The server is back.
    Back,
    /// The stream ended.
    Over(Result<(), RequestError>),
    /// The execution has not started, for this reason.
    Waits(String),
    /// Ctrl-C or SIGTERM.
    Interrupt { terminate: bool },
    /// The deadline passed.
    TimedOut,
}

/// The merged queue of stream events and signals.
#[derive(Debug)]
pub(crate) struct Follow {
    sender: SyncSender<Input>,
    inputs: Receiver<Input>,
    following: Arc<AtomicBool>,
    deadline: Option<Instant>,
}

impl Follow {
    /// Starts to handle signals. Until [`open`](Self::open), a signal prints `last_words` and ends
    /// the process.
    ///
    /// # Errors
    /// Fails if signals cannot be handled.
    pub(crate) fn prepare(
        timeout: Option<Duration>,
        last_words: &'static str,
    ) -> Result<Self, CliError> {
        let (sender, inputs) = sync_channel(EVENTS_MAX);
        let following = Arc::new(AtomicBool::new(false));
        let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(|e| {
            CliError::new(crate::exit::Code::Failed, format!("cannot handle signals: {e}"))
        })?;
        let (to, is_following) = (sender.clone(), following.clone());
        thread::spawn(move || {
            for signal in signals.forever() {
                if !is_following.load(Ordering::Acquire) {
                    crate::output::say(last_words);
                    std::process::exit(130);
                }
                let interrupt = Input::Interrupt { terminate: signal == SIGTERM };
                if let Err(TrySendError::Full(_)) = to.try_send(interrupt) {
                    // The main thread hangs in a write, for example to a stopped terminal, and
                    // cannot react.
                    std::process::exit(130);
                }
            }
        });
        // A time beyond the range of `Instant` is no limit.
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        Ok(Self { sender, inputs, following, deadline })
    }

    /// Opens the stream at `path`, after line `after`.
    pub(crate) fn open(&self, client: &Client, path: String, after: u64) {
        self.following.store(true, Ordering::Release);
        let (client, to) = (client.clone(), self.sender.clone());
        let mut last_id = if after > 0 { after.to_string() } else { String::new() };
        thread::spawn(move || {
            let end = follow(&client, &path, &mut last_id, &to);
            let _ = to.send(Input::Over(end));
        });
    }

    /// Asks in the background why an execution has not started; the answer comes as
    /// [`Input::Waits`].
    pub(crate) fn ask_wait_reason(&self, client: &Client, id: &str, clock: &Clock) {
        let (client, id, to) = (client.clone(), id.to_owned(), self.sender.clone());
        let clock = clock.clone();
        thread::spawn(move || {
            if let Some(why) = super::wait_reason::wait_reason(&client, &id, &clock) {
                let _ = to.send(Input::Waits(why));
            }
        });
    }

    /// Returns the next input, or `TimedOut` at `until`.
    pub(crate) fn next(&self, until: Option<Instant>) -> Input {
        let until = self.deadline.into_iter().chain(until).min();
        let Some(until) = until else {
            return self.inputs.recv().unwrap_or(Input::Over(Ok(())));
        };
        match self.inputs.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(input) => input,
            Err(RecvTimeoutError::Timeout) => Input::TimedOut,
            Err(RecvTimeoutError::Disconnected) => Input::Over(Ok(())),
        }
    }
}

/// The reader of the events is gone.
struct ReaderGone;

fn follow(
    client: &Client,
    path: &str,
    last_id: &mut String,
    to: &SyncSender<Input>,
) -> Result<(), RequestError> {
    // The time at which the server went away.
    let mut away: Option<Instant> = None;
    let mut pause = PAUSE_FIRST;
    loop {
        let why = match client.stream(path, last_id) {
            Ok(None) => return Ok(()),
            Ok(Some(body)) => {
                if away.take().is_some() {
                    pause = PAUSE_FIRST;
                    let _ = to.send(Input::Back);
                }
                match read(body, last_id, to) {
                    Ok(true) | Err(ReaderGone) => return Ok(()),
                    Ok(false) => "the stream was cut off".to_owned(),
                }
            }
            Err(refused) if !refused.is_transient() => return Err(refused),
            Err(refused) => match away {
                Some(since) if since.elapsed() > AWAY_MAX => return Err(refused),
                _ => refused.detail,
            },
        };
        if away.is_none() {
            away = Some(Instant::now());
            let _ = to.send(Input::Away(why));
        }
        thread::sleep(pause);
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// Reads a stream to its end. Returns true if the execution ended too.
fn read(body: impl Read, last_id: &mut String, to: &SyncSender<Input>) -> Result<bool, ReaderGone> {
    let mut body = BufReader::with_capacity(64 * 1024, body);
    let (mut line, mut id, mut data) = (Vec::new(), String::new(), String::new());
    loop {
        line.clear();
        match (&mut body).take(LINE_BYTES).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return Ok(false),
            Ok(_) if line.last() != Some(&b'\n') => return Ok(false),
            Ok(_) => {}
        }
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end_matches(['\n', '\r']);
        if let Some(value) = text.strip_prefix("id:") {
            id = value.trim_start().to_owned();
        } else if let Some(value) = text.strip_prefix("data:") {
            data.push_str(value.strip_prefix(' ').unwrap_or(value));
        } else if text.is_empty() && !data.is_empty() {
            let ended = id == "end";
            if !id.is_empty() {
                last_id.clone_from(&id);
            }
            to.send(Input::Event(std::mem::take(&mut data))).map_err(|_| ReaderGone)?;
            if ended {
                return Ok(true);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_read_event_by_event_and_a_cut_one_is_not_complete() {
        let (to, from) = sync_channel(8);
        let text = ": heartbeat\n\nid: 1\ndata: {\"a\":1}\n\nid: 2\r\ndata: {\"b\":2}\r\n\r\nid: 3\ndata: {\"c\"";
        let mut last = String::new();
        assert!(matches!(read(text.as_bytes(), &mut last, &to), Ok(false)));
        assert_eq!(last, "2");
        let all: Vec<_> = from.try_iter().map(|input| format!("{input:?}")).collect();
        assert_eq!(all, [r#"Event("{\"a\":1}")"#, r#"Event("{\"b\":2}")"#]);
        assert!(matches!(read("id: end\ndata: {}\n\n".as_bytes(), &mut last, &to), Ok(true)));
    }
}
