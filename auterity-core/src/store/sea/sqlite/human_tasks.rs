//! Tasks for people, as parts of the one writer's transactions.

use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, query};

use super::control::{execute, put, queued};
use super::{Done, Sqlite, unwritable};
use crate::Error;
use crate::store::sea::batch::{Refusal, refusal};
use crate::store::sea::human_tasks::Row;
use crate::store::sea::rows::{micros, number};
use crate::store::{Amend, HumanTaskUpdate};

/// What a batch does to human tasks, whose rows are the JSON parameter `#16`: places as
/// the fields of [`Row`] stand.
pub(super) const CHANGE: &str = "INSERT INTO human_task (tenant, execution, id, effect, namespace,
        name, version, task, title, state, created_at, deadline, revision, details)
    SELECT unhex(value ->> 0), unhex(value ->> 1), unhex(value ->> 2), value ->> 3, value ->> 6,
        value ->> 7, value ->> 8, value ->> 9, value ->> 10, 'open', value ->> 4, value ->> 11, 1,
        value ->> 12
    FROM json_each(#16) WHERE value ->> 5
    ON CONFLICT (id) DO UPDATE SET namespace = excluded.namespace, name = excluded.name,
        version = excluded.version, title = excluded.title, deadline = excluded.deadline,
        details = excluded.details, revision = revision + 1,
        state = iif(claimed_by IS NULL, 'open', 'claimed'),
        closed_at = NULL, completed_by = NULL, answer = NULL
    WHERE state NOT IN ('completed', 'expired');
    INSERT INTO human_task_audience (tenant, audience, human_task)
    SELECT t.tenant, a.value, t.id
    FROM json_each(#16) AS h JOIN human_task AS t ON t.id = unhex(h.value ->> 2),
        json_each(h.value -> 13) AS a
    WHERE t.state IN ('open', 'claimed')
    ON CONFLICT DO NOTHING;
    INSERT INTO human_task_note (human_task, at, what, details)
    SELECT t.id, h.value ->> 4, 'escalated', h.value ->> 14
    FROM json_each(#16) AS h JOIN human_task AS t ON t.id = unhex(h.value ->> 2)
    WHERE h.value ->> 14 IS NOT NULL AND t.state IN ('open', 'claimed');
    UPDATE human_task SET state = 'open', claimed_by = NULL, revision = revision + 1
    FROM (SELECT unhex(value ->> 2) AS id FROM json_each(#16)
          WHERE value ->> 14 IS NOT NULL) AS h
    WHERE human_task.id = h.id AND state IN ('open', 'claimed');
    UPDATE human_task SET state = 'held', revision = revision + 1
    FROM (SELECT unhex(value ->> 2) AS id FROM json_each(#16) WHERE value ->> 15 = 'hold') AS h
    WHERE human_task.id = h.id AND state IN ('open', 'claimed');
    UPDATE human_task SET state = 'withdrawn', claimed_by = NULL, closed_at = h.at,
        revision = revision + 1
    FROM (SELECT unhex(value ->> 2) AS id, value ->> 4 AS at FROM json_each(#16)
          WHERE value ->> 15 = 'withdraw') AS h
    WHERE human_task.id = h.id;
    INSERT INTO human_task_note (human_task, at, what)
    SELECT unhex(value ->> 2), value ->> 4, 'withdrawn' FROM json_each(#16)
    WHERE value ->> 15 = 'withdraw';
    DELETE FROM human_task_audience WHERE human_task IN (
        SELECT unhex(value ->> 2) FROM json_each(#16) WHERE value ->> 15 = 'withdraw');";

/// Withdraws what an amended execution does not ask again: `$1`, at `$2`, but for the
/// rows in `$3`.
const WITHDRAW: &str = "INSERT INTO human_task_note (human_task, at, what)
    SELECT id, $2, 'withdrawn' FROM human_task WHERE execution = $1 AND closed_at IS NULL
        AND id NOT IN (SELECT unhex(value ->> 2) FROM json_each($3));
    DELETE FROM human_task_audience WHERE human_task IN (
        SELECT id FROM human_task WHERE execution = $1 AND closed_at IS NULL
            AND id NOT IN (SELECT unhex(value ->> 2) FROM json_each($3)));
    UPDATE human_task SET state = 'withdrawn', claimed_by = NULL, closed_at = $2,
        revision = revision + 1
    WHERE execution = $1 AND closed_at IS NULL
        AND id NOT IN (SELECT unhex(value ->> 2) FROM json_each($3));";

const UPDATE: &str = "UPDATE human_task SET state = $4, claimed_by = $5, completed_by = $6,
        answer = $7, closed_at = $8, revision = revision + 1
    WHERE id = $1 AND tenant = $2 AND revision = $3 AND closed_at IS NULL";
const ADD: &str = "INSERT INTO human_task_audience (tenant, audience, human_task)
    VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
const REMOVE: &str = "DELETE FROM human_task_audience WHERE human_task = $1";
const NOTE: &str = "INSERT INTO human_task_note (human_task, at, what, person, details)
    VALUES ($1, $2, $3, $4, $5)";

impl Sqlite {
    pub(in crate::store::sea) async fn human_task_update(
        &self,
        update: &HumanTaskUpdate,
    ) -> Result<bool, Error> {
        let update = update.clone();
        let updated = self.transaction(move |connection| {
            Box::pin(async move { change(connection, update).await })
        });
        updated.await.map_err(Refusal::into_error)
    }
}

async fn change(connection: &mut SqliteConnection, update: HumanTaskUpdate) -> Done<bool> {
    let ids = (update.tenant.as_uuid(), update.execution.as_uuid());
    if update.message.is_some() && queued(connection, ids).await?.is_none() {
        return Ok(false);
    }
    let (id, at) = (update.id.as_uuid(), micros(update.note.at));
    let goes_on = update.state.is_active();
    let changed = query(UPDATE)
        .bind(id)
        .bind(ids.0)
        .bind(number(update.revision))
        .bind(update.state.as_str())
        .bind(update.claimed_by.map(crate::UserId::as_uuid))
        .bind(update.completed_by.map(crate::UserId::as_uuid))
        .bind(update.answer.as_deref().map(str::to_owned))
        .bind((!goes_on).then_some(at))
        .execute(&mut *connection)
        .await
        .map_err(refusal)?;
    if changed.rows_affected() == 0 {
        return Ok(false);
    }
    if goes_on {
        for audience in update.audiences {
            execute(connection, query(ADD).bind(ids.0).bind(audience).bind(id)).await?;
        }
    } else {
        execute(connection, query(REMOVE).bind(id)).await?;
    }
    let note = query(NOTE)
        .bind(id)
        .bind(at)
        .bind(update.note.what)
        .bind(update.note.by.map(crate::UserId::as_uuid))
        .bind(update.note.details.as_deref().map(str::to_owned));
    execute(connection, note).await?;
    if let Some(message) = &update.message {
        put(connection, message).await?;
    }
    Ok(true)
}

/// Replaces what an amended execution asks people.
pub(super) async fn amend(connection: &mut SqliteConnection, amend: &Amend) -> Done<()> {
    let changes = amend.human_tasks.iter();
    let rows: Vec<Row<'_>> = changes
        .map(|change| Row::of((amend.tenant, amend.execution), change))
        .collect();
    let rows = serde_json::to_string(&rows).map_err(|error| unwritable(&error))?;
    let withdraw = query(WITHDRAW)
        .bind(amend.execution.as_uuid())
        .bind(micros(amend.at))
        .bind(rows.clone());
    execute(connection, withdraw).await?;
    if amend.human_tasks.is_empty() {
        return Ok(());
    }
    let change = AssertSqlSafe(CHANGE.replace("#16", "$1"));
    execute(connection, query(change).bind(rows)).await
}
