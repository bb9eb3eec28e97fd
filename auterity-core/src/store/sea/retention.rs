//! Removes executions that ended long ago from the database.

use async_trait::async_trait;
use jiff::Timestamp;
use sea_orm::Value;

use super::rows::{get, micros, tenant, text_or_none};
use super::{Hot, SeaStore};
use crate::store::{RetentionStore, WorkflowAge, WorkflowKey};
use crate::{Error, TenantId};

const LIST: &str = "SELECT d.tenant, d.namespace, d.name, w.body AS settings, t.body AS of_tenant,
        (SELECT e.started_at FROM execution AS e
         WHERE e.tenant = d.tenant AND e.namespace = d.namespace AND e.name = d.name
         ORDER BY e.started_at, e.id LIMIT 1) AS oldest
    FROM (SELECT DISTINCT tenant, namespace, name FROM definition
          WHERE (tenant, namespace, name) > ($1, $2, $3)
          ORDER BY tenant, namespace, name LIMIT $4) AS d
        LEFT JOIN flow_setting AS w
            ON w.tenant = d.tenant AND w.namespace = d.namespace AND w.name = d.name
        LEFT JOIN flow_setting AS t ON t.tenant = d.tenant AND t.namespace = '' AND t.name = ''
    ORDER BY d.tenant, d.namespace, d.name";

/// The ones that are removed: started before they ended, so that the index bounds them.
macro_rules! gone {
    () => {
        "SELECT id FROM execution
         WHERE tenant = $1 AND namespace = $2 AND name = $3 AND started_at < $4
             AND ended_at < $4 AND status <> 'active'
         ORDER BY started_at, id LIMIT $5"
    };
}

/// One statement, so that it is one transaction.
const POSTGRES: &str = concat!(
    "WITH gone AS MATERIALIZED (",
    gone!(),
    " FOR UPDATE SKIP LOCKED),
    journals AS (DELETE FROM journal WHERE execution IN (SELECT id FROM gone)),
    snapshots AS (DELETE FROM snapshot WHERE execution IN (SELECT id FROM gone)),
    inboxes AS (DELETE FROM inbox WHERE execution IN (SELECT id FROM gone)),
    attributes AS (DELETE FROM attribute AS a USING (
            SELECT e.id, e.started_at, p.key, p.value FROM execution AS e
            JOIN gone ON gone.id = e.id, json_each_text(e.attributes::json) AS p
        ) AS n
        WHERE a.tenant = $1 AND a.name = n.key AND a.value = n.value
            AND a.started_at = n.started_at AND a.execution = n.id),
    ends AS (DELETE FROM abnormal_end WHERE tenant = $1 AND execution IN (SELECT id FROM gone)),
    suspensions AS (DELETE FROM suspension
        WHERE tenant = $1 AND execution IN (SELECT id FROM gone)),
    people AS (DELETE FROM human_task WHERE execution IN (SELECT id FROM gone) RETURNING id),
    notes AS (DELETE FROM human_task_note WHERE human_task IN (SELECT id FROM people))
    DELETE FROM execution WHERE id IN (SELECT id FROM gone)"
);

/// Executed one after the other in one transaction; the last one counts.
pub(super) const SQLITE: [&str; 9] = [
    concat!("DELETE FROM journal WHERE execution IN (", gone!(), ")"),
    concat!("DELETE FROM snapshot WHERE execution IN (", gone!(), ")"),
    concat!("DELETE FROM inbox WHERE execution IN (", gone!(), ")"),
    concat!(
        "DELETE FROM attribute WHERE (tenant, name, value, started_at, execution) IN (
            SELECT e.tenant, p.key, p.value, e.started_at, e.id
            FROM execution AS e, json_each(e.attributes) AS p WHERE e.id IN (",
        gone!(),
        "))"
    ),
    concat!(
        "DELETE FROM abnormal_end WHERE tenant = $1 AND execution IN (",
        gone!(),
        ")"
    ),
    concat!(
        "DELETE FROM suspension WHERE tenant = $1 AND execution IN (",
        gone!(),
        ")"
    ),
    concat!(
        "DELETE FROM human_task_note WHERE human_task IN (
            SELECT id FROM human_task WHERE execution IN (",
        gone!(),
        "))"
    ),
    concat!("DELETE FROM human_task WHERE execution IN (", gone!(), ")"),
    concat!("DELETE FROM execution WHERE id IN (", gone!(), ")"),
];

#[async_trait]
impl RetentionStore for SeaStore {
    async fn retention_list(
        &self,
        after: Option<&WorkflowKey>,
        limit: u32,
    ) -> Result<Vec<WorkflowAge>, Error> {
        let nobody = TenantId::from_uuid(sqlx::types::Uuid::nil());
        let (whose, namespace, name) = match after {
            Some(key) => (key.tenant, &*key.namespace, &*key.name),
            None => (nobody, "", ""),
        };
        let values: Vec<Value> = vec![
            whose.as_uuid().into(),
            namespace.into(),
            name.into(),
            i64::from(limit).into(),
        ];
        let rows = self.all(LIST, values).await?;
        let ages = rows.iter().map(|row| {
            let oldest: Option<i64> = get(row, "oldest")?;
            Ok(WorkflowAge {
                workflow: WorkflowKey {
                    tenant: tenant(row)?,
                    namespace: get(row, "namespace")?,
                    name: get(row, "name")?,
                },
                oldest: oldest.and_then(|at| Timestamp::from_microsecond(at).ok()),
                settings: text_or_none(row, "settings")?,
                of_tenant: text_or_none(row, "of_tenant")?,
            })
        });
        ages.collect()
    }

    async fn retention_remove(
        &self,
        workflow: &WorkflowKey,
        ended_before: Timestamp,
        limit: u32,
    ) -> Result<u32, Error> {
        let removed = match &*self.hot {
            Hot::Sqlite(hot) => hot.remove_ended(workflow, ended_before, limit).await?,
            Hot::Postgres(_) => {
                let values: Vec<Value> = vec![
                    workflow.tenant.as_uuid().into(),
                    workflow.namespace.as_str().into(),
                    workflow.name.as_str().into(),
                    micros(ended_before).into(),
                    i64::from(limit).into(),
                ];
                self.change(POSTGRES, values).await?
            }
        };
        Ok(u32::try_from(removed).unwrap_or(u32::MAX))
    }
}
