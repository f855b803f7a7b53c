//! `changed`: what others have written.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Subject, create};
use crate::access::records::{Change, Changed, MAX_CHANGES, Records};
use crate::model::error::ErrorKind;

fn names(changed: &Changed) -> Vec<&str> {
    changed.records.iter().map(|record| &*record.id).collect()
}

fn removed(changed: &Changed) -> Vec<&str> {
    changed.removed.iter().map(|(_, id)| &**id).collect()
}

/// A reader sees each document once, with its present state, in the order of its last change.
pub async fn changes_are_told_after_a_revision(subject: &dyn Subject) {
    let records = subject.open().await;
    let nothing = records.changed(0).await.expect("changes");
    assert_eq!(nothing, Changed::default());
    let ada = create(&*records, "user", "ada", "one").await;
    create(&*records, "group", "bob", "one").await;
    let all = records.changed(0).await.expect("changes");
    assert_eq!((names(&all), all.revision, all.is_reset), (vec!["ada", "bob"], 2, false));
    records.change(&[Change::replace("user", "ada", ada, "two")]).await.expect("a change");
    let all = records.changed(0).await.expect("changes");
    assert_eq!((names(&all), all.revision), (vec!["bob", "ada"], 3));
    assert_eq!(&all.records[1].document[..], b"two");
    let later = records.changed(2).await.expect("changes");
    assert_eq!((names(&later), later.revision), (vec!["ada"], 3));
    let none = records.changed(3).await.expect("changes");
    assert_eq!(none, Changed { revision: 3, ..Changed::default() });
}

/// A removed document is reported as removed, unless it is there again.
pub async fn removed_documents_are_told(subject: &dyn Subject) {
    let records = subject.open().await;
    let ada = create(&*records, "user", "ada", "one").await;
    let bob = create(&*records, "user", "bob", "one").await;
    let both = [Change::remove("user", "ada", ada), Change::remove("user", "bob", bob)];
    let gone = records.change(&both).await.expect("a change");
    let changed = records.changed(bob).await.expect("changes");
    assert_eq!((names(&changed), removed(&changed)), (vec![], vec!["ada", "bob"]));
    create(&*records, "user", "bob", "two").await;
    let changed = records.changed(bob).await.expect("changes");
    assert_eq!((names(&changed), removed(&changed)), (vec!["bob"], vec!["ada"]));
    let changed = records.changed(gone).await.expect("changes");
    assert_eq!((names(&changed), removed(&changed)), (vec!["bob"], vec![]));
}

/// One process learns what another has written.
pub async fn changes_of_other_processes_are_told(subject: &dyn Subject) {
    let (one, other) = (subject.open().await, subject.open().await);
    let ada = create(&*one, "user", "ada", "one").await;
    let changed = other.changed(0).await.expect("changes");
    assert_eq!((names(&changed), changed.revision), (vec!["ada"], ada));
    let gone = other.change(&[Change::remove("user", "ada", ada)]).await.expect("a change");
    let changed = one.changed(ada).await.expect("changes");
    assert_eq!((removed(&changed), changed.revision), (vec!["ada"], gone));
}

/// A reader that follows the changes while others write knows in the end what a list says.
pub async fn a_reader_of_changes_misses_nothing(subject: &dyn Subject) {
    let done = Arc::new(AtomicBool::new(false));
    let records = subject.open().await;
    let (mut known, mut revision) = (BTreeMap::new(), 0);
    // The reader knows a document of each writer, which is not there in the end.
    for writer in 0..3_u32 {
        create(&*records, "user", &format!("{writer}-2"), "first").await;
    }
    for record in records.changed(revision).await.expect("changes").records {
        revision = record.version;
        known.insert((record.kind.clone(), record.id.clone()), record);
    }
    let mut writers = Vec::new();
    for writer in 0..3_u32 {
        let records = subject.open().await;
        writers.push(tokio::spawn(async move {
            for number in 0..20_u32 {
                let id = format!("{writer}-{}", number % 4);
                let found = records.get("user", &id).await.expect("a read");
                let version = found.map_or(0, |record| record.version);
                let change = match version {
                    0 => Change::create("user", &*id, number.to_string()),
                    version if number % 3 == 0 => Change::remove("user", &*id, version),
                    version => Change::replace("user", &*id, version, number.to_string()),
                };
                let more = Change::create("more", format!("{writer}-{number}"), "x");
                records.change(&[change, more]).await.expect("a change");
            }
        }));
    }
    let is_done = done.clone();
    let reader = tokio::spawn(async move {
        loop {
            let was_done = is_done.load(Ordering::SeqCst);
            let changed = records.changed(revision).await.expect("changes");
            assert!(!changed.is_reset, "it has followed all the time");
            for key in changed.removed {
                known.remove(&key);
            }
            for record in changed.records {
                known.insert((record.kind.clone(), record.id.clone()), record);
            }
            let moved = changed.revision != revision;
            revision = changed.revision;
            if was_done && !moved {
                return known;
            }
            tokio::task::yield_now().await;
        }
    });
    for writer in writers {
        writer.await.expect("no panic");
    }
    done.store(true, Ordering::SeqCst);
    let known = reader.await.expect("no panic");
    let records = subject.open().await;
    for kind in ["more", "user"] {
        let listed = records.list(kind, "", 1_000).await.expect("a list");
        let followed: Vec<_> =
            known.values().filter(|record| &*record.kind == kind).cloned().collect();
        assert_eq!(followed, listed, "of kind {kind}");
        assert!(!listed.is_empty());
    }
}

/// A reader that is ahead of the store, such as after a restored backup, starts again.
pub async fn revisions_that_are_not_known_reset_the_reader(subject: &dyn Subject) {
    let records = subject.open().await;
    create(&*records, "user", "ada", "one").await;
    let changed = records.changed(99).await.expect("changes");
    assert_eq!(changed, Changed { revision: 1, is_reset: true, ..Changed::default() });
}

/// Many changes come in pages of whole revisions.
pub async fn many_changes_come_in_pages(subject: &dyn Subject) {
    let records = subject.open().await;
    let calls = 5;
    for call in 0..calls {
        let change = |number| Change::create("user", format!("{call}-{number:04}"), "x");
        let changes: Vec<Change> = (0..MAX_CHANGES - 1).map(change).collect();
        records.change(&changes).await.expect("a change");
    }
    let (mut revision, mut seen, mut pages) = (0, 0, 0);
    while revision < calls {
        let page = records.changed(revision).await.expect("changes");
        assert!(page.records.len() <= 2 * MAX_CHANGES, "{}", page.records.len());
        assert_eq!(page.records.len() % (MAX_CHANGES - 1), 0, "a revision was torn");
        assert!(page.revision > revision, "no progress after {revision}");
        seen += page.records.len();
        revision = page.revision;
        pages += 1;
    }
    assert_eq!(seen, calls as usize * (MAX_CHANGES - 1));
    assert!(pages > 1, "all in one page");
    let stale = records.change(&[Change::create("user", "0-0000", "x")]).await;
    assert_eq!(stale.expect_err("it is there").kind(), ErrorKind::Conflict);
}

/// A reader notices changes of others by the stamp, if there is one.
pub async fn stamps_tell_of_changes(subject: &dyn Subject) {
    let (records, other) = (subject.open().await, subject.open().await);
    // Stores that are opened by their first call have a stamp from then on.
    records.changed(0).await.expect("changes");
    other.changed(0).await.expect("changes");
    let mut version = 0;
    let mut seen = vec![records.stamp()];
    for number in 0..4 {
        let writer = if number % 2 == 0 { &other } else { &records };
        let change = Change::replace("user", "ada", version, "x");
        version = writer.change(&[change]).await.expect("a change");
        let stamp = records.stamp();
        assert!(stamp.is_none() || !seen.contains(&stamp), "{stamp:?} was there: {seen:?}");
        assert_eq!(stamp, records.stamp(), "nothing has changed");
        seen.push(stamp);
    }
}
