//! Removes executions that ended long ago, as a transaction of the one writer.

use jiff::Timestamp;

use super::Sqlite;
use crate::Error;
use crate::store::WorkflowKey;
use crate::store::sea::batch::{Refusal, refusal};
use crate::store::sea::retention::SQLITE;
use crate::store::sea::rows::micros;

impl Sqlite {
    /// Gives how many.
    pub(in crate::store::sea) async fn remove_ended(
        &self,
        workflow: &WorkflowKey,
        ended_before: Timestamp,
        limit: u32,
    ) -> Result<u64, Error> {
        let workflow = workflow.clone();
        let removed = self.transaction(move |connection| {
            Box::pin(async move {
                let mut removed = 0;
                for text in SQLITE {
                    let query = sqlx::query(text)
                        .bind(workflow.tenant.as_uuid())
                        .bind(workflow.namespace.clone())
                        .bind(workflow.name.clone())
                        .bind(micros(ended_before))
                        .bind(limit);
                    let done = query.execute(&mut *connection).await.map_err(refusal)?;
                    removed = done.rows_affected();
                }
                Ok(removed)
            })
        });
        removed.await.map_err(Refusal::into_error)
    }
}
