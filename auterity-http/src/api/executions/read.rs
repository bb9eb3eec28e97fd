//! Reading executions and their history.

use std::collections::BTreeMap;

use auterity_core::engine::Handle;
use auterity_core::store::{EventRow, ExecutionQuery, Filter, Status, Test};
use auterity_tenancy::Permission;
use futures_util::StreamExt as _;
use poem::Request;
use poem::web::sse;
use poem_openapi::param::{Header, Path, Query};
use poem_openapi::{ApiResponse, OpenApi, ResponseContent};

use super::documents::{Event, EventPage, Execution, ExecutionPage, ExecutionSummary};
use crate::api::{Tag, parameters};
use crate::edge;
use crate::error::{Code, Pointed, Problem};
use crate::events::{Live, wants_events};
use crate::page::{self, Listing};
use crate::payload::Json;
use crate::scope::Caller;

/// Attributes that one list may be narrowed by; each costs the database a look-up.
const ATTRIBUTES_MAX: usize = 8;
/// Events on a page, unless the client says otherwise, and at most.
const EVENTS_DEFAULT: u32 = 500;
const EVENTS_MAX: u32 = 1_000;

#[derive(ResponseContent)]
enum EventsContent {
    Page(Json<EventPage>),
    Live(Live),
}

#[derive(ApiResponse)]
enum EventsReply {
    /// The history; with `Accept: text/event-stream` as a stream that goes on live
    /// and closes after `execution.ended`.
    #[oai(status = 200)]
    Found(EventsContent),
}

pub(in crate::api) struct Api;

#[OpenApi(tag = "Tag::Executions")]
impl Api {
    /// Lists executions, the newest first.
    #[oai(path = "/executions", method = "get", operation_id = "execution_list")]
    #[expect(
        clippy::too_many_arguments,
        reason = "each argument is one parameter of the call"
    )]
    async fn list(
        &self,
        request: &Request,
        caller: Caller,
        /// Which ones, such as `workflow:shop/invoice status:faulted,cancelled
        /// started>-7d -attribute.order:17`: all terms must hold.
        filter: Query<Option<String>>,
        /// Only this workflow: `namespace/name`.
        workflow: Query<Option<String>>,
        /// Only this status.
        status: Query<Option<String>>,
        /// Only those started after this time.
        started_after: Query<Option<String>>,
        /// Items on the page, 1 to 200.
        limit: Query<Option<u32>>,
        /// The `next_cursor` of the page before.
        cursor: Query<Option<String>>,
    ) -> Result<Json<ExecutionPage>, Problem> {
        let context = edge::context(request)?;
        let scope = caller.scope(Permission::ExecutionRead)?;
        let attributes = attributes_asked(request)?;
        let selection = (
            &filter.0,
            &workflow.0,
            &status.0,
            &started_after.0,
            &attributes,
        );
        let selection = serde_json::to_string(&selection).map_err(Problem::internal)?;
        let list = Listing::new(&context, &scope, "executions", &selection);
        let mut filter = match &filter.0 {
            Some(text) => parse_filter(context.engine(), "filter", text)?,
            None => Filter::default(),
        };
        if let Some(text) = &workflow.0 {
            let (namespace, name) = parameters::workflow("workflow", text)?;
            filter = filter.and(Test::Workflow(vec![(namespace, Some(name))]));
        }
        if let Some(text) = &status.0 {
            filter = filter.and(Test::Status(vec![parse_status(text)?]));
        }
        if let Some(time) = parameters::time("started_after", started_after.0.as_deref())? {
            filter = filter.and(Test::StartedAfter(time));
        }
        for (name, value) in attributes {
            let values = vec![value];
            filter = filter.and(Test::Attribute { name, values });
        }
        let query = ExecutionQuery {
            filter,
            before: list.position(cursor.0.as_deref())?,
            limit: page::limit(limit.0)?,
        };
        let page = context.engine().executions(&scope, &query).await?;
        let last = page.items.last().filter(|_| page.more);
        let next_cursor = list.cursor(last.map(|row| (row.started_at, row.id)))?;
        let items = page.items.iter().map(ExecutionSummary::from).collect();
        Ok(Json(ExecutionPage { items, next_cursor }))
    }

    /// Gives an execution.
    #[oai(
        path = "/executions/:id",
        method = "get",
        operation_id = "execution_get"
    )]
    async fn get(
        &self,
        request: &Request,
        caller: Caller,
        id: Path<String>,
    ) -> Result<Json<Execution>, Problem> {
        let context = edge::context(request)?;
        let scope = caller.scope(Permission::ExecutionRead)?;
        let id = parameters::id(&id.0)?;
        let execution = Execution::fetch(context.engine(), &scope, id).await?;
        Ok(Json(execution))
    }

    /// Gives an execution's history, or follows it live.
    #[oai(
        path = "/executions/:id/events",
        method = "get",
        operation_id = "execution_events"
    )]
    #[expect(
        clippy::too_many_arguments,
        reason = "each argument is one parameter of the call"
    )]
    async fn events(
        &self,
        request: &Request,
        caller: Caller,
        id: Path<String>,
        /// Only events after this sequence number.
        after: Query<Option<u64>>,
        /// Events on the page, 1 to 1000.
        limit: Query<Option<u32>>,
        /// The `next_cursor` of the page before.
        cursor: Query<Option<String>>,
        /// `text/event-stream` follows the execution live.
        #[oai(name = "Accept")]
        accept: Header<Option<String>>,
        /// Where a stream broke off.
        #[oai(name = "Last-Event-ID")]
        last_event_id: Header<Option<u64>>,
    ) -> Result<EventsReply, Problem> {
        let context = edge::context(request)?;
        let scope = caller.scope(Permission::ExecutionRead)?;
        let id = parameters::id(&id.0)?;
        let engine = context.engine();
        if wants_events(accept.0.as_deref()) {
            // Read first, so that an unknown execution is a 404 and not an empty stream.
            engine.events(&scope, id, 0, 1).await?;
            let after = last_event_id.0.or(after.0).unwrap_or_default();
            let rows = engine.follow(scope, id, after).filter_map(sse_event);
            let live = Live::new(request, caller.principal().expires_at(), rows)?;
            return Ok(EventsReply::Found(EventsContent::Live(live)));
        }
        let limit = page::size("limit", limit.0, (EVENTS_DEFAULT, EVENTS_MAX))?;
        let query = id.to_string();
        let list = Listing::new(&context, &scope, "events", &query);
        let position = list.position(cursor.0.as_deref())?.or(after.0);
        let rows = engine
            .events(&scope, id, position.unwrap_or_default(), limit)
            .await?;
        let last = rows.last().filter(|_| limit as usize <= rows.len());
        let next_cursor = list.cursor(last.map(|row| row.sequence))?;
        let items = rows.iter().map(Event::of).collect::<Result<_, _>>()?;
        let page = Json(EventPage { items, next_cursor });
        Ok(EventsReply::Found(EventsContent::Page(page)))
    }
}

/// Reads a filter that stands in a parameter or in a body at this place.
pub(super) fn parse_filter(engine: &Handle, place: &str, text: &str) -> Result<Filter, Problem> {
    engine.filter(text).map_err(|mistakes| {
        let first = mistakes.first();
        let detail = first.map_or(String::new(), |first| {
            format!("{place} at column {}: {}", first.column, first.message)
        });
        let errors = mistakes.into_iter().map(|mistake| Pointed {
            column: Some(mistake.column),
            ..Pointed::new(place, mistake.message)
        });
        Problem::new(Code::InvalidParameter, detail).with_errors(errors.collect())
    })
}

fn parse_status(text: &str) -> Result<Status, Problem> {
    text.parse().map_err(|_| {
        Problem::parameter(
            "status",
            "must be pending, running, waiting, suspended, completed, faulted or cancelled",
        )
    })
}

/// Reads the parameters `attribute.<name>=<value>`.
fn attributes_asked(request: &Request) -> Result<BTreeMap<String, String>, Problem> {
    let mut asked = BTreeMap::new();
    let pairs = request.params::<Vec<(String, String)>>();
    for (name, value) in pairs.map_err(|error| Problem::from_framework(error.into()))? {
        if let Some(name) = name.strip_prefix("attribute.") {
            if name.is_empty() {
                return Err(Problem::parameter("attribute.", "must name an attribute"));
            }
            asked.insert(name.to_owned(), value);
        }
    }
    if ATTRIBUTES_MAX < asked.len() {
        let detail = format!("may be asked for {ATTRIBUTES_MAX} times at most");
        return Err(Problem::parameter("attribute", &detail));
    }
    Ok(asked)
}

/// Writes an event for a stream. A stream cannot answer with an error any more: a
/// fault is logged and ends it for the client, who comes back with the last id.
async fn sse_event(row: Result<EventRow, auterity_core::Error>) -> Option<sse::Event> {
    let row = row.inspect_err(|error| tracing::warn!(%error, "an event stream broke off"));
    let row = row.ok()?;
    let event = Event::of(&row).ok()?;
    let data = serde_json::to_string(&event).ok()?;
    let message = sse::Event::message(data)
        .id(row.sequence.to_string())
        .event_type(row.kind);
    Some(message)
}
