//! Flow settings and gates, through server-side functions.

use jiff::{SignedDuration, Timestamp};
use sqlx::Row;

use super::{Postgres, plain};
use crate::store::sea::rows::{micros, number};
use crate::store::{FlowPut, Pace, Rule};
use crate::{Error, TenantId};

impl Postgres {
    pub(in crate::store::sea) async fn flow_put(
        &self,
        tenant: TenantId,
        put: &FlowPut,
    ) -> Result<Option<i64>, Error> {
        let (namespace, name) = put.workflow.clone().unwrap_or_default();
        let text = "SELECT flow_put($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
        let column = |of: fn(&Rule) -> Option<i64>| put.rules.iter().map(of).collect::<Vec<_>>();
        let names: Vec<&str> = put.rules.iter().map(|rule| &*rule.name).collect();
        let row = sqlx::query(text)
            .bind(tenant.as_uuid())
            .bind(namespace)
            .bind(name)
            .bind(put.expected.map(number))
            .bind(i32::try_from(put.weight).unwrap_or(i32::MAX))
            .bind(&*put.body)
            .bind(micros(put.at))
            .bind(&put.prefix)
            .bind(names)
            .bind(column(|rule| rule.concurrency.map(i64::from)))
            .bind(column(|rule| rule.pace.map(Pace::every_micros)))
            .bind(column(|rule| rule.pace.map(|pace| i64::from(pace.burst))))
            .fetch_one(&self.hot)
            .await
            .map_err(plain)?;
        row.try_get(0).map_err(plain)
    }

    pub(in crate::store::sea) async fn gate_ask(
        &self,
        tenant: TenantId,
        (rule, value): (&str, &str),
        pace: Pace,
        now: Timestamp,
    ) -> Result<Option<SignedDuration>, Error> {
        let row = sqlx::query("SELECT gate_ask($1, $2, $3, $4, $5, $6)")
            .bind(tenant.as_uuid())
            .bind(rule)
            .bind(value)
            .bind(pace.every_micros())
            .bind(i64::from(pace.burst.max(1)))
            .bind(micros(now))
            .fetch_one(&self.hot)
            .await
            .map_err(plain)?;
        let wait: i64 = row.try_get(0).map_err(plain)?;
        Ok((wait != 0).then(|| SignedDuration::from_micros(wait)))
    }
}
