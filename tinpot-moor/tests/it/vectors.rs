//! The file of test vectors.

use serde::Deserialize;

#[derive(Deserialize)]
pub(crate) struct Vectors {
    pub(crate) tokens: Tokens,
    pub(crate) messages: Vec<Message>,
    pub(crate) json: Vec<String>,
    pub(crate) refused_json: Vec<(String, String)>,
    pub(crate) refused: Vec<Refused>,
}

#[derive(Deserialize)]
pub(crate) struct Tokens {
    pub(crate) seed: String,
    pub(crate) worker: uuid::Uuid,
    pub(crate) public_key: String,
    pub(crate) private_pem: String,
    pub(crate) public_pem: String,
    pub(crate) token: String,
}

#[derive(Deserialize)]
pub(crate) struct Message {
    pub(crate) name: String,
    pub(crate) from: String,
    pub(crate) dialect: String,
    pub(crate) bytes: String,
    pub(crate) is: String,
}

#[derive(Deserialize)]
pub(crate) struct Refused {
    pub(crate) name: String,
    pub(crate) bytes: String,
}

pub(crate) fn vectors() -> Vectors {
    serde_json::from_str(include_str!("../../vectors/moor-1.json")).expect("vectors")
}

pub(crate) fn bytes(hex: &str) -> Vec<u8> {
    let pair = |at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal digits");
    (0..hex.len()).step_by(2).map(pair).collect()
}
