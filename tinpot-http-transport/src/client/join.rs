//! Joining: the request of a worker whose key is not enrolled yet.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::Method;
use tinpot_core::seal::{JoinRequest, Joined};
use tinpot_core::{Error, ErrorKind, Result};
use tokio::time::{Instant, sleep, timeout_at};

use super::connection::{Requests, Server, unavailable};
use super::{ServerUrl, tls};

/// The pause before a request that failed is sent again.
const RESEND: Duration = Duration::from_secs(1);
/// More than any answer has.
const ANSWER_BYTES: usize = 64 * 1024;

/// Sends a request to join to the server at `url` until it is answered, for at most this long. `ca`
/// is a CA certificate in PEM, in place of those of the system.
///
/// # Errors
/// `InvalidInput` for a URL or a certificate that cannot be used; `Forbidden` if the coordinator
/// refuses, with its reason; `TimedOut` with the last reason if none answers.
pub async fn join(
    url: &str,
    ca: Option<&[u8]>,
    mut request: JoinRequest,
    patience: Duration,
) -> Result<Joined> {
    let url = ServerUrl::parse(url)?;
    let tls = match url.is_encrypted() {
        true => Some(Arc::new(tls::client_config(ca)?)),
        false => None,
    };
    let server = Arc::new(Server::new(url, tls, Some(&request.joiner()), None));
    let mut requests = Requests::new(server);
    let deadline = Instant::now() + patience;
    let mut last = None;
    loop {
        let frame = Bytes::copy_from_slice(request.frame());
        match timeout_at(deadline, ask(&mut requests, frame)).await {
            Ok(Ok(answer)) => match request.answer(&answer) {
                Ok(Ok(joined)) => return Ok(joined),
                Ok(Err(why)) => return Err(Error::new(ErrorKind::Forbidden, why.to_string())),
                Err(why) => last = Some(unavailable(format!("the answer is no join: {why}"))),
            },
            Ok(Err(error)) => last = Some(error),
            Err(_) => {}
        }
        if Instant::now() + RESEND >= deadline {
            let message = "the server does not answer the request to join";
            let error = Error::new(ErrorKind::TimedOut, message);
            return Err(match last {
                Some(last) => error.with_source(last),
                None => error,
            });
        }
        sleep(RESEND).await;
    }
}

async fn ask(requests: &mut Requests, frame: Bytes) -> Result<Bytes> {
    let answer = requests.send(Method::POST, "/api/workers/join", frame).await?;
    let body = Limited::new(answer.into_body(), ANSWER_BYTES).collect().await;
    Ok(body.map_err(|error| unavailable(error.to_string()))?.to_bytes())
}
