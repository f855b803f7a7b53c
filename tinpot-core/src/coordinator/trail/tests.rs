use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;

use super::{Trail, WAITING};
use crate::access::{AuditEvent, AuditSink, Caller};
use crate::model::error::{Error, ErrorKind, Result};

/// A sink that can be closed.
#[derive(Clone, Debug)]
struct Gate {
    events: Arc<Mutex<usize>>,
    is_open: watch::Sender<bool>,
}

#[async_trait]
impl AuditSink for Gate {
    async fn record(&self, events: &[AuditEvent]) -> Result<()> {
        if !*self.is_open.borrow() {
            return Err(Error::new(ErrorKind::StorageFull, "the disk is full"));
        }
        *self.events.lock().expect("no panic") += events.len();
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn submissions_wait_for_a_full_audit_and_cancels_do_not() {
    let gate = Gate { events: Arc::default(), is_open: watch::channel(false).0 };
    let (trail, writer) = Trail::new(Arc::new(gate.clone()), None);
    tokio::spawn(writer.run());
    let caller = Arc::new(Caller::new("user:1"));
    for _ in 0..WAITING - 1 {
        trail.begin(&caller, "run").await.expect("room").done();
    }
    // One that is taken back makes room for another.
    trail.begin(&caller, "run").await.expect("room").withdraw();
    trail.room().await.expect("room");
    trail.begin(&caller, "run").await.expect("room").done();
    let refused = trail.begin(&caller, "run").await.expect_err("no room");
    assert_eq!(refused.kind(), ErrorKind::Overloaded);
    assert!(refused.message().contains("the disk is full"), "{refused}");
    assert_eq!(trail.problem().as_deref(), Some("the disk is full"));
    trail.begin_now(&caller, "cancel").done();
    // The next one waits until there is room.
    let (run, opened) = tokio::join!(trail.begin(&caller, "run"), async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        gate.is_open.send_replace(true);
    });
    let () = opened;
    run.expect("room").done();
    trail.flush().await;
    assert_eq!(*gate.events.lock().expect("no panic"), WAITING + 2);
    assert_eq!(trail.problem(), None);
}
