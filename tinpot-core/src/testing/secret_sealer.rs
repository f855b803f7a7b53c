//! The conformance suite of [`SecretSealer`](crate::access::SecretSealer), and a sealer for tests.
//!
//! A crate that has a sealer writes a [`Subject`], a factory for such subjects, and one line:
//!
//! ```ignore
//! fn subject() -> MySubject { … }
//!
//! tinpot_core::secret_sealer_conformance!(subject);
//! ```
//!
//! The macro emits one test per case, in a module `secret_sealer_suite`.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::access::{SealedPlace, SecretSealer};
use crate::model::error::{Error, ErrorKind, Result};

/// Sealers with keys of their own.
pub trait Subject: fmt::Debug {
    /// Returns the sealer.
    fn sealer(&self) -> Arc<dyn SecretSealer>;

    /// Returns a sealer with another key, which does not know that of the first.
    fn stranger(&self) -> Arc<dyn SecretSealer>;

    /// Returns a sealer with another key, which also opens what the first has sealed.
    fn rotated(&self) -> Arc<dyn SecretSealer>;
}

/// Emits one test per case of the suite of secret sealers, in a module `secret_sealer_suite`.
///
/// Takes the path of a function that returns a
/// [`Subject`](crate::testing::secret_sealer::Subject).
#[macro_export]
macro_rules! secret_sealer_conformance {
    ($factory:path) => {
        $crate::secret_sealer_conformance! {
            @cases $factory:
            what_is_sealed_opens_at_its_place_only
            what_was_changed_does_not_open
            sealed_texts_differ_and_have_nothing_of_the_value
            another_key_does_not_open_and_a_rotated_one_does
            digests_are_those_of_a_purpose_and_a_key
        }
    };
    (@cases $factory:path: $($case:ident)*) => {
        mod secret_sealer_suite {
            #[allow(unused_imports, reason = "the factory may have an absolute path")]
            use super::*;
            $(
                #[test]
                fn $case() {
                    $crate::testing::secret_sealer::$case(&$factory());
                }
            )*
        }
    };
}

const PLACE: SealedPlace<'static> =
    SealedPlace { kind: "execution", team: "default", id: "1", path: "/password" };

/// A value opens at the place at which it was sealed, and nowhere else: not even where the parts of
/// the place have the same letters.
pub fn what_is_sealed_opens_at_its_place_only(subject: &dyn Subject) {
    let sealer = subject.sealer();
    for value in [&b""[..], b"\"hunter2\"", &[0; 100_000], "é\u{0}".as_bytes()] {
        let sealed = sealer.seal(&PLACE, value).expect("sealed");
        assert_eq!(sealer.open(&PLACE, &sealed).expect("opened"), value);
        assert!(sealer.is_current(&sealed));
        let places = [
            SealedPlace { kind: "secret", ..PLACE },
            SealedPlace { team: "billing", ..PLACE },
            SealedPlace { id: "2", ..PLACE },
            SealedPlace { path: "/passwort", ..PLACE },
            SealedPlace { id: "1/", path: "password", ..PLACE },
            SealedPlace { team: "default1", id: "", ..PLACE },
        ];
        for place in places {
            let error = sealer.open(&place, &sealed).expect_err("another place");
            assert_eq!(error.kind(), ErrorKind::Malformed, "{place:?}");
        }
    }
}

/// A text that was changed anywhere does not open, and no text makes the sealer panic.
pub fn what_was_changed_does_not_open(subject: &dyn Subject) {
    let sealer = subject.sealer();
    let sealed = sealer.seal(&PLACE, b"hunter2").expect("sealed");
    assert!(sealed.bytes().all(|byte| byte.is_ascii_graphic()), "{sealed}");
    for at in 0..sealed.len() {
        for other in ['A', 'B', '.', '~'] {
            let mut changed = sealed.clone();
            changed.replace_range(at..=at, other.encode_utf8(&mut [0; 4]));
            if changed != sealed {
                assert!(sealer.open(&PLACE, &changed).is_err(), "{changed}");
            }
        }
        assert!(sealer.open(&PLACE, &sealed[..at]).is_err());
    }
    for text in ["", ".", "..", "é", "\u{0}"] {
        let error = sealer.open(&PLACE, text).expect_err("no sealed text");
        assert!(!error.to_string().contains("hunter2"));
        assert!(!sealer.is_current(text));
    }
}

/// The same value sealed twice makes two texts, and neither they nor `Debug` have a part of it.
pub fn sealed_texts_differ_and_have_nothing_of_the_value(subject: &dyn Subject) {
    let sealer = subject.sealer();
    let value = b"a value of some length that is easily found";
    let texts: HashSet<String> =
        (0..1_000).map(|_| sealer.seal(&PLACE, value).expect("sealed")).collect();
    assert_eq!(texts.len(), 1_000);
    let shown = format!("{sealer:?}");
    assert!(!shown.contains("value") && !texts.iter().any(|text| text.contains("value")));
}

/// A sealer without the key says so, and one that has the former key opens what it has sealed.
pub fn another_key_does_not_open_and_a_rotated_one_does(subject: &dyn Subject) {
    let sealed = subject.sealer().seal(&PLACE, b"hunter2").expect("sealed");
    let error = subject.stranger().open(&PLACE, &sealed).expect_err("no key");
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    assert!(!subject.stranger().is_current(&sealed));
    let rotated = subject.rotated();
    assert_eq!(rotated.open(&PLACE, &sealed).expect("opened"), b"hunter2");
    assert!(!rotated.is_current(&sealed));
    let again = rotated.seal(&PLACE, b"hunter2").expect("sealed");
    assert!(rotated.is_current(&again));
    assert!(subject.sealer().open(&PLACE, &again).is_err());
}

/// Digests are equal for equal texts, and differ for other texts, purposes and keys.
pub fn digests_are_those_of_a_purpose_and_a_key(subject: &dyn Subject) {
    let sealer = subject.sealer();
    let first = sealer.digest("audit", b"pin");
    assert_eq!(first, sealer.digest("audit", b"pin"));
    let others = [
        sealer.digest("audit", b"pan"),
        sealer.digest("other", b"pin"),
        sealer.digest("auditp", b"in"),
        subject.stranger().digest("audit", b"pin"),
    ];
    assert!(others.iter().all(|other| *other != first));
}

/// A sealer for tests: it hides values from a search only.
#[derive(Debug)]
pub struct ToySealer {
    key: u64,
    former: Vec<u64>,
    sealed: AtomicU64,
}

impl ToySealer {
    /// Creates a sealer with this key, which also opens what these former keys have sealed.
    pub fn new(key: u64, former: &[u64]) -> Self {
        Self { key, former: former.to_vec(), sealed: AtomicU64::new(0) }
    }
}

fn toy_digest(parts: &[&[u8]]) -> u64 {
    let mut state = 0xcbf2_9ce4_8422_2325_u64;
    for part in parts {
        for byte in part.len().to_be_bytes().iter().chain(*part) {
            state = (state ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
            state ^= state >> 29;
        }
    }
    state
}

fn toy_tag(key: u64, place: &SealedPlace<'_>, number: u64, value: &[u8]) -> u64 {
    let SealedPlace { kind, team, id, path } = place;
    let (key, number) = (key.to_be_bytes(), number.to_be_bytes());
    let texts = [kind, team, id, path].map(|text| text.as_bytes());
    toy_digest(&[&key, texts[0], texts[1], texts[2], texts[3], &number, value])
}

impl SecretSealer for ToySealer {
    fn seal(&self, place: &SealedPlace<'_>, value: &[u8]) -> Result<String> {
        let number = self.sealed.fetch_add(1, Ordering::Relaxed);
        let tag = toy_tag(self.key, place, number, value);
        let hex: String = value.iter().map(|byte| format!("{:02x}", !byte)).collect();
        Ok(format!("{:016x}.{number:016x}.{tag:016x}.{hex}", self.key))
    }

    fn open(&self, place: &SealedPlace<'_>, sealed: &str) -> Result<Vec<u8>> {
        let malformed = || Error::new(ErrorKind::Malformed, "a sealed text does not open");
        let parts: Vec<&str> = sealed.split('.').collect();
        let [key, number, tag, hex] = parts[..] else { return Err(malformed()) };
        let number_of = |text: &str| match u64::from_str_radix(text, 16) {
            Ok(number) if format!("{number:016x}") == text => Ok(number),
            _ => Err(malformed()),
        };
        let (key, number, tag) = (number_of(key)?, number_of(number)?, number_of(tag)?);
        if key != self.key && !self.former.contains(&key) {
            return Err(Error::new(ErrorKind::NotFound, "the key of a sealed text is not here"));
        }
        let bytes = hex.as_bytes().chunks(2).map(|pair| {
            let text = std::str::from_utf8(pair).map_err(|_| malformed())?;
            let byte = u8::from_str_radix(text, 16).map_err(|_| malformed())?;
            (format!("{byte:02x}") == text).then_some(!byte).ok_or_else(malformed)
        });
        let value: Vec<u8> = bytes.collect::<Result<_>>()?;
        match toy_tag(key, place, number, &value) == tag {
            true => Ok(value),
            false => Err(malformed()),
        }
    }

    fn is_current(&self, sealed: &str) -> bool {
        sealed.split_once('.').is_some_and(|(key, _)| key == format!("{:016x}", self.key))
    }

    fn digest(&self, purpose: &str, text: &[u8]) -> [u8; 32] {
        let mut digest = [0; 32];
        let part = toy_digest(&[&self.key.to_be_bytes(), purpose.as_bytes(), text]);
        digest[..8].copy_from_slice(&part.to_be_bytes());
        digest
    }
}
