//! Records in memory, and their mutants.

use std::future::{Ready, ready};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use tinpot_core::access::records::{Change, Changed, Record};
use tinpot_core::access::{MemoryRecords, Records};
use tinpot_core::testing::records::Subject;
use tinpot_core::{ErrorKind, Result};

use super::caught;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    IgnoresVersions,
    AppliesOneByOne,
    TakesTooMuch,
    CutsDocuments,
    ListsBackwards,
    ListsTheNameBefore,
    ForgetsRemovals,
    SkipsAChange,
    TearsRevisions,
    NeverResets,
    KeepsItsStamp,
    KeepsNothing,
    MixesLogs,
    IgnoresTheEnd,
    AppendsAnEntryLess,
    TrimsTooMuch,
    TrimsNothing,
}

#[derive(Clone, Debug)]
struct Faulty {
    fault: Fault,
    records: Arc<MemoryRecords>,
}

fn faulty(fault: Fault) -> Ready<Faulty> {
    ready(Faulty { fault, records: Arc::default() })
}

impl Faulty {
    fn is(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    fn log<'a>(&self, log: &'a str) -> &'a str {
        if self.is(Fault::MixesLogs) && !log.is_empty() { "one" } else { log }
    }
}

#[async_trait]
impl Subject for Faulty {
    async fn open(&self) -> Arc<dyn Records> {
        let mut opened = self.clone();
        if self.is(Fault::KeepsNothing) {
            opened.records = Arc::default();
        }
        Arc::new(opened)
    }
}

#[async_trait]
impl Records for Faulty {
    async fn change(&self, changes: &[Change]) -> Result<u64> {
        let conflict = match self.records.change(changes).await {
            Err(error) if self.is(Fault::TakesTooMuch) && changes.len() > 1 => {
                assert_ne!(error.kind(), ErrorKind::Other);
                let (first, second) = changes.split_at(changes.len() / 2);
                self.change(first).await?;
                return self.change(second).await;
            }
            Err(error) if error.kind() == ErrorKind::Conflict => error,
            done => return done,
        };
        if self.is(Fault::AppliesOneByOne) {
            for change in changes {
                self.records.change(std::slice::from_ref(change)).await?;
            }
        }
        if self.is(Fault::IgnoresVersions) {
            let mut forced = changes.to_vec();
            for change in &mut forced {
                let found = self.records.get(&change.kind, &change.id).await?;
                change.replaces = found.map_or(0, |found| found.version);
            }
            return self.records.change(&forced).await;
        }
        Err(conflict)
    }

    async fn get(&self, kind: &str, id: &str) -> Result<Option<Record>> {
        let found = self.records.get(kind, id).await?;
        Ok(found.map(|mut record| {
            if self.is(Fault::CutsDocuments) {
                record.document.truncate(60_000);
            }
            record
        }))
    }

    async fn list(&self, kind: &str, after: &str, limit: usize) -> Result<Vec<Record>> {
        let mut list = self.records.list(kind, after, limit).await?;
        if self.is(Fault::ListsBackwards) {
            list.reverse();
        }
        if self.is(Fault::ListsTheNameBefore)
            && let Some(before) = self.records.get(kind, after).await?
        {
            list.insert(0, before);
        }
        Ok(list)
    }

    async fn changed(&self, after: u64) -> Result<Changed> {
        let mut changed = self.records.changed(after).await?;
        match self.fault {
            Fault::ForgetsRemovals => changed.removed.clear(),
            Fault::SkipsAChange if changed.records.len() > 1 => drop(changed.records.remove(0)),
            Fault::TearsRevisions => changed.records.truncate(200),
            Fault::NeverResets => changed.is_reset = false,
            _ => {}
        }
        Ok(changed)
    }

    fn stamp(&self) -> Option<u64> {
        if self.is(Fault::KeepsItsStamp) { Some(7) } else { self.records.stamp() }
    }

    async fn append(&self, log: &str, after: Option<u64>, entries: &[Bytes]) -> Result<u64> {
        let after = after.filter(|_| !self.is(Fault::IgnoresTheEnd));
        let less = self.is(Fault::AppendsAnEntryLess) && entries.len() > 1;
        let entries = if less { &entries[1..] } else { entries };
        self.records.append(self.log(log), after, entries).await
    }

    async fn entries(&self, log: &str, after: u64, limit: usize) -> Result<Vec<(u64, Bytes)>> {
        self.records.entries(self.log(log), after, limit).await
    }

    async fn trim(&self, log: &str, up_to: u64) -> Result<()> {
        match self.fault {
            Fault::TrimsTooMuch => self.records.trim(log, up_to.saturating_add(1)).await,
            Fault::TrimsNothing => Ok(()),
            _ => self.records.trim(self.log(log), up_to).await,
        }
    }
}

caught! {
    records, faulty:
    ignores_versions(Fault::IgnoresVersions)
        by a_change_needs_the_version_that_it_replaces versions_are_never_used_again
            one_of_many_writers_wins;
    applies_one_by_one(Fault::AppliesOneByOne)
        by a_call_is_applied_whole_or_not_at_all one_call_names_a_document_once;
    takes_too_much(Fault::TakesTooMuch) by too_much_is_refused;
    cuts_documents(Fault::CutsDocuments) by documents_keep_every_byte;
    lists_backwards(Fault::ListsBackwards) by documents_are_listed_in_the_order_of_their_names;
    lists_the_name_before(Fault::ListsTheNameBefore)
        by documents_are_listed_in_the_order_of_their_names;
    forgets_removals(Fault::ForgetsRemovals)
        by removed_documents_are_told changes_of_other_processes_are_told
            a_reader_of_changes_misses_nothing;
    skips_a_change(Fault::SkipsAChange)
        by changes_are_told_after_a_revision many_changes_come_in_pages;
    tears_revisions(Fault::TearsRevisions) by many_changes_come_in_pages;
    never_resets(Fault::NeverResets) by revisions_that_are_not_known_reset_the_reader;
    keeps_nothing(Fault::KeepsNothing)
        by documents_are_there_after_a_reopening logs_are_there_after_a_reopening
            changes_of_other_processes_are_told stamps_tell_of_changes;
    keeps_its_stamp(Fault::KeepsItsStamp) by stamps_tell_of_changes;
    mixes_logs(Fault::MixesLogs) by logs_are_kept_apart;
    ignores_the_end(Fault::IgnoresTheEnd)
        by an_end_is_compared_before_an_append one_chain_has_one_writer_at_a_time;
    appends_an_entry_less(Fault::AppendsAnEntryLess) by entries_are_numbered_in_order;
    trims_too_much(Fault::TrimsTooMuch) by a_trim_removes_the_oldest_entries;
    trims_nothing(Fault::TrimsNothing)
        by a_trim_removes_the_oldest_entries numbers_go_on_after_everything_is_trimmed;
}
