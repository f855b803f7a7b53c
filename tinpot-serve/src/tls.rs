//! HTTPS: the certificate of the server, which is read again when its files change.

use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tinpot_bundle::Hasher;
use tinpot_core::{Error, ErrorKind, Result, Timestamp, Watcher};
use tinpot_http::ClientCertificate;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// The interval at which the files are looked at.
const LOOK: Duration = Duration::from_secs(60);

/// The time before the end of a certificate in which its end is a problem.
const SOON: Duration = Duration::from_secs(14 * 86_400);
/// The time between two log lines about it.
const AGAIN: Duration = Duration::from_secs(86_400);

/// The most URIs of a client's certificate that count.
const URIS: usize = 16;

/// A certificate with its key, and the files that they come from.
#[derive(Debug)]
pub struct Tls {
    certificate: PathBuf,
    key: PathBuf,
    /// The authorities that sign the certificates of clients.
    client_ca: Option<PathBuf>,
    current: Mutex<Current>,
    problem: watch::Sender<Option<String>>,
}

#[derive(Debug)]
struct Current {
    config: Arc<ServerConfig>,
    /// The end of the certificate.
    ends: Timestamp,
    /// The reason why the files cannot be used, if they were replaced by such ones.
    refused: Option<String>,
    /// The time of the last log line about its end.
    logged: Option<Instant>,
    /// The state of the files when they were last read, even if that failed.
    seen: [Option<Seen>; 3],
}

/// The facts by which a replaced file is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    modified: SystemTime,
    bytes: u64,
}

impl Tls {
    /// Reads a certificate chain and its key, in PEM. With `client_ca`, only clients connect that have
    /// a certificate of these authorities.
    ///
    /// # Errors
    /// `InvalidInput`, with the file and the setting, if one cannot be read or they do not fit
    /// together.
    pub fn open(certificate: &Path, key: &Path, client_ca: Option<&Path>) -> Result<Self> {
        let seen = [look(certificate), look(key), client_ca.and_then(look)];
        let (config, ends) = read(certificate, key, client_ca)?;
        let (refused, logged) = (None, None);
        let current = Mutex::new(Current { config, ends, refused, logged, seen });
        let (certificate, key) = (certificate.to_owned(), key.to_owned());
        let client_ca = client_ca.map(Path::to_owned);
        let problem = watch::Sender::new(None);
        let tls = Self { certificate, key, client_ca, current, problem };
        tls.judge(Timestamp::now());
        Ok(tls)
    }

    /// Returns what is wrong with the certificate, in words; `None` if nothing is.
    pub fn problem(&self) -> Watcher<Option<String>> {
        self.problem.subscribe().into()
    }

    /// Notes what is wrong with the certificate at a time, and logs it once a day.
    fn judge(&self, now: Timestamp) {
        let mut current = self.lock();
        let left = Duration::from_micros(current.ends.0.saturating_sub(now.0));
        // The day alone.
        let ends = current.ends.to_string().chars().take(10).collect::<String>();
        let days = left.as_secs() / 86_400;
        let of_end = match left {
            Duration::ZERO => Some(format!("certificate ended on {ends}: replace it")),
            left if left <= SOON => {
                Some(format!("certificate ends on {ends}, in {days} days: replace it"))
            }
            _ => None,
        };
        let of_files = current.refused.as_ref();
        let of_files = of_files.map(|why| format!("new certificate cannot be used: {why}"));
        let is_due = current.logged.is_none_or(|at| at.elapsed() >= AGAIN);
        if let Some(why) = of_end.as_ref().filter(|_| is_due) {
            tracing::warn!(file = %self.certificate.display(), "{why}");
            current.logged = Some(Instant::now());
        }
        drop(current);
        let all: Vec<String> = of_files.into_iter().chain(of_end).collect();
        let problem = (!all.is_empty()).then(|| all.join("; "));
        self.problem.send_if_modified(|known| {
            let is_new = *known != problem;
            *known = problem;
            is_new
        });
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        self.lock().config.clone().into()
    }

    /// Reads the files again from time to time, and on SIGHUP.
    pub(super) async fn keep_fresh(self: Arc<Self>) {
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut hang_ups = hang_ups();
        loop {
            tokio::select! {
                _ = looks.tick() => {}
                () = hang_ups.next() => {}
            }
            let tls = self.clone();
            // Files may be far away. If the runtime ends, so does this.
            let look = move || {
                tls.refresh();
                tls.judge(Timestamp::now());
            };
            let _ = tokio::task::spawn_blocking(look).await;
        }
    }

    /// Reads the files again if they were replaced. A pair that is no good leaves the former one.
    pub(super) fn refresh(&self) {
        let client_ca = self.client_ca.as_deref();
        let seen = [look(&self.certificate), look(&self.key), client_ca.and_then(look)];
        if self.lock().seen == seen {
            return;
        }
        let read = read(&self.certificate, &self.key, client_ca);
        let mut current = self.lock();
        current.seen = seen;
        match read {
            Ok((config, ends)) => {
                (current.config, current.ends) = (config, ends);
                (current.refused, current.logged) = (None, None);
                tracing::info!(file = %self.certificate.display(), "certificate was replaced");
            }
            Err(error) => {
                current.refused = Some(error.message().to_owned());
                let error: &dyn std::error::Error = &error;
                tracing::error!(error, "certificate is not replaced, the former one stays");
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The signals that ask to read files again; none where there are none.
struct HangUps(Option<tokio::signal::unix::Signal>);

fn hang_ups() -> HangUps {
    use tokio::signal::unix::{SignalKind, signal};
    HangUps(signal(SignalKind::hangup()).ok())
}

impl HangUps {
    async fn next(&mut self) {
        match &mut self.0 {
            Some(signal) => drop(signal.recv().await),
            None => std::future::pending().await,
        }
    }
}

fn look(file: &Path) -> Option<Seen> {
    let metadata = std::fs::metadata(file).ok()?;
    Some(Seen { modified: metadata.modified().ok()?, bytes: metadata.len() })
}

/// Reads the files. Returns the configuration, and the end of the certificate.
fn read(
    certificate: &Path,
    key: &Path,
    client_ca: Option<&Path>,
) -> Result<(Arc<ServerConfig>, Timestamp)> {
    let unusable = |file: &Path, setting: &str, why: &dyn std::fmt::Display| {
        let message = format!("{} ({setting}) cannot be used: {why}", file.display());
        Error::new(ErrorKind::InvalidInput, message)
    };
    let of_certificate = |why: &dyn std::fmt::Display| unusable(certificate, "--tls-cert", why);
    let of_key = |why: &dyn std::fmt::Display| unusable(key, "--tls-key-file", why);
    let chain_of = |file: &Path, setting: &str| {
        let chain = CertificateDer::pem_file_iter(file)
            .and_then(Iterator::collect::<std::result::Result<Vec<_>, _>>)
            .map_err(|why| unusable(file, setting, &why))?;
        match chain.is_empty() {
            true => Err(unusable(file, setting, &"there is no \"BEGIN CERTIFICATE\" in it")),
            false => Ok(chain),
        }
    };
    let chain = chain_of(certificate, "--tls-cert")?;
    let ends = chain.first().and_then(|first| end_of(first));
    let ends = ends.ok_or_else(|| of_certificate(&"its end cannot be read"))?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(|why| of_key(&why))?;
    // Named, since a program that embeds this may have another provider, and then rustls would not
    // know which to take.
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|why| of_certificate(&why))?;
    let builder = match client_ca {
        None => builder.with_no_client_auth(),
        Some(file) => {
            let of_ca = |why: &dyn std::fmt::Display| unusable(file, "--client-ca", why);
            let mut roots = RootCertStore::empty();
            for root in chain_of(file, "--client-ca")? {
                roots.add(root).map_err(|why| of_ca(&why))?;
            }
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.map_err(|why| of_ca(&why))?)
        }
    };
    let config = builder.with_single_cert(chain, private);
    let mut config = config.map_err(|why| of_key(&why))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok((Arc::new(config), ends))
}

/// Returns the end of a certificate.
fn end_of(certificate: &CertificateDer<'_>) -> Option<Timestamp> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let seconds = u64::try_from(parsed.validity().not_after.timestamp()).unwrap_or(0);
    Some(Timestamp(seconds.saturating_mul(1_000_000)))
}

/// Returns the facts of a certificate that name a program; `None` if it cannot be read. Its common
/// name is not among them: authorities do not check what they write there.
fn facts_of(certificate: &CertificateDer<'_>) -> Option<ClientCertificate> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let names = parsed.subject_alternative_name().ok()?;
    let names = names.map(|names| &names.value.general_names[..]).unwrap_or_default();
    let uri = |name: &GeneralName<'_>| match name {
        GeneralName::URI(uri) => Some((*uri).to_owned()),
        _ => None,
    };
    let uris = names.iter().filter_map(uri).take(URIS).collect();
    Some(ClientCertificate::new(uris, *Hasher::of(certificate).as_bytes(), end_of(certificate)?))
}

/// A connection, with TLS or without: one type, so that HTTP is compiled once.
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// Returns the certificate of the client, which was verified.
    pub(super) fn client_certificate(&self) -> Option<ClientCertificate> {
        let Self::Tls(stream) = self else { return None };
        let (_, connection) = stream.get_ref();
        connection.peer_certificates()?.first().and_then(facts_of)
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }
}

#[cfg(test)]
mod tests;
