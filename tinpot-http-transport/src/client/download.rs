//! Downloads of bundles.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header::{CONTENT_RANGE, HeaderMap, HeaderName, HeaderValue, RANGE};
use hyper::{Method, Response, StatusCode};
use tinpot_core::{BundleTicket, Digest, Error, ErrorKind, Result};
use tokio::time::timeout;

use super::connection::{Requests, Server, reason, refusal, unavailable};
use super::{ServerUrl, tls};

/// The header with the ticket of an attempt.
const TICKET: HeaderName = HeaderName::from_static("tinpot-ticket");
/// The longest time without an answer, and without a further byte of one.
const IDLE: Duration = Duration::from_secs(20);

/// Downloads the bundles of attempts from a server, each on a connection of its own.
///
/// ```no_run
/// use futures::StreamExt;
/// use tinpot_core::{BundleTicket, Digest};
/// use tinpot_http_transport::Downloads;
///
/// # async fn example(digest: Digest, ticket: BundleTicket) -> tinpot_core::Result<()> {
/// let downloads = Downloads::new("https://tinpot.example.org", None)?;
/// let mut content = downloads.blob(&digest, &ticket, 0).await?;
/// while let Some(piece) = content.next().await {
///     println!("{} bytes", piece?.len());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Downloads {
    server: Arc<Server>,
}

impl Downloads {
    /// Creates the client of the server at `url`: `https://host/path` or `http://host:port`. `ca` is
    /// a CA certificate in PEM, in place of those of the system.
    ///
    /// # Errors
    /// `InvalidInput` for a URL or a certificate that cannot be used.
    pub fn new(url: &str, ca: Option<&[u8]>) -> Result<Self> {
        let url = ServerUrl::parse(url)?;
        let tls = match url.is_encrypted() {
            true => Some(Arc::new(tls::client_config(ca)?)),
            false => None,
        };
        Ok(Self { server: Arc::new(Server::new(url, tls, None, None)) })
    }

    /// Returns the content of a blob from the byte at `start` on. It is what the server sent: its
    /// digest is not checked. An error ends it, also if no byte arrives for 20 s.
    ///
    /// # Errors
    /// `Forbidden` if the server refuses the ticket; `NotFound` if it has removed the blob;
    /// `Unavailable` if it cannot be reached, or answers something else.
    pub async fn blob(
        &self,
        digest: &Digest,
        ticket: &BundleTicket,
        start: u64,
    ) -> Result<BoxStream<'static, Result<Bytes>>> {
        let mut more = HeaderMap::new();
        let mut value = HeaderValue::from_str(ticket.expose()).map_err(|_| {
            Error::new(ErrorKind::Malformed, "the ticket of the attempt is no text of a header")
        })?;
        value.set_sensitive(true);
        more.insert(TICKET, value);
        if start > 0
            && let Ok(range) = HeaderValue::try_from(format!("bytes={start}-"))
        {
            more.insert(RANGE, range);
        }
        let mut requests = Requests::new(self.server.clone());
        let path = format!("/api/blobs/{digest}");
        let asked = requests.send_with(Method::GET, &path, more, Bytes::new());
        let answer = timeout(IDLE, asked).await.map_err(|_| silent())??;
        let skip = match answer.status() {
            // What is between ignored the range.
            StatusCode::OK => start,
            StatusCode::PARTIAL_CONTENT if begins_at(&answer, start) => 0,
            StatusCode::PARTIAL_CONTENT => {
                let message = "the server answers another range than the one that was asked for";
                return Err(unavailable(message));
            }
            _ => return Err(refused(answer).await),
        };
        let body = Body { answer: answer.into_body(), skip, _requests: requests };
        Ok(stream::try_unfold(body, Body::next).boxed())
    }
}

/// The rest of an answer. It has the connection.
struct Body {
    answer: Incoming,
    /// The bytes to leave out.
    skip: u64,
    _requests: Requests,
}

impl Body {
    async fn next(mut self) -> Result<Option<(Bytes, Self)>> {
        loop {
            let frame = timeout(IDLE, self.answer.frame()).await.map_err(|_| silent())?;
            let Some(frame) = frame else { return Ok(None) };
            let frame = frame.map_err(|error| unavailable(reason(&error)))?;
            let Ok(mut piece) = frame.into_data() else { continue };
            let left_out = self.skip.min(piece.len() as u64);
            self.skip -= left_out;
            piece.advance(left_out as usize);
            if !piece.is_empty() {
                return Ok(Some((piece, self)));
            }
        }
    }
}

fn silent() -> Error {
    unavailable(format!("the server sent nothing for {} s", IDLE.as_secs()))
}

fn begins_at(answer: &Response<Incoming>, start: u64) -> bool {
    let range = answer.headers().get(CONTENT_RANGE).and_then(|value| value.to_str().ok());
    let first = range.and_then(|range| range.strip_prefix("bytes ")?.split('-').next());
    first.is_some_and(|first| first.parse() == Ok(start))
}

async fn refused(answer: Response<Incoming>) -> Error {
    let status = answer.status();
    let kind = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => ErrorKind::Forbidden,
        StatusCode::GONE => ErrorKind::NotFound,
        _ => ErrorKind::Unavailable,
    };
    if status == StatusCode::NOT_FOUND {
        let message = format!("the server answers {status}: it keeps no bundles at this URL");
        return unavailable(message);
    }
    Error::new(kind, refusal(answer).await)
}
