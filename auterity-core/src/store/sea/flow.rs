//! Reads about flow control, with one text for both databases.

use sea_orm::Value;

use super::SeaStore;
use super::rows::{execution, from_micros, get, tenant, text, time};
use crate::store::{AHEAD_MAX, AtGate, FlowRow, LaneLength, Queued, Survey};
use crate::{Error, ExecutionId, Scope};

impl SeaStore {
    pub(super) async fn fetch_flow(
        &self,
        scope: &Scope,
        workflow: Option<(&str, &str)>,
    ) -> Result<Option<FlowRow>, Error> {
        let (namespace, name) = workflow.unwrap_or_default();
        let query = "SELECT revision, body, changed_at FROM flow_setting
             WHERE tenant = $1 AND namespace = $2 AND name = $3";
        let values = vec![
            scope.tenant().as_uuid().into(),
            namespace.into(),
            name.into(),
        ];
        let Some(row) = self.one(query, values).await? else {
            return Ok(None);
        };
        Ok(Some(FlowRow {
            revision: u64::try_from(get::<i64>(&row, "revision")?).unwrap_or(0),
            body: text(&row, "body")?,
            changed_at: time(&row, "changed_at")?,
        }))
    }

    pub(super) async fn list_gate(
        &self,
        scope: &Scope,
        (rule, value): (&str, &str),
        limit: u32,
    ) -> Result<Vec<AtGate>, Error> {
        let at = |state: u8| {
            format!(
                "SELECT execution, state, since FROM place
                 WHERE tenant = $1 AND rule = $2 AND value = $3 AND state = {state}"
            )
        };
        let query = format!("{} UNION ALL {} ORDER BY execution LIMIT $4", at(1), at(2));
        let values = vec![
            scope.tenant().as_uuid().into(),
            rule.into(),
            value.into(),
            i64::from(limit).into(),
        ];
        let mut found = Vec::new();
        for row in self.all(&query, values).await? {
            found.push(AtGate {
                execution: execution(&row, "execution")?,
                passed: get::<i32>(&row, "state")? == 2,
                since: time(&row, "since")?,
            });
        }
        Ok(found)
    }

    pub(super) async fn count_queue(
        &self,
        scope: &Scope,
        prefix: Option<&str>,
        most: u32,
    ) -> Result<u32, Error> {
        let tenant: Value = scope.tenant().as_uuid().into();
        let limit: Value = i64::from(most).into();
        let Some(prefix) = prefix else {
            // In the order of the indexes, which is how a crowd is counted fastest.
            let held = "SELECT 1 FROM place WHERE tenant = $1 AND state = 1
                ORDER BY rule, value LIMIT $2";
            let ready = "SELECT 1 FROM queue WHERE tenant = $1 AND ready
                ORDER BY priority DESC, due_at LIMIT $2";
            let held = self
                .count(held, vec![tenant.clone(), limit.clone()])
                .await?;
            let ready = self.count(ready, vec![tenant, limit]).await?;
            return Ok(held.saturating_add(ready).min(most));
        };
        let query = "SELECT 1 FROM place
             WHERE tenant = $1 AND rule >= $2 AND rule < $3 AND state = 1 LIMIT $4";
        let behind = format!("{prefix}\u{10ffff}");
        self.count(query, vec![tenant, prefix.into(), behind.into(), limit])
            .await
    }

    pub(super) async fn survey_queue(
        &self,
        lanes_max: u32,
        each_max: u32,
    ) -> Result<Survey, Error> {
        let ready = "(SELECT due_at FROM queue q WHERE q.tenant = l.tenant AND q.ready
             ORDER BY q.priority DESC, q.due_at LIMIT $2) AS part";
        let query = format!(
            "SELECT l.tenant, (SELECT count(*) FROM {ready}) AS length,
                 (SELECT min(due_at) FROM {ready}) AS since
             FROM lane l ORDER BY l.turn, l.tenant LIMIT $1"
        );
        let each_max: Value = i64::from(each_max).into();
        let values = vec![i64::from(lanes_max).into(), each_max.clone()];
        let mut survey = Survey::default();
        for row in self.all(&query, values).await? {
            // A lane is closed a little after its last execution is taken.
            let Some(since) = get::<Option<i64>>(&row, "since")? else {
                continue;
            };
            survey.lanes.push(LaneLength {
                tenant: tenant(&row)?,
                ready: u32::try_from(get::<i64>(&row, "length")?).unwrap_or(u32::MAX),
                since: from_micros(since)?,
            });
        }
        let held = "SELECT 1 FROM place WHERE state = 1 ORDER BY tenant, rule, value LIMIT $1";
        survey.held = self.count(held, vec![each_max]).await?;
        Ok(survey)
    }

    pub(super) async fn find_place(
        &self,
        scope: &Scope,
        id: ExecutionId,
    ) -> Result<Option<Queued>, Error> {
        let query = "SELECT ready, held, priority, due_at FROM queue
             WHERE tenant = $1 AND execution = $2";
        let values = vec![scope.tenant().as_uuid().into(), id.as_uuid().into()];
        let Some(row) = self.one(query, values).await? else {
            return Ok(None);
        };
        if get::<bool>(&row, "held")? {
            return self.find_gate(scope, id).await;
        }
        if !get::<bool>(&row, "ready")? {
            return Ok(None);
        }
        let (before, same) = (
            "SELECT 1 FROM queue WHERE tenant = $1 AND ready AND priority > $2 LIMIT $3",
            "SELECT 1 FROM queue WHERE tenant = $1 AND ready AND priority = $2 AND due_at < $3
                LIMIT $4",
        );
        let tenant: Value = scope.tenant().as_uuid().into();
        let priority: Value = get::<i32>(&row, "priority")?.into();
        let due: Value = get::<Option<i64>>(&row, "due_at")?.into();
        let limit: Value = i64::from(AHEAD_MAX).into();
        let values = vec![tenant.clone(), priority.clone(), limit.clone()];
        let mut ahead = self.count(before, values).await?;
        ahead += self.count(same, vec![tenant, priority, due, limit]).await?;
        Ok(Some(Queued {
            rule: None,
            value: String::new(),
            ahead: ahead.min(AHEAD_MAX),
            concurrency: None,
            in_use: 0,
            not_before: None,
        }))
    }

    /// Finds the gate at which a held execution waits.
    async fn find_gate(&self, scope: &Scope, id: ExecutionId) -> Result<Option<Queued>, Error> {
        let query = "SELECT p.rule, p.value, p.priority, p.since, p.not_before, r.concurrency,
                r.every, g.in_use, g.look_at
             FROM place p
             LEFT JOIN gate g ON g.tenant = p.tenant AND g.rule = p.rule AND g.value = p.value
             LEFT JOIN gate_rule r ON r.tenant = p.tenant AND r.rule = p.rule
             WHERE p.execution = $1 AND p.tenant = $2 AND p.state = 1";
        let tenant: Value = scope.tenant().as_uuid().into();
        let values = vec![id.as_uuid().into(), tenant.clone()];
        let Some(row) = self.one(query, values).await? else {
            return Ok(None);
        };
        let (rule, value): (String, String) = (get(&row, "rule")?, get(&row, "value")?);
        let (priority, since): (i32, i64) = (get(&row, "priority")?, get(&row, "since")?);
        let waiting = "SELECT 1 FROM place
             WHERE tenant = $1 AND rule = $2 AND value = $3 AND state = 1";
        let before = format!("{waiting} AND priority > $4 LIMIT $5");
        let same =
            format!("{waiting} AND priority = $4 AND (since, execution) < ($5, $6) LIMIT $7");
        let gate: Vec<Value> = vec![
            tenant,
            rule.clone().into(),
            value.clone().into(),
            priority.into(),
        ];
        let limit: Value = i64::from(AHEAD_MAX).into();
        let mut values = gate.clone();
        values.push(limit.clone());
        let mut ahead = self.count(&before, values).await?;
        let mut values = gate;
        values.extend([since.into(), id.as_uuid().into(), limit]);
        ahead += self.count(&same, values).await?;
        let mut not_before: Option<i64> = get(&row, "not_before")?;
        if get::<Option<i64>>(&row, "every")?.is_some() {
            not_before = not_before.max(get(&row, "look_at")?);
        }
        let count = |column: &str| -> Result<Option<u32>, Error> {
            let value: Option<i64> = get(&row, column)?;
            Ok(value.map(|value| u32::try_from(value.max(0)).unwrap_or(u32::MAX)))
        };
        Ok(Some(Queued {
            rule: Some(rule),
            value,
            ahead: ahead.min(AHEAD_MAX),
            concurrency: count("concurrency")?,
            in_use: count("in_use")?.unwrap_or(0),
            not_before: not_before.map(from_micros).transpose()?,
        }))
    }

    /// Counts the rows of a query that bounds them itself.
    async fn count(&self, query: &str, values: Vec<Value>) -> Result<u32, Error> {
        let query = format!("SELECT count(*) AS length FROM ({query}) AS found");
        let Some(row) = self.one(&query, values).await? else {
            return Ok(0);
        };
        Ok(u32::try_from(get::<i64>(&row, "length")?).unwrap_or(u32::MAX))
    }
}
