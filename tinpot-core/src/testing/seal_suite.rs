//! The conformance suite of [`Suite`].
//!
//! A crate that has a suite writes a factory for it, which makes the suite of the owner of a
//! numbered identity, and one line:
//!
//! ```ignore
//! fn suite(identity: u8) -> Arc<dyn Suite> { … }
//!
//! tinpot_core::seal_suite_conformance!(suite);
//! ```
//!
//! The macro emits one test per case, in a module `seal_suite`.

use std::collections::HashSet;
use std::sync::Arc;

use crate::protocol::seal::{SecretKey, Suite};

/// Makes the suite of the owner of an identity.
pub type Factory = fn(u8) -> Arc<dyn Suite>;

/// Emits one test per case of the conformance suite of [`Suite`](crate::seal::Suite).
#[macro_export]
macro_rules! seal_suite_conformance {
    ($factory:path) => {
        $crate::seal_suite_conformance! {
            @cases $factory:
            identities_have_keys_of_their_own
            signatures_verify_for_their_key_and_text_alone
            digests_are_those_of_their_text
            key_pairs_agree_and_are_new_each_time
            a_key_of_zeros_is_refused
            session_keys_depend_on_secret_and_salt_and_differ
            what_is_opened_is_what_was_sealed
            what_was_changed_is_not_opened
        }
    };
    (@cases $factory:path: $($case:ident)*) => {
        mod seal_suite {
            #[allow(unused_imports, reason = "the factory may have an absolute path")]
            use super::*;
            $(
                #[test]
                fn $case() {
                    $crate::testing::seal_suite::$case($factory);
                }
            )*
        }
    };
}

/// Two identities have different public keys; one has the same each time.
pub fn identities_have_keys_of_their_own(suite: Factory) {
    assert_eq!(suite(1).public(), suite(1).public());
    assert_ne!(suite(1).public(), suite(2).public());
}

/// A signature verifies with the key of its signer and the text that was signed, in every suite.
pub fn signatures_verify_for_their_key_and_text_alone(suite: Factory) {
    let (one, other) = (suite(1), suite(2));
    for text in [&b""[..], b"text", &[7; 5_000]] {
        let signature = one.sign(text);
        assert!(other.verify(&one.public(), text, &signature));
        assert!(!other.verify(&other.public(), text, &signature));
        assert!(!other.verify(&one.public(), &[text, b"x"].concat(), &signature));
        assert!(!other.verify(&one.public(), text, &other.sign(text)));
    }
}

/// The digest of a text is the same in every suite, and that of another text is another one.
pub fn digests_are_those_of_their_text(suite: Factory) {
    assert_eq!(suite(1).digest(b"text"), suite(2).digest(b"text"));
    assert_ne!(suite(1).digest(b"text"), suite(1).digest(b"texu"));
}

/// Two key pairs agree on one secret, and no two are the same.
pub fn key_pairs_agree_and_are_new_each_time(suite: Factory) {
    let mut seen = HashSet::new();
    for _ in 0..20 {
        let (one, other) = (suite(1), suite(2));
        let (one, other) = (one.ephemeral().expect("a pair"), other.ephemeral().expect("a pair"));
        let (first, second) = (one.public(), other.public());
        let agreed = one.agree(&second).expect("a secret").0;
        assert_eq!(agreed, other.agree(&first).expect("a secret").0);
        assert!(seen.insert(agreed));
    }
}

/// A peer cannot make the secret zero.
pub fn a_key_of_zeros_is_refused(suite: Factory) {
    assert!(suite(1).ephemeral().expect("a pair").agree(&[0; 32]).is_none());
}

/// The four keys of a session differ, and depend on the secret and the salt alone.
pub fn session_keys_depend_on_secret_and_salt_and_differ(suite: Factory) {
    let derive = |identity, secret: u8, salt: u8| {
        let keys = suite(identity).derive(&SecretKey([secret; 32]), &[salt; 32]);
        keys.up.into_iter().chain(keys.down).map(|key| key.0).collect::<Vec<_>>()
    };
    assert_eq!(derive(1, 1, 1), derive(2, 1, 1));
    let all = [derive(1, 1, 1), derive(1, 2, 1), derive(1, 1, 2)].concat();
    assert_eq!(all.iter().collect::<HashSet<_>>().len(), 12);
}

/// A frame opens as it was sealed, in every suite, whatever its size.
pub fn what_is_opened_is_what_was_sealed(suite: Factory) {
    for (counter, size) in [(1, 0), (2, 1), (1 << 40, 1_000), (u64::MAX, 70_000)] {
        let document: Vec<u8> = (0..size).map(|place| (place % 251) as u8).collect();
        let mut body = document.clone();
        let tag = suite(1).seal(&SecretKey([5; 32]), counter, b"header", &mut body);
        assert!(size < 16 || body != document);
        body.extend_from_slice(&tag);
        assert!(suite(2).open(&SecretKey([5; 32]), counter, b"header", &mut body));
        assert!(body.starts_with(&document));
    }
}

/// With another key, counter or header, or a changed or missing byte, nothing opens.
pub fn what_was_changed_is_not_opened(suite: Factory) {
    let suite = suite(1);
    let key = SecretKey([5; 32]);
    let mut body = b"a document".to_vec();
    let tag = suite.seal(&key, 7, b"header", &mut body);
    let sealed = [&body[..], &tag].concat();
    let opens = |key: &SecretKey, counter, header: &[u8], sealed: &[u8]| {
        suite.open(key, counter, header, &mut sealed.to_vec())
    };
    assert!(opens(&key, 7, b"header", &sealed));
    assert!(!opens(&SecretKey([6; 32]), 7, b"header", &sealed));
    assert!(!opens(&key, 8, b"header", &sealed));
    assert!(!opens(&key, 7, b"Header", &sealed));
    for place in 0..sealed.len() {
        let mut changed = sealed.clone();
        changed[place] ^= 1;
        assert!(!opens(&key, 7, b"header", &changed), "byte {place} was changed");
        assert!(!opens(&key, 7, b"header", &sealed[..place]), "cut to {place} bytes");
    }
}
