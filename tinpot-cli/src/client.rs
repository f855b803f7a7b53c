//! A client of the HTTP API: blocking, with one connection and no runtime.

mod device;
mod events;
mod model;
mod sign_in;
mod uploads;
mod wait_reason;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use ureq::http::{HeaderValue, Response, StatusCode};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, RequestBuilder};

use crate::dev_file;
use crate::exit::{CliError, Code};
use crate::token::Token;

pub(crate) use self::device::Answer;
pub(crate) use self::events::{Follow, Input};
pub(crate) use self::model::{ActionView, Completion, Line, LogPage, Matches, Submitted};

/// The time limit for a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// The longest silence while an answer or a stream is read. Streams have a comment every 15 s.
const SILENCE: Duration = Duration::from_secs(45);
/// The size from which a server is asked before a body is sent.
const LARGE_BYTES: usize = 256 * 1024;
/// The longest URL of another server to show, in characters.
const SHOWN: usize = 200;
/// The largest answer to read into memory; the API sends far less.
const ANSWER_BYTES: u64 = 256 * 1024 * 1024;

/// A client of one server.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    agent: Agent,
    base: String,
    token: Option<Token>,
    /// The team to act in.
    team: Option<HeaderValue>,
}

/// A request that failed.
#[derive(Debug)]
pub(crate) struct RequestError {
    /// The status of the answer; `None` if there was none.
    pub(crate) status: Option<StatusCode>,
    pub(crate) detail: String,
    /// The path and the error of each wrong value.
    pub(crate) errors: Vec<(String, String)>,
}

#[derive(Deserialize)]
struct ErrorBody {
    detail: String,
    #[serde(default)]
    errors: Vec<ErrorEntry>,
}

#[derive(Deserialize)]
struct ErrorEntry {
    path: String,
    message: String,
}

impl Client {
    /// Returns a client of the server at `url`.
    ///
    /// # Errors
    /// Fails if the URL can never work.
    pub(crate) fn new(url: &str) -> Result<Self, CliError> {
        Self::with_patience(url, CONNECT, SILENCE)
    }

    /// Returns a client with time limits of its own.
    pub(crate) fn with_patience(
        url: &str,
        connect: Duration,
        silence: Duration,
    ) -> Result<Self, CliError> {
        let base = url.trim().trim_end_matches('/');
        let host = base.strip_prefix("http://").or_else(|| base.strip_prefix("https://"));
        let Some(host) = host.filter(|host| !host.is_empty()) else {
            let example = base.split_once("://").map_or(base, |(_, rest)| rest);
            let example = if example.is_empty() { "127.0.0.1:8000" } else { example };
            let message = format!("the server must be a URL like http://{example} (got {url:?})");
            return Err(CliError::usage(message));
        };
        if let Some((user, _)) = host.split('/').next().and_then(|host| host.split_once('@')) {
            let user = user.split(':').next().unwrap_or_default();
            let message = format!(
                "the URL of the server must not name a user (got {user:?}): servers have no users"
            );
            return Err(CliError::usage(message));
        }
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(connect))
            .timeout_per_read(Some(silence))
            .timeout_per_write(Some(silence))
            .user_agent(concat!("tinpot/", env!("CARGO_PKG_VERSION")));
        if is_here(host) {
            // To a proxy, that name means the proxy's own machine.
            config = config.proxy(None);
        }
        if base.starts_with("https://") {
            config = config.tls_config(tls());
        }
        let agent = config.build().new_agent();
        Ok(Self { agent, base: base.to_owned(), token: None, team: None })
    }

    /// Sends a token with each request.
    ///
    /// # Errors
    /// Fails if others could read it on its way.
    pub(crate) fn with_token(self, token: Option<Token>) -> Result<Self, CliError> {
        if let Some(token) = &token {
            self.check_private(&format!("token of {}", token.source))?;
        }
        Ok(Self { token, ..self })
    }

    /// Names a team in each request.
    pub(crate) fn with_team(self, team: Option<HeaderValue>) -> Self {
        Self { team, ..self }
    }

    /// Checks that no one can read a secret on its way to the server.
    fn check_private(&self, what: &str) -> Result<(), CliError> {
        if self.base.strip_prefix("http://").is_none_or(is_here) {
            return Ok(());
        }
        let message = format!(
            "refusing to send the {what} to {} over plain HTTP, where others can read it: use \
             https://",
            self.base
        );
        Err(CliError::usage(message))
    }

    /// Sends a request, and once more if a `tinpot dev` has refused it and written a new token since:
    /// one that is started again listens before it has.
    fn sent(
        &self,
        send: impl Fn(&Self) -> Result<Response<ureq::Body>, ureq::Error>,
    ) -> Result<Response<ureq::Body>, ureq::Error> {
        let before = self.token.as_ref().map(|token| token.header_for(&self.base));
        let answer = send(self)?;
        if answer.status() != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        match Token::newer(self.token.as_ref(), before.as_ref(), &self.base) {
            Some(newer) => send(&Self { token: Some(newer), ..self.clone() }),
            None => Ok(answer),
        }
    }

    /// Adds the token to a request, which then follows no redirect: another server must not get it.
    fn signed<B>(&self, request: RequestBuilder<B>) -> RequestBuilder<B> {
        let request = self.of_team(request);
        match &self.token {
            Some(token) => {
                let request = request.header("authorization", token.header_for(&self.base));
                request.config().max_redirects(0).build()
            }
            None => request,
        }
    }

    fn of_team<B>(&self, request: RequestBuilder<B>) -> RequestBuilder<B> {
        match &self.team {
            Some(team) => request.header("tinpot-team", team.clone()),
            None => request,
        }
    }

    /// The URL of the server.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// Sends a GET request, and returns the body.
    pub(crate) fn get(&self, path: &str) -> Result<String, RequestError> {
        self.text(self.sent(|client| {
            let request = client.agent.get(client.url(path)).header("accept", "application/json");
            client.signed(request).call()
        }))
    }

    /// Sends a GET request, and parses the body.
    pub(crate) fn read<T: DeserializeOwned>(&self, path: &str) -> Result<T, RequestError> {
        self.parse(&self.get(path)?)
    }

    /// Sends a POST request with an optional JSON body, and returns the answer's.
    pub(crate) fn post(&self, path: &str, body: Option<&str>) -> Result<String, RequestError> {
        let size = body.map_or(0, str::len);
        let answer = self.sent(|client| {
            let request = client.agent.post(client.url(path));
            let request = client.signed(request.header("x-requested-by", requested_by()));
            let Some(body) = body else { return request.send_empty() };
            let mut request = request.header("content-type", "application/json");
            if size >= LARGE_BYTES {
                // A server that refuses the size answers at once, and reads nothing: without this
                // header, the connection would break before the answer is read.
                request = request.header("expect", "100-continue");
            }
            request.send(body)
        });
        if size < LARGE_BYTES {
            return self.text(answer);
        }
        if let Err(error) = &answer
            && is_cut(error)
        {
            let detail = format!(
                "the server {} ended the connection while it received {size} bytes; it, or a proxy \
                 in front of it, may admit fewer",
                self.base
            );
            let status = Some(StatusCode::PAYLOAD_TOO_LARGE);
            return Err(RequestError { status, detail, errors: Vec::new() });
        }
        self.text(answer).map_err(|mut refused| {
            if refused.status == Some(StatusCode::PAYLOAD_TOO_LARGE) {
                refused.detail.push_str(&format!(" (got {size})"));
            }
            refused
        })
    }

    /// Sends a request with a JSON body, by this method, and returns the body of the answer.
    pub(crate) fn send(
        &self,
        method: &str,
        path: &str,
        body: &str,
    ) -> Result<String, RequestError> {
        self.text(self.sent(|client| {
            let url = client.url(path);
            let request = match method {
                "PUT" => client.agent.put(url),
                "PATCH" => client.agent.patch(url),
                _ => client.agent.post(url),
            };
            client.signed(request).header("content-type", "application/json").send(body)
        }))
    }

    /// Sends a DELETE request, and returns the body.
    pub(crate) fn delete(&self, path: &str) -> Result<String, RequestError> {
        self.text(self.sent(|client| client.signed(client.agent.delete(client.url(path))).call()))
    }

    /// Parses the JSON of an answer.
    pub(crate) fn parse<T: DeserializeOwned>(&self, text: &str) -> Result<T, RequestError> {
        serde_json::from_str(text).map_err(|e| self.not_tinpot(&e.to_string()))
    }

    /// Returns the `Date` header of the server.
    pub(crate) fn date(&self) -> Option<String> {
        let response = self.agent.get(self.url("/health")).call().ok()?;
        Some(response.headers().get("date")?.to_str().ok()?.to_owned())
    }

    /// Opens a stream of events after `last_id`; `None` if there are no more.
    pub(crate) fn stream(
        &self,
        path: &str,
        last_id: &str,
    ) -> Result<Option<ureq::BodyReader<'static>>, RequestError> {
        let answer = self.sent(|client| {
            let request = client.agent.get(client.url(path));
            let mut request = request.header("accept", "text/event-stream");
            if !last_id.is_empty() {
                request = request.header("last-event-id", last_id);
            }
            client.signed(request).call()
        });
        let response = answer.map_err(|e| self.unreachable(&e))?;
        match response.status() {
            StatusCode::NO_CONTENT => Ok(None),
            status if status.is_success() => Ok(Some(response.into_body().into_reader())),
            _ => Err(self.refusal(response)),
        }
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    fn text(
        &self,
        answer: Result<Response<ureq::Body>, ureq::Error>,
    ) -> Result<String, RequestError> {
        let response = answer.map_err(|e| self.unreachable(&e))?;
        if !response.status().is_success() {
            return Err(self.refusal(response));
        }
        let body = response.into_body().into_with_config().limit(ANSWER_BYTES);
        body.read_to_string().map_err(|e| self.unreachable(&e))
    }

    fn refusal(&self, response: Response<ureq::Body>) -> RequestError {
        let status = response.status();
        if status == StatusCode::MISDIRECTED_REQUEST {
            // The server says nothing about its names to strangers.
            let host = self.base.split_once("://").map_or(&*self.base, |(_, rest)| rest);
            let host = host.split('/').next().unwrap_or(host);
            let detail = format!(
                "server {} refuses requests to {host:?}: start it with --allow-host {host}, or set \
                 TINPOT_ALLOW_HOSTS there",
                self.base
            );
            return RequestError { status: Some(status), detail, errors: Vec::new() };
        }
        if status.is_redirection() && self.token.is_some() {
            let to = response.headers().get("location").and_then(|to| to.to_str().ok());
            let to: String = to.unwrap_or("another place").chars().take(SHOWN).collect();
            let detail = format!(
                "server {} redirects to {to}, and the token is not sent there: name the server \
                 that answers with --server or TINPOT_SERVER",
                self.base
            );
            return RequestError { status: Some(status), detail, errors: Vec::new() };
        }
        let body = response.into_body().into_with_config().limit(1024 * 1024).read_to_string();
        let body = body.ok().and_then(|text| serde_json::from_str::<ErrorBody>(&text).ok());
        let Some(body) = body else {
            let refused = self.not_tinpot(&format!("got {status}"));
            return RequestError { status: Some(status), ..refused };
        };
        let errors = body.errors.into_iter().map(|error| (error.path, error.message)).collect();
        let detail = match status {
            StatusCode::UNAUTHORIZED => self.unauthorized(&body.detail),
            _ => body.detail,
        };
        RequestError { status: Some(status), detail, errors }
    }

    /// Returns the remedy of a request without a token, or with one that the server refuses.
    fn unauthorized(&self, why: &str) -> String {
        let server = &self.base;
        let login = format!("run \"tinpot login {server}\"");
        match &self.token {
            Some(token) => format!(
                "server {server} refuses the token of {}: {why}\nfor another one, {login}",
                token.source
            ),
            None => format!(
                "server {server} requires an API token ({why}): {login}, or name the file of one with \
                 --token-file or TINPOT_TOKEN_FILE"
            ),
        }
    }

    /// Returns the message of an answer.
    fn refusal_text(&self, response: Response<ureq::Body>) -> String {
        let status = response.status();
        let body = response.into_body().into_with_config().limit(1024 * 1024).read_to_string();
        let body = body.ok().and_then(|text| serde_json::from_str::<ErrorBody>(&text).ok());
        body.map_or_else(|| self.not_tinpot(&format!("got {status}")).detail, |body| body.detail)
    }

    fn not_tinpot(&self, what: &str) -> RequestError {
        let detail = format!("{} is not a Tinpot server: {what}", self.base);
        RequestError { status: None, detail, errors: Vec::new() }
    }

    fn unreachable(&self, error: &ureq::Error) -> RequestError {
        let why = match error {
            ureq::Error::Io(e) => e.to_string(),
            ureq::Error::HostNotFound => "unknown host".to_owned(),
            ureq::Error::Timeout(_) => "no answer in time".to_owned(),
            other => other.to_string(),
        };
        let why = match self.base.strip_prefix("https://") {
            // The error of rustls for an answer in plain text.
            Some(rest) if why.contains("InvalidContentType") => {
                format!("the server does not speak HTTPS; try http://{rest}")
            }
            _ => why,
        };
        let is_refused = matches!(
            error,
            ureq::Error::Io(e) if e.kind() == std::io::ErrorKind::ConnectionRefused
        );
        let why = match is_refused && dev_file::was_killed(&self.base) {
            true => "`tinpot dev` is not running there any more: it was killed".to_owned(),
            false => why,
        };
        let detail = format!("cannot reach the server {}: {why}", self.base);
        RequestError { status: None, detail, errors: Vec::new() }
    }
}

impl RequestError {
    /// Returns true if the same request may succeed later.
    pub(crate) fn is_transient(&self) -> bool {
        self.status.is_none_or(|status| status.is_server_error())
    }

    /// Returns true if the server does not know the thing.
    pub(crate) fn is_not_found(&self) -> bool {
        self.status == Some(StatusCode::NOT_FOUND)
    }

    /// Returns the exit code for the error.
    pub(crate) fn code(&self) -> Code {
        match self.status {
            Some(StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => Code::NotAuthorised,
            Some(status) if status.is_redirection() => Code::Usage,
            Some(StatusCode::NOT_FOUND | StatusCode::GONE) => Code::NotFound,
            Some(StatusCode::CONFLICT) => Code::Conflict,
            Some(status) if status.is_client_error() => Code::Usage,
            _ => Code::Unreachable,
        }
    }
}

impl From<RequestError> for CliError {
    fn from(refused: RequestError) -> Self {
        let code = refused.code();
        let mut message = refused.detail;
        if code == Code::Unreachable && refused.status.is_none() {
            message.push_str(
                "\nstart a server with `tinpot dev`, or name another with --server, TINPOT_SERVER or --profile",
            );
        }
        Self::new(code, message)
    }
}

/// Returns true if the other side ended the connection while this one wrote.
fn is_cut(error: &ureq::Error) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
    let cut = [BrokenPipe, ConnectionAborted, ConnectionReset];
    matches!(error, ureq::Error::Io(error) if cut.contains(&error.kind()))
}

/// Returns true if the host is this machine.
fn is_here(host: &str) -> bool {
    let host = host.split(['/', '?', '#']).next().unwrap_or_default();
    let bare = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map_or("", |(bare, _)| bare),
        None => host.split(':').next().unwrap_or_default(),
    };
    let address = bare.parse().map(|address: IpAddr| address.is_loopback());
    address.unwrap_or_else(|_| bare.eq_ignore_ascii_case("localhost"))
}

/// Returns the certificates of this system. Only HTTPS needs them, and reading them takes longer
/// than the rest of a command.
fn tls() -> TlsConfig {
    let found = rustls_native_certs::load_native_certs();
    let roots: Vec<_> = found
        .certs
        .iter()
        .map(|certificate| Certificate::from_der(certificate).to_owned())
        .collect();
    TlsConfig::builder()
        .root_certs(RootCerts::Specific(Arc::new(roots)))
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .build()
}

/// Returns the name of the user of this process.
pub(crate) fn user_name() -> Option<String> {
    let filled = |name: &&str| std::env::var(name).ok().filter(|user| !user.is_empty());
    ["USER", "LOGNAME"].iter().find_map(filled).or_else(|| {
        // Neither variable is set under systemd, cron and in containers.
        let user = nix::unistd::User::from_uid(nix::unistd::getuid()).ok()?;
        Some(user?.name)
    })
}

/// Returns `user@host`, or the host if the user has no name, in characters that a header can have.
fn requested_by() -> String {
    let user = user_name();
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let plain = |c: char| if c.is_ascii_graphic() { c } else { '?' };
    let who = user.map_or_else(|| host.clone(), |user| format!("{user}@{host}"));
    who.chars().map(plain).take(255).collect()
}

/// The characters to encode in a segment of a path: all but the unreserved ones of RFC 3986.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Returns a name as a segment of a path.
pub(crate) fn encoded(name: &str) -> String {
    utf8_percent_encode(name, SEGMENT).to_string()
}

/// Returns pairs as a query with its `?`, or nothing without pairs.
pub(crate) fn query(pairs: &[(&str, String)]) -> String {
    if pairs.is_empty() {
        return String::new();
    }
    let mut query = form_urlencoded::Serializer::for_suffix("?".to_owned(), 1);
    query.extend_pairs(pairs);
    query.finish()
}

#[cfg(test)]
mod tests {
    use super::{Client, is_here, query};

    #[test]
    fn only_names_of_loopback_are_this_machine() {
        for here in ["127.0.0.1:80/x", "127.9.9.9", "localhost:8000", "LOCALHOST", "[::1]:8000/x"] {
            assert!(is_here(here), "{here}");
        }
        for away in [
            "localhost.example.org",
            "127.example.org:80",
            "127.0.0.1.example.org",
            "10.0.0.1",
            "[::2]",
            "[fe80::1]",
            "example.org/localhost",
            "",
        ] {
            assert!(!is_here(away), "{away}");
        }
    }

    #[test]
    fn an_invalid_url_is_refused_with_an_example() {
        for (wrong, right) in
            [("host:8000", "http://host:8000"), ("ftp://x", "http://x"), ("", "http://127")]
        {
            let failure = Client::new(wrong).expect_err("it is none");
            assert!(failure.message.contains(right), "{failure}");
        }
        let failure = Client::new("http://me:secret@host").expect_err("a user");
        assert!(!failure.message.contains("secret"), "{failure}");
        assert_eq!(Client::new("http://h/sub/").expect("a server").base(), "http://h/sub");
    }

    #[test]
    fn a_query_is_encoded() {
        assert_eq!(query(&[]), "");
        assert_eq!(query(&[("q", "a b&c".into()), ("n", "1".into())]), "?q=a+b%26c&n=1");
    }
}
