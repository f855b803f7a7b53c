//! Sign-in with a password, for a token.

use serde::Deserialize;
use serde_json::json;
use ureq::http::header::SET_COOKIE;

use super::{Client, RequestError};
use crate::exit::CliError;

#[derive(Deserialize)]
struct Made {
    token: MadeToken,
    secret: String,
}

#[derive(Deserialize)]
struct MadeToken {
    id: String,
}

impl Client {
    /// Signs in, makes a token, and signs out again. Returns the id and the secret of the token.
    ///
    /// # Errors
    /// Fails if others could read the password on its way, or the server refuses it.
    pub(crate) fn make_token(
        &self,
        user: &str,
        password: &str,
        name: &str,
        days: u64,
        scopes: &[String],
    ) -> Result<(String, String), CliError> {
        self.check_private("password")?;
        let body = json!({ "user": user, "password": password }).to_string();
        let request = self.agent.post(self.url("/api/auth/login"));
        let request = request.header("content-type", "application/json");
        let request = request.config().max_redirects(0).build();
        let answer = request.send(body.as_str()).map_err(|e| self.unreachable(&e))?;
        if !answer.status().is_success() {
            return Err(self.refusal_of_password(answer).into());
        }
        let cookie = answer.headers().get(SET_COOKIE).and_then(|cookie| cookie.to_str().ok());
        let cookie = cookie.and_then(|cookie| cookie.split(';').next()).map(str::to_owned);
        let Some(cookie) = cookie else {
            return Err(self.not_tinpot("it signs in without a cookie").into());
        };
        let body = json!({ "name": name, "days": days, "scopes": scopes }).to_string();
        let made = self.with_cookie("/api/tokens", &cookie, Some(&body));
        // The token is all that is needed from now on.
        let _ = self.with_cookie("/api/auth/logout", &cookie, None);
        let Made { token, secret } = self.parse(&made?)?;
        Ok((token.id, secret))
    }

    fn with_cookie(
        &self,
        path: &str,
        cookie: &str,
        body: Option<&str>,
    ) -> Result<String, RequestError> {
        let request = self.of_team(self.agent.post(self.url(path)).header("cookie", cookie));
        let request = request.header("sec-fetch-site", "same-origin");
        let request = request.config().max_redirects(0).build();
        match body {
            Some(body) => self.text(request.header("content-type", "application/json").send(body)),
            None => self.text(request.send_empty()),
        }
    }

    fn refusal_of_password(&self, answer: ureq::http::Response<ureq::Body>) -> RequestError {
        let status = answer.status();
        let refused = self.refusal_text(answer);
        RequestError { status: Some(status), detail: refused, errors: Vec::new() }
    }
}
