//! The calls of other actions that this worker's attempts wait for: sent until they are answered.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::executor::{CallReceiver, CallRequest, CallSender, CallUpdate};
use crate::model::error::{Error, ErrorKind};
use crate::model::fence::Fence;
use crate::protocol::{Call, CallState, Called};

/// How long an answer is waited for before the call is sent again; doubled each time.
const RESEND_FIRST: Duration = Duration::from_secs(1);
const RESEND_LAST: Duration = Duration::from_secs(10);

type Key = (Fence, u64);

#[derive(Debug)]
struct OpenCall {
    call: Call,
    updates: mpsc::Sender<CallUpdate>,
    accepted: bool,
    send_at: Instant,
    interval: Duration,
}

/// All of them.
#[derive(Debug)]
pub(super) struct Calls {
    sender: CallSender,
    requests: CallReceiver,
    open: BTreeMap<Key, OpenCall>,
    due: BTreeSet<(Instant, Key)>,
    /// The number of the last call of each attempt, and how many of its calls are waited for.
    attempts: BTreeMap<Fence, (u64, usize)>,
}

/// How the attempt's slot is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parking {
    Unchanged,
    Park(Fence),
    Unpark(Fence),
}

impl Calls {
    pub(super) fn new() -> Self {
        let (sender, requests) = CallSender::channel();
        let (open, due, attempts) = Default::default();
        Self { sender, requests, open, due, attempts }
    }

    /// Where an attempt's calls go.
    pub(super) fn sender(&self, fence: Fence) -> CallSender {
        self.sender.for_attempt(fence)
    }

    /// The next request. Cancel safe.
    pub(super) async fn next(&mut self) -> Option<CallRequest> {
        self.requests.recv().await
    }

    /// Begins a call; what to send.
    pub(super) fn begin(&mut self, request: CallRequest) -> (Call, Parking) {
        let CallRequest { fence, action, parameters, options, span, wait, updates } = request;
        let (number, waits) = self.attempts.entry(fence).or_default();
        *number += 1;
        let number = *number;
        let mut parking = Parking::Unchanged;
        if wait {
            *waits += 1;
            if *waits == 1 {
                parking = Parking::Park(fence);
            }
        }
        let call = Call { fence, number, action, parameters, options, span, wait };
        let send_at = Instant::now() + RESEND_FIRST;
        let (sent, accepted, interval) = (call.clone(), false, RESEND_FIRST);
        self.open.insert((fence, number), OpenCall { call, updates, accepted, send_at, interval });
        self.due.insert((send_at, (fence, number)));
        (sent, parking)
    }

    /// The coordinator says what has become of a call.
    pub(super) fn answered(&mut self, called: Called) -> Parking {
        let key = (called.fence, called.number);
        let Some(open) = self.open.get_mut(&key) else { return Parking::Unchanged };
        // There is room for both updates, so none is lost; whoever waited may be gone.
        if let CallState::Accepted { execution } | CallState::Ended { execution, .. } =
            &called.state
            && !std::mem::replace(&mut open.accepted, true)
        {
            let _ = open.updates.try_send(CallUpdate::Accepted(*execution));
        }
        match called.state {
            CallState::Accepted { .. } if open.call.wait => return Parking::Unchanged,
            CallState::Accepted { .. } => {}
            CallState::Ended { outcome, .. } => {
                let _ = open.updates.try_send(CallUpdate::Ended(outcome));
            }
            CallState::Refused { kind, message } => {
                let error = Error::new(ErrorKind::of_name(&kind), message);
                let _ = open.updates.try_send(CallUpdate::Refused(error));
            }
        }
        self.close(key)
    }

    fn close(&mut self, key: Key) -> Parking {
        let Some(open) = self.open.remove(&key) else { return Parking::Unchanged };
        self.due.remove(&(open.send_at, key));
        if let Some((_, waits)) = self.attempts.get_mut(&key.0)
            && open.call.wait
        {
            *waits -= 1;
            if *waits == 0 {
                return Parking::Unpark(key.0);
            }
        }
        Parking::Unchanged
    }

    /// Nothing of an attempt is alive any more.
    pub(super) fn forget(&mut self, fence: Fence) {
        let of_it = (fence, 0)..=(fence, u64::MAX);
        let keys: Vec<Key> = self.open.range(of_it).map(|(key, _)| *key).collect();
        for key in keys {
            self.close(key);
        }
        self.attempts.remove(&fence);
    }

    /// When [`due`](Self::due) wants to be called.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        self.due.first().map(|due| due.0)
    }

    /// What has to be sent again.
    pub(super) fn due(&mut self, now: Instant) -> Vec<Call> {
        let mut calls = Vec::new();
        while let Some((at, key)) = self.due.first().copied()
            && at <= now
        {
            self.due.pop_first();
            let Some(open) = self.open.get_mut(&key) else { continue };
            open.interval = (open.interval * 2).min(RESEND_LAST);
            open.send_at = now + open.interval;
            self.due.insert((open.send_at, key));
            calls.push(open.call.clone());
        }
        calls
    }
}
