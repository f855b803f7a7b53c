//! Bodies of requests that are refused before they are read.
//!
//! Many clients write the whole body before they read the answer. If the server closed the connection
//! meanwhile, they would see a broken pipe instead of the reason.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use axum::body::{Body, BodyDataStream, HttpBody};
use axum::extract::Request;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures::{StreamExt, stream};

use crate::error::ApiError;

/// The size up to which a body is read before anything else looks at the request.
const SMALL_BYTES: usize = 8 << 10;
/// The bounds of reading on: a size, which a client on the same machine sends within milliseconds,
/// and a time.
const BYTES_MAX: usize = 64 << 20;
const TIME_MAX: Duration = Duration::from_secs(5);

/// Reads what is left of the body of a request that was refused, within bounds, before the answer.
pub(crate) async fn read_on<F: Future<Output = Response>>(
    request: Request,
    next: impl FnOnce(Request) -> F,
) -> Response {
    // A client that waits for permission sends nothing after a refusal.
    if request.body().is_end_stream() || request.headers().contains_key(header::EXPECT) {
        return next(request).await;
    }
    let length = request.headers().get(header::CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
    let (parts, body) = request.into_parts();
    if length.is_some_and(|length: usize| length <= SMALL_BYTES) {
        // Nothing is left to read on then, and nothing has to watch what is read.
        return match axum::body::to_bytes(body, SMALL_BYTES).await {
            Ok(body) => next(Request::from_parts(parts, Body::from(body))).await,
            Err(_) => ApiError::bad_request("body could not be read to its end").into_response(),
        };
    }
    let unread = Arc::new(Mutex::new(Some(body.into_data_stream())));
    let reader = unread.clone();
    let body = stream::poll_fn(move |cx| match &mut *lock(&reader) {
        Some(body) => body.poll_next_unpin(cx),
        None => Poll::Ready(None),
    });
    let response = next(Request::from_parts(parts, Body::from_stream(body))).await;
    let refused = response.status().is_client_error() || response.status().is_server_error();
    let rest = lock(&unread).take();
    if let Some(rest) = rest.filter(|_| refused) {
        let _ = tokio::time::timeout(TIME_MAX, discard(rest)).await;
    }
    response
}

fn lock(body: &Mutex<Option<BodyDataStream>>) -> std::sync::MutexGuard<'_, Option<BodyDataStream>> {
    body.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn discard(mut body: BodyDataStream) {
    let mut left = BYTES_MAX;
    while let Some(Ok(bytes)) = body.next().await {
        left = left.saturating_sub(bytes.len());
        if left == 0 {
            return;
        }
    }
}
