//! Passwords.

use futures::future::join_all;
use tinpot_access::{PasswordCost, PasswordMatch, Passwords, Secret};
use tinpot_core::ErrorKind;

use crate::support::refused;

pub(crate) fn cheap() -> Passwords {
    Passwords::new(PasswordCost::default().memory_kib(64).passes(1)).expect("a hasher")
}

const RIGHT: &str = "correct horse battery";

async fn compare(passwords: &Passwords, password: &str, stored: Option<&str>) -> PasswordMatch {
    passwords.compare(Secret::new(password), stored).await.expect("a comparison")
}

#[tokio::test]
async fn a_password_is_known_by_its_hash_and_no_other_is() {
    let passwords = cheap();
    let hash = passwords.hash("ada", Secret::new(RIGHT)).await.expect("a hash");
    assert!(hash.starts_with("$argon2id$v=19$m=64,t=1,p=1$"), "{hash}");
    assert_eq!(compare(&passwords, RIGHT, Some(&hash)).await, PasswordMatch::Matches);
    for wrong in ["", "correct horse batterY", "correct horse battery "] {
        assert_eq!(compare(&passwords, wrong, Some(&hash)).await, PasswordMatch::Mismatch);
    }
    assert_eq!(compare(&passwords, RIGHT, None).await, PasswordMatch::Mismatch);
    let again = passwords.hash("ada", Secret::new(RIGHT)).await.expect("a hash");
    assert_ne!(hash, again, "no salt");
}

#[tokio::test]
async fn a_hash_of_another_cost_is_outdated() {
    let costly = Passwords::new(PasswordCost::default().memory_kib(128).passes(2));
    let costly = costly.expect("a hasher");
    let hash = costly.hash("ada", Secret::new(RIGHT)).await.expect("a hash");
    assert_eq!(compare(&cheap(), RIGHT, Some(&hash)).await, PasswordMatch::Outdated);
    assert_eq!(compare(&cheap(), "wrong", Some(&hash)).await, PasswordMatch::Mismatch);
    assert_eq!(compare(&costly, RIGHT, Some(&hash)).await, PasswordMatch::Matches);
}

#[tokio::test]
async fn the_rules_are_length_and_not_the_name() {
    let passwords = cheap();
    let longest = "é".repeat(512);
    for (password, says) in [
        ("", "at least 12 bytes (got 0)"),
        ("eleven byte", "at least 12 bytes (got 11)"),
        (&*format!("{longest}x"), "at most 1024 bytes (got 1025)"),
        ("Ada.Lovelace", "name of its user"),
    ] {
        let hashed = passwords.hash("ada.lovelace", Secret::new(password)).await;
        refused(hashed, ErrorKind::InvalidInput, says);
    }
    for password in ["aaaaaaaaaaaa", &longest] {
        passwords.hash("ada", Secret::new(password)).await.expect("a hash");
    }
    let stored = passwords.hash("ada", Secret::new(&*longest)).await.expect("a hash");
    let longer = format!("{longest}x");
    assert_eq!(compare(&passwords, &longer, Some(&stored)).await, PasswordMatch::Mismatch);
}

#[tokio::test]
async fn hashes_that_cannot_be_read_or_cost_too_much_are_refused() {
    let passwords = cheap();
    let salt = "c29tZXNhbHRzb21lc2FsdA";
    let most = format!("$argon2id$v=19$m=4194304,t=1,p=1${salt}$c29tZXNhbHRzb21lc2FsdA");
    for stored in ["", "plain text", "$2b$12$abcdefghijklmnopqrstuv", &*most] {
        let compared = passwords.compare(Secret::new(RIGHT), Some(stored)).await;
        refused(compared, ErrorKind::Malformed, "stored hash");
    }
    let cost = PasswordCost::default().memory_kib(1 << 30);
    refused(Passwords::new(cost), ErrorKind::InvalidInput, "at most 262144 KiB");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_passwords_is_turned_away() {
    // Costly enough that none ends before all have come.
    let passwords = Passwords::new(PasswordCost::default()).expect("a hasher");
    let storm = (0..200).map(|_| passwords.compare(Secret::new(RIGHT), None));
    let answers = join_all(storm).await;
    let errors: Vec<_> = answers.into_iter().filter_map(Result::err).collect();
    assert!(errors.len() >= 100, "only {} of 200 were turned away", errors.len());
    for error in &errors {
        assert_eq!(error.kind(), ErrorKind::Overloaded, "{error}");
        assert!(error.is_retryable());
    }
    assert_eq!(compare(&passwords, RIGHT, None).await, PasswordMatch::Mismatch, "it goes on");
}

#[tokio::test]
async fn short_passwords_are_for_hosts_that_ask_for_them() {
    let short = || Secret::new("x");
    refused(cheap().hash("ada", short()).await, ErrorKind::InvalidInput, "at least 12 bytes");
    let lenient = cheap().min_bytes(1);
    let hash = lenient.hash("ada", short()).await.expect("a hash");
    assert_eq!(compare(&cheap(), "x", Some(&hash)).await, PasswordMatch::Matches);
    let empty = lenient.hash("ada", Secret::new("")).await;
    refused(empty, ErrorKind::InvalidInput, "at least 1 bytes");
}

#[cfg(feature = "bcrypt")]
#[tokio::test]
async fn a_hash_of_bcrypt_is_compared_and_outdated() {
    let passwords = cheap();
    // A vector of crypt_blowfish.
    let hash = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";
    assert_eq!(compare(&passwords, "U*U", Some(hash)).await, PasswordMatch::Outdated);
    for wrong in ["U*V", "", &"U*U".repeat(30)] {
        assert_eq!(compare(&passwords, wrong, Some(hash)).await, PasswordMatch::Mismatch);
    }
    for (stored, says) in [
        ("$2a$31$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "costs too much"),
        ("$2a$x", "not one of bcrypt"),
        ("$2a$05$CCCC", "the stored hash of a password"),
    ] {
        let compared = passwords.compare(Secret::new("U*U"), Some(stored)).await;
        refused(compared, ErrorKind::Malformed, says);
    }
}
