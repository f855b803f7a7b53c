//! The action set of a directory.

use std::time::Duration;

use serde_json::json;
use tinpot_core::action::parameters;
use tinpot_core::{Action, Backoff, ErrorKind, RetryPolicy};
use tinpot_python::PythonPool;

use crate::support::{Actions, call, names, offer};

const ONE: &str = "from tinpot import action\n@action\ndef NAME(): return __name__\n";

fn one(name: &str) -> String {
    ONE.replace("NAME", name)
}

#[tokio::test]
async fn files_are_found_below_and_imported_as_packages() {
    let actions = Actions::new()
        .file("top.py", &one("top"))
        .file("a/job.py", &one("a_job"))
        .file("b/job.py", &one("b_job"))
        .file("pack/__init__.py", "VALUE = 7\n")
        .file("pack/inner.py", "from . import VALUE\nfrom ._hidden import H\nfrom tinpot import action\n@action\ndef inner(): return [VALUE, H]\n")
        .file("pack/_hidden.py", "H = 8\n")
        .file("_skipped.py", "raise RuntimeError('this file is not imported')\n")
        .file(".venv/x.py", "raise RuntimeError\n")
        .file("uses.py", "import _skipped_helper, a.job\nfrom tinpot import action\n@action\ndef uses(): return a.job.a_job()\n")
        .file("_skipped_helper.py", "")
        .file("my-odd dir/x.y.py", &one("odd"))
        .file("json.py", &one("like_the_standard_library"))
        .file("email/send.py", &one("like_a_package"))
        .file("c.py", &one("c_file"))
        .file("c/job.py", &one("c_job"));
    let pool = actions.pool().await;
    let offer = offer(&pool);
    assert_eq!(offer.load_errors, []);
    let mut found = names(&offer);
    found.sort_unstable();
    let expected = [
        "a_job",
        "b_job",
        "c_file",
        "c_job",
        "inner",
        "like_a_package",
        "like_the_standard_library",
        "odd",
        "top",
        "uses",
    ];
    assert_eq!(found, expected);
    assert_eq!(call(&pool, "inner").await.value(), json!([7, 8]));
    assert_eq!(call(&pool, "uses").await.value(), json!("a.job"));
    assert_eq!(call(&pool, "b_job").await.value(), json!("b.job"));
}

#[tokio::test]
async fn tracebacks_of_imports_show_the_users_files_alone() {
    let actions = Actions::new()
        .file("outer.py", "import inner\n")
        .file("inner.py", "def f():\n    import no_such_module\n\nf()\n")
        .file("chained.py", "try:\n    import no_such_module\nexcept ImportError as e:\n    raise ValueError('no library') from e\n");
    let pool = actions.pool().await;
    let load_errors = offer(&pool).load_errors.clone();
    let frames = |place: &str| {
        let error = load_errors.iter().find(|error| error.place == place).expect("a load error");
        let frames = error.message.lines().filter(|line| line.starts_with("  File "));
        let file = |line: &str| line.split('"').nth(1)?.rsplit('/').next().map(str::to_owned);
        frames.filter_map(file).collect::<Vec<_>>()
    };
    assert_eq!(frames("outer.py"), ["outer.py", "inner.py", "inner.py"]);
    assert_eq!(frames("chained.py"), ["chained.py", "chained.py"]);
}

#[tokio::test]
async fn problems_hide_nothing_else() {
    let actions = Actions::new()
        .file("fine.py", &one("fine"))
        .file(
            "broken.py",
            "from tinpot import action\n@action\ndef half(): pass\nimport no_such_module\n",
        )
        .file("syntax.py", "def (:\n")
        .file("leaves.py", "import sys\nsys.exit(3)\n")
        .file("twins/a.py", "\n\nfrom tinpot import action\n@action\ndef twin(): pass\n")
        .file("twins/b.py", "from tinpot import action\n@action(name='twin')\ndef other(): pass\n")
        .file("types.py", "from tinpot import action\n\n@action\ndef odd(x: complex): pass\n")
        .file("default.py", "from tinpot import action\n@action\ndef default(x=object()): pass\n")
        .file("named.py", "from tinpot import action\n@action(name='a/b')\ndef named(): pass\n")
        .file("decorated.py", "from tinpot import action\n@action(retries=-1)\ndef d(): pass\n");
    let pool = actions.pool().await;
    let offer = offer(&pool);
    assert_eq!(names(&offer), ["fine"]);
    let expected = [
        ("broken.py", "line 4, in <module>"),
        ("broken.py", "No module named 'no_such_module'"),
        ("syntax.py", "SyntaxError"),
        ("leaves.py", "sys.exit(3)"),
        ("twins/a.py:4", "twins/a.py:4 and twins/b.py:2"),
        ("types.py:3", "the type complex is not supported"),
        ("types.py:3", "'x'"),
        ("default.py:2", "has no JSON form"),
        ("named.py:2", "a/b"),
        ("decorated.py", "retries must be"),
    ];
    for (place, part) in expected {
        let found = offer.load_errors.iter().any(|p| p.place == place && p.message.contains(part));
        assert!(found, "{place}: {part} in {:#?}", offer.load_errors);
    }
    assert_eq!(offer.load_errors.len(), 8, "{:#?}", offer.load_errors);
    // A call of an action that was not loaded reports the reason.
    let ended = call(&pool, "half").await;
    assert!(ended.failure().message.contains("no_such_module"), "{:?}", ended.failure());
}

#[tokio::test]
async fn file_that_hangs_or_kills_is_set_aside() {
    let actions = Actions::new()
        .file("fine.py", &one("fine"))
        .file("hangs.py", "import time\ntime.sleep(1000)\n")
        .file("kills.py", "import os\nos.write(2, b'last words\\n')\nos._exit(7)\n");
    let builder = PythonPool::builder(actions.0.path()).size(1).spare(0);
    let pool = builder.start_timeout(Duration::from_millis(1500)).start().await.expect("a pool");
    let pool = std::sync::Arc::new(pool);
    let offer = offer(&pool);
    assert_eq!(names(&offer), ["fine"]);
    for (place, part) in
        [("hangs.py", "1.5 s"), ("kills.py", "exit code 7"), ("kills.py", "last words")]
    {
        let found = offer.load_errors.iter().any(|p| p.place == place && p.message.contains(part));
        assert!(found, "{place}: {part} in {:#?}", offer.load_errors);
    }
    assert!(call(&pool, "fine").await.value().is_string());
}

#[tokio::test]
async fn every_option_of_the_decorator_is_offered() {
    let actions = Actions::new().file(
        "all.py",
        r#"
from __future__ import annotations
from typing import Any, Dict, List, Optional, Union
import datetime
from tinpot import action

@action
def bare():
    """What it does.

    And more.
    """

@action(name="Full name", group="Ops", description="Says so", queue="gpu", timeout=1.5, retries=2)
def full(
    text: str, whole: int = 7, real: float = 0.5, yes: bool = True, items: list[str] = ["a"], plain: list = [],
    counts: dict[str, int] = {}, old: Dict[str, List[int]] = {}, maybe: Optional[str] = None, implied: int = None,
    either: Union[int, str] = 1, anything: Any = None, untyped=3,
): pass

@action(timeout=datetime.timedelta(minutes=1))
def more(a, **others): pass

@action(
    priority=-3, delay=2.5, expires_in=datetime.timedelta(hours=1), timeout=0.25, retries=5, retry_delay=0.5, backoff="fixed",
    max_retry_delay=0.4, retry_jitter=0.75, max_lost_attempts=1,
)
def careful(): pass
"#,
    );
    let pool = actions.pool().await;
    let offer = offer(&pool);
    assert_eq!(offer.load_errors, []);
    let [bare, full, more, careful] = &offer.actions[..] else { panic!("{:?}", names(&offer)) };
    assert_eq!((&*bare.group, &*bare.queue, bare.timeout), ("General", "default", None));
    assert_eq!(bare.description, "What it does.\n\nAnd more.");
    assert_eq!((&*full.name, &*full.group, &*full.queue), ("Full name", "Ops", "gpu"));
    assert_eq!((&*full.description, full.timeout), ("Says so", Some(Duration::from_millis(1500))));
    assert_eq!(full.retry, RetryPolicy::exponential(2));
    assert_eq!(more.timeout, Some(Duration::from_secs(60)));
    assert_eq!((more.priority, more.delay, more.expires_in), (0, None, None));
    assert_eq!(more.retry, RetryPolicy::never());
    is_careful(careful);
    let schema: serde_json::Value = full.schema.deserialize().expect("a schema");
    assert_eq!(schema["required"], json!(["text"]));
    assert_eq!(schema["additionalProperties"], json!(false));
    let strings = json!({ "type": "array", "items": { "type": "string" }, "default": ["a"] });
    for (name, expected) in [
        ("text", json!({ "type": "string" })),
        ("whole", json!({ "type": "integer", "default": 7 })),
        ("real", json!({ "type": "number", "default": 0.5 })),
        ("yes", json!({ "type": "boolean", "default": true })),
        ("items", strings),
        ("plain", json!({ "type": "array", "default": [] })),
        ("maybe", json!({ "type": ["string", "null"], "default": null })),
        ("implied", json!({ "type": ["integer", "null"], "default": null })),
        ("either", json!({ "type": ["integer", "string"], "default": 1 })),
        ("anything", json!({ "default": null })),
        ("untyped", json!({ "default": 3 })),
    ] {
        assert_eq!(schema["properties"][name], expected, "{name}");
    }
    assert_eq!(
        schema["properties"]["counts"]["additionalProperties"],
        json!({ "type": "integer" })
    );
    // In the order of the signature.
    let order: Vec<String> = parameters(&full.schema).into_iter().map(|p| p.name).collect();
    let expected =
        "text whole real yes items plain counts old maybe implied either anything untyped";
    assert_eq!(order.join(" "), expected);
    let schema: serde_json::Value = more.schema.deserialize().expect("a schema");
    assert_eq!(schema["additionalProperties"], json!(true));
}

/// The options of the decorator of `careful`.
fn is_careful(action: &Action) {
    let millis = |millis| Some(Duration::from_millis(millis));
    assert_eq!((action.priority, action.delay), (-3, millis(2500)));
    assert_eq!((action.expires_in, action.timeout), (millis(3_600_000), millis(250)));
    let backoff = Backoff::fixed(Duration::from_millis(500))
        .max_delay(Duration::from_millis(400))
        .jitter(0.75);
    assert_eq!(action.retry, RetryPolicy::new(5, backoff).max_lost_attempts(1));
}

#[tokio::test]
async fn wrong_options_are_named_with_file_and_line() {
    let mut actions = Actions::new().file("fine.py", &one("fine"));
    let wrong = [
        "priority=True",
        "delay=-1",
        "expires_in=0",
        "timeout=float('nan')",
        "retries=10**9",
        "retry_delay='1'",
        "backoff='linear'",
        "max_retry_delay=1e300",
        "retry_jitter=1.5",
        "max_lost_attempts=0",
        "no_such_option=1",
    ];
    for (number, option) in wrong.iter().enumerate() {
        let text = format!("from tinpot import action\n\n@action({option})\ndef wrong(): pass\n");
        actions = actions.file(&format!("wrong_{number}.py"), &text);
    }
    let pool = actions.pool().await;
    let offer = offer(&pool);
    assert_eq!(names(&offer), ["fine"]);
    assert_eq!(offer.load_errors.len(), wrong.len(), "{:#?}", offer.load_errors);
    for (number, option) in wrong.iter().enumerate() {
        let file = format!("wrong_{number}.py");
        let problem = offer.load_errors.iter().find(|p| p.place == file).expect("a problem");
        let name = option.split('=').next().expect("a name");
        for part in [&*format!("{file}\", line 3"), "Error: ", name] {
            assert!(problem.message.contains(part), "{part:?} in {}", problem.message);
        }
    }
}

#[tokio::test]
async fn directory_that_is_not_there_is_named() {
    let actions = Actions::new().file("a_file", "");
    for name in ["missing", "a_file"] {
        let error = PythonPool::builder(actions.path(name)).start().await.expect_err("no pool");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[tokio::test]
async fn files_of_apps_are_not_imported() {
    let fails = "raise RuntimeError('this file is not imported')\n";
    let actions = Actions::new()
        .file(
            "app/Towerfile",
            "[app]\nname = \"app\"\nscript = \"main.py\"\n# kind = \"actions\"\n",
        )
        .file("app/main.py", fails)
        .file("app/below/other.py", fails)
        .file("folder/Towerfile", "[app]\nname = \"folder\"\n[tinpot]\nkind = 'actions'\n")
        .file("folder/job.py", &one("job"));
    for reload in [true, false] {
        let pool = PythonPool::builder(actions.path("")).size(1).reload(reload).start().await;
        let pool = std::sync::Arc::new(pool.expect("a pool"));
        let offer = offer(&pool);
        assert_eq!((names(&offer), &offer.load_errors[..]), (vec!["job"], &[][..]), "{reload}");
    }
}
