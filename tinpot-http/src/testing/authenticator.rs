//! The conformance suite of [`Authenticator`](crate::Authenticator).
//!
//! A crate that has an authenticator writes a [`Subject`] for it, a factory for such subjects, and one
//! line:
//!
//! ```ignore
//! async fn subject() -> MySubject { … }
//!
//! tinpot_http::authenticator_conformance!(subject);
//! ```
//!
//! The macro emits one test per case, in a module `authenticator_suite`. The crate needs `tokio` with
//! `macros` and `rt` among its dev-dependencies. [`Anonymous`](crate::Anonymous), which knows every
//! request, is no subject.

use async_trait::async_trait;
use axum::http::{HeaderMap, HeaderValue, Method};
use tinpot_core::Timestamp;

use crate::authenticator::{Authenticator, Identity, Presented};

/// The length of the longest header that is presented.
const LONG: usize = 16 * 1024;

/// An authenticator under test, and credentials for it.
#[async_trait]
pub trait Subject: Send + Sync {
    /// Returns the authenticator.
    fn authenticator(&self) -> &dyn Authenticator;

    /// Returns the headers of a valid credential, and the id of its caller.
    fn valid(&self) -> (HeaderMap, String);

    /// Returns headers with credentials that are not valid, each with its kind: unknown, malformed,
    /// expired, and whatever else the authenticator knows.
    fn invalid(&self) -> Vec<(&'static str, HeaderMap)>;

    /// Revokes the valid credential. Returns false if credentials cannot be revoked. The suite asserts
    /// either.
    async fn revoke(&self) -> bool;
}

async fn identity(subject: &dyn Subject, headers: &HeaderMap) -> Identity {
    let presented = Presented::new(&Method::GET, "/api/actions", headers);
    match subject.authenticator().authenticate(&presented).await {
        Ok(identity) => identity,
        Err(error) => panic!("the authenticator failed: {error}"),
    }
}

async fn assert_refused(subject: &dyn Subject, what: &str, headers: &HeaderMap) {
    let identity = identity(subject, headers).await;
    let Identity::Refused(why) = &identity else { panic!("{what}: {identity:?}") };
    assert!(!why.is_empty(), "{what}: refused without a reason");
    for value in headers.values().filter_map(|value| value.to_str().ok()) {
        assert!(!why.contains(value), "{what}: the reason repeats the credential");
    }
}

/// A request without a credential has an unknown caller.
pub async fn without_a_credential_the_caller_is_unknown(subject: &dyn Subject) {
    let mut headers = HeaderMap::new();
    headers.insert("accept", HeaderValue::from_static("*/*"));
    let identity = identity(subject, &headers).await;
    assert!(matches!(identity, Identity::Unknown), "{identity:?}");
}

/// A valid credential names its caller, again and again.
pub async fn a_valid_credential_names_its_caller(subject: &dyn Subject) {
    let (headers, id) = subject.valid();
    for _ in 0..2 {
        let identity = identity(subject, &headers).await;
        let Identity::Known { caller, valid_until, .. } = identity else { panic!("{identity:?}") };
        assert_eq!(*caller.id, *id);
        assert!(valid_until.is_none_or(|end| end > Timestamp::now()), "{valid_until:?} is over");
    }
}

/// A credential that is not valid is refused, not taken for none.
pub async fn invalid_credentials_are_refused(subject: &dyn Subject) {
    let invalid = subject.invalid();
    assert!(!invalid.is_empty(), "the subject has no invalid credentials");
    for (what, headers) in &invalid {
        assert_refused(subject, what, headers).await;
    }
}

/// A credential that is there twice is refused, even if one or both are valid.
pub async fn credentials_that_are_there_twice_are_refused(subject: &dyn Subject) {
    let (valid, _) = subject.valid();
    let mut others = vec![("valid", valid.clone())];
    others.extend(subject.invalid());
    for (what, other) in others {
        for (first, second) in [(&valid, &other), (&other, &valid)] {
            let mut both = first.clone();
            for (name, value) in second {
                both.append(name, value.clone());
            }
            assert_refused(subject, &format!("twice, with one that is {what}"), &both).await;
        }
    }
}

/// A very long credential is refused.
pub async fn long_credentials_are_refused(subject: &dyn Subject) {
    let (valid, _) = subject.valid();
    let mut long = valid.clone();
    for value in long.values_mut() {
        let text = [value.as_bytes(), &vec![b'A'; LONG]].concat();
        *value = match HeaderValue::from_bytes(&text) {
            Ok(value) => value,
            Err(error) => panic!("a valid credential cannot be made longer: {error}"),
        };
    }
    let identity = identity(subject, &long).await;
    assert!(matches!(identity, Identity::Refused(_)), "{identity:?}");
}

/// A revoked credential is refused from then on.
pub async fn revoked_credentials_are_refused(subject: &dyn Subject) {
    let (headers, _) = subject.valid();
    let is_known = |identity: &Identity| matches!(identity, Identity::Known { .. });
    assert!(is_known(&identity(subject, &headers).await), "before it is revoked");
    match subject.revoke().await {
        true => assert_refused(subject, "revoked", &headers).await,
        false => assert!(is_known(&identity(subject, &headers).await), "although not revoked"),
    }
}

/// Emits one test per case of the authenticator suite, in a module `authenticator_suite`.
///
/// Takes the path of a function that returns a future of a
/// [`Subject`](crate::testing::authenticator::Subject).
#[macro_export]
macro_rules! authenticator_conformance {
    ($factory:path) => {
        $crate::authenticator_conformance! {
            @cases $factory:
            without_a_credential_the_caller_is_unknown
            a_valid_credential_names_its_caller
            invalid_credentials_are_refused
            credentials_that_are_there_twice_are_refused
            long_credentials_are_refused
            revoked_credentials_are_refused
        }
    };
    (@cases $factory:path: $($case:ident)*) => {
        mod authenticator_suite {
            #[allow(unused_imports, reason = "the factory may have an absolute path")]
            use super::*;
            $(
                #[::tokio::test]
                async fn $case() {
                    let subject = $factory().await;
                    $crate::testing::authenticator::$case(&subject).await;
                }
            )*
        }
    };
}
