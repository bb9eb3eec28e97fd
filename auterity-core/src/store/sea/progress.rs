//! What functions under way say of themselves, and how many workers there are.

use jiff::Timestamp;
use sea_orm::{DatabaseBackend, QueryResult, Value};

use super::SeaStore;
use super::rows::{effect, execution, get, micros, number, tenant, text, time};
use crate::store::{Fence, ProgressRow};
use crate::{Error, ErrorKind, ExecutionId};

impl SeaStore {
    /// Leases run by the server's clock on PostgreSQL, by the workers' on SQLite.
    pub(super) async fn count_workers(&self, now: Timestamp) -> Result<u32, Error> {
        let (text, values) = match self.read.get_database_backend() {
            DatabaseBackend::Postgres => (
                "SELECT count(*) AS number FROM worker WHERE lease_until >= clock_micros()",
                Vec::new(),
            ),
            _ => (
                "SELECT count(*) AS number FROM worker WHERE lease_until >= $1",
                vec![micros(now).into()],
            ),
        };
        let row = self.one(text, values).await?;
        let row = row.ok_or_else(|| Error::new(ErrorKind::Internal, "a count gave no row"))?;
        Ok(u32::try_from(get::<i64>(&row, "number")?).unwrap_or(u32::MAX))
    }

    pub(super) async fn put_progress(&self, fence: &Fence, row: &ProgressRow) -> Result<(), Error> {
        let text = "INSERT INTO effect_progress
                (execution, effect, tenant, task, attempt, at, details)
             SELECT q.execution, $3, q.tenant, $4, $5, $6, $7 FROM queue q
             WHERE q.tenant = $1 AND q.execution = $2 AND q.owner = $8
             ON CONFLICT (execution, effect) DO UPDATE SET attempt = excluded.attempt,
                at = excluded.at, details = excluded.details
             RETURNING 1 AS done";
        let details: &str = &row.details;
        let values: Vec<Value> = vec![
            row.tenant.as_uuid().into(),
            row.execution.as_uuid().into(),
            number(row.effect).into(),
            row.task.clone().into(),
            i64::from(row.attempt).into(),
            micros(row.at).into(),
            details.into(),
            fence.worker.as_uuid().into(),
        ];
        self.on_writer(text, values).await.map(drop)
    }

    pub(super) async fn fetch_progress(
        &self,
        ids: &[ExecutionId],
    ) -> Result<Vec<ProgressRow>, Error> {
        let text = "SELECT execution, effect, tenant, task, attempt, at, details
             FROM effect_progress WHERE execution IN (#) ORDER BY execution, effect";
        self.by_ids(text, ids).await?.iter().map(progress).collect()
    }

    pub(super) async fn delete_progress(&self, id: ExecutionId, effect: u64) -> Result<(), Error> {
        let text = "DELETE FROM effect_progress WHERE execution = $1 AND effect = $2
             RETURNING 1 AS done";
        let values = vec![id.as_uuid().into(), number(effect).into()];
        self.on_writer(text, values).await.map(drop)
    }
}

fn progress(row: &QueryResult) -> Result<ProgressRow, Error> {
    Ok(ProgressRow {
        tenant: tenant(row)?,
        execution: execution(row, "execution")?,
        effect: effect(row, "effect")?.unwrap_or_default(),
        task: get(row, "task")?,
        attempt: u32::try_from(get::<i64>(row, "attempt")?).unwrap_or(u32::MAX),
        at: time(row, "at")?,
        details: text(row, "details")?,
    })
}
