//! The path of a browser to the identity provider and back.

use axum::extract::Query;
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tinpot_access::{LoginRefused, Oidc, OidcReturn};
use tinpot_core::{Error, ErrorKind};

use super::{ApiError, App, BasePath, Visit};
use crate::cookies;

/// Error pages load no other resources.
const POLICY: &str =
    "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";
/// The maximum length of a query, in bytes. The codes of some providers are long tokens.
const QUERY_BYTES: usize = 16 * 1024;

#[derive(Default, Deserialize)]
struct Start {
    #[serde(default)]
    to: String,
}

/// Returns the provider, unless there is none.
fn provider(visit: &Visit) -> Result<&Oidc, ApiError> {
    let detail = "path not found: this server has no identity provider";
    let missing = || ApiError::new(StatusCode::NOT_FOUND, detail);
    visit.accounts.identity_provider().ok_or_else(missing)
}

/// Checks that the browser goes to the page. A page of any site can embed the URL, for example as an
/// image, which must not use up the limits of the network.
fn check_purpose(visit: &Visit) -> Result<(), ApiError> {
    match visit.headers.get("sec-fetch-dest") {
        Some(purpose) if purpose != "document" => {
            let detail = "header Sec-Fetch-Dest must be \"document\": open this page, as it cannot be embedded";
            Err(ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, detail))
        }
        _ => Ok(()),
    }
}

/// Returns the parameters of a query; `None` if one occurs twice.
fn parsed<T: DeserializeOwned>(query: &str) -> Option<T> {
    if query.len() > QUERY_BYTES {
        return None;
    }
    let uri = Uri::try_from(format!("/?{query}")).ok()?;
    Query::try_from_uri(&uri).ok().map(|Query(parameters)| parameters)
}

pub(super) async fn begin(
    _: &App,
    visit: &Visit,
    base: &BasePath,
    query: &str,
) -> Result<Response, ApiError> {
    let oidc = provider(visit)?;
    check_purpose(visit)?;
    visit.admit_beginning()?;
    let Start { to } = parsed(query).unwrap_or_default();
    let directory = visit.accounts.directory();
    match oidc.begin(directory, &to).await {
        Ok(begun) => {
            let cookie = cookies::set_under_way(&visit.headers, Some(begun.cookie.expose()));
            redirect(&begun.url, cookie)
        }
        Err(error) => problem(visit, base, error).await,
    }
}

pub(super) async fn callback(
    _: &App,
    visit: &Visit,
    base: &BasePath,
    query: &str,
) -> Result<Response, ApiError> {
    let oidc = provider(visit)?;
    check_purpose(visit)?;
    let refused = |why: &str| Error::new(ErrorKind::Forbidden, why);
    let Some(answer) = parsed::<OidcReturn>(query) else {
        let error =
            refused("the answer of the identity provider has a parameter twice, or is too long");
        return failed(visit, base, error).await;
    };
    let directory = visit.accounts.directory();
    let cookie = cookies::under_way(&visit.headers);
    let finished = match oidc.finish(directory, cookie, &answer).await {
        Ok(finished) => finished,
        Err(error) => return failed(visit, base, error).await,
    };
    let login = visit.accounts.login();
    let (secret, sign_in) = match login.sign_in_external(&finished.identity, visit.address).await? {
        Ok(signed_in) => signed_in,
        Err(LoginRefused::Ticket(rejection)) => {
            visit.admit()?;
            return Ok(page(visit, base, StatusCode::FORBIDDEN, &format!("{rejection}")));
        }
        Err(_) => {
            visit.admit()?;
            return Ok(page(visit, base, StatusCode::FORBIDDEN, "the account cannot sign in"));
        }
    };
    let mut response = redirect(
        &format!("{}{}", base.0, finished.return_to),
        cookies::set(&visit.headers, secret.expose()),
    )?;
    let proof = directory.device_proof(&sign_in.user).await?;
    let more = [
        cookies::set_device(&visit.headers, proof.expose()),
        cookies::set_under_way(&visit.headers, None),
    ];
    for cookie in more.into_iter().flatten() {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    Ok(response)
}

fn redirect(url: &str, cookie: Option<HeaderValue>) -> Result<Response, ApiError> {
    let location = HeaderValue::from_str(url).map_err(|_| {
        let message = "the URL of the identity provider cannot be sent in a header";
        ApiError::new(StatusCode::BAD_GATEWAY, message)
    })?;
    let mut response = (StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response();
    if let Some(cookie) = cookie {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    Ok(response)
}

/// Counts a return that has failed as an attempt. One that succeeds is limited by its beginning.
async fn failed(visit: &Visit, base: &BasePath, error: Error) -> Result<Response, ApiError> {
    visit.admit()?;
    problem(visit, base, error).await
}

/// Returns the page about a sign-in that has failed, and records it.
async fn problem(visit: &Visit, base: &BasePath, error: Error) -> Result<Response, ApiError> {
    let status = match error.kind() {
        ErrorKind::Forbidden => StatusCode::FORBIDDEN,
        ErrorKind::Unavailable | ErrorKind::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
        _ => return Err(error.into()),
    };
    let why = error.to_string();
    if status == StatusCode::FORBIDDEN {
        visit.accounts.login().refused("", &format!("oidc: {why}"), visit.address).await?;
    }
    Ok(page(visit, base, status, &why))
}

fn page(visit: &Visit, base: &BasePath, status: StatusCode, why: &str) -> Response {
    let (why, base) = (escaped(why), escaped(&base.0));
    let text = format!(
        "<!doctype html><html lang=en><meta charset=utf-8>\
         <meta name=viewport content=\"width=device-width\"><title>Sign-in failed</title>\
         <h1>Sign-in failed</h1><p>Reason: {why}.</p>\
         <p><a href=\"{base}/auth/oidc\">Try again</a> or <a href=\"{base}/\">go back to Tinpot</a>.</p>"
    );
    let kind = (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    let policy = (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    let mut response = (status, [kind, policy], text).into_response();
    if let Some(cookie) = cookies::set_under_way(&visit.headers, None) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}
