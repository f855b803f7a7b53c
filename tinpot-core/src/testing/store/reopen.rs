//! What a store remembers from one life to the next.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use super::queues::{delayed, page, ready};
use super::{accept, commit, execution, fence, finish, grant, lines, read, refused, with};
use crate::model::action::Action;
use crate::model::execution::Execution;
use crate::model::id::{ExecutionId, WorkerId};
use crate::model::log::LogBatch;
use crate::model::opened::{Opened, WaitingCount};
use crate::model::outcome::Outcome;
use crate::model::page::ListOptions;
use crate::model::time::Timestamp;
use crate::model::transition::Transition;
use crate::store::Store;

/// A store that outlives whoever has it open.
pub trait Reopen: Send + Sized {
    /// It, as one process has it.
    fn store(&self) -> &dyn Store;

    /// It, as the next process has it: drops this one, without closing it.
    fn reopen(self) -> impl Future<Output = Self> + Send;
}

/// A store that is closed and opened again by one process.
#[derive(Debug)]
pub struct Same<S>(pub S);

impl<S: Store> Reopen for Same<S> {
    fn store(&self) -> &dyn Store {
        &self.0
    }

    async fn reopen(self) -> Self {
        self
    }
}

/// The lives of a store, one after the other.
#[derive(Debug)]
pub struct Lives<R> {
    of: R,
    closes: bool,
}

impl<R: Reopen> Lives<R> {
    /// Each life ends with a close.
    pub fn closed(of: R) -> Self {
        Self { of, closes: true }
    }

    /// Each life ends as a crash ends it.
    pub fn crashed(of: R) -> Self {
        Self { of, closes: false }
    }

    fn store(&self) -> &dyn Store {
        self.of.store()
    }

    async fn open(&self) -> Opened {
        self.store().open().await.expect("open")
    }

    /// The next life, which has begun.
    async fn next(self) -> (Self, Opened) {
        if self.closes {
            self.store().close().await.expect("close");
        }
        let next = Self { of: self.of.reopen().await, closes: self.closes };
        let opened = next.open().await;
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

/// No number comes twice, and it is still the same store.
pub async fn epochs_grow_within_one_instance<R: Reopen>(lives: Lives<R>) {
    let mut before = lives.open().await.epoch;
    let mut lives = lives;
    for _ in 0..3 {
        let (next, opened) = lives.next().await;
        assert_eq!(opened.epoch.instance, before.instance);
        assert!(opened.epoch.number > before.number, "{before} and then {}", opened.epoch);
        (lives, before) = (next, opened.epoch);
    }
}

/// What was committed last is what is read, whatever the status.
pub async fn every_status_is_remembered<R: Reopen>(lives: Lives<R>) {
    lives.open().await;
    let all: Vec<_> = (1..=9).map(execution).collect();
    accept(lives.store(), &all.iter().collect::<Vec<_>>()).await;
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
    commit(lives.store(), &batch).await;
    let mut before = Vec::new();
    for execution in &all {
        before.push(read(lives.store(), execution.id).await);
    }
    let (lives, _) = lives.next().await;
    for execution in &before {
        assert_eq!(read(lives.store(), execution.id).await, *execution);
    }
    let newest_first = before.into_iter().rev().collect::<Vec<_>>();
    let list = lives.store().executions(&ListOptions::default()).await.expect("a list");
    assert_eq!(list, newest_first);
    // The conditions hold as before.
    refused(lives.store(), &[end(3, Outcome::Cancelled)]).await;
    refused(lives.store(), &[grant(&all[1], 20)]).await;
    commit(lives.store(), &[end(1, Outcome::Cancelled), grant(&all[0], 21)]).await;
}

/// The next coordinator knows how much waits, and where.
pub async fn what_waits_is_counted_by_queue_and_action<R: Reopen>(lives: Lives<R>) {
    assert!(lives.open().await.waiting.is_empty());
    let far = |number| with(number, |new| new.queue = "far".into());
    let late = |number| with(number, |new| new.not_before = Some(Timestamp(9)));
    let mut all = [execution(1), execution(3), execution(2), far(4), late(5), late(7), late(6)];
    let (granted, ended, back) = (execution(8), execution(10), execution(9));
    accept(lives.store(), &all.each_ref()).await;
    accept(lives.store(), &[&granted, &ended, &back]).await;
    commit(lives.store(), &[grant(&granted, 1), finish(&ended, None), grant(&back, 2)]).await;
    commit(lives.store(), &[requeue(&back, 2, Some(Timestamp(99)))]).await;
    commit(lives.store(), &[Transition::Ready { execution: all[6].id }]).await;
    all.sort_unstable_by_key(|execution| execution.id);
    let count = |queue: &str, action: &str, ready, delayed| {
        let (queue, action) = (queue.into(), action.into());
        WaitingCount { queue, action, ready, delayed }
    };
    let (lives, opened) = lives.next().await;
    let mut waiting = opened.waiting;
    waiting.sort_unstable();
    let expected =
        [count("default", "even", 2, 0), count("default", "odd", 2, 3), count("far", "even", 1, 0)];
    assert_eq!(waiting, expected);
    let cancel: Vec<_> = all.iter().map(|execution| finish(execution, None)).collect();
    commit(lives.store(), &cancel).await;
    let (_, opened) = lives.next().await;
    assert_eq!(opened.waiting, [count("default", "odd", 0, 1)]);
}

/// The next coordinator knows what workers hold, in the order in which it was accepted.
pub async fn what_is_granted_is_told<R: Reopen>(lives: Lives<R>) {
    assert!(lives.open().await.granted.is_empty());
    let all: Vec<_> = (1..=5).map(execution).collect();
    accept(lives.store(), &all.iter().collect::<Vec<_>>()).await;
    let start = Transition::Start { execution: all[1].id, fence: fence(2) };
    let batch = [grant(&all[3], 4), grant(&all[1], 2), start, grant(&all[4], 5), grant(&all[0], 1)];
    commit(lives.store(), &batch).await;
    let cancelling = Transition::Cancelling { execution: all[3].id };
    commit(lives.store(), &[requeue(&all[4], 5, None), cancelling]).await;
    lives.store().append_logs(&[lines(all[1].id, 1, 3)]).await.expect("lines");
    let mut expected = Vec::new();
    for number in [0, 1, 3] {
        expected.push(read(lives.store(), all[number].id).await);
    }
    let (lives, opened) = lives.next().await;
    assert_eq!(opened.granted, expected);
    assert_eq!(opened.granted[1].attempts[0].log_lines, 3);
    commit(lives.store(), &[finish(&all[0], Some(fence(1)))]).await;
    let (_, opened) = lives.next().await;
    assert_eq!(opened.granted, expected[1..]);
}

/// As long as the workers may go on, and no longer.
pub async fn the_longest_lease_is_that_of_a_live_attempt<R: Reopen>(lives: Lives<R>) {
    assert_eq!(lives.open().await.longest_lease, Duration::ZERO);
    let all: Vec<_> = (1..=4).map(execution).collect();
    accept(lives.store(), &all.iter().collect::<Vec<_>>()).await;
    let seconds = Duration::from_secs;
    let leases = [20, 500, 400, 300];
    let grants =
        (0..4).map(|number| grant_for(&all[number], number as u64 + 1, seconds(leases[number])));
    commit(lives.store(), &grants.collect::<Vec<_>>()).await;
    let (lives, opened) = lives.next().await;
    assert_eq!(opened.longest_lease, seconds(500));
    commit(lives.store(), &[finish(&all[1], Some(fence(2))), requeue(&all[2], 3, None)]).await;
    let (lives, opened) = lives.next().await;
    assert_eq!(opened.longest_lease, seconds(300));
    commit(lives.store(), &[requeue(&all[3], 4, None), grant_for(&all[3], 5, seconds(10))]).await;
    let (lives, opened) = lives.next().await;
    assert_eq!(opened.longest_lease, seconds(20));
    commit(lives.store(), &[finish(&all[0], Some(fence(1))), finish(&all[3], Some(fence(5)))])
        .await;
    let (_, opened) = lives.next().await;
    assert_eq!(opened.longest_lease, Duration::ZERO);
}

/// The next coordinator knows which lines are still on their way.
pub async fn open_logs_are_told<R: Reopen>(lives: Lives<R>) {
    lives.open().await;
    let all: Vec<_> = (1..=5).map(execution).collect();
    accept(lives.store(), &all.iter().collect::<Vec<_>>()).await;
    let end = |number: usize, lines| Transition::Finish {
        execution: all[number].id,
        fence: Some(fence(number as u64)),
        outcome: Outcome::Cancelled,
        ran: None,
        log_end: lines,
    };
    let grants: Vec<_> = (0..5).map(|number| grant(&all[number], number as u64)).collect();
    commit(lives.store(), &grants).await;
    lives.store().append_logs(&[lines(all[1].id, 1, 3)]).await.expect("lines");
    let mut back = requeue(&all[4], 4, None);
    if let Transition::Requeue { log_end, .. } = &mut back {
        *log_end = Some(1);
    }
    commit(lives.store(), &[end(0, Some(2)), end(1, Some(3)), end(2, None), end(3, Some(1)), back])
        .await;
    let open = |opened: &Opened| -> Vec<ExecutionId> {
        opened.open_logs.iter().map(|execution| execution.id).collect()
    };
    let (lives, opened) = lives.next().await;
    assert_eq!(open(&opened), [0, 3, 4].map(|number: usize| all[number].id));
    lives.store().append_logs(&[lines(all[0].id, 1, 2)]).await.expect("lines");
    let given_up = LogBatch { execution: all[3].id, attempt: 1, chunks: Vec::new(), ends: true };
    lives.store().append_logs(&[given_up]).await.expect("an end");
    // What is granted again is told as that.
    commit(lives.store(), &[grant(&all[4], 9)]).await;
    let (_, opened) = lives.next().await;
    assert_eq!(open(&opened), []);
    assert_eq!(opened.granted.len(), 1);
}

/// Every line, and where the next one goes.
pub async fn logs_are_remembered_and_go_on<R: Reopen>(lives: Lives<R>) {
    lives.open().await;
    let (short, long) = (execution(1), execution(2));
    accept(lives.store(), &[&short, &long]).await;
    commit(lives.store(), &[grant(&short, 1), grant(&long, 2)]).await;
    lives.store().append_logs(&[lines(short.id, 1, 2)]).await.expect("lines");
    let (mut lives, mut next) = (lives, 1);
    for count in [10, 8_000, 1, 3_000, 5] {
        lives.store().append_logs(&[lines(long.id, next, count)]).await.expect("lines");
        next += count;
        lives = lives.next().await.0;
        let again = [lines(long.id, next - 1, 1)];
        lives.store().append_logs(&again).await.expect_err("a repeat");
        let mut seq = 0;
        while let Some(last) = {
            let chunks = lives.store().logs(long.id, seq, 10_000).await.expect("a read");
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
        assert_eq!(read(lives.store(), long.id).await.log_lines(), next - 1);
    }
    assert_eq!(lives.store().logs(short.id, 1, 1_000).await.expect("a read").len(), 1);
}

/// What was offered last under each name.
pub async fn the_catalogue_is_remembered<R: Reopen>(lives: Lives<R>) {
    assert!(lives.open().await.actions.is_empty());
    let action = |name: &str, text: &str| {
        let schema = crate::Json::parse(r#"{"type": "object", "properties": {"b": {}, "a": {}}}"#);
        let action = Action::new(name).expect("a name").description(text);
        let result = crate::Json::parse(r#"{"type": "null"}"#).expect("JSON");
        let action = action.schema(schema.expect("JSON")).result_schema(result);
        Arc::new(action.timeout(Duration::from_secs(3)).priority(-2))
    };
    let offers = [("one", "first"), ("two", "é"), ("one", "second")];
    let offers = offers.map(|(name, text)| Transition::Offer(action(name, text)));
    commit(lives.store(), &offers[..1]).await;
    // A batch that is refused offers nothing.
    let bad = [Transition::Offer(action("three", "")), finish(&execution(1), None)];
    refused(lives.store(), &bad).await;
    commit(lives.store(), &offers[1..]).await;
    let (_, mut opened) = lives.next().await;
    opened.actions.sort_by(|a, b| a.name.cmp(&b.name));
    assert_eq!(opened.actions, [action("one", "second"), action("two", "é")]);
}

/// A key is not free because somebody has started again.
pub async fn keys_are_remembered<R: Reopen>(lives: Lives<R>) {
    lives.open().await;
    let key = |new: &mut Execution| new.idempotency_key = Some("the key".into());
    let (first, second) = (with(1, key), with(2, key));
    accept(lives.store(), &[&first]).await;
    let (lives, _) = lives.next().await;
    refused(lives.store(), &[Transition::Accept(second)]).await;
    let idempotency_key = Some("the key".to_owned());
    let options = ListOptions { idempotency_key, ..ListOptions::default() };
    let found = lives.store().executions(&options).await.expect("a list");
    assert_eq!(super::ids(&found), [1]);
}

/// Which queues are paused, and since when.
pub async fn paused_queues_are_remembered<R: Reopen>(lives: Lives<R>) {
    assert!(lives.open().await.paused.is_empty());
    let pause = |queue: &str, since| {
        let (queue, since) = (queue.into(), Timestamp(since));
        Transition::Pause { queue, since }
    };
    let resume = |queue: &str| Transition::Resume { queue: queue.into() };
    commit(lives.store(), &[pause("b", 5), pause("é", 7)]).await;
    // A batch that is refused pauses nothing, and resumes nothing.
    refused(lives.store(), &[pause("c", 8), finish(&execution(1), None)]).await;
    refused(lives.store(), &[resume("b"), finish(&execution(1), None)]).await;
    let (lives, mut opened) = lives.next().await;
    opened.paused.sort();
    assert_eq!(opened.paused, [("b".into(), Timestamp(5)), ("é".into(), Timestamp(7))]);
    // The last word counts, within one batch too; what is not paused can be resumed.
    commit(lives.store(), &[resume("b"), pause("b", 9), resume("é"), pause("d", 1), resume("d")])
        .await;
    commit(lives.store(), &[resume("never")]).await;
    let (_, opened) = lives.next().await;
    assert_eq!(opened.paused, [("b".into(), Timestamp(9))]);
}

/// What was a secret stays one.
pub async fn secrets_are_remembered<R: Reopen>(lives: Lives<R>) {
    lives.open().await;
    let secrets = vec!["/password".to_owned(), "/keys/0/a~1b".to_owned()];
    let parameters = r#"{"user":"me","password":"s1","keys":[{"a/b":"s2"}]}"#;
    let execution = with(1, |new| {
        new.parameters = crate::Json::parse(parameters).expect("JSON");
        new.secrets.clone_from(&secrets);
    });
    accept(lives.store(), &[&execution]).await;
    commit(lives.store(), &[grant(&execution, 1), finish(&execution, Some(fence(1)))]).await;
    let (lives, _) = lives.next().await;
    let read = read(lives.store(), execution.id).await;
    assert_eq!((&read.secrets, read.parameters.get()), (&secrets, parameters));
    let shown = r#"{"user":"me","password":"***","keys":[{"a/b":"***"}]}"#;
    assert_eq!(read.shown_parameters().get(), shown);
}

/// Ready and delayed, in order.
pub async fn queues_are_read_as_before<R: Reopen>(lives: Lives<R>) {
    lives.open().await;
    let all: Vec<_> = (1..=20)
        .map(|number: u128| {
            with(number, |new| {
                new.action = "act".into();
                new.priority = (number % 3) as i32;
                new.not_before = number.is_multiple_of(4).then_some(Timestamp(100 - number as u64));
            })
        })
        .collect();
    accept(lives.store(), &all.iter().collect::<Vec<_>>()).await;
    let ready = || ready("default", "act", Some((1, 7)));
    let ready_before = page(lives.store(), ready(), 5).await;
    assert_eq!(ready_before, [10, 13, 19, 3, 6]);
    let (lives, _) = lives.next().await;
    assert_eq!(page(lives.store(), ready(), 5).await, ready_before);
    assert_eq!(page(lives.store(), delayed(Some((84, 16))), 3).await, [12, 8, 4]);
}
