//! Schedules: what starts workflows by itself.

mod body;

use auterity_core::schedule::{Overlap, Policy};
use auterity_core::store::{ScheduleQuery, ScheduleRow};
use auterity_core::{Error, ErrorKind, ScheduleId, Scope};
use auterity_tenancy::Permission;
use poem::Request;
use poem_openapi::param::{Header, Path, Query};
use poem_openapi::{ApiResponse, Object, OpenApi};
use serde::{Deserialize, Serialize};

use self::body::{OverlapBody, ScheduleBody, SpecBody, TickBody, TimingBody, invalid};
use super::{Tag, parameters};
use crate::detach::detached;
use crate::edge;
use crate::error::{Code, Pointed, Problem};
use crate::page::{self, Listing};
use crate::payload::{Json, JsonBody, OptionalJsonBody, Time};
use crate::scope::Caller;
use crate::services::Context;

/// Times of a preview, unless the client says otherwise, and at most.
const TIMES_DEFAULT: u32 = 10;
const TIMES_MAX: u32 = 100;

/// A page of schedules.
#[derive(Debug, Serialize, Object)]
struct SchedulePage {
    /// By name.
    items: Vec<ScheduleBody>,
    /// Leads to the next page; null on the last.
    next_cursor: Option<String>,
}

/// A page of ticks.
#[derive(Debug, Serialize, Object)]
struct TickPage {
    /// The newest first.
    items: Vec<TickBody>,
    /// Leads to the next page; null on the last.
    next_cursor: Option<String>,
}

/// What is to change.
#[derive(Debug, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(deny_unknown_fields)]
struct SchedulePatch {
    /// Whether it is to stand still.
    paused: bool,
    /// Why it is paused.
    #[serde(default)]
    reason: Option<String>,
}

/// How to trigger.
#[derive(Debug, Default, Deserialize, Object)]
#[serde(default, deny_unknown_fields)]
#[oai(deny_unknown_fields)]
struct TriggerBody {
    /// Absent: the schedule's own policy.
    overlap: Option<OverlapBody>,
}

/// The range to make up for.
#[derive(Debug, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(deny_unknown_fields)]
struct BackfillBody {
    /// The first time that counts.
    from: String,
    /// The last time that counts.
    to: String,
    /// Absent: `queue_all`, one after the other.
    #[serde(default)]
    overlap: Option<OverlapBody>,
}

/// A timing to be explained.
#[derive(Debug, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(deny_unknown_fields)]
struct PreviewBody {
    /// When.
    timing: TimingBody,
    /// How many times, 1 to 100.
    #[serde(default)]
    count: Option<u32>,
}

/// What a timing means.
#[derive(Debug, Serialize, Object)]
struct PreviewReply {
    /// In words.
    description: String,
    /// The next times; none if it does not go by the clock.
    times: Vec<Time>,
}

#[derive(ApiResponse)]
enum CreateReply {
    /// It is made.
    #[oai(status = 201)]
    Created(
        Json<ScheduleBody>,
        #[oai(header = "Location")] String,
        #[oai(header = "ETag")] String,
    ),
    /// It had been made with the same idempotency key.
    #[oai(status = 200)]
    Same(
        Json<ScheduleBody>,
        #[oai(header = "Location")] String,
        #[oai(header = "ETag")] String,
    ),
}

#[derive(ApiResponse)]
enum ScheduleReply {
    /// The schedule.
    #[oai(status = 200)]
    Found(Json<ScheduleBody>, #[oai(header = "ETag")] String),
}

#[derive(ApiResponse)]
enum BackfillReply {
    /// It is under way; it has an id of its own.
    #[oai(status = 202)]
    Accepted(Json<ScheduleBody>, #[oai(header = "Location")] String),
}

#[derive(ApiResponse)]
enum TriggerReply {
    /// The tick; its execution is started unless the policy says otherwise.
    #[oai(status = 202)]
    Accepted(Json<TickBody>),
}

#[derive(ApiResponse)]
enum DeleteReply {
    /// It is gone.
    #[oai(status = 204)]
    Deleted,
}

pub(super) struct Api;

#[OpenApi(tag = "Tag::Schedules")]
impl Api {
    /// Makes a schedule.
    #[oai(path = "/schedules", method = "post", operation_id = "schedule_create")]
    async fn create(
        &self,
        request: &Request,
        caller: Caller,
        /// A repeated call with the same key finds the first schedule.
        #[oai(name = "Idempotency-Key")]
        idempotency_key: Header<Option<String>>,
        body: JsonBody<SpecBody>,
    ) -> Result<CreateReply, Problem> {
        let context = edge::context(request)?;
        let scope = caller.scope(Permission::ScheduleManage)?;
        let name = body.0.name.clone();
        let spec = body.0.spec()?;
        let engine = context.engine().clone();
        let key = idempotency_key.0.filter(|key| !key.is_empty());
        let made = detached(&context, "schedule create", async move {
            let made = engine.schedule_create(&scope, &name, spec, key.as_deref());
            made.await
                .map_err(|error| problem(&error).unwrap_or_else(|| error.into()))
        })
        .await?;
        let (location, tag) = (location(made.row.id), tag(&made.row));
        let body = Json(made.row.into());
        Ok(if made.existing {
            CreateReply::Same(body, location, tag)
        } else {
            CreateReply::Created(body, location, tag)
        })
    }

    /// Lists schedules by name, each with its last tick.
    #[oai(path = "/schedules", method = "get", operation_id = "schedule_list")]
    async fn list(
        &self,
        request: &Request,
        caller: Caller,
        /// Only those of this workflow: `namespace/name`.
        workflow: Query<Option<String>>,
        /// Items on the page, 1 to 200.
        limit: Query<Option<u32>>,
        /// The `next_cursor` of the page before.
        cursor: Query<Option<String>>,
    ) -> Result<Json<SchedulePage>, Problem> {
        let context = edge::context(request)?;
        let scope = caller.scope(Permission::ScheduleRead)?;
        let selection = workflow.0.clone().unwrap_or_default();
        let workflow = match workflow.0.as_deref().map(|text| text.split_once('/')) {
            None => None,
            Some(Some((namespace, name))) => Some((namespace.to_owned(), name.to_owned())),
            Some(None) => return Err(Problem::parameter("workflow", "must be namespace/name")),
        };
        let query = ScheduleQuery {
            workflow,
            limit: page::limit(limit.0)?,
            ..ScheduleQuery::default()
        };
        let asked = Asked {
            list: "schedules",
            selection,
            cursor: cursor.0,
        };
        listed(&context, &scope, query, asked).await
    }

    /// Explains a timing and gives its next times, before anything is made.
    #[oai(
        path = "/schedules/preview",
        method = "post",
        operation_id = "schedule_preview"
    )]
    #[expect(clippy::unused_async, reason = "the framework awaits each handler")]
    async fn preview(
        &self,
        request: &Request,
        caller: Caller,
        body: JsonBody<PreviewBody>,
    ) -> Result<Json<PreviewReply>, Problem> {
        let context = edge::context(request)?;
        caller.scope(Permission::ScheduleRead)?;
        let count = page::limit_within(body.0.count, TIMES_DEFAULT, TIMES_MAX)?;
        let mut wrong = Vec::new();
        let timing = body.0.timing.timing(&mut wrong);
        let timing = timing.ok_or_else(|| invalid(wrong))?;
        let preview = context
            .engine()
            .schedule_preview(&timing, &Policy::default(), count as usize)
            .map_err(|error| problem(&error).unwrap_or_else(|| error.into()))?;
        Ok(Json(PreviewReply {
            description: preview.description,
            times: preview.times.into_iter().map(Time).collect(),
        }))
    }

    /// Gives a schedule or backfill.
    #[oai(path = "/schedules/:id", method = "get", operation_id = "schedule_get")]
    async fn get(
        &self,
        request: &Request,
        caller: Caller,
        id: Path<String>,
    ) -> Result<ScheduleReply, Problem> {
        let context = edge::context(request)?;
        let scope = caller.scope(Permission::ScheduleRead)?;
        Ok(found(fetch(&context, &scope, &id.0).await?))
    }

    /// Replaces what a schedule says; new times count from now.
    #[oai(
        path = "/schedules/:id",
        method = "put",
        operation_id = "schedule_replace"
    )]
    async fn replace(
        &self,
        request: &Request,
        caller: Caller,
        id: Path<String>,
        /// The `ETag` that the change is made upon.
        #[oai(name = "If-Match")]
        if_match: Header<Option<String>>,
        body: JsonBody<SpecBody>,
    ) -> Result<ScheduleReply, Problem> {
        let context = edge::context(request)?;
        let scope = caller.scope(Permission::ScheduleManage)?;
        let row = fetch(&context, &scope, &id.0).await?;
        let revision = revision_of(if_match.0.as_deref())?.ok_or_else(|| {
            let detail = "send the ETag of the schedule that you changed as If-Match";
            Problem::new(Code::PreconditionRequired, detail)
        })?;
        if body.0.name != row.name {
            let wrong = Pointed::new("/name", "the name of a schedule cannot be changed");
            return Err(invalid(vec![wrong]));
        }
        let spec = body.0.spec()?;
        let engine = context.engine().clone();
        let changed = detached(&context, "schedule replace", async move {
            let changed = engine.schedule_update(&scope, row.id, revision, spec);
            changed
                .await
                .map_err(|error| problem(&error).unwrap_or_else(|| error.into()))
        })
        .await?;
        changed.map(found).ok_or_else(stale)
    }

    /// Pauses or resumes a schedule or backfill.
    #[oai(
        path = "/schedules/:id",
        method = "patch",
        operation_id = "schedule_pause"
    )]
    async fn patch(
        &self,
        request: &Request,
        caller: Caller,
        id: Path<String>,
        body: JsonBody<SchedulePatch>,
    ) -> Result<ScheduleReply, Problem> {
        let context = edge::context(request)?;
        let scope = caller.scope(Permission::ScheduleControl)?;
        let id: ScheduleId = parameters::id(&id.0)?;
        let engine = context.engine().clone();
        let row = detached(&context, "schedule pause", async move {
            Ok(if body.0.paused {
                engine.schedule_pause(&scope, id, body.0.reason).await?
            } else {
                engine.schedule_resume(&scope, id).await?
            })
        })
        .await?;
        Ok(found(row))
    }

    /// Deletes a schedule with its history, or a backfill; executions go on.
    #[oai(
        path = "/schedules/:id",
        method = "delete",
        operation_id = "schedule_delete"
    )]
    async fn delete(
        &self,
        request: &Request,
        caller: Caller,
        id: Path<String>,
        /// Deletes only if this is still the `ETag`.
        #[oai(name = "If-Match")]
        if_match: Header<Option<String>>,
    ) -> Result<DeleteReply, Problem> {
        let context = edge::context(request)?;
        let scope = caller.scope(Permission::ScheduleManage)?;
        let id: ScheduleId = parameters::id(&id.0)?;
        let revision = revision_of(if_match.0.as_deref())?;
        let engine = context.engine().clone();
        let deleted = detached(&context, "schedule delete", async move {
            Ok(engine.schedule_delete(&scope, id, revision).await?)
        })
        .await?;
        if deleted {
            Ok(DeleteReply::Deleted)
        } else {
            Err(stale())
        }
    }

    /// Makes a tick now.
    #[oai(
        path = "/schedules/:id/trigger",
        method = "post",
        operation_id = "schedule_trigger"
    )]
    async fn trigger(
        &self,
        request: &Request,
        caller: Caller,
        id: Path<String>,
        body: OptionalJsonBody<TriggerBody>,
    ) -> Result<TriggerReply, Problem> {
        let context = edge::context(request)?;
        let scope = caller.scope(Permission::ScheduleControl)?;
        let id: ScheduleId = parameters::id(&id.0)?;
        let overlap = body.0.overlap.map(Overlap::from);
        let engine = context.engine().clone();
        let tick = detached(&context, "schedule trigger", async move {
            Ok(engine.schedule_trigger(&scope, id, overlap).await?)
        })
        .await?;
        Ok(TriggerReply::Accepted(Json(TickBody::from(&tick))))
    }

    /// Makes the ticks of a range of the past.
    #[oai(
        path = "/schedules/:id/backfills",
        method = "post",
        operation_id = "schedule_backfill"
    )]
    async fn backfill(
        &self,
        request: &Request,
        caller: Caller,
        id: Path<String>,
        body: JsonBody<BackfillBody>,
    ) -> Result<BackfillReply, Problem> {
        let context = edge::context(request)?;
        let scope = caller.scope(Permission::ScheduleControl)?;
        let id: ScheduleId = parameters::id(&id.0)?;
        let BackfillBody { from, to, overlap } = body.0;
        let time = |pointer: &str, text: &str| {
            let detail = "must be a time such as 2026-01-31T08:00:00Z";
            let wrong = |_| invalid(vec![Pointed::new(pointer, detail)]);
            text.parse().map_err(wrong)
        };
        let range = (time("/from", &from)?, time("/to", &to)?);
        let overlap = overlap.map_or(Overlap::QueueAll, Overlap::from);
        let engine = context.engine().clone();
        let row = detached(&context, "schedule backfill", async move {
            Ok(engine.schedule_backfill(&scope, id, range, overlap).await?)
        })
        .await?;
        let location = location(row.id);
        Ok(BackfillReply::Accepted(Json(row.into()), location))
    }

    /// Lists the backfills of a schedule, the oldest first.
    #[oai(
        path = "/schedules/:id/backfills",
        method = "get",
        operation_id = "schedule_backfill_list"
    )]
    async fn backfills(
        &self,
        request: &Request,
        caller: Caller,
        id: Path<String>,
        /// Items on the page, 1 to 200.
        limit: Query<Option<u32>>,
        /// The `next_cursor` of the page before.
        cursor: Query<Option<String>>,
    ) -> Result<Json<SchedulePage>, Problem> {
        let context = edge::context(request)?;
        let scope = caller.scope(Permission::ScheduleRead)?;
        let row = fetch(&context, &scope, &id.0).await?;
        let query = ScheduleQuery {
            backfills_of: Some(row.id),
            limit: page::limit(limit.0)?,
            ..ScheduleQuery::default()
        };
        let asked = Asked {
            list: "backfills",
            selection: row.id.to_string(),
            cursor: cursor.0,
        };
        listed(&context, &scope, query, asked).await
    }

    /// Gives the next times of a schedule.
    #[oai(
        path = "/schedules/:id/preview",
        method = "get",
        operation_id = "schedule_next"
    )]
    async fn next(
        &self,
        request: &Request,
        caller: Caller,
        id: Path<String>,
        /// How many, 1 to 100.
        count: Query<Option<u32>>,
    ) -> Result<Json<PreviewReply>, Problem> {
        let context = edge::context(request)?;
        let scope = caller.scope(Permission::ScheduleRead)?;
        let count = page::limit_within(count.0, TIMES_DEFAULT, TIMES_MAX)?;
        let row = fetch(&context, &scope, &id.0).await?;
        let times = context.engine().schedule_next(&row, count as usize);
        Ok(Json(PreviewReply {
            description: row.spec.timing.describe(),
            times: times.into_iter().map(Time).collect(),
        }))
    }

    /// Lists the ticks of a schedule or backfill, the newest first.
    #[oai(
        path = "/schedules/:id/ticks",
        method = "get",
        operation_id = "schedule_ticks"
    )]
    async fn ticks(
        &self,
        request: &Request,
        caller: Caller,
        id: Path<String>,
        /// Items on the page, 1 to 200.
        limit: Query<Option<u32>>,
        /// The `next_cursor` of the page before.
        cursor: Query<Option<String>>,
    ) -> Result<Json<TickPage>, Problem> {
        let context = edge::context(request)?;
        let scope = caller.scope(Permission::ScheduleRead)?;
        let id: ScheduleId = parameters::id(&id.0)?;
        let limit = page::limit(limit.0)?;
        let selection = id.to_string();
        let list = Listing::new(&context, &scope, "ticks", &selection);
        let before = list.position(cursor.0.as_deref())?;
        let page = context
            .engine()
            .schedule_ticks(&scope, id, before, limit)
            .await?;
        let last = page.items.last().filter(|_| page.more);
        Ok(Json(TickPage {
            next_cursor: list.cursor(last.map(|tick| tick.sequence))?,
            items: page.items.iter().map(TickBody::from).collect(),
        }))
    }
}

/// Which page of which list a client asks for.
struct Asked {
    list: &'static str,
    selection: String,
    cursor: Option<String>,
}

async fn listed(
    context: &Context,
    scope: &Scope,
    mut query: ScheduleQuery,
    asked: Asked,
) -> Result<Json<SchedulePage>, Problem> {
    let list = Listing::new(context, scope, asked.list, &asked.selection);
    query.after = list.position(asked.cursor.as_deref())?;
    let page = context.engine().schedules(scope, &query).await?;
    let last = page.items.last().filter(|_| page.more);
    let position = last.map(|listed| (listed.row.name.clone(), listed.row.id));
    Ok(Json(SchedulePage {
        next_cursor: list.cursor(position)?,
        items: page.items.into_iter().map(ScheduleBody::from).collect(),
    }))
}

async fn fetch(context: &Context, scope: &Scope, id: &str) -> Result<ScheduleRow, Problem> {
    let found = context
        .engine()
        .schedule(scope, parameters::id(id)?)
        .await?;
    found.ok_or_else(Problem::not_found)
}

fn found(row: ScheduleRow) -> ScheduleReply {
    let tag = tag(&row);
    ScheduleReply::Found(Json(row.into()), tag)
}

fn tag(row: &ScheduleRow) -> String {
    format!("\"{}\"", row.revision)
}

fn location(id: ScheduleId) -> String {
    format!("{}/schedules/{id}", super::PREFIX)
}

/// Reads the revision that an `If-Match` names.
fn revision_of(tag: Option<&str>) -> Result<Option<u64>, Problem> {
    let Some(tag) = tag else { return Ok(None) };
    let plain = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
    match plain.and_then(|plain| plain.parse().ok()) {
        Some(revision) => Ok(Some(revision)),
        None => Err(stale()),
    }
}

fn stale() -> Problem {
    let detail = "the schedule was changed meanwhile; read it again and repeat the change";
    Problem::new(Code::PreconditionFailed, detail)
}

/// Turns the places that the engine names into places of the body.
fn problem(error: &Error) -> Option<Problem> {
    if error.kind() != ErrorKind::Invalid || error.violations().is_empty() {
        return None;
    }
    let wrong = error.violations().iter().map(|violation| {
        let pointer = violation.pointer.strip_prefix("/policy");
        Pointed::new(pointer.unwrap_or(&violation.pointer), &violation.message)
    });
    Some(invalid(wrong.collect()))
}
