use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::routing::get;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

use super::*;
use crate::{ConnectionLimits, serve_tls};

const REQUEST: &[u8] =
    b"GET / HTTP/1.1\r\nhost: localhost\r\nx-forwarded-proto: http\r\nconnection: close\r\n\r\n";

/// Writes a certificate for `localhost` and its key; returns the certificate.
fn write_pair(folder: &Path) -> CertificateDer<'static> {
    let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(folder.join("cert.pem"), pair.cert.pem()).unwrap();
    fs::write(folder.join("key.pem"), pair.signing_key.serialize_pem()).unwrap();
    pair.cert.der().clone()
}

fn open(folder: &TempDir) -> Result<Tls> {
    Tls::open(&folder.path().join("cert.pem"), &folder.path().join("key.pem"), None)
}

/// Writes a certificate for `localhost` that ends in January of this year, and its key.
fn write_ending(folder: &Path, year: i32) {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
    params.not_after = rcgen::date_time_ymd(year, 1, 15);
    fs::write(folder.join("cert.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
    fs::write(folder.join("key.pem"), key.serialize_pem()).unwrap();
}

/// Makes the files look as old as they never were.
fn age(folder: &TempDir, seconds: u64) {
    let then = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    for name in ["cert.pem", "key.pem"] {
        let file = fs::File::options().append(true).open(folder.path().join(name)).unwrap();
        file.set_modified(then).unwrap();
    }
}

struct Server {
    address: std::net::SocketAddr,
    tls: Arc<Tls>,
}

/// Serves the header that says how a request came.
async fn serve(tls: Tls, limits: ConnectionLimits) -> Server {
    let came = async |request: axum::extract::Request| {
        let certificate: Option<&tinpot_http::ClientCertificate> = request.extensions().get();
        let named = certificate.map(|one| one.uris().join(" ")).unwrap_or_default();
        format!("came by {:?}, as <{named}>", request.headers()["x-forwarded-proto"])
    };
    let app = Router::new().route("/", get(came));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let tls = Arc::new(tls);
    drop(serve_tls(listener, app, limits, Some(tls.clone()), std::future::pending()));
    Server { address, tls }
}

impl Server {
    /// Sends a request by HTTPS, and trusts this certificate only.
    async fn ask(&self, trusted: &CertificateDer<'static>) -> io::Result<String> {
        self.ask_as(trusted, None).await
    }

    /// The same as a client with this certificate.
    async fn ask_as(
        &self,
        trusted: &CertificateDer<'static>,
        own: Option<(CertificateDer<'static>, PrivateKeyDer<'static>)>,
    ) -> io::Result<String> {
        let mut roots = RootCertStore::empty();
        roots.add(trusted.clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match own {
            Some((certificate, key)) => {
                builder.with_client_auth_cert(vec![certificate], key).unwrap()
            }
            None => builder.with_no_client_auth(),
        };
        let stream = TcpStream::connect(self.address).await?;
        let name = ServerName::try_from("localhost").unwrap();
        let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
        stream.write_all(REQUEST).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    }
}

#[tokio::test]
async fn requests_by_https_are_answered_and_marked() {
    let folder = tempfile::tempdir().unwrap();
    let certificate = write_pair(folder.path());
    let server = serve(open(&folder).unwrap(), ConnectionLimits::default()).await;
    let answer = server.ask(&certificate).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("strict-transport-security: max-age=63072000\r\n"), "{answer}");
    assert!(answer.ends_with("came by \"https\", as <>"), "{answer}");
}

#[tokio::test]
async fn clients_without_tls_and_silent_ones_are_sent_away() {
    let folder = tempfile::tempdir().unwrap();
    write_pair(folder.path());
    let limits = ConnectionLimits::default().head(Duration::from_millis(200));
    let server = serve(open(&folder).unwrap(), limits).await;
    for request in [REQUEST, b""] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(request).await.unwrap();
        let mut answer = Vec::new();
        let read = stream.read_to_end(&mut answer);
        // The answer is an alert of TLS, or a closed connection.
        let _ = tokio::time::timeout(Duration::from_secs(30), read).await.expect("closed");
        assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    }
}

#[tokio::test]
async fn a_replaced_certificate_is_served_and_a_bad_one_leaves_the_former() {
    let folder = tempfile::tempdir().unwrap();
    let first = write_pair(folder.path());
    age(&folder, 1_000);
    let server = serve(open(&folder).unwrap(), ConnectionLimits::default()).await;

    fs::write(folder.path().join("key.pem"), "no key").unwrap();
    server.tls.refresh();
    server.ask(&first).await.expect("the former certificate");

    let second = write_pair(folder.path());
    age(&folder, 2_000);
    server.tls.refresh();
    server.ask(&first).await.expect_err("the former certificate is gone");
    server.ask(&second).await.expect("the new certificate");
}

#[tokio::test]
async fn with_a_client_ca_only_clients_with_its_certificates_connect() {
    let folder = tempfile::tempdir().unwrap();
    let trusted = write_pair(folder.path());
    let authority = || {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        (certificate, rcgen::Issuer::new(params, key))
    };
    let ((own, issuer), (_, stranger)) = (authority(), authority());
    let path = folder.path().join("ca.pem");
    fs::write(&path, own.pem()).unwrap();
    let client = |issuer: &rcgen::Issuer<'_, rcgen::KeyPair>| {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(["deployer".to_owned()]).unwrap();
        let uri = "spiffe://example.org/ci".try_into().unwrap();
        params.subject_alt_names.push(rcgen::SanType::URI(uri));
        let certificate = params.signed_by(&key, issuer).unwrap().der().clone();
        Some((certificate, PrivateKeyDer::try_from(key.serialize_der()).unwrap()))
    };
    let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    let tls = Tls::open(&certificate, &key, Some(&path)).unwrap();
    let server = serve(tls, ConnectionLimits::default()).await;
    let answer = server.ask_as(&trusted, client(&issuer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.ends_with("as <spiffe://example.org/ci>"), "{answer}");
    for other in [None, client(&stranger)] {
        let answer = server.ask_as(&trusted, other).await;
        assert!(!answer.is_ok_and(|answer| answer.starts_with("HTTP")), "no request is answered");
    }
    fs::write(&path, "nothing").unwrap();
    let why = Tls::open(&certificate, &key, Some(&path)).unwrap_err().to_string();
    assert!(why.contains("ca.pem (--client-ca) cannot be used"), "{why}");
}

#[test]
fn the_end_of_a_certificate_is_a_problem_two_weeks_before() {
    let folder = tempfile::tempdir().unwrap();
    write_ending(folder.path(), 2101);
    let tls = open(&folder).unwrap();
    assert_eq!(tls.problem().current(), None);
    let ends = tls.lock().ends;
    let before = |days: u64| Timestamp(ends.0 - days * 86_400_000_000);
    tls.judge(before(15));
    assert_eq!(tls.problem().current(), None);
    tls.judge(before(12));
    let why = tls.problem().current().expect("a problem");
    assert_eq!(why, "certificate ends on 2101-01-15, in 12 days: replace it");
    tls.judge(ends);
    let why = tls.problem().current().expect("a problem");
    assert!(why.starts_with("certificate ended on 2101-01-15"), "{why}");
    // A bad one that replaces it is a problem, too.
    fs::write(folder.path().join("key.pem"), "no key").unwrap();
    age(&folder, 1_000);
    tls.refresh();
    tls.judge(before(2));
    let why = tls.problem().current().expect("a problem");
    assert!(why.contains("new certificate cannot be used") && why.contains("ends on"), "{why}");
    write_ending(folder.path(), 2102);
    age(&folder, 2_000);
    tls.refresh();
    tls.judge(before(2));
    assert_eq!(tls.problem().current(), None);
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let message = |folder: &TempDir| open(folder).unwrap_err().to_string();
    assert!(message(&folder).contains("cert.pem (--tls-cert) cannot be used"));

    write_pair(folder.path());
    fs::write(folder.path().join("key.pem"), "no key").unwrap();
    assert!(message(&folder).contains("key.pem (--tls-key-file) cannot be used"));

    let key = fs::read(folder.path().join("key.pem")).unwrap();
    write_pair(folder.path());
    let other = fs::read(folder.path().join("key.pem")).unwrap();
    assert_ne!(key, other);
    let certificate = fs::read(folder.path().join("cert.pem")).unwrap();
    write_pair(folder.path());
    fs::write(folder.path().join("cert.pem"), certificate).unwrap();
    assert!(message(&folder).contains("key.pem (--tls-key-file) cannot be used"));

    fs::write(folder.path().join("cert.pem"), "").unwrap();
    let why = "there is no \"BEGIN CERTIFICATE\" in it";
    assert!(message(&folder).contains(why), "{}", message(&folder));
}
