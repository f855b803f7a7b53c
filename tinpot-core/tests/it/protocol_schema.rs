//! The schema of the messages in `docs/protocol/` says what serde reads, and nothing else.

use std::cell::RefCell;
use std::collections::BTreeSet;

use serde::Deserialize;
use serde::de::value::Error as Stop;
use serde::de::{Deserializer, Error as _, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::{Value, json};
use tinpot_core::action::{Action, LoadError};
use tinpot_core::executor::ActionSet;
use tinpot_core::protocol::{
    Accept, Beat, BeatAck, Call, Called, Cancel, Dispatch, Drain, GivenSecret, Goodbye, Hello,
    LogAck, Message, Probe, Recorded, Reject, Released, ReplaceKey, ResultAck, ResultReport,
    Rotate, Rotated, SecretAnswer, SecretGet, WhoIsThere,
};
use tinpot_core::{
    Backoff, BundleRef, EnvironmentState, Failure, Level, PythonEnvironment, RetryOn, Stream,
    SubmitOptions,
};

const SCHEMA: &str = include_str!("../../../docs/protocol/messages-1.schema.json");
const ASYNCAPI: &str = include_str!("../../../docs/protocol/asyncapi-1.json");
const PAGE: &str = include_str!("../../../docs/protocol.md");
/// Parts that serde takes as any JSON, since the machines check them.
const OPAQUE: [&str; 2] = ["#/$defs/json", "#/$defs/json_object"];

fn schema() -> Value {
    serde_json::from_str(SCHEMA).expect("JSON")
}

fn validator(schema: &Value) -> jsonschema::Validator {
    let options = jsonschema::options().with_draft(jsonschema::Draft::Draft202012);
    options.build(schema).expect("a schema")
}

fn message_types(schema: &Value) -> Vec<String> {
    let types = schema["$defs"]["message"]["properties"].as_object().expect("an object");
    types.keys().cloned().collect()
}

/// Returns the example of each message, with every field.
fn examples(schema: &Value) -> Vec<Value> {
    let example = |name: &String| json!({name: schema["$defs"][name]["examples"][0].clone()});
    message_types(schema).iter().map(example).collect()
}

fn is_read(message: &Value) -> bool {
    serde_json::from_str::<Message>(&message.to_string()).is_ok()
}

/// Notes the names of the fields or variants that a type asks for, and stops.
struct Names<'a>(&'a RefCell<Vec<&'static str>>);

impl<'de> Deserializer<'de> for Names<'_> {
    type Error = Stop;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Stop> {
        Err(Stop::custom("neither a struct nor an enum"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Stop> {
        self.0.borrow_mut().extend(fields);
        Err(Stop::custom("noted"))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Stop> {
        self.0.borrow_mut().extend(variants);
        Err(Stop::custom("noted"))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map identifier ignored_any
    }
}

fn names<T: for<'de> Deserialize<'de>>() -> BTreeSet<&'static str> {
    let noted = RefCell::default();
    let _ = T::deserialize(Names(&noted));
    noted.into_inner().into_iter().collect()
}

/// Checks that a definition has the fields of a type, without those that only a coordinator sets.
fn has_fields_of<T: for<'de> Deserialize<'de>>(name: &str, hidden: &[&str]) {
    let schema = schema();
    let properties = schema["$defs"][name]["properties"].as_object().expect("an object");
    let mut expected = names::<T>();
    assert!(!expected.is_empty(), "{name}");
    expected.retain(|field| !hidden.contains(field));
    assert_eq!(properties.keys().map(String::as_str).collect::<BTreeSet<_>>(), expected, "{name}");
}

#[test]
fn the_schema_has_the_fields_of_every_type() {
    has_fields_of::<Hello>("hello", &[]);
    has_fields_of::<Beat>("beat", &[]);
    has_fields_of::<BeatAck>("beat_ack", &[]);
    has_fields_of::<Dispatch>("dispatch", &[]);
    has_fields_of::<Accept>("accept", &[]);
    has_fields_of::<Reject>("reject", &[]);
    has_fields_of::<ResultReport>("result", &[]);
    has_fields_of::<Released>("released", &[]);
    has_fields_of::<ResultAck>("result_ack", &[]);
    has_fields_of::<Cancel>("cancel", &[]);
    has_fields_of::<Drain>("drain", &[]);
    has_fields_of::<Probe>("probe", &[]);
    has_fields_of::<LogAck>("log_ack", &[]);
    has_fields_of::<Goodbye>("goodbye", &[]);
    has_fields_of::<Call>("call", &[]);
    has_fields_of::<Called>("called", &[]);
    has_fields_of::<SecretGet>("secret_get", &[]);
    has_fields_of::<Rotate>("rotate", &[]);
    has_fields_of::<ReplaceKey>("replace_key", &[]);
    has_fields_of::<Rotated>("rotated", &[]);
    has_fields_of::<SecretAnswer>("secret", &[]);
    has_fields_of::<WhoIsThere>("who_is_there", &[]);
    has_fields_of::<tinpot_core::protocol::Log>("log", &[]);
    has_fields_of::<ActionSet>("offer", &[]);
    has_fields_of::<Action>("action", &["team", "deployed"]);
    has_fields_of::<LoadError>("problem", &[]);
    has_fields_of::<PythonEnvironment>("python_environment", &[]);
    has_fields_of::<Failure>("failure", &[]);
    has_fields_of::<BundleRef>("bundle", &[]);
    has_fields_of::<Backoff>("backoff", &[]);
    has_fields_of::<SubmitOptions>("submit_options", &[]);
    let given = &schema()["$defs"]["secret_state"]["properties"]["given"]["properties"];
    let given = given.as_object().expect("an object").keys().map(String::as_str);
    assert_eq!(given.collect::<BTreeSet<_>>(), names::<GivenSecret>());
}

#[test]
fn the_schema_has_the_values_of_every_enum() {
    let schema = schema();
    let has = |part: &Value, expected: BTreeSet<&str>| {
        let values = part["enum"].as_array().expect("a list");
        let values: BTreeSet<&str> = values.iter().filter_map(Value::as_str).collect();
        assert_eq!(values, expected);
    };
    let log = &schema["$defs"]["log"]["properties"];
    has(&log["stream"], names::<Stream>());
    has(&log["level"], names::<Level>());
    has(&schema["$defs"]["result_ack"]["properties"]["recorded"], names::<Recorded>());
    has(&schema["$defs"]["retry"]["properties"]["on"], names::<RetryOn>());
    let environment = &schema["$defs"]["python_environment"]["properties"];
    has(&environment["state"], names::<EnvironmentState>());
}

#[test]
fn every_message_has_an_example_with_every_field() {
    let schema = schema();
    let validator = validator(&schema);
    for example in examples(&schema) {
        let text = example.to_string();
        let message: Message =
            serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
        assert!(!matches!(message, Message::Unknown(_)), "{text}");
        // Each field is one that serde knows: an unknown one would be gone.
        let encoded: Value = serde_json::to_value(&message).expect("JSON");
        assert_eq!(encoded, example);
        let frame = json!({"v": 1, "from": "web-00c0ffee", "messages": [example]});
        assert!(validator.is_valid(&frame), "{:?}", validator.validate(&frame));
    }
}

/// Returns the schema behind references, and of a union the part for objects.
fn resolved<'a>(root: &'a Value, part: &'a Value) -> &'a Value {
    if let Some(reference) = part["$ref"].as_str() {
        let pointer = reference.trim_start_matches('#');
        return resolved(root, root.pointer(pointer).expect("a definition"));
    }
    let is_object = |part: &&Value| part["type"] == "object";
    part["anyOf"].as_array().and_then(|parts| parts.iter().find(is_object)).unwrap_or(part)
}

/// Calls `visit` with the place of every value in an instance, and its schema.
fn walk(root: &Value, part: &Value, value: &Value, at: &str, visit: &mut dyn FnMut(&str, &Value)) {
    if part["$ref"].as_str().is_some_and(|reference| OPAQUE.contains(&reference)) {
        return;
    }
    let part = resolved(root, part);
    visit(at, part);
    for (name, value) in value.as_object().into_iter().flatten() {
        walk(root, &part["properties"][name], value, &format!("{at}/{name}"), visit);
    }
    for (place, value) in value.as_array().into_iter().flatten().enumerate() {
        walk(root, &part["items"], value, &format!("{at}/{place}"), visit);
    }
}

#[test]
fn what_the_schema_requires_is_what_serde_requires() {
    let schema = schema();
    let validator = validator(&schema);
    let frame = |message: &Value| json!({"v": 1, "messages": [message]});
    let mut removed = 0;
    for example in examples(&schema) {
        let mut places = Vec::new();
        let part = &schema["$defs"]["message"];
        walk(&schema, part, &example, "", &mut |at, part| {
            places.push((at.to_owned(), part.clone()))
        });
        for (at, part) in places {
            let value = example.pointer(&at).expect("a value");
            // A value of another type is refused by both.
            let wrong = if value.is_string() { json!(7) } else { json!("wrong") };
            let mut changed = example.clone();
            *changed.pointer_mut(&at).expect("a value") = wrong;
            if !at.is_empty() {
                assert!(!is_read(&changed), "serde reads {changed}");
                assert!(!validator.is_valid(&frame(&changed)), "the schema allows {changed}");
            }
            let Some(fields) = value.as_object().filter(|_| part["maxProperties"].is_null()) else {
                continue;
            };
            for name in fields.keys() {
                let mut changed = example.clone();
                let object = changed.pointer_mut(&at).and_then(Value::as_object_mut);
                object.expect("an object").remove(name);
                let is_valid = validator.is_valid(&frame(&changed));
                assert_eq!(is_read(&changed), is_valid, "without {at}/{name}: {changed}");
                removed += 1;
            }
        }
    }
    assert!(removed > 100, "{removed}");
}

#[test]
fn the_page_shows_what_the_schema_allows() {
    let schema = schema();
    let validator = validator(&schema);
    for kind in ["message", "frame"] {
        let opening = format!("```json {kind}\n");
        for block in PAGE.split(opening.as_str()).skip(1) {
            let text = block.split("\n```").next().unwrap_or_default();
            let value: Value = serde_json::from_str(text).expect("JSON");
            let frame = if kind == "frame" { value } else { json!({"v": 1, "messages": [value]}) };
            assert!(validator.is_valid(&frame), "{text}");
        }
    }
}

#[test]
fn the_description_of_the_topics_has_every_message_and_topic() {
    let (schema, asyncapi): (Value, Value) =
        (schema(), serde_json::from_str(ASYNCAPI).expect("JSON"));
    for name in message_types(&schema) {
        let about = schema["$defs"][&name]["description"].as_str().expect("a text");
        let way = if about.starts_with("Worker to coordinator") { "up" } else { "down" };
        let lane = if about.contains("lane logs") { "Logs" } else { "Control" };
        for (channel, message) in asyncapi["components"]["messages"].as_object().expect("an object")
        {
            let about = message["description"].as_str().expect("a text");
            let listed = about.split([' ', ',', '.', ':']).any(|word| word == name);
            let isolated = ["join", "joined"].contains(&&**channel);
            assert_eq!(
                listed && !isolated,
                *channel == format!("{way}{lane}"),
                "{name} in {channel}"
            );
        }
    }
    for channel in asyncapi["channels"].as_object().expect("an object").values() {
        let address = channel["address"].as_str().expect("a text");
        let row = address.replace("control", "{lane}").replace("logs", "{lane}");
        assert!(PAGE.contains(&format!("`{row}`")), "{row}");
    }
}
