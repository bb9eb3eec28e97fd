//! Flow settings and gates, as transactions of the one writer.

use jiff::{SignedDuration, Timestamp};
use sqlx::Row;
use sqlx::sqlite::SqliteConnection;

use super::{Done, Sqlite, gates};
use crate::store::sea::batch::{Refusal, refusal};
use crate::store::sea::rows::{micros, number};
use crate::store::{FlowPut, Pace};
use crate::{Error, TenantId};

impl Sqlite {
    pub(in crate::store::sea) async fn flow_put(
        &self,
        tenant: TenantId,
        put: FlowPut,
    ) -> Result<Option<i64>, Error> {
        let kept = self.transaction(move |connection| {
            Box::pin(async move {
                let revision = keep(&mut *connection, tenant, &put).await?;
                if revision.is_some() {
                    replace_rules(connection, tenant, &put).await?;
                }
                Ok(revision)
            })
        });
        kept.await.map_err(Refusal::into_error)
    }

    pub(in crate::store::sea) async fn gate_ask(
        &self,
        tenant: TenantId,
        (rule, value): (&str, &str),
        pace: Pace,
        now: Timestamp,
    ) -> Result<Option<SignedDuration>, Error> {
        let name = (rule.to_owned(), value.to_owned());
        let asked = self.transaction(move |connection| {
            Box::pin(async move { gates::ask(connection, tenant, name, pace, now).await })
        });
        asked.await.map_err(Refusal::into_error)
    }
}

/// Keeps the settings; gives their revision, or none if another one was expected.
async fn keep(
    connection: &mut SqliteConnection,
    tenant: TenantId,
    put: &FlowPut,
) -> Done<Option<i64>> {
    let (namespace, name) = put.workflow.clone().unwrap_or_default();
    let text = "SELECT revision FROM flow_setting
         WHERE tenant = $1 AND namespace = $2 AND name = $3";
    let row = sqlx::query(text)
        .bind(tenant.as_uuid())
        .bind(&namespace)
        .bind(&name)
        .fetch_optional(&mut *connection)
        .await
        .map_err(refusal)?;
    let present: i64 = match row {
        Some(row) => row.try_get(0).map_err(refusal)?,
        None => 0,
    };
    if put
        .expected
        .is_some_and(|expected| number(expected) != present)
    {
        return Ok(None);
    }
    let text = "INSERT INTO flow_setting
             (tenant, namespace, name, revision, weight, body, changed_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (tenant, namespace, name) DO UPDATE SET revision = excluded.revision,
             weight = excluded.weight, body = excluded.body, changed_at = excluded.changed_at";
    sqlx::query(text)
        .bind(tenant.as_uuid())
        .bind(namespace)
        .bind(name)
        .bind(present + 1)
        .bind(put.weight)
        .bind(&*put.body)
        .bind(micros(put.at))
        .execute(connection)
        .await
        .map_err(refusal)?;
    Ok(Some(present + 1))
}

async fn replace_rules(
    connection: &mut SqliteConnection,
    tenant: TenantId,
    put: &FlowPut,
) -> Done<()> {
    let behind = format!("{}\u{10ffff}", put.prefix);
    let text = "DELETE FROM gate_rule WHERE tenant = $1 AND rule >= $2 AND rule < $3";
    let query = sqlx::query(text).bind(tenant.as_uuid());
    let query = query.bind(&put.prefix).bind(&behind);
    query.execute(&mut *connection).await.map_err(refusal)?;
    for rule in &put.rules {
        let text = "INSERT INTO gate_rule (tenant, rule, concurrency, every, burst)
             VALUES ($1, $2, $3, $4, $5)";
        sqlx::query(text)
            .bind(tenant.as_uuid())
            .bind(&rule.name)
            .bind(rule.concurrency)
            .bind(rule.pace.map(Pace::every_micros))
            .bind(rule.pace.map(|pace| pace.burst))
            .execute(&mut *connection)
            .await
            .map_err(refusal)?;
    }
    // Whoever waits may now pass.
    let text = "INSERT INTO knock (tenant, rule, value, freed)
         SELECT tenant, rule, value, 0 FROM gate WHERE tenant = $1 AND rule >= $2 AND rule < $3";
    let query = sqlx::query(text).bind(tenant.as_uuid());
    let query = query.bind(&put.prefix).bind(&behind);
    query.execute(connection).await.map(|_| ()).map_err(refusal)
}
