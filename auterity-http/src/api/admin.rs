//! What operators and their machines ask, on a listener of its own.

use poem::endpoint::BoxEndpoint;
use poem::http::header;
use poem::{EndpointExt as _, Request, Response, Route, handler};
use tokio_util::sync::CancellationToken;

use super::{Addresses, health};
use crate::edge::{self, Edge};
use crate::serve::Drain;
use crate::services::{Context, Services};

/// The format that Prometheus reads.
const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
const ADDRESSES: [&str; 4] = ["/metrics", "/livez", "/readyz", "/startupz"];

/// Makes the endpoint for operators: metrics and probes, without credentials. It goes
/// on a listener that only they can reach.
///
/// `draining` fires when the server begins to go down; from then on it is not ready,
/// while this endpoint still answers.
#[must_use]
pub fn mount_admin(
    services: Services,
    draining: CancellationToken,
) -> BoxEndpoint<'static, Response> {
    let routes = Route::new()
        .at("/metrics", poem::get(metrics))
        .at("/livez", poem::get(health::live))
        .at("/readyz", poem::get(health::ready))
        .at("/startupz", poem::get(health::started));
    // Nearer to the probe than the word of the listener itself, which goes down later.
    let routes = routes.data(Drain::from(draining));
    let addresses = Addresses::read_only(&ADDRESSES);
    Edge::new(Context::new(services), addresses, routes)
        .map_to_response()
        .boxed()
}

#[handler]
fn metrics(request: &Request) -> poem::Result<Response> {
    let text = edge::context(request)?.metrics().write();
    Ok(Response::builder()
        .header(header::CACHE_CONTROL, "no-store")
        .header(header::CONTENT_TYPE, MEDIA_TYPE)
        .body(text))
}
