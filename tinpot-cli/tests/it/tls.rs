//! A server behind TLS.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;

use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::support::{Ran, file, tinpot};

#[test]
fn only_certificates_of_the_system_are_trusted() {
    let key = rcgen::KeyPair::generate().expect("a key");
    let names = vec!["localhost".to_owned()];
    let certificate = rcgen::CertificateParams::new(names)
        .expect("a name")
        .self_signed(&key)
        .expect("a certificate");
    let folder = tempfile::tempdir().expect("a folder");
    let pem = file(folder.path(), "ca.pem", &certificate.pem());
    let secret = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], secret)
        .expect("a certificate and its key");
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("https://localhost:{}", listener.local_addr().expect("an address").port());
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let Ok(connection) = connection else { return };
            let tls = rustls::ServerConnection::new(config.clone()).expect("a connection");
            let mut stream = rustls::StreamOwned::new(tls, connection);
            // A client that does not trust the certificate sends no request.
            if stream.read(&mut [0; 4096]).is_ok_and(|read| read > 0) {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}");
                let _ = stream.flush();
            }
        }
    });
    let run = |pem: &str| {
        let mut command = tinpot();
        command.env("SSL_CERT_FILE", pem).env("TINPOT_SERVER", &url);
        command.env_remove("SSL_CERT_DIR").args(["actions", "list", "--json"]);
        Ran::of(command)
    };
    assert_eq!(run(pem.to_str().expect("text")).ok(), "{}\n");
    let other =
        rcgen::generate_simple_self_signed(vec!["other".to_owned()]).expect("a certificate");
    let other = file(folder.path(), "other.pem", &other.cert.pem());
    let ran = run(other.to_str().expect("text"));
    assert!(ran.failed(8).contains("certificate"), "{ran:?}");
}
