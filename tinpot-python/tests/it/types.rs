//! Types from end to end: the values of parameters and results. `python/tests` tests the whole
//! table.

use serde_json::{Value, json};

use crate::support::{Actions, offer, run};

const TYPED: &str = r#"
import dataclasses, datetime, enum
from typing import List, Optional
class Kind(enum.Enum):
    SHORT = "short"
@dataclasses.dataclass
class Part:
    made: datetime.date
    size: float = 1.5
@action
def typed(when: datetime.datetime, parts: List[Part], kind: Optional[Kind] = None, *, wait: datetime.timedelta = datetime.timedelta(hours=1), password: Secret = Secret("x")) -> List[Part]:
    """Does it.

    Args:
        when: The moment.
    """
    assert isinstance(when, datetime.datetime) and isinstance(password, Secret), (when, password)
    print("the password is", password)
    return [when, parts, kind, wait, {1, 2}, password]
@action
async def later(when: datetime.date, /, *days: datetime.date) -> datetime.date: return max([when, *days])
@action
def odd(a: complex, b: "Nothing", c: int): pass
"#;

#[tokio::test]
async fn values_arrive_as_the_signature_says_and_results_go_back_as_json() {
    let actions = Actions::of(TYPED);
    let pool = actions.pool().await;
    let given = json!({ "when": "2026-01-31T14:30:00Z", "parts": [{ "made": "2026-01-31", "size": 2 }], "kind": "short", "password": "hunter2" });
    let expected = json!(["2026-01-31T14:30:00+00:00", [{ "made": "2026-01-31", "size": 2.0 }], "short", "PT1H", [1, 2], "***"]);
    assert_eq!(run(&pool, "typed", given).await.value(), expected);
    let given = json!({ "when": "2026-01-31", "days": ["2026-02-01"] });
    assert_eq!(run(&pool, "later", given).await.value(), json!("2026-02-01"));
}

#[tokio::test]
async fn value_beyond_the_schema_is_rejected_without_own_traceback_frames() {
    let actions = Actions::of(TYPED);
    let pool = actions.pool().await;
    let given = json!({ "when": "2026-02-30T14:30", "parts": [{ "made": "2026-13-01" }] });
    let ended = run(&pool, "typed", given).await;
    let failure = ended.failure();
    assert_eq!(failure.kind, "ParameterError");
    let expected = "when: is not a date and time: day is out of range for month; parts[0].made: is not a date: month must be in 1..12";
    assert_eq!(failure.message, expected);
    let trace = failure.traceback.as_deref().unwrap_or_default();
    assert!(!trace.contains("File "), "{trace}");
}

#[tokio::test]
async fn schemas_and_problems_are_offered() {
    let actions = Actions::of(TYPED);
    let pool = actions.pool().await;
    let offer = offer(&pool);
    let typed = offer.actions.iter().find(|a| a.name.as_str() == "typed").expect("the action");
    assert_eq!(typed.description, "Does it.");
    let schema: Value = typed.schema.deserialize().expect("a schema");
    let when = json!({ "type": "string", "format": "date-time", "description": "The moment." });
    assert_eq!(schema["properties"]["when"], when);
    assert_eq!(schema["properties"]["wait"]["default"], json!("PT1H"));
    let secret = json!({ "type": "string", "format": "password", "writeOnly": true });
    assert_eq!(schema["properties"]["password"], secret);
    assert_eq!(schema["required"], json!(["when", "parts"]));
    let [problem] = &offer.load_errors[..] else { panic!("{:?}", offer.load_errors) };
    assert!(problem.place.starts_with("actions.py:"), "{problem:?}");
    for part in ["'odd'", "'a': the type complex", "'b': the annotation 'Nothing'"] {
        assert!(problem.message.contains(part), "{part} in {}", problem.message);
    }
}
