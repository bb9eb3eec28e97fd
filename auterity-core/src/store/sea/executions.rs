//! Reads of executions, journal, inbox and subscriptions.

use std::collections::HashMap;

use sea_orm::{QueryResult, Value};

use super::rows::{
    effect, event, execution, execution_row, get, hash, message, number, snapshot, subscription,
    tenant, text_or_none, time, workflow,
};
use super::{SeaStore, selection};
use crate::definition::WorkflowRef;
use crate::store::fault::COUNTED_MAX;
use crate::store::{
    Claim, Correlated, EventRow, ExecutionQuery, ExecutionRow, FaultGroup, FaultGroups,
    FaultSignature, Filter, InboxMessage, Loaded, Page, Parent, Subscription,
};
use crate::{Error, ExecutionId, Scope, TenantId, WorkerId};

/// Ids that one statement names at most: below SQLite's and PostgreSQL's limits.
const IDS_MAX: usize = 500;

/// Columns without payloads. Where an active execution stands is in its queue row.
pub(super) const LIGHT: &str =
    "e.id, e.tenant, e.namespace, e.name, e.version, e.program, e.status,
    e.started_at, e.ended_at, e.parent, e.attributes, e.priority,
    CASE WHEN (SELECT 1 FROM suspension s
               WHERE s.tenant = q.tenant AND s.execution = q.execution) = 1 THEN 'suspended'
         WHEN q.owner IS NOT NULL THEN 'running' WHEN q.ready OR q.held THEN 'pending'
         ELSE 'waiting' END AS state,
    CASE WHEN q.owner IS NULL AND NOT q.ready THEN q.waiting_for END AS waiting_for";

const QUEUED: &str = "JOIN queue q ON q.tenant = e.tenant AND q.execution = e.id";

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
        // One of each kind of correlations: the index is entered anew for each.
        let text = "WITH RECURSIVE kind (number) AS (
                 SELECT min(s.correlated_by) FROM subscription AS s
                 WHERE s.tenant = $1 AND s.event_key = $2
                 UNION ALL
                 SELECT (SELECT min(s.correlated_by) FROM subscription AS s
                         WHERE s.tenant = $1 AND s.event_key = $2 AND s.correlated_by > kind.number)
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
             FROM kind JOIN subscription AS o
                 ON o.tenant = $1 AND o.event_key = $2 AND o.correlated_by = kind.number
                 AND (o.execution, o.effect, o.filter) = (
                     SELECT s.execution, s.effect, s.filter FROM subscription AS s
                     WHERE s.tenant = $1 AND s.event_key = $2
                         AND s.correlated_by = kind.number LIMIT 1)";
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

    pub(super) async fn fetch_inbox(
        &self,
        ids: &[ExecutionId],
    ) -> Result<Vec<InboxMessage>, Error> {
        let text = "SELECT id, execution, tenant, kind, effect, payload, at FROM inbox
             WHERE NOT consumed AND execution IN (#) ORDER BY at, place";
        self.by_ids(text, ids).await?.iter().map(message).collect()
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

    pub(super) async fn load_executions(&self, ids: &[ExecutionId]) -> Result<Vec<Loaded>, Error> {
        let heads = format!(
            "SELECT e.id, e.tenant, e.namespace, e.name, e.version, e.program, e.parent,
                e.parent_effect, e.started_at, e.priority, q.gates IS NOT NULL AS gated,
                CASE WHEN NOT EXISTS (SELECT 1 FROM journal j WHERE j.execution = e.id)
                    THEN e.input END AS input
             FROM execution e {QUEUED} WHERE e.id IN (#)"
        );
        let mut found: HashMap<ExecutionId, Loaded> = HashMap::new();
        for row in self.by_ids(&heads, ids).await? {
            let loaded = head(&row)?;
            found.insert(loaded.execution, loaded);
        }
        let snapshots = "SELECT execution, sequence, format, state, checksum FROM snapshot
             WHERE execution IN (#)";
        for row in self.by_ids(snapshots, ids).await? {
            let id = execution(&row, "execution")?;
            if let Some(loaded) = found.get_mut(&id) {
                loaded.snapshot = snapshot(&row)?;
                if loaded.snapshot.is_none() {
                    tracing::warn!(execution = %id, "a snapshot is damaged, using the journal");
                }
            }
        }
        self.load_tails(&mut found).await?;
        for message in self.fetch_inbox(ids).await? {
            if let Some(loaded) = found.get_mut(&message.execution) {
                loaded.inbox.push(message);
            }
        }
        Ok(ids.iter().filter_map(|id| found.remove(id)).collect())
    }

    /// Adds the events after each snapshot that was read, or all. The snapshot in the
    /// database may be newer by now, so its own number does not say where to begin.
    async fn load_tails(&self, found: &mut HashMap<ExecutionId, Loaded>) -> Result<(), Error> {
        let wanted: Vec<(ExecutionId, u64)> = found
            .values()
            .map(|loaded| {
                let snapshot = loaded.snapshot.as_ref();
                let after = snapshot.map_or(0, |snapshot| snapshot.sequence);
                (loaded.execution, after)
            })
            .collect();
        for some in wanted.chunks(IDS_MAX) {
            let mut places = Vec::with_capacity(some.len());
            let mut values: Vec<Value> = Vec::with_capacity(some.len() * 2);
            for (id, after) in some {
                values.push(id.as_uuid().into());
                values.push(number(*after).into());
                places.push(format!("(${}, ${})", values.len() - 1, values.len()));
            }
            let text = format!(
                "WITH wanted (execution, after) AS (VALUES {})
                 SELECT j.execution, j.sequence, j.at, j.kind, j.payload, j.records
                 FROM wanted JOIN journal j
                    ON j.execution = wanted.execution AND j.sequence > wanted.after
                 ORDER BY j.execution, j.sequence",
                places.join(", ")
            );
            for row in self.all(&text, values).await? {
                if let Some(loaded) = found.get_mut(&execution(&row, "execution")?) {
                    loaded.tail.push(event(&row)?);
                }
            }
        }
        Ok(())
    }

    /// Executes a read for many ids; `#` in the text stands for their list.
    async fn by_ids(&self, text: &str, ids: &[ExecutionId]) -> Result<Vec<QueryResult>, Error> {
        let mut rows = Vec::new();
        for some in ids.chunks(IDS_MAX) {
            let places: Vec<String> = (1..=some.len()).map(|place| format!("${place}")).collect();
            let values = some.iter().map(|id| id.as_uuid().into()).collect();
            rows.extend(
                self.all(&text.replace('#', &places.join(", ")), values)
                    .await?,
            );
        }
        Ok(rows)
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

fn head(row: &QueryResult) -> Result<Loaded, Error> {
    let parent = get::<Option<sqlx::types::Uuid>>(row, "parent")?;
    Ok(Loaded {
        tenant: tenant(row)?,
        execution: execution(row, "id")?,
        workflow: workflow(row)?,
        program: hash(row, "program")?,
        parent: match parent {
            Some(id) => Some(Parent {
                execution: ExecutionId::from_uuid(id),
                effect: effect(row, "parent_effect")?,
            }),
            None => None,
        },
        started_at: time(row, "started_at")?,
        priority: get(row, "priority")?,
        gated: get(row, "gated")?,
        input: text_or_none(row, "input")?,
        snapshot: None,
        tail: Vec::new(),
        inbox: Vec::new(),
    })
}
