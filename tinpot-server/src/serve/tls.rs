//! HTTPS: the certificate of the server, which is read again when its files change.

use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tinpot_core::{Error, ErrorKind, Result};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{MissedTickBehavior, interval};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::error::error_chain;

/// The interval at which the files are looked at.
const LOOK: Duration = Duration::from_secs(60);

/// A certificate with its key, and the files that they come from.
#[derive(Debug)]
pub(crate) struct Tls {
    certificate: PathBuf,
    key: PathBuf,
    current: Mutex<Current>,
}

#[derive(Debug)]
struct Current {
    config: Arc<ServerConfig>,
    /// The state of the files when they were last read, even if that failed.
    seen: [Option<Seen>; 2],
}

/// The facts by which a replaced file is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    modified: SystemTime,
    bytes: u64,
}

impl Tls {
    /// Reads a certificate chain and its key, in PEM.
    ///
    /// # Errors
    /// `InvalidInput`, with the file and the setting, if one cannot be read or they do not fit
    /// together.
    pub(crate) fn open(certificate: &Path, key: &Path) -> Result<Self> {
        let seen = [look(certificate), look(key)];
        let config = read(certificate, key)?;
        let (certificate, key) = (certificate.to_owned(), key.to_owned());
        Ok(Self { certificate, key, current: Mutex::new(Current { config, seen }) })
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
            let _ = tokio::task::spawn_blocking(move || tls.refresh()).await;
        }
    }

    /// Reads the files again if they were replaced. A pair that is no good leaves the former one.
    pub(super) fn refresh(&self) {
        let seen = [look(&self.certificate), look(&self.key)];
        if self.lock().seen == seen {
            return;
        }
        let read = read(&self.certificate, &self.key);
        let mut current = self.lock();
        current.seen = seen;
        match read {
            Ok(config) => {
                current.config = config;
                tracing::info!(file = %self.certificate.display(), "certificate was replaced");
            }
            Err(error) => {
                let why = error_chain(&error);
                tracing::error!("certificate is not replaced, the former one stays: {why}");
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

fn read(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>> {
    let unusable = |file: &Path, setting: &str, why: &dyn std::fmt::Display| {
        let message = format!("{} ({setting}) cannot be used: {why}", file.display());
        Error::new(ErrorKind::InvalidInput, message)
    };
    let of_certificate = |why: &dyn std::fmt::Display| unusable(certificate, "--tls-cert", why);
    let of_key = |why: &dyn std::fmt::Display| unusable(key, "--tls-key-file", why);
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<std::result::Result<Vec<_>, _>>)
        .map_err(|why| of_certificate(&why))?;
    if chain.is_empty() {
        return Err(of_certificate(&"there is no \"BEGIN CERTIFICATE\" in it"));
    }
    let private = PrivateKeyDer::from_pem_file(key).map_err(|why| of_key(&why))?;
    // Named, since a program that embeds this may have another provider, and then rustls would not
    // know which to take.
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|why| of_certificate(&why))?
        .with_no_client_auth()
        .with_single_cert(chain, private);
    let mut config = config.map_err(|why| of_key(&why))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// A connection, with TLS or without: one type, so that HTTP is compiled once.
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
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
