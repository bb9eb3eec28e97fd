//! Reads of schedules, and the claim, which reads too.

use std::collections::HashMap;

use jiff::Timestamp;
use sea_orm::{ConnectionTrait as _, DatabaseBackend, QueryResult, Value};

use super::records::{EVENT, SCHEDULE, TICK, event, schedule, tick, tick_of_schedule};
use super::write::names;
use crate::store::schedules::{EVENTS_MAX, OPEN_MAX};
use crate::store::sea::rows::micros;
use crate::store::sea::{SeaStore, read_error};
use crate::store::{Look, ScheduleClaim, ScheduleEvent, ScheduleQuery, ScheduleRow, TickRow};
use crate::{Error, ScheduleId, Scope};

impl SeaStore {
    pub(super) async fn claim_rows(
        &self,
        request: &ScheduleClaim,
    ) -> Result<Vec<ScheduleRow>, Error> {
        let lock = match self.backend() {
            DatabaseBackend::Postgres => "FOR UPDATE SKIP LOCKED",
            _ => "",
        };
        let held = request
            .now
            .checked_add(request.hold)
            .unwrap_or(Timestamp::MAX);
        let (choice, values): (String, Vec<Value>) = match request.only {
            Some(id) => (
                "$2".to_owned(),
                vec![micros(held).into(), id.as_uuid().into()],
            ),
            None => (
                format!(
                    "SELECT id FROM schedule WHERE due_at <= $2 AND due_at IS NOT NULL
                     ORDER BY due_at LIMIT $3 {lock}"
                ),
                vec![
                    micros(held).into(),
                    micros(request.now).into(),
                    i64::from(request.limit).into(),
                ],
            ),
        };
        let columns = names(SCHEDULE, "");
        let text = format!(
            "UPDATE schedule SET claim = claim + 1, due_at = $1, rung = false
             WHERE id IN ({choice}) RETURNING {columns}"
        );
        let rows = self.write.query_all_raw(self.writing(&text, values)).await;
        let rows = rows.map_err(|error| read_error(&error))?;
        rows.iter().map(schedule).collect()
    }

    /// Adds open ticks and waiting events to what was claimed.
    pub(super) async fn looks(&self, claimed: Vec<ScheduleRow>) -> Result<Vec<Look>, Error> {
        if claimed.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<Value> = claimed.iter().map(|row| row.id.as_uuid().into()).collect();
        let chosen: Vec<String> = (1..=ids.len()).map(|place| format!("${place}")).collect();
        let chosen = chosen.join(", ");
        let columns = names(TICK, "");
        let ticks = format!(
            "SELECT {columns} FROM (
                SELECT {columns}, row_number() OVER (PARTITION BY schedule
                    ORDER BY CASE state WHEN 'started' THEN 1 ELSE 0 END, sequence) AS place
                FROM schedule_tick WHERE open AND schedule IN ({chosen})) AS numbered
             WHERE place <= {OPEN_MAX} ORDER BY schedule, place"
        );
        let mut open: HashMap<ScheduleId, Vec<TickRow>> = HashMap::new();
        for row in self.on_primary(&ticks, ids.clone()).await? {
            let tick = tick(&row)?;
            open.entry(tick.schedule).or_default().push(tick);
        }
        let columns = names(EVENT, "");
        let events = format!(
            "SELECT {columns} FROM (
                SELECT {columns}, place,
                    row_number() OVER (PARTITION BY schedule ORDER BY place) AS rank
                FROM schedule_event WHERE NOT consumed AND schedule IN ({chosen})) AS numbered
             WHERE rank <= {EVENTS_MAX} ORDER BY schedule, place"
        );
        let mut waiting: HashMap<ScheduleId, Vec<ScheduleEvent>> = HashMap::new();
        for row in self.on_primary(&events, ids).await? {
            let event = event(&row)?;
            waiting.entry(event.schedule).or_default().push(event);
        }
        let looks = claimed.into_iter().map(|row| Look {
            open: open.remove(&row.id).unwrap_or_default(),
            events: waiting.remove(&row.id).unwrap_or_default(),
            row,
        });
        Ok(looks.collect())
    }

    /// Reads where writes go: what was just written is there.
    pub(super) async fn on_primary(
        &self,
        text: &str,
        values: Vec<Value>,
    ) -> Result<Vec<QueryResult>, Error> {
        let rows = self.write.query_all_raw(self.writing(text, values)).await;
        rows.map_err(|error| read_error(&error))
    }
}

/// Gives the text and values of a page of schedules, each with its last tick.
pub(super) fn listing(scope: &Scope, query: &ScheduleQuery) -> (String, Vec<Value>) {
    let mut values: Vec<Value> = vec![
        scope.tenant().as_uuid().into(),
        (i64::from(query.limit) + 1).into(),
    ];
    let mut place = |value: Value| {
        values.push(value);
        values.len()
    };
    let mut choice = vec!["s.tenant = $1".to_owned()];
    choice.push(match query.backfills_of {
        Some(id) => format!("s.backfill_of = ${}", place(id.as_uuid().into())),
        None => "s.backfill_of IS NULL".to_owned(),
    });
    if let Some((namespace, name)) = &query.workflow {
        choice.push(format!(
            "s.namespace = ${}",
            place(namespace.clone().into())
        ));
        choice.push(format!("s.workflow = ${}", place(name.clone().into())));
    }
    if let Some((name, id)) = &query.after {
        let (name, id) = (place(name.clone().into()), place(id.as_uuid().into()));
        choice.push(format!("(s.name, s.id) > (${name}, ${id})"));
    }
    let text = format!(
        "SELECT {}, {} FROM (SELECT * FROM schedule s WHERE {}
                             ORDER BY s.name, s.id LIMIT $2) AS page
         LEFT JOIN schedule_tick t ON t.schedule = page.id AND t.sequence = page.ticks
         ORDER BY page.name, page.id",
        names(SCHEDULE, "page."),
        tick_of_schedule(),
        choice.join(" AND "),
    );
    (text, values)
}
