//! The chain of the audit.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tinpot_access::{
    AUDIT_LOG, AuditCopy, AuditCopyTarget, AuditQuery, AuditReport, ChainAudit, IdentityKey,
    RUNS_LOG, RingSuite, verify_audit,
};
use tinpot_core::access::records::{Change, Changed, Record};
use tinpot_core::access::{
    AuditDecision, AuditEvent, AuditSink, AuditTarget, AuditWho, MemoryRecords, Records,
};
use tinpot_core::seal::Suite;
use tinpot_core::testing::audit::Subject;
use tinpot_core::{ErrorKind, Result, Timestamp};

use crate::support::by;

#[derive(Debug)]
struct Chain {
    audit: ChainAudit,
}

#[async_trait]
impl Subject for Chain {
    fn sink(&self) -> Arc<dyn AuditSink> {
        Arc::new(self.audit.clone())
    }

    async fn events(&self) -> Vec<AuditEvent> {
        let entries = self.audit.entries(AUDIT_LOG, 0, 1_000).await.expect("entries");
        let event = |mut event: AuditEvent| {
            // The chain adds its own name where there is none.
            if event.node == "here" {
                event.node.clear();
            }
            event
        };
        entries.into_iter().map(|entry| event(entry.event)).collect()
    }
}

fn records() -> Arc<dyn Records> {
    Arc::new(MemoryRecords::new())
}

#[allow(clippy::unused_async, reason = "it starts a task")]
async fn chain() -> Chain {
    Chain { audit: ChainAudit::start(records(), "here") }
}

tinpot_core::audit_conformance!(chain);

fn event(number: u64, what: &str) -> AuditEvent {
    AuditEvent::new(Timestamp(number), AuditWho::new("user", "user:1", "ada"), what)
}

async fn record(audit: &ChainAudit, times: std::ops::Range<u64>) {
    let events: Vec<AuditEvent> = times.map(|time| event(time, "token.create")).collect();
    audit.record(&events).await.expect("a record");
}

async fn verify(records: &Arc<dyn Records>) -> AuditReport {
    verify_audit(records, AUDIT_LOG).await.expect("a report")
}

/// Records of which one entry is another, or the last ones are missing.
#[derive(Debug)]
struct Forged {
    records: Arc<dyn Records>,
    entry: u64,
    by: Option<(&'static str, &'static str)>,
}

#[async_trait]
impl Records for Forged {
    async fn change(&self, changes: &[Change]) -> Result<u64> {
        self.records.change(changes).await
    }

    async fn get(&self, kind: &str, id: &str) -> Result<Option<Record>> {
        self.records.get(kind, id).await
    }

    async fn list(&self, kind: &str, after: &str, limit: usize) -> Result<Vec<Record>> {
        self.records.list(kind, after, limit).await
    }

    async fn changed(&self, after: u64) -> Result<Changed> {
        self.records.changed(after).await
    }

    fn stamp(&self) -> Option<u64> {
        self.records.stamp()
    }

    async fn append(&self, log: &str, after: Option<u64>, entries: &[Bytes]) -> Result<u64> {
        self.records.append(log, after, entries).await
    }

    async fn entries(&self, log: &str, after: u64, limit: usize) -> Result<Vec<(u64, Bytes)>> {
        let mut entries = self.records.entries(log, after, limit).await?;
        match self.by {
            Some((text, other)) => {
                for (_, bytes) in entries.iter_mut().filter(|(number, _)| *number == self.entry) {
                    let forged = String::from_utf8_lossy(bytes).replace(text, other);
                    assert_ne!(forged.as_bytes(), &bytes[..], "{text} is not there");
                    *bytes = forged.into();
                }
            }
            None => entries.retain(|(number, _)| *number != self.entry),
        }
        Ok(entries)
    }

    async fn trim(&self, log: &str, up_to: u64) -> Result<()> {
        self.records.trim(log, up_to).await
    }
}

#[tokio::test]
async fn a_whole_chain_is_verified_and_every_change_of_it_is_found() {
    let records = records();
    let audit = ChainAudit::start(records.clone(), "here");
    let empty = verify(&records).await;
    assert_eq!((empty.entries, empty.last, empty.fault), (0, 0, None));
    record(&audit, 100..110).await;
    let whole = verify(&records).await;
    assert_eq!((whole.entries, whole.first, whole.last), (10, 1, 10));
    assert_eq!((whole.digest.len(), &whole.fault), (64, &None));
    for (entry, by, found_at) in [
        (4, Some(("\"time\":103", "\"time\":203")), 5),
        (4, Some(("\"n\":4", "\"n\":40")), 4),
        (4, Some(("\"ada\"", "\"eve\"")), 5),
        (4, Some(("{", "")), 4),
        (1, Some(("prev\":\"0", "prev\":\"1")), 1),
        (4, None, 5),
        (1, None, 2),
        (10, None, 10),
    ] {
        let forged: Arc<dyn Records> = Arc::new(Forged { records: records.clone(), entry, by });
        let report = verify(&forged).await;
        let fault = report.fault.unwrap_or_else(|| panic!("{entry} {by:?} was not found"));
        assert_eq!(fault.entry, found_at, "{entry} {by:?}: {fault:?}");
    }
    // The last entry can only be compared with what was logged outside.
    let by = Some(("\"ada\"", "\"eve\""));
    let forged: Arc<dyn Records> = Arc::new(Forged { records: records.clone(), entry: 10, by });
    assert_ne!(verify(&forged).await.digest, whole.digest);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_processes_make_one_chain() {
    let records = records();
    let nodes: Vec<ChainAudit> =
        (0..4).map(|node| ChainAudit::start(records.clone(), &format!("node-{node}"))).collect();
    let mut tasks = Vec::new();
    for audit in nodes {
        tasks.push(tokio::spawn(async move {
            for call in 0..20 {
                record(&audit, call..call + 2).await;
            }
        }));
    }
    for task in tasks {
        task.await.expect("no panic");
    }
    let report = verify(&records).await;
    assert_eq!((report.entries, report.last, report.fault), (160, 160, None));
}

#[tokio::test]
async fn a_chain_goes_on_after_a_restart() {
    let records = records();
    record(&ChainAudit::start(records.clone(), "here"), 0..3).await;
    record(&ChainAudit::start(records.clone(), "here"), 3..6).await;
    let report = verify(&records).await;
    assert_eq!((report.entries, report.fault), (6, None));
}

#[tokio::test]
async fn a_trim_from_the_front_leaves_a_chain_and_says_what_went() {
    let records = records();
    let audit = ChainAudit::start(records.clone(), "here");
    record(&audit, 0..10).await;
    let trim =
        async |before| audit.trim(&by(), AUDIT_LOG, Timestamp(before)).await.expect("a trim");
    assert_eq!(trim(0).await, None);
    assert_eq!(trim(4).await, Some(4));
    let report = verify(&records).await;
    assert_eq!((report.entries, report.first, report.last, report.fault), (7, 5, 11, None));
    let entries = audit.entries(AUDIT_LOG, 10, 10).await.expect("entries");
    let said = &entries[0].event;
    assert_eq!((&*said.what, &*said.who.kind), ("audit.trim", "operator"));
    assert!(said.detail.starts_with("audit up to 4, digest "), "{}", said.detail);
    // What is cut without a trim is found: of the rest at the front, and at the end.
    records.trim(AUDIT_LOG, 6).await.expect("a cut");
    let fault = verify(&records).await.fault.expect("a fault");
    assert_eq!((fault.entry, fault.why), (7, "entries before it are missing"));
}

#[tokio::test]
async fn entries_that_cannot_be_read_are_trimmed_with_what_is_behind_them() {
    let records = records();
    let broken = [Bytes::from_static(b"no entry"), Bytes::from_static(b"{}")];
    records.append(RUNS_LOG, None, &broken).await.expect("an append");
    let audit = ChainAudit::start(records.clone(), "here");
    audit.record(&[event(5, "run")]).await.expect("a record");
    records.append(RUNS_LOG, None, &broken[..1]).await.expect("an append");
    audit.record(&[event(9, "run")]).await.expect("a record");
    let trim = async |before| audit.trim(&by(), RUNS_LOG, Timestamp(before)).await.expect("a trim");
    assert_eq!(trim(5).await, None, "nothing says that they are older");
    assert_eq!(trim(9).await, Some(3));
    let numbers = async || {
        let left = records.entries(RUNS_LOG, 0, 10).await.expect("entries");
        left.iter().map(|(number, _)| *number).collect::<Vec<_>>()
    };
    assert_eq!(numbers().await, [4, 5]);
    assert_eq!(trim(10).await, Some(5));
    assert_eq!(numbers().await, [0; 0]);
}

#[tokio::test]
async fn a_trim_of_everything_and_one_that_did_not_end_leave_a_chain() {
    let records = records();
    let audit = ChainAudit::start(records.clone(), "here");
    audit.record(&[event(1, "run"), event(2, "call")]).await.expect("a record");
    let trimmed = audit.trim(&by(), RUNS_LOG, Timestamp(9)).await.expect("a trim");
    assert_eq!(trimmed, Some(2));
    let verify_runs = async || verify_audit(&records, RUNS_LOG).await.expect("a report");
    let report = verify_runs().await;
    assert_eq!((report.entries, report.last, report.fault), (0, 2, None));
    let again = ChainAudit::start(records.clone(), "here");
    again.record(&[event(10, "run"), event(11, "run"), event(12, "run")]).await.expect("more");
    let report = verify_runs().await;
    assert_eq!((report.entries, report.first, report.last, report.fault), (3, 3, 5, None));
    // The document about a trim is there, and the entries are, too.
    let before = records.get("audit_anchor", RUNS_LOG).await.expect("a read").expect("an anchor");
    let copy = MemoryRecords::new();
    let entries = records.entries(RUNS_LOG, 0, 10).await.expect("entries");
    again.trim(&by(), RUNS_LOG, Timestamp(12)).await.expect("a trim");
    let after = records.get("audit_anchor", RUNS_LOG).await.expect("a read").expect("an anchor");
    assert_ne!(before.document, after.document);
    // As after a crash: the numbers of the entries begin at 3.
    copy.append(RUNS_LOG, None, &[Bytes::from_static(b"1"), Bytes::from_static(b"2")])
        .await
        .expect("an append");
    let entries: Vec<Bytes> = entries.into_iter().map(|(_, bytes)| bytes).collect();
    copy.append(RUNS_LOG, None, &entries).await.expect("an append");
    copy.trim(RUNS_LOG, 2).await.expect("a trim");
    copy.change(&[Change::create("audit_anchor", RUNS_LOG, after.document)]).await.expect("one");
    let copy: Arc<dyn Records> = Arc::new(copy);
    let report = verify_audit(&copy, RUNS_LOG).await.expect("a report");
    assert_eq!((report.entries, report.first, report.fault), (3, 3, None));
}

#[tokio::test]
async fn runs_have_a_log_of_their_own() {
    let records = records();
    let audit = ChainAudit::start(records.clone(), "here");
    let all = ["run", "token.create", "call", "cancel"].map(|what| event(1, what));
    audit.record(&all).await.expect("a record");
    let whats = async |log| {
        let entries = audit.entries(log, 0, 10).await.expect("entries");
        entries.iter().map(|entry| entry.event.what.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(whats(AUDIT_LOG).await, ["token.create", "cancel"]);
    assert_eq!(whats(RUNS_LOG).await, ["run", "call"]);
}

#[tokio::test]
async fn long_texts_are_cut_and_the_entry_stays_small() {
    let records = records();
    let audit = ChainAudit::start(records.clone(), &"n".repeat(5_000));
    // In JSON each of these bytes takes six.
    let long = "\u{1}".repeat(70_000);
    let who = AuditWho::new(&*long, &*long, &*long).team(&*long).via(&*long);
    let event = AuditEvent::new(Timestamp(1), who, &*long)
        .target(AuditTarget::new(&*long, &*long).team(&*long))
        .detail("é".repeat(70_000))
        .decided(AuditDecision::Refused, &*long)
        .request(&*long, &*long);
    audit.record(&[event]).await.expect("a record");
    let entries = records.entries(AUDIT_LOG, 0, 10).await.expect("entries");
    assert!(entries[0].1.len() <= 2_048, "{}", entries[0].1.len());
    assert_eq!(verify(&records).await.fault, None);
}

#[tokio::test]
async fn pages_are_read_from_the_newest_entry_to_the_oldest() {
    let records = records();
    let audit = ChainAudit::start(records.clone(), "here");
    let read = async |query: &AuditQuery| audit.page(AUDIT_LOG, query).await.expect("a page");
    assert_eq!(read(&AuditQuery::new()).await.next, None);
    record(&audit, 1..2_501).await;
    let (mut numbers, mut query, mut pages) = (Vec::new(), AuditQuery::new().limit(900), 0);
    loop {
        let page = read(&query).await;
        numbers.extend(page.entries.iter().map(|entry| entry.n));
        pages += 1;
        query.before = page.next;
        if page.next.is_none() {
            break;
        }
    }
    assert_eq!(pages, 3);
    assert!(numbers.iter().copied().eq((1..=2_500).rev()));
    // The limit may end with the oldest entry.
    let mut query = AuditQuery::new().limit(2);
    query.before = Some(3);
    let page = read(&query).await;
    assert_eq!((page.entries[1].n, page.next), (1, None));
    records.trim(AUDIT_LOG, 2_000).await.expect("a trim");
    query.before = Some(2_002);
    let page = read(&query).await;
    assert_eq!((page.entries.len(), page.next), (1, None));
}

#[tokio::test]
async fn pages_have_only_what_is_asked_for() {
    let records = records();
    let audit = ChainAudit::start(records.clone(), "here");
    let eve = AuditWho::new("user", "user:2", "eve").team("red");
    let of_eve = AuditEvent::new(Timestamp(3), eve, "token.revoke");
    let events = [event(1, "cancel"), event(2, "token.create"), of_eve, event(4, "queue.pause")];
    audit.record(&events).await.expect("a record");
    let numbers = async |change: &dyn Fn(&mut AuditQuery)| {
        let mut query = AuditQuery::new();
        change(&mut query);
        let page = audit.page(AUDIT_LOG, &query).await.expect("a page");
        assert_eq!(page.next, None);
        page.entries.iter().map(|entry| entry.n).collect::<Vec<_>>()
    };
    assert_eq!(numbers(&|query| query.who = Some("eve".into())).await, [3]);
    assert_eq!(numbers(&|query| query.who = Some("user:1".into())).await, [4, 2, 1]);
    assert_eq!(numbers(&|query| query.what = Some("token.*".into())).await, [3, 2]);
    assert_eq!(numbers(&|query| query.what = Some("token".into())).await, [0; 0]);
    assert_eq!(numbers(&|query| query.team = Some("red".into())).await, [3]);
    assert_eq!(numbers(&|query| query.since = Some(Timestamp(3))).await, [4, 3]);
    assert_eq!(numbers(&|query| query.until = Some(Timestamp(3))).await, [2, 1]);
}

#[tokio::test]
async fn a_page_leaves_out_what_cannot_be_read_and_counts_it() {
    let records = records();
    let audit = ChainAudit::start(records.clone(), "here");
    record(&audit, 1..5).await;
    let by = Some(("{", ""));
    let forged: Arc<dyn Records> = Arc::new(Forged { records, entry: 3, by });
    let page = ChainAudit::start(forged, "here").page(AUDIT_LOG, &AuditQuery::new()).await;
    let page = page.expect("a page");
    assert_eq!((page.entries.len(), page.unreadable), (3, 1));
}

#[tokio::test(start_paused = true)]
async fn heads_are_signed_and_show_that_the_end_of_a_log_was_cut() {
    let records = records();
    let key = IdentityKey::generate().expect("a key");
    let suite: Arc<dyn Suite> = Arc::new(RingSuite::new(&key));
    let signer = suite.public().to_string();
    let audit = ChainAudit::start_signed(records.clone(), "here", Some(suite));
    for part in 0..3 {
        let runs: Vec<AuditEvent> = (0..1_000).map(|n| event(part * 1_000 + n, "run")).collect();
        // Heads are at least a second apart.
        tokio::time::advance(Duration::from_secs(1)).await;
        audit.record(&runs).await.expect("a record");
    }
    let verify =
        async |records: &Arc<dyn Records>, log| verify_audit(records, log).await.expect("a report");
    let report = verify(&records, RUNS_LOG).await;
    assert_eq!((report.entries, report.heads, &report.fault), (3_000, 2, &None));
    assert_eq!(report.signers, [signer]);
    assert_eq!(verify(&records, AUDIT_LOG).await.fault, None);

    // The runs were cut at the end, and the log says that it never had more.
    let cut: Arc<dyn Records> = Arc::new(MemoryRecords::new());
    for (log, number) in [(AUDIT_LOG, 1_000), (RUNS_LOG, 2_500)] {
        let entries = records.entries(log, 0, number).await.expect("entries");
        let entries: Vec<Bytes> = entries.into_iter().map(|(_, bytes)| bytes).collect();
        cut.append(log, None, &entries).await.expect("an append");
    }
    let fault = verify(&cut, RUNS_LOG).await.fault.expect("a fault");
    assert_eq!((fault.entry, fault.why), (3_000, "it is missing, and was there once"));

    // A head that was written by another, with another digest or key.
    let entries = records.entries(AUDIT_LOG, 0, 10).await.expect("entries");
    let head = String::from_utf8_lossy(&entries[0].1).into_owned();
    let detail = head.split("\"detail\":\"").nth(1).expect("a detail");
    let parts: Vec<&str> = detail.split('"').next().expect("its end").split(' ').collect();
    for part in &parts[1..] {
        let other = part.replacen(|c: char| c.is_ascii_lowercase(), "0", 1);
        let by: (&'static str, &'static str) = (part.to_string().leak(), other.leak());
        let forged: Arc<dyn Records> = Arc::new(ForgedLog { records: records.clone(), by });
        let fault = verify(&forged, RUNS_LOG).await.fault.expect("a fault");
        assert_eq!(fault.entry, 2_000, "{by:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_burst_gets_its_head_by_itself() {
    let records = records();
    let audit = ChainAudit::start(records.clone(), "here");
    for part in 0..3 {
        let runs: Vec<AuditEvent> = (0..1_000).map(|n| event(part * 1_000 + n, "run")).collect();
        audit.record(&runs).await.expect("a record");
    }
    let heads = async || verify_audit(&records, RUNS_LOG).await.expect("a report").heads;
    assert_eq!(heads().await, 0);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(heads().await, 1);
    // Also if the audit ends before.
    for part in 3..5 {
        let runs: Vec<AuditEvent> = (0..1_000).map(|n| event(part * 1_000 + n, "run")).collect();
        audit.record(&runs).await.expect("a record");
    }
    let before = heads().await;
    drop(audit);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(heads().await, before + 1);
}

#[tokio::test(start_paused = true)]
async fn entries_are_copied_as_lines_wherever_they_come_from_and_after_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("audit.jsonl");
    let records = records();
    let audit = ChainAudit::start(records.clone(), "here");
    record(&audit, 1..3).await;
    let lines = |path: &std::path::Path| -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    };
    let until = async |path: &std::path::Path, number: usize| {
        let is_there = async {
            while lines(path).len() < number {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        let patience = Duration::from_secs(60);
        tokio::time::timeout(patience, is_there).await.expect("in time");
        lines(path)
    };
    let copy = || {
        let copy = AuditCopy::new(records.clone(), AuditCopyTarget::File(path.clone()));
        copy.check().expect("a file");
        tokio::spawn(copy.run())
    };
    let running = copy();
    let is_begun = async {
        while records.get("audit_copied", AUDIT_LOG).await.expect("records").is_none() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    is_begun.await;
    // Another process writes to the same logs.
    record(&ChainAudit::start(records.clone(), "command"), 3..5).await;
    let copied = until(&path, 2).await;
    assert_eq!((&copied[0]["log"], &copied[0]["n"]), (&"audit".into(), &3.into()), "{copied:?}");
    assert_eq!((&copied[1]["node"], &copied[1]["n"]), (&"command".into(), &4.into()));
    assert!(copied[1]["prev"].as_str().is_some_and(|digest| digest.len() == 64));
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(&path).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // A rotated file is created again.
    std::fs::rename(&path, folder.path().join("audit.1")).expect("a rename");
    record(&audit, 5..6).await;
    assert_eq!(until(&path, 1).await[0]["n"], 5);
    // Nothing is left out while it is away, or while the file cannot be written.
    running.abort();
    std::fs::remove_file(&path).expect("a removal");
    std::fs::create_dir(&path).expect("a folder");
    record(&audit, 6..7).await;
    let away = AuditCopy::new(records.clone(), AuditCopyTarget::File(path.clone()));
    assert_eq!(away.check().expect_err("a folder").kind(), ErrorKind::InvalidInput);
    let running = tokio::spawn(away.run());
    record(&audit, 7..8).await;
    std::fs::remove_dir(&path).expect("a removal");
    let numbers: Vec<_> = until(&path, 2).await.iter().map(|line| line["n"].clone()).collect();
    assert_eq!(numbers, [6, 7]);
    running.abort();
}

/// Records in whose audit a text is another.
#[derive(Debug)]
struct ForgedLog {
    records: Arc<dyn Records>,
    by: (&'static str, &'static str),
}

#[async_trait]
impl Records for ForgedLog {
    async fn change(&self, changes: &[Change]) -> Result<u64> {
        self.records.change(changes).await
    }

    async fn get(&self, kind: &str, id: &str) -> Result<Option<Record>> {
        self.records.get(kind, id).await
    }

    async fn list(&self, kind: &str, after: &str, limit: usize) -> Result<Vec<Record>> {
        self.records.list(kind, after, limit).await
    }

    async fn changed(&self, after: u64) -> Result<Changed> {
        self.records.changed(after).await
    }

    fn stamp(&self) -> Option<u64> {
        self.records.stamp()
    }

    async fn append(&self, log: &str, after: Option<u64>, entries: &[Bytes]) -> Result<u64> {
        self.records.append(log, after, entries).await
    }

    async fn entries(&self, log: &str, after: u64, limit: usize) -> Result<Vec<(u64, Bytes)>> {
        let mut entries = self.records.entries(log, after, limit).await?;
        for (_, bytes) in entries.iter_mut().filter(|_| log == AUDIT_LOG) {
            *bytes = String::from_utf8_lossy(bytes).replace(self.by.0, self.by.1).into();
        }
        Ok(entries)
    }

    async fn trim(&self, log: &str, up_to: u64) -> Result<()> {
        self.records.trim(log, up_to).await
    }
}

#[tokio::test]
async fn a_log_is_trimmed_to_a_size() {
    let records = records();
    let audit = ChainAudit::start(records.clone(), "here");
    record(&audit, 1..901).await;
    let bytes = records.entries(AUDIT_LOG, 0, 1).await.expect("entries")[0].1.len() as u64;
    let trim = async |bytes| audit.trim_bytes(&by(), AUDIT_LOG, bytes).await.expect("a trim");
    assert_eq!(trim(1_000 * bytes).await, None);
    let up_to = trim(300 * bytes).await.expect("entries");
    assert!((580..=620).contains(&up_to), "{up_to}");
    let report = verify(&records).await;
    assert_eq!((report.first, report.last, report.fault), (up_to + 1, 901, None));
}
