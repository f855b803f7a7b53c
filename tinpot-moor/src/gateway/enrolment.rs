//! The enrolment of workers: the CURVE key of a worker that knows the token is admitted.

use tinpot_core::{Error, ErrorKind, Result};
use tokio::sync::watch;
use uuid::Uuid;

use crate::curve::Curve;
use crate::sockets::{Incoming, Responses};
use crate::wire::enrolment::{EnrolmentReply, EnrolmentRequest};

/// The shortest token. Those of mooR are UUIDs, of 36 characters.
const TOKEN_BYTES: usize = 16;

/// The socket of the enrolment.
#[derive(Debug)]
pub(super) struct Enrolment {
    responses: Responses,
    token: String,
    curve: Curve,
}

impl Enrolment {
    /// Binds the socket. Returns it with its address.
    ///
    /// # Errors
    /// `InvalidInput` for a token that is too short; those of the socket.
    pub(super) async fn bind(address: &str, token: &str, curve: Curve) -> Result<(Self, String)> {
        let token = token.trim().to_owned();
        if token.len() < TOKEN_BYTES {
            let bytes = token.len();
            let message = format!(
                "the token of the enrollment must have at least {TOKEN_BYTES} characters (got \
                 {bytes}): use a UUID"
            );
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        let (responses, port) = Responses::bind(address, None).await?;
        let bound = match address.rsplit_once(':') {
            Some((host, _)) => format!("{host}:{port}"),
            None => address.to_owned(),
        };
        Ok((Self { responses, token, curve }, bound))
    }

    /// Answers until it is stopped.
    pub(super) async fn serve(self, mut stop: watch::Receiver<Option<std::time::Duration>>) {
        loop {
            let incoming = tokio::select! {
                incoming = self.responses.next() => match incoming {
                    Ok(incoming) => incoming,
                    Err(error) => return tracing::error!(%error, "the enrolment has ended"),
                },
                _ = stop.wait_for(Option::is_some) => break,
            };
            let reply = self.answer(&incoming);
            if let Err(why) = &reply {
                tracing::warn!(why, "a worker of mooR is not enrolled");
            }
            let reply = match reply {
                Ok((service, public)) => EnrolmentReply::granted(service, public),
                Err(why) => EnrolmentReply::denied(why),
            };
            self.responses.reply(&incoming, reply.encode());
        }
        self.responses.close().await;
    }

    fn answer(&self, incoming: &Incoming) -> Result<(Uuid, String), String> {
        let [frame] = &incoming.frames[..] else {
            return Err(format!("there must be 1 frame, not {}", incoming.frames.len()));
        };
        let request = EnrolmentRequest::decode(frame).map_err(|fault| fault.to_string())?;
        if !is_same(request.token.trim(), &self.token) {
            return Err("the token of the enrollment is wrong".to_owned());
        }
        let service = Uuid::new_v4();
        let about = format!("{service} {} {}", request.service_type, request.hostname);
        let admitted = self.curve.clients.admit(&request.public_key, &about);
        admitted.map_err(|error| error.message().to_owned())?;
        tracing::info!(%service, service_type = request.service_type, "a worker of mooR is enrolled");
        Ok((service, self.curve.key.public()))
    }
}

/// Compares two tokens in a time that does not reveal where they differ.
fn is_same(one: &str, other: &str) -> bool {
    let differences =
        one.bytes().zip(other.bytes()).fold(0, |all, (one, other)| all | (one ^ other));
    one.len() == other.len() && differences == 0
}
