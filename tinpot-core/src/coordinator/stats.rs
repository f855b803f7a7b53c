//! Counts of accepted and ended executions by the minute, in memory, for charts. A coordinator that
//! starts counts those that are recorded, too.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::Coordinator;
use crate::model::error::ErrorKind;
use crate::model::execution::Execution;
use crate::model::page::ListOptions;
use crate::model::status::Status;
use crate::model::time::Timestamp;
use crate::model::transition::Transition;
use crate::store::Store;

/// The number of minutes in memory: a day. The worst case, with every duration in a class of its
/// own, takes about 10 MB.
const MINUTES: usize = 1_440;
const MINUTE_MICROS: u64 = 60_000_000;
/// The bounds of reading the history at the start: 200,000 executions, in a few seconds of reading
/// and three times as much rest.
const LOAD_PAGE: usize = 500;
const LOAD_PAGES_MAX: usize = 400;
const LOAD_IDLE_TIMES: u32 = 3;
/// The binary logarithm of the number of classes per power of two. Percentiles are at most 7 % off.
const CLASS_BITS: u32 = 3;

/// The durations of attempts, in classes: as in HdrHistogram (Gil Tene), the highest bits of the
/// number of microseconds name the class.
#[derive(Clone, Debug, Default)]
struct Durations {
    classes: BTreeMap<u16, u32>,
    count: u64,
}

impl Durations {
    fn add(&mut self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        *self.classes.entry(class_of(micros)).or_default() += 1;
        self.count += 1;
    }

    /// Returns the duration that `percent` of the attempts do not exceed.
    fn percentile(&self, percent: u64) -> Option<Duration> {
        let rank = (self.count * percent).div_ceil(100).max(1);
        let mut below = 0;
        for (class, count) in &self.classes {
            below += u64::from(*count);
            if below >= rank {
                return Some(Duration::from_micros(middle_of(*class)));
            }
        }
        None
    }
}

fn class_of(micros: u64) -> u16 {
    let bits = 64 - micros.leading_zeros();
    if bits <= CLASS_BITS + 1 {
        return micros as u16;
    }
    let shift = bits - CLASS_BITS - 1;
    // The leading bit, which all of them have, counts once per power of two.
    ((shift << CLASS_BITS) as u16) + (micros >> shift) as u16
}

fn middle_of(class: u16) -> u64 {
    let class = u64::from(class);
    if class < 2 << CLASS_BITS {
        return class;
    }
    let shift = (class >> CLASS_BITS) - 1;
    let lowest = (class - (shift << CLASS_BITS)) << shift;
    lowest + (1 << shift) / 2
}

#[derive(Clone, Debug, Default)]
struct Minute {
    accepted: u64,
    /// The counts by outcome, in the order of [`MinuteStats`].
    ended: [u64; 5],
    durations: Durations,
}

#[derive(Debug)]
struct Minutes {
    /// The time from which on everything is counted.
    since: Timestamp,
    /// The start of the coordinator. What was committed since is counted then.
    started: Timestamp,
    /// The number of the first minute, counted from 1970.
    first: u64,
    minutes: VecDeque<Minute>,
}

/// The minutes of the last day.
#[derive(Debug)]
pub(super) struct Recent(Mutex<Minutes>);

impl Recent {
    pub(super) fn new(now: Timestamp) -> Self {
        let first = (now.0 / MINUTE_MICROS).saturating_sub(MINUTES as u64 - 1);
        let number = (now.0 / MINUTE_MICROS - first + 1) as usize;
        let minutes = std::iter::repeat_with(Minute::default).take(number).collect();
        Self(Mutex::new(Minutes { since: now, started: now, first, minutes }))
    }

    /// Counts the executions that the store has of the last day, the newest first.
    pub(super) async fn load(&self, store: &dyn Store) {
        self.count(store, ListOptions::new().limit(LOAD_PAGE), LOAD_PAGES_MAX).await;
    }

    /// Counts the executions of the last day that a list has, the newest first, up to a number of
    /// pages.
    pub(super) async fn count(&self, store: &dyn Store, list: ListOptions, pages: usize) {
        let start = self.lock().start();
        let mut page = list.since(start);
        for _ in 0..pages {
            let begun = Instant::now();
            let executions = match store.executions(&page).await {
                Ok(executions) => executions,
                Err(error) => {
                    if error.kind() != ErrorKind::Closed {
                        tracing::warn!(%error, "the statistics lack what was recorded before");
                    }
                    return;
                }
            };
            let last = executions.last().filter(|_| executions.len() == page.page_size());
            self.recorded(&executions, last.map_or(start, |last| last.accepted_at));
            let Some(last) = last else { return };
            page.before = Some(last.id);
            // A long history must not delay what else the store does.
            tokio::time::sleep(begun.elapsed() * LOAD_IDLE_TIMES).await;
        }
    }

    /// Counts recorded executions. Those since this time are complete now.
    fn recorded(&self, executions: &[Arc<Execution>], since: Timestamp) {
        let mut recent = self.lock();
        for execution in executions {
            if let Some(minute) = recent.before_start(execution.accepted_at) {
                minute.accepted += 1;
            }
            if let Some(outcome) = &execution.outcome
                && let Some(minute) = execution.finished_at.and_then(|at| recent.before_start(at))
            {
                minute.ended[place(outcome.status())] += 1;
                let attempt = execution.attempts.last();
                let ran = attempt.and_then(|last| last.started_at.zip(last.ended_at));
                if let Some((start, end)) = ran {
                    minute.durations.add(Duration::from_micros(end.0.saturating_sub(start.0)));
                }
            }
        }
        recent.since = recent.since.min(since);
    }

    fn lock(&self) -> MutexGuard<'_, Minutes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a committed batch.
    pub(super) fn committed(&self, batch: &[Transition], at: Timestamp) {
        let counts = |transition: &&Transition| {
            matches!(transition, Transition::Accept(_) | Transition::Finish { .. })
        };
        let mut counted = batch.iter().filter(counts).peekable();
        if counted.peek().is_none() {
            return;
        }
        let mut recent = self.lock();
        let Some(minute) = recent.at(at) else { return };
        for transition in counted {
            match transition {
                Transition::Finish { outcome, ran, .. } => {
                    minute.ended[place(outcome.status())] += 1;
                    if let Some(ran) = ran {
                        minute.durations.add(*ran);
                    }
                }
                _ => minute.accepted += 1,
            }
        }
    }

    pub(super) fn stats(&self, now: Timestamp, minutes: usize) -> Stats {
        let mut recent = self.lock();
        let _ = recent.at(now);
        let skipped = recent.minutes.len().saturating_sub(minutes.clamp(1, MINUTES));
        let told = (recent.first..).zip(&recent.minutes).skip(skipped);
        let told = told.map(|(number, minute)| {
            let [succeeded, failed, cancelled, timed_out, lost] = minute.ended;
            MinuteStats {
                at: Timestamp(number * MINUTE_MICROS),
                accepted: minute.accepted,
                succeeded,
                failed,
                cancelled,
                timed_out,
                lost,
                duration_p50: minute.durations.percentile(50),
                duration_p95: minute.durations.percentile(95),
            }
        });
        Stats { since: recent.since.max(recent.start()), minutes: told.collect() }
    }
}

impl Minutes {
    /// Returns the start of the first minute.
    fn start(&self) -> Timestamp {
        Timestamp(self.first * MINUTE_MICROS)
    }

    /// Returns the minute of a time before the start of the coordinator.
    fn before_start(&mut self, time: Timestamp) -> Option<&mut Minute> {
        let number = (time.0 / MINUTE_MICROS).checked_sub(self.first)?;
        let is_before = time < self.started;
        self.minutes.get_mut(number as usize).filter(|_| is_before)
    }

    /// Returns the minute of `time`. A time before the last minute, after the wall clock was put
    /// back, counts in the last one.
    fn at(&mut self, time: Timestamp) -> Option<&mut Minute> {
        let number = time.0 / MINUTE_MICROS;
        let last = self.first + self.minutes.len() as u64 - 1;
        let missing = number.saturating_sub(last);
        if missing >= MINUTES as u64 {
            self.minutes.clear();
            self.first = number;
            self.minutes.push_back(Minute::default());
        } else {
            for _ in 0..missing {
                self.minutes.push_back(Minute::default());
            }
        }
        while self.minutes.len() > MINUTES {
            self.minutes.pop_front();
            self.first += 1;
        }
        self.minutes.back_mut()
    }
}

fn place(status: Status) -> usize {
    match status {
        Status::Succeeded => 0,
        Status::Cancelled => 2,
        Status::TimedOut => 3,
        Status::Lost => 4,
        // No outcome has one of the others.
        Status::Failed | Status::Queued | Status::Running | Status::Cancelling => 1,
    }
}

/// Counts of executions for each of the last minutes, as far as the store keeps them.
///
/// ```
/// # use tinpot_core::{Failure, FunctionExecutor, local};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> tinpot_core::Result<()> {
/// # let executor = FunctionExecutor::builder()
/// #     .action("tick", |_, ()| async { Ok::<_, Failure>("tock") })
/// #     .build()?;
/// # let tinpot = local(executor).await?;
/// tinpot.call::<String>("tick", ()).await?;
/// let stats = tinpot.stats(60);
/// assert_eq!(stats.minutes.len(), 60);
/// assert_eq!(stats.minutes.iter().map(|minute| minute.succeeded).sum::<u64>(), 1);
/// # tinpot.shutdown(std::time::Duration::ZERO).await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Stats {
    /// The time from which on everything is counted. While a coordinator that has just started reads
    /// the history, it is later than the first minute.
    pub since: Timestamp,
    /// Each minute, including empty ones, oldest first. The last one is still going on.
    pub minutes: Vec<MinuteStats>,
}

/// Counts of one minute.
///
/// [`Stats`] has an example.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct MinuteStats {
    /// The start of the minute, in UTC.
    pub at: Timestamp,
    /// Executions that were accepted.
    pub accepted: u64,
    /// Executions that succeeded.
    pub succeeded: u64,
    /// Executions that failed.
    pub failed: u64,
    /// Executions that were cancelled.
    pub cancelled: u64,
    /// Executions that timed out.
    pub timed_out: u64,
    /// Executions that were lost.
    pub lost: u64,
    /// The median duration of the last attempts of executions that ended, within 7 %. `None` if no
    /// duration was reported.
    pub duration_p50: Option<Duration>,
    /// The 95th percentile of those durations.
    pub duration_p95: Option<Duration>,
}

impl Coordinator {
    /// Returns the counts of accepted and ended executions for each of the last `minutes` (1 to
    /// 1,440). They include what earlier coordinators recorded, as far as the store keeps it: of the
    /// latest 200,000 executions.
    pub fn stats(&self, minutes: usize) -> Stats {
        self.shared.stats.stats(Timestamp::now(), minutes)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Durations, MINUTE_MICROS, MINUTES, Recent, class_of, middle_of};
    use crate::model::execution::Execution;
    use crate::model::id::ExecutionId;
    use crate::model::json::Json;
    use crate::model::outcome::Outcome;
    use crate::model::time::Timestamp;
    use crate::model::transition::Transition;

    #[test]
    fn a_class_is_at_most_seven_percent_wide_to_either_side() {
        let mut last = 0;
        for micros in (0..2_000).chain((11..64).flat_map(|bits| {
            let power = 1_u64 << bits;
            [power - 1, power, power + power / 3, power + power / 2]
        })) {
            let class = class_of(micros);
            assert!(class >= last || micros < 2_048, "{micros}");
            last = class;
            let off = middle_of(class).abs_diff(micros);
            assert!(off as f64 <= micros as f64 * 0.07, "{micros}: {}", middle_of(class));
        }
        assert!(class_of(u64::MAX) < 512);
    }

    #[test]
    fn percentiles_are_those_of_what_was_added() {
        let mut durations = Durations::default();
        assert_eq!(durations.percentile(50), None);
        for millis in 1..=100 {
            durations.add(Duration::from_millis(millis));
        }
        for (percent, millis) in [(50, 50.0), (95, 95.0), (100, 100.0)] {
            let told = durations.percentile(percent).expect("some").as_secs_f64() * 1_000.0;
            assert!((told - millis).abs() <= millis * 0.07, "{percent}: {told}");
        }
    }

    fn accept() -> Transition {
        let id = ExecutionId::from_u128(1);
        Transition::Accept(Execution::new(id, "act", Json::empty_object()).into())
    }

    fn finish(outcome: Outcome, millis: u64) -> Transition {
        let ran = Some(Duration::from_millis(millis));
        let execution = ExecutionId::from_u128(1);
        Transition::Finish { execution, fence: None, outcome, ran, log_end: None }
    }

    #[test]
    fn minutes_without_anything_are_there_too() {
        let at = |minute: u64| Timestamp(minute * MINUTE_MICROS + 17);
        let recent = Recent::new(at(100));
        recent.committed(&[accept(), accept()], at(100));
        recent.committed(&[finish(Outcome::Lost, 8), finish(Outcome::Cancelled, 9)], at(103));
        // A clock that is put back.
        recent.committed(&[accept()], at(101));
        let stats = recent.stats(at(104), 60);
        assert_eq!(stats.since, at(100));
        let told: Vec<_> =
            stats.minutes.iter().map(|m| (m.at.0 / MINUTE_MICROS, m.accepted)).collect();
        assert_eq!(told[..55], (45..100).map(|minute| (minute, 0)).collect::<Vec<_>>());
        assert_eq!(told[55..], [(100, 2), (101, 0), (102, 0), (103, 1), (104, 0)]);
        let ended = &stats.minutes[58];
        assert_eq!((ended.lost, ended.cancelled, ended.succeeded, ended.failed), (1, 1, 0, 0));
        assert!(ended.duration_p50.is_some() && stats.minutes[57].duration_p50.is_none());
        assert_eq!(recent.stats(at(104), 2).minutes, stats.minutes[58..]);
    }

    #[test]
    fn no_more_than_a_day_is_kept() {
        let at = |minute: u64| Timestamp(minute * MINUTE_MICROS);
        let recent = Recent::new(at(5));
        for minute in (5..5_000).step_by(3) {
            recent.committed(&[accept()], at(minute));
        }
        let stats = recent.stats(at(4_999), usize::MAX);
        assert_eq!(stats.minutes.len(), MINUTES);
        assert_eq!(stats.minutes.iter().map(|m| m.accepted).sum::<u64>(), MINUTES as u64 / 3);
        let later = recent.stats(at(1_000_000), usize::MAX);
        assert_eq!((later.minutes.len(), later.minutes[0].accepted), (1, 0));
    }
}
