//! Decisions as statements.

use serde_json::json;

use super::records::{TICK, hex, schedule_json, tick_json};
use super::write::{Kind, Steps, names, rows};
use crate::store::ScheduleChange;
use crate::store::sea::SeaStore;
use crate::store::sea::rows::micros;

/// For how long the ids of consumed events are kept, in microseconds: a day.
const CONSUMED_KEPT: i64 = 86_400_000_000;

/// What a worker's decision writes.
const DECIDED: &str = "paused = r.paused, failures = r.failures, cursor_at = r.cursor_at,
    next_at = r.next_at, ticks = r.ticks, watches = r.watches, collecting = r.collecting,
    due_at = CASE WHEN r.holds OR NOT schedule.rung OR r.due_at <= r.at THEN r.due_at
             ELSE r.at END";

impl SeaStore {
    /// Makes the statements that record decisions.
    pub(super) fn commit_steps(&self, changes: &[ScheduleChange]) -> Steps {
        let backend = self.backend();
        let all = self.changes();
        let ticks: Vec<_> = changes.iter().flat_map(|change| &change.ticks).collect();
        let consumed = changes.iter().flat_map(|change| {
            let schedule = hex(change.row.id.as_uuid());
            let ids = change.consumed.iter();
            ids.map(move |id| json!({ "schedule": schedule, "id": hex(id.as_uuid()) }))
        });
        let consumed: Vec<_> = consumed.collect();
        let mut values = vec![json!(changes.iter().map(change_json).collect::<Vec<_>>())];
        let mut rest = Vec::new();
        if !ticks.is_empty() {
            values.push(json!(ticks.into_iter().map(tick_json).collect::<Vec<_>>()));
            let rows = rows(backend, values.len(), TICK);
            let columns = names(TICK, "");
            rest.push(format!(
                "INSERT INTO schedule_tick ({columns}) SELECT {columns} FROM {rows}
                 WHERE r.schedule IN (#done) AND NOT EXISTS (
                    SELECT 1 FROM schedule_tick AS k WHERE k.schedule = r.schedule
                        AND k.identity = r.identity AND k.sequence <> r.sequence)
                 ON CONFLICT (schedule, sequence) DO UPDATE SET state = excluded.state,
                    open = excluded.open, execution = excluded.execution,
                    reason = excluded.reason, ended_at = excluded.ended_at"
            ));
        }
        if !consumed.is_empty() {
            values.push(json!(consumed));
            let columns = &[("schedule", Kind::Id), ("id", Kind::Id)];
            let rows = rows(backend, values.len(), columns);
            rest.push(format!(
                "UPDATE schedule_event SET consumed = true, payload = '' FROM {rows}
                 WHERE schedule_event.schedule = r.schedule AND schedule_event.id = r.id
                    AND r.schedule IN (#done)"
            ));
        }
        if changes.iter().any(|change| change.forget.is_some()) {
            rest.push(format!(
                "DELETE FROM schedule_tick WHERE (schedule, sequence) IN (
                    SELECT t.schedule, t.sequence FROM {all} JOIN schedule_tick AS t
                        ON t.schedule = r.id AND t.sequence <= r.forget
                    WHERE NOT t.open AND r.id IN (#done))"
            ));
            rest.push(format!(
                "DELETE FROM schedule_event WHERE (schedule, id) IN (
                    SELECT e.schedule, e.id FROM {all} JOIN schedule_event AS e
                        ON e.schedule = r.id AND e.consumed AND e.at < r.at - {CONSUMED_KEPT}
                    WHERE r.forget IS NOT NULL AND r.id IN (#done))"
            ));
        }
        Steps {
            first: format!(
                "UPDATE schedule SET {DECIDED} FROM {all}
                 WHERE schedule.id = r.id AND schedule.claim = r.claim
                 RETURNING schedule.id AS id"
            ),
            rest,
            values: values.iter().map(ToString::to_string).collect(),
        }
    }
}

fn change_json(change: &ScheduleChange) -> serde_json::Value {
    let mut row = schedule_json(&change.row);
    row["holds"] = json!(change.holds);
    row["at"] = json!(micros(change.at));
    row["forget"] = json!(change.forget);
    row
}
