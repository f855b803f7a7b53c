//! Nothing that a file says ends the worker, stops reloads or hides other files.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use serde_json::json;
use tinpot_core::executor::ActionSet;
use tinpot_python::PythonPool;

use crate::support::{Actions, call, names, offer, within};

const FINE: &str = "from tinpot import action\n@action\ndef fine(): return 1\n";

/// Files with the part of the load error that each must have.
const ODD: &[(&str, &str)] = &[
    (
        "import os\nraise RuntimeError('cannot read ' + os.fsdecode(b'caf\\xe9.csv'))",
        r"caf\udce9.csv",
    ),
    ("raise RuntimeError('\\x00' + 'x' * 10_000_000 + 'the end')", "the end"),
    ("class E(Exception):\n    def __str__(self): raise SystemExit\nraise E", "E"),
    (
        "class C:\n    def __repr__(self): raise KeyboardInterrupt\nraise SystemExit(C())",
        "sys.exit(",
    ),
    ("raise SystemExit('\\ud800')", "sys.exit("),
    ("raise SyntaxError('odd', (b'bytes', 1, 1, 'x'))", "odd"),
    ("error = ImportError('odd')\nerror.name, error.path = 5, 7\nraise error", "odd"),
    (
        "from tinpot import action\n@action(name='\\udce9')\ndef f(): pass\nraise ValueError",
        "ValueError",
    ),
    ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    ("from tinpot import action\n@action\ndef f(x=10**5000): pass", "action 'f"),
    ("from tinpot import action\n@action\ndef f(x=float('inf')): pass", "action 'f"),
    (
        "from typing import Annotated\nfrom tinpot import Param, action\n@action\n\
         def f(x: Annotated[str, Param(choices={'a': object()})]): pass",
        "action 'f",
    ),
    (
        "from tinpot import action\nclass D:\n    def __class_getitem__(cls, x): raise SystemExit\n\
         @action\ndef f(x: 'D[1]'): pass",
        "SystemExit",
    ),
    (
        "import os\nfor fd in range(3, 64):\n    try: os.write(fd, b'nonsense\\n')\n    except OSError: pass",
        "cannot be read",
    ),
    ("import os\nos.closerange(3, 64)", "before it was ready"),
    (
        "import os\nfor fd in range(3, 64):\n    try: os.write(fd, b'{\"ready\":{\"actions\":[\\xff')\n\
         \x20   except OSError: pass",
        "cannot be read",
    ),
];

/// Returns the text of an odd file, whose actions have names of their own.
fn odd(number: usize) -> String {
    ODD[number].0.replace("def f(", &format!("def f{number}("))
}

fn check(offer: &Arc<ActionSet>) {
    assert!(names(offer).contains(&"fine"), "{:?}", names(offer));
    for (number, (text, part)) in ODD.iter().enumerate() {
        let file = format!("odd_{number}.py");
        let said = offer
            .load_errors
            .iter()
            .any(|error| error.place.starts_with(&file) && error.message.contains(part));
        assert!(said, "{file}: {text}\n{part:?} in {:#?}", offer.load_errors);
    }
    assert!(offer.load_errors.iter().all(|error| error.message.len() < 20_000));
}

#[tokio::test]
async fn odd_files_are_problems_of_their_own() {
    let mut actions =
        Actions::new().file("fine.py", FINE).file("zone.py", &FINE.replace("fine", "zone"));
    for number in 0..ODD.len() {
        actions = actions.file(&format!("odd_{number}.py"), &odd(number));
    }
    for reload in [false, true] {
        let builder = PythonPool::builder(actions.0.path()).size(1).spare(0).reload(reload);
        let pool = Arc::new(within("a pool", builder.start()).await.expect("a pool"));
        check(&offer(&pool));
        assert_eq!(call(&pool, "fine").await.value(), json!(1));
        assert_eq!(call(&pool, "zone").await.value(), json!(1));
    }
}

#[tokio::test]
async fn odd_files_do_not_stop_reloads() {
    use tinpot_core::Executor;

    let mut actions = Actions::new().file("fine.py", FINE);
    let builder = PythonPool::builder(actions.0.path()).size(1).spare(0);
    let pool = Arc::new(builder.start().await.expect("a pool"));
    for number in 0..ODD.len() {
        actions = actions.file(&format!("odd_{number}.py"), &odd(number));
    }
    fs::write(actions.path("last.py"), FINE.replace("fine", "last")).expect("a file");
    let mut offers = pool.actions();
    let found = offers
        .wait_for(|offer| names(offer).contains(&"last") && offer.load_errors.len() >= ODD.len());
    let found = within("the last file", found).await.expect("an offer").clone();
    check(&found);
    assert_eq!(call(&pool, "last").await.value(), json!(1));
}

#[tokio::test]
async fn names_with_any_characters_are_offered() {
    let long = "x".repeat(240);
    let files = [
        "with\nnewline.py",
        "it's \"quoted\".py",
        "100% of it.py",
        "😀.py",
        "deploy-prod.py",
        "2fa.py",
        "class.py",
        "a:b.py",
        "back\\slash.py",
        "a.b.c.py",
        "-h.py",
        "sub folder%s\n/x.py",
        "2nd.d/class/x.py",
        &format!("{long}.py"),
    ];
    let mut actions = Actions::new();
    for (number, file) in files.iter().enumerate() {
        actions = actions.file(file, &FINE.replace("fine", &format!("fine_{number}")));
    }
    for reload in [false, true] {
        let builder = PythonPool::builder(actions.0.path()).size(1).spare(0).reload(reload);
        let pool = Arc::new(builder.start().await.expect("a pool"));
        assert_eq!((names(&offer(&pool)).len(), &offer(&pool).load_errors), (files.len(), &vec![]));
        assert_eq!(call(&pool, "fine_0").await.value(), json!(1));
    }
}

#[tokio::test]
async fn folder_whose_name_is_not_utf_8_works() {
    let parent = Actions::new();
    let root = parent.0.path().join(OsStr::from_bytes(b"caf\xe9 \"x\"\n"));
    fs::create_dir(&root).expect("a directory");
    fs::write(root.join("fine.py"), FINE).expect("a file");
    fs::write(root.join("bad.py"), "def (:").expect("a file");
    for reload in [false, true] {
        let builder = PythonPool::builder(&root).size(1).spare(0).reload(reload);
        let pool = Arc::new(builder.start().await.expect("a pool"));
        assert_eq!(call(&pool, "fine").await.value(), json!(1));
        assert_eq!(offer(&pool).load_errors[0].place, "bad.py");
    }
}

#[tokio::test]
async fn named_pipe_is_a_load_error_and_blocks_nothing() {
    for reload in [true, false] {
        let actions = Actions::new().file("fine.py", FINE);
        let made = std::process::Command::new("mkfifo").arg(actions.path("pipe.py")).status();
        assert!(made.expect("mkfifo").success());
        let pool = PythonPool::builder(actions.0.path()).size(1).reload(reload).start();
        let pool = Arc::new(within("a pool", pool).await.expect("a pool"));
        let offer = offer(&pool);
        assert_eq!(names(&offer), ["fine"]);
        let errors = &offer.load_errors;
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert_eq!(errors[0].place, "pipe.py");
        assert!(errors[0].message.contains("is not a regular file"), "{errors:?}");
    }
}

#[tokio::test]
async fn name_that_is_not_utf_8_is_a_load_error_with_and_without_reloads() {
    let actions = Actions::new().file("fine.py", FINE);
    let folder = actions.0.path().join(OsStr::from_bytes(b"d\xe9p\xf4t"));
    fs::create_dir(&folder).expect("a directory");
    fs::write(folder.join("below.py"), FINE.replace("fine", "below")).expect("a file");
    let file = actions.0.path().join(OsStr::from_bytes(b"caf\xe9.py"));
    fs::write(file, FINE.replace("fine", "bad")).expect("a file");
    for reload in [true, false] {
        let builder = PythonPool::builder(actions.0.path()).size(1).spare(0).reload(reload);
        let pool = Arc::new(within("a pool", builder.start()).await.expect("a pool"));
        let offer = offer(&pool);
        assert_eq!(names(&offer), ["fine"]);
        let errors = &offer.load_errors;
        assert_eq!(errors.len(), 2, "{errors:?}");
        for error in errors {
            assert!(error.message.contains("is not UTF-8: rename"), "{errors:?}");
            assert!(error.place.starts_with("caf") || error.place.ends_with("below.py"));
        }
    }
}
