//! Reads of executions, journal, inbox and subscriptions.

use std::collections::HashMap;
use std::fmt::Write;

use sea_orm::{DatabaseBackend, QueryResult, Value};

use super::SeaStore;
use super::rows::{
    effect, event, execution, execution_row, get, hash, message, micros, number, snapshot,
    subscription, tenant, time, workflow,
};
use crate::definition::WorkflowRef;
use crate::store::{
    EventRow, ExecutionQuery, ExecutionRow, InboxMessage, Loaded, Page, Parent, Subscription,
};
use crate::{Error, ExecutionId, Scope, TenantId};

/// Ids that one statement names at most: below SQLite's and PostgreSQL's limits.
const IDS_MAX: usize = 500;

const LIGHT: &str = "e.id, e.tenant, e.namespace, e.name, e.version, e.program, e.status,
    e.started_at, e.ended_at, e.parent, e.attributes, q.state, q.waiting_for";

const JOINED: &str = "FROM execution e LEFT JOIN queue q ON q.execution = e.id";

impl SeaStore {
    pub(super) async fn fetch_execution(
        &self,
        scope: &Scope,
        id: ExecutionId,
    ) -> Result<Option<ExecutionRow>, Error> {
        let text = format!(
            "SELECT {LIGHT}, e.input, e.output, e.error {JOINED} WHERE e.id = $1 AND e.tenant = $2"
        );
        let values: Vec<Value> = vec![id.as_uuid().into(), scope.tenant().as_uuid().into()];
        self.one(&text, values)
            .await?
            .map(|row| execution_row(&row, true))
            .transpose()
    }

    pub(super) async fn list_executions(
        &self,
        scope: &Scope,
        query: &ExecutionQuery,
    ) -> Result<Page<ExecutionRow>, Error> {
        let mut filter = Filter::new(scope);
        if let Some((namespace, name)) = &query.workflow {
            filter.and("e.namespace = ", namespace.clone().into());
            filter.and("e.name = ", name.clone().into());
        }
        match query.status {
            Some(status) if status.is_ended() => filter.and("e.status = ", status.as_str().into()),
            Some(status) => {
                filter.text.push_str(" AND e.status = 'active'");
                filter.and("q.state = ", status.as_str().into());
            }
            None => {}
        }
        if let Some(after) = query.started_after {
            filter.and("e.started_at > ", micros(after).into());
        }
        for (name, value) in &query.attributes {
            filter.attribute(self.read.get_database_backend(), name, value);
        }
        if let Some((at, id)) = query.before {
            filter.before(micros(at), id);
        }
        let limit = filter.place((i64::from(query.limit) + 1).into());
        let text = format!(
            "SELECT {LIGHT} {JOINED} WHERE {} ORDER BY e.started_at DESC, e.id DESC LIMIT {limit}",
            filter.text
        );
        let rows = self.all(&text, filter.values).await?;
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
                    "SELECT * FROM (SELECT {LIGHT} {JOINED}
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
        let text = "SELECT tenant, execution, effect, filter, event_type, condition
             FROM subscription WHERE tenant = $1 AND event_type = $2
             UNION ALL
             SELECT tenant, execution, effect, filter, event_type, condition
             FROM subscription WHERE tenant = $1 AND event_type IS NULL";
        let values: Vec<Value> = vec![whose.as_uuid().into(), event_type.into()];
        self.all(text, values)
            .await?
            .iter()
            .map(subscription)
            .collect()
    }

    pub(super) async fn fetch_inbox(
        &self,
        ids: &[ExecutionId],
    ) -> Result<Vec<InboxMessage>, Error> {
        let text = "SELECT id, execution, tenant, kind, effect, payload, at FROM inbox
             WHERE NOT consumed AND execution IN (#) ORDER BY at, id";
        self.by_ids(text, ids).await?.iter().map(message).collect()
    }

    pub(super) async fn load_executions(&self, ids: &[ExecutionId]) -> Result<Vec<Loaded>, Error> {
        let heads = "SELECT e.id, e.tenant, e.namespace, e.name, e.version, e.program, e.parent,
                e.parent_effect, e.started_at
             FROM execution e JOIN queue q ON q.execution = e.id WHERE e.id IN (#)";
        let mut found: HashMap<ExecutionId, Loaded> = HashMap::new();
        for row in self.by_ids(heads, ids).await? {
            let loaded = head(&row)?;
            found.insert(loaded.execution, loaded);
        }
        let snapshots = "SELECT execution, sequence, format, state, checksum FROM snapshot
             WHERE execution IN (#)";
        for row in self.by_ids(snapshots, ids).await? {
            if let Some(loaded) = found.get_mut(&execution(&row, "execution")?) {
                loaded.snapshot = snapshot(&row)?;
            }
        }
        // The rows before a snapshot are left out unless it could not be read.
        let tails = "SELECT j.execution, j.sequence, j.at, j.kind, j.payload, j.records
             FROM journal j LEFT JOIN snapshot s ON s.execution = j.execution
             WHERE j.execution IN (#) AND j.sequence > coalesce(s.sequence, 0)
             ORDER BY j.execution, j.sequence";
        let whole = "SELECT execution, sequence, at, kind, payload, records FROM journal
             WHERE execution IN (#) ORDER BY execution, sequence";
        let (with, without): (Vec<ExecutionId>, Vec<ExecutionId>) = found
            .keys()
            .partition(|id| found.get(id).is_some_and(|it| it.snapshot.is_some()));
        for (text, some) in [(tails, with), (whole, without)] {
            for row in self.by_ids(text, &some).await? {
                if let Some(loaded) = found.get_mut(&execution(&row, "execution")?) {
                    loaded.tail.push(event(&row)?);
                }
            }
        }
        for message in self.fetch_inbox(ids).await? {
            if let Some(loaded) = found.get_mut(&message.execution) {
                loaded.inbox.push(message);
            }
        }
        Ok(ids.iter().filter_map(|id| found.remove(id)).collect())
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
        snapshot: None,
        tail: Vec::new(),
        inbox: Vec::new(),
    })
}

/// A condition under construction: fixed text with values in numbered places.
struct Filter {
    text: String,
    values: Vec<Value>,
}

impl Filter {
    fn new(scope: &Scope) -> Self {
        Self {
            text: "e.tenant = $1".to_owned(),
            values: vec![scope.tenant().as_uuid().into()],
        }
    }

    fn place(&mut self, value: Value) -> String {
        self.values.push(value);
        format!("${}", self.values.len())
    }

    fn and(&mut self, condition: &'static str, value: Value) {
        let place = self.place(value);
        // Writing into a text cannot fail.
        let _written = write!(self.text, " AND {condition}{place}").is_ok();
    }

    fn attribute(&mut self, backend: DatabaseBackend, name: &str, value: &str) {
        let (name, value) = (name.to_owned(), value.to_owned());
        let condition = if backend == DatabaseBackend::Postgres {
            let (name, value) = (self.place(name.into()), self.place(value.into()));
            format!("(e.attributes::jsonb ->> {name}) = {value}")
        } else {
            let (name, value) = (self.place(name.into()), self.place(value.into()));
            format!(
                "EXISTS (SELECT 1 FROM json_each(e.attributes) AS a
                         WHERE a.key = {name} AND a.value = {value})"
            )
        };
        let _written = write!(self.text, " AND {condition}").is_ok();
    }

    fn before(&mut self, at: i64, id: ExecutionId) {
        let (at, id) = (self.place(at.into()), self.place(id.as_uuid().into()));
        let _written = write!(self.text, " AND (e.started_at, e.id) < ({at}, {id})").is_ok();
    }
}
