//! Keys and tokens: the vectors, and what must not pass.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use tinpot_moor::{SigningKey, VerifyingKey};
use uuid::Uuid;

use crate::vectors::{bytes, vectors};

#[test]
fn the_token_of_the_vectors_is_signed_and_verified() {
    let vector = vectors().tokens;
    let key = SigningKey::from_pem(&vector.private_pem).unwrap();
    assert_eq!((key.to_pem(), key.is_version_2()), (vector.private_pem, false));
    let public = VerifyingKey::from_pem(&vector.public_pem).unwrap();
    assert_eq!(public, key.verifying_key());
    assert_eq!(public.as_bytes()[..], bytes(&vector.public_key));
    assert_eq!(public.to_pem(), vector.public_pem);
    assert_eq!(key.token(vector.worker).unwrap(), vector.token);
    assert_eq!(public.worker_of(&vector.token), Some(vector.worker));
    assert!(STANDARD.encode(bytes(&vector.seed)).len() > 40);
    assert!(!format!("{key:?}").contains("MC4"));
}

#[test]
fn other_tokens_are_refused() {
    let vector = vectors().tokens;
    let public = VerifyingKey::from_pem(&vector.public_pem).unwrap();
    let (signed, footer) = vector.token.rsplit_once('.').unwrap();
    assert_eq!(URL_SAFE_NO_PAD.decode(footer).unwrap(), b"key-id:moor_worker");
    let host = format!("{signed}.{}", URL_SAFE_NO_PAD.encode("key-id:moor_host!!"));
    assert_eq!(host.len(), vector.token.len());
    for wrong in ["", signed, &host, &vector.token[1..], &vector.token.replace("v4", "v3")] {
        assert_eq!(public.worker_of(wrong), None, "{wrong}");
    }
    for at in 10..signed.len() {
        let mut changed = vector.token.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        // The last digit of the signature has two bits that do not count.
        let changed = String::from_utf8(changed).unwrap();
        let read = public.worker_of(&changed);
        assert!(read.is_none() || at == signed.len() - 1, "{at}");
    }
    let other = SigningKey::generate().unwrap();
    assert_eq!(public.worker_of(&other.token(vector.worker).unwrap()), None);
    assert_eq!(other.verifying_key().worker_of(&vector.token), None);
    assert_ne!(public.worker_of(&vector.token), Some(Uuid::nil()));
}

#[test]
fn a_key_of_version_2_is_read_and_written_as_version_1() {
    let vector = vectors().tokens;
    // As mooR's command writes it: version 2, with the public key behind.
    let mut der = vec![0x30, 0x51, 2, 1, 1, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    der.extend(bytes(&vector.seed));
    der.extend([0x81, 0x21, 0]);
    der.extend(bytes(&vector.public_key));
    assert_eq!(der.len(), 83);
    let pem = |der: &[u8]| {
        let digits = STANDARD.encode(der);
        format!("-----BEGIN PRIVATE KEY-----\n{digits}\n-----END PRIVATE KEY-----\n")
    };
    let key = SigningKey::from_pem(&pem(&der)).unwrap();
    assert!(key.is_version_2());
    assert_eq!(key.to_pem(), vector.private_pem);
    assert_eq!(key.token(vector.worker).unwrap(), vector.token);
}

#[test]
fn wrong_files_are_refused_with_a_reason() {
    let vector = vectors().tokens;
    for (text, why) in [
        (&*vector.private_pem, "private key"),
        ("", "PUBLIC KEY"),
        ("-----BEGIN PUBLIC KEY-----\nMCow\n-----END PUBLIC KEY-----", "damaged"),
        ("ssh-ed25519 AAAA", "openssl pkey -pubout"),
    ] {
        let error = VerifyingKey::from_pem(text).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
    let error = SigningKey::from_pem(&vector.public_pem).unwrap_err().to_string();
    assert!(error.contains("this is a public key"), "{error}");
    assert!(SigningKey::from_pem("-----BEGIN OPENSSH PRIVATE KEY-----").is_err());
}
