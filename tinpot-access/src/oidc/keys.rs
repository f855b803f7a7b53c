//! The public keys of the identity provider, and checks of signatures by them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest;
use ring::signature::{
    self, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm,
};
use serde::Deserialize;

/// The keys of a provider.
#[derive(Debug, Deserialize)]
pub(super) struct Keys {
    keys: Vec<serde_json::Value>,
}

/// The fields of a key that the algorithms use.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Key {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

/// A supported signature algorithm. All others are refused, such as `none` and those with shared
/// secrets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Algorithm {
    name: &'static str,
    kty: &'static str,
    crv: Option<&'static str>,
    kind: Kind,
    /// The hash of `at_hash`.
    pub(super) hash: &'static digest::Algorithm,
}

#[derive(Clone, Copy)]
enum Kind {
    Rsa(&'static RsaParameters),
    /// Two coordinates.
    Curve(&'static dyn VerificationAlgorithm, usize),
    Edwards,
}

impl std::fmt::Debug for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Rsa(_) => "RSA",
            Self::Curve(..) => "EC",
            Self::Edwards => "OKP",
        })
    }
}

const fn rsa(
    name: &'static str,
    parameters: &'static RsaParameters,
    hash: &'static digest::Algorithm,
) -> Algorithm {
    Algorithm { name, kty: "RSA", crv: None, kind: Kind::Rsa(parameters), hash }
}

static ALGORITHMS: [Algorithm; 9] = [
    rsa("RS256", &signature::RSA_PKCS1_2048_8192_SHA256, &digest::SHA256),
    rsa("RS384", &signature::RSA_PKCS1_2048_8192_SHA384, &digest::SHA384),
    rsa("RS512", &signature::RSA_PKCS1_2048_8192_SHA512, &digest::SHA512),
    rsa("PS256", &signature::RSA_PSS_2048_8192_SHA256, &digest::SHA256),
    rsa("PS384", &signature::RSA_PSS_2048_8192_SHA384, &digest::SHA384),
    rsa("PS512", &signature::RSA_PSS_2048_8192_SHA512, &digest::SHA512),
    Algorithm {
        name: "ES256",
        kty: "EC",
        crv: Some("P-256"),
        kind: Kind::Curve(&signature::ECDSA_P256_SHA256_FIXED, 32),
        hash: &digest::SHA256,
    },
    Algorithm {
        name: "ES384",
        kty: "EC",
        crv: Some("P-384"),
        kind: Kind::Curve(&signature::ECDSA_P384_SHA384_FIXED, 48),
        hash: &digest::SHA384,
    },
    Algorithm {
        name: "EdDSA",
        kty: "OKP",
        crv: Some("Ed25519"),
        kind: Kind::Edwards,
        hash: &digest::SHA512,
    },
];

impl Algorithm {
    pub(super) fn named(name: &str) -> Option<&'static Self> {
        ALGORITHMS.iter().find(|algorithm| algorithm.name == name)
    }
}

impl Keys {
    /// Returns the key that may have made a signature: one for the algorithm and, if the signature
    /// names an id, with that id. Returns `None` unless exactly one key matches.
    pub(super) fn find(&self, algorithm: &Algorithm, id: Option<&str>) -> Option<Key> {
        // Skip keys of unknown kinds.
        let parsed = self.keys.iter().filter_map(|key| Key::deserialize(key).ok());
        let mut found = parsed.filter(|key| {
            key.kty == algorithm.kty
                && key.usage.as_deref().is_none_or(|usage| usage == "sig")
                && key.alg.as_deref().is_none_or(|name| name == algorithm.name)
                && (algorithm.crv.is_none() || key.crv.as_deref() == algorithm.crv)
                && (id.is_none() || key.kid.as_deref() == id)
        });
        let key = found.next()?;
        found.next().is_none().then_some(key)
    }
}

fn bytes(text: Option<&String>) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text?).ok()
}

impl Key {
    /// Returns true if this key made the signature of the message.
    pub(super) fn has_signed(
        &self,
        algorithm: &Algorithm,
        message: &[u8],
        signature: &[u8],
    ) -> bool {
        self.check(algorithm, message, signature).is_some()
    }

    fn check(&self, algorithm: &Algorithm, message: &[u8], signature: &[u8]) -> Option<()> {
        match algorithm.kind {
            Kind::Rsa(parameters) => {
                let (n, e) = (bytes(self.n.as_ref())?, bytes(self.e.as_ref())?);
                // Some providers send leading zeros.
                let bare = |number: &[u8]| number.iter().position(|byte| *byte != 0);
                let (n, e) = (n.get(bare(&n)?..)?, e.get(bare(&e)?..)?);
                RsaPublicKeyComponents { n, e }.verify(parameters, message, signature).ok()
            }
            Kind::Curve(curve, size) => {
                let (x, y) = (bytes(self.x.as_ref())?, bytes(self.y.as_ref())?);
                if x.len() != size || y.len() != size {
                    return None;
                }
                let point = [&[4][..], &x, &y].concat();
                UnparsedPublicKey::new(curve, point).verify(message, signature).ok()
            }
            Kind::Edwards => {
                let x = bytes(self.x.as_ref())?;
                UnparsedPublicKey::new(&signature::ED25519, x).verify(message, signature).ok()
            }
        }
    }
}
