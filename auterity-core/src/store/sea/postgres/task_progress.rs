//! What functions under way say, as single statements.

use super::{Postgres, plain};
use crate::Error;
use crate::store::Fence;

/// One statement, so that it is one transaction; its parts touch different rows.
const PUT: &str = "WITH over AS (
        DELETE FROM task_progress AS p USING
            json_to_recordset($3::json) AS o (execution uuid, effect bigint)
        WHERE p.execution = o.execution AND p.effect = o.effect
    )
    INSERT INTO task_progress (tenant, execution, effect, task, at, details)
    SELECT q.tenant, q.execution, s.effect, s.task, s.at, s.details
    FROM json_to_recordset($1::json) AS s
            (tenant uuid, execution uuid, effect bigint, task text, at bigint, details text)
        JOIN queue AS q ON q.tenant = s.tenant AND q.execution = s.execution
    WHERE q.owner = $2
    ON CONFLICT (execution, effect) DO UPDATE SET at = excluded.at, details = excluded.details";

const SWEEP: &str = "DELETE FROM task_progress AS p WHERE NOT EXISTS (SELECT 1 FROM queue AS q
    WHERE q.tenant = p.tenant AND q.execution = p.execution)";

impl Postgres {
    pub(in crate::store::sea) async fn put_task_progress(
        &self,
        fence: &Fence,
        said: &str,
        over: &str,
    ) -> Result<(), Error> {
        let put = sqlx::query(PUT)
            .bind(said)
            .bind(fence.worker.as_uuid())
            .bind(over);
        put.execute(&self.hot).await.map(drop).map_err(plain)
    }

    pub(in crate::store::sea) async fn sweep_task_progress(&self) -> Result<(), Error> {
        let sweep = sqlx::query(SWEEP).execute(&self.hot).await;
        sweep.map(drop).map_err(plain)
    }
}
