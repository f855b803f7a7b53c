//! Parameters against schemas: the values that fit, those that do not, and the messages.

use tinpot_core::action::{Schema, Violation};
use tinpot_core::{ErrorKind, Json};

const SCHEMA: &str = r#"{"type":"object","additionalProperties":false,"required":["host"],"properties":{
    "host":{"type":"string","minLength":2,"maxLength":20,"pattern":"^[a-z0-9.]+$"},
    "days":{"type":"integer","minimum":1,"maximum":30,"default":7},
    "ratio":{"type":"number","exclusiveMinimum":0,"exclusiveMaximum":1},
    "step":{"type":"integer","multipleOf":5},
    "tags":{"type":"array","items":{"type":"string"},"maxItems":3,"uniqueItems":true},
    "pair":{"type":"array","prefixItems":[{"type":"string"},{"type":"integer"}],"items":false,"minItems":2,"maxItems":2},
    "note":{"anyOf":[{"type":"string"},{"type":"null"}]},
    "maybe":{"type":["integer","null"]},
    "mode":{"type":"string","enum":["fast","slow"]},
    "when":{"type":"string","format":"date"},
    "due":{"type":"string","format":"date","formatMinimum":"2024-01-01","formatExclusiveMaximum":"2025-01-01"},
    "start":{"type":"string","format":"time"},
    "at":{"type":["string","null"],"format":"date-time"},
    "wait":{"type":["string","number"],"format":"duration"},
    "price":{"type":["string","number"],"format":"decimal"},
    "id":{"type":"string","format":"uuid"},
    "file":{"type":"string","format":"path","minLength":1},
    "data":{"type":"string","format":"binary","contentEncoding":"base64"},
    "options":{"type":"object","additionalProperties":false,"required":["level"],
        "properties":{"force":{"type":"boolean"},"level":{"type":"integer"}}},
    "limits":{"type":"object","additionalProperties":{"type":"number"},"propertyNames":{"pattern":"^[a-z]+$"},"maxProperties":2},
    "shape":{"anyOf":[
        {"type":"object","properties":{"kind":{"enum":["circle"]},"r":{"type":"number"}},"required":["kind","r"],"additionalProperties":false},
        {"type":"object","properties":{"kind":{"enum":["box"]},"w":{"type":"number"},"h":{"type":"number"}},"required":["kind","w","h"],"additionalProperties":false},
        {"type":"array","items":{"type":"number"}}]},
    "pin":{"type":"integer","maximum":9999,"writeOnly":true},
    "word":{"type":"string","enum":["open","sesame"],"writeOnly":true},
    "any":{}}}"#;

fn schema(text: &str) -> Schema {
    Schema::compile(&Json::parse(text).expect("JSON")).expect("a schema")
}

/// Returns the violations, one by one, as the error names them.
fn wrong(schema: &Schema, parameters: &str) -> Vec<String> {
    let parameters = Json::parse(parameters).expect("JSON");
    match schema.check(&parameters) {
        Ok(_) => Vec::new(),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::InvalidParameters);
            let line = |violation: &Violation| match violation.path.as_str() {
                "" => format!("parameters {}", violation.message),
                path => format!("{path} {}", violation.message),
            };
            let all: Vec<String> = error.violations().iter().map(line).collect();
            assert_eq!(error.message(), all.join("; "));
            all
        }
    }
}

#[test]
fn valid_parameters_pass() {
    let schema = schema(SCHEMA);
    for parameters in [
        r#"{"host":"a.b"}"#,
        r#"{"host":"ab","days":3,"ratio":0.5,"step":-10,"tags":["x","y"],"note":null,"maybe":null,"mode":"fast"}"#,
        r#"{"host":"ab","pair":["x",1],"when":"2024-02-29","start":"14:30","at":"2024-02-29T14:30+02:00","wait":"PT5M","price":"0.10"}"#,
        r#"{"host":"ab","at":null,"wait":1.5,"price":7,"id":"123e4567-e89b-12d3-a456-426614174000","file":"/x","data":"YWI="}"#,
        r#"{"host":"ab","options":{"level":1,"force":true},"limits":{"cpu":1.5},"shape":{"kind":"box","w":1,"h":2},"any":[{}]}"#,
        r#"{"host":"ab","shape":[1,2.5],"pin":1234,"word":"open"}"#,
    ] {
        assert_eq!(wrong(&schema, parameters), [""; 0], "{parameters}");
    }
}

#[test]
fn every_wrong_value_is_named_at_once() {
    let found = wrong(
        &schema(SCHEMA),
        r#"{"days":true,"dayz":1,"ratio":"x","tags":["a",2],"note":5,"options":{"force":1,"x":2},"when":"2024-02-30"}"#,
    );
    for part in [
        "host is required",
        "days must be an integer (got a boolean)",
        "dayz is not a parameter; use any, at, data, days, ",
        "ratio must be a number (got a string)",
        "tags[1] must be a string (got 2)",
        "note must be a string or null (got 5)",
        "options.force must be true or false (got 1)",
        "options.level is required",
        "options.x is not a field; use force, level",
        "when must be a date such as 2024-12-31 (got \"2024-02-30\")",
    ] {
        assert_eq!(
            found.iter().filter(|one| one.starts_with(part)).count(),
            1,
            "{part:?} in {found:#?}"
        );
    }
    assert_eq!(found.len(), 10, "{found:#?}");
}

#[test]
fn each_kind_of_fault_says_what_would_be_right() {
    let schema = schema(SCHEMA);
    for (field, expected) in [
        (r#""days":3.0"#, "days must be an integer (got 3.0)"),
        (r#""days":"3""#, "days must be an integer (got a string)"),
        (r#""days":0"#, "days must be at least 1 (got 0)"),
        (r#""days":31"#, "days must be at most 30 (got 31)"),
        (r#""days":99999999999999999999"#, "days must be an integer (got 1e+20)"),
        (r#""days":null"#, "days must be an integer (got null)"),
        (r#""maybe":"x""#, "maybe must be an integer or null (got a string)"),
        (r#""maybe":1.5"#, "maybe must be an integer or null (got 1.5)"),
        (r#""ratio":0"#, "ratio must be greater than 0 (got 0)"),
        (r#""ratio":1"#, "ratio must be less than 1 (got 1)"),
        (r#""step":7"#, "step must be a multiple of 5 (got 7)"),
        (r#""tags":["a","a"]"#, "tags must not repeat an item"),
        (r#""tags":["a","b","c","d"]"#, "tags must have at most 3 items (got 4)"),
        (r#""tags":{}"#, "tags must be a list (got an object)"),
        (r#""pair":["x","y"]"#, "pair[1] must be an integer (got a string)"),
        (r#""pair":["x"]"#, "pair must have at least 2 items (got 1)"),
        (r#""pair":["x",1,2]"#, "pair must have at most 2 items (got 3)"),
        (r#""mode":"medium""#, "mode must be one of \"fast\", \"slow\" (got \"medium\")"),
        (r#""mode":1"#, "mode must be a string (got 1)"),
        (r#""due":"2023-12-31""#, "due must be at least 2024-01-01 (got \"2023-12-31\")"),
        (r#""due":"2025-01-01""#, "due must be earlier than 2025-01-01 (got \"2025-01-01\")"),
        (r#""start":"25:00""#, "start must be a time such as 13:45:30 (got \"25:00\")"),
        (
            r#""at":"yesterday""#,
            "at must be a date and time such as 2024-12-31T13:45:30Z (got \"yesterday\")",
        ),
        (r#""at":5"#, "at must be a date and time such as 2024-12-31T13:45:30Z or null (got 5)"),
        (r#""wait":"1h""#, "wait must be a duration such as PT1H30M (got \"1h\")"),
        (r#""price":"NaN""#, "price must be a decimal number such as 12.50 (got \"NaN\")"),
        (
            r#""id":"1""#,
            "id must be a UUID such as 123e4567-e89b-12d3-a456-426614174000 (got \"1\")",
        ),
        (r#""data":"a b""#, "data must be base64 (got \"a b\")"),
        (r#""limits":{"a":1,"b":2,"c":3}"#, "limits must have at most 2 fields (got 3)"),
        (r#""limits":{"A":1}"#, "limits.A is not a valid name: it must match the pattern ^[a-z]+$"),
        (r#""limits":{"a":"x"}"#, "limits.a must be a number (got a string)"),
        (r#""shape":{"kind":"circle","r":"1"}"#, "shape.r must be a number (got a string)"),
        (r#""shape":{"kind":"box","w":1}"#, "shape.h is required"),
        (r#""shape":[1,"x"]"#, "shape[1] must be a number (got a string)"),
        (r#""shape":7"#, "shape must be an object or a list (got 7)"),
        // A message does not repeat a secret.
        (r#""pin":12345"#, "pin must be at most 9999 (got a number)"),
        (r#""word":"hunter2""#, "word must be one of \"open\", \"sesame\" (got a string)"),
        (r#""a\nb":1"#, "a\nb is not a parameter"),
        (r#""any":{"k":1,"k":2}"#, "any.k must be given at most once"),
        (r#""any":[1e999]"#, "any[0] must be between -1.8e308 and 1.8e308 (got 1e999)"),
        (r#""any":["\ud800"]"#, "any[0] must be JSON: "),
    ] {
        let found = wrong(&schema, &format!("{{\"host\":\"ab\",{field}}}"));
        assert!(found.len() == 1 && found[0].starts_with(expected), "{expected:?}: {found:#?}");
    }
    let kinds = wrong(&schema, r#"{"host":"ab","shape":{"kind":"star"}}"#);
    assert_eq!(
        kinds,
        ["shape.kind must be one of \"circle\" (got \"star\")", "shape.r is required"]
    );
    for (document, expected) in [("[1]", "a list"), ("null", "null"), ("\"x\"", "a string")] {
        let expected = format!("parameters must be an object (got {expected})");
        assert_eq!(wrong(&schema, document), [expected]);
    }
}

#[test]
fn huge_values_are_not_repeated_and_many_faults_are_counted() {
    let schema = schema(SCHEMA);
    let huge = "x".repeat(10_000_000);
    for (parameters, expected) in [
        (format!(r#"{{"host":"{huge}"}}"#), "host must have at most 20 characters (got 10000000)"),
        (format!(r#"{{"host":"ab","mode":"{huge}"}}"#), "mode must be one of "),
        (format!(r#"{{"host":"ab","when":"{huge}"}}"#), "when must be a date"),
        (format!(r#"{{"host":"ab","{huge}":1}}"#), "xxxxx"),
        (format!(r#"{{"host":"ab","any":{{"{huge}":1,"{huge}":2}}}}"#), "any.xxxxx"),
        (format!(r#"{{"host":"ab","shape":"{huge}"}}"#), "shape must be"),
    ] {
        let found = wrong(&schema, &parameters);
        assert!(found[0].starts_with(expected), "{expected}");
        assert!(found.iter().map(String::len).sum::<usize>() < 2_000, "{expected}");
    }
    let many: Vec<String> = (0..10_000).map(|number| format!("\"n{number}\":1")).collect();
    let parameters = Json::parse(format!("{{\"host\":\"ab\",{}}}", many.join(","))).expect("JSON");
    let error = schema.check(&parameters).expect_err("unknown names");
    assert_eq!(error.violations().len(), 50);
    assert!(error.message().ends_with("; and 9950 more"), "{error}");
    assert!(error.message().len() < 30_000);
}

#[test]
fn a_pattern_cannot_stall_the_coordinator() {
    let patient = schema(r#"{"properties":{"x":{"type":"string","pattern":"^(a+)+$"}}}"#);
    let parameters = Json::parse(format!(r#"{{"x":"{}!"}}"#, "a".repeat(1_000_000))).expect("JSON");
    let began = std::time::Instant::now();
    patient.check(&parameters).expect_err("no match");
    assert!(began.elapsed().as_secs() < 10);
}

#[test]
fn an_invalid_schema_is_refused_with_a_reason() {
    let rows = [
        ("7", "must be an object, true or false"),
        (r#"{"type":"strnig"}"#, "/type must be one of array, "),
        (r#"{"format":"date","formatMinimum":"never"}"#, "/formatMinimum must be a date"),
        (r#"{"properties":{"x":{"minimum":"1"}}}"#, "/properties/x/minimum"),
        (r#"{"properties":{"x":{"pattern":"("}}}"#, "/properties/x/pattern"),
        (r#"{"properties":{"x":{"pattern":"a(?=b)"}}}"#, "/properties/x/pattern"),
        (r#"{"properties":{"x":{"required":true}}}"#, "/properties/x/required"),
        (r#"{"properties":[]}"#, "properties must be an object"),
        (r#"{"anyOf":{}}"#, "anyOf must be a list"),
        (r##"{"$ref":"#/$defs/gone"}"##, "$ref must point to a part of the schema"),
        (
            r#"{"$ref":"https://example.org/schema.json"}"#,
            "$ref must point to a part of the schema",
        ),
        (r#"{"type":"object","type":"string"}"#, "type must be given at most once"),
        (r#"{"properties":{"x":{"pattern":"(a{1000}){1000}"}}}"#, "pattern"),
    ];
    for (text, reason) in rows {
        let error = Schema::compile(&Json::parse(text).expect("JSON")).expect_err(text);
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().starts_with("schema is invalid: "), "{error}");
        assert!(error.to_string().contains(reason), "{reason:?} in {error}");
    }
}

#[test]
fn the_oddest_schemas_and_values_are_dealt_with() {
    let parts = [
        r#"{"multipleOf":0}"#,
        r#"{"multipleOf":1e-320}"#,
        r#"{"multipleOf":1e300}"#,
        r#"{"multipleOf":0.1}"#,
        r#"{"minLength":-1}"#,
        r#"{"maxLength":1e30}"#,
        r#"{"maxLength":18446744073709551616}"#,
        r#"{"minItems":2.0,"maxItems":1}"#,
        r#"{"minimum":18446744073709551615}"#,
        r#"{"maximum":-9223372036854775808}"#,
        r#"{"exclusiveMinimum":1.7976931348623157e308}"#,
        r#"{"type":[]}"#,
        r#"{"type":["string","string"]}"#,
        r#"{"enum":[]}"#,
        r#"{"enum":[null,{},[[]],1.0]}"#,
        r#"{"required":["a","a"]}"#,
        r#"{"pattern":"\\u{110000}"}"#,
        r#"{"pattern":"\\p{Greek}+$"}"#,
        r#"{"pattern":"[\\d-\\w]"}"#,
        r#"{"patternProperties":{"(":{}}}"#,
        r#"{"patternProperties":{"^a":false},"additionalProperties":false}"#,
        r#"{"propertyNames":false}"#,
        r#"{"dependentRequired":{"a":["b"]}}"#,
        r#"{"dependentSchemas":{"a":false}}"#,
        r#"{"contains":false,"minContains":0}"#,
        r#"{"if":true,"then":false}"#,
        r#"{"not":{}}"#,
        r#"{"oneOf":[true,true]}"#,
        r#"{"oneOf":[false,{"type":"null"}]}"#,
        r#"{"anyOf":[]}"#,
        r#"{"allOf":[{"type":"string"},{"type":"integer"}]}"#,
        r#"{"unevaluatedProperties":false}"#,
        r#"{"unevaluatedItems":false}"#,
        r#"{"uniqueItems":true}"#,
        r#"{"format":"uri"}"#,
        r#"{"format":"hostname"}"#,
        r#"{"format":"email"}"#,
        "false",
    ];
    let values = [
        "null",
        "true",
        "0",
        "-0.0",
        "1e308",
        "-1e-320",
        "18446744073709551615",
        "-9223372036854775808",
        "0.3",
        r#""""#,
        r#""\u0000ü\ud83d\ude00""#,
        r#""http://[::1""#,
        "[]",
        "[[],[]]",
        "[1,1.0,true]",
        "{}",
        r#"{"a":1,"b":{}}"#,
        r#"{"":{"/":{"~":[0]}}}"#,
    ];
    let mut compiled = 0;
    for part in parts {
        let text = format!(r#"{{"properties":{{"x":{part}}}}}"#);
        let Ok(schema) = Schema::compile(&Json::parse(&*text).expect("JSON")) else { continue };
        compiled += 1;
        for value in values {
            let found = wrong(&schema, &format!(r#"{{"x":{value}}}"#));
            assert!(found.iter().all(|one| one.starts_with('x')), "{part}, {value}: {found:?}");
        }
    }
    assert!(compiled > 20, "{compiled}");
}

#[test]
fn references_and_circles_are_followed() {
    let schema = schema(
        r##"{"properties":{"tree":{"$ref":"#/$defs/Node"}},"$defs":{"Node":{"type":"object","required":["name"],
        "properties":{"name":{"type":"string"},"next":{"$ref":"#/$defs/Node"}}}}}"##,
    );
    assert_eq!(wrong(&schema, r#"{"tree":{"name":"a","next":{"name":"b"}}}"#), [""; 0]);
    assert_eq!(wrong(&schema, r#"{"tree":{"name":1}}"#), ["tree.name must be a string (got 1)"]);
    let whole = self::schema(r##"{"properties":{"next":{"$ref":"#"},"n":{"type":"integer"}}}"##);
    assert_eq!(wrong(&whole, r#"{"next":{"n":""}}"#), ["next.n must be an integer (got a string)"]);
}

#[test]
fn values_without_a_json_form_are_named_by_path() {
    for text in [r#"{"a":[1,NaN]}"#, r#"{"a":[1,Infinity]}"#, r#"{"a":[1,-Infinity]}"#] {
        let error = Json::parse(text).expect_err(text);
        assert_eq!(error.kind(), ErrorKind::Malformed);
        let [violation] = error.violations() else { panic!("{error:?}") };
        assert_eq!(violation.path, "a[1]");
        assert!(violation.message.starts_with("must be a JSON number (got "), "{violation}");
    }
    assert!(Json::parse("{").expect_err("not JSON").violations().is_empty());
}

#[test]
fn checking_finds_the_secrets() {
    let schema = schema(SCHEMA);
    let parameters = Json::parse(r#"{"host":"ab","pin":1234,"word":"open"}"#).expect("JSON");
    assert_eq!(schema.check(&parameters).expect("valid"), ["/pin", "/word"]);
}
