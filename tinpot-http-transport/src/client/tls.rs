//! TLS, by rustls on ring.

use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tinpot_core::{Error, ErrorKind, Result};

fn unusable(why: impl std::fmt::Display) -> Error {
    let message = format!("the CA certificate cannot be used: {why}");
    Error::new(ErrorKind::InvalidInput, message)
}

/// Returns a configuration that trusts `ca` alone, or without it the CAs of the system.
pub(super) fn client_config(ca: Option<&[u8]>) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    match ca {
        Some(pem) => {
            let all = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
            for certificate in all.map_err(unusable)? {
                roots.add(certificate).map_err(unusable)?;
            }
            if roots.is_empty() {
                return Err(unusable("there is no `BEGIN CERTIFICATE` in it"));
            }
        }
        None => {
            let system = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(system.certs);
            if roots.is_empty() {
                let message = "the system has no CA certificates that can be read; name one";
                return Err(Error::new(ErrorKind::InvalidInput, message));
            }
        }
    }
    // Named, since a host application may have another provider in its graph, and then rustls would
    // not know which to take.
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
