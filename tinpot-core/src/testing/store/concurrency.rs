//! Reads while a session writes.

use std::sync::atomic::{AtomicBool, Ordering};

use super::{accept, commit, finish, grant, open, with};
use crate::model::page::ListOptions;
use crate::store::Store;

/// A read sees each batch as a whole or not at all.
pub async fn reads_during_commits_see_whole_batches(store: impl Store) {
    let store = open(store).await;
    let is_done = AtomicBool::new(false);
    let write = async {
        for number in 1..=40_u128 {
            // The parameters of one of the two are large, which some stores keep elsewhere.
            let pair = [
                with(2 * number, |_| {}),
                with(2 * number + 1, |new| {
                    let text = "x".repeat(3_000);
                    new.parameters = crate::Json::parse(format!("[\"{text}\"]")).expect("JSON");
                }),
            ];
            accept(&store, &pair.each_ref()).await;
            tokio::task::yield_now().await;
            let fence_number = 2 * number as u64;
            commit(&store, &[grant(&pair[0], fence_number), grant(&pair[1], fence_number + 1)])
                .await;
            tokio::task::yield_now().await;
            let fences =
                pair.each_ref().map(|execution| super::fence(execution.id.as_u128() as u64));
            commit(&store, &[finish(&pair[0], Some(fences[0])), finish(&pair[1], Some(fences[1]))])
                .await;
            tokio::task::yield_now().await;
        }
        is_done.store(true, Ordering::Relaxed);
    };
    let read = async {
        let options = ListOptions { limit: 100, ..ListOptions::default() };
        while !is_done.load(Ordering::Relaxed) {
            let list = store.executions(&options).await.expect("a list");
            for pair in list.chunks(2) {
                let [newer, older] = pair else { panic!("a batch of two accepts was torn") };
                assert_eq!(newer.id.as_u128(), older.id.as_u128() + 1, "a batch was torn");
                let states = [newer, older].map(|one| (one.status, one.attempts.len()));
                assert_eq!(states[0], states[1], "a batch about {} was torn", newer.id);
            }
            if let Some(newest) = list.first() {
                let one = store.execution(newest.id).await.expect("a read").expect("it is there");
                assert!(one.attempts.len() >= newest.attempts.len(), "a read went back in time");
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::join!(write, read);
}
