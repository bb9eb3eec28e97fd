//! Schedules, their ticks and the events that wait for them.

mod commit;
mod read;
mod records;
mod write;

use async_trait::async_trait;
use jiff::Timestamp;
use sea_orm::{DatabaseBackend, Value};
use serde_json::json;

use self::records::{
    EVENT, SCHEDULE, SUBSCRIPTION, TICK, hex, schedule, schedule_json, subscription_json, tick,
};
use self::write::{Columns, Kind, Steps, names, rows};
use super::SeaStore;
use super::rows::{from_micros, get, micros, number};
use crate::store::{
    Claimed, ListedSchedule, Page, ScheduleChange, ScheduleClaim, ScheduleEvent, SchedulePut,
    ScheduleQuery, ScheduleRow, ScheduleStore, StartedTick, TickRow, TickState, check,
};
use crate::{Error, ExecutionId, ScheduleId, Scope};

/// What a person's change writes.
const EDITED: &str = "name = r.name, namespace = r.namespace, workflow = r.workflow,
    spec = r.spec, revision = r.revision, paused = r.paused, failures = r.failures,
    anchor_at = r.anchor_at, cursor_at = r.cursor_at, next_at = r.next_at, due_at = r.due_at,
    watches = r.watches, collecting = r.collecting, updated_at = r.updated_at,
    claim = schedule.claim + 1";

/// Beside the columns of a schedule: what only changes have.
const CHANGE: &Columns = &[
    ("expected", Kind::Number),
    ("holds", Kind::Flag),
    ("at", Kind::Number),
    ("forget", Kind::Number),
];

impl SeaStore {
    pub(super) fn backend(&self) -> DatabaseBackend {
        self.read.get_database_backend()
    }

    /// The JSON rows of schedules, at the first place.
    fn changes(&self) -> String {
        let columns: Vec<_> = SCHEDULE.iter().chain(CHANGE).copied().collect();
        rows(self.backend(), 1, &columns)
    }

    /// Writes the subscriptions at the second place.
    fn subscribe(&self) -> String {
        let rows = rows(self.backend(), 2, SUBSCRIPTION);
        let columns = names(SUBSCRIPTION, "");
        format!(
            "INSERT INTO subscription ({columns}) SELECT {columns} FROM {rows}
             WHERE r.execution IN (#done)
             ON CONFLICT (execution, effect, filter) DO UPDATE SET
                event_type = excluded.event_type, event_key = excluded.event_key,
                condition = excluded.condition"
        )
    }

    /// Removes subscriptions of the schedule at the third place that are not written anew.
    fn unsubscribe(&self) -> String {
        let rows = rows(self.backend(), 2, SUBSCRIPTION);
        let id = match self.backend() {
            DatabaseBackend::Postgres => "CAST($3 AS uuid)",
            _ => "unhex($3)",
        };
        format!(
            "DELETE FROM subscription WHERE execution = {id} AND execution IN (#done)
                AND filter NOT IN (SELECT r.filter FROM {rows})"
        )
    }

    async fn schedules(&self, text: &str, values: Vec<Value>) -> Result<Vec<ScheduleRow>, Error> {
        self.all(text, values).await?.iter().map(schedule).collect()
    }
}

#[async_trait]
impl ScheduleStore for SeaStore {
    async fn schedule_put(&self, row: &ScheduleRow, most: u32) -> Result<SchedulePut, Error> {
        check::schedule(row)?;
        let columns = names(SCHEDULE, "");
        let steps = Steps {
            first: format!(
                "INSERT INTO schedule ({columns}) SELECT {columns} FROM {}
                 WHERE r.backfill_of IS NOT NULL OR (
                    SELECT count(*) FROM (
                        SELECT 1 FROM schedule AS k
                        WHERE k.tenant = r.tenant AND k.backfill_of IS NULL LIMIT {most}
                    ) AS others) < {most}
                 ON CONFLICT DO NOTHING RETURNING id",
                self.changes()
            ),
            rest: vec![self.subscribe()],
            values: vec![
                json!([schedule_json(row)]).to_string(),
                subscription_json(row).to_string(),
            ],
        };
        if !self.execute_steps(steps).await?.is_empty() {
            return Ok(SchedulePut::Created);
        }
        let text = "SELECT id FROM schedule WHERE tenant = $1 AND key = $2
             UNION ALL SELECT id FROM schedule WHERE id = $3";
        let values = vec![
            row.tenant.as_uuid().into(),
            row.key.clone().into(),
            row.id.as_uuid().into(),
        ];
        let found = self.on_primary(text, values).await?;
        let id = found.first().map(|found| get(found, "id")).transpose()?;
        Ok(id.map_or(SchedulePut::Full, |id| {
            SchedulePut::Exists(ScheduleId::from_uuid(id))
        }))
    }

    async fn schedule_update(&self, row: &ScheduleRow, revision: u64) -> Result<bool, Error> {
        check::schedule(row)?;
        let mut changed = schedule_json(row);
        changed["expected"] = json!(revision);
        let mut rest = vec![self.unsubscribe(), self.subscribe()];
        if row.watches {
            // Those that started while nobody watched count from now on.
            let open = "UPDATE schedule_tick SET open = true
                 WHERE schedule IN (#done) AND state = 'started' AND NOT open";
            rest.push(open.to_owned());
        }
        let steps = Steps {
            first: format!(
                "UPDATE schedule SET {EDITED} FROM {} WHERE schedule.id = r.id
                    AND schedule.tenant = r.tenant AND schedule.revision = r.expected
                 RETURNING schedule.id AS id",
                self.changes()
            ),
            rest,
            values: vec![
                json!([changed]).to_string(),
                subscription_json(row).to_string(),
                hex(row.id.as_uuid()),
            ],
        };
        Ok(!self.execute_steps(steps).await?.is_empty())
    }

    async fn schedule_fetch(
        &self,
        scope: &Scope,
        id: ScheduleId,
    ) -> Result<Option<ScheduleRow>, Error> {
        let columns = names(SCHEDULE, "");
        let text = format!("SELECT {columns} FROM schedule WHERE id = $1 AND tenant = $2");
        let values = vec![id.as_uuid().into(), scope.tenant().as_uuid().into()];
        Ok(self.schedules(&text, values).await?.pop())
    }

    async fn schedule_list(
        &self,
        scope: &Scope,
        query: &ScheduleQuery,
    ) -> Result<Page<ListedSchedule>, Error> {
        let (text, values) = read::listing(scope, query);
        let rows = self.all(&text, values).await?;
        let more = (query.limit as usize) < rows.len();
        let items = rows.iter().take(query.limit as usize).map(|row| {
            Ok(ListedSchedule {
                last: records::last_tick(row)?,
                row: schedule(row)?,
            })
        });
        Ok(Page {
            items: items.collect::<Result<_, Error>>()?,
            more,
        })
    }

    async fn schedule_delete(
        &self,
        scope: &Scope,
        id: ScheduleId,
        revision: Option<u64>,
    ) -> Result<bool, Error> {
        let columns = &[
            ("id", Kind::Id),
            ("tenant", Kind::Id),
            ("revision", Kind::Number),
        ];
        let asked = rows(self.backend(), 1, columns);
        let matches = format!(
            "EXISTS (SELECT 1 FROM {asked} JOIN schedule AS m ON m.id = r.id
                WHERE m.tenant = r.tenant AND m.revision = coalesce(r.revision, m.revision))"
        );
        let steps = Steps {
            first: format!(
                "DELETE FROM schedule WHERE {matches} AND id IN (
                    SELECT r.id FROM {asked}
                    UNION ALL SELECT b.id FROM {asked} JOIN schedule AS b ON b.backfill_of = r.id)
                 RETURNING id"
            ),
            rest: vec![
                "DELETE FROM schedule_tick WHERE schedule IN (#done)".to_owned(),
                "DELETE FROM schedule_event WHERE schedule IN (#done)".to_owned(),
                "DELETE FROM subscription WHERE execution IN (#done)".to_owned(),
            ],
            values: vec![
                json!([{
                    "id": hex(id.as_uuid()),
                    "tenant": hex(scope.tenant().as_uuid()),
                    "revision": revision,
                }])
                .to_string(),
            ],
        };
        Ok(!self.execute_steps(steps).await?.is_empty())
    }

    async fn schedule_claim(&self, request: ScheduleClaim) -> Result<Claimed, Error> {
        let claimed = self.claim_rows(&request).await?;
        let text = "SELECT due_at FROM schedule WHERE due_at IS NOT NULL ORDER BY due_at LIMIT 1";
        let next = self.on_primary(text, Vec::new()).await?;
        let next = next
            .first()
            .map(|row| get(row, "due_at").and_then(from_micros));
        Ok(Claimed {
            looks: self.looks(claimed).await?,
            next_due: next.transpose()?,
        })
    }

    async fn schedule_commit(&self, changes: &[ScheduleChange]) -> Result<Vec<ScheduleId>, Error> {
        if changes.is_empty() {
            return Ok(Vec::new());
        }
        self.execute_steps(self.commit_steps(changes)).await
    }

    async fn schedule_started(
        &self,
        after: Option<ExecutionId>,
        limit: u32,
    ) -> Result<Vec<StartedTick>, Error> {
        let text = "SELECT begun.schedule, begun.sequence, begun.execution, e.status, e.ended_at
             FROM (SELECT schedule, sequence, execution FROM schedule_tick
                   WHERE state = 'started' AND execution > $1
                   ORDER BY execution LIMIT $2) AS begun
             LEFT JOIN execution e ON e.id = begun.execution ORDER BY begun.execution";
        let after = after.map_or_else(sqlx::types::Uuid::nil, ExecutionId::as_uuid);
        let values = vec![after.into(), i64::from(limit).into()];
        let rows = self.on_primary(text, values).await?;
        rows.iter().map(records::started).collect()
    }

    async fn schedule_settle(&self, now: Timestamp, ended: &[StartedTick]) -> Result<(), Error> {
        let ended: Vec<_> = ended
            .iter()
            .filter_map(|tick| {
                let (state, at): (TickState, _) = tick.ended?;
                Some(json!({
                    "schedule": hex(tick.schedule.as_uuid()),
                    "sequence": number(tick.sequence),
                    "state": state.as_str(),
                    "ended_at": micros(at.unwrap_or(now)),
                    "now": micros(now),
                }))
            })
            .collect();
        if ended.is_empty() {
            return Ok(());
        }
        let columns = &[
            ("schedule", Kind::Id),
            ("sequence", Kind::Number),
            ("state", Kind::Text),
            ("ended_at", Kind::Number),
            ("now", Kind::Number),
        ];
        let rows = rows(self.backend(), 1, columns);
        let steps = Steps {
            first: format!(
                "UPDATE schedule_tick SET state = r.state, ended_at = r.ended_at FROM {rows}
                 WHERE schedule_tick.schedule = r.schedule
                    AND schedule_tick.sequence = r.sequence AND schedule_tick.state = 'started'
                 RETURNING schedule_tick.schedule AS id"
            ),
            rest: vec![format!(
                "UPDATE schedule SET rung = true,
                    due_at = CASE WHEN due_at <= r.now THEN due_at ELSE r.now END
                 FROM (SELECT DISTINCT r.schedule, r.now FROM {rows}) AS r
                 WHERE schedule.id = r.schedule AND schedule.watches
                    AND schedule.id IN (#done)"
            )],
            values: vec![json!(ended).to_string()],
        };
        self.execute_steps(steps).await.map(|_| ())
    }

    async fn schedule_ticks(
        &self,
        scope: &Scope,
        id: ScheduleId,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Page<TickRow>, Error> {
        let columns = names(TICK, "t.");
        let text = format!(
            "SELECT {columns} FROM schedule s JOIN schedule_tick t ON t.schedule = s.id
             WHERE s.id = $1 AND s.tenant = $2 AND t.sequence < $3
             ORDER BY t.sequence DESC LIMIT $4"
        );
        let values = vec![
            id.as_uuid().into(),
            scope.tenant().as_uuid().into(),
            before.map_or(i64::MAX, number).into(),
            (i64::from(limit) + 1).into(),
        ];
        let rows = self.all(&text, values).await?;
        let items = rows.iter().take(limit as usize).map(tick);
        Ok(Page {
            items: items.collect::<Result<_, _>>()?,
            more: (limit as usize) < rows.len(),
        })
    }

    async fn schedule_tick_find(
        &self,
        scope: &Scope,
        id: ScheduleId,
        identity: &str,
    ) -> Result<Option<TickRow>, Error> {
        let columns = names(TICK, "t.");
        let text = format!(
            "SELECT {columns} FROM schedule s JOIN schedule_tick t ON t.schedule = s.id
             WHERE s.id = $1 AND s.tenant = $2 AND t.identity = $3"
        );
        let values = vec![
            id.as_uuid().into(),
            scope.tenant().as_uuid().into(),
            identity.into(),
        ];
        let found = self.on_primary(&text, values).await?;
        found.first().map(tick).transpose()
    }

    async fn schedule_event_put(&self, events: &[ScheduleEvent]) -> Result<(), Error> {
        if events.is_empty() {
            return Ok(());
        }
        let put = events.iter().map(|event| {
            json!({
                "schedule": hex(event.schedule.as_uuid()),
                "id": hex(event.id.as_uuid()),
                "payload": event.payload,
                "at": micros(event.at),
            })
        });
        let rows = rows(self.backend(), 1, EVENT);
        let columns = names(EVENT, "");
        let steps = Steps {
            first: format!(
                "INSERT INTO schedule_event ({columns}) SELECT {columns} FROM {rows}
                 WHERE EXISTS (SELECT 1 FROM schedule s
                               WHERE s.id = r.schedule AND s.paused IS NULL)
                 ON CONFLICT (schedule, id) DO NOTHING RETURNING schedule AS id"
            ),
            rest: vec![format!(
                "UPDATE schedule SET rung = true,
                    due_at = CASE WHEN due_at <= r.at THEN due_at ELSE r.at END
                 FROM (SELECT r.schedule, min(r.at) AS at FROM {rows} GROUP BY r.schedule) AS r
                 WHERE schedule.id = r.schedule AND schedule.id IN (#done)"
            )],
            values: vec![put.collect::<serde_json::Value>().to_string()],
        };
        self.execute_steps(steps).await.map(|_| ())
    }
}
