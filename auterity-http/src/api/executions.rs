//! Executions, their history and live events.

use std::collections::BTreeMap;
use std::time::Duration;

use auterity_core::engine::{ExecutionView, Handle, StartRequest};
use auterity_core::store::{EventRow, ExecutionQuery, ExecutionRow, Status};
use auterity_core::{ErrorKind, ExecutionId, Scope};
use auterity_tenancy::Permission;
use futures_util::StreamExt as _;
use jiff::{SignedDuration, Timestamp};
use poem::Request;
use poem::web::sse;
use poem_openapi::param::{Header, Path, Query};
use poem_openapi::{ApiResponse, Object, OpenApi, ResponseContent};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Tag;
use crate::detach::detached;
use crate::edge;
use crate::error::{Code, Pointed, Problem};
use crate::events::{Live, wants_events};
use crate::page::{self, Binding};
use crate::payload::{Json, JsonBody, OptionalJsonBody, Raw, Time};
use crate::scope::Caller;

/// Events on a page, unless the client says otherwise, and at most.
const EVENTS_DEFAULT: u32 = 500;
const EVENTS_MAX: u32 = 1_000;

/// Names a workflow and its version.
#[derive(Debug, Serialize, Object)]
pub(super) struct WorkflowName {
    /// Groups workflows.
    namespace: String,
    /// Unique in the namespace.
    name: String,
    /// The version that the execution is pinned to.
    version: String,
}

/// An execution in a list.
#[derive(Debug, Serialize, Object)]
pub(super) struct ExecutionSummary {
    /// The id.
    id: String,
    /// What is executed.
    workflow: WorkflowName,
    /// `pending`, `running`, `waiting`, `completed`, `faulted`, `cancelled`.
    status: String,
    /// When it was started.
    started_at: Time,
    /// When it ended.
    ended_at: Option<Time>,
    /// How long it took, once it has ended.
    duration_ms: Option<i64>,
    /// What it waits for, when it does.
    waiting_for: Option<String>,
}

/// An execution.
#[derive(Debug, Serialize, Object)]
struct Execution {
    /// The id.
    id: String,
    /// What is executed.
    workflow: WorkflowName,
    /// `pending`, `running`, `waiting`, `completed`, `faulted`, `cancelled`.
    status: String,
    /// When it was started.
    started_at: Time,
    /// When it ended.
    ended_at: Option<Time>,
    /// How long it took, once it has ended.
    duration_ms: Option<i64>,
    /// What it waits for, when it does.
    waiting_for: Option<String>,
    /// The raw input.
    input: Raw,
    /// The output, once completed.
    output: Option<Raw>,
    /// The error object, once faulted.
    error: Option<Raw>,
    /// The JSON pointers of the tasks at work.
    current_tasks: Vec<String>,
    /// Searchable names and values.
    attributes: BTreeMap<String, String>,
    /// The execution that started this one.
    parent: Option<String>,
}

/// A page of executions.
#[derive(Debug, Serialize, Object)]
struct ExecutionPage {
    /// The newest first.
    items: Vec<ExecutionSummary>,
    /// Leads to the next page; null on the last.
    next_cursor: Option<String>,
}

/// One row of an execution's history.
#[derive(Debug, Serialize, Object)]
struct Event {
    /// Its place, from 1 without gaps.
    sequence: u64,
    /// When it happened.
    at: Time,
    /// What happened.
    kind: String,
    /// The changes of tasks that followed, in order.
    tasks: Raw,
}

/// A page of history.
#[derive(Debug, Serialize, Object)]
struct EventPage {
    /// In order.
    items: Vec<Event>,
    /// Leads to what follows; null at the end.
    next_cursor: Option<String>,
}

/// What to start an execution with.
#[derive(Debug, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(deny_unknown_fields)]
struct StartBody {
    /// The input; absent: an empty object.
    input: Option<Value>,
    /// Higher comes first when executions have to queue.
    priority: Option<i32>,
    /// Searchable names and values.
    attributes: Option<BTreeMap<String, String>>,
}

/// Why an execution is to end.
#[derive(Debug, Default, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(deny_unknown_fields)]
struct CancelBody {
    /// The reason, for the history.
    reason: Option<String>,
}

#[derive(ApiResponse)]
enum StartReply {
    /// It is started.
    #[oai(status = 202)]
    Started(Json<Execution>, #[oai(header = "Location")] String),
    /// It has ended within the time asked for.
    #[oai(status = 200)]
    Ended(Json<Execution>, #[oai(header = "Location")] String),
}

#[derive(ApiResponse)]
enum CancelReply {
    /// The end is asked for; it comes when the execution has cleaned up.
    #[oai(status = 202)]
    Accepted(Json<Execution>),
}

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

pub(super) struct Api;

#[OpenApi(tag = "Tag::Executions")]
impl Api {
    /// Starts an execution of a workflow.
    #[oai(
        path = "/workflows/:namespace/:name/executions",
        method = "post",
        operation_id = "execution_start"
    )]
    #[expect(
        clippy::too_many_arguments,
        reason = "each argument is one parameter of the call"
    )]
    async fn start(
        &self,
        request: &Request,
        caller: Caller,
        namespace: Path<String>,
        name: Path<String>,
        /// The version; absent: the highest.
        version: Query<Option<String>>,
        /// How long to wait for the end, such as `10s`.
        wait: Query<Option<String>>,
        /// A repeated start with the same key finds the first execution.
        #[oai(name = "Idempotency-Key")]
        idempotency_key: Header<Option<String>>,
        body: JsonBody<StartBody>,
    ) -> Result<StartReply, Problem> {
        let context = edge::context(request)?;
        let scope = caller.scope(Permission::ExecutionStart)?;
        let wait = parse_wait(wait.0.as_deref(), context.options().wait_max())?;
        let start = StartRequest {
            namespace: namespace.0,
            name: name.0,
            version: version.0,
            input: body
                .0
                .input
                .unwrap_or_else(|| Value::Object(serde_json::Map::new())),
            idempotency_key: idempotency_key.0.filter(|key| !key.is_empty()),
            attributes: body.0.attributes.unwrap_or_default(),
            priority: body.0.priority.unwrap_or_default(),
        };
        let (engine, acting) = (context.engine().clone(), scope.clone());
        let started = detached(&context, "execution start", async move {
            Ok(engine.start(&acting, start).await?)
        })
        .await?;
        let engine = context.engine();
        if let Some(within) = wait {
            engine.wait(&scope, started.id, within).await?;
        }
        let view = fetch(engine, &scope, started.id).await?;
        let ended = wait.is_some() && view.row.status.is_ended();
        let location = format!("{}/executions/{}", super::PREFIX, started.id);
        let execution = Json(execution_of(view)?);
        Ok(if ended {
            StartReply::Ended(execution, location)
        } else {
            StartReply::Started(execution, location)
        })
    }

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
        let attributes = attributes_asked(request);
        let selection =
            serde_json::to_string(&(&workflow.0, &status.0, &started_after.0, &attributes))
                .map_err(Problem::internal)?;
        let binding = Binding {
            tenant: scope.tenant(),
            list: "executions",
            query: &selection,
        };
        let before = match &cursor.0 {
            Some(cursor) => Some(context.cursors().decode(&binding, cursor)?),
            None => None,
        };
        let query = ExecutionQuery {
            workflow: workflow.0.as_deref().map(parse_workflow).transpose()?,
            status: status.0.as_deref().map(parse_status).transpose()?,
            started_after: started_after.0.as_deref().map(parse_time).transpose()?,
            attributes,
            before,
            limit: page::limit(limit.0)?,
        };
        let page = context.engine().executions(&scope, &query).await?;
        let next_cursor = match page.items.last() {
            Some(last) if page.more => {
                let position = (last.started_at, last.id);
                Some(context.cursors().encode(&binding, &position)?)
            }
            _ => None,
        };
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
        let view = fetch(context.engine(), &scope, parse_id(&id.0)?).await?;
        Ok(Json(execution_of(view)?))
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
        let id = parse_id(&id.0)?;
        let engine = context.engine();
        if wants_events(accept.0.as_deref()) {
            // Read first, so that an unknown execution is a 404 and not an empty stream.
            engine.events(&scope, id, 0, 1).await?;
            let after = last_event_id.0.or(after.0).unwrap_or_default();
            let rows = engine.follow(scope, id, after).filter_map(sse_event);
            let live = Live::new(request, caller.principal().expires_at(), rows)?;
            return Ok(EventsReply::Found(EventsContent::Live(live)));
        }
        let limit = page::limit_within(limit.0, EVENTS_DEFAULT, EVENTS_MAX)?;
        let query = id.to_string();
        let binding = Binding {
            tenant: scope.tenant(),
            list: "events",
            query: &query,
        };
        let after = match &cursor.0 {
            Some(cursor) => context.cursors().decode(&binding, cursor)?,
            None => after.0.unwrap_or_default(),
        };
        let rows = engine.events(&scope, id, after, limit).await?;
        let next_cursor = match rows.last() {
            Some(last) if limit as usize <= rows.len() => {
                Some(context.cursors().encode(&binding, &last.sequence)?)
            }
            _ => None,
        };
        let items = rows.iter().map(event_of).collect::<Result<_, _>>()?;
        let page = Json(EventPage { items, next_cursor });
        Ok(EventsReply::Found(EventsContent::Page(page)))
    }

    /// Asks an execution to end.
    #[oai(
        path = "/executions/:id/cancel",
        method = "post",
        operation_id = "execution_cancel"
    )]
    async fn cancel(
        &self,
        request: &Request,
        caller: Caller,
        id: Path<String>,
        body: OptionalJsonBody<CancelBody>,
    ) -> Result<CancelReply, Problem> {
        let context = edge::context(request)?;
        let scope = caller.scope(Permission::ExecutionCancel)?;
        let id = parse_id(&id.0)?;
        let engine = context.engine().clone();
        let view = detached(&context, "execution cancel", async move {
            let asked = engine.cancel(&scope, id, body.0.reason).await;
            asked.map_err(|error| match error.kind() {
                ErrorKind::Conflict => Problem::from(error).with_code(Code::AlreadyEnded),
                _ => error.into(),
            })?;
            fetch(&engine, &scope, id).await
        })
        .await?;
        Ok(CancelReply::Accepted(Json(execution_of(view)?)))
    }
}

async fn fetch(engine: &Handle, scope: &Scope, id: ExecutionId) -> Result<ExecutionView, Problem> {
    let found = engine.execution(scope, id).await?;
    found.ok_or_else(Problem::not_found)
}

/// A text that is no id names nothing.
fn parse_id(text: &str) -> Result<ExecutionId, Problem> {
    text.parse().map_err(|_| Problem::not_found())
}

fn wrong(name: &str, detail: &str) -> Problem {
    let errors = vec![Pointed::new(name, detail)];
    Problem::new(Code::InvalidParameter, format!("{name} {detail}")).with_errors(errors)
}

fn parse_wait(text: Option<&str>, most: Duration) -> Result<Option<Duration>, Problem> {
    let Some(text) = text else {
        return Ok(None);
    };
    let parsed = text
        .parse::<SignedDuration>()
        .ok()
        .and_then(|wait| Duration::try_from(wait).ok())
        .ok_or_else(|| wrong("wait", "is no duration such as 10s"))?;
    if most < parsed {
        let detail = format!("is longer than {} s", most.as_secs());
        return Err(wrong("wait", &detail));
    }
    Ok(Some(parsed))
}

fn parse_workflow(text: &str) -> Result<(String, String), Problem> {
    match text.split_once('/') {
        Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() => {
            Ok((namespace.to_owned(), name.to_owned()))
        }
        _ => Err(wrong("workflow", "must be namespace/name")),
    }
}

fn parse_status(text: &str) -> Result<Status, Problem> {
    text.parse().map_err(|_| {
        wrong(
            "status",
            "must be pending, running, waiting, completed, faulted or cancelled",
        )
    })
}

fn parse_time(text: &str) -> Result<Timestamp, Problem> {
    text.parse().map_err(|_| {
        wrong(
            "started_after",
            "must be a time such as 2026-01-31T08:00:00Z",
        )
    })
}

/// Reads the parameters `attribute.<name>=<value>`.
fn attributes_asked(request: &Request) -> BTreeMap<String, String> {
    let pairs = request
        .params::<Vec<(String, String)>>()
        .unwrap_or_default();
    pairs
        .into_iter()
        .filter_map(|(name, value)| {
            let name = name.strip_prefix("attribute.")?.to_owned();
            Some((name, value))
        })
        .collect()
}

/// Gives how long an execution took, once it has ended.
pub(super) fn duration_ms(row: &ExecutionRow) -> Option<i64> {
    let took = row.ended_at?.duration_since(row.started_at);
    i64::try_from(took.as_millis()).ok()
}

fn execution_of(view: ExecutionView) -> Result<Execution, Problem> {
    let ExecutionView { row, current_tasks } = view;
    let ExecutionSummary {
        id,
        workflow,
        status,
        started_at,
        ended_at,
        duration_ms,
        waiting_for,
    } = ExecutionSummary::from(&row);
    let raw = |text: &Option<std::sync::Arc<str>>| text.as_deref().map(Raw::from_text).transpose();
    Ok(Execution {
        id,
        workflow,
        status,
        started_at,
        ended_at,
        duration_ms,
        waiting_for,
        input: Raw::from_text(row.input.as_deref().unwrap_or("null"))?,
        output: raw(&row.output)?,
        error: raw(&row.error)?,
        current_tasks,
        attributes: row.attributes,
        parent: row.parent.map(|parent| parent.to_string()),
    })
}

fn event_of(row: &EventRow) -> Result<Event, Problem> {
    Ok(Event {
        sequence: row.sequence,
        at: Time(row.at),
        kind: row.kind.to_owned(),
        tasks: Raw::from_text(&row.records)?,
    })
}

/// Writes an event for a stream. A stream cannot answer with an error any more: a
/// fault is logged and ends it for the client, who comes back with the last id.
async fn sse_event(row: Result<EventRow, auterity_core::Error>) -> Option<sse::Event> {
    let row = row.inspect_err(|error| tracing::warn!(%error, "an event stream broke off"));
    let row = row.ok()?;
    let event = event_of(&row).ok()?;
    let data = serde_json::to_string(&event).ok()?;
    let message = sse::Event::message(data)
        .id(row.sequence.to_string())
        .event_type(row.kind);
    Some(message)
}

impl From<&ExecutionRow> for ExecutionSummary {
    fn from(row: &ExecutionRow) -> Self {
        Self {
            id: row.id.to_string(),
            workflow: WorkflowName {
                namespace: row.workflow.namespace.clone(),
                name: row.workflow.name.clone(),
                version: row.workflow.version.clone(),
            },
            status: row.status.as_str().to_owned(),
            started_at: Time(row.started_at),
            ended_at: row.ended_at.map(Time),
            duration_ms: duration_ms(row),
            waiting_for: row.waiting_for.clone(),
        }
    }
}
