//! Probes: cheap, without detail.

use std::time::Duration;

use poem::http::{StatusCode, header};
use poem::{Request, Response, handler};

use crate::edge;

/// How long the database may take to say that it is there.
const PING_TIMEOUT: Duration = Duration::from_secs(2);

/// Says that the process answers.
#[handler]
pub(super) fn live() -> Response {
    text(true)
}

/// Says whether requests should be sent here.
#[handler]
pub(super) async fn ready(request: &Request) -> poem::Result<Response> {
    let context = edge::context(request)?;
    if edge::drain(request).has_begun() || !context.engine().is_ready() {
        return Ok(text(false));
    }
    let ping = tokio::time::timeout(PING_TIMEOUT, context.engine().ping()).await;
    Ok(text(matches!(ping, Ok(Ok(())))))
}

/// Says whether the start is over.
#[handler]
pub(super) fn started(request: &Request) -> poem::Result<Response> {
    Ok(text(edge::context(request)?.engine().is_ready()))
}

fn text(good: bool) -> Response {
    let (status, word) = if good {
        (StatusCode::OK, "ok\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "unavailable\n")
    };
    Response::builder()
        .status(status)
        .header(header::CACHE_CONTROL, "no-store")
        .content_type("text/plain; charset=utf-8")
        .body(word)
}
