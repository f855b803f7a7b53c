//! Checks of the documentation: the encoder writes the messages in `docs/protocol.md`.

use std::collections::BTreeSet;

use serde_json::Value;
use tinpot_core::protocol::{Frame, Message};

const PAGE: &str = include_str!("../../../docs/protocol.md");

/// Returns the bodies of the fenced blocks that begin with "```json {kind}".
fn examples(kind: &str) -> Vec<&'static str> {
    let opening = format!("```json {kind}\n");
    let blocks = PAGE.split(opening.as_str()).skip(1);
    blocks.map(|block| block.split("\n```").next().unwrap_or_default()).collect()
}

#[test]
fn every_message_is_shown_as_it_is_encoded() {
    let mut shown = BTreeSet::new();
    for example in examples("message") {
        let message: Message =
            serde_json::from_str(example).unwrap_or_else(|e| panic!("{e}: {example}"));
        assert!(!matches!(message, Message::Unknown(_)), "{example}");
        let encoded = serde_json::to_string(&message).expect("a message has a JSON form");
        assert_eq!(encoded, example, "field by field, in this order");
        shown.insert(message.key().to_owned());
    }
    let all = [
        "accept",
        "beat",
        "beat_ack",
        "call",
        "called",
        "cancel",
        "dispatch",
        "drain",
        "goodbye",
        "hello",
        "log",
        "log_ack",
        "probe",
        "progress",
        "reject",
        "released",
        "replace_key",
        "result",
        "result_ack",
        "rotate",
        "rotated",
        "secret",
        "secret_get",
        "who_is_there",
    ];
    assert_eq!(shown, all.map(str::to_owned).into());
}

#[test]
fn the_frame_is_shown_as_it_is_encoded() {
    let [example] = examples("frame")[..] else { panic!("one frame is shown") };
    let (frame, errors) = Frame::decode(example.as_bytes()).expect("a frame");
    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!(&frame.encode()[..], example.as_bytes());
}

#[test]
fn unknown_messages_are_skipped_and_logged() {
    let bytes = br#"{"v":1,"from":"w-1","later":true,"messages":[{"brand_new":{"x":1}},{"accept":{}},{"beat":{"seq":1,"free":1,"more":[]}}]}"#;
    let (frame, errors) = Frame::decode(bytes).expect("a frame");
    let keys: Vec<&str> = frame.messages.iter().map(Message::key).collect();
    assert_eq!(keys, ["brand_new", "beat"]);
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(errors[0].to_string().contains("missing field `fence`"), "{errors:?}");
    let other: Value = serde_json::json!({"v": 2, "messages": []});
    let error = Frame::decode(other.to_string().as_bytes()).expect_err("another version");
    assert!(error.to_string().contains("version 2"), "{error}");
    Frame::decode(b"not JSON").expect_err("no frame");
}

/// The crates as `docs/guarantees.md` names them, with the directories of their tests.
const TESTS: [(&str, &str); 10] = [
    ("access", "tinpot-access/tests/it"),
    ("cli", "tinpot-cli/tests/it"),
    ("core", "tinpot-core/tests/it"),
    ("http", "tinpot-http/tests/it"),
    ("mqtt", "tinpot-mqtt/tests/it"),
    ("python", "tinpot-python/tests/it"),
    ("sqlite", "tinpot-sqlite/tests/it"),
    ("tests", "tests/it"),
    ("tower", "tinpot-tower/tests/it"),
    ("zmq", "tinpot-zmq/tests/it"),
];

#[test]
fn every_test_that_the_guarantees_name_is_there() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let page = include_str!("../../../docs/guarantees.md");
    let mut checked = 0;
    for name in page.split('`').skip(1).step_by(2) {
        let mut parts = name.split("::");
        let (Some(krate), Some(file), Some(test), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            continue;
        };
        let Some((_, folder)) = TESTS.iter().find(|(name, _)| *name == krate) else { continue };
        // The cases of a conformance suite are in the source of the suite.
        let suite = root.join(format!("tinpot-core/src/testing/{file}.rs"));
        let cases = root.join(format!("tinpot-core/src/testing/{file}"));
        let mut places = vec![root.join(folder).join(format!("{file}.rs")), suite];
        places.extend(std::fs::read_dir(cases).into_iter().flatten().flatten().map(|e| e.path()));
        let texts = places.iter().filter_map(|path| std::fs::read_to_string(path).ok());
        let found = texts.into_iter().any(|text| {
            [format!("fn {test}("), format!("fn {test}<")].iter().any(|name| text.contains(name))
                || text.contains(&format!("{test},"))
        });
        assert!(found, "{name} is not in {}", places[0].display());
        checked += 1;
    }
    assert!(checked > 20, "only {checked} names were found: has the page changed its form?");
}
