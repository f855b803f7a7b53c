//! The metrics of the present state: queues, workers and the store.
//!
//! The coordinator's control loop hands over the state and goes on; a scrape turns it into gauges.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prometheus::{GaugeVec, IntGauge, IntGaugeVec};
use tinpot_core::observer::{Measure, WorkerLoad};
use tinpot_core::store::StoreProblem;
use tinpot_core::{QueueInfo, Result, Timestamp};

use crate::bounded::{Bounded, OTHER};
use crate::series::{Maker, NO_LABELS};

/// The states of workers, in the order in which they are counted.
const WORKER_STATES: [&str; 3] = ["live", "silent", "draining"];

/// The state that was handed over last.
#[derive(Clone, Debug, Default)]
struct State {
    queues: BTreeMap<Box<str>, Queue>,
    /// The names of the queues behind the labels.
    names: Vec<(Box<str>, Box<str>)>,
    /// The number of workers in each state.
    workers: [i64; 3],
    /// The busy and free slots of each queue, by label.
    slots: BTreeMap<Box<str>, (i64, i64)>,
    /// The problems of the store that block it, and the others.
    problems: [i64; 2],
}

#[derive(Clone, Copy, Debug, Default)]
struct Queue {
    waiting: i64,
    granted: i64,
    delayed: i64,
    waiting_since: Option<Timestamp>,
    is_paused: bool,
}

#[derive(Debug)]
pub(crate) struct StateSeries {
    /// Held for as long as it takes to replace it.
    state: Mutex<State>,
    depth: IntGaugeVec,
    oldest: GaugeVec,
    paused: IntGaugeVec,
    workers: IntGaugeVec,
    slots: IntGaugeVec,
    problems: IntGaugeVec,
    store_bytes: IntGauge,
    store_free_bytes: IntGauge,
}

impl StateSeries {
    pub(crate) fn new(maker: &Maker<'_>) -> Result<Self> {
        let gauge = |name: &str| maker.gauge(name).map(|one| one.with_label_values(NO_LABELS));
        Ok(Self {
            state: Mutex::default(),
            depth: maker.gauge("tinpot_queue_depth")?,
            oldest: maker.float_gauge("tinpot_queue_oldest_seconds")?,
            paused: maker.gauge("tinpot_queue_paused")?,
            workers: maker.gauge("tinpot_workers")?,
            slots: maker.gauge("tinpot_worker_slots")?,
            problems: maker.gauge("tinpot_store_problems")?,
            store_bytes: gauge("tinpot_store_bytes")?,
            store_free_bytes: gauge("tinpot_store_free_bytes")?,
        })
    }

    pub(crate) fn set_store(&self, bytes: u64, free_bytes: u64) {
        self.store_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
        self.store_free_bytes.set(i64::try_from(free_bytes).unwrap_or(i64::MAX));
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(crate) fn take(&self, measure: &Measure<'_>, labels: &Bounded) {
        match measure {
            Measure::Queues(queues) => {
                let (of_labels, names) = by_label(queues, labels);
                self.change(|state| (state.queues, state.names) = (of_labels, names));
            }
            Measure::Workers(workers) => {
                self.change(|state| {
                    state.workers = WORKER_STATES.map(|name| {
                        workers.iter().filter(|worker| state_of(worker) == name).count() as i64
                    });
                    state.slots = slots_of(workers, &state.names);
                });
            }
            Measure::StoreProblems(problems) => {
                let number = |is_blocking: bool| {
                    let is = |problem: &&StoreProblem| problem.is_blocking == is_blocking;
                    problems.iter().filter(is).count() as i64
                };
                self.change(|state| state.problems = [true, false].map(number));
            }
            _ => {}
        }
    }

    /// Sets the gauges to the state. Only one scrape at a time may call it.
    pub(crate) fn show(&self) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let now = Timestamp::now();
        self.depth.reset();
        self.oldest.reset();
        self.paused.reset();
        self.slots.reset();
        for (label, queue) in &state.queues {
            let states = [
                ("waiting", queue.waiting),
                ("granted", queue.granted),
                ("delayed", queue.delayed),
            ];
            for (name, number) in states {
                self.depth.with_label_values(&[&**label, name]).set(number);
            }
            let age = queue.waiting_since.map_or(0, |since| now.0.saturating_sub(since.0));
            let age = Duration::from_micros(age).as_secs_f64();
            self.oldest.with_label_values(&[label]).set(age);
            self.paused.with_label_values(&[label]).set(queue.is_paused.into());
        }
        for (name, number) in WORKER_STATES.iter().zip(state.workers) {
            self.workers.with_label_values(&[name]).set(number);
        }
        for (label, (busy, free)) in &state.slots {
            self.slots.with_label_values(&[&**label, "busy"]).set(*busy);
            self.slots.with_label_values(&[&**label, "free"]).set(*free);
        }
        for (name, number) in ["true", "false"].iter().zip(state.problems) {
            self.problems.with_label_values(&[name]).set(number);
        }
    }
}

type ByLabel = (BTreeMap<Box<str>, Queue>, Vec<(Box<str>, Box<str>)>);

/// Returns the queues by label, and their names.
fn by_label(queues: &[QueueInfo], labels: &Bounded) -> ByLabel {
    let (mut of_labels, mut names) = ByLabel::default();
    for queue in queues {
        let label = labels.label(&queue.name);
        let sum = of_labels.entry(Box::from(label)).or_default();
        sum.waiting += queue.waiting as i64;
        sum.granted += queue.granted as i64;
        sum.delayed += queue.delayed as i64;
        let times = [sum.waiting_since, queue.waiting_since];
        sum.waiting_since = times.into_iter().flatten().min();
        sum.is_paused |= queue.paused_at.is_some();
        // Workers of several of the other queues would count several times.
        if label != OTHER || *queue.name == *OTHER {
            names.push((label.into(), Box::from(&*queue.name)));
        }
    }
    (of_labels, names)
}

fn slots_of(
    workers: &[WorkerLoad<'_>],
    names: &[(Box<str>, Box<str>)],
) -> BTreeMap<Box<str>, (i64, i64)> {
    let of_queue = |(label, queue): &(Box<str>, Box<str>)| {
        let mut slots = (0, 0);
        for worker in workers.iter().filter(|worker| worker.serves(queue)) {
            let all = i64::from(worker.slots);
            let busy = (worker.in_slots as i64).min(all);
            slots.0 += busy;
            // The others get nothing.
            if state_of(worker) == "live" {
                slots.1 += all - busy;
            }
        }
        (label.clone(), slots)
    };
    names.iter().map(of_queue).collect()
}

fn state_of(worker: &WorkerLoad<'_>) -> &'static str {
    match (worker.draining, worker.silent) {
        (true, _) => "draining",
        (false, true) => "silent",
        (false, false) => "live",
    }
}
