//! TLS, by rustls on ring.

use std::sync::Arc;

use rumqttc::TlsConfiguration;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use crate::error::MqttError;

/// A certificate chain and its key, in PEM.
#[derive(Clone)]
pub(crate) struct ClientIdentity {
    pub(crate) chain: Vec<u8>,
    pub(crate) key: Vec<u8>,
}

fn unusable(what: &'static str, why: impl ToString) -> MqttError {
    MqttError::Certificate { what, why: why.to_string() }
}

fn certificates(pem: &[u8], what: &'static str) -> Result<Vec<CertificateDer<'static>>, MqttError> {
    let all = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| unusable(what, error))?;
    if all.is_empty() {
        return Err(unusable(what, "there is no `BEGIN CERTIFICATE` in it"));
    }
    Ok(all)
}

/// Returns a configuration that trusts `ca` alone, or without it the CAs of the system.
pub(crate) fn client_config(
    ca: Option<&[u8]>,
    identity: Option<&ClientIdentity>,
) -> Result<TlsConfiguration, MqttError> {
    let mut roots = RootCertStore::empty();
    match ca {
        Some(pem) => {
            for certificate in certificates(pem, "CA certificate")? {
                roots.add(certificate).map_err(|error| unusable("CA certificate", error))?;
            }
        }
        None => {
            let system = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(system.certs);
            if roots.is_empty() {
                let why = "the system has none that can be read; name one with `ca_certificate`";
                return Err(unusable("CA certificates of the system", why));
            }
        }
    }
    // Named, since a host application may have another provider in its graph, and then rustls would
    // not know which to take.
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable("TLS library", error))?
        .with_root_certificates(roots);
    let config = match identity {
        None => config.with_no_client_auth(),
        Some(identity) => {
            let chain = certificates(&identity.chain, "client certificate")?;
            let key = PrivateKeyDer::from_pem_slice(&identity.key)
                .map_err(|error| unusable("key of the client certificate", error))?;
            config
                .with_client_auth_cert(chain, key)
                .map_err(|error| unusable("client certificate", error))?
        }
    };
    Ok(config.into())
}
