//! Server-sent events: history then live, a sign of life, a polite end.

use std::sync::Arc;

use auterity_core::clock::{Clock as _, SystemClock};
use futures_util::{Stream, StreamExt as _, stream};
use jiff::Timestamp;
use poem::web::sse::{Event, SSE};
use poem::{IntoResponse, Request, Response};
use poem_openapi::payload::Payload;
use poem_openapi::registry::{MetaSchema, MetaSchemaRef};

use crate::edge;
use crate::error::{Code, Problem};

/// How long a client should wait before it comes back, in milliseconds.
const RETRY_MS: u64 = 2_000;

/// An event stream as answer.
pub(crate) struct Live(SSE);

impl std::fmt::Debug for Live {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Live")
    }
}

impl Live {
    /// Makes an answer of a stream. It ends with the stream, with the server, and
    /// when the caller's access token does.
    ///
    /// Nothing queues up here: the stream is asked when the client has taken what
    /// came before.
    pub(crate) fn new(
        request: &Request,
        expires_at: Timestamp,
        events: impl Stream<Item = Event> + Send + 'static,
    ) -> Result<Self, Problem> {
        let context = edge::context(request)?;
        let permit = Arc::clone(context.streams()).try_acquire_owned();
        let permit = permit.map_err(|_| {
            Problem::new(
                Code::Overloaded,
                "too many event streams are open; read the list and try again later",
            )
        })?;
        let draining = edge::drain(request).token().clone();
        let over = async move {
            tokio::select! {
                () = draining.cancelled_owned() => {}
                () = SystemClock.sleep_until(expires_at) => {}
            }
        };
        let all = stream::iter([Event::retry(RETRY_MS)])
            .chain(events.take_until(Box::pin(over)))
            .map(move |event| {
                // The place is free again when the stream is gone.
                let _held = &permit;
                event
            });
        Ok(Self(
            SSE::new(all).keep_alive(context.options().heartbeat()),
        ))
    }
}

impl Payload for Live {
    const CONTENT_TYPE: &'static str = "text/event-stream";

    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Inline(Box::new(MetaSchema::new("string")))
    }
}

impl IntoResponse for Live {
    fn into_response(self) -> Response {
        self.0.into_response()
    }
}

/// Tells whether a client prefers an event stream.
pub(crate) fn wants_events(accept: Option<&str>) -> bool {
    accept.is_some_and(|accept| {
        accept
            .split(',')
            .any(|part| part.split(';').next().map(str::trim) == Some("text/event-stream"))
    })
}
