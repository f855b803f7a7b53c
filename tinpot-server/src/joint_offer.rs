//! The actions of several executors as one set, for people. Workers join them in the same way.

use std::collections::HashSet;
use std::sync::Arc;

use futures::future::select_all;
use tinpot_core::executor::ActionSet;
use tinpot_core::{LoadError, Watcher};
use tokio::sync::watch;

/// Returns the joint set, which changes with each of them.
pub(crate) fn join(mut watches: Vec<Watcher<Arc<ActionSet>>>) -> Watcher<Arc<ActionSet>> {
    let (joint, joined) = watch::channel(Arc::new(joint_offer(&watches)));
    tokio::spawn(async move {
        loop {
            let changes = watches.iter_mut().map(|watch| Box::pin(watch.next()));
            let (change, ..) = tokio::select! {
                change = select_all(changes) => change,
                () = joint.closed() => return,
            };
            if change.is_none() {
                // That executor is gone, and its actions stay as they were.
                return;
            }
            let now = joint_offer(&watches);
            joint.send_if_modified(|before| {
                let has_changed = **before != now;
                if has_changed {
                    *before = Arc::new(now);
                }
                has_changed
            });
        }
    });
    joined.into()
}

/// Returns all actions; of two with one name, the first, as the worker offers them.
pub fn joint_offer(watches: &[Watcher<Arc<ActionSet>>]) -> ActionSet {
    let mut union = ActionSet::default();
    let mut names = HashSet::new();
    for set in watches.iter().map(Watcher::current) {
        union.load_errors.extend(set.load_errors.iter().cloned());
        union.environments.extend(set.environments.iter().cloned());
        for action in &set.actions {
            if names.insert(action.name.clone()) {
                union.actions.push(action.clone());
            } else {
                let message = "a Python action has the name of this app, which is not offered: \
                               rename one of them";
                union.load_errors.push(LoadError::new(&*action.name, message));
            }
        }
    }
    union
}
