//! The environment of programs.

use serde_json::{Value, json};
use tinpot_core::Stream;

use crate::support::{Apps, call, run};

const DUMP: &str =
    "import json, os\njson.dump(dict(os.environ), open(os.environ['TINPOT_RESULT'], 'w'))\n";

#[tokio::test]
async fn inputs_are_variables_and_a_file() {
    let apps = Apps::new().app(
        "inputs",
        "main.sh",
        "[[parameters]]\nname = \"greeting\"\ndefault = \"hello\"\n",
        "echo \"$name/$number/$flag/${nothing-unset}/$list/${greeting-unset}\"\n\
         cat $TINPOT_INPUT > $TINPOT_RESULT\n",
    );
    let executor = apps.start().await;
    let input = json!({
        "name": "a \"b\" c", "number": 3.0, "flag": true, "nothing": null, "list": [1, "<"],
        "big": 9_007_199_254_740_993_i64,
    });
    let ended = run(&executor, "inputs", input.clone()).await;
    assert_eq!(ended.stdout(), [r#"a "b" c/3/true//[1,"\u003c"]/unset"#]);
    let mut parameters = input.clone();
    parameters["greeting"] = json!("hello");
    assert_eq!(ended.value(), json!({ "input": input, "parameters": parameters }));
}

#[tokio::test]
async fn reserved_names_are_in_the_file_only_and_a_line_says_so() {
    let apps = Apps::python("reserved", DUMP);
    let executor = apps.start().await;
    let huge = "x".repeat(200_000);
    let input =
        json!({ "PATH": "/evil", "LD_PRELOAD": "evil.so", "a=b": 1, "huge": huge, "ok": 1 });
    let ended = run(&executor, "reserved", input).await;
    let found = ended.value();
    assert_eq!(found["ok"], "1");
    assert_ne!(found["PATH"], "/evil");
    assert!(found.get("LD_PRELOAD").is_none() && found.get("huge").is_none());
    let said = ended.stream(Stream::System).join("\n");
    for name in ["\"PATH\"", "\"LD_PRELOAD\"", "\"a=b\"", "\"huge\""] {
        assert!(said.contains(name), "{said}");
    }
}

#[tokio::test]
async fn the_environment_of_the_worker_is_not_passed() {
    let apps = Apps::new().app(
        "dump",
        "main.py",
        "import_paths = [\"lib\", \"/src\"]\n[tinpot]\nenv = { MODE = \"prod\", LANG = \"C.UTF-8\" }\n",
        DUMP,
    );
    let executor = apps.builder().pass_env(["CARGO_*"]).start().await.expect("an executor");
    let found = call(&std::sync::Arc::new(executor), "dump").await.value();
    let Value::Object(found) = found else { panic!("{found}") };
    assert_eq!((&found["MODE"], &found["LANG"]), (&json!("prod"), &json!("C.UTF-8")));
    assert_eq!(found["TINPOT_APP"], "dump");
    let python_path = found["PYTHONPATH"].as_str().expect("text");
    assert!(python_path.contains("/work/lib:") && python_path.ends_with("/work/src"));
    assert!(found.contains_key("CARGO_MANIFEST_DIR") && found.contains_key("PATH"));
    let allowed = |name: &str| {
        let known = [
            "PATH",
            "HOME",
            "LANG",
            "LC_CTYPE",
            "MODE",
            "PYTHONPATH",
            "USER",
            "SHELL",
            "TERM",
            "LOGNAME",
            "TMPDIR",
            "TZ",
            "LD_LIBRARY_PATH",
            "LD_PRELOAD",
            "LANGUAGE",
            "LC_ALL",
            "SSL_CERT_FILE",
            "SSL_CERT_DIR",
        ];
        known.contains(&name)
            || name.starts_with("TINPOT_")
            || name.starts_with("CARGO_")
            || name.to_lowercase().ends_with("_proxy")
    };
    let other: Vec<_> = found.keys().filter(|name| !allowed(name)).collect();
    assert_eq!(other, Vec::<&String>::new());
    assert!(!found.contains_key("TINPOT_SUPERVISED"));
}

#[tokio::test]
async fn a_missing_secret_fails_the_set_up() {
    let apps = Apps::new().app(
        "secret",
        "main.sh",
        "[tinpot]\nsecrets = [\"API_KEY\"]\n",
        "echo \"$API_KEY\"\n",
    );
    let executor = apps.start().await;
    let ended = call(&executor, "secret").await;
    assert_eq!(ended.failure().kind, "SetupFailed");
    assert!(ended.failure().message.contains("API_KEY"), "{:?}", ended.failure());
}
