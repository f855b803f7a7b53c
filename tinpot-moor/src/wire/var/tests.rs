//! Values of the vectors that all implementations read.

use serde_json::Value;

use super::{ONLY, Reader, Var, Writer};
use crate::wire::Dialect;

const VALUES: &str = include_str!("../../../../docs/protocol/vectors/moor/values-1.json");

fn read(bytes: &[u8]) -> Var {
    let mut reader = Reader::new(bytes);
    let root = reader.root().expect("a root");
    reader.value(root, 1).expect("a value")
}

#[test]
fn the_values_of_the_official_library_are_read_and_written() {
    let vectors: Value = serde_json::from_str(VALUES).expect("JSON");
    let values = vectors["values"].as_array().expect("values");
    assert!(values.len() > 30, "{}", values.len());
    for vector in values {
        let hex = vector["bytes"].as_str().expect("bytes").as_bytes();
        let pair = |pair: &[u8]| {
            std::str::from_utf8(pair).ok().and_then(|it| u8::from_str_radix(it, 16).ok())
        };
        let bytes: Option<Vec<u8>> = hex.chunks(2).map(pair).collect();
        let value = read(&bytes.expect("hexadecimal digits"));
        let json: Value = serde_json::from_str(&value.to_json().expect("JSON")).expect("JSON");
        assert_eq!(json, vector["value"]);
        for dialect in vector["dialects"].as_str().expect("dialects").chars() {
            let dialect = if dialect == 'A' { Dialect::Token } else { Dialect::Plain };
            let mut writer = Writer::new();
            let (list, [place]) = writer.table([super::Field::Offset(ONLY)]);
            writer.vars(place, std::slice::from_ref(&value), dialect).expect("written");
            let written = writer.finish(list);
            let mut reader = Reader::new(&written);
            let list = reader.root().expect("a root");
            let again = reader.vars(list, ONLY).expect("read");
            assert_eq!(format!("{again:?}"), format!("[{value:?}]"));
        }
    }
}
