//! Cross-origin requests: pages of other sites that may read answers and change something.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};

/// The time for which a browser remembers the answer to a preflight, in seconds.
const MAX_AGE: &str = "600";
/// Headers of answers that a page may read, in addition to those that it always may.
const EXPOSED: &str = "content-disposition, date, retry-after";

/// Returns true if an origin is one of these, or if all are.
pub(crate) fn contains(origins: &[String], origin: &str) -> bool {
    let origin = without_usual_port(origin);
    let same = |one: &String| without_usual_port(one).eq_ignore_ascii_case(origin);
    origins.iter().any(|one| one == "*" || same(one))
}

/// Returns an origin as browsers send it: without the usual port of its scheme.
fn without_usual_port(origin: &str) -> &str {
    let usual = match origin.split_once("://") {
        Some((scheme, _)) if scheme.eq_ignore_ascii_case("https") => ":443",
        Some((scheme, _)) if scheme.eq_ignore_ascii_case("http") => ":80",
        _ => return origin,
    };
    origin.strip_suffix(usual).unwrap_or(origin)
}

/// Answers preflights of pages of `origins`, and lets these pages read all other answers.
pub(crate) async fn allow<F: Future<Output = Response>>(
    origins: &[String],
    request: Request,
    next: impl FnOnce(Request) -> F,
) -> Response {
    if origins.is_empty() {
        return next(request).await;
    }
    let origin = request.headers().get(header::ORIGIN).cloned();
    let origin = origin.filter(|origin| origin.to_str().is_ok_and(|it| contains(origins, it)));
    let asked = request.headers().get(header::ACCESS_CONTROL_REQUEST_METHOD);
    let is_preflight = request.method() == Method::OPTIONS && asked.is_some();
    let mut response = if is_preflight && origin.is_some() {
        let wanted = request.headers().get(header::ACCESS_CONTROL_REQUEST_HEADERS).cloned();
        preflight(wanted)
    } else {
        next(request).await
    };
    let headers = response.headers_mut();
    headers.append(header::VARY, HeaderValue::from_static("origin"));
    if let Some(origin) = origin {
        allow_in(headers, origin, origins.iter().any(|one| one == "*"));
    }
    response
}

fn preflight(wanted: Option<HeaderValue>) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    let methods = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE");
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(MAX_AGE));
    // Whatever the page sends: its origin is trusted.
    if let Some(wanted) = wanted {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted);
    }
    response
}

fn allow_in(headers: &mut HeaderMap, origin: HeaderValue, all: bool) {
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
    if all {
        // No credentials: a page of any site must not act for the user who is logged in.
        let any = HeaderValue::from_static("*");
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, any);
    } else {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        let yes = HeaderValue::from_static("true");
        headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, yes);
    }
}
