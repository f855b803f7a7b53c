//! Logs: numbers, order and trims.

use bytes::Bytes;

use super::{Subject, refused};
use crate::access::records::{
    MAX_CALL_BYTES, MAX_ENTRIES, MAX_ENTRY_BYTES, MAX_NAME_BYTES, Records,
};
use crate::model::error::ErrorKind;

fn texts(texts: &[&'static str]) -> Vec<Bytes> {
    texts.iter().map(|text| Bytes::from_static(text.as_bytes())).collect()
}

async fn append(records: &dyn Records, log: &str, entries: &[&'static str]) -> u64 {
    records.append(log, None, &texts(entries)).await.expect("an append")
}

async fn read(records: &dyn Records, log: &str, after: u64) -> Vec<(u64, String)> {
    let entries = records.entries(log, after, 100).await.expect("a read");
    let text = |bytes: Bytes| String::from_utf8(bytes.to_vec()).expect("UTF-8");
    entries.into_iter().map(|(number, bytes)| (number, text(bytes))).collect()
}

fn numbered(first: u64, texts: &[&str]) -> Vec<(u64, String)> {
    (first..).zip(texts.iter().map(|text| (*text).to_owned())).collect()
}

/// Entries are numbered from 1 on, across calls.
pub async fn entries_are_numbered_in_order(subject: &dyn Subject) {
    let records = subject.open().await;
    assert_eq!(append(&*records, "audit", &[]).await, 0);
    assert!(read(&*records, "audit", 0).await.is_empty());
    assert_eq!(append(&*records, "audit", &["a", "b"]).await, 2);
    assert_eq!(append(&*records, "audit", &["c"]).await, 3);
    assert_eq!(append(&*records, "audit", &[]).await, 3);
    assert_eq!(read(&*records, "audit", 0).await, numbered(1, &["a", "b", "c"]));
    assert_eq!(read(&*records, "audit", 2).await, numbered(3, &["c"]));
    assert!(read(&*records, "audit", 3).await.is_empty());
    assert!(read(&*records, "audit", u64::MAX).await.is_empty());
}

/// Each log has numbers of its own.
pub async fn logs_are_kept_apart(subject: &dyn Subject) {
    let records = subject.open().await;
    append(&*records, "audit", &["a"]).await;
    assert_eq!(append(&*records, "audit.runs", &["b"]).await, 1);
    records.trim("audit", 1).await.expect("a trim");
    assert_eq!(read(&*records, "audit.runs", 0).await, numbered(1, &["b"]));
    assert!(read(&*records, "audit", 0).await.is_empty());
}

/// An append after a number needs the log to end there.
pub async fn an_end_is_compared_before_an_append(subject: &dyn Subject) {
    let records = subject.open().await;
    assert_eq!(records.append("audit", Some(0), &texts(&["a"])).await.expect("an append"), 1);
    for wrong in [0, 2, u64::MAX] {
        refused(records.append("audit", Some(wrong), &texts(&["x"])).await, ErrorKind::Conflict);
    }
    assert_eq!(records.append("audit", Some(1), &texts(&["b"])).await.expect("an append"), 2);
    assert_eq!(read(&*records, "audit", 0).await, numbered(1, &["a", "b"]));
}

/// Writers that append after what they have read leave no two entries with the same predecessor.
pub async fn one_chain_has_one_writer_at_a_time(subject: &dyn Subject) {
    let mut tasks = Vec::new();
    for _ in 0..4 {
        let records = subject.open().await;
        tasks.push(tokio::spawn(async move {
            let mut last = 0;
            for _ in 0..8 {
                loop {
                    let entry = Bytes::from(format!("after {last}"));
                    match records.append("audit", Some(last), &[entry]).await {
                        Ok(new) => {
                            last = new;
                            break;
                        }
                        Err(error) => assert_eq!(error.kind(), ErrorKind::Conflict, "{error}"),
                    }
                    last = records.append("audit", None, &[]).await.expect("the end");
                }
            }
        }));
    }
    for task in tasks {
        task.await.expect("no panic");
    }
    let all = read(&*subject.open().await, "audit", 0).await;
    let expected = (1..=32).map(|number| (number, format!("after {}", number - 1)));
    assert_eq!(all, expected.collect::<Vec<_>>());
}

/// A page has at most the entries that were asked for.
pub async fn a_log_is_read_in_pages(subject: &dyn Subject) {
    let records = subject.open().await;
    append(&*records, "audit", &["a", "b", "c"]).await;
    let page = records.entries("audit", 0, 2).await.expect("a read");
    assert_eq!(page.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [1, 2]);
    assert!(records.entries("audit", 0, 0).await.expect("a read").is_empty());
    let rest = records.entries("audit", 2, usize::MAX).await.expect("a read");
    assert_eq!(rest, [(3, Bytes::from_static(b"c"))]);
}

/// A trim removes what it says, once or twice, and nothing else.
pub async fn a_trim_removes_the_oldest_entries(subject: &dyn Subject) {
    let records = subject.open().await;
    records.trim("audit", 5).await.expect("a trim of nothing");
    append(&*records, "audit", &["a", "b", "c", "d"]).await;
    for up_to in [2, 2, 1, 0] {
        records.trim("audit", up_to).await.expect("a trim");
        assert_eq!(read(&*records, "audit", 0).await, numbered(3, &["c", "d"]));
    }
    assert_eq!(read(&*records, "audit", 3).await, numbered(4, &["d"]));
}

/// An empty log does not start again.
pub async fn numbers_go_on_after_everything_is_trimmed(subject: &dyn Subject) {
    let records = subject.open().await;
    append(&*records, "audit", &["a", "b"]).await;
    records.trim("audit", u64::MAX).await.expect("a trim");
    assert_eq!(append(&*records, "audit", &[]).await, 2);
    drop(records);
    let records = subject.open().await;
    assert_eq!(append(&*records, "audit", &["c"]).await, 3);
    assert_eq!(read(&*records, "audit", 0).await, numbered(3, &["c"]));
}

/// Calls beyond the bounds are refused, and nothing of them is there.
pub async fn too_many_entries_are_refused(subject: &dyn Subject) {
    let records = subject.open().await;
    let entries = |number: usize, size: usize| vec![Bytes::from(vec![b'x'; size]); number];
    let too_many = [
        entries(1, MAX_ENTRY_BYTES + 1),
        entries(MAX_ENTRIES + 1, 1),
        entries(MAX_CALL_BYTES / MAX_ENTRY_BYTES + 1, MAX_ENTRY_BYTES),
    ];
    for wrong in &too_many {
        refused(records.append("audit", None, wrong).await, ErrorKind::InvalidInput);
    }
    let long = "x".repeat(MAX_NAME_BYTES + 1);
    for log in ["", &*long] {
        refused(records.append(log, None, &entries(1, 1)).await, ErrorKind::InvalidInput);
    }
    let most = records.append("audit", None, &entries(MAX_ENTRIES, 1)).await.expect("an append");
    assert_eq!(most, MAX_ENTRIES as u64);
    records.append("audit", None, &entries(1, 1)).await.expect("an append");
    let page = records.entries("audit", 0, usize::MAX).await.expect("a read");
    assert_eq!(page.len(), MAX_ENTRIES);
}

/// Logs outlive the handle that wrote them.
pub async fn logs_are_there_after_a_reopening(subject: &dyn Subject) {
    let records = subject.open().await;
    append(&*records, "audit", &["a", "b"]).await;
    drop(records);
    let records = subject.open().await;
    assert_eq!(read(&*records, "audit", 0).await, numbered(1, &["a", "b"]));
    assert_eq!(append(&*records, "audit", &["c"]).await, 3);
}
