//! Reads what a worker needs of the executions that it takes on: all at once, and with
//! the same few statements whatever their number, so that these stay prepared.

use std::collections::HashMap;

use sea_orm::QueryResult;
use serde_json::json;

use super::executions::QUEUED;
use super::rows::{
    effect, event, execution, get, hash, message, number, snapshot, tenant, text_or_none, time,
    workflow,
};
use super::{Hot, SeaStore};
use crate::store::{InboxMessage, Loaded, Parent};
use crate::{Error, ExecutionId};

const SNAPSHOTS: &str = "SELECT execution, sequence, format, state, checksum FROM snapshot
     WHERE execution IN (#)";

const INBOX: &str = "SELECT id, execution, tenant, kind, effect, payload, at FROM inbox
     WHERE NOT consumed AND execution IN (#) ORDER BY at, place";

/// The events after each snapshot that was read, or all. The snapshot in the database may
/// be newer by now, so its own number does not say where to begin.
const TAILS: &str = "SELECT j.execution, j.sequence, j.at, j.kind, j.payload, j.records
     FROM # JOIN journal AS j ON j.execution = wanted.execution AND j.sequence > wanted.after
     ORDER BY j.execution, j.sequence";

impl SeaStore {
    pub(super) async fn fetch_inbox(
        &self,
        ids: &[ExecutionId],
    ) -> Result<Vec<InboxMessage>, Error> {
        self.by_ids(INBOX, ids).await?.iter().map(message).collect()
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
        // What has not begun has neither snapshot nor events.
        let begun: Vec<ExecutionId> = found
            .values()
            .filter(|loaded| loaded.input.is_none())
            .map(|loaded| loaded.execution)
            .collect();
        if !begun.is_empty() {
            for row in self.by_ids(SNAPSHOTS, &begun).await? {
                let id = execution(&row, "execution")?;
                if let Some(loaded) = found.get_mut(&id) {
                    loaded.snapshot = snapshot(&row)?;
                    if loaded.snapshot.is_none() {
                        tracing::warn!(execution = %id, "a snapshot is damaged, using the journal");
                    }
                }
            }
            self.load_tails(&begun, &mut found).await?;
        }
        for message in self.fetch_inbox(ids).await? {
            if let Some(loaded) = found.get_mut(&message.execution) {
                loaded.inbox.push(message);
            }
        }
        Ok(ids.iter().filter_map(|id| found.remove(id)).collect())
    }

    async fn load_tails(
        &self,
        begun: &[ExecutionId],
        found: &mut HashMap<ExecutionId, Loaded>,
    ) -> Result<(), Error> {
        let after: Vec<i64> = begun
            .iter()
            .map(|id| {
                let snapshot = found.get(id).and_then(|loaded| loaded.snapshot.as_ref());
                number(snapshot.map_or(0, |snapshot| snapshot.sequence))
            })
            .collect();
        let rows = match &*self.hot {
            Hot::Postgres(hot) => {
                let wanted = "unnest($1::uuid[], $2::bigint[]) AS wanted (execution, after)";
                hot.rows_after(TAILS.replace('#', wanted), begun, &after)
                    .await?
            }
            Hot::Sqlite(_) => {
                let wanted = "(SELECT unhex(value ->> 0) AS execution, value ->> 1 AS after
                     FROM json_each($1)) AS wanted";
                let pairs = begun.iter().zip(&after);
                let pairs = pairs.map(|(id, after)| json!([hex(*id), after]));
                let pairs = pairs.collect::<serde_json::Value>().to_string();
                self.all(&TAILS.replace('#', wanted), vec![pairs.into()])
                    .await?
            }
        };
        for row in rows {
            if let Some(loaded) = found.get_mut(&execution(&row, "execution")?) {
                loaded.tail.push(event(&row)?);
            }
        }
        Ok(())
    }

    /// Executes a read for many ids, whose list `IN (#)` in the text stands for.
    async fn by_ids(&self, text: &str, ids: &[ExecutionId]) -> Result<Vec<QueryResult>, Error> {
        match &*self.hot {
            Hot::Postgres(hot) => hot.rows_of(text.replace("IN (#)", "= ANY ($1)"), ids).await,
            Hot::Sqlite(_) => {
                let text = text.replace('#', "SELECT unhex(value) FROM json_each($1)");
                let ids = ids.iter().map(|id| json!(hex(*id)));
                let ids = ids.collect::<serde_json::Value>().to_string();
                self.all(&text, vec![ids.into()]).await
            }
        }
    }
}

fn hex(id: ExecutionId) -> String {
    id.as_uuid().simple().to_string()
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
