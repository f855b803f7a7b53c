//! The text of join tokens.

use tinpot_core::seal::{PublicKey, Suite};
use tinpot_core::{Error, ErrorKind, Result};
use zeroize::Zeroizing;

use crate::identity_key::IdentityKey;
use crate::ring_suite::RingSuite;
use crate::secret::{Secret, base62, random};
use crate::tokens::checksum;

/// The first characters of every join token, for scanners of leaked secrets.
const PREFIX: &str = "tpj_";
/// The digits of 64 bytes: `ceil(512 / log2(62))`.
const DIGITS: usize = 86;
/// The digits of the checksum over all characters before it.
const CHECKSUM: usize = 6;

/// A join token. A worker that has it can have its key enrolled, and knows its coordinator by it.
///
/// Its text is `tpj_`, the digits of an Ed25519 seed and of the public key of the namespace, and a
/// checksum. The coordinator keeps only the public half of the seed.
///
/// ```
/// use tinpot_access::{IdentityKey, JoinToken, RingSuite};
/// use tinpot_core::seal::Suite;
///
/// // The operator creates it, and gives its text to a worker.
/// let namespace = RingSuite::new(&IdentityKey::generate()?);
/// let secret = JoinToken::generate(namespace.public())?.to_secret();
///
/// // With it, the worker recognizes its coordinator.
/// let token = JoinToken::parse(secret.expose())?;
/// assert_eq!(token.coordinator(), namespace.public());
/// # Ok::<_, tinpot_core::Error>(())
/// ```
#[derive(Debug)]
pub struct JoinToken {
    seed: Zeroizing<[u8; 32]>,
    coordinator: PublicKey,
}

impl JoinToken {
    /// Creates a token for the coordinator of this key.
    ///
    /// # Errors
    /// `Other` if the system has no random numbers.
    pub fn generate(coordinator: PublicKey) -> Result<Self> {
        Ok(Self { seed: random()?, coordinator })
    }

    /// Reads the text of a token.
    ///
    /// # Errors
    /// `InvalidInput` if it was cut or mistyped, or is another kind of token. The message has no
    /// part of the text.
    pub fn parse(text: &str) -> Result<Self> {
        let invalid = |why: &str| Err(Error::new(ErrorKind::InvalidInput, why));
        if text.starts_with("tpt_") {
            return invalid(
                "it is an API token: \"tinpot workers join-token\" creates join tokens",
            );
        }
        let is_form = text.len() == PREFIX.len() + DIGITS + CHECKSUM
            && text.starts_with(PREFIX)
            && text.bytes().skip(PREFIX.len()).all(|byte| byte.is_ascii_alphanumeric());
        let end = PREFIX.len() + DIGITS;
        if !is_form || text[end..] != checksum(&text[..end]) {
            return invalid("the join token is incomplete or has a typing error");
        }
        let Some(bytes) = from_base62(&text[PREFIX.len()..end]) else {
            return invalid("the join token has a typing error");
        };
        let (seed, key) = bytes.split_at(32);
        let mut token = Self { seed: Zeroizing::new([0; 32]), coordinator: PublicKey([0; 32]) };
        token.seed.copy_from_slice(seed);
        token.coordinator.0.copy_from_slice(key);
        Ok(token)
    }

    /// Returns the text, for the one place that shows it.
    pub fn to_secret(&self) -> Secret {
        let bytes = Zeroizing::new([&self.seed[..], &self.coordinator.0].concat());
        let mut text = String::with_capacity(PREFIX.len() + DIGITS + CHECKSUM);
        text.push_str(PREFIX);
        text.push_str(&base62(&bytes, DIGITS));
        let checksum = checksum(&text);
        text.push_str(&checksum);
        Secret::new(text)
    }

    /// Returns the suite that signs as the token.
    pub fn suite(&self) -> RingSuite {
        RingSuite::new(&IdentityKey::from_seed(&self.seed))
    }

    /// Returns the public half, which a coordinator keeps.
    pub fn public(&self) -> PublicKey {
        self.suite().public()
    }

    /// Returns the public key of the coordinator.
    pub fn coordinator(&self) -> PublicKey {
        self.coordinator
    }
}

/// Reads 64 big-endian bytes from digits of base 62. `None` if the number is too large.
fn from_base62(digits: &str) -> Option<Zeroizing<[u8; 64]>> {
    let mut number = Zeroizing::new([0; 64]);
    for digit in digits.bytes() {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'A'..=b'Z' => digit - b'A' + 10,
            b'a'..=b'z' => digit - b'a' + 36,
            _ => return None,
        };
        let mut carry = u32::from(value);
        for byte in number.iter_mut().rev() {
            let sum = u32::from(*byte) * 62 + carry;
            *byte = sum as u8;
            carry = sum >> 8;
        }
        if carry > 0 {
            return None;
        }
    }
    Some(number)
}

#[cfg(test)]
mod tests {
    use tinpot_core::seal::PublicKey;

    use super::JoinToken;

    #[test]
    fn a_token_is_read_as_it_is_written_and_every_changed_character_is_noticed() {
        let token = JoinToken::generate(PublicKey([0xfe; 32])).expect("a token");
        let secret = token.to_secret();
        let text = secret.expose();
        assert!(text.starts_with("tpj_") && text.len() == 96, "{text}");
        let read = JoinToken::parse(text).expect("a token");
        assert_eq!(read.public(), token.public());
        assert_eq!(read.coordinator(), PublicKey([0xfe; 32]));
        assert!(!format!("{read:?}").contains(&text[10..20]));
        for at in 0..text.len() {
            let mut wrong = text.to_owned();
            let other = if text[at..].starts_with('x') { "y" } else { "x" };
            wrong.replace_range(at..=at, other);
            JoinToken::parse(&wrong).expect_err("a changed character");
        }
        for wrong in ["", "tpj_", &text[..95], &format!("{text}0"), &"é".repeat(48)] {
            JoinToken::parse(wrong).expect_err(wrong);
        }
    }

    #[test]
    fn the_vectors_are_read() {
        let vectors = include_str!("../../docs/protocol/vectors/tokens-1.json");
        let vectors: serde_json::Value = serde_json::from_str(vectors).expect("JSON");
        let list = |name: &str| vectors[name].as_array().expect("a list").iter();
        for entry in list("valid") {
            let token = JoinToken::parse(entry["text"].as_str().expect("a text")).expect("a token");
            let digits =
                |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
            assert_eq!(digits(&*token.seed), entry["seed"]);
            assert_eq!(digits(&token.coordinator.0), entry["coordinator"]);
        }
        for text in list("invalid") {
            JoinToken::parse(text.as_str().expect("a text")).expect_err("no token");
        }
    }
}
