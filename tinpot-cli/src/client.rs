//! The API from the side of its clients: blocking, one connection, no runtime.

mod events;
mod model;
mod waiting;

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use ureq::Agent;
use ureq::http::{Response, StatusCode};
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use crate::exit::{Code, Failure};

pub(crate) use self::events::{Follow, Input};
pub(crate) use self::model::{ActionView, Completion, Line, LogPage, Matches, Submitted};

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(10);
/// How long an answer, or news in a stream, may be waited for: streams have a comment every 15 s.
const SILENCE: Duration = Duration::from_secs(45);
/// The largest answer that is taken in whole: far above what the API gives in one piece.
const ANSWER_BYTES: u64 = 256 * 1024 * 1024;

/// A server.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    agent: Agent,
    base: String,
}

/// Why a request was not done.
#[derive(Debug)]
pub(crate) struct Refused {
    /// `None` when there was no answer.
    pub(crate) status: Option<StatusCode>,
    pub(crate) detail: String,
    /// What is wrong with single values: where, and what.
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
    /// A client of the server at `url`.
    ///
    /// # Errors
    /// The URL can never work, in words that say what would.
    pub(crate) fn new(url: &str) -> Result<Self, Failure> {
        Self::with_patience(url, CONNECT, SILENCE)
    }

    /// Likewise, for one that gives up sooner.
    pub(crate) fn with_patience(
        url: &str,
        connect: Duration,
        silence: Duration,
    ) -> Result<Self, Failure> {
        let base = url.trim().trim_end_matches('/');
        let host = base.strip_prefix("http://").or_else(|| base.strip_prefix("https://"));
        let Some(host) = host.filter(|host| !host.is_empty()) else {
            let example = base.split_once("://").map_or(base, |(_, rest)| rest);
            let example = if example.is_empty() { "127.0.0.1:8000" } else { example };
            let message = format!("{url:?} is no server: it must be a URL like http://{example}");
            return Err(Failure::usage(message));
        };
        if let Some((user, _)) = host.split('/').next().and_then(|host| host.split_once('@')) {
            let user = user.split(':').next().unwrap_or_default();
            let message =
                format!("the URL of the server names a user ({user}), which is not supported");
            return Err(Failure::usage(message));
        }
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(connect))
            .timeout_per_read(Some(silence))
            .timeout_per_write(Some(silence))
            .user_agent(concat!("tinpot/", env!("CARGO_PKG_VERSION")));
        if is_here(host) {
            // A proxy knows another machine by that name.
            config = config.proxy(None);
        }
        if base.starts_with("https://") {
            config = config.tls_config(tls());
        }
        let agent = config.build().new_agent();
        Ok(Self { agent, base: base.to_owned() })
    }

    /// The server's URL.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// GETs a path below the base.
    pub(crate) fn get(&self, path: &str) -> Result<String, Refused> {
        self.text(self.agent.get(self.url(path)).header("accept", "application/json").call())
    }

    /// Likewise, and reads what comes.
    pub(crate) fn read<T: DeserializeOwned>(&self, path: &str) -> Result<T, Refused> {
        self.understood(&self.get(path)?)
    }

    /// POSTs, with a body of JSON where there is one.
    pub(crate) fn post(&self, path: &str, body: Option<&str>) -> Result<String, Refused> {
        let request = self.agent.post(self.url(path)).header("x-requested-by", requested_by());
        self.text(match body {
            Some(body) => request.header("content-type", "application/json").send(body),
            None => request.send_empty(),
        })
    }

    /// Reads an answer's JSON.
    pub(crate) fn understood<T: DeserializeOwned>(&self, text: &str) -> Result<T, Refused> {
        serde_json::from_str(text).map_err(|e| self.stranger(&e.to_string()))
    }

    /// The time that the server says it is, as the header has it.
    pub(crate) fn date(&self) -> Option<String> {
        let response = self.agent.get(self.url("/health")).call().ok()?;
        Some(response.headers().get("date")?.to_str().ok()?.to_owned())
    }

    /// Opens a stream of events behind the one that was seen last.
    pub(crate) fn stream(
        &self,
        path: &str,
        last_id: &str,
    ) -> Result<Option<ureq::BodyReader<'static>>, Refused> {
        let mut request = self.agent.get(self.url(path)).header("accept", "text/event-stream");
        if !last_id.is_empty() {
            request = request.header("last-event-id", last_id);
        }
        let response = request.call().map_err(|e| self.unreachable(&e))?;
        match response.status() {
            StatusCode::NO_CONTENT => Ok(None),
            status if status.is_success() => Ok(Some(response.into_body().into_reader())),
            _ => Err(self.refusal(response)),
        }
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    fn text(&self, answer: Result<Response<ureq::Body>, ureq::Error>) -> Result<String, Refused> {
        let response = answer.map_err(|e| self.unreachable(&e))?;
        if !response.status().is_success() {
            return Err(self.refusal(response));
        }
        let body = response.into_body().into_with_config().limit(ANSWER_BYTES);
        body.read_to_string().map_err(|e| self.unreachable(&e))
    }

    fn refusal(&self, response: Response<ureq::Body>) -> Refused {
        let status = response.status();
        let body = response.into_body().into_with_config().limit(1024 * 1024).read_to_string();
        let body = body.ok().and_then(|text| serde_json::from_str::<ErrorBody>(&text).ok());
        let Some(body) = body else {
            let refused = self.stranger(&format!("it answered {status}"));
            return Refused { status: Some(status), ..refused };
        };
        let errors = body.errors.into_iter().map(|error| (error.path, error.message)).collect();
        Refused { status: Some(status), detail: body.detail, errors }
    }

    fn stranger(&self, what: &str) -> Refused {
        let detail = format!("{} does not answer as Tinpot does: {what}", self.base);
        Refused { status: None, detail, errors: Vec::new() }
    }

    fn unreachable(&self, error: &ureq::Error) -> Refused {
        let why = match error {
            ureq::Error::Io(e) => e.to_string(),
            ureq::Error::HostNotFound => "there is no such host".to_owned(),
            ureq::Error::Timeout(_) => "it does not answer in time".to_owned(),
            other => other.to_string(),
        };
        let why = match self.base.strip_prefix("https://") {
            // How rustls says that the other side has answered in plain text.
            Some(rest) if why.contains("InvalidContentType") => {
                format!("it does not speak https there; http://{rest}, perhaps")
            }
            _ => why,
        };
        let detail = format!("the server {} cannot be reached: {why}", self.base);
        Refused { status: None, detail, errors: Vec::new() }
    }
}

impl Refused {
    /// Whether the same may go better in a moment.
    pub(crate) fn is_passing(&self) -> bool {
        self.status.is_none_or(|status| status.is_server_error())
    }

    /// Whether there is no such thing.
    pub(crate) fn is_not_found(&self) -> bool {
        self.status == Some(StatusCode::NOT_FOUND)
    }

    /// How the command ends because of it.
    pub(crate) fn code(&self) -> Code {
        match self.status {
            Some(StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => Code::NotAuthorised,
            Some(StatusCode::NOT_FOUND | StatusCode::GONE) => Code::NotFound,
            Some(StatusCode::CONFLICT) => Code::Conflict,
            Some(status) if status.is_client_error() => Code::Usage,
            _ => Code::Unreachable,
        }
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        let code = refused.code();
        let mut message = refused.detail;
        if code == Code::Unreachable && refused.status.is_none() {
            message.push_str(
                "\nstart one with `tinpot dev`, or name another by --server, TINPOT_SERVER or --profile",
            );
        }
        Self::new(code, message)
    }
}

/// Whether a host is this machine.
fn is_here(host: &str) -> bool {
    let host = host.split('/').next().unwrap_or_default();
    host.starts_with("127.") || host.starts_with("localhost") || host.starts_with("[::1]")
}

/// The certificates of this system, and ring. Read only where https is spoken: that takes longer than all else.
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

/// Who asks: `user@host`, or the host alone where nothing names the user. Kept to what may stand in a header.
fn requested_by() -> String {
    let filled = |name: &&str| std::env::var(name).ok().filter(|user| !user.is_empty());
    let user = ["USER", "LOGNAME"].iter().find_map(filled).or_else(|| {
        // As under systemd and cron, and in containers.
        let user = nix::unistd::User::from_uid(nix::unistd::getuid()).ok()?;
        Some(user?.name)
    });
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let plain = |c: char| if c.is_ascii_graphic() { c } else { '?' };
    let who = user.map_or_else(|| host.clone(), |user| format!("{user}@{host}"));
    who.chars().map(plain).take(255).collect()
}

/// A name as part of a path.
pub(crate) fn encoded(name: &str) -> String {
    let encode = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    };
    name.bytes().map(encode).collect()
}

/// Pairs as a query, with its `?`; nothing where there are none.
pub(crate) fn query(pairs: &[(&str, String)]) -> String {
    let mut out = String::new();
    for (name, value) in pairs {
        out.push(if out.is_empty() { '?' } else { '&' });
        out.push_str(name);
        out.push('=');
        out.push_str(&encoded(value));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{Client, query};

    #[test]
    fn a_server_is_a_url_and_the_error_says_how_it_would_look() {
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
        assert_eq!(query(&[("q", "a b&c".into()), ("n", "1".into())]), "?q=a%20b%26c&n=1");
    }
}
