//! Bulk operations and their executions.

use async_trait::async_trait;
use jiff::Timestamp;
use sea_orm::{QueryResult, Value};
use sqlx::types::Uuid;

use super::SeaStore;
use super::rows::{corrupt, execution, from_micros, get, micros, tenant, text, time};
use crate::store::{
    BulkItem, BulkItems, BulkNext, BulkOutcome, BulkRow, BulkState, BulkStore, Page,
};
use crate::{BulkId, Error, ExecutionId, Scope, WorkerId};

/// Executions that one statement adds.
const ADDED_MAX: usize = 500;

/// The state of an operation whose executions are not all there yet.
const SELECTING: &str = "selecting";

const COLUMNS: &str = "SELECT b.id, b.tenant, b.action, b.actor, b.reason, b.filter, b.rate,
        b.state, b.total, b.created_at, b.ended_at,
        (SELECT count(*) FROM bulk_item i WHERE i.bulk = b.id AND i.outcome = 'done') AS done,
        (SELECT count(*) FROM bulk_item i WHERE i.bulk = b.id AND i.outcome = 'refused')
            AS refused
    FROM bulk b";

#[async_trait]
impl BulkStore for SeaStore {
    async fn bulk_put(
        &self,
        row: &BulkRow,
        executions: &[ExecutionId],
        most: u32,
    ) -> Result<bool, Error> {
        if !self.begin_bulk(row, most).await? {
            return Ok(false);
        }
        for (part, ids) in executions.chunks(ADDED_MAX).enumerate() {
            let mut values: Vec<Value> = vec![row.id.as_uuid().into()];
            let mut places = Vec::with_capacity(ids.len());
            for (place, id) in ids.iter().enumerate() {
                let place = part * ADDED_MAX + place + 1;
                values.push(i64::try_from(place).unwrap_or(i64::MAX).into());
                values.push(id.as_uuid().into());
                places.push(format!("($1, ${}, ${})", values.len() - 1, values.len()));
            }
            let text = format!(
                "INSERT INTO bulk_item (bulk, place, execution) VALUES {}
                 ON CONFLICT (bulk, place) DO NOTHING",
                places.join(", ")
            );
            self.change(&text, values).await?;
        }
        let text = "UPDATE bulk SET state = $2 WHERE id = $1 AND state = $3";
        let planned = BulkState::Planned.as_str();
        let values = vec![row.id.as_uuid().into(), planned.into(), SELECTING.into()];
        self.change(text, values).await?;
        Ok(true)
    }

    async fn bulk_fetch(&self, scope: &Scope, id: BulkId) -> Result<Option<BulkRow>, Error> {
        let text = format!("{COLUMNS} WHERE b.id = $1 AND b.tenant = $2 AND b.state <> $3");
        let values: Vec<Value> = vec![
            id.as_uuid().into(),
            scope.tenant().as_uuid().into(),
            SELECTING.into(),
        ];
        let found = self.one(&text, values).await?;
        found.map(|row| bulk(&row)).transpose()
    }

    async fn bulk_list(
        &self,
        scope: &Scope,
        before: Option<(Timestamp, BulkId)>,
        limit: u32,
    ) -> Result<Page<BulkRow>, Error> {
        let mut values: Vec<Value> = vec![
            scope.tenant().as_uuid().into(),
            SELECTING.into(),
            (i64::from(limit) + 1).into(),
        ];
        let mut place = "";
        if let Some((at, id)) = before {
            place = "AND (b.created_at, b.id) < ($4, $5)";
            values.push(micros(at).into());
            values.push(id.as_uuid().into());
        }
        let text = format!(
            "{COLUMNS} WHERE b.tenant = $1 AND b.state <> $2 {place}
             ORDER BY b.created_at DESC, b.id DESC LIMIT $3"
        );
        let rows = self.all(&text, values).await?;
        let items = rows.iter().take(limit as usize).map(bulk);
        Ok(Page {
            items: items.collect::<Result<_, Error>>()?,
            more: (limit as usize) < rows.len(),
        })
    }

    async fn bulk_turn(
        &self,
        scope: &Scope,
        id: BulkId,
        (from, to): (BulkState, BulkState),
        now: Timestamp,
    ) -> Result<bool, Error> {
        let text = "UPDATE bulk SET state = $4, ended_at = $5
             WHERE id = $1 AND tenant = $2 AND state = $3";
        let ended = (to == BulkState::Stopped).then(|| micros(now));
        let values: Vec<Value> = vec![
            id.as_uuid().into(),
            scope.tenant().as_uuid().into(),
            from.as_str().into(),
            to.as_str().into(),
            ended.into(),
        ];
        Ok(self.change(text, values).await? == 1)
    }

    async fn bulk_claim(
        &self,
        worker: WorkerId,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<BulkRow>, Error> {
        let due = format!(
            "{COLUMNS} WHERE b.state = 'running' AND (b.lease_until IS NULL OR b.lease_until < $1)
             ORDER BY b.created_at, b.id LIMIT 1"
        );
        let Some(row) = self.one(&due, vec![micros(now).into()]).await? else {
            return Ok(None);
        };
        let row = bulk(&row)?;
        // Another worker may have been faster.
        let text = "UPDATE bulk SET owner = $2, lease_until = $3
             WHERE id = $1 AND state = 'running' AND (lease_until IS NULL OR lease_until < $4)";
        let values: Vec<Value> = vec![
            row.id.as_uuid().into(),
            worker.as_uuid().into(),
            micros(until).into(),
            micros(now).into(),
        ];
        Ok((self.change(text, values).await? == 1).then_some(row))
    }

    async fn bulk_items(
        &self,
        id: BulkId,
        which: BulkItems,
        after: u32,
        limit: u32,
    ) -> Result<Vec<BulkItem>, Error> {
        let which = match which {
            BulkItems::All => "",
            BulkItems::Open => "AND outcome IS NULL",
            BulkItems::With(BulkOutcome::Done) => "AND outcome = 'done'",
            BulkItems::With(BulkOutcome::Refused) => "AND outcome = 'refused'",
        };
        let text = format!(
            "SELECT place, execution, outcome, detail FROM bulk_item
             WHERE bulk = $1 AND place > $2 {which} ORDER BY place LIMIT $3"
        );
        let values: Vec<Value> = vec![
            id.as_uuid().into(),
            i64::from(after).into(),
            i64::from(limit).into(),
        ];
        self.all(&text, values).await?.iter().map(item).collect()
    }

    async fn bulk_note(
        &self,
        id: BulkId,
        worker: WorkerId,
        items: &[BulkItem],
        next: BulkNext,
    ) -> Result<bool, Error> {
        self.note_items(id, items).await?;
        let (lease, end) = match next {
            BulkNext::Keep(until) => (Some(until), None),
            BulkNext::Release => (None, None),
            BulkNext::End(at) => (None, Some(at)),
        };
        let state = match next {
            BulkNext::End(_) => BulkState::Done,
            BulkNext::Keep(_) | BulkNext::Release => BulkState::Running,
        };
        let text = "UPDATE bulk SET lease_until = $3, ended_at = $4, state = $5
             WHERE id = $1 AND owner = $2 AND state = 'running'";
        let values: Vec<Value> = vec![
            id.as_uuid().into(),
            worker.as_uuid().into(),
            lease.map(micros).into(),
            end.map(micros).into(),
            state.as_str().into(),
        ];
        Ok(self.change(text, values).await? == 1)
    }

    async fn bulk_forget(&self, planned: Timestamp, ended: Timestamp) -> Result<(), Error> {
        let gone = "SELECT id FROM bulk WHERE state IN ('selecting', 'planned') AND created_at < $1
             UNION ALL
             SELECT id FROM bulk WHERE state IN ('done', 'stopped') AND ended_at < $2";
        let values = || vec![micros(planned).into(), micros(ended).into()];
        let items = format!("DELETE FROM bulk_item WHERE bulk IN ({gone})");
        self.change(&items, values()).await?;
        let operations = format!("DELETE FROM bulk WHERE id IN ({gone})");
        self.change(&operations, values()).await?;
        Ok(())
    }
}

impl SeaStore {
    /// Adds the row of an operation; tells whether it is there.
    async fn begin_bulk(&self, row: &BulkRow, most: u32) -> Result<bool, Error> {
        let actor = serde_json::to_string(&row.by).map_err(|_| corrupt("actor"))?;
        let text = "INSERT INTO bulk (id, tenant, action, actor, reason, filter, rate, state,
                total, created_at)
             SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10
             WHERE (SELECT count(*) FROM bulk WHERE tenant = $2
                    AND state IN ('selecting', 'planned', 'running')) < $11
             ON CONFLICT (id) DO NOTHING";
        let values: Vec<Value> = vec![
            row.id.as_uuid().into(),
            row.tenant.as_uuid().into(),
            row.action.to_string().into(),
            actor.into(),
            row.reason.clone().into(),
            row.filter.clone().into(),
            row.rate.map(i64::from).into(),
            SELECTING.into(),
            i64::from(row.total).into(),
            micros(row.created_at).into(),
            i64::from(most).into(),
        ];
        if self.change(text, values).await? == 1 {
            return Ok(true);
        }
        let there = "SELECT 1 AS one FROM bulk WHERE id = $1";
        Ok(self
            .one(there, vec![row.id.as_uuid().into()])
            .await?
            .is_some())
    }

    async fn note_items(&self, id: BulkId, items: &[BulkItem]) -> Result<(), Error> {
        if items.is_empty() {
            return Ok(());
        }
        let mut values: Vec<Value> = vec![id.as_uuid().into()];
        let mut places = Vec::with_capacity(items.len());
        for item in items {
            values.push(i64::from(item.place).into());
            values.push(item.outcome.map(BulkOutcome::as_str).into());
            values.push(item.detail.clone().into());
            let last = values.len();
            places.push(format!("(${}, ${}, ${last})", last - 2, last - 1));
        }
        let text = format!(
            "WITH noted (place, outcome, detail) AS (VALUES {})
             UPDATE bulk_item SET outcome = noted.outcome, detail = noted.detail
             FROM noted WHERE bulk_item.bulk = $1 AND bulk_item.place = noted.place",
            places.join(", ")
        );
        self.change(&text, values).await?;
        Ok(())
    }
}

fn bulk(row: &QueryResult) -> Result<BulkRow, Error> {
    let count = |column: &str| -> Result<u32, Error> {
        u32::try_from(get::<i64>(row, column)?).map_err(|_| corrupt(column))
    };
    let state: String = get(row, "state")?;
    let actor: String = get(row, "actor")?;
    let rate: Option<i64> = get(row, "rate")?;
    let ended: Option<i64> = get(row, "ended_at")?;
    Ok(BulkRow {
        id: BulkId::from_uuid(get::<Uuid>(row, "id")?),
        tenant: tenant(row)?,
        action: text(row, "action")?,
        by: serde_json::from_str(&actor).map_err(|_| corrupt("actor"))?,
        reason: get(row, "reason")?,
        filter: get(row, "filter")?,
        rate: rate.and_then(|rate| u32::try_from(rate).ok()),
        state: BulkState::from_word(&state).ok_or_else(|| corrupt("state"))?,
        total: count("total")?,
        done: count("done")?,
        refused: count("refused")?,
        created_at: time(row, "created_at")?,
        ended_at: ended.map(from_micros).transpose()?,
    })
}

fn item(row: &QueryResult) -> Result<BulkItem, Error> {
    let outcome: Option<String> = get(row, "outcome")?;
    let read = |word: String| BulkOutcome::from_word(&word).ok_or_else(|| corrupt("outcome"));
    Ok(BulkItem {
        place: u32::try_from(get::<i64>(row, "place")?).map_err(|_| corrupt("place"))?,
        execution: execution(row, "execution")?,
        outcome: outcome.map(read).transpose()?,
        detail: get(row, "detail")?,
    })
}
