//! Schedules as documents: made, read, replaced, paused, deleted.

use auterity_core::store::{ScheduleQuery, ScheduleRow};
use auterity_core::{Error, ErrorKind, ScheduleId, Scope};
use auterity_tenancy::Permission;
use poem::Request;
use poem_openapi::param::{Header, Path, Query};
use poem_openapi::{ApiResponse, Object, OpenApi};
use serde::{Deserialize, Serialize};

use super::documents::{ScheduleBody, SpecBody, invalid};
use crate::api::{PREFIX, Tag, parameters};
use crate::detach::detached;
use crate::edge;
use crate::error::{Code, Pointed, Problem};
use crate::idempotency::IdempotencyKey;
use crate::page::{self, Listing};
use crate::payload::{Json, JsonBody};
use crate::scope::Caller;
use crate::services::Context;

/// A page of schedules.
#[derive(Debug, Serialize, Object)]
pub(super) struct SchedulePage {
    /// By name.
    items: Vec<ScheduleBody>,
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

#[derive(ApiResponse)]
enum CreateReply {
    /// It is made.
    #[oai(status = 201)]
    Created(
        Json<ScheduleBody>,
        #[oai(header = "Location")] String,
        #[oai(header = "ETag")] String,
        /// `true` when an earlier call with this key had made it.
        #[oai(header = "Idempotency-Replayed")]
        Option<String>,
    ),
}

#[derive(ApiResponse)]
enum ScheduleReply {
    /// The schedule.
    #[oai(status = 200)]
    Found(Json<ScheduleBody>, #[oai(header = "ETag")] String),
}

#[derive(ApiResponse)]
enum DeleteReply {
    /// It is gone.
    #[oai(status = 204)]
    Deleted,
}

pub(in crate::api) struct Api;

#[OpenApi(tag = "Tag::Schedules")]
impl Api {
    /// Makes a schedule.
    #[oai(path = "/schedules", method = "post", operation_id = "schedule_create")]
    async fn create(
        &self,
        request: &Request,
        caller: Caller,
        /// A repeated call with the same key finds the first schedule; with another
        /// content it is refused.
        #[oai(name = "Idempotency-Key")]
        idempotency_key: IdempotencyKey,
        body: JsonBody<SpecBody>,
    ) -> Result<CreateReply, Problem> {
        let context = edge::context(request)?;
        let scope = caller.scope(Permission::ScheduleManage)?;
        let name = body.0.name.clone();
        let spec = body.0.spec()?;
        let engine = context.engine().clone();
        let made = detached(&context, "schedule create", async move {
            let key = idempotency_key.0.as_deref();
            let made = engine.schedule_create(&scope, &name, spec, key);
            made.await.map_err(refused)
        })
        .await?;
        let (location, tag) = (location(made.row.id), tag(&made.row));
        let replayed = made.existing.then(|| "true".to_owned());
        let body = Json(made.row.into());
        Ok(CreateReply::Created(body, location, tag, replayed))
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
        let revision = match expected(if_match.0.as_deref())? {
            Some(Expected::Revision(revision)) => revision,
            Some(Expected::Any) => row.revision,
            None => {
                let detail = "send the ETag of the schedule that you changed as If-Match";
                return Err(Problem::new(Code::PreconditionRequired, detail));
            }
        };
        if body.0.name != row.name {
            let wrong = Pointed::new("/name", "the name of a schedule cannot be changed");
            return Err(invalid(vec![wrong]));
        }
        let spec = body.0.spec()?;
        let engine = context.engine().clone();
        let changed = detached(&context, "schedule replace", async move {
            let changed = engine.schedule_update(&scope, row.id, revision, spec);
            changed.await.map_err(refused)
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
        let revision = match expected(if_match.0.as_deref())? {
            Some(Expected::Revision(revision)) => Some(revision),
            Some(Expected::Any) | None => None,
        };
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
}

/// Which page of which list a client asks for.
pub(super) struct Asked {
    pub(super) list: &'static str,
    pub(super) selection: String,
    pub(super) cursor: Option<String>,
}

/// Gives a page of schedules or backfills.
pub(super) async fn listed(
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

/// Fetches the schedule or backfill that a path names.
pub(super) async fn fetch(
    context: &Context,
    scope: &Scope,
    id: &str,
) -> Result<ScheduleRow, Problem> {
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

/// Gives the address of a schedule or backfill.
pub(super) fn location(id: ScheduleId) -> String {
    format!("{PREFIX}/schedules/{id}")
}

/// What an `If-Match` asks for.
enum Expected {
    Any,
    Revision(u64),
}

fn expected(if_match: Option<&str>) -> Result<Option<Expected>, Problem> {
    let tag = match if_match {
        None => return Ok(None),
        Some("*") => return Ok(Some(Expected::Any)),
        Some(tag) => tag,
    };
    let plain = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
    match plain.and_then(|plain| plain.parse().ok()) {
        Some(revision) => Ok(Some(Expected::Revision(revision))),
        None => Err(stale()),
    }
}

fn stale() -> Problem {
    let detail = "the schedule was changed meanwhile; read it again and repeat the change";
    Problem::new(Code::PreconditionFailed, detail)
}

/// Turns the places that the engine names into places of the body, and a key that was
/// used for something else into its own code.
pub(super) fn refused(error: Error) -> Problem {
    if error.context().any(|(name, _)| name == "idempotency_key") {
        return Problem::from(error).with_code(Code::KeyReused);
    }
    if error.kind() != ErrorKind::Invalid || error.violations().is_empty() {
        return error.into();
    }
    let wrong = error.violations().iter().map(|violation| {
        let pointer = violation.pointer.strip_prefix("/policy");
        Pointed::new(pointer.unwrap_or(&violation.pointer), &violation.message)
    });
    invalid(wrong.collect())
}
