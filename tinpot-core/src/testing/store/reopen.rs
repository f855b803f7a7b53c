//! Reopening: the state that a store keeps from one session to the next.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::queues::{delayed, page, pinned, ready};
use super::{
    OpenStore, accept, commit, execution, fence, finish, grant, lines, open, read, refused, with,
};
use crate::model::action::Action;
use crate::model::deployed::Deployed;
use crate::model::digest::Digest;
use crate::model::error::Result;
use crate::model::execution::Execution;
use crate::model::id::{ExecutionId, WorkerId};
use crate::model::log::{LogBatch, LogChunk};
use crate::model::opened::{Opened, WaitingCount};
use crate::model::outcome::Outcome;
use crate::model::page::ListOptions;
use crate::model::time::Timestamp;
use crate::model::transition::Transition;
use crate::store::{Session, Store};

/// A store whose records outlive the process.
pub trait Reopen: Store + Sized {
    /// Drops this value, without closing anything, and returns the same store as the next process
    /// sees it.
    fn reopen(self) -> impl Future<Output = Self> + Send;
}

/// A store that one process closes and opens again.
#[derive(Debug)]
pub struct Same<S>(pub S);

#[async_trait]
impl<S: Store> Store for Same<S> {
    async fn open(&self) -> Result<(Opened, Arc<dyn Session>)> {
        self.0.open().await
    }

    async fn execution(&self, id: ExecutionId) -> Result<Option<Arc<Execution>>> {
        self.0.execution(id).await
    }

    async fn executions(&self, options: &ListOptions) -> Result<Vec<Arc<Execution>>> {
        self.0.executions(options).await
    }

    async fn logs(
        &self,
        id: ExecutionId,
        after: u64,
        max_bytes: usize,
    ) -> Result<Vec<Arc<LogChunk>>> {
        self.0.logs(id, after, max_bytes).await
    }
}

impl<S: Store> Reopen for Same<S> {
    async fn reopen(self) -> Self {
        self
    }
}

impl<R: Reopen> OpenStore<R> {
    /// Opens a store whose sessions end with a close.
    pub async fn closing(store: R) -> Self {
        open(store).await
    }

    /// Opens a store whose sessions end as in a crash.
    pub async fn crashing(store: R) -> Self {
        Self { crashes: true, ..open(store).await }
    }

    /// Ends the session, and opens the next one as another process would.
    pub(super) async fn next(self) -> (Self, Opened) {
        let crashes = self.crashes;
        let store = if crashes { self.crashed() } else { self.closed().await };
        let next = Self { crashes, ..open(store.reopen().await).await };
        let opened = next.opened.clone();
        (next, opened)
    }
}

fn grant_for(execution: &Execution, number: u64, lease: Duration) -> Transition {
    Transition::Grant {
        execution: execution.id,
        fence: fence(number),
        attempt: 1,
        worker: WorkerId::new("w-2").expect("an id"),
        lease,
    }
}

fn requeue(execution: &Execution, number: u64, not_before: Option<Timestamp>) -> Transition {
    Transition::Requeue {
        execution: execution.id,
        fence: fence(number),
        outcome: Some(Outcome::TimedOut),
        ran: None,
        log_end: None,
        not_before,
    }
}

/// Epochs increase, within one instance.
pub async fn epochs_grow_within_one_instance<R: Reopen>(store: OpenStore<R>) {
    let mut before = store.opened.epoch;
    let mut store = store;
    for _ in 0..3 {
        let (next, opened) = store.next().await;
        assert_eq!(opened.epoch.instance, before.instance);
        assert!(opened.epoch.number > before.number, "{before} and then {}", opened.epoch);
        let current = next.current().await.expect("an epoch");
        assert_eq!(current, opened.epoch, "the latest session of the store");
        (store, before) = (next, opened.epoch);
    }
}

/// The last commit is read, in every status.
pub async fn every_status_is_remembered<R: Reopen>(store: OpenStore<R>) {
    let all: Vec<_> = (1..=9).map(execution).collect();
    accept(&store, &all.iter().collect::<Vec<_>>()).await;
    let end = |number: usize, outcome| Transition::Finish {
        execution: all[number].id,
        fence: Some(fence(number as u64)),
        outcome,
        ran: Some(Duration::from_millis(1)),
        log_end: None,
    };
    let mut batch: Vec<_> = (1..=8).map(|number| grant(&all[number], number as u64)).collect();
    batch.extend([1, 2].map(|number| Transition::Start {
        execution: all[number].id,
        fence: fence(number as u64),
    }));
    batch.extend([
        Transition::Cancelling { execution: all[2].id },
        end(3, Outcome::Succeeded(crate::Json::null())),
        end(4, Outcome::failed("why")),
        end(5, Outcome::Cancelled),
        end(6, Outcome::TimedOut),
        end(7, Outcome::Lost),
        requeue(&all[8], 8, Some(Timestamp(77))),
    ]);
    commit(&store, &batch).await;
    let mut before = Vec::new();
    for execution in &all {
        before.push(read(&store, execution.id).await);
    }
    let (store, _) = store.next().await;
    for execution in &before {
        assert_eq!(read(&store, execution.id).await, *execution);
    }
    let newest_first = before.into_iter().rev().collect::<Vec<_>>();
    let list = store.executions(&ListOptions::default()).await.expect("a list");
    assert_eq!(list, newest_first);
    // The conditions still hold.
    refused(&store, &[end(3, Outcome::Cancelled)]).await;
    refused(&store, &[grant(&all[1], 20)]).await;
    commit(&store, &[end(1, Outcome::Cancelled), grant(&all[0], 21)]).await;
}

/// The counts of waiting executions are returned by queue and action.
pub async fn waiting_executions_are_counted_by_queue_and_action<R: Reopen>(store: OpenStore<R>) {
    assert!(store.opened.waiting.is_empty());
    let far = |number| with(number, |new| new.queue = "far".into());
    let late = |number| with(number, |new| new.not_before = Some(Timestamp(9)));
    let mut all = [execution(1), execution(3), execution(2), far(4), late(5), late(7), late(6)];
    let (granted, ended, back) = (execution(8), execution(10), execution(9));
    accept(&store, &all.each_ref()).await;
    accept(&store, &[&granted, &ended, &back]).await;
    commit(&store, &[grant(&granted, 1), finish(&ended, None), grant(&back, 2)]).await;
    commit(&store, &[requeue(&back, 2, Some(Timestamp(99)))]).await;
    commit(&store, &[Transition::Ready { execution: all[6].id }]).await;
    all.sort_unstable_by_key(|execution| execution.id);
    let count = |queue: &str, action: &str, ready, delayed| {
        WaitingCount::new(queue, action, ready, delayed)
    };
    let (store, opened) = store.next().await;
    let mut waiting = opened.waiting;
    waiting.sort_unstable();
    let expected =
        [count("default", "even", 2, 0), count("default", "odd", 2, 3), count("far", "even", 1, 0)];
    assert_eq!(waiting, expected);
    let cancel: Vec<_> = all.iter().map(|execution| finish(execution, None)).collect();
    commit(&store, &cancel).await;
    let (_, opened) = store.next().await;
    assert_eq!(opened.waiting, [count("default", "odd", 0, 1)]);
}

/// The counts of waiting executions with bundles are returned by runtime.
pub async fn waiting_executions_are_counted_by_runtime<R: Reopen>(store: OpenStore<R>) {
    let late = with(9, |new| {
        *new = (*pinned(9, 1, "process")).clone();
        new.not_before = Some(Timestamp(9));
    });
    let all = [execution(1), pinned(3, 1, "script"), pinned(5, 2, "script"), late];
    accept(&store, &all.each_ref()).await;
    let (store, opened) = store.next().await;
    let mut waiting = opened.waiting;
    waiting.sort_unstable();
    let count = |runtime: Option<&str>, ready, delayed| {
        WaitingCount::new("default", "odd", ready, delayed).runtime(runtime.map(Arc::from))
    };
    let expected = [count(None, 1, 0), count(Some("process"), 0, 1), count(Some("script"), 2, 0)];
    assert_eq!(waiting, expected);
    for execution in &all {
        assert_eq!(read(&store, execution.id).await.bundle, execution.bundle);
    }
}

/// Executions with a live attempt are returned, in the order of their acceptance.
pub async fn granted_executions_are_returned<R: Reopen>(store: OpenStore<R>) {
    assert!(store.opened.granted.is_empty());
    let all: Vec<_> = (1..=5).map(execution).collect();
    accept(&store, &all.iter().collect::<Vec<_>>()).await;
    let start = Transition::Start { execution: all[1].id, fence: fence(2) };
    let batch = [grant(&all[3], 4), grant(&all[1], 2), start, grant(&all[4], 5), grant(&all[0], 1)];
    commit(&store, &batch).await;
    let cancelling = Transition::Cancelling { execution: all[3].id };
    commit(&store, &[requeue(&all[4], 5, None), cancelling]).await;
    store.append_logs(&[lines(all[1].id, 1, 3)]).await.expect("lines");
    let mut expected = Vec::new();
    for number in [0, 1, 3] {
        expected.push(read(&store, all[number].id).await);
    }
    let (store, opened) = store.next().await;
    assert_eq!(opened.granted, expected);
    assert_eq!(opened.granted[1].attempts[0].log_lines, 3);
    commit(&store, &[finish(&all[0], Some(fence(1)))]).await;
    let (_, opened) = store.next().await;
    assert_eq!(opened.granted, expected[1..]);
}

/// The longest lease is that of a live attempt.
pub async fn the_longest_lease_is_that_of_a_live_attempt<R: Reopen>(store: OpenStore<R>) {
    assert_eq!(store.opened.longest_lease, Duration::ZERO);
    let all: Vec<_> = (1..=4).map(execution).collect();
    accept(&store, &all.iter().collect::<Vec<_>>()).await;
    let seconds = Duration::from_secs;
    let leases = [20, 500, 400, 300];
    let grants =
        (0..4).map(|number| grant_for(&all[number], number as u64 + 1, seconds(leases[number])));
    commit(&store, &grants.collect::<Vec<_>>()).await;
    let (store, opened) = store.next().await;
    assert_eq!(opened.longest_lease, seconds(500));
    commit(&store, &[finish(&all[1], Some(fence(2))), requeue(&all[2], 3, None)]).await;
    let (store, opened) = store.next().await;
    assert_eq!(opened.longest_lease, seconds(300));
    commit(&store, &[requeue(&all[3], 4, None), grant_for(&all[3], 5, seconds(10))]).await;
    let (store, opened) = store.next().await;
    assert_eq!(opened.longest_lease, seconds(20));
    commit(&store, &[finish(&all[0], Some(fence(1))), finish(&all[3], Some(fence(5)))]).await;
    let (_, opened) = store.next().await;
    assert_eq!(opened.longest_lease, Duration::ZERO);
}

/// Executions with an open log are returned.
pub async fn open_logs_are_returned<R: Reopen>(store: OpenStore<R>) {
    let all: Vec<_> = (1..=5).map(execution).collect();
    accept(&store, &all.iter().collect::<Vec<_>>()).await;
    let end = |number: usize, lines| Transition::Finish {
        execution: all[number].id,
        fence: Some(fence(number as u64)),
        outcome: Outcome::Cancelled,
        ran: None,
        log_end: lines,
    };
    let grants: Vec<_> = (0..5).map(|number| grant(&all[number], number as u64)).collect();
    commit(&store, &grants).await;
    store.append_logs(&[lines(all[1].id, 1, 3)]).await.expect("lines");
    let mut back = requeue(&all[4], 4, None);
    if let Transition::Requeue { log_end, .. } = &mut back {
        *log_end = Some(1);
    }
    commit(&store, &[end(0, Some(2)), end(1, Some(3)), end(2, None), end(3, Some(1)), back]).await;
    let open_logs = |opened: &Opened| -> Vec<ExecutionId> {
        opened.open_logs.iter().map(|execution| execution.id).collect()
    };
    let (store, opened) = store.next().await;
    assert_eq!(open_logs(&opened), [0, 3, 4].map(|number: usize| all[number].id));
    store.append_logs(&[lines(all[0].id, 1, 2)]).await.expect("lines");
    let given_up = LogBatch::new(all[3].id, 1, Vec::new()).ends(true);
    store.append_logs(&[given_up]).await.expect("an end");
    // An execution that is granted again is returned as granted.
    commit(&store, &[grant(&all[4], 9)]).await;
    let (_, opened) = store.next().await;
    assert_eq!(open_logs(&opened), []);
    assert_eq!(opened.granted.len(), 1);
}

/// Logs keep every line, and continue where they ended.
pub async fn logs_are_remembered_and_go_on<R: Reopen>(store: OpenStore<R>) {
    let (short, long) = (execution(1), execution(2));
    accept(&store, &[&short, &long]).await;
    commit(&store, &[grant(&short, 1), grant(&long, 2)]).await;
    store.append_logs(&[lines(short.id, 1, 2)]).await.expect("lines");
    let (mut store, mut next) = (store, 1);
    for count in [10, 8_000, 1, 3_000, 5] {
        store.append_logs(&[lines(long.id, next, count)]).await.expect("lines");
        next += count;
        store = store.next().await.0;
        let again = [lines(long.id, next - 1, 1)];
        store.append_logs(&again).await.expect_err("a repeat");
        let mut seq = 0;
        while let Some(last) = {
            let chunks = store.logs(long.id, seq, 10_000).await.expect("a read");
            let from = seq;
            for chunk in chunks.iter().filter_map(|chunk| chunk.after(from)) {
                assert_eq!(chunk.first_seq, seq + 1);
                for line in &chunk.lines {
                    seq += 1;
                    assert_eq!(*line, format!("line {seq}"));
                }
            }
            chunks.last().cloned()
        } {
            assert_eq!(seq, last.last_seq());
        }
        assert_eq!(seq, next - 1);
        assert_eq!(read(&store, long.id).await.log_lines(), next - 1);
    }
    assert_eq!(store.logs(short.id, 1, 1_000).await.expect("a read").len(), 1);
}

/// The last action with each name is returned, of each team.
pub async fn the_catalogue_is_remembered<R: Reopen>(store: OpenStore<R>) {
    assert!(store.opened.actions.is_empty());
    let action = |name: &str, text: &str| {
        let schema = crate::Json::parse(r#"{"type": "object", "properties": {"b": {}, "a": {}}}"#);
        let action = Action::new(name).expect("a name").description(text);
        let result = crate::Json::parse(r#"{"type": "null"}"#).expect("JSON");
        let action = action.schema(schema.expect("JSON")).result_schema(result);
        Arc::new(action.timeout(Duration::from_secs(3)).priority(-2))
    };
    let version = Deployed::new("script", 7, Digest::from([7; 32])).enabled(false);
    let deployed = Arc::new(Action { deployed: Some(version), ..(*action("zero", "")).clone() });
    let of_team = Arc::new(Action { team: "team".to_owned(), ..(*action("one", "other")).clone() });
    let offers = [("one", "first"), ("two", "é"), ("one", "second")];
    let offers = offers.map(|(name, text)| Transition::Offer(action(name, text)));
    let [first, second, third] = offers;
    let offers = [first, second, Transition::Offer(of_team.clone()), third];
    let offers = [&offers[..], &[Transition::Offer(deployed.clone())]].concat();
    commit(&store, &offers[..1]).await;
    // A refused batch offers nothing.
    let bad = [Transition::Offer(action("three", "")), finish(&execution(1), None)];
    refused(&store, &bad).await;
    commit(&store, &offers[1..]).await;
    let (_, mut opened) = store.next().await;
    opened.actions.sort_by(|a, b| (&a.name, &a.team).cmp(&(&b.name, &b.team)));
    assert_eq!(opened.actions, [action("one", "second"), of_team, action("two", "é"), deployed]);
}

/// Idempotency keys stay taken.
pub async fn keys_are_remembered<R: Reopen>(store: OpenStore<R>) {
    let key = |new: &mut Execution| new.idempotency_key = Some("the key".into());
    let (first, second) = (with(1, key), with(2, key));
    accept(&store, &[&first]).await;
    let (store, _) = store.next().await;
    refused(&store, &[Transition::Accept(second)]).await;
    let idempotency_key = Some("the key".to_owned());
    let options = ListOptions { idempotency_key, ..ListOptions::default() };
    let found = store.executions(&options).await.expect("a list");
    assert_eq!(super::ids(&found), [1]);
}

/// Paused queues are returned, with their times.
pub async fn paused_queues_are_remembered<R: Reopen>(store: OpenStore<R>) {
    assert!(store.opened.paused.is_empty());
    let pause = |queue: &str, since| {
        let (queue, since) = (queue.into(), Timestamp(since));
        Transition::Pause { queue, since }
    };
    let resume = |queue: &str| Transition::Resume { queue: queue.into() };
    commit(&store, &[pause("b", 5), pause("é", 7)]).await;
    // A refused batch pauses nothing and resumes nothing.
    refused(&store, &[pause("c", 8), finish(&execution(1), None)]).await;
    refused(&store, &[resume("b"), finish(&execution(1), None)]).await;
    let (store, mut opened) = store.next().await;
    opened.paused.sort();
    assert_eq!(opened.paused, [("b".into(), Timestamp(5)), ("é".into(), Timestamp(7))]);
    // The last transition counts, also within one batch. A queue that is not paused can be resumed.
    commit(&store, &[resume("b"), pause("b", 9), resume("é"), pause("d", 1), resume("d")]).await;
    commit(&store, &[resume("never")]).await;
    let (_, opened) = store.next().await;
    assert_eq!(opened.paused, [("b".into(), Timestamp(9))]);
}

/// Secrets stay secrets.
pub async fn secrets_are_remembered<R: Reopen>(store: OpenStore<R>) {
    let secrets = vec!["/password".to_owned(), "/keys/0/a~1b".to_owned()];
    let parameters = r#"{"user":"me","password":"s1","keys":[{"a/b":"s2"}]}"#;
    let execution = with(1, |new| {
        new.parameters = crate::Json::parse(parameters).expect("JSON");
        new.secrets.clone_from(&secrets);
    });
    accept(&store, &[&execution]).await;
    commit(&store, &[grant(&execution, 1), finish(&execution, Some(fence(1)))]).await;
    let (store, _) = store.next().await;
    let read = read(&store, execution.id).await;
    assert_eq!((&read.secrets, read.parameters.as_str()), (&secrets, parameters));
    let shown = r#"{"user":"me","password":"***","keys":[{"a/b":"***"}]}"#;
    assert_eq!(read.shown_parameters().as_str(), shown);
}

/// Queues keep their order.
pub async fn queues_are_read_as_before<R: Reopen>(store: OpenStore<R>) {
    let all: Vec<_> = (1..=20)
        .map(|number: u128| {
            with(number, |new| {
                new.action = "act".into();
                new.priority = (number % 3) as i32;
                new.not_before = number.is_multiple_of(4).then_some(Timestamp(100 - number as u64));
            })
        })
        .collect();
    accept(&store, &all.iter().collect::<Vec<_>>()).await;
    let ready = || ready("default", "act", Some((1, 7)));
    let ready_before = page(&store, ready(), 5).await;
    assert_eq!(ready_before, [10, 13, 19, 3, 6]);
    let (store, _) = store.next().await;
    assert_eq!(page(&store, ready(), 5).await, ready_before);
    assert_eq!(page(&store, delayed(Some((84, 16))), 3).await, [12, 8, 4]);
}
