//! The web UI: its page at `/` and at every path that the page may know, its files below `/ui/`, and
//! the view of one execution for frames of other pages.
//!
//! Not a crate for static files: the page depends on the base path, its headers on the configuration,
//! and deep links on `Accept`.

use std::sync::Arc;

use axum::Router;
use axum::extract::{FromRequestParts, Path};
use axum::http::header::{self, HeaderMap};
use axum::http::{HeaderValue, StatusCode, Uri, request::Parts};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Deserialize;

use crate::base_path::BasePath;
use crate::config::HttpConfig;
use crate::error::ApiError;
use crate::router::{App, unknown_route};

/// The content security policy, without the pages that may frame it. Nothing is loaded from or sent
/// to other hosts, and no inline code runs.
const POLICY: &str = "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self'; \
     img-src 'self' data:; font-src 'self'; connect-src 'self'; base-uri 'self'; \
     form-action 'none'; frame-ancestors ";

/// The request headers that a page depends on.
const VARY: &str = "accept, x-forwarded-prefix";

/// The caching of files whose content changes with the version: browsers ask each time.
const REVALIDATED: &str = "no-cache";
/// The caching of files whose names contain a hash of their content.
const KEPT: &str = "public, max-age=31536000, immutable";

/// The first segments of paths that are never pages: a mistyped path of the API is an error, also in
/// a browser.
const NEVER_PAGES: &[&str] = &["api", "embed", "health", "openapi.json", "ready", "ui"];

pub(crate) fn routes(config: &HttpConfig) -> Router<Arc<App>> {
    let (own, framed) = (policy("'none'"), policy(&ancestors(&config.embed_parents)));
    let own_page = {
        let own = own.clone();
        move |asked: Asked| async move { asked.page(&own) }
    };
    let deep_link = move |asked: Asked| async move {
        if asked.wants_page() { Ok(asked.page(&own)) } else { Err(unknown_route(asked.seen).await) }
    };
    Router::new()
        .route("/", get(own_page))
        .route("/ui/{*file}", get(file))
        .route(
            "/embed/executions/{id}",
            get(move |asked: Asked| async move { asked.page(&framed) }),
        )
        // A route, since a fallback is lost when the router is nested twice.
        .route("/{*rest}", get(deep_link).fallback(unknown_route))
}

fn policy(ancestors: &str) -> HeaderValue {
    HeaderValue::try_from(format!("{POLICY}{ancestors}"))
        .unwrap_or(HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"))
}

/// Returns the origins as a list of sources. Invalid ones are skipped, since they could end the list
/// or the header.
fn ancestors(origins: &[String]) -> String {
    let fits = |origin: &&String| {
        let fits = !origin.is_empty()
            && origin.bytes().all(|byte| byte.is_ascii_graphic() && !b";,\"<>".contains(&byte));
        if !fits {
            tracing::warn!(
                origin,
                "skipping an invalid origin in embed_parents; use one like https://wiki.example.org"
            );
        }
        fits
    };
    let fitting: Vec<&str> = origins.iter().filter(fits).map(String::as_str).collect();
    if fitting.is_empty() { "'none'".to_owned() } else { fitting.join(" ") }
}

/// A request for a page.
struct Asked {
    base_path: BasePath,
    seen: Uri,
    headers: HeaderMap,
}

impl<S: Send + Sync> FromRequestParts<S> for Asked {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let base_path = BasePath::from_request_parts(parts, state).await?;
        Ok(Self { base_path, seen: parts.uri.clone(), headers: parts.headers.clone() })
    }
}

impl Asked {
    /// Returns true if a browser requests a page at a path that the UI may know. The page itself reports
    /// unknown paths.
    fn wants_page(&self) -> bool {
        let first = self.seen.path().trim_start_matches('/').split('/').next().unwrap_or_default();
        let accepted = self.headers.get_all(header::ACCEPT).iter();
        !NEVER_PAGES.contains(&first)
            && accepted
                .filter_map(|value| value.to_str().ok())
                .any(|value| value.contains("text/html"))
    }

    fn page(&self, policy: &HeaderValue) -> Response {
        let Some(index) = tinpot_ui::file(tinpot_ui::INDEX) else {
            return ApiError::new(
                StatusCode::NOT_FOUND,
                "page not found: the web UI was built without it",
            )
            .into_response();
        };
        // Not compressed: it is small, and differs by base path.
        let page = tinpot_ui::page(&format!("{}/", self.base_path.0));
        let etag = tinpot_ui::etag(page.as_bytes());
        let mut response = if unchanged(&self.headers, &etag) {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            let content_type = HeaderValue::from_static(index.content_type());
            ([(header::CONTENT_TYPE, content_type)], page).into_response()
        };
        let headers = response.headers_mut();
        common(headers, &etag, REVALIDATED);
        headers.insert(header::CONTENT_SECURITY_POLICY, policy.clone());
        headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
        // The page depends on the accepted types, and on the prefix that a proxy removed.
        headers.insert(header::VARY, HeaderValue::from_static(VARY));
        response
    }
}

#[derive(Deserialize)]
struct FileName {
    file: String,
}

async fn file(
    path: Option<Path<FileName>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    // The page below `/ui/` would request its files at wrong paths.
    let name = path.map_or(String::new(), |Path(FileName { file })| file);
    let found = tinpot_ui::file(&name).filter(|_| name != tinpot_ui::INDEX);
    let Some(file) = found else { return Err(unknown_route(uri).await) };
    let mut response = if unchanged(&headers, file.etag()) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let content_type = (header::CONTENT_TYPE, HeaderValue::from_static(file.content_type()));
        match file.gzip().filter(|_| accepts_gzip(&headers)) {
            Some(packed) => {
                let encoding = (header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
                ([content_type, encoding], packed).into_response()
            }
            None => ([content_type], file.bytes()).into_response(),
        }
    };
    let headers = response.headers_mut();
    common(headers, file.etag(), if file.never_changes() { KEPT } else { REVALIDATED });
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    // The policy of a worker is that of its file, not that of its page.
    headers.insert(header::CONTENT_SECURITY_POLICY, policy("'none'"));
    Ok(response)
}

/// Adds the headers of all files.
fn common(headers: &mut HeaderMap, etag: &str, caching: &'static str) {
    // The tag is weak, since it is the same for the compressed and the plain file.
    if let Ok(etag) = HeaderValue::try_from(format!("W/{etag}")) {
        headers.insert(header::ETAG, etag);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
}

/// Returns true if the client has this content already.
fn unchanged(headers: &HeaderMap, etag: &str) -> bool {
    let tags = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|tags| tags.to_str().ok());
    tags.flat_map(|tags| tags.split(','))
        .map(str::trim)
        .any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}

fn accepts_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT_ENCODING).iter();
    accepted.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).any(
        |coding| {
            let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
            let refused =
                weight.trim().strip_prefix("q=").is_some_and(|q| q.trim().parse() == Ok(0.0));
            name.trim().eq_ignore_ascii_case("gzip") && !refused
        },
    )
}
