//! What functions under way say, as transactions of the one writer.

use super::{Done, Sqlite};
use crate::Error;
use crate::store::Fence;
use crate::store::sea::batch::{Refusal, refusal};

const PUT: &str = "INSERT INTO task_progress (tenant, execution, effect, task, at, details)
    SELECT q.tenant, q.execution, value ->> 'effect', value ->> 'task', value ->> 'at',
        value ->> 'details'
    FROM json_each($1) JOIN queue AS q ON q.tenant = unhex(value ->> 'tenant')
        AND q.execution = unhex(value ->> 'execution')
    WHERE q.owner = $2
    ON CONFLICT (execution, effect) DO UPDATE SET at = excluded.at, details = excluded.details";

const REMOVE: &str = "DELETE FROM task_progress WHERE (execution, effect) IN (
    SELECT unhex(value ->> 'execution'), value ->> 'effect' FROM json_each($1))";

const SWEEP: &str = "DELETE FROM task_progress WHERE NOT EXISTS (SELECT 1 FROM queue AS q
    WHERE q.tenant = task_progress.tenant AND q.execution = task_progress.execution)";

impl Sqlite {
    pub(in crate::store::sea) async fn put_task_progress(
        &self,
        fence: &Fence,
        said: String,
        over: String,
    ) -> Result<(), Error> {
        let worker = fence.worker.as_uuid();
        let put = self.transaction(move |connection| {
            Box::pin(async move {
                let put = sqlx::query(PUT).bind(said).bind(worker);
                put.execute(&mut *connection).await.map_err(refusal)?;
                let remove = sqlx::query(REMOVE).bind(over);
                remove.execute(&mut *connection).await.map_err(refusal)?;
                Ok(())
            })
        });
        put.await.map_err(Refusal::into_error)
    }

    pub(in crate::store::sea) async fn sweep_task_progress(&self) -> Result<(), Error> {
        let swept: Done<()> = self
            .transaction(|connection| {
                Box::pin(async move {
                    let sweep = sqlx::query(SWEEP).execute(connection).await;
                    sweep.map(drop).map_err(refusal)
                })
            })
            .await;
        swept.map_err(Refusal::into_error)
    }
}
