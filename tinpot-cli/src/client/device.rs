//! Sign-in with a code that a person enters on a page of the server.

use serde::Deserialize;
use serde_json::json;
use ureq::http::StatusCode;

use super::{Client, RequestError};
use crate::exit::CliError;

/// The code to show, and the secret to ask with.
#[derive(Deserialize)]
pub(crate) struct Device {
    pub(crate) code: String,
    device: String,
    pub(crate) interval_s: u64,
}

/// The token of the person who has agreed.
#[derive(Deserialize)]
pub(crate) struct Agreed {
    pub(crate) id: String,
    pub(crate) secret: String,
    pub(crate) user: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Asked {
    Agreed(Agreed),
    Pending {
        #[serde(rename = "status")]
        _status: String,
    },
}

/// The answer of the server to a client that waits.
pub(crate) enum Answer {
    Agreed(Agreed),
    Pending,
    /// A person has refused, or the code has expired.
    Gone,
}

impl Client {
    /// Asks for a code for a token with these scopes that is valid for `days`.
    ///
    /// # Errors
    /// Fails if others could read the token on its way, or the server refuses.
    pub(crate) fn begin_login(
        &self,
        client: &str,
        days: u64,
        scopes: &[String],
    ) -> Result<Device, CliError> {
        self.check_private("secret of a sign-in")?;
        let mut body = json!({ "client": client, "days": days });
        // Servers of earlier versions know no others.
        if scopes != ["all"] {
            body["scopes"] = json!(scopes);
        }
        let body = body.to_string();
        Ok(self.parse(&self.post("/api/auth/device", Some(&body))?)?)
    }

    /// Asks whether a person has agreed.
    ///
    /// # Errors
    /// Those of requests.
    pub(crate) fn ask_login(&self, device: &Device) -> Result<Answer, RequestError> {
        let body = json!({ "device": device.device }).to_string();
        match self.post("/api/auth/device/token", Some(&body)) {
            Ok(text) => Ok(match self.parse(&text)? {
                Asked::Agreed(agreed) => Answer::Agreed(agreed),
                Asked::Pending { .. } => Answer::Pending,
            }),
            Err(refused) if refused.status == Some(StatusCode::GONE) => Ok(Answer::Gone),
            Err(refused) => Err(refused),
        }
    }
}
