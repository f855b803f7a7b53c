//! `tinpot login` with a browser: shows a code, and waits for the person to enter it there.

use std::time::{Duration, Instant};

use ureq::http::StatusCode;

use crate::args::LoginArgs;
use crate::client::{Answer, Client};
use crate::credentials::Credential;
use crate::exit::{CliError, Code};
use crate::output::{self, clean};

/// The time within which a person must agree.
const PATIENCE: Duration = Duration::from_secs(600);
/// The longest wait between two polls.
const LONGEST: Duration = Duration::from_secs(30);

/// Shows a code, and returns the token of the person who enters it.
///
/// # Errors
/// Fails if the person refuses, or does not enter the code in time.
pub(super) fn login(
    client: &Client,
    host: &str,
    arguments: &LoginArgs,
) -> Result<Credential, CliError> {
    let device = client.begin_login(host, arguments.days, &arguments.scopes)?;
    let code = clean(&device.code, false);
    output::say(&format!(
        "Open {}/device in a browser, sign in, and enter the code {code}",
        client.base()
    ));
    output::say("Waiting for at most 10 minutes; press Ctrl-C to stop");
    let end = Instant::now() + PATIENCE;
    let mut wait = Duration::from_secs(device.interval_s.clamp(1, LONGEST.as_secs()));
    while Instant::now() < end {
        std::thread::sleep(wait);
        match client.ask_login(&device) {
            Ok(Answer::Agreed(agreed)) => {
                return Ok(Credential { id: agreed.id, user: agreed.user, token: agreed.secret });
            }
            Ok(Answer::Pending) => {}
            Ok(Answer::Gone) => {
                let message = "the sign-in was refused, or has expired: run the command again";
                return Err(CliError::new(Code::NotAuthorised, message));
            }
            // The server restarts, or asks for patience.
            Err(refused) if may_pass(refused.status) => wait = (wait * 2).min(LONGEST),
            Err(refused) => return Err(refused.into()),
        }
    }
    let message = "the code was not entered in time: run the command again";
    Err(CliError::new(Code::NotAuthorised, message))
}

fn may_pass(status: Option<StatusCode>) -> bool {
    status.is_none_or(|status| status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error())
}
