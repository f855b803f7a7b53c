//! Searches of the history.

use super::{commit, grant, ids, open, with};
use crate::model::execution::{Execution, Parent};
use crate::model::failure::Failure;
use crate::model::id::ExecutionId;
use crate::model::json::Json;
use crate::model::names::Names;
use crate::model::outcome::Outcome;
use crate::model::page::ListOptions;
use crate::model::status::Status;
use crate::model::time::Timestamp;
use crate::model::transition::Transition;
use crate::model::visible::{DEFAULT_TEAM, Visible, VisiblePart};
use crate::store::{Session, Store};

fn parameters(text: &str) -> Json {
    Json::parse(text).expect("JSON")
}

async fn search(store: &impl Store, text: &str) -> Vec<u128> {
    list(store, ListOptions::new().search(text)).await
}

async fn list(store: &impl Store, options: ListOptions) -> Vec<u128> {
    ids(&store.executions(&options).await.expect("a list"))
}

/// Executions are found by words of their action, parameters, error, requester and id; never by a
/// secret.
pub async fn executions_are_found_by_their_words(store: impl Store) {
    let store = open(store).await;
    let id = 0x019a_c3f2_7b4e_7000_8000_a1b2_c3d4_e5f6;
    let accepted = [
        with(1, |new| new.action = "nightly-backup".into()),
        with(2, |new| {
            new.parameters =
                parameters(r#"{"host": "web-1.example.org", "note": "Gr\u00fc\u00dfe"}"#);
        }),
        with(3, |new| new.requested_by = Some("Anna Otto".into())),
        with(4, |new| {
            new.parameters = parameters(r#"{"token": "hunter2", "long": "abc"}"#);
            new.secrets = vec!["/token".to_owned()];
        }),
        with(5, |new| {
            let long = format!("{{\"blob\": \"{}\", \"end\": \"far\"}}", "x".repeat(3_000));
            new.parameters = parameters(&long);
        }),
        with(id, |_| {}),
    ];
    for new in &accepted {
        commit(&store, &[Transition::Accept(new.clone())]).await;
    }
    let fail = |execution: &Execution| Transition::Finish {
        execution: execution.id,
        fence: Some(super::fence(1)),
        outcome: Outcome::Failed(Failure::new("no space left on /var").kind("OSError")),
        ran: None,
        log_end: None,
    };
    for failed in [&accepted[4], &accepted[1]] {
        assert!(search(&store, "space oserror").await.len() < 2);
        commit(&store, &[grant(failed, 1), fail(failed)]).await;
    }
    for (text, found) in [
        ("", vec![id, 5, 4, 3, 2, 1]),
        ("- ***", vec![id, 5, 4, 3, 2, 1]),
        ("backup", vec![1]),
        ("NIGHT", vec![1]),
        ("nightly-backup", vec![1]),
        ("backup-nightly", vec![]),
        ("ightly", vec![]),
        ("web-1", vec![2]),
        ("web-1 GRÜSSE", vec![]),
        ("grüße example web-1.ex", vec![2]),
        ("web-2", vec![]),
        ("ann", vec![3]),
        ("anna otto", vec![3]),
        ("hunter2", vec![]),
        ("token abc", vec![4]),
        ("far", vec![5]),
        ("space", vec![5, 2]),
        ("oserror web", vec![2]),
        ("c3d4e5f6", vec![id]),
        ("019ac3f2-7b4e", vec![id]),
        ("019ac3f2-7b4e-7000-8000-a1b2c3d4e5f6", vec![id]),
        ("019ac3f2-7b4f", vec![]),
        ("even 019ac3f2-7b4e", vec![id]),
        ("odd 019ac3f2-7b4e", vec![]),
        ("\" OR * ( ) NEAR : ^", vec![]),
        ("odd OR even", vec![]),
    ] {
        assert_eq!(search(&store, text).await, found, "{text:?}");
    }
}

/// A search works with the other filters, and page by page, in the order of lists.
pub async fn searches_are_filtered_and_paged(store: impl Store) {
    let store = open(store).await;
    // Accepted some time after their ids were made, and in another order.
    let at = |second: u64| Timestamp(1_700_000_000_000_000 + second * 1_000_000);
    let id = |second: u64| u128::from(at(second).0 / 1_000) << 80;
    let order: Vec<u64> = (0..60).map(|number| number ^ 1).collect();
    for (number, second) in order.iter().enumerate() {
        let new = with(id(*second), |new| {
            new.action = if second % 3 == 0 { "third" } else { "other" }.into();
            new.queue = if *second < 30 { "early" } else { "late" }.into();
            new.requested_by = (second % 2 == 0).then(|| "me".into());
            new.caller = if second % 7 == 0 { "ada" } else { "" }.into();
            new.parameters = parameters(&format!("{{\"word\": \"w{}\"}}", second % 4));
            new.parent =
                (*second >= 50).then(|| Parent::new(ExecutionId::from_u128(1), super::fence(1)));
        });
        let time = at(number as u64 + 2);
        store.commit(&[Transition::Accept(new.clone())], time).await.expect("a commit");
        if second % 5 == 0 {
            commit(&store, &[super::finish(&new, None)]).await;
        }
    }
    let find = async |options: ListOptions, wanted: &dyn Fn(u64) -> bool| {
        let expected = (0..60).rev().filter(|second| wanted(*second)).map(id);
        let found = list(&store, options.clone()).await;
        assert_eq!(found, expected.collect::<Vec<_>>(), "{options:?}");
        // Page by page.
        let (mut paged, mut before) = (Vec::new(), None);
        loop {
            let page = ListOptions { limit: 4, before, ..options.clone() };
            let page = list(&store, page).await;
            let Some(last) = page.last() else { break };
            before = Some(ExecutionId::from_u128(*last));
            paged.extend(page);
        }
        assert_eq!(paged, found, "{options:?}");
    };
    let w1 = || ListOptions::new().search("w1").limit(100);
    find(w1(), &|second| second % 4 == 1).await;
    find(w1().action("third"), &|second| second % 4 == 1 && second % 3 == 0).await;
    find(w1().action("absent"), &|_| false).await;
    find(w1().queue("early"), &|second| second % 4 == 1 && second < 30).await;
    let both = w1().queue("late").action("third");
    find(both, &|second| second % 4 == 1 && second >= 30 && second % 3 == 0).await;
    let ended = w1().statuses([Status::Succeeded]);
    find(ended, &|second| second % 4 == 1 && second % 5 == 0).await;
    let w2 = ListOptions::new().search("w2").limit(100);
    find(w2.clone().requested_by("me"), &|second| second % 4 == 2).await;
    find(w1().requested_by("me"), &|_| false).await;
    let children = w2.parent(ExecutionId::from_u128(1));
    find(children, &|second| second % 4 == 2 && second >= 50).await;
    let part = VisiblePart::all().actions(Names::of(["th*"]));
    let third = Visible::nothing(DEFAULT_TEAM, "ada").part(part);
    find(w1().visible(third), &|second| second % 4 == 1 && second % 3 == 0).await;
    let own = Visible::nothing(DEFAULT_TEAM, "ada").part(VisiblePart::all().own_only());
    find(w1().visible(own.clone()), &|second| second % 4 == 1 && second % 7 == 0).await;
    find(ListOptions::new().visible(own).limit(100), &|second| second % 7 == 0).await;
    let accepted = |second: u64| 2 + (second ^ 1);
    find(w1().since(at(20)), &|second| second % 4 == 1 && accepted(second) >= 20).await;
    find(w1().until(at(20)), &|second| second % 4 == 1 && accepted(second) <= 20).await;
    let between = w1().since(at(10)).until(at(40));
    find(between, &|second| second % 4 == 1 && (10..=40).contains(&accepted(second))).await;
}
