//! Reads of executions, journal, inbox and subscriptions.

use sea_orm::{QueryResult, Value};

use super::rows::{
    event, execution, execution_row, get, number, subscription, tenant, text_or_none, time,
};
use super::{SeaStore, selection};
use crate::definition::WorkflowRef;
use crate::store::fault::COUNTED_MAX;
use crate::store::{
    Claim, Correlated, EventRow, ExecutionQuery, ExecutionRow, FaultGroup, FaultGroups,
    FaultSignature, Filter, Page, Subscription,
};
use crate::{Error, ExecutionId, Scope, TenantId, WorkerId};

/// Columns without payloads. Where an active execution stands is in its queue row.
pub(super) const LIGHT: &str =
    "e.id, e.tenant, e.namespace, e.name, e.version, e.program, e.status,
    e.started_at, e.ended_at, e.parent, e.attributes, e.priority,
    CASE WHEN (SELECT 1 FROM suspension s
               WHERE s.tenant = q.tenant AND s.execution = q.execution) = 1 THEN 'suspended'
         WHEN q.owner IS NOT NULL THEN 'running' WHEN q.ready OR q.held THEN 'pending'
         ELSE 'waiting' END AS state,
    CASE WHEN q.owner IS NULL AND NOT q.ready THEN q.waiting_for END AS waiting_for";

pub(super) const QUEUED: &str = "JOIN queue q ON q.tenant = e.tenant AND q.execution = e.id";

impl SeaStore {
    pub(super) async fn fetch_execution(
        &self,
        scope: &Scope,
        id: ExecutionId,
    ) -> Result<Option<ExecutionRow>, Error> {
        let text = format!(
            "SELECT {LIGHT}, e.input, e.output, e.error FROM execution e LEFT {QUEUED}
             WHERE e.id = $1 AND e.tenant = $2"
        );
        let values: Vec<Value> = vec![id.as_uuid().into(), scope.tenant().as_uuid().into()];
        self.one(&text, values)
            .await?
            .map(|row| execution_row(&row, true))
            .transpose()
    }

    pub(super) async fn find_keyed(
        &self,
        scope: &Scope,
        key: &str,
    ) -> Result<Option<ExecutionId>, Error> {
        let text = "SELECT id FROM execution WHERE tenant = $1 AND idempotency_key = $2";
        let values: Vec<Value> = vec![scope.tenant().as_uuid().into(), key.into()];
        let found = self.one(text, values).await?;
        found.map(|row| execution(&row, "id")).transpose()
    }

    pub(super) async fn list_executions(
        &self,
        scope: &Scope,
        query: &ExecutionQuery,
    ) -> Result<Page<ExecutionRow>, Error> {
        let rows = self.select(&selection::page(scope, query)).await?;
        let more = (query.limit as usize) < rows.len();
        let items = rows
            .iter()
            .take(query.limit as usize)
            .map(|row| execution_row(row, false));
        Ok(Page {
            items: items.collect::<Result<_, Error>>()?,
            more,
        })
    }

    pub(super) async fn group_faults(
        &self,
        scope: &Scope,
        filter: &Filter,
        limit: u32,
    ) -> Result<FaultGroups, Error> {
        let rows = self
            .select(&selection::faults(scope, filter, limit))
            .await?;
        let counted: i64 = rows.first().map_or(Ok(0), |row| get(row, "counted"))?;
        let partial = i64::from(COUNTED_MAX) < counted || (limit as usize) < rows.len();
        let groups = rows.iter().take(limit as usize).map(fault_group);
        Ok(FaultGroups {
            groups: groups.collect::<Result<_, Error>>()?,
            partial,
        })
    }

    pub(super) async fn recent_executions(
        &self,
        scope: &Scope,
        workflows: &[WorkflowRef],
        each_max: u32,
    ) -> Result<Vec<ExecutionRow>, Error> {
        let mut found = Vec::new();
        for some in workflows.chunks(50) {
            let mut parts = Vec::new();
            let mut values: Vec<Value> =
                vec![scope.tenant().as_uuid().into(), i64::from(each_max).into()];
            for workflow in some {
                values.push(workflow.namespace.clone().into());
                values.push(workflow.name.clone().into());
                let (namespace, name) = (values.len() - 1, values.len());
                parts.push(format!(
                    "SELECT * FROM (SELECT {LIGHT} FROM execution e LEFT {QUEUED}
                     WHERE e.tenant = $1 AND e.namespace = ${namespace} AND e.name = ${name}
                     ORDER BY e.started_at DESC, e.id DESC LIMIT $2) AS w{name}"
                ));
            }
            for row in self.all(&parts.join(" UNION ALL "), values).await? {
                found.push(execution_row(&row, false)?);
            }
        }
        Ok(found)
    }

    pub(super) async fn list_journal(
        &self,
        scope: &Scope,
        id: ExecutionId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<EventRow>, Error> {
        let text = "SELECT sequence, at, kind, payload, records FROM journal
             WHERE execution = $1 AND tenant = $2 AND sequence > $3 ORDER BY sequence LIMIT $4";
        let values: Vec<Value> = vec![
            id.as_uuid().into(),
            scope.tenant().as_uuid().into(),
            number(after).into(),
            i64::from(limit).into(),
        ];
        self.all(text, values).await?.iter().map(event).collect()
    }

    pub(super) async fn match_subscriptions(
        &self,
        whose: TenantId,
        event_type: &str,
    ) -> Result<Vec<Subscription>, Error> {
        // Of each kind of correlations those that expect the least: the index is entered
        // anew for each kind, and nothing else of it is read.
        let text = "WITH RECURSIVE kind (number) AS (
                 SELECT min(s.correlated_by) FROM subscription AS s
                 WHERE s.tenant = $1 AND s.event_key = $2
                 UNION ALL
                 SELECT (SELECT min(s.correlated_by) FROM subscription AS s
                         WHERE s.tenant = $1 AND s.event_key = $2 AND s.correlated_by > kind.number)
                 FROM kind WHERE kind.number IS NOT NULL
             ), sample (number, expects) AS MATERIALIZED (
                 SELECT kind.number, (SELECT min(s.correlated_to) FROM subscription AS s
                     WHERE s.tenant = $1 AND s.event_key = $2 AND s.correlated_by = kind.number)
                 FROM kind WHERE kind.number IS NOT NULL
             )
             SELECT tenant, execution, effect, filter, event_type, condition, correlated_by,
                 correlated_to
             FROM subscription WHERE tenant = $1 AND event_key IS NULL
             UNION ALL
             SELECT tenant, execution, effect, filter, event_type, condition, correlated_by,
                 correlated_to
             FROM subscription
             WHERE tenant = $1 AND event_key = $2 AND correlated_by IS NULL
             UNION ALL
             SELECT o.tenant, o.execution, o.effect, o.filter, o.event_type, o.condition,
                 o.correlated_by, o.correlated_to
             FROM sample JOIN subscription AS o
                 ON o.tenant = $1 AND o.event_key = $2 AND o.correlated_by = sample.number
                     AND o.correlated_to = sample.expects";
        let values: Vec<Value> = vec![whose.as_uuid().into(), event_type.into()];
        let rows = self.all(text, values).await?;
        rows.iter().map(subscription).collect()
    }

    pub(super) async fn correlated_subscriptions(
        &self,
        whose: TenantId,
        event_type: &str,
        wanted: &[Correlated],
    ) -> Result<Vec<Subscription>, Error> {
        let mut found = Vec::new();
        for one in wanted {
            let mut text = "SELECT tenant, execution, effect, filter, event_type, condition,
                     correlated_by, correlated_to
                 FROM subscription
                 WHERE tenant = $1 AND event_key = $2 AND correlated_by = $3"
                .to_owned();
            let mut values: Vec<Value> =
                vec![whose.as_uuid().into(), event_type.into(), one.by.into()];
            if let Some(to) = one.to {
                text.push_str(" AND correlated_to = $4");
                values.push(to.into());
            }
            for row in &self.all(&text, values).await? {
                found.push(subscription(row)?);
            }
        }
        Ok(found)
    }

    pub(super) async fn list_claims(&self, worker: WorkerId) -> Result<Vec<Claim>, Error> {
        let text = "SELECT tenant, execution FROM queue WHERE owner = $1 ORDER BY execution";
        let rows = self.all(text, vec![worker.as_uuid().into()]).await?;
        let claims = rows.iter().map(|row| {
            Ok(Claim {
                tenant: tenant(row)?,
                execution: execution(row, "execution")?,
            })
        });
        claims.collect()
    }
}

fn fault_group(row: &QueryResult) -> Result<FaultGroup, Error> {
    Ok(FaultGroup {
        signature: FaultSignature::from_bits(get(row, "fault")?),
        count: get::<i64>(row, "faults")?.unsigned_abs(),
        first_at: time(row, "first_at")?,
        newest: ExecutionRow {
            error: text_or_none(row, "error")?,
            ..execution_row(row, false)?
        },
    })
}
