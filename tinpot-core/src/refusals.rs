//! The frames and messages of peers that are not taken: counted by reason, and logged at a bounded rate.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The time between two log lines about the same peer for the same reason.
const REPEAT: Duration = Duration::from_secs(10);
/// The maximum number of log lines about all peers in a second.
const LINES_PER_SECOND: u32 = 20;
/// The maximum number of peers and reasons in memory; further ones are only counted.
const KNOWN: usize = 1_024;
/// The maximum length of a text that comes from a peer, in bytes.
const TEXT_BYTES: usize = 200;

macro_rules! refusals {
    ($($(#[$doc:meta])* $name:ident = $key:literal, $what:literal;)*) => {
        /// The reason why a frame or a message of a peer was refused.
        ///
        /// ```
        /// # use tinpot_core::{Coordinator, MemoryNetwork};
        /// use tinpot_core::Refusal;
        ///
        /// # #[tokio::main(flavor = "current_thread")]
        /// # async fn main() -> tinpot_core::Result<()> {
        /// # let network = MemoryNetwork::new();
        /// # let coordinator = Coordinator::builder(network.transport()).start().await?;
        /// for reason in Refusal::ALL {
        ///     println!("refused{{reason={:?}}} {}", reason.as_str(), coordinator.refused(*reason));
        /// }
        /// assert_eq!(coordinator.refused(Refusal::Unreadable), 0);
        /// # coordinator.shutdown().await;
        /// # Ok(())
        /// # }
        /// ```
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Refusal {
            $($(#[$doc])* $name,)*
        }

        impl Refusal {
            /// All reasons.
            pub const ALL: &'static [Refusal] = &[$(Refusal::$name,)*];

            /// Returns the name of the reason in counters.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Refusal::$name => $key,)*
                }
            }

            /// Returns a sentence for the log.
            fn sentence(self) -> &'static str {
                match self {
                    $(Refusal::$name => $what,)*
                }
            }
        }
    };
}

refusals! {
    /// A frame or a message that cannot be read.
    Unreadable = "unreadable", "what cannot be read is dropped";
    /// A frame whose sender is not the participant that could write it, or that names no sender.
    Sender = "sender", "a frame is dropped: it does not come from its sender";
    /// A frame that is addressed to another worker.
    Addressee = "addressee", "a frame for another worker is dropped";
    /// A message of a type that this version does not know.
    UnknownMessage = "unknown_message", "a message of unknown type is ignored";
    /// A message that does not belong on its lane.
    Lane = "lane", "a message that does not belong on this lane is dropped";
    /// A message of a worker that claims to follow a later epoch of this store.
    LaterEpoch = "later_epoch", "a worker claims that a later coordinator is at work on this store";
    /// The claim of a worker that another one, of another name or alive, is dead.
    CleanSlate = "clean_slate", "a worker claims that another one is dead, which is not believed";
    /// A message of a worker that was declared dead by its successor.
    Excluded = "excluded", "a worker is not heard: its successor has declared it dead";
    /// A hello that is out of bounds, or one too many.
    Hello = "hello", "a hello is refused";
    /// A worker for which there is no room.
    Workers = "workers", "a worker is refused: there is no room for more";
    /// A message about an attempt that was granted to another worker.
    NotHolder = "not_holder", "a worker is not heard on an attempt of another worker";
    /// A plain frame where frames must be sealed.
    Plain = "plain", "a plain frame is dropped: frames must be sealed here";
    /// A sealed or signed frame whose tag or signature is wrong.
    Forged = "forged", "a frame is dropped: its tag or signature is wrong";
    /// A sealed frame of a session that is not open, as after a restart.
    Session = "session", "a frame of a session that is not open is dropped";
    /// A sealed frame that has arrived before, or is too late.
    Repeated = "repeated", "a repeated frame is dropped";
    /// A handshake that is not answered.
    Handshake = "handshake", "a handshake is refused";
    /// A request to join that is refused, or not answered.
    Join = "join", "a worker does not join";
    /// An announcement that plain frames are not taken, at a worker with plain frames.
    NotEnrolled = "not_enrolled", "this worker is not enrolled: ask for a join token, then run \"tinpot worker join\"";
}

impl Refusal {
    /// Returns false for what also happens after restarts, on bad links, and between versions.
    fn may_be_an_attack(self) -> bool {
        use Refusal::{
            CleanSlate, Forged, Handshake, Hello, Join, LaterEpoch, NotHolder, Plain, Sender,
            Workers,
        };
        matches!(
            self,
            CleanSlate
                | Forged
                | Handshake
                | Hello
                | Join
                | LaterEpoch
                | NotHolder
                | Plain
                | Sender
                | Workers
        )
    }
}

/// Counts what is refused, and logs it at most once per reason and peer in 10 s.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    counts: [AtomicU64; Refusal::ALL.len()],
    log: Mutex<Log>,
    hook: Option<Hook>,
    audit: Option<AuditHook>,
}

/// Something that is called with each refusal.
#[derive(Clone)]
pub(crate) struct Hook(pub(crate) Arc<dyn Fn(Refusal) + Send + Sync>);

/// Something that is called with the peer of each refusal that may be an attack, and the reason.
pub(crate) struct AuditHook(pub(crate) Box<ToAudit>);

type ToAudit = dyn Fn(&str, &str) + Send + Sync;

impl fmt::Debug for AuditHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuditHook")
    }
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hook")
    }
}

#[derive(Debug, Default)]
struct Log {
    known: HashMap<(Refusal, String), Said>,
    second: Option<Instant>,
    lines: u32,
}

/// The last log line about a peer, and the number of refusals since.
#[derive(Debug)]
struct Said {
    at: Instant,
    more: u64,
}

impl Log {
    /// Returns the number of refusals since the last line if there may be another one now.
    fn may_say(&mut self, reason: Refusal, peer: &str, now: Instant) -> Option<u64> {
        let key = (reason, peer.to_owned());
        if let Some(said) = self.known.get_mut(&key)
            && now.duration_since(said.at) < REPEAT
        {
            said.more += 1;
            return None;
        }
        if self.second.is_none_or(|second| now.duration_since(second) >= Duration::from_secs(1)) {
            (self.second, self.lines) = (Some(now), 0);
        }
        if self.lines >= LINES_PER_SECOND {
            return None;
        }
        self.lines += 1;
        if self.known.len() >= KNOWN {
            self.known.retain(|_, said| now.duration_since(said.at) < REPEAT);
        }
        if self.known.len() >= KNOWN {
            return None;
        }
        let before = self.known.insert(key, Said { at: now, more: 0 });
        Some(before.map_or(0, |said| said.more))
    }
}

impl Refusals {
    /// Creates counts of nothing, and calls `hook` with each refusal.
    pub(crate) fn new(hook: Option<Hook>) -> Self {
        Self { hook, ..Self::default() }
    }

    /// Passes refusals that may be attacks to the audit, too.
    pub(crate) fn audited(self, audit: Option<AuditHook>) -> Self {
        Self { audit, ..self }
    }

    /// Counts a refusal, and logs it unless there was a line about it a moment ago. `peer` and
    /// `detail` may be texts from outside.
    pub(crate) fn note(&self, reason: Refusal, peer: &str, detail: &dyn fmt::Display) {
        self.count_quietly(reason);
        if let Some(audit) = self.audit.as_ref().filter(|_| reason.may_be_an_attack()) {
            (audit.0)(&shown(peer), reason.sentence());
        }
        let more = {
            let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
            log.may_say(reason, peer, Instant::now())
        };
        let Some(more) = more else { return };
        let (peer, detail, kind) = (shown(peer), shown(&detail.to_string()), reason.as_str());
        match more {
            0 => tracing::warn!(peer, detail, reason = kind, "{}", reason.sentence()),
            more => tracing::warn!(
                peer,
                detail,
                reason = kind,
                "{}, and {more} more since the last time",
                reason.sentence()
            ),
        }
    }

    /// Counts a refusal that says nothing about its peer.
    pub(crate) fn count_quietly(&self, reason: Refusal) {
        self.counts[reason as usize].fetch_add(1, Ordering::Relaxed);
        if let Some(hook) = &self.hook {
            (hook.0)(reason);
        }
    }

    /// Returns the number of refusals for this reason.
    pub(crate) fn count(&self, reason: Refusal) -> u64 {
        self.counts[reason as usize].load(Ordering::Relaxed)
    }
}

/// Returns a text from outside for the log: escaped, and cut after 200 bytes.
pub(crate) fn shown(text: &str) -> String {
    let mut shown = String::with_capacity(text.len().min(TEXT_BYTES));
    for character in text.chars() {
        if shown.len() >= TEXT_BYTES {
            shown.push('…');
            break;
        }
        match character {
            // A terminal or a log viewer may act on these.
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                shown.extend(character.escape_unicode());
            }
            character if character.is_control() => shown.extend(character.escape_default()),
            character => shown.push(character),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{LINES_PER_SECOND, Log, Refusal, shown};

    #[test]
    fn one_peer_is_logged_once_in_ten_seconds_and_all_of_them_twenty_times_a_second() {
        let mut log = Log::default();
        let start = Instant::now();
        assert_eq!(log.may_say(Refusal::NotHolder, "a", start), Some(0));
        for _ in 0..7 {
            assert_eq!(log.may_say(Refusal::NotHolder, "a", start), None);
        }
        assert_eq!(log.may_say(Refusal::Sender, "a", start), Some(0));
        let later = start + Duration::from_secs(10);
        assert_eq!(log.may_say(Refusal::NotHolder, "a", later), Some(7));
        let all = (0..1_000).filter_map(|n| log.may_say(Refusal::Lane, &n.to_string(), later));
        assert_eq!(all.count() as u32, LINES_PER_SECOND - 1);
        assert!(log.known.len() < 100);
    }

    #[test]
    fn text_of_peers_is_escaped_and_cut() {
        assert_eq!(shown("a\n\u{1b}[31m\u{9b}\u{202e}ä"), "a\\n\\u{1b}[31m\\u{9b}\\u{202e}ä");
        assert!(shown(&"x".repeat(1_000)).len() < 210);
    }
}
