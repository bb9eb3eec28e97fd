//! Reads by many ids, on the connections whose plans follow the indexes.

use sea_orm::QueryResult;
use sqlx::AssertSqlSafe;
use sqlx::types::Uuid;

use super::{Postgres, plain};
use crate::{Error, ExecutionId};

impl Postgres {
    /// Executes a statement with a list of ids.
    pub(in crate::store::sea) async fn rows_of(
        &self,
        text: String,
        ids: &[ExecutionId],
    ) -> Result<Vec<QueryResult>, Error> {
        let query = sqlx::query(AssertSqlSafe(text)).bind(uuids(ids));
        let rows = query.fetch_all(&self.hot).await.map_err(plain)?;
        Ok(rows.into_iter().map(QueryResult::from).collect())
    }

    /// Executes a statement with a list of ids and a number for each.
    pub(in crate::store::sea) async fn rows_after(
        &self,
        text: String,
        ids: &[ExecutionId],
        after: &[i64],
    ) -> Result<Vec<QueryResult>, Error> {
        let query = sqlx::query(AssertSqlSafe(text))
            .bind(uuids(ids))
            .bind(after);
        let rows = query.fetch_all(&self.hot).await.map_err(plain)?;
        Ok(rows.into_iter().map(QueryResult::from).collect())
    }
}

fn uuids(ids: &[ExecutionId]) -> Vec<Uuid> {
    ids.iter().map(|id| id.as_uuid()).collect()
}
