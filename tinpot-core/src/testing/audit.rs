//! The conformance suite of [`AuditSink`](crate::access::AuditSink).
//!
//! A crate that has a sink writes a [`Subject`], a factory for such subjects, and one line:
//!
//! ```ignore
//! async fn subject() -> MySubject { … }
//!
//! tinpot_core::audit_conformance!(subject);
//! ```
//!
//! The macro emits one test per case, in a module `audit_suite`. The crate needs `tokio` with
//! `macros`, `rt-multi-thread` and `time` among its dev-dependencies.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures::FutureExt;

use crate::access::{AuditDecision, AuditEvent, AuditSink, AuditTarget, AuditWho};
use crate::model::time::Timestamp;

/// A sink without events, and a view of what it has recorded.
#[async_trait]
pub trait Subject: fmt::Debug + Send + Sync {
    /// Returns the sink.
    fn sink(&self) -> Arc<dyn AuditSink>;

    /// Returns all events that were recorded, in order.
    async fn events(&self) -> Vec<AuditEvent>;
}

/// Emits one test per case of the suite of audit sinks, in a module `audit_suite`.
///
/// Takes the path of a function that returns a future of a
/// [`Subject`](crate::testing::audit::Subject).
#[macro_export]
macro_rules! audit_conformance {
    ($factory:path) => {
        $crate::audit_conformance! {
            @cases $factory:
            events_are_recorded_in_order
            everything_about_an_event_is_kept
            an_empty_call_records_nothing
            calls_at_a_time_keep_the_order_of_each
            a_dropped_call_harms_no_later_one
        }
    };
    (@cases $factory:path: $($case:ident)*) => {
        mod audit_suite {
            #[allow(unused_imports, reason = "the factory may have an absolute path")]
            use super::*;
            $(
                #[::tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    use $crate::testing::audit as suite;
                    let subject = $factory().await;
                    let case = suite::$case(&subject);
                    let patience = $crate::testing::case::PATIENCE;
                    let ran = $crate::testing::case::run(stringify!($case), patience, case);
                    if let Err(failure) = ran.await {
                        panic!("{failure}");
                    }
                }
            )*
        }
    };
}

fn event(number: u64) -> AuditEvent {
    let who = AuditWho::new("user", format!("user:{number}"), "Ada");
    AuditEvent::new(Timestamp(number), who, "token.create")
}

/// Events of calls that follow each other stay in order.
pub async fn events_are_recorded_in_order(subject: &dyn Subject) {
    let sink = subject.sink();
    let all: Vec<AuditEvent> = (1..=9).map(event).collect();
    for call in [&all[..1], &all[1..5], &all[5..]] {
        sink.record(call).await.expect("a record");
    }
    assert_eq!(subject.events().await, all);
}

/// Each field is kept, with any text in it.
pub async fn everything_about_an_event_is_kept(subject: &dyn Subject) {
    let odd = "é \"quoted\" \u{1b}[31m\n\u{0}";
    let who = AuditWho::new("user", "user:1", odd).team("billing").via("token:1");
    let mut full = AuditEvent::new(Timestamp(7), who, "cancel")
        .target(AuditTarget::new("execution", odd).team("sales"))
        .detail(odd)
        .decided(AuditDecision::Failed, odd)
        .request("192.0.2.7:443", "r-1");
    full.node = "node-1".to_owned();
    let refused = event(8).decided(AuditDecision::Refused, "no right");
    let all = [full, refused];
    subject.sink().record(&all).await.expect("a record");
    assert_eq!(subject.events().await, all);
}

/// A call without events succeeds.
pub async fn an_empty_call_records_nothing(subject: &dyn Subject) {
    subject.sink().record(&[]).await.expect("a record of nothing");
    assert!(subject.events().await.is_empty());
}

/// Calls at the same time keep all events, each call in its order.
pub async fn calls_at_a_time_keep_the_order_of_each(subject: &dyn Subject) {
    let mut tasks = Vec::new();
    for caller in 0..8_u64 {
        let sink = subject.sink();
        tasks.push(tokio::spawn(async move {
            for call in 0..4_u64 {
                let first = caller * 100 + call * 10;
                let events = [event(first), event(first + 1)];
                sink.record(&events).await.expect("a record");
            }
        }));
    }
    for task in tasks {
        task.await.expect("no panic");
    }
    let events = subject.events().await;
    assert_eq!(events.len(), 64);
    for caller in 0..8 {
        let own = events.iter().map(|event| event.time.0).filter(|time| time / 100 == caller);
        let expected = (0..4).flat_map(|call| [0, 1].map(|one| caller * 100 + call * 10 + one));
        assert_eq!(own.collect::<Vec<_>>(), expected.collect::<Vec<_>>(), "of caller {caller}");
    }
}

/// A call that is dropped while it runs does not block the next, and leaves no half event.
pub async fn a_dropped_call_harms_no_later_one(subject: &dyn Subject) {
    let sink = subject.sink();
    for number in 1..=16 {
        // Polled once.
        let events = [event(number)];
        let _ = sink.record(&events).now_or_never();
    }
    sink.record(&[event(99)]).await.expect("a record");
    let times: Vec<u64> = subject.events().await.iter().map(|event| event.time.0).collect();
    assert!(times.contains(&99), "{times:?}");
    let mut sorted = times.clone();
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!(sorted.len(), times.len(), "an event was recorded twice: {times:?}");
}
