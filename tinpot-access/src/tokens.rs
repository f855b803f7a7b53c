//! The text of API tokens.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::secret::{Digest, Secret, base62, new_secret, random};
use tinpot_core::Result;

/// The first characters of every token, for scanners of leaked secrets.
const PREFIX: &str = "tpt_";
/// The digits of the 32 random bytes.
const RANDOM: usize = 43;
/// The digits of the checksum over all characters before it.
const CHECKSUM: usize = 6;

/// Creates the text of a token: `tpt_`, 43 digits of 256 random bits, and 6 digits of a checksum.
pub(crate) fn generate() -> Result<Secret> {
    let random = new_secret()?;
    let mut text = String::with_capacity(PREFIX.len() + RANDOM + CHECKSUM);
    text.push_str(PREFIX);
    text.push_str(random.expose());
    let checksum = checksum(&text);
    text.push_str(&checksum);
    Ok(Secret::new(text))
}

/// The first characters of tokens in the form of MiniTower.
const MINITOWER_PREFIX: &str = "mtk_";

/// Creates the text of a token in the form of MiniTower: `mtk_` and 256 random bits in base64.
pub(crate) fn generate_minitower() -> Result<Secret> {
    let random = URL_SAFE_NO_PAD.encode(*random::<32>()?);
    Ok(Secret::new(format!("{MINITOWER_PREFIX}{random}")))
}

/// Returns true if the text may be a token of MiniTower. Those have no checksum.
fn is_minitower(text: &str) -> bool {
    let random = text.strip_prefix(MINITOWER_PREFIX).map(str::as_bytes);
    random.is_some_and(|random| {
        let is_digit = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        random.len() == RANDOM && random.iter().all(is_digit)
    })
}

/// A text that is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoToken;

impl fmt::Display for NoToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the token is incomplete or has a typing error")
    }
}

/// Returns the digest of a token, if its form and its checksum are right.
pub(crate) fn digest(text: &str) -> Result<Digest, NoToken> {
    if is_minitower(text) {
        return Ok(Digest::of(text.as_bytes()));
    }
    let is_form = text.len() == PREFIX.len() + RANDOM + CHECKSUM
        && text.starts_with(PREFIX)
        && text[PREFIX.len()..].bytes().all(|byte| byte.is_ascii_alphanumeric());
    if !is_form || !text.ends_with(&checksum(&text[..PREFIX.len() + RANDOM])) {
        return Err(NoToken);
    }
    Ok(Digest::of(text.as_bytes()))
}

pub(crate) fn checksum(text: &str) -> String {
    base62(&crc32(text.as_bytes()).to_be_bytes(), CHECKSUM).to_string()
}

/// The CRC-32 of zip and Ethernet, bit by bit: 47 bytes take less than a microsecond.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32| (crc >> 1) ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 };
    let update = |crc: u32, byte: &u8| (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc));
    !bytes.iter().fold(!0, update)
}

#[cfg(test)]
mod tests {
    use super::{crc32, digest, generate, generate_minitower};
    use crate::secret::Digest;

    #[test]
    fn the_checksum_is_that_of_zip() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn a_token_of_minitower_has_its_form() {
        let token = generate_minitower().unwrap();
        let text = token.expose();
        assert!(text.starts_with("mtk_") && text.len() == 47, "{text}");
        assert_eq!(digest(text), Ok(Digest::of(text.as_bytes())));
        for wrong in [&text[..46], &format!("{text}0"), &text.replace("mtk_", "mtr_"), "mtk_"] {
            digest(wrong).expect_err(wrong);
        }
        digest(&format!("mtk_{}+", &text[4..46])).expect_err("another alphabet");
    }

    #[test]
    fn a_token_is_read_as_it_is_written_and_every_changed_character_is_noticed() {
        let token = generate().unwrap();
        let text = token.expose();
        assert!(text.starts_with("tpt_") && text.len() == 53, "{text}");
        assert_eq!(digest(text), Ok(Digest::of(text.as_bytes())));
        for at in 0..text.len() {
            let mut wrong = text.to_owned();
            let other = if text[at..].starts_with('x') { "y" } else { "x" };
            wrong.replace_range(at..=at, other);
            digest(&wrong).expect_err(&wrong);
        }
        for wrong in ["", "tpt_", &text[1..], &text[..52], &format!("{text}0"), &"é".repeat(26)] {
            digest(wrong).expect_err(wrong);
        }
        let odd = format!("tpt_{}é{}", &text[4..46], &text[47..52]);
        assert_eq!(odd.len(), text.len());
        digest(&odd).expect_err("as many bytes, but fewer characters");
    }
}
