//! A memory store, and its mutants.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tinpot_core::log_sink::LogBatch;
use tinpot_core::store::{
    HistoryLimits, ListOptions, Opened, QueueOrder, QueuePage, Session, Transition,
};
use tinpot_core::testing::store::{OpenStore, RETAINED, Same};
use tinpot_core::{
    Epoch, ErrorKind, Execution, ExecutionId, LogChunk, MemoryStore, Outcome, Result, Store,
    Timestamp,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    DropsTransitions,
    IgnoresFences,
    IgnoresConditions,
    AppliesInParts,
    ForgetsKeys,
    ForgetsBundles,
    CutsTimes,
    StaleReads,
    IgnoresStatusFilter,
    OldestFirst,
    IgnoresBefore,
    FindsAllChildren,
    IgnoresSearch,
    IgnoresRank,
    IgnoresMaxBytes,
    IgnoresRuntimes,
    ForgetsDelays,
    LosesLastChunk,
    IgnoresGaps,
    ReadsLogsFromTheStart,
    IgnoresLogEnds,
    RepeatsEpochs,
    ForgetsItsEpoch,
    OpensTwice,
    WritesAfterClose,
    HoldsDroppedSession,
    ForgetsPausedQueues,
    ForgetsOpenLogs,
    ForgetsLeases,
    ForgetsActions,
    ForgetsGrants,
    MiscountsWaiting,
    KeepsEverything,
    KeepsTooFew,
}

#[derive(Debug)]
struct BrokenStore {
    fault: Fault,
    inner: MemoryStore,
    session: Mutex<Option<Arc<dyn Session>>>,
    seen: Mutex<HashMap<ExecutionId, Arc<Execution>>>,
}

fn broken(fault: Fault) -> BrokenStore {
    let kept = match fault {
        Fault::KeepsTooFew => RETAINED - 1,
        _ => usize::MAX,
    };
    let inner = MemoryStore::with_limits(HistoryLimits::default().executions(kept));
    BrokenStore { fault, inner, session: Mutex::default(), seen: Mutex::default() }
}

impl BrokenStore {
    fn is(&self, fault: Fault) -> bool {
        self.fault == fault
    }
}

#[async_trait]
impl Store for BrokenStore {
    async fn open(&self) -> Result<(Opened, Arc<dyn Session>)> {
        let before = match self.is(Fault::OpensTwice) || self.is(Fault::WritesAfterClose) {
            true => self.session.lock().expect("a lock").take(),
            false => None,
        };
        if let Some(before) = before {
            before.close().await?;
        }
        let (mut opened, inner) = self.inner.open().await?;
        if self.is(Fault::OpensTwice)
            || self.is(Fault::HoldsDroppedSession)
            || self.is(Fault::WritesAfterClose)
        {
            *self.session.lock().expect("a lock") = Some(inner.clone());
        }
        match self.fault {
            Fault::RepeatsEpochs => opened.epoch.number = 1,
            Fault::ForgetsPausedQueues => opened.paused.clear(),
            Fault::ForgetsOpenLogs => opened.open_logs.clear(),
            Fault::ForgetsLeases => opened.longest_lease = Duration::ZERO,
            Fault::ForgetsActions => opened.actions.clear(),
            Fault::ForgetsGrants => opened.granted.clear(),
            Fault::MiscountsWaiting => opened.waiting.iter_mut().for_each(|count| count.ready += 1),
            _ => {}
        }
        Ok((opened, Arc::new(BrokenSession { fault: self.fault, inner })))
    }

    async fn execution(&self, id: ExecutionId) -> Result<Option<Arc<Execution>>> {
        let now = self.inner.execution(id).await?;
        if self.is(Fault::StaleReads)
            && let Some(now) = &now
        {
            let mut seen = self.seen.lock().expect("a lock");
            return Ok(Some(seen.entry(id).or_insert_with(|| now.clone()).clone()));
        }
        Ok(now)
    }

    async fn executions(&self, options: &ListOptions) -> Result<Vec<Arc<Execution>>> {
        let mut options = options.clone();
        match self.fault {
            Fault::IgnoresStatusFilter => options.statuses.clear(),
            Fault::IgnoresBefore => options.before = None,
            Fault::FindsAllChildren => options.parent = None,
            Fault::IgnoresSearch => options.search = None,
            _ => {}
        }
        let mut list = self.inner.executions(&options).await?;
        if self.is(Fault::OldestFirst) {
            list.reverse();
        }
        Ok(list)
    }

    async fn logs(
        &self,
        id: ExecutionId,
        after: u64,
        max_bytes: usize,
    ) -> Result<Vec<Arc<LogChunk>>> {
        let after = if self.is(Fault::ReadsLogsFromTheStart) { 0 } else { after };
        self.inner.logs(id, after, max_bytes).await
    }
}

#[derive(Debug)]
struct BrokenSession {
    fault: Fault,
    inner: Arc<dyn Session>,
}

impl BrokenSession {
    fn is(&self, fault: Fault) -> bool {
        self.fault == fault
    }
}

#[async_trait]
impl Session for BrokenSession {
    async fn commit(&self, batch: &[Transition], at: Timestamp) -> Result<()> {
        let mut batch = batch.to_vec();
        for transition in &mut batch {
            match transition {
                Transition::Accept(execution) if self.is(Fault::ForgetsKeys) => {
                    Arc::make_mut(execution).idempotency_key = None;
                }
                Transition::Accept(execution) if self.is(Fault::ForgetsBundles) => {
                    Arc::make_mut(execution).bundle = None;
                }
                Transition::Accept(execution) if self.is(Fault::ForgetsDelays) => {
                    Arc::make_mut(execution).not_before = None;
                }
                Transition::Accept(execution) if self.is(Fault::CutsTimes) => {
                    let timeout = &mut Arc::make_mut(execution).timeout;
                    *timeout = timeout.map(|timeout| Duration::from_secs(timeout.as_secs()));
                }
                _ => {}
            }
        }
        match self.fault {
            Fault::DropsTransitions if batch.len() > 1 => {
                batch.pop();
            }
            Fault::AppliesInParts => {
                for transition in &batch {
                    self.inner.commit(std::slice::from_ref(transition), at).await?;
                    tokio::task::yield_now().await;
                }
                return Ok(());
            }
            _ => {}
        }
        match self.inner.commit(&batch, at).await {
            Err(error) if error.kind() == ErrorKind::Conflict => {
                let ends = |transition: &Transition| {
                    matches!(transition, Transition::Finish { outcome: Outcome::Succeeded(_), .. })
                };
                match self.fault {
                    Fault::IgnoresConditions => Ok(()),
                    Fault::IgnoresFences if batch.iter().all(ends) => Ok(()),
                    _ => Err(error),
                }
            }
            result => result,
        }
    }

    async fn append_logs(&self, batches: &[LogBatch]) -> Result<()> {
        let mut batches = batches.to_vec();
        for batch in &mut batches {
            if self.is(Fault::LosesLastChunk) {
                batch.chunks.pop();
            }
            if self.is(Fault::IgnoresLogEnds) {
                batch.ends = false;
            }
        }
        match self.inner.append_logs(&batches).await {
            Err(error) if error.kind() == ErrorKind::Conflict && self.is(Fault::IgnoresGaps) => {
                Ok(())
            }
            result => result,
        }
    }

    async fn queued(&self, page: &QueuePage) -> Result<Vec<Arc<Execution>>> {
        let mut page = page.clone();
        if self.is(Fault::IgnoresMaxBytes) {
            page.max_bytes = usize::MAX;
        }
        if self.is(Fault::IgnoresRuntimes)
            && let QueueOrder::Ready { runtime, .. } = &mut page.order
        {
            *runtime = None;
        }
        let mut queued = self.inner.queued(&page).await?;
        if self.is(Fault::IgnoresRank) {
            queued.sort_unstable_by_key(|execution| execution.id);
        }
        Ok(queued)
    }

    async fn current(&self) -> Result<Epoch> {
        let current = self.inner.current().await?;
        Ok(match self.fault {
            Fault::ForgetsItsEpoch => Epoch { number: 1, ..current },
            _ => current,
        })
    }

    async fn close(&self) -> Result<()> {
        match self.fault {
            Fault::WritesAfterClose => Ok(()),
            _ => self.inner.close().await,
        }
    }
}

mod without_a_fault {
    use std::future::{Ready, ready};

    use super::{BrokenStore, Fault, broken};

    fn store() -> Ready<BrokenStore> {
        ready(broken(Fault::None))
    }

    tinpot_core::store_conformance!(store);
}

/// Emits one test per mutant: each of the named cases must fail for it.
macro_rules! caught {
    ($open:ident: $($name:ident($fault:ident) by $($case:ident)+;)+) => {$(
        #[tokio::test]
        async fn $name() {
            $(
                let case = async {
                    let store = $open(broken(Fault::$fault)).await;
                    tinpot_core::testing::store::$case(store).await;
                };
                let patience = Duration::from_secs(1);
                let name = stringify!($case);
                let ran = tinpot_core::testing::store::run(name, patience, case).await;
                assert!(ran.is_err(), "the case {name} did not catch it");
            )+
        }
    )+};
}

async fn closing(store: BrokenStore) -> OpenStore<Same<BrokenStore>> {
    OpenStore::closing(Same(store)).await
}

fn as_it_is(store: BrokenStore) -> std::future::Ready<BrokenStore> {
    std::future::ready(store)
}

caught! {
    as_it_is:
    dropped_transitions(DropsTransitions) by
        an_execution_runs_from_accept_to_finish reads_during_commits_see_whole_batches;
    ignored_fences(IgnoresFences) by a_stale_fence_changes_nothing;
    ignored_conditions(IgnoresConditions) by
        an_id_is_accepted_once a_terminal_status_never_changes a_cancel_needs_a_live_attempt;
    batches_applied_in_parts(AppliesInParts) by
        a_batch_is_applied_whole_or_not_at_all reads_during_commits_see_whole_batches;
    forgotten_keys(ForgetsKeys) by a_key_belongs_to_one_execution an_execution_is_found_by_its_key;
    cut_times(CutsTimes) by everything_about_an_execution_is_kept;
    stale_reads(StaleReads) by
        an_execution_runs_from_accept_to_finish a_grant_ends_a_delay_and_a_retry_sets_one;
    ignored_status_filter(IgnoresStatusFilter) by lists_are_filtered_and_paged;
    lists_with_the_oldest_first(OldestFirst) by lists_are_filtered_and_paged;
    lists_without_a_cursor(IgnoresBefore) by lists_are_filtered_and_paged;
    children_of_all_parents(FindsAllChildren) by children_are_found_by_their_parent;
    searches_that_find_everything(IgnoresSearch) by
        executions_are_found_by_their_words searches_are_filtered_and_paged;
    queues_without_priority(IgnoresRank) by ready_executions_are_paged_by_priority;
    pages_without_a_bound(IgnoresMaxBytes) by ready_executions_are_paged_by_priority;
    queues_without_runtimes(IgnoresRuntimes) by executions_with_bundles_wait_by_runtime;
    forgotten_bundles(ForgetsBundles) by executions_with_bundles_wait_by_runtime;
    forgotten_delays(ForgetsDelays) by delayed_executions_are_paged_by_time ready_ends_a_delay;
    lost_chunks(LosesLastChunk) by logs_are_read_from_a_sequence a_long_log_is_read_as_it_was_written;
    ignored_gaps(IgnoresGaps) by logs_have_no_gaps_and_no_repeats;
    logs_read_from_the_start(ReadsLogsFromTheStart) by logs_are_read_from_a_sequence;
    ignored_ends_of_logs(IgnoresLogEnds) by lines_are_counted_by_attempt;
    repeated_epochs(RepeatsEpochs) by each_opening_is_a_new_epoch;
    second_session(OpensTwice) by an_open_store_is_not_opened_again;
    writes_after_a_close(WritesAfterClose) by a_closed_session_writes_nothing;
    dropped_session_that_stays(HoldsDroppedSession) by a_dropped_session_frees_the_store;
    ignored_retention(KeepsEverything) by
        the_oldest_ended_executions_are_removed everything_of_a_removed_execution_is_removed
        the_bound_holds_during_commits;
    shortened_retention(KeepsTooFew) by
        the_oldest_ended_executions_are_removed retention_continues_after_a_reopening;
}

caught! {
    closing:
    epochs_repeated_after_a_close(RepeatsEpochs) by epochs_grow_within_one_instance;
    forgotten_epoch(ForgetsItsEpoch) by epochs_grow_within_one_instance;
    forgotten_paused_queues(ForgetsPausedQueues) by paused_queues_are_remembered;
    forgotten_open_logs(ForgetsOpenLogs) by open_logs_are_returned;
    forgotten_leases(ForgetsLeases) by the_longest_lease_is_that_of_a_live_attempt;
    forgotten_actions(ForgetsActions) by the_catalogue_is_remembered;
    forgotten_grants(ForgetsGrants) by granted_executions_are_returned;
    miscounted_queues(MiscountsWaiting) by waiting_executions_are_counted_by_queue_and_action;
    bundles_not_counted(ForgetsBundles) by waiting_executions_are_counted_by_runtime;
    chunks_lost_before_a_close(LosesLastChunk) by logs_are_remembered_and_go_on;
    any_fault_in_random_work(IgnoresRank) by random_work_agrees_with_the_memory_store;
}
