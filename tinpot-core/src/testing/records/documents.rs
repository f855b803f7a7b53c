//! Documents: conditions, atomicity, lists and bounds.

use futures::future::join_all;

use super::{Subject, create, refused, text, text_of};
use crate::access::records::{
    Change, MAX_CHANGES, MAX_DOCUMENT_BYTES, MAX_NAME_BYTES, Record, Records,
};
use crate::model::error::ErrorKind;

/// A document has the state of its last change.
pub async fn documents_are_created_replaced_and_removed(subject: &dyn Subject) {
    let records = subject.open().await;
    assert_eq!(records.change(&[]).await.expect("a revision"), 0);
    let first = create(&*records, "user", "ada", "one").await;
    assert_eq!(first, 1);
    let found = records.get("user", "ada").await.expect("a read");
    assert_eq!(found, Some(Record::new("user", "ada", first, "one")));
    assert_eq!(records.get("group", "ada").await.expect("a read"), None);
    assert_eq!(records.get("user", "ad").await.expect("a read"), None);
    let second = records.change(&[Change::replace("user", "ada", first, "two")]).await;
    let second = second.expect("a change");
    assert_eq!(second, 2);
    assert_eq!(text(&*records, "user", "ada").await.as_deref(), Some("two"));
    let third = records.change(&[Change::remove("user", "ada", second)]).await.expect("a change");
    assert_eq!((third, text(&*records, "user", "ada").await), (3, None));
    assert_eq!(records.change(&[]).await.expect("a revision"), 3);
}

/// Each of the ways to be wrong about a version is a conflict, and changes nothing.
pub async fn a_change_needs_the_version_that_it_replaces(subject: &dyn Subject) {
    let records = subject.open().await;
    let version = create(&*records, "user", "ada", "one").await;
    for change in [
        Change::create("user", "ada", "x"),
        Change::replace("user", "ada", version + 1, "x"),
        Change::replace("user", "bob", version, "x"),
        Change::remove("user", "ada", version + 1),
        Change::remove("user", "bob", version),
    ] {
        refused(records.change(&[change]).await, ErrorKind::Conflict);
    }
    assert_eq!(text(&*records, "user", "ada").await.as_deref(), Some("one"));
    assert_eq!(text(&*records, "user", "bob").await, None);
    assert_eq!(records.change(&[]).await.expect("a revision"), version);
}

/// A wrong version of one document leaves the others of the call alone.
pub async fn a_call_is_applied_whole_or_not_at_all(subject: &dyn Subject) {
    let records = subject.open().await;
    let version = create(&*records, "user", "ada", "one").await;
    let wrong = [
        Change::create("user", "bob", "new"),
        Change::remove("user", "ada", version),
        Change::replace("user", "eve", 7, "x"),
    ];
    refused(records.change(&wrong).await, ErrorKind::Conflict);
    assert_eq!(text(&*records, "user", "ada").await.as_deref(), Some("one"));
    assert_eq!(text(&*records, "user", "bob").await, None);
    let right = &wrong[..2];
    let both = records.change(right).await.expect("a change");
    assert_eq!(text(&*records, "user", "ada").await, None);
    let bob = records.get("user", "bob").await.expect("a read").expect("it is there");
    assert_eq!(bob.version, both);
}

/// Two changes of one document in one call are a conflict.
pub async fn one_call_names_a_document_once(subject: &dyn Subject) {
    let records = subject.open().await;
    let twice = [Change::create("user", "ada", "one"), Change::create("user", "ada", "two")];
    refused(records.change(&twice).await, ErrorKind::Conflict);
    assert_eq!(text(&*records, "user", "ada").await, None);
}

/// A document that was removed and created again does not have a version of before.
pub async fn versions_are_never_used_again(subject: &dyn Subject) {
    let records = subject.open().await;
    let first = create(&*records, "user", "ada", "one").await;
    let removed = records.change(&[Change::remove("user", "ada", first)]).await.expect("a change");
    drop(records);
    let records = subject.open().await;
    let second = create(&*records, "user", "ada", "one").await;
    assert!(first < removed && removed < second, "{first} {removed} {second}");
    let late = records.change(&[Change::replace("user", "ada", first, "x")]).await;
    refused(late, ErrorKind::Conflict);
}

/// Of many calls that replace the same version, one succeeds.
pub async fn one_of_many_writers_wins(subject: &dyn Subject) {
    let handles = [subject.open().await, subject.open().await];
    let version = create(&*handles[0], "user", "ada", "no writer").await;
    let tries = (0..16_usize).map(|number| {
        let records = handles[number % 2].clone();
        let change = Change::replace("user", "ada", version, format!("{number}"));
        tokio::spawn(async move { records.change(&[change]).await })
    });
    let mut winners = Vec::new();
    for (number, done) in join_all(tries).await.into_iter().enumerate() {
        match done.expect("no panic") {
            Ok(_) => winners.push(number.to_string()),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Conflict, "{error}"),
        }
    }
    assert_eq!(winners.len(), 1, "{winners:?}");
    assert_eq!(text(&*handles[1], "user", "ada").await, winners.pop());
}

/// Writers that read, change and try again lose nothing.
pub async fn no_increment_is_lost(subject: &dyn Subject) {
    let records = subject.open().await;
    create(&*records, "counter", "one", "0").await;
    let mut tasks = Vec::new();
    for _ in 0..4 {
        let records = subject.open().await;
        tasks.push(tokio::spawn(async move {
            for _ in 0..8 {
                loop {
                    let found = records.get("counter", "one").await.expect("a read");
                    let found = found.expect("it is there");
                    let next: u32 = text_of(&found).parse().expect("a number");
                    let next = (next + 1).to_string();
                    let change = Change::replace("counter", "one", found.version, next);
                    match records.change(&[change]).await {
                        Ok(_) => break,
                        Err(error) => assert_eq!(error.kind(), ErrorKind::Conflict, "{error}"),
                    }
                }
            }
        }));
    }
    for task in tasks {
        task.await.expect("no panic");
    }
    assert_eq!(text(&*records, "counter", "one").await.as_deref(), Some("32"));
}

/// Lists have one kind, in the order of bytes, page by page.
pub async fn documents_are_listed_in_the_order_of_their_names(subject: &dyn Subject) {
    let records = subject.open().await;
    for id in ["b", "é", "a", "ab", "B"] {
        create(&*records, "user", id, id).await;
    }
    for kind in ["use", "user2", "userb"] {
        create(&*records, kind, "a", "another kind").await;
    }
    let names = |list: Vec<Record>| -> Vec<String> {
        list.into_iter().map(|record| record.id.to_string()).collect()
    };
    let page =
        async |after: &str, limit| names(records.list("user", after, limit).await.expect("a list"));
    assert_eq!(page("", 10).await, ["B", "a", "ab", "b", "é"]);
    assert_eq!(page("", 2).await, ["B", "a"]);
    assert_eq!(page("a", 2).await, ["ab", "b"]);
    assert_eq!(page("aa", usize::MAX).await, ["ab", "b", "é"]);
    assert!(page("é", 2).await.is_empty());
    assert!(page("", 0).await.is_empty());
    assert!(records.list("nothing", "", 10).await.expect("a list").is_empty());
}

/// Documents and names are any bytes and any text.
pub async fn documents_keep_every_byte(subject: &dyn Subject) {
    let records = subject.open().await;
    let id = "a\u{0}b 'c' %_\n\u{1F980}";
    let bytes: Vec<u8> = (0..=255).cycle().take(MAX_DOCUMENT_BYTES).collect();
    let changes =
        [Change::create("any", id, bytes.clone()), Change::create("any", "empty", Vec::new())];
    records.change(&changes).await.expect("a change");
    let found = records.get("any", id).await.expect("a read").expect("it is there");
    assert_eq!((&*found.id, &found.document[..]), (id, &bytes[..]));
    let empty = records.get("any", "empty").await.expect("a read").expect("it is there");
    assert!(empty.document.is_empty());
}

/// Calls beyond the bounds are refused, and those at the bounds are taken.
pub async fn too_much_is_refused(subject: &dyn Subject) {
    let records = subject.open().await;
    let long = "x".repeat(MAX_NAME_BYTES + 1);
    let changes = |number: usize, size: usize| -> Vec<Change> {
        let change = |id: usize| Change::create("user", id.to_string(), vec![b'x'; size]);
        (0..number).map(change).collect()
    };
    for wrong in [
        changes(1, MAX_DOCUMENT_BYTES + 1),
        changes(MAX_CHANGES + 1, 1),
        changes(MAX_CHANGES, MAX_DOCUMENT_BYTES),
        vec![Change::create(&*long, "a", "")],
        vec![Change::create("user", &*long, "")],
        vec![Change::create("", "a", "")],
        vec![Change::create("user", "", "")],
    ] {
        refused(records.change(&wrong).await, ErrorKind::InvalidInput);
    }
    assert!(records.list("user", "", 10).await.expect("a list").is_empty());
    let longest = &long[1..];
    records.change(&[Change::create(longest, longest, "")]).await.expect("the longest names");
    records.change(&changes(MAX_CHANGES, 1)).await.expect("the most changes");
    let all = records.list("user", "", MAX_CHANGES + 1).await.expect("a list");
    assert_eq!(all.len(), MAX_CHANGES);
}

/// Documents outlive the handle that wrote them.
pub async fn documents_are_there_after_a_reopening(subject: &dyn Subject) {
    let records = subject.open().await;
    let version = create(&*records, "user", "ada", "one").await;
    drop(records);
    let records = subject.open().await;
    let found = records.get("user", "ada").await.expect("a read");
    assert_eq!(found, Some(Record::new("user", "ada", version, "one")));
    assert_eq!(create(&*records, "user", "bob", "two").await, version + 1);
}
