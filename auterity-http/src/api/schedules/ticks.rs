//! Ticks: those that were, those to come, and those that somebody asks for.

use auterity_core::ScheduleId;
use auterity_core::engine::Backfill;
use auterity_core::schedule::{Overlap, Policy};
use auterity_core::store::ScheduleQuery;
use auterity_tenancy::Permission;
use poem::Request;
use poem_openapi::param::{Path, Query};
use poem_openapi::{ApiResponse, Object, OpenApi};
use serde::{Deserialize, Serialize};

use super::calls::{Asked, SchedulePage, fetch, listed, location, refused};
use super::documents::{OverlapBody, ScheduleBody, TickBody, TimingBody, invalid};
use crate::api::{Tag, parameters};
use crate::detach::detached;
use crate::edge;
use crate::error::{Pointed, Problem};
use crate::idempotency::IdempotencyKey;
use crate::page::{self, Listing};
use crate::payload::{Json, JsonBody, OptionalJsonBody, Time};
use crate::scope::Caller;

/// Times of a preview, unless the client says otherwise, and at most.
const TIMES_DEFAULT: u32 = 10;
const TIMES_MAX: u32 = 100;

/// A page of ticks.
#[derive(Debug, Serialize, Object)]
struct TickPage {
    /// The newest first.
    items: Vec<TickBody>,
    /// Leads to the next page; null on the last.
    next_cursor: Option<String>,
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
enum BackfillReply {
    /// It is under way; it has an id of its own.
    #[oai(status = 202)]
    Accepted(
        Json<ScheduleBody>,
        #[oai(header = "Location")] String,
        /// `true` when an earlier call with this key had made it.
        #[oai(header = "Idempotency-Replayed")]
        Option<String>,
    ),
}

#[derive(ApiResponse)]
enum TriggerReply {
    /// The tick; its execution is started unless the policy says otherwise.
    #[oai(status = 202)]
    Accepted(
        Json<TickBody>,
        /// `true` when an earlier call with this key had made it.
        #[oai(header = "Idempotency-Replayed")]
        Option<String>,
    ),
}

pub(in crate::api) struct Api;

#[OpenApi(tag = "Tag::Schedules")]
impl Api {
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
        let count = body.0.count.unwrap_or(TIMES_DEFAULT);
        if count == 0 || TIMES_MAX < count {
            let detail = format!("must be between 1 and {TIMES_MAX}");
            return Err(invalid(vec![Pointed::new("/count", detail)]));
        }
        let mut wrong = Vec::new();
        let timing = body.0.timing.timing(&mut wrong);
        let timing = timing.ok_or_else(|| invalid(wrong))?;
        let preview = context
            .engine()
            .schedule_preview(&timing, &Policy::default(), count as usize)
            .map_err(refused)?;
        Ok(Json(PreviewReply {
            description: preview.description,
            times: preview.times.into_iter().map(Time).collect(),
        }))
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
        /// A repeated call with the same key finds the first tick while that is
        /// remembered.
        #[oai(name = "Idempotency-Key")]
        idempotency_key: IdempotencyKey,
        body: OptionalJsonBody<TriggerBody>,
    ) -> Result<TriggerReply, Problem> {
        let context = edge::context(request)?;
        let scope = caller.scope(Permission::ScheduleControl)?;
        let id: ScheduleId = parameters::id(&id.0)?;
        let overlap = body.0.overlap.map(Overlap::from);
        let engine = context.engine().clone();
        let made = detached(&context, "schedule trigger", async move {
            let key = idempotency_key.0.as_deref();
            Ok(engine.schedule_trigger(&scope, id, overlap, key).await?)
        })
        .await?;
        let replayed = made.existing.then(|| "true".to_owned());
        let body = Json(TickBody::from(&made.tick));
        Ok(TriggerReply::Accepted(body, replayed))
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
        /// A repeated call with the same key finds the first backfill; with another
        /// content it is refused.
        #[oai(name = "Idempotency-Key")]
        idempotency_key: IdempotencyKey,
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
        let range = Backfill {
            from: time("/from", &from)?,
            to: time("/to", &to)?,
            overlap: overlap.map_or(Overlap::QueueAll, Overlap::from),
        };
        let engine = context.engine().clone();
        let made = detached(&context, "schedule backfill", async move {
            let key = idempotency_key.0.as_deref();
            let made = engine.schedule_backfill(&scope, id, range, key);
            made.await.map_err(refused)
        })
        .await?;
        let location = location(made.row.id);
        let replayed = made.existing.then(|| "true".to_owned());
        let body = Json(made.row.into());
        Ok(BackfillReply::Accepted(body, location, replayed))
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
        let count = page::size("count", count.0, (TIMES_DEFAULT, TIMES_MAX))?;
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
