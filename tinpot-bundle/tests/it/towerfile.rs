//! Towerfiles: every key, rule and message.

use serde_json::{Value, json};
use tinpot_bundle::{Kind, ParameterType, RetryOn, Runtime, Towerfile};
use tinpot_core::ErrorKind;

const MINIMAL: &str = "[app]\nname = \"hello\"\nscript = \"main.py\"\n";

fn parse(text: &str) -> Towerfile {
    Towerfile::parse(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn refused(text: &str, expected: &str) {
    let error = Towerfile::parse(text).expect_err(text);
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    let message = error.to_string();
    assert!(message.starts_with("Towerfile: "), "{message}");
    assert!(message.contains(expected), "{message:?} does not contain {expected:?}\n{text}");
}

/// Adds lines to the minimal Towerfile.
fn with(lines: &str) -> String {
    format!("{MINIMAL}{lines}\n")
}

fn parameter(lines: &str) -> String {
    with(&format!("[[parameters]]\nname = \"n\"\n{lines}"))
}

fn schema(text: &str) -> Option<Value> {
    parse(text).schema().map(|schema| schema.deserialize().expect("JSON"))
}

#[test]
fn a_minimal_towerfile_has_defaults() {
    let towerfile = parse(MINIMAL);
    assert_eq!(towerfile.name, "hello");
    assert_eq!(towerfile.script.as_deref(), Some("main.py"));
    assert_eq!(towerfile.source, ["./**"]);
    assert!(towerfile.import_paths.is_empty());
    assert_eq!(towerfile.timeout, None);
    assert_eq!(towerfile.schema(), None);
    assert_eq!(towerfile.runtime(), Runtime::Script);
    assert!(towerfile.warnings.is_empty());
}

#[test]
fn a_full_towerfile_is_read() {
    let towerfile = parse(
        r#"
        [app]
        name = "full-app"
        script = "./src/../main.sh"
        source = ["./*.sh", "lib/**"]
        import_paths = ["lib"]
        [app.timeout]
        seconds = 120
        [[parameters]]
        name = "count"
        type = "integer"
        description = "How many"
        default = 3
        [tinpot]
        group = "ops"
        description = "Says hello"
        priority = -2
        queue = "slow"
        expires_in = "1h30m"
        setup_timeout = 90
        python = ">=3.12, <4"
        requirements = "deps/requirements.txt"
        env = { MODE = "prod" }
        secrets = ["KEY"]
        retry = { retries = 2, on = "lost" }
        limits = { memory = "512M", cpu_seconds = 60, output = "64MiB", processes = 64 }
        "#,
    );
    assert_eq!(towerfile.script_path().as_deref(), Some("main.sh"));
    assert_eq!(towerfile.timeout.expect("a timeout").as_secs(), 120);
    assert_eq!(towerfile.parameters[0].kind, ParameterType::Integer);
    let extras = &towerfile.tinpot;
    assert_eq!(extras.priority, Some(-2));
    assert_eq!(extras.expires_in.expect("a duration").as_secs(), 5_400);
    assert_eq!(extras.setup_timeout.expect("a duration").as_secs(), 90);
    assert_eq!(extras.retry.expect("retries").on, RetryOn::Lost);
    let limits = extras.limits.expect("limits");
    assert_eq!(limits.memory_bytes, Some(512 << 20));
    assert_eq!(limits.output_bytes, Some(64 << 20));
    assert_eq!((limits.cpu_seconds, limits.processes), (Some(60), Some(64)));
    assert_eq!(towerfile.runtime(), Runtime::Process);
    assert_eq!(towerfile.warnings, Vec::<String>::new());
}

#[test]
fn keys_match_in_any_case_and_unknown_ones_are_warnings() {
    let text = "[APP]\nName = \"hello\"\nSCRIPT = \"a.sh\"\nsorce = []\n[App2]\n[[Parameters]]\nNAME = \"n\"\ntyp = \"x\"\n";
    let towerfile = parse(text);
    assert_eq!(towerfile.parameters[0].name, "n");
    let warnings = &towerfile.warnings;
    assert_eq!(warnings.len(), 3, "{warnings:?}");
    assert!(
        warnings.iter().any(|text| text.contains("app.sorce is unknown; did you mean \"source\"?")),
        "{warnings:?}"
    );
    assert!(warnings.iter().any(|text| text.contains("parameters[0].typ")), "{warnings:?}");
}

#[test]
fn the_rules_of_the_app_are_kept() {
    refused("[app", "is not TOML");
    refused("", "must have a table [app]");
    refused("app = 1", "app must be a table (got 1)");
    refused("[app]", "app.name is missing");
    refused("[app]\nname = 5", "app.name must be a string (got 5)");
    for name in ["ab", "1abc", "Abc", "a_b", "-ab", &"a".repeat(33), "aé-b"] {
        refused(
            &format!("[app]\nname = {name:?}\nscript = \"a.py\""),
            "app.name must have 3 to 32",
        );
    }
    for name in ["api", "admin", "system", "internal", "default"] {
        refused(&format!("[app]\nname = {name:?}\nscript = \"a.py\""), "reserved name");
    }
    let script = |script: &str| format!("[app]\nname = \"hello\"\nscript = {script:?}");
    refused("[app]\nname = \"hello\"", "app.script is missing");
    refused(&script(""), "app.script is missing");
    refused(&script("main.rb"), "app.script must end in .py or .sh (got \"main.rb\")");
    for path in ["../a.py", "a/../../b.sh", "./../a.py"] {
        refused(&script(path), "app.script must stay in the folder");
    }
    for path in ["a/../b.py", "/main.py", "./main.sh", "..x.py", "MAIN.PY"] {
        parse(&script(path));
    }
    let keys = |keys: &str| format!("{MINIMAL}{keys}");
    refused(&keys("source = [\"a\", \"../b\"]"), "app.source[1] must stay in the folder");
    refused(&keys("source = \"a\""), "app.source must be an array of strings");
    refused(&keys("import_paths = [\"..\"]"), "app.import_paths[0] must stay in the folder");
    for seconds in ["0", "-5"] {
        let text = with(&format!("[app.timeout]\nseconds = {seconds}"));
        refused(&text, &format!("app.timeout.seconds must be at least 1 (got {seconds})"));
    }
    refused(&with("[app.timeout]"), "app.timeout.seconds must be at least 1 (got 0)");
    refused(
        &with("[app.timeout]\nseconds = 1.5"),
        "app.timeout.seconds must be an integer (got 1.5)",
    );
    refused(&with("[app.timeout]\nseconds = \"5\""), "app.timeout.seconds must be an integer");
    refused(&format!("# {}", "x".repeat(256 * 1024)), "must have at most 262144 bytes");
}

#[test]
fn the_rules_of_parameters_are_kept() {
    refused(&with("[[parameters]]"), "parameters[0].name is missing");
    refused(&with("[[parameters]]\nname = \"\""), "parameters[0].name is missing");
    refused(&parameter("[[parameters]]\nname = \"n\""), "parameters[1].name must be unique (\"n\"");
    refused(
        &parameter("type = \"float\""),
        "parameters[0].type must be one of string, number, integer, boolean (got \"float\")",
    );
    refused(&format!("parameters = 1\n{MINIMAL}"), "parameters must be an array of tables (got 1)");
    for (kind, good, bad) in [
        ("string", vec!["\"x\"", "\"\""], vec!["1", "1.5", "true", "[]", "1979-05-27"]),
        ("integer", vec!["5", "-1"], vec!["5.0", "\"5\"", "true"]),
        ("number", vec!["5", "5.5", "-0.1"], vec!["\"5\"", "false", "inf", "nan", "-inf"]),
        ("boolean", vec!["true", "false"], vec!["0", "\"true\""]),
    ] {
        for default in good {
            let text = parameter(&format!("type = {kind:?}\ndefault = {default}"));
            assert!(parse(&text).parameters[0].default.is_some());
        }
        for default in bad {
            let text = parameter(&format!("type = {kind:?}\ndefault = {default}"));
            refused(&text, "parameters[0].default must be a");
        }
    }
    refused(&parameter("default = 1"), "parameters[0].default must be a string (got 1)");
}

#[test]
fn the_extra_rules_of_parameters_are_kept() {
    for (lines, expected) in [
        ("required = 1", "parameters[0].required must be true or false"),
        ("enum = []", "parameters[0].enum must be an array of at least one value"),
        ("enum = [\"a\", 1]", "parameters[0].enum[1] must be a string (got 1)"),
        ("enum = [\"a\"]\ndefault = \"b\"", "default of \"n\" is invalid"),
        ("minimum = 1", "parameters[0].minimum is for type number and integer only"),
        ("type = \"integer\"\nminimum = 0.5", "parameters[0].minimum must be an integer (got 0.5)"),
        (
            "type = \"number\"\nminimum = 2\nmaximum = 1",
            "parameters[0].minimum must be at most maximum",
        ),
        ("type = \"number\"\nmaximum = 1\ndefault = 2", "default of \"n\" is invalid"),
        ("type = \"number\"\npattern = \"a\"", "parameters[0].pattern is for type string only"),
        ("pattern = \"(\"", "parameters[0]: "),
        ("pattern = \"^a\"\ndefault = \"b\"", "default of \"n\" is invalid"),
        (
            "secret = true\ndefault = \"b\"",
            "parameters[0].default must be left out: the parameter is a secret",
        ),
        (
            "required = true\ndefault = \"b\"",
            "parameters[0].default must be left out: the parameter is required",
        ),
    ] {
        refused(&parameter(lines), expected);
    }
}

#[test]
fn the_schema_is_that_of_the_reference() {
    let text = parameter(
        "[[parameters]]\nname = \"a\"\ntype = \"number\"\ndescription = \"An a\"\ndefault = 1.5",
    );
    let expected = json!({"type": "object", "properties": {
        "n": {"type": "string"},
        "a": {"type": "number", "description": "An a", "default": 1.5},
    }});
    assert_eq!(schema(&text), Some(expected));
    let json = parse(&text).schema().expect("a schema").as_str().to_owned();
    assert!(!json.contains("required") && !json.contains("additional"), "{json}");
}

#[test]
fn the_schema_has_what_only_tinpot_knows() {
    let text = parameter(
        "type = \"integer\"\nrequired = true\nminimum = 1\nmaximum = 9\nenum = [1, 2]\n\
         [[parameters]]\nname = \"s\"\npattern = \"^x\"\nsecret = true\n[tinpot]\nstrict = true",
    );
    let expected = json!({
        "type": "object",
        "properties": {
            "n": {"type": "integer", "minimum": 1, "maximum": 9, "enum": [1, 2]},
            "s": {"type": "string", "pattern": "^x", "writeOnly": true},
        },
        "required": ["n"],
        "additionalProperties": false,
    });
    assert_eq!(schema(&text), Some(expected));
    let strict = json!({"type": "object", "properties": {}, "additionalProperties": false});
    assert_eq!(schema(&with("[tinpot]\nstrict = true")), Some(strict));
}

#[test]
fn the_rules_of_the_extras_are_kept() {
    for (line, expected) in [
        ("pyton = \"3\"", "the key tinpot.pyton is unknown; did you mean \"python\"?"),
        ("zzz = 1", "the key tinpot.zzz is unknown; known: group"),
        ("schedule = \"0 * * * *\"", "tinpot.schedule is not supported yet"),
        ("concurrency = 1", "tinpot.concurrency is not supported yet"),
        (
            "kind = \"action\"",
            "tinpot.kind must be \"script\" or \"actions\" (got \"action\"); did you mean \"actions\"?",
        ),
        ("exec = []", "tinpot.exec must name a program"),
        ("exec = [\"\"]", "tinpot.exec[0] must not be empty"),
        ("exec = [\"../tool\"]", "tinpot.exec[0] must stay in the folder"),
        ("exec = \"tool\"", "tinpot.exec must be an array of strings"),
        ("kind = \"actions\"\nexec = [\"a\"]", "tinpot.exec must be left out with kind"),
        ("priority = 3000000000", "tinpot.priority must be -2147483648 to 2147483647"),
        ("queue = \"\"", "tinpot.queue must have 1 to 128 bytes"),
        ("group = \"a\\nb\"", "tinpot.group must have 1 to 128 bytes and no control"),
        ("expires_in = \"5\"", "tinpot.expires_in must be a duration from 1s to 365d"),
        ("expires_in = 0", "tinpot.expires_in must be a duration"),
        ("expires_in = \"400d\"", "tinpot.expires_in must be a duration"),
        ("setup_timeout = \"1x\"", "tinpot.setup_timeout must be a duration"),
        ("setup_timeout = \"99999999999999999999s\"", "tinpot.setup_timeout must be a duration"),
        ("python = \"three\"", "tinpot.python must be versions"),
        ("python = \"\"", "tinpot.python must be versions"),
        ("requirements = \"pyproject.toml\"", "tinpot.requirements must be a .txt file or uv.lock"),
        ("requirements = \"../r.txt\"", "tinpot.requirements must stay in the folder"),
        ("env = { \"A-B\" = \"x\" }", "tinpot.env: the name of a variable"),
        ("env = { A = 1 }", "tinpot.env.A must be a string"),
        ("secrets = [\"1A\"]", "tinpot.secrets: the name of a variable"),
        ("env = { A = \"x\" }\nsecrets = [\"A\"]", "tinpot.env and tinpot.secrets both name A"),
        ("retry = { on = \"any\" }", "tinpot.retry.retries is missing"),
        ("retry = { retries = -1 }", "tinpot.retry.retries must be 0 to 1000 (got -1)"),
        ("retry = { retries = 1, on = \"lots\" }", "tinpot.retry.on must be \"any\" or \"lost\""),
        ("retry = { retries = 1, dely = 1 }", "the key tinpot.retry.dely is unknown"),
        ("limits = { memory = \"5X\" }", "tinpot.limits.memory must be a size"),
        ("limits = { memory = 0 }", "tinpot.limits.memory must be a size"),
        ("limits = { memry = 1 }", "tinpot.limits.memry is unknown; did you mean \"memory\"?"),
        ("limits = { processes = 0 }", "tinpot.limits.processes must be 1 to"),
        ("strict = 1", "tinpot.strict must be true or false"),
    ] {
        refused(&with(&format!("[tinpot]\n{line}")), expected);
    }
}

#[test]
fn the_runtime_is_derived() {
    let of = |lines: &str| parse(&with(&format!("[tinpot]\n{lines}"))).runtime();
    assert_eq!(of("strict = true\nqueue = \"q\"\nretry = { retries = 1 }"), Runtime::Script);
    for lines in [
        "exec = [\"./bin/tool\", \"-x\"]",
        "python = \">=3.9\"",
        "env = { A = \"b\" }",
        "secrets = [\"A\"]",
        "limits = { processes = 4 }",
        "requirements = \"uv.lock\"",
    ] {
        assert_eq!(of(lines), Runtime::Process, "{lines}");
    }
    assert_eq!(of("requirements = \"requirements.txt\""), Runtime::Script);
    let only = |lines: &str| parse(&format!("[app]\nname = \"hello\"\n[tinpot]\n{lines}"));
    let actions = only("kind = \"actions\"");
    assert_eq!((actions.runtime(), actions.tinpot.kind), (Runtime::Python, Kind::Actions));
    assert_eq!(only("exec = [\"tool\"]").runtime(), Runtime::Process);
    assert_eq!(parse("[app]\nname = \"hello\"\nscript = \"A.PY\"").runtime(), Runtime::Process);
}

#[test]
fn the_normal_form_has_no_comments_and_no_order() {
    let one = parse("# one\n[app]\nscript = \"main.py\"\nname = \"hello\"\n");
    let other = parse(MINIMAL);
    let json = |towerfile: &Towerfile| serde_json::to_value(towerfile).expect("JSON");
    assert_eq!(json(&one), json(&other));
    assert_eq!(json(&one)["source"], json!(["./**"]));
}
