//! The cryptography of sealed frames, by ring.

use std::sync::Arc;

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, Tag, UnboundKey};
use ring::agreement::{EphemeralPrivateKey, UnparsedPublicKey as PublicHalf, X25519};
use ring::digest::{SHA256, digest};
use ring::hkdf::{HKDF_SHA256, KeyType, Salt};
use ring::rand::SystemRandom;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use tinpot_core::seal::{Digest, Ephemeral, PublicKey, SecretKey, SessionKeys, Signature, Suite};
use tinpot_core::{Error, ErrorKind, Result};

use crate::identity_key::IdentityKey;

/// The info of the derivation of session keys.
const KEYS: &[u8] = b"tinpot/1 TP1 keys";

/// The suite `TP1`: Ed25519, X25519, HKDF-SHA256 and ChaCha20-Poly1305.
#[derive(Clone, Debug)]
pub struct RingSuite {
    pair: Arc<Ed25519KeyPair>,
    public: PublicKey,
}

impl RingSuite {
    /// Creates the suite of the owner of this key.
    pub fn new(key: &IdentityKey) -> Self {
        let Some(pair) = key.pair() else { unreachable!("a key was checked when it was read") };
        let public = pair.public_key().as_ref().try_into().unwrap_or_default();
        Self { pair: Arc::new(pair), public: PublicKey(public) }
    }
}

impl Suite for RingSuite {
    fn public(&self) -> PublicKey {
        self.public
    }

    fn sign(&self, text: &[u8]) -> Signature {
        match self.pair.sign(text).as_ref().try_into() {
            Ok(signature) => signature,
            Err(_) => unreachable!("signatures of Ed25519 have 64 bytes"),
        }
    }

    fn verify(&self, key: &PublicKey, text: &[u8], signature: &Signature) -> bool {
        UnparsedPublicKey::new(&ED25519, key.0).verify(text, signature).is_ok()
    }

    fn digest(&self, text: &[u8]) -> Digest {
        digest(&SHA256, text).as_ref().try_into().unwrap_or_default()
    }

    fn ephemeral(&self) -> Result<Box<dyn Ephemeral>> {
        let no_randomness =
            |_| Error::new(ErrorKind::Unavailable, "the system has no randomness for a key");
        let secret =
            EphemeralPrivateKey::generate(&X25519, &SystemRandom::new()).map_err(no_randomness)?;
        let public = secret.compute_public_key().map_err(no_randomness)?;
        let public = public.as_ref().try_into().unwrap_or_default();
        Ok(Box::new(RingEphemeral { secret, public }))
    }

    fn derive(&self, shared: &SecretKey, salt: &Digest) -> SessionKeys {
        let mut keys = [0; 4 * 32];
        let extracted = Salt::new(HKDF_SHA256, salt).extract(&shared.0);
        let filled =
            extracted.expand(&[KEYS], Length(keys.len())).and_then(|okm| okm.fill(&mut keys));
        let Ok(()) = filled else { unreachable!("HKDF gives up to 8,160 bytes") };
        let key = |number: usize| {
            let mut key = [0; 32];
            key.copy_from_slice(&keys[32 * number..32 * (number + 1)]);
            SecretKey(key)
        };
        SessionKeys { up: [key(0), key(1)], down: [key(2), key(3)] }
    }

    fn seal(&self, key: &SecretKey, counter: u64, header: &[u8], body: &mut [u8]) -> [u8; 16] {
        let sealed =
            cipher(key).seal_in_place_separate_tag(nonce(counter), Aad::from(header), body);
        let tag = sealed.ok().and_then(|tag: Tag| tag.as_ref().try_into().ok());
        let Some(tag) = tag else { unreachable!("a frame has less than 256 GiB") };
        tag
    }

    fn open(&self, key: &SecretKey, counter: u64, header: &[u8], body: &mut [u8]) -> bool {
        cipher(key).open_in_place(nonce(counter), Aad::from(header), body).is_ok()
    }
}

#[derive(Debug)]
struct RingEphemeral {
    secret: EphemeralPrivateKey,
    public: [u8; 32],
}

impl Ephemeral for RingEphemeral {
    fn public(&self) -> [u8; 32] {
        self.public
    }

    fn agree(self: Box<Self>, peer: &[u8; 32]) -> Option<SecretKey> {
        let peer = PublicHalf::new(&X25519, peer);
        // It refuses a shared secret of zeros.
        let agreed = ring::agreement::agree_ephemeral(self.secret, &peer, |shared| {
            shared.try_into().map(SecretKey)
        });
        agreed.ok()?.ok()
    }
}

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

fn cipher(key: &SecretKey) -> LessSafeKey {
    match UnboundKey::new(&CHACHA20_POLY1305, &key.0) {
        Ok(key) => LessSafeKey::new(key),
        Err(_) => unreachable!("keys of ChaCha20-Poly1305 have 32 bytes"),
    }
}

fn nonce(counter: u64) -> Nonce {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&counter.to_be_bytes());
    Nonce::assume_unique_for_key(nonce)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use tinpot_core::seal::{Digest, PublicKey, SecretKey, Signature, Suite};

    use super::{RingEphemeral, RingSuite};
    use crate::IdentityKey;

    /// The vectors, which `examples/vectors.rs` makes.
    const VECTORS: &str = include_str!("../../docs/vectors/frames-1.json");

    fn hex(value: &Value) -> Vec<u8> {
        let text = value.as_str().expect("a text");
        let byte = |place| u8::from_str_radix(&text[place..place + 2], 16).expect("a digit");
        (0..text.len()).step_by(2).map(byte).collect()
    }

    fn bytes<const N: usize>(value: &Value) -> [u8; N] {
        hex(value).try_into().expect("as many bytes")
    }

    fn list<'a>(vectors: &'a Value, name: &str) -> &'a [Value] {
        vectors[name].as_array().expect("a list")
    }

    /// Returns a key of the session by its name, such as `up_control`.
    fn key(vectors: &Value, name: &Value) -> SecretKey {
        SecretKey(bytes(&vectors["session"][name.as_str().expect("a name")]))
    }

    fn signed_text(kind: &Value, payload: &[u8]) -> Vec<u8> {
        let kind = kind.as_str().expect("a kind");
        [b"tinpot/1 ", kind.as_bytes(), b"\0", payload].concat()
    }

    /// Opens a sealed frame as its receiver does.
    fn open(suite: &RingSuite, key: &SecretKey, lane: u8, frame: &[u8]) -> Option<Vec<u8>> {
        let (head, body) = frame.split_at_checked(24)?;
        if head[..6] != [b"TPF1\0".as_slice(), &[lane]].concat() || head[6..8] != [0, 0] {
            return None;
        }
        let counter = u64::from_be_bytes(head[16..].try_into().ok()?);
        let mut body = body.to_vec();
        let right = body.len() >= 16 && suite.open(key, counter, head, &mut body);
        right.then(|| body[..body.len() - 16].to_vec())
    }

    #[test]
    fn the_vectors_of_frames_hold() {
        let vectors: Value = serde_json::from_str(VECTORS).expect("vectors");
        let suite = RingSuite::new(&IdentityKey::generate().expect("a key"));
        for entry in list(&vectors, "keys") {
            let key = IdentityKey::from_pem(entry["pem"].as_str().expect("PEM")).expect("a key");
            assert_eq!(key.to_pem(), IdentityKey::from_seed(&bytes(&entry["seed"])).to_pem());
            let public = RingSuite::new(&key).public();
            assert_eq!(public, PublicKey(bytes(&entry["public"])));
            assert_eq!(suite.digest(&public.0)[..16], hex(&entry["id"]));
        }
        for entry in list(&vectors, "signed") {
            let signer = RingSuite::new(&IdentityKey::from_seed(&bytes(&entry["seed"])));
            let text =
                signed_text(&entry["kind"], entry["payload"].as_str().expect("one").as_bytes());
            let signature: Signature = bytes(&entry["signature"]);
            assert_eq!(signer.sign(&text), signature);
            assert!(suite.verify(&signer.public(), &text, &signature));
        }
        let session = &vectors["session"];
        let digest = |name: &str| suite.digest(session[name].as_str().expect("a text").as_bytes());
        let salt: Digest = suite.digest(&[digest("init"), digest("accept")].concat());
        assert_eq!(salt[..], hex(&session["salt"]));
        let keys = suite.derive(&SecretKey(bytes(&session["shared"])), &salt);
        let names = ["up_control", "up_logs", "down_control", "down_logs"];
        for (name, derived) in names.iter().zip(keys.up.iter().chain(&keys.down)) {
            assert_eq!(derived.0[..], hex(&session[*name]), "{name}");
        }
        for entry in list(&vectors, "sealed") {
            let lane = entry["lane"].as_u64().expect("a lane") as u8;
            let key = key(&vectors, &entry["key"]);
            let document = open(&suite, &key, lane, &hex(&entry["frame"])).expect("a document");
            assert_eq!(document, entry["document"].as_str().expect("a text").as_bytes());
        }
        assert!(list(&vectors, "refused").len() >= 12);
        for entry in list(&vectors, "refused") {
            let frame = hex(&entry["frame"]);
            let taken = match entry["public"].as_str() {
                Some(_) => {
                    let (signature, payload) = frame[24..].split_at(64);
                    let signature = signature.try_into().expect("a signature");
                    let public = PublicKey(bytes(&entry["public"]));
                    suite.verify(&public, &signed_text(&entry["kind"], payload), signature)
                }
                None => {
                    let lane = entry["lane"].as_u64().expect("a lane") as u8;
                    open(&suite, &key(&vectors, &entry["key"]), lane, &frame).is_some()
                }
            };
            assert!(!taken, "{}", entry["why"]);
        }
    }

    #[test]
    fn two_ephemeral_keys_agree_and_a_secret_of_zeros_is_refused() {
        let suite = RingSuite::new(&IdentityKey::generate().expect("a key"));
        let (one, other) = (suite.ephemeral().expect("a key"), suite.ephemeral().expect("a key"));
        let (first, second) = (one.public(), other.public());
        assert_ne!(first, second);
        let agreed = one.agree(&second).expect("a secret");
        assert_eq!(agreed.0, other.agree(&first).expect("a secret").0);
        for low_order in [[0; 32], std::array::from_fn(|place| u8::from(place == 0))] {
            assert!(suite.ephemeral().expect("a key").agree(&low_order).is_none());
        }
        fn may_be_sent<T: Send + Sync>() {}
        may_be_sent::<RingEphemeral>();
    }
}
