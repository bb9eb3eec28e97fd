//! Operations on many executions.

use auterity_core::engine::{BulkAction, BulkOrder, Selection};
use auterity_core::store::{BulkItems, BulkOutcome};
use auterity_core::{BulkId, ErrorKind, ExecutionId};
use auterity_tenancy::Permission;
use poem::Request;
use poem_openapi::param::{Path, Query};
use poem_openapi::{ApiResponse, Object, OpenApi};
use serde::Deserialize;

use super::bulk_documents::{
    BulkActionName, BulkItemPage, BulkOperation, BulkOperationPage, BulkPreview,
};
use super::read::parse_filter;
use crate::api::{PREFIX, Tag, parameters};
use crate::detach::detached;
use crate::edge;
use crate::error::{Code, Pointed, Problem};
use crate::idempotency::IdempotencyKey;
use crate::page::{self, Listing};
use crate::payload::{BatchBody, Json};
use crate::scope::Caller;
use crate::services::Context;

/// Items on a page, unless the client says otherwise, and at most.
const ITEMS_DEFAULT: u32 = 100;
const ITEMS_MAX: u32 = 1_000;

/// What is to be done to many executions: to those that a filter means now, or to those
/// with the ids.
#[derive(Debug, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(deny_unknown_fields)]
struct BulkBody {
    /// Which executions; an empty filter means all. Give this or `ids`.
    filter: Option<String>,
    /// Which executions. Give this or `filter`.
    ids: Option<Vec<String>>,
    /// What is done to each.
    action: BulkActionName,
    /// With `retry`: the task to go on from; absent: the one that failed.
    from_task: Option<String>,
    /// With `retry`: the version to go on with; absent: the present one. With `migrate`:
    /// the version.
    version: Option<String>,
    /// The reason, for the histories.
    reason: Option<String>,
    /// Executions that are acted on in a second at most, 1 to 10,000; absent: as many as
    /// possible.
    rate: Option<u32>,
    /// Only pins the selection and tries the action with the first executions: start the
    /// operation within an hour.
    dry_run: Option<bool>,
}

#[derive(ApiResponse)]
enum BulkReply {
    /// The selection is pinned; nothing was done.
    #[oai(status = 200)]
    Planned(Json<BulkPreview>, #[oai(header = "Location")] String),
    /// It is under way.
    #[oai(status = 202)]
    Started(Json<BulkOperation>, #[oai(header = "Location")] String),
}

#[derive(ApiResponse)]
enum BulkTurned {
    /// The operation as it is now.
    #[oai(status = 202)]
    Turned(Json<BulkOperation>),
}

pub(in crate::api) struct Api;

#[OpenApi(tag = "Tag::Executions")]
impl Api {
    /// Does the same to many executions. What is selected at the beginning stays selected:
    /// executions that are started later are not part of it.
    #[oai(
        path = "/executions/bulk",
        method = "post",
        operation_id = "execution_bulk"
    )]
    async fn plan(
        &self,
        request: &Request,
        caller: Caller,
        /// A repeated call with the same key finds the first operation.
        #[oai(name = "Idempotency-Key")]
        idempotency_key: IdempotencyKey,
        body: BatchBody<BulkBody>,
    ) -> Result<BulkReply, Problem> {
        let context = edge::context(request)?;
        let scope = caller.scope(permission(body.0.action))?;
        let dry_run = body.0.dry_run.unwrap_or_default();
        let order = order(&context, body.0, idempotency_key.0)?;
        let engine = context.engine().clone();
        let (preview, location) = detached(&context, "bulk operation", async move {
            let planned = engine.bulk_plan(&scope, order).await;
            let mut plan = planned.map_err(|error| match error.kind() {
                ErrorKind::Conflict => Problem::from(error).with_code(Code::KeyReused),
                _ => error.into(),
            })?;
            let id = plan.operation.id;
            if !dry_run {
                plan.operation = engine.bulk_start(&scope, id).await?;
            }
            let preview = BulkPreview::of(plan)?;
            Ok((preview, format!("{PREFIX}/executions/bulk/{id}")))
        })
        .await?;
        Ok(if dry_run {
            BulkReply::Planned(Json(preview), location)
        } else {
            BulkReply::Started(Json(preview.operation), location)
        })
    }

    /// Lists operations on many executions, the newest first.
    #[oai(
        path = "/executions/bulk",
        method = "get",
        operation_id = "execution_bulk_list"
    )]
    async fn list(
        &self,
        request: &Request,
        caller: Caller,
        /// Items on the page, 1 to 200.
        limit: Query<Option<u32>>,
        /// The `next_cursor` of the page before.
        cursor: Query<Option<String>>,
    ) -> Result<Json<BulkOperationPage>, Problem> {
        let context = edge::context(request)?;
        let scope = caller.scope(Permission::ExecutionRead)?;
        let list = Listing::new(&context, &scope, "bulk operations", "");
        let before = list.position(cursor.0.as_deref())?;
        let limit = page::limit(limit.0)?;
        let page = context.engine().bulks(&scope, before, limit).await?;
        let last = page.items.last().filter(|_| page.more);
        let next_cursor = list.cursor(last.map(|row| (row.created_at, row.id)))?;
        let items = page.items.iter().map(BulkOperation::of);
        Ok(Json(BulkOperationPage {
            items: items.collect::<Result<_, _>>()?,
            next_cursor,
        }))
    }

    /// Gives an operation with its progress.
    #[oai(
        path = "/executions/bulk/:id",
        method = "get",
        operation_id = "execution_bulk_get"
    )]
    async fn get(
        &self,
        request: &Request,
        caller: Caller,
        id: Path<String>,
    ) -> Result<Json<BulkOperation>, Problem> {
        let context = edge::context(request)?;
        let scope = caller.scope(Permission::ExecutionRead)?;
        let row = context.engine().bulk(&scope, parameters::id(&id.0)?).await;
        Ok(Json(BulkOperation::of(&row?)?))
    }

    /// Lists the executions of an operation with what became of each.
    #[oai(
        path = "/executions/bulk/:id/items",
        method = "get",
        operation_id = "execution_bulk_items"
    )]
    #[expect(
        clippy::too_many_arguments,
        reason = "each argument is one parameter of the call"
    )]
    async fn items(
        &self,
        request: &Request,
        caller: Caller,
        id: Path<String>,
        /// Only those with this outcome: `done`, `refused`, or `open` for none yet.
        outcome: Query<Option<String>>,
        /// Items on the page, 1 to 1000.
        limit: Query<Option<u32>>,
        /// The `next_cursor` of the page before.
        cursor: Query<Option<String>>,
    ) -> Result<Json<BulkItemPage>, Problem> {
        let context = edge::context(request)?;
        let scope = caller.scope(Permission::ExecutionRead)?;
        let id: BulkId = parameters::id(&id.0)?;
        let which = match outcome.0.as_deref() {
            None => BulkItems::All,
            Some("open") => BulkItems::Open,
            Some(word) => match BulkOutcome::from_word(word) {
                Some(outcome) => BulkItems::With(outcome),
                None => {
                    let detail = "must be done, refused or open";
                    return Err(Problem::parameter("outcome", detail));
                }
            },
        };
        let query = format!("{id} {which:?}");
        let list = Listing::new(&context, &scope, "bulk items", &query);
        let after = list.position(cursor.0.as_deref())?.unwrap_or_default();
        let limit = page::size("limit", limit.0, (ITEMS_DEFAULT, ITEMS_MAX))?;
        let engine = context.engine();
        let items = engine.bulk_items(&scope, id, which, (after, limit)).await?;
        let last = items.last().filter(|_| limit as usize <= items.len());
        let next_cursor = list.cursor(last.map(|item| item.place))?;
        Ok(Json(BulkItemPage {
            items: items.iter().map(Into::into).collect(),
            next_cursor,
        }))
    }

    /// Starts a planned operation, on exactly what its plan had selected.
    #[oai(
        path = "/executions/bulk/:id/start",
        method = "post",
        operation_id = "execution_bulk_start"
    )]
    async fn start(
        &self,
        request: &Request,
        caller: Caller,
        id: Path<String>,
    ) -> Result<BulkTurned, Problem> {
        turn(request, &caller, &id.0, true).await
    }

    /// Stops an operation; what it has done stays.
    #[oai(
        path = "/executions/bulk/:id/stop",
        method = "post",
        operation_id = "execution_bulk_stop"
    )]
    async fn stop(
        &self,
        request: &Request,
        caller: Caller,
        id: Path<String>,
    ) -> Result<BulkTurned, Problem> {
        turn(request, &caller, &id.0, false).await
    }
}

/// Starts or stops an operation; whoever may do its action may do this.
async fn turn(
    request: &Request,
    caller: &Caller,
    id: &str,
    starts: bool,
) -> Result<BulkTurned, Problem> {
    let context = edge::context(request)?;
    let reader = caller.scope(Permission::ExecutionRead)?;
    let id: BulkId = parameters::id(id)?;
    let engine = context.engine().clone();
    let planned = BulkOperation::of(&engine.bulk(&reader, id).await?)?;
    let scope = caller.scope(permission(planned.action()))?;
    let operation = detached(&context, "bulk operation", async move {
        let row = if starts {
            engine.bulk_start(&scope, id).await?
        } else {
            engine.bulk_stop(&scope, id).await?
        };
        BulkOperation::of(&row)
    })
    .await?;
    Ok(BulkTurned::Turned(Json(operation)))
}

fn permission(action: BulkActionName) -> Permission {
    match action {
        BulkActionName::Cancel | BulkActionName::Terminate => Permission::ExecutionCancel,
        BulkActionName::Suspend
        | BulkActionName::Resume
        | BulkActionName::Retry
        | BulkActionName::Migrate => Permission::ExecutionRepair,
    }
}

fn order(context: &Context, body: BulkBody, key: Option<String>) -> Result<BulkOrder, Problem> {
    let selection = match (body.filter, body.ids) {
        (Some(text), None) => Selection::Filter {
            filter: parse_filter(context.engine(), "/filter", &text)?,
            text,
        },
        (None, Some(ids)) => Selection::Ids(read_ids(&ids)?),
        _ => return Err(wrong("/filter", "give either filter or ids")),
    };
    let (from_task, version) = (body.from_task, body.version);
    let named = |fields: &[(&str, bool)]| match fields.iter().find(|(_, there)| *there) {
        Some((field, _)) => Err(wrong(field, "does not go with this action")),
        None => Ok(()),
    };
    let action = match body.action {
        BulkActionName::Retry => BulkAction::Retry { from_task, version },
        BulkActionName::Migrate => {
            named(&[("/from_task", from_task.is_some())])?;
            let missing = || wrong("/version", "say the version to migrate to");
            BulkAction::Migrate {
                version: version.ok_or_else(missing)?,
            }
        }
        plain => {
            named(&[
                ("/from_task", from_task.is_some()),
                ("/version", version.is_some()),
            ])?;
            match plain {
                BulkActionName::Terminate => BulkAction::Terminate,
                BulkActionName::Suspend => BulkAction::Suspend,
                BulkActionName::Resume => BulkAction::Resume,
                _ => BulkAction::Cancel,
            }
        }
    };
    Ok(BulkOrder {
        selection,
        action,
        reason: body.reason,
        rate: body.rate,
        idempotency_key: key,
    })
}

fn read_ids(ids: &[String]) -> Result<Vec<ExecutionId>, Problem> {
    let read = |(place, id): (usize, &String)| {
        let place = format!("/ids/{place}");
        id.parse()
            .map_err(|_| wrong(&place, "is no id of an execution"))
    };
    ids.iter().enumerate().map(read).collect()
}

fn wrong(place: &str, detail: &str) -> Problem {
    let errors = vec![Pointed::new(place, detail)];
    Problem::new(Code::ValidationFailed, format!("{place} {detail}")).with_errors(errors)
}
