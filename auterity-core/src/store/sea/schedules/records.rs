//! Between rows and the records of schedules.

use std::sync::Arc;

use sea_orm::QueryResult;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use sqlx::types::Uuid;

use super::write::{Columns, Kind};
use crate::store::sea::rows::{from_micros, get, micros, number, tenant, text, text_or_none, time};
use crate::store::{ScheduleEvent, ScheduleRow, StartedTick, Status, TickRow, TickState, check};
use crate::{Error, ErrorKind, ExecutionId, InboxId, ScheduleId};

pub(super) const SCHEDULE: &Columns = &[
    ("id", Kind::Id),
    ("tenant", Kind::Id),
    ("key", Kind::Text),
    ("name", Kind::Text),
    ("namespace", Kind::Text),
    ("workflow", Kind::Text),
    ("spec", Kind::Text),
    ("managed", Kind::Flag),
    ("backfill_of", Kind::Id),
    ("revision", Kind::Number),
    ("paused", Kind::Text),
    ("failures", Kind::Number),
    ("anchor_at", Kind::Number),
    ("cursor_at", Kind::Number),
    ("next_at", Kind::Number),
    ("due_at", Kind::Number),
    ("ticks", Kind::Number),
    ("watches", Kind::Flag),
    ("collecting", Kind::Text),
    ("claim", Kind::Number),
    ("created_at", Kind::Number),
    ("updated_at", Kind::Number),
];

pub(super) const TICK: &Columns = &[
    ("schedule", Kind::Id),
    ("sequence", Kind::Number),
    ("identity", Kind::Text),
    ("kind", Kind::Text),
    ("nominal_at", Kind::Number),
    ("state", Kind::Text),
    ("open", Kind::Flag),
    ("execution", Kind::Id),
    ("reason", Kind::Text),
    ("events", Kind::Text),
    ("decided_at", Kind::Number),
    ("ended_at", Kind::Number),
];

pub(super) const EVENT: &Columns = &[
    ("schedule", Kind::Id),
    ("id", Kind::Id),
    ("payload", Kind::Text),
    ("at", Kind::Number),
];

pub(super) const SUBSCRIPTION: &Columns = &[
    ("tenant", Kind::Id),
    ("execution", Kind::Id),
    ("effect", Kind::Number),
    ("filter", Kind::Number),
    ("event_type", Kind::Text),
    ("event_key", Kind::Text),
    ("condition", Kind::Text),
];

/// Gives an id as both databases read it.
pub(super) fn hex(id: Uuid) -> String {
    id.simple().to_string()
}

pub(super) fn schedule_json(row: &ScheduleRow) -> Value {
    json!({
        "id": hex(row.id.as_uuid()),
        "tenant": hex(row.tenant.as_uuid()),
        "key": row.key,
        "name": row.name,
        "namespace": row.spec.namespace,
        "workflow": row.spec.workflow,
        "spec": written(&row.spec),
        "managed": row.managed,
        "backfill_of": row.backfill_of.map(|id| hex(id.as_uuid())),
        "revision": number(row.revision),
        "paused": row.paused.as_ref().map(written),
        "failures": row.failures,
        "anchor_at": micros(row.anchor),
        "cursor_at": micros(row.cursor),
        "next_at": row.next.map(micros),
        "due_at": row.due.map(micros),
        "ticks": number(row.ticks),
        "watches": row.watches,
        "collecting": (!row.collecting.is_empty()).then(|| written(&row.collecting)),
        "claim": number(row.claim),
        "created_at": micros(row.created_at),
        "updated_at": micros(row.updated_at),
    })
}

/// Writes what can always be written.
fn written(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

pub(super) fn tick_json(tick: &TickRow) -> Value {
    json!({
        "schedule": hex(tick.schedule.as_uuid()),
        "sequence": number(tick.sequence),
        "identity": tick.identity,
        "kind": tick.kind,
        "nominal_at": micros(tick.nominal),
        "state": tick.state.as_str(),
        "open": tick.open,
        "execution": tick.execution.map(|id| hex(id.as_uuid())),
        "reason": tick.reason.as_deref().map(check::without_nulls),
        "events": tick.events,
        "decided_at": micros(tick.decided_at),
        "ended_at": tick.ended_at.map(micros),
    })
}

pub(super) fn subscription_json(row: &ScheduleRow) -> Value {
    let all = row.subscriptions();
    let rows = all.iter().map(|one| {
        json!({
            "tenant": hex(one.tenant.as_uuid()),
            "execution": hex(one.execution.as_uuid()),
            "effect": number(one.effect),
            "filter": one.filter,
            "event_type": check::event_type_key(one),
            "event_key": check::event_type_key(one),
            "condition": one.condition,
        })
    });
    rows.collect()
}

pub(super) fn schedule(row: &QueryResult) -> Result<ScheduleRow, Error> {
    let spec: Arc<str> = text(row, "spec")?;
    let collecting = text_or_none(row, "collecting")?;
    let paused = text_or_none(row, "paused")?;
    Ok(ScheduleRow {
        id: ScheduleId::from_uuid(get(row, "id")?),
        tenant: tenant(row)?,
        key: get(row, "key")?,
        name: get(row, "name")?,
        spec: json_of(&spec, "spec")?,
        managed: get(row, "managed")?,
        backfill_of: get::<Option<Uuid>>(row, "backfill_of")?.map(ScheduleId::from_uuid),
        revision: count(row, "revision")?,
        paused: paused.map(|text| json_of(&text, "paused")).transpose()?,
        failures: u32::try_from(count(row, "failures")?).unwrap_or(u32::MAX),
        anchor: time(row, "anchor_at")?,
        cursor: time(row, "cursor_at")?,
        next: time_or_none(row, "next_at")?,
        due: time_or_none(row, "due_at")?,
        ticks: count(row, "ticks")?,
        watches: get(row, "watches")?,
        collecting: match collecting {
            Some(text) => json_of(&text, "collecting")?,
            None => Vec::new(),
        },
        claim: count(row, "claim")?,
        created_at: time(row, "created_at")?,
        updated_at: time(row, "updated_at")?,
    })
}

pub(super) fn tick(row: &QueryResult) -> Result<TickRow, Error> {
    tick_at(row, "")
}

/// The columns of a schedule's last tick in a row that also has the schedule's own.
pub(super) fn tick_of_schedule() -> String {
    let columns: Vec<String> = TICK
        .iter()
        .map(|(name, _)| format!("t.{name} AS last_{name}"))
        .collect();
    columns.join(", ")
}

pub(super) fn last_tick(row: &QueryResult) -> Result<Option<TickRow>, Error> {
    match get::<Option<Uuid>>(row, "last_schedule")? {
        Some(_) => tick_at(row, "last_").map(Some),
        None => Ok(None),
    }
}

fn tick_at(row: &QueryResult, prefix: &str) -> Result<TickRow, Error> {
    let column = |name: &str| format!("{prefix}{name}");
    let execution: Option<Uuid> = get(row, &column("execution"))?;
    Ok(TickRow {
        schedule: ScheduleId::from_uuid(get(row, &column("schedule"))?),
        sequence: count(row, &column("sequence"))?,
        identity: get(row, &column("identity"))?,
        kind: word(row, &column("kind"))?,
        nominal: time(row, &column("nominal_at"))?,
        state: word(row, &column("state"))?,
        open: get(row, &column("open"))?,
        execution: execution.map(ExecutionId::from_uuid),
        reason: get(row, &column("reason"))?,
        events: text_or_none(row, &column("events"))?,
        decided_at: time(row, &column("decided_at"))?,
        ended_at: time_or_none(row, &column("ended_at"))?,
    })
}

pub(super) fn event(row: &QueryResult) -> Result<ScheduleEvent, Error> {
    Ok(ScheduleEvent {
        schedule: ScheduleId::from_uuid(get(row, "schedule")?),
        id: InboxId::from_uuid(get(row, "id")?),
        payload: text(row, "payload")?,
        at: time(row, "at")?,
    })
}

pub(super) fn started(row: &QueryResult) -> Result<StartedTick, Error> {
    let status: Option<String> = get(row, "status")?;
    let at = time_or_none(row, "ended_at")?;
    let ended = match status.as_deref() {
        Some("active") => None,
        Some(word) => {
            let status: Status = word.parse().map_err(|_| corrupt("status"))?;
            Some((TickState::from(Some(status)), at))
        }
        None => Some((TickState::Lost, None)),
    };
    Ok(StartedTick {
        schedule: ScheduleId::from_uuid(get(row, "schedule")?),
        sequence: count(row, "sequence")?,
        execution: ExecutionId::from_uuid(get(row, "execution")?),
        ended,
    })
}

fn time_or_none(row: &QueryResult, column: &str) -> Result<Option<jiff::Timestamp>, Error> {
    get::<Option<i64>>(row, column)?
        .map(from_micros)
        .transpose()
}

fn count(row: &QueryResult, column: &str) -> Result<u64, Error> {
    u64::try_from(get::<i64>(row, column)?).map_err(|_| corrupt(column))
}

/// Reads a word that has one form in storage and in JSON.
fn word<T: DeserializeOwned>(row: &QueryResult, column: &str) -> Result<T, Error> {
    let word: String = get(row, column)?;
    serde_json::from_value(Value::from(word)).map_err(|error| corrupt(column).with_source(error))
}

fn json_of<T: DeserializeOwned>(text: &str, column: &str) -> Result<T, Error> {
    serde_json::from_str(text).map_err(|error| corrupt(column).with_source(error))
}

fn corrupt(what: &str) -> Error {
    let message = format!("a row of a schedule cannot be read: {what}");
    Error::new(ErrorKind::Corrupt, message)
}
