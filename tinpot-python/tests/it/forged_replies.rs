//! Code that writes to the socket of its interpreter: it answers for itself at most.

use serde_json::json;

use crate::support::{Actions, call};

const FORGERS: &str = r#"
import gc, threading
from tinpot import action, _connection

def connection():
    return next(o for o in gc.get_objects() if isinstance(o, _connection.Connection))

@action
def truth(): return "the truth"

@action
def forges(): connection().send(b'{"ok":"a lie"}\n')

@action
def forges_many(): connection().send(b'{"ok":"a lie"}\n' * 5)

@action
def floods(): connection().send(b'{"ok":"a lie"}\n' * 2000)

@action
def forges_its_own_number():
    # Its real reply comes when the next attempt may have begun.
    connection().reply(b'{"ok":"own"}\n')
    return "too late"

@action
def forges_with_an_old_number():
    own = connection()._nonce
    end = connection().send
    def late():
        for _ in range(100):
            end(own + b'{"ok":"also own"}\n')
            threading.Event().wait(0.001)
    threading.Thread(target=late, daemon=True).start()
    return "own"
"#;

#[tokio::test]
async fn a_forged_reply_is_taken_for_no_attempt() {
    let actions = Actions::of(FORGERS);
    let pool = actions.pool().await;
    for action in ["forges", "forges_many"] {
        for _ in 0..3 {
            assert_eq!(call(&pool, action).await.value(), json!(null));
            assert_eq!(call(&pool, "truth").await.value(), json!("the truth"), "after {action}");
        }
    }
    let failure = call(&pool, "floods").await.failure().clone();
    assert!(failure.message.contains("messages that belong to no attempt"), "{failure:?}");
    assert_eq!(call(&pool, "truth").await.value(), json!("the truth"));
    for action in ["forges_its_own_number", "forges_with_an_old_number"] {
        for _ in 0..10 {
            let own = call(&pool, action).await.value();
            assert!(own == json!("own") || own == json!("also own"), "{own}");
            assert_eq!(call(&pool, "truth").await.value(), json!("the truth"), "after {action}");
        }
    }
}
