//! Expectations of a scene.

use std::time::Duration;

use serde_json::Value;
use tinpot_core::Outcome;
use tinpot_core::protocol::{Fence, Message, RejectReason, Released, ReleasedHow, ResultReport};
use tokio::time::Instant;

use super::{Heard, Stage};
use crate::miss::{Miss, Play, ensure};
use crate::rules::short;

/// The number of messages that are named if another one is missed.
const NAMED: usize = 4;

impl Stage {
    /// Waits for a message, and returns what is picked of it. Others are passed over.
    pub(crate) async fn expect<T>(
        &mut self,
        expected: &str,
        pick: impl FnMut(&Heard) -> Option<T>,
    ) -> Play<T> {
        let patience = self.patience;
        self.expect_within(patience, expected, pick).await
    }

    pub(crate) async fn expect_within<T>(
        &mut self,
        patience: Duration,
        expected: &str,
        mut pick: impl FnMut(&Heard) -> Option<T>,
    ) -> Play<T> {
        let until = Instant::now() + patience;
        let mut others = Vec::new();
        loop {
            let Some(heard) = self.next(until).await? else {
                let waited = match (&self.ended, self.may_end) {
                    (Some(end), false) => end.clone(),
                    _ => format!("nothing of that within {:.1} s", patience.as_secs_f64()),
                };
                return Err(Miss::new(expected, format!("{waited}{}", named(&others))));
            };
            if let Some(found) = pick(&heard) {
                return Ok(found);
            }
            if !matches!(heard.message, Message::Beat(_)) {
                others.push(short(&heard.message));
            }
        }
    }

    /// Waits, and returns a miss if such a message comes.
    pub(crate) async fn never(
        &mut self,
        time: Duration,
        expected: &str,
        mut pick: impl FnMut(&Heard) -> bool,
    ) -> Play {
        let until = Instant::now() + time;
        while let Some(heard) = self.next(until).await? {
            if pick(&heard) {
                return Err(Miss::new(expected, short(&heard.message)));
            }
        }
        match (&self.ended, self.may_end) {
            (Some(end), false) => Err(Miss::new(expected, end.clone())),
            _ => Ok(()),
        }
    }

    /// Lets time pass.
    pub(crate) async fn pass(&mut self, time: Duration) -> Play {
        self.never(time, "the worker keeps running", |_| false).await
    }

    /// Waits until the worker has handled everything that was sent before.
    pub(crate) async fn caught_up(&mut self) -> Play {
        self.who_is_there(self.epoch).await?;
        let is_hello = |heard: &Heard| matches!(heard.message, Message::Hello(_)).then_some(());
        self.expect("a hello, in answer to `who_is_there`", is_hello).await
    }

    /// Waits until an attempt runs.
    pub(crate) async fn running(&mut self, fence: Fence) -> Play {
        self.expect(&format!("an `accept` of {fence} with `running` true"), |heard| {
            matches!(&heard.message, Message::Accept(accept) if accept.fence == fence && accept.running)
                .then_some(())
        })
        .await
    }

    /// Waits until an attempt is accepted, and returns whether it runs.
    pub(crate) async fn accepted(&mut self, fence: Fence) -> Play<bool> {
        self.expect(&format!("an `accept` of {fence}"), |heard| match &heard.message {
            Message::Accept(accept) if accept.fence == fence => Some(accept.running),
            _ => None,
        })
        .await
    }

    /// Waits for a report of an attempt. The first one counts also if it came while the scene
    /// waited for something else.
    pub(crate) async fn report(&mut self, fence: Fence, expected: &str) -> Play<Heard> {
        if let Some(heard) = self.reports.remove(&fence) {
            return Ok(heard);
        }
        let is_one = |heard: &Heard| about(heard, fence).map(|_| heard.clone());
        let found = self.expect(expected, is_one).await;
        self.reports.remove(&fence);
        found
    }

    /// Waits for the result of an attempt.
    pub(crate) async fn result(&mut self, fence: Fence) -> Play<ResultReport> {
        let expected = format!("the `result` of {fence}");
        match self.report(fence, &expected).await?.message {
            Message::Result(result) => Ok(result),
            other => Err(Miss::new(expected, short(&other))),
        }
    }

    /// Waits for the outcome of an attempt.
    pub(crate) async fn outcome(&mut self, fence: Fence) -> Play<Outcome> {
        Ok(self.result(fence).await?.outcome)
    }

    /// Waits until an attempt is released.
    pub(crate) async fn released(&mut self, fence: Fence, how: &[ReleasedHow]) -> Play<Instant> {
        let names: Vec<_> = how.iter().map(|how| how_name(*how)).collect();
        let expected = format!("`released` of {fence}, {}", names.join(" or "));
        let Heard { message, at, .. } = self.report(fence, &expected).await?;
        match message {
            Message::Released(Released { how: found, .. }) if how.contains(&found) => Ok(at),
            other => Err(Miss::new(expected, short(&other))),
        }
    }

    /// Waits until an attempt is rejected.
    pub(crate) async fn rejected(&mut self, fence: Fence, why: RejectReason) -> Play {
        let why_name = serde_json::to_string(&why).unwrap_or_default();
        let expected = format!("`reject` of {fence}, {why_name}");
        match self.report(fence, &expected).await?.message {
            Message::Reject(reject) if reject.why == why => Ok(()),
            other => Err(Miss::new(expected, short(&other))),
        }
    }

    /// Waits for the outcome `cancelled`.
    pub(crate) async fn cancelled(&mut self, fence: Fence) -> Play {
        let outcome = self.outcome(fence).await?;
        ensure(outcome == Outcome::Cancelled, "the outcome `cancelled`", || format!("{outcome:?}"))
    }

    /// Waits until the program ends by itself, with status 0.
    pub(crate) async fn left(&mut self) -> Play {
        self.may_end = true;
        let until = Instant::now() + self.patience;
        while self.ended.is_none() && Instant::now() < until {
            self.next(until).await?;
        }
        let expected = "the program ends after its `goodbye`, with status 0";
        ensure(self.exit.is_some_and(|status| status.success()), expected, || {
            self.ended.clone().unwrap_or_else(|| "it still runs".to_owned())
        })
    }
}

/// Returns the attempt whose end a message reports, as far as the worker goes.
pub(super) fn reported(heard: &Heard) -> Option<Fence> {
    match &heard.message {
        Message::Result(result) => Some(result.fence),
        Message::Released(released) => Some(released.fence),
        Message::Reject(reject) => Some(reject.fence),
        _ => None,
    }
}

/// Returns a message if it reports the end of this attempt.
pub(crate) fn about(heard: &Heard, fence: Fence) -> Option<Message> {
    (reported(heard) == Some(fence)).then(|| heard.message.clone())
}

/// Returns the result of an attempt that succeeded.
pub(crate) fn succeeded(outcome: &Outcome) -> Play<Value> {
    let value = outcome.value().and_then(|value| value.deserialize::<Value>().ok());
    value.ok_or_else(|| {
        Miss::new("the outcome `succeeded`", crate::rules::cut(&format!("{outcome:?}"), 300))
    })
}

fn how_name(how: ReleasedHow) -> &'static str {
    match how {
        ReleasedHow::NeverRan => "never_ran",
        ReleasedHow::Killed => "killed",
        ReleasedHow::Finished => "finished",
        ReleasedHow::Unknown => "unknown",
    }
}

fn named(others: &[String]) -> String {
    let from = others.len().saturating_sub(NAMED);
    match &others[from..] {
        [] => "; no message but beats came".to_owned(),
        last => format!("; the last of {} other messages: {}", others.len(), last.join(", ")),
    }
}
