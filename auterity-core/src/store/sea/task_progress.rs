//! What functions under way say, in the database.

use async_trait::async_trait;
use sea_orm::{QueryResult, Value};
use serde_json::json;

use super::rows::{effect, execution, get, micros, number, tenant, text, time};
use super::{Hot, SeaStore};
use crate::store::{Fence, TaskProgress, TaskProgressStore};
use crate::{Error, ExecutionId, Scope};

#[async_trait]
impl TaskProgressStore for SeaStore {
    async fn task_progress_put(
        &self,
        fence: &Fence,
        said: &[TaskProgress],
        over: &[(ExecutionId, u64)],
    ) -> Result<(), Error> {
        let said = said.iter().map(|one| {
            json!({
                "tenant": one.tenant.as_uuid().simple().to_string(),
                "execution": one.execution.as_uuid().simple().to_string(),
                "effect": number(one.effect),
                "task": one.task,
                "at": micros(one.at),
                "details": &*one.details,
            })
        });
        let over = over.iter().map(|(execution, effect)| {
            let execution = execution.as_uuid().simple().to_string();
            json!({"execution": execution, "effect": number(*effect)})
        });
        let said = said.collect::<serde_json::Value>().to_string();
        let over = over.collect::<serde_json::Value>().to_string();
        match &*self.hot {
            Hot::Sqlite(hot) => hot.put_task_progress(fence, said, over).await,
            Hot::Postgres(hot) => hot.put_task_progress(fence, &said, &over).await,
        }
    }

    async fn task_progress_fetch(
        &self,
        scope: &Scope,
        id: ExecutionId,
    ) -> Result<Vec<TaskProgress>, Error> {
        let text = "SELECT tenant, execution, effect, task, at, details FROM task_progress
             WHERE execution = $1 AND tenant = $2 ORDER BY effect";
        let values: Vec<Value> = vec![id.as_uuid().into(), scope.tenant().as_uuid().into()];
        self.all(text, values).await?.iter().map(progress).collect()
    }

    async fn task_progress_sweep(&self) -> Result<(), Error> {
        match &*self.hot {
            Hot::Sqlite(hot) => hot.sweep_task_progress().await,
            Hot::Postgres(hot) => hot.sweep_task_progress().await,
        }
    }
}

fn progress(row: &QueryResult) -> Result<TaskProgress, Error> {
    Ok(TaskProgress {
        tenant: tenant(row)?,
        execution: execution(row, "execution")?,
        effect: effect(row, "effect")?.unwrap_or_default(),
        task: get(row, "task")?,
        at: time(row, "at")?,
        details: text(row, "details")?,
    })
}
