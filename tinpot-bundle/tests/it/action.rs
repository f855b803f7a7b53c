//! The action that a Towerfile describes.

use std::time::Duration;

use serde_json::{Value, json};
use tinpot_bundle::Towerfile;
use tinpot_core::{Action, ErrorKind, Result, RetryOn, RetryPolicy};

const HEAD: &str = "[app]\nname = \"hello\"\nscript = \"main.sh\"\n";

fn action(rest: &str) -> Result<Action> {
    Towerfile::parse(&format!("{HEAD}{rest}\n")).expect("a Towerfile").action()
}

#[test]
fn a_minimal_towerfile_is_an_action_with_the_defaults() {
    assert_eq!(action("").expect("an action"), Action::new("hello").expect("a name"));
}

#[test]
fn every_key_of_the_action_is_taken() {
    let action = action(
        r#"
        [app.timeout]
        seconds = 30
        [[parameters]]
        name = "who"
        description = "Name to greet"
        default = "world"
        [tinpot]
        description = "Greets."
        group = "Demo"
        queue = "night"
        priority = -3
        expires_in = "1h"
        retry = { retries = 2 }
        "#,
    )
    .expect("an action");
    let schema: Value = action.schema.deserialize().expect("JSON");
    let expected = json!({ "type": "object", "properties": {
        "who": { "type": "string", "description": "Name to greet", "default": "world" },
    } });
    assert_eq!(schema, expected);
    let plain = Action::new("hello").expect("a name").schema(action.schema.clone());
    let expected = plain
        .description("Greets.")
        .group("Demo")
        .queue("night")
        .priority(-3)
        .timeout(Duration::from_secs(30))
        .expires_in(Duration::from_secs(3_600))
        .retry(RetryPolicy::exponential(2));
    assert_eq!(action, expected);
}

#[test]
fn a_loss_alone_repeats_no_failed_run() {
    let action = action("[tinpot]\nretry = { retries = 5, on = \"lost\" }").expect("an action");
    assert_eq!((action.retry.retries, action.retry.on), (5, RetryOn::Lost));
    assert_eq!(action.retry.max_lost_attempts, 6);
}

#[test]
fn what_no_action_can_have_is_refused() {
    for (rest, expected) in [
        ("[tinpot]\nkind = \"actions\"", "is a folder of several actions"),
        ("[tinpot]\nqueue = \"a/b\"", "tinpot.queue must not have '/'"),
        ("[tinpot]\ngroup = \"a/b\"", "tinpot.group must not have '/'"),
    ] {
        let error = action(rest).expect_err(rest);
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains(expected), "{error}");
    }
    let long = format!("[app.timeout]\nseconds = {}", i64::MAX);
    let timeout = action(&long).expect("an action").timeout.expect("a timeout");
    assert!(timeout < Duration::from_secs(101 * 366 * 86_400));
}
