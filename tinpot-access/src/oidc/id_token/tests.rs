use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use serde_json::json;

use super::*;

const NOW: u64 = 1_800_000_000;

/// A provider with a key of each of two kinds.
struct Provider {
    curve: EcdsaKeyPair,
    edwards: Ed25519KeyPair,
    random: SystemRandom,
}

impl Provider {
    fn new() -> Self {
        let random = SystemRandom::new();
        let kind = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let made = EcdsaKeyPair::generate_pkcs8(kind, &random).expect("a key");
        let curve = EcdsaKeyPair::from_pkcs8(kind, made.as_ref(), &random).expect("a key");
        let made = Ed25519KeyPair::generate_pkcs8(&random).expect("a key");
        let edwards = Ed25519KeyPair::from_pkcs8(made.as_ref()).expect("a key");
        Self { curve, edwards, random }
    }

    fn keys(&self) -> Keys {
        let point = self.curve.public_key().as_ref();
        let (x, y) = (encoded(&point[1..33]), encoded(&point[33..]));
        let edwards = encoded(self.edwards.public_key().as_ref());
        let keys = json!({"keys": [
            {"kty": "EC", "crv": "P-256", "kid": "1", "use": "sig", "x": x, "y": y},
            {"kty": "OKP", "crv": "Ed25519", "kid": "2", "x": edwards},
            {"kty": "oct", "kid": "3", "k": encoded("a secret of both sides")},
            {"kty": "EC", "crv": "P-256", "kid": "4", "use": "enc", "x": x, "y": y},
            {"kty": 7},
        ]});
        serde_json::from_value(keys).expect("keys")
    }

    fn signed(&self, header: &Value, claims: &Value) -> String {
        let message = format!("{}.{}", encoded(header.to_string()), encoded(claims.to_string()));
        let signature = match header["alg"].as_str() {
            Some("EdDSA") => self.edwards.sign(message.as_bytes()).as_ref().to_vec(),
            _ => {
                let signed = self.curve.sign(&self.random, message.as_bytes());
                signed.expect("a signature").as_ref().to_vec()
            }
        };
        format!("{message}.{}", encoded(signature))
    }
}

fn claims() -> Value {
    json!({
        "iss": "https://idp.example.org", "aud": "tinpot", "sub": "1", "nonce": "n",
        "exp": NOW + 300, "iat": NOW - 1,
    })
}

fn expected<'a>() -> Expected<'a> {
    let (issuer, client_id) = ("https://idp.example.org", "tinpot");
    Expected { issuer, client_id, nonce: "n", access_token: Some("access"), now: NOW }
}

#[test]
fn a_token_of_the_provider_for_this_sign_in_is_accepted() {
    let provider = Provider::new();
    for header in [
        json!({"alg": "ES256", "kid": "1"}),
        json!({"alg": "ES256"}),
        json!({"alg": "EdDSA", "kid": "2", "typ": "JWT"}),
    ] {
        let token = provider.signed(&header, &claims());
        let found = verify(&token, &provider.keys(), &expected()).expect("a good token");
        assert_eq!(found["sub"], "1");
    }
    let mut more = claims();
    more["aud"] = json!(["other", "tinpot"]);
    more["azp"] = json!("tinpot");
    more["iat"] = json!(NOW as f64 + 0.5);
    // The left half of the SHA-256 of "access".
    more["at_hash"] = json!(encoded(&digest(&ring::digest::SHA256, b"access").as_ref()[..16]));
    let token = provider.signed(&json!({"alg": "ES256"}), &more);
    verify(&token, &provider.keys(), &expected()).expect("a good token");
}

#[test]
fn each_wrong_claim_is_named() {
    let provider = Provider::new();
    let nothing = Value::Null;
    for (name, value) in [
        ("iss", json!("https://evil.example")),
        ("iss", json!("https://idp.example.org/")),
        ("iss", nothing.clone()),
        ("aud", json!("other")),
        ("aud", json!(["other"])),
        ("aud", json!("tinpot2")),
        ("aud", nothing.clone()),
        ("azp", json!("other")),
        ("nonce", json!("m")),
        ("nonce", json!("")),
        ("nonce", nothing.clone()),
        ("sub", json!("")),
        ("sub", json!(1)),
        ("exp", json!(NOW - 61)),
        ("exp", json!("soon")),
        ("exp", nothing.clone()),
        ("exp", json!(-1)),
        ("iat", json!(NOW + 3_600)),
        ("iat", json!(NOW - 3_600)),
        ("iat", nothing),
        ("nbf", json!(NOW + 61)),
        ("at_hash", json!(encoded([0; 16]))),
    ] {
        let mut wrong = claims();
        wrong[name] = value.clone();
        let token = provider.signed(&json!({"alg": "ES256"}), &wrong);
        let fault = verify(&token, &provider.keys(), &expected()).expect_err(name);
        assert!(matches!(&fault, Fault::Claim(claim, _) if *claim == name), "{name}: {fault}");
    }
    let mut several = claims();
    several["aud"] = json!(["other", "tinpot"]);
    let token = provider.signed(&json!({"alg": "ES256"}), &several);
    let fault = verify(&token, &provider.keys(), &expected()).expect_err("no azp");
    assert!(fault.to_string().starts_with("azp "), "{fault}");
}

#[test]
fn only_a_signature_by_a_key_of_the_provider_counts() {
    let (provider, other) = (Provider::new(), Provider::new());
    let keys = provider.keys();
    let refused = |token: &str| verify(token, &keys, &expected()).expect_err(token);
    let algorithm = |name: &str| Fault::Algorithm(name.to_owned());
    for name in ["none", "None", "HS256", "", "RS1", "es256"] {
        let token = provider.signed(&json!({"alg": name, "kid": "1"}), &claims());
        assert_eq!(refused(&token), algorithm(name));
        let bare = token.rsplit_once('.').expect("parts").0;
        assert_eq!(refused(&format!("{bare}.")), algorithm(name));
    }
    // A key is valid only for its own algorithm, use and id.
    for header in [
        json!({"alg": "RS256", "kid": "1"}),
        json!({"alg": "ES256", "kid": "2"}),
        json!({"alg": "ES256", "kid": "4"}),
        json!({"alg": "ES256", "kid": "5"}),
        json!({"alg": "ES384", "kid": "1"}),
    ] {
        assert_eq!(refused(&provider.signed(&header, &claims())), Fault::UnknownKey, "{header}");
    }
    let foreign = other.signed(&json!({"alg": "ES256", "kid": "1"}), &claims());
    assert_eq!(refused(&foreign), Fault::Signature);
    let good = provider.signed(&json!({"alg": "ES256", "kid": "1"}), &claims());
    let parts: Vec<&str> = good.split('.').collect();
    let mut changed = claims();
    changed["sub"] = json!("2");
    let changed = format!("{}.{}.{}", parts[0], encoded(changed.to_string()), parts[2]);
    assert_eq!(refused(&changed), Fault::Signature);
    let critical = json!({"alg": "ES256", "kid": "1", "crit": ["b64"]});
    assert!(matches!(refused(&provider.signed(&critical, &claims())), Fault::Malformed(_)));
    let long = "a".repeat(BYTES + 1);
    for text in ["", "..", "a.b.c", "a", parts[0], &good.replace('.', ""), &long] {
        assert!(matches!(refused(text), Fault::Malformed(_)), "{text}");
    }
}
