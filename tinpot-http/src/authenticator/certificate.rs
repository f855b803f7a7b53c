//! [`CertificatePrincipal`]: programs and users that are known by the certificates of their connections.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use async_trait::async_trait;
use tinpot_access::Directory;
use tinpot_core::{DEFAULT_TEAM, Error, ErrorKind, Result};

use super::{Authenticator, ClientCertificate, Identity, Presented};
use crate::teams;

/// The beginning of the fingerprint of a certificate.
const FINGERPRINT: &str = "sha256:";
/// The longest name of a certificate, in bytes.
const NAME_BYTES: usize = 2_048;

/// A certificate, and the program or user whose requests come by connections with it.
///
/// In text, it is `URI=NAME` or `sha256:FINGERPRINT=NAME`. The URI is a subject alternative name of
/// the certificate, and the fingerprint the SHA-256 of the certificate in DER. With several teams, the
/// name is `TEAM/NAME`. The common name of a certificate does not count.
///
/// ```
/// use tinpot_http::CertificatePrincipal;
///
/// let one: CertificatePrincipal = "spiffe://example.org/ci=deployer".parse()?;
/// assert_eq!(one.to_string(), "spiffe://example.org/ci=deployer");
/// assert!("CN=deployer".parse::<CertificatePrincipal>().is_err());
/// # Ok::<(), tinpot_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificatePrincipal {
    name: Name,
    team: Arc<str>,
    principal: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Name {
    Uri(Arc<str>),
    Fingerprint([u8; 32]),
}

impl FromStr for CertificatePrincipal {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let invalid = |why: &str| {
            let message = format!(
                "a certificate and its user must be like spiffe://example.org/ci=deployer or \
                 sha256:00…ff=deployer: {why} (got {text:?})"
            );
            Error::new(ErrorKind::InvalidInput, message)
        };
        // A URI may have such a sign, and a name has none.
        let Some((name, principal)) = text.trim().rsplit_once('=') else {
            return Err(invalid("there is no \"=\""));
        };
        if name.len() > NAME_BYTES {
            return Err(invalid("the name of the certificate is too long"));
        }
        let name = match name.strip_prefix(FINGERPRINT) {
            Some(digits) => {
                let digits: String = digits.chars().filter(|sign| *sign != ':').collect();
                let bytes = fingerprint(&digits).ok_or_else(|| {
                    invalid(
                        "the fingerprint must have 64 hexadecimal digits, with or without colons",
                    )
                })?;
                Name::Fingerprint(bytes)
            }
            None => {
                let scheme = name.split_once(':').map_or("", |(scheme, _)| scheme);
                let is_scheme = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
                let is_uri = scheme.len() >= 2 && scheme.bytes().all(is_scheme);
                if !is_uri || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
                    return Err(invalid("the certificate must be named by a URI or a fingerprint"));
                }
                Name::Uri(name.into())
            }
        };
        let (team, principal) = principal.split_once('/').unwrap_or((DEFAULT_TEAM, principal));
        if team.is_empty() || principal.is_empty() {
            return Err(invalid("a name is missing"));
        }
        Ok(Self { name, team: team.into(), principal: principal.into() })
    }
}

impl fmt::Display for CertificatePrincipal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Name::Uri(uri) => write!(f, "{uri}=")?,
            Name::Fingerprint(bytes) => {
                f.write_str(FINGERPRINT)?;
                bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
                f.write_str("=")?;
            }
        }
        if *self.team != *DEFAULT_TEAM {
            write!(f, "{}/", self.team)?;
        }
        f.write_str(&self.principal)
    }
}

fn fingerprint(digits: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if digits.len() != 64 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, at) in bytes.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(&digits[at..at + 2], 16).ok()?;
    }
    Some(bytes)
}

impl CertificatePrincipal {
    fn is_of(&self, certificate: &ClientCertificate) -> bool {
        match &self.name {
            Name::Uri(uri) => certificate.uris().iter().any(|named| **named == **uri),
            Name::Fingerprint(bytes) => certificate.sha256() == bytes,
        }
    }
}

/// The authenticator of programs and users with certificates. Every other credential of a request takes
/// precedence: the certificate is that of a connection, which a proxy may share.
#[derive(Clone, Debug)]
pub(crate) struct CertificateAuthenticator {
    pub(crate) principals: Arc<[CertificatePrincipal]>,
    pub(crate) directory: Directory,
    pub(crate) others: Arc<dyn Authenticator>,
}

#[async_trait]
impl Authenticator for CertificateAuthenticator {
    async fn authenticate(&self, request: &Presented<'_>) -> Result<Identity> {
        match self.others.authenticate(request).await? {
            Identity::Unknown => {}
            known => return Ok(known),
        }
        let Some(certificate) = request.certificate else { return Ok(Identity::Unknown) };
        let mut found = self.principals.iter().filter(|one| one.is_of(certificate));
        let Some(CertificatePrincipal { team, principal, .. }) = found.next() else {
            return Ok(Identity::Unknown);
        };
        if found.any(|other| (&other.team, &other.principal) != (team, principal)) {
            let why = "the certificate of the connection is that of several users".to_owned();
            return Ok(Identity::Refused(why));
        }
        self.directory.keep_current().await?;
        let via = format!("certificate:{}", certificate.short());
        let caller = match self.directory.principal_caller(team, principal, via) {
            Ok(caller) => caller,
            Err(rejection) => {
                let why = format!("the certificate of the connection: {rejection}");
                return Ok(Identity::Refused(why));
            }
        };
        let wanted = match teams::wanted(request.headers, false) {
            Ok(wanted) => wanted,
            Err(why) => return Ok(Identity::Malformed(why)),
        };
        match self.directory.enter_team(caller, wanted) {
            // A browser would send a certificate by itself, too. Requests that change something and
            // come from pages of other sites are refused whatever they present.
            Ok(caller) => Ok(Identity::Known {
                caller: caller.into(),
                valid_until: Some(certificate.ends()),
                by_cookie: false,
            }),
            Err(error) => Ok(Identity::NoTeam(error.message().to_owned())),
        }
    }
}
