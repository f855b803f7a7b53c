//! Pages of other sites may not act here.
//!
//! A browser sends some requests for any page without asking the server first, with whatever identity a proxy in front knows this browser by. What
//! only reads is safe, since such a page cannot see the answer; what changes something is refused when the browser says that a foreign page is
//! behind it. Programs that are no browsers say nothing, and are not asked.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::error::ApiError;

/// Refuses what changes something and comes from a page of another origin than this server's, or one of `allowed`.
pub(crate) async fn guard(
    State(allowed): State<Arc<[String]>>,
    request: Request,
    next: Next,
) -> Response {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if reads || is_ours(request.headers(), &allowed) {
        return next.run(request).await;
    }
    let origin = text(request.headers(), header::ORIGIN.as_str()).unwrap_or("a page");
    let detail = format!(
        "{origin:?} is another site: only pages of this server, and those that it is told to allow, may change something here; a proxy has to pass on the header Host"
    );
    ApiError::new(StatusCode::FORBIDDEN, detail).into_response()
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn is_ours(headers: &HeaderMap, allowed: &[String]) -> bool {
    let origin = headers.get(header::ORIGIN).map(|origin| origin.to_str().unwrap_or_default());
    if origin.is_some_and(|origin| allowed.iter().any(|one| one.eq_ignore_ascii_case(origin))) {
        return true;
    }
    // The browser's own word, which no page can forge; older ones, and pages by plain HTTP, send the origin alone.
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
