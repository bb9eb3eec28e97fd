//! Live changes of the tenant, for dashboards.

use auterity_core::engine::FeedItem;
use auterity_tenancy::Permission;
use futures_util::StreamExt as _;
use poem::Request;
use poem::web::sse;
use poem_openapi::{ApiResponse, OpenApi};

use super::Tag;
use super::executions::ExecutionSummary;
use crate::edge;
use crate::error::Problem;
use crate::events::Live;
use crate::scope::Caller;

#[derive(ApiResponse)]
enum StreamReply {
    /// `execution` whenever one starts, waits or ends; `reset` when changes were
    /// missed and lists should be read again.
    #[oai(status = 200)]
    Open(Live),
}

pub(super) struct Api;

#[OpenApi(tag = "Tag::Stream")]
impl Api {
    /// Follows the tenant's executions from now on.
    #[oai(path = "/stream", method = "get", operation_id = "stream_open")]
    #[expect(clippy::unused_async, reason = "the framework awaits each handler")]
    async fn open(&self, request: &Request, caller: Caller) -> Result<StreamReply, Problem> {
        let context = edge::context(request)?;
        let scope = caller.scope(Permission::ExecutionRead)?;
        let changes = context.engine().feed(&scope).filter_map(sse_event);
        let live = Live::new(request, caller.principal().expires_at(), changes)?;
        Ok(StreamReply::Open(live))
    }
}

async fn sse_event(item: FeedItem) -> Option<sse::Event> {
    match item {
        FeedItem::Changed(row) => {
            let data = serde_json::to_string(&ExecutionSummary::from(&*row)).ok()?;
            Some(sse::Event::message(data).event_type("execution"))
        }
        FeedItem::Progressed(row) => {
            let data = serde_json::to_string(&Progress::from(&*row)).ok()?;
            Some(sse::Event::message(data).event_type("progress"))
        }
        FeedItem::Lagged => Some(sse::Event::message("{}").event_type("reset")),
    }
}
