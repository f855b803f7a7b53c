//! Protection against cross-site request forgery.
//!
//! A browser sends some requests of any page without a preflight, with the identity by which a proxy
//! in front knows the browser. Requests that only read are safe, since such a page cannot see the
//! answer. Requests that change something are refused if the browser says that they come from a page
//! of another site. Programs other than browsers send no such headers, and are not refused.

use axum::extract::Request;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};

use crate::cors;
use crate::error::ApiError;

/// Refuses requests that change something and come from a page of another origin than this server's
/// or one of `allowed`.
pub(crate) async fn guard<F: Future<Output = Response>>(
    allowed: &[String],
    request: Request,
    next: impl FnOnce(Request) -> F,
) -> Response {
    if only_reads(request.method()) || is_ours(request.headers(), allowed) {
        return next(request).await;
    }
    refused(request.headers()).into_response()
}

fn only_reads(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// Returns true unless a request changes something with the cookie of a browser, and may be one of
/// another site: a browser says where it comes from, and a form has another type than JSON. No other
/// origin is allowed here: a page of another origin has credentials of its own.
pub(crate) fn admits_cookie(method: &Method, headers: &HeaderMap) -> bool {
    let says_origin = ["sec-fetch-site", "origin"].iter().any(|name| headers.contains_key(*name));
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let is_json = types.all(|kind| {
        let kind = kind.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
        kind.trim().eq_ignore_ascii_case("application/json")
    });
    only_reads(method) || (says_origin && is_json && is_ours(headers, &[]))
}

/// Returns the answer to a request that may come from a page of another site.
pub(crate) fn refused(headers: &HeaderMap) -> ApiError {
    let origin = text(headers, header::ORIGIN.as_str())
        .map_or("of another site".to_owned(), |origin| format!("{origin:?}"));
    let detail = format!(
        "origin {origin} must be that of this server, or one that it allows; a proxy must pass on the header Host"
    );
    ApiError::new(StatusCode::FORBIDDEN, detail)
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn is_ours(headers: &HeaderMap, allowed: &[String]) -> bool {
    let origin = headers.get(header::ORIGIN).map(|origin| origin.to_str().unwrap_or_default());
    if origin.is_some_and(|origin| cors::contains(allowed, origin)) {
        return true;
    }
    // No page can forge this header. Older browsers, and pages over plain HTTP, send the origin alone.
    if let Some(site) = text(headers, "sec-fetch-site") {
        return matches!(site, "same-origin" | "none");
    }
    let Some(origin) = origin else { return true };
    let authority = origin.parse::<Uri>().ok().and_then(|uri| uri.authority().cloned());
    let same = |host: &str| {
        let host = host.trim().parse::<Authority>();
        matches!((&authority, host), (Some(authority), Ok(host)) if *authority == host)
    };
    ["host", "x-forwarded-host"].iter().any(|name| text(headers, name).is_some_and(same))
}
