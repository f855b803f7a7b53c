//! Runners and servers that are killed in each state of a run.

use std::time::Duration;

use serde_json::{Value, json};

use crate::runners::{Installation, Runner, Server, TTL, line};

/// The state of a run in which a process is killed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Leased,
    Started,
    Logging,
    /// The program has ended, and its result was sent; the answer is lost.
    Finishing,
}

const STATES: [State; 4] = [State::Leased, State::Started, State::Logging, State::Finishing];
const COMPLETED: &str = r#"{"status":"completed","exit_code":0}"#;

fn completed() -> Value {
    serde_json::from_str(COMPLETED).expect("JSON")
}

/// Brings a run into a state. The runner is then killed: it sends nothing any more.
async fn reach(state: State, runner: &mut Runner) {
    runner.lease().await.expect("a run");
    if state == State::Leased {
        return;
    }
    runner.start().await.ok(200);
    if state == State::Started {
        return;
    }
    runner.logs(json!([line(1, "stdout", "one")])).await.ok(200);
    if state == State::Finishing {
        runner.result(completed()).await.ok(200);
    }
}

/// Longer than the coordinator waits for a runner.
async fn until_it_is_lost() {
    tokio::time::sleep(TTL + Duration::from_secs(60)).await;
}

#[tokio::test(start_paused = true)]
async fn a_run_of_a_killed_runner_is_started_at_most_once() {
    for state in STATES {
        let server = Server::start().await;
        let admin = server.team("demo").await;
        server.app(&admin, "hello", "").await;
        let (mut killed, mut other) = (server.runner("killed").await, server.runner("other").await);
        let run = server.run(&admin, "hello", json!({})).await;
        reach(state, &mut killed).await;
        until_it_is_lost().await;
        let given = other.lease().await;
        match state {
            // No program was started: it is given again, and no try is spent.
            State::Leased => {
                let given = given.expect("the run again");
                assert_eq!((&given["run_id"], &given["attempt_no"]), (&json!(run), &json!(1)));
                other.start().await.ok(200);
                other.result(completed()).await.ok(200);
                assert_eq!(server.status(&admin, run).await, "completed");
            }
            State::Started | State::Logging => {
                assert!(given.is_none(), "{state:?}: {given:?}");
                assert_eq!(server.status(&admin, run).await, "dead", "{state:?}");
            }
            State::Finishing => {
                assert!(given.is_none(), "{given:?}");
                assert_eq!(server.status(&admin, run).await, "completed");
            }
        }
        let log: &[&str] = match state {
            State::Logging | State::Finishing => &["1 stdout one"],
            _ => &[],
        };
        let found = server.log(&admin, run).await;
        assert_eq!(
            found.iter().take(log.len()).collect::<Vec<_>>(),
            log.iter().collect::<Vec<_>>()
        );
        // What comes late from the killed one changes nothing.
        let before = server.status(&admin, run).await;
        let late = killed.result(json!({ "status": "failed", "exit_code": 1 })).await;
        assert_eq!(late.code(410), "gone", "{state:?}");
        assert_eq!(server.status(&admin, run).await, before);
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_with_retries_is_tried_again_after_a_kill_of_its_runner() {
    for state in [State::Started, State::Logging] {
        let server = Server::start().await;
        let admin = server.team("demo").await;
        server.app(&admin, "hello", "").await;
        let (mut killed, mut other) = (server.runner("killed").await, server.runner("other").await);
        let run = server.run(&admin, "hello", json!({ "max_retries": 1 })).await;
        reach(state, &mut killed).await;
        until_it_is_lost().await;
        let given = other.lease().await.expect("the run again");
        assert_eq!((&given["run_id"], &given["attempt_no"]), (&json!(run), &json!(2)), "{state:?}");
        other.start().await.ok(200);
        other.result(completed()).await.ok(200);
        let ended = server.get(&admin, &format!("/api/v1/runs/{run}")).await.ok(200);
        assert_eq!((&ended["status"], &ended["retry_count"]), (&json!("completed"), &json!(1)));
        let attempts = ended["attempts"].as_array().expect("attempts");
        assert_eq!(attempts.len(), 2, "{ended}");
        assert_eq!(attempts[0]["attempt_no"], 1, "{ended}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_runner_goes_on_wherever_the_server_is_killed() {
    for state in STATES {
        let installation = Installation::new();
        let server = installation.start().await;
        let admin = server.team("demo").await;
        server.app(&admin, "hello", "").await;
        let mut runner = server.runner("one").await;
        let run = server.run(&admin, "hello", json!({})).await;
        reach(state, &mut runner).await;
        server.stop().await;
        tokio::time::sleep(Duration::from_secs(10)).await;
        let server = installation.start().await;
        runner.moves_to(&server);
        if state == State::Leased {
            let started = runner.start().await;
            if started.status == 410 {
                // The lease was not taken over: nothing has run, and the run is given again.
                runner.lease().await.expect("the run again");
                runner.start().await.ok(200);
            }
        }
        if state != State::Finishing {
            assert_eq!(server.status(&admin, run).await, "running", "{state:?}");
            runner.logs(json!([line(2, "stdout", "two")])).await.ok(200);
        }
        // The answer to the first result was lost with the server: it is answered as before.
        runner.result(completed()).await.ok(200);
        let ended = server.get(&admin, &format!("/api/v1/runs/{run}")).await.ok(200);
        assert_eq!(ended["status"], "completed", "{state:?}");
        assert_eq!(ended["attempts"].as_array().map(Vec::len), Some(1), "{state:?}: {ended}");
    }
}
