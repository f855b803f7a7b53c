use std::ffi::OsString;

use clap::{Args, Command};
use serde_json::{Map, Value, json};
use tinpot_core::Json;

use super::{Flags, first_word};
use crate::args::RunOptions;

fn command() -> Command {
    RunOptions::augment_args(Command::new("run"))
}

fn read(schema: &str, words: &[&str]) -> Result<Value, String> {
    let schema = Json::parse(schema).expect("a schema");
    let flags = Flags::of(&schema, &command());
    let command = flags.add_to(command()).no_binary_name(true);
    let matches = command.try_get_matches_from(words).map_err(|e| e.to_string())?;
    let pairs: Vec<String> =
        matches.get_many("params").map(|all| all.cloned().collect()).unwrap_or_default();
    let data = matches.get_one::<String>("data");
    let data: Option<Map<String, Value>> =
        data.map(|text| serde_json::from_str(text).expect("an object"));
    flags.read(Some(&matches), &pairs, data).map(Value::Object).map_err(|e| e.to_string())
}

#[test]
fn a_flag_reads_every_type_of_the_dialect() {
    let schema = r#"{"type":"object","additionalProperties":false,"properties":{
        "text":{"type":"string"},"count":{"type":"integer"},"ratio":{"type":["number","null"]},
        "loud":{"type":"boolean"},"words":{"type":"array","items":{"type":"string"}},
        "numbers":{"type":"array","items":{"type":"integer"}},
        "settings":{"type":["object","null"]},"wait":{"type":["string","number"],"format":"duration"},
        "price":{"type":["string","number"],"format":"decimal"},
        "kind":{"type":["string","integer"],"enum":["a",1]},"anything":{},
        "either":{"type":["integer","string"]},"maybe":{"type":["string","null"]}}}"#;
    let got = read(
        schema,
        &[
            "--text",
            "-x",
            "--count",
            "-3",
            "--ratio",
            "null",
            "--loud",
            "--words",
            "a b",
            "--words=c",
            "--numbers",
            "[1,2]",
            "--numbers",
            "3",
            "--settings",
            r#"{"a":1}"#,
            "--wait",
            "90",
            "--price",
            "0.10",
            "--kind",
            "1",
            "--anything",
            "[true]",
            "--either",
            "5",
            "--maybe",
            "null",
        ],
    );
    let expected = json!({
        "text": "-x", "count": -3, "ratio": null, "loud": true, "words": ["a b", "c"], "numbers": [1, 2, 3],
        "settings": {"a": 1}, "wait": 90, "price": "0.10", "kind": 1, "anything": [true], "either": 5,
        "maybe": "null",
    });
    assert_eq!(got, Ok(expected));
    assert_eq!(read(schema, &["--no-loud"]), Ok(json!({"loud": false})));
    assert_eq!(read(schema, &["--loud=false"]), Ok(json!({"loud": false})));
    assert_eq!(read(schema, &["--words", "[]"]), Ok(json!({"words": []})));
    for (words, said) in [
        (["--count", "3.5"], "--count must be an integer (got \"3.5\")"),
        (["--ratio", "inf"], "--ratio must be a number"),
        (["--kind", "b"], "possible values: a, 1"),
        (["--settings", "{"], "--settings must be JSON"),
        (["--txt", "x"], "--text"),
        (["-p", "cuont=3"], "did you mean \"count\"?"),
        (["-p", "count"], "must be NAME=VALUE"),
    ] {
        let error = read(schema, &words).expect_err("it is wrong");
        assert!(error.contains(said), "{words:?}: {error}");
    }
}

#[test]
fn flags_override_pairs_which_override_data() {
    let schema =
        r#"{"properties":{"a":{"type":"integer"},"b":{"type":"integer"},"c":{"type":"integer"}}}"#;
    let words = ["--a", "1", "-p", "a=2", "-p", "b=2", "-d", r#"{"a":3,"b":3,"c":3}"#];
    assert_eq!(read(schema, &words), Ok(json!({"a": 1, "b": 2, "c": 3})));
    // Names that the schema does not know, where it is open.
    assert_eq!(read(schema, &["-p", "x=[1]", "-p", "y=z"]), Ok(json!({"x": [1], "y": "z"})));
}

#[test]
fn a_parameter_named_like_an_option_has_a_prefixed_flag() {
    let schema = r#"{"properties":{"timeout":{"type":"number"},"help":{"type":"string"},"priority":{"type":"integer"},
        "no_x":{"type":"integer"},"x":{"type":"boolean"},"a b":{"type":"integer"}}}"#;
    let words = [
        "--param-timeout",
        "5",
        "--timeout",
        "1",
        "--param-help",
        "me",
        "--param-x",
        "--no-x",
        "7",
        "-p",
        "a b=1",
    ];
    assert_eq!(
        read(schema, &words),
        Ok(json!({"timeout": 5, "help": "me", "x": true, "no_x": 7, "a b": 1}))
    );
}

#[test]
fn the_first_word_is_found_after_options_with_values() {
    let find = |words: &[&str]| {
        first_word(&command(), &words.iter().map(OsString::from).collect::<Vec<_>>())
    };
    assert_eq!(find(&["--timeout", "5", "-qp", "a=b", "--data=x", "name", "--x"]), Some(5));
    assert_eq!(find(&["-pa=b", "name"]), Some(1));
    assert_eq!(find(&["--detach", "name"]), Some(1));
    assert_eq!(find(&["--timeout"]), None);
}

#[test]
fn a_member_of_an_enum_is_given_by_its_value_or_its_name() {
    let schema = r#"{"type":"object","properties":{"level":{"type":["integer","string"],
        "enum":[1,"LOW"],"x-enum-names":["LOW","HIGH"]},
        "colors":{"type":"array","items":{"enum":[1,2],"x-enum-names":["RED","BLUE"]}}}}"#;
    for (words, value) in [
        (&["--level", "1"][..], json!({"level": 1})),
        (&["--level", "HIGH"], json!({"level": "LOW"})),
        // A value comes before a name.
        (&["--level", "LOW"], json!({"level": "LOW"})),
        (&["--param", "level=HIGH"], json!({"level": "LOW"})),
        (&["--colors", "RED", "--colors", "2"], json!({"colors": [1, 2]})),
    ] {
        assert_eq!(read(schema, words), Ok(value), "{words:?}");
    }
    assert!(read(schema, &["--level", "MIDDLE"]).is_err());
}
