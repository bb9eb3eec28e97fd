//! Control and change of single executions: rare, and apart from the journal's batches.

use sqlx::sqlite::{SqliteArguments, SqliteConnection};
use sqlx::{Row as _, query};

use super::{Done, Sqlite, human_tasks};
use crate::Error;
use crate::store::sea::batch::{Refusal, refusal};
use crate::store::sea::rows::{checksum, gates, micros, number};
use crate::store::{Amend, Amended, Control, ExecutionLabel, InboxMessage, check};

/// Whether an execution has not ended, and who has it.
const QUEUED: &str = "SELECT owner IS NOT NULL FROM queue WHERE tenant = $1 AND execution = $2";

/// Puts a message to an execution that is there and has not ended, unless it was put
/// before.
const PUT: &str = "INSERT INTO inbox (tenant, execution, id, kind, effect, payload, at)
    SELECT $1, $2, $3, $4, $5, $6, $7
    WHERE EXISTS (SELECT 1 FROM queue WHERE tenant = $1 AND execution = $2)
    ON CONFLICT (id) DO NOTHING";
const WAKE: &str = "UPDATE queue SET ready = true, due_at = min(coalesce(due_at, $3), $3)
    WHERE tenant = $1 AND execution = $2 AND owner IS NULL AND NOT ready AND NOT held";

const MARK: &str = "INSERT INTO suspension (tenant, execution) VALUES ($1, $2)
    ON CONFLICT DO NOTHING";
const UNMARK: &str = "DELETE FROM suspension WHERE tenant = $1 AND execution = $2";

/// Lets go, without a place, of what is held: it is to end.
const UNHOLD: &str = "UPDATE queue SET held = false, ready = true
    WHERE tenant = $1 AND execution = $2 AND held";
const KNOCK: &str = "INSERT INTO knock (tenant, rule, value, freed)
    SELECT tenant, rule, value, 0 FROM place
    WHERE tenant = $1 AND execution = $2 AND state IN (1, 3)";
const WITHDRAW: &str = "UPDATE place SET state = 0
    WHERE tenant = $1 AND execution = $2 AND state IN (1, 3)";

/// Whether an execution has this last event and is as active as it is queued.
const UNMOVED: &str = "SELECT 1 FROM execution
    WHERE tenant = $1 AND id = $2 AND (status = 'active') = $4
        AND $3 = (SELECT max(sequence) FROM journal WHERE execution = $2)";
const REOPEN: &str = "UPDATE execution SET status = 'active', output = NULL, error = NULL,
        ended_at = NULL, namespace = $3, name = $4, version = $5, program = $6,
        input = coalesce($7, input)
    WHERE tenant = $1 AND id = $2";
const RIGHTED: &str = "DELETE FROM abnormal_end WHERE tenant = $1 AND execution = $2";
const EVENT: &str = "INSERT INTO journal (tenant, execution, sequence, at, kind, payload, records)
    VALUES ($1, $2, $3, $4, $5, $6, $7)";
const SNAPSHOT: &str = "INSERT INTO snapshot (execution, sequence, format, state, checksum)
    VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (execution) DO UPDATE SET sequence = excluded.sequence,
        format = excluded.format, state = excluded.state, checksum = excluded.checksum";
const UNSUBSCRIBE: &str = "DELETE FROM subscription WHERE execution = $1";
const SUBSCRIBE: &str = "INSERT INTO subscription (tenant, execution, effect, filter, event_type,
        event_key, condition, correlated_by, correlated_to)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
const READY: &str = "INSERT INTO queue (tenant, execution, ready, held, due_at, priority, gates)
    SELECT tenant, id, $4 IS NULL, $4 IS NOT NULL, $3, priority, $4 FROM execution
    WHERE tenant = $1 AND id = $2
    ON CONFLICT (tenant, execution) DO UPDATE SET ready = NOT held, due_at = excluded.due_at,
        waiting_for = NULL";
const LABEL: &str = "UPDATE execution SET namespace = $3, name = $4, version = $5, program = $6
    WHERE tenant = $1 AND id = $2";

pub(super) type Query = query::Query<'static, sqlx::Sqlite, SqliteArguments>;

impl Sqlite {
    pub(in crate::store::sea) async fn control_put(
        &self,
        message: &InboxMessage,
        control: Control,
    ) -> Result<bool, Error> {
        let message = message.clone();
        let put = self.transaction(move |connection| {
            Box::pin(async move {
                let ids = (message.tenant.as_uuid(), message.execution.as_uuid());
                if queued(connection, ids).await?.is_none() {
                    return Ok(false);
                }
                let texts: &[&'static str] = match control {
                    Control::Tell => &[],
                    Control::Suspend => &[MARK],
                    Control::Resume => &[UNMARK],
                    Control::End => &[UNMARK, UNHOLD, KNOCK, WITHDRAW],
                };
                for text in texts {
                    execute(connection, query(*text).bind(ids.0).bind(ids.1)).await?;
                }
                put(connection, &message).await?;
                Ok(true)
            })
        });
        put.await.map_err(Refusal::into_error)
    }

    pub(in crate::store::sea) async fn execution_amend(
        &self,
        amend: &Amend,
    ) -> Result<Amended, Error> {
        let amend = amend.clone();
        let amended = self.transaction(move |connection| {
            Box::pin(async move {
                let ids = (amend.tenant.as_uuid(), amend.execution.as_uuid());
                let owned = queued(connection, ids).await?;
                if owned == Some(true) {
                    return Ok(Amended::Owned);
                }
                let unmoved = query(UNMOVED)
                    .bind(ids.0)
                    .bind(ids.1)
                    .bind(number(amend.after))
                    .bind(owned.is_some())
                    .fetch_optional(&mut *connection);
                if unmoved.await.map_err(refusal)?.is_none() {
                    return Ok(Amended::Moved);
                }
                rewrite(connection, &amend).await?;
                listen(connection, &amend).await?;
                human_tasks::amend(connection, &amend).await?;
                execute(connection, query(UNMARK).bind(ids.0).bind(ids.1)).await?;
                let ready = query(READY).bind(ids.0).bind(ids.1).bind(micros(amend.at));
                execute(connection, ready.bind(gates(&amend.gates))).await?;
                for message in &amend.messages {
                    put(connection, message).await?;
                }
                Ok(Amended::Done)
            })
        });
        amended.await.map_err(Refusal::into_error)
    }

    pub(in crate::store::sea) async fn execution_label(
        &self,
        label: &ExecutionLabel,
    ) -> Result<(), Error> {
        let label = label.clone();
        let labelled = self.transaction(move |connection| {
            Box::pin(async move {
                let query = query(LABEL)
                    .bind(label.tenant.as_uuid())
                    .bind(label.execution.as_uuid())
                    .bind(label.workflow.namespace)
                    .bind(label.workflow.name)
                    .bind(label.workflow.version)
                    .bind(label.program.as_bytes().to_vec());
                execute(connection, query).await
            })
        });
        labelled.await.map_err(Refusal::into_error)
    }
}

pub(super) type Ids = (sqlx::types::Uuid, sqlx::types::Uuid);

/// Tells whether somebody has the execution; nothing if it is not in the queue.
pub(super) async fn queued(connection: &mut SqliteConnection, ids: Ids) -> Done<Option<bool>> {
    let row = query(QUEUED)
        .bind(ids.0)
        .bind(ids.1)
        .fetch_optional(connection)
        .await
        .map_err(refusal)?;
    row.map(|row| row.try_get(0)).transpose().map_err(refusal)
}

pub(super) async fn execute(connection: &mut SqliteConnection, query: Query) -> Done<()> {
    query.execute(connection).await.map(|_| ()).map_err(refusal)
}

pub(super) async fn put(connection: &mut SqliteConnection, message: &InboxMessage) -> Done<()> {
    let (tenant, execution) = (message.tenant.as_uuid(), message.execution.as_uuid());
    let put = query(PUT)
        .bind(tenant)
        .bind(execution)
        .bind(message.id.as_uuid())
        .bind(message.kind.as_str())
        .bind(message.effect.map(number))
        .bind(message.payload.to_string())
        .bind(micros(message.at));
    execute(connection, put).await?;
    let wake = query(WAKE).bind(tenant).bind(execution);
    execute(connection, wake.bind(micros(message.at))).await
}

/// Writes the row, the events and the state of an amendment.
async fn rewrite(connection: &mut SqliteConnection, amend: &Amend) -> Done<()> {
    let (tenant, execution) = (amend.tenant.as_uuid(), amend.execution.as_uuid());
    let reopen = query(REOPEN)
        .bind(tenant)
        .bind(execution)
        .bind(amend.workflow.namespace.clone())
        .bind(amend.workflow.name.clone())
        .bind(amend.workflow.version.clone())
        .bind(amend.program.as_bytes().to_vec())
        .bind(amend.input.as_deref().map(str::to_owned));
    execute(connection, reopen).await?;
    let righted = query(RIGHTED).bind(tenant).bind(execution);
    execute(connection, righted).await?;
    for event in &amend.events {
        let event = query(EVENT)
            .bind(tenant)
            .bind(execution)
            .bind(number(event.sequence))
            .bind(micros(event.at))
            .bind(event.kind)
            .bind(event.payload.to_string())
            .bind(event.records.to_string());
        execute(connection, event).await?;
    }
    let snapshot = &amend.snapshot;
    let snapshot = query(SNAPSHOT)
        .bind(execution)
        .bind(number(snapshot.sequence))
        .bind(i64::from(snapshot.format))
        .bind(snapshot.state.to_string())
        .bind(checksum(snapshot));
    execute(connection, snapshot).await
}

/// Replaces what an amended execution listens for.
async fn listen(connection: &mut SqliteConnection, amend: &Amend) -> Done<()> {
    let execution = amend.execution.as_uuid();
    execute(connection, query(UNSUBSCRIBE).bind(execution)).await?;
    for one in &amend.subscribe {
        let subscribe = query(SUBSCRIBE)
            .bind(amend.tenant.as_uuid())
            .bind(execution)
            .bind(number(one.effect))
            .bind(i64::from(one.filter))
            .bind(one.event_type.as_deref().map(check::without_nulls))
            .bind(check::event_type_key(one).map(str::to_owned))
            .bind(one.condition.to_string())
            .bind(one.correlation.map(|key| key.by))
            .bind(one.correlation.map(|key| key.to));
        execute(connection, subscribe).await?;
    }
    Ok(())
}
