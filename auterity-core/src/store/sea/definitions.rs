//! Definitions: put, fetch, list.

use sea_orm::{ConnectionTrait, Statement, Value};

use super::rows::{definition, get, hash, micros, time, version_key, workflow};
use super::{SeaStore, read_error};
use crate::definition::ProgramHash;
use crate::store::{
    DefinitionPut, DefinitionQuery, DefinitionRow, DefinitionSummary, DefinitionVersion, Page,
};
use crate::{Error, Scope, TenantId};

const COLUMNS: &str = "namespace, name, version, hash, title, summary, body, created_at";

impl SeaStore {
    pub(super) async fn put_definition(
        &self,
        scope: &Scope,
        row: DefinitionRow,
    ) -> Result<DefinitionPut, Error> {
        // A deleted version may come back, but only as it was: executions may be
        // pinned to it.
        let text = "INSERT INTO definition (tenant, namespace, name, version, version_key, hash,
                                            title, summary, body, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
             ON CONFLICT (tenant, namespace, name, version) DO UPDATE SET deleted = false
                WHERE definition.deleted AND definition.hash = excluded.hash
             RETURNING 1 AS put";
        let version = row.workflow.version;
        let key = version_key(&version);
        let names = (row.workflow.namespace, row.workflow.name);
        let values: Vec<Value> = vec![
            scope.tenant().as_uuid().into(),
            names.0.clone().into(),
            names.1.clone().into(),
            version.clone().into(),
            key.into(),
            row.hash.as_bytes().to_vec().into(),
            row.title.into(),
            row.summary.into(),
            row.text.to_string().into(),
            micros(row.created_at).into(),
        ];
        if self.write_one(text, values).await? {
            return Ok(DefinitionPut::Created);
        }
        let same = "SELECT hash FROM definition
             WHERE tenant = $1 AND namespace = $2 AND name = $3 AND version = $4";
        let values: Vec<Value> = vec![
            scope.tenant().as_uuid().into(),
            names.0.into(),
            names.1.into(),
            version.into(),
        ];
        let known = self.one(same, values).await?;
        let known = known.map(|known| hash(&known, "hash")).transpose()?;
        Ok(if known == Some(row.hash) {
            DefinitionPut::Same
        } else {
            DefinitionPut::Conflict
        })
    }

    /// Executes a writing statement; tells whether it gave a row.
    async fn write_one(&self, text: &str, values: Vec<Value>) -> Result<bool, Error> {
        let backend = self.read.get_database_backend();
        let statement = Statement::from_sql_and_values(backend, text, values);
        let row = self.write.query_one_raw(statement).await;
        row.map(|row| row.is_some())
            .map_err(|error| read_error(&error))
    }

    pub(super) async fn fetch_definition(
        &self,
        scope: &Scope,
        namespace: &str,
        name: &str,
        version: Option<&str>,
    ) -> Result<Option<DefinitionRow>, Error> {
        let text = format!(
            "SELECT {COLUMNS} FROM definition
             WHERE tenant = $1 AND namespace = $2 AND name = $3 AND NOT deleted
                AND ($4 = '' OR version = $4)
             ORDER BY version_key DESC LIMIT 1"
        );
        let values: Vec<Value> = vec![
            scope.tenant().as_uuid().into(),
            namespace.into(),
            name.into(),
            version.unwrap_or_default().into(),
        ];
        self.one(&text, values)
            .await?
            .map(|row| definition(&row))
            .transpose()
    }

    pub(super) async fn fetch_pinned(
        &self,
        tenant: TenantId,
        hash: ProgramHash,
    ) -> Result<Option<DefinitionRow>, Error> {
        let text =
            format!("SELECT {COLUMNS} FROM definition WHERE tenant = $1 AND hash = $2 LIMIT 1");
        let values: Vec<Value> = vec![tenant.as_uuid().into(), hash.as_bytes().to_vec().into()];
        self.one(&text, values)
            .await?
            .map(|row| definition(&row))
            .transpose()
    }

    pub(super) async fn list_definitions(
        &self,
        scope: &Scope,
        query: &DefinitionQuery,
    ) -> Result<Page<DefinitionSummary>, Error> {
        let text = "SELECT namespace, name, version, title, summary, created_at
             FROM (SELECT namespace, name, version, title, summary, created_at,
                          row_number() OVER (PARTITION BY namespace, name
                                             ORDER BY version_key DESC) AS place
                   FROM definition WHERE tenant = $1 AND NOT deleted) AS newest
             WHERE place = 1
                AND (namespace > $2 OR (namespace = $2 AND name > $3))
                AND ($4 = '' OR lower(namespace || ' ' || name || ' ' || coalesce(title, ''))
                                LIKE $4 ESCAPE '\\')
             ORDER BY namespace, name LIMIT $5";
        let (namespace, name) = query.after.clone().unwrap_or_default();
        let wanted = query.text.as_deref().map(pattern).unwrap_or_default();
        let values: Vec<Value> = vec![
            scope.tenant().as_uuid().into(),
            namespace.into(),
            name.into(),
            wanted.into(),
            (i64::from(query.limit) + 1).into(),
        ];
        let rows = self.all(text, values).await?;
        let more = (query.limit as usize) < rows.len();
        let items = rows.iter().take(query.limit as usize).map(|row| {
            Ok(DefinitionSummary {
                workflow: workflow(row)?,
                title: get(row, "title")?,
                summary: get(row, "summary")?,
                created_at: time(row, "created_at")?,
            })
        });
        Ok(Page {
            items: items.collect::<Result<_, Error>>()?,
            more,
        })
    }

    pub(super) async fn list_versions(
        &self,
        scope: &Scope,
        namespace: &str,
        name: &str,
    ) -> Result<Vec<DefinitionVersion>, Error> {
        let text = "SELECT version, hash, created_at FROM definition
             WHERE tenant = $1 AND namespace = $2 AND name = $3 AND NOT deleted
             ORDER BY version_key DESC";
        let values: Vec<Value> = vec![
            scope.tenant().as_uuid().into(),
            namespace.into(),
            name.into(),
        ];
        let rows = self.all(text, values).await?;
        rows.iter()
            .map(|row| {
                Ok(DefinitionVersion {
                    version: get(row, "version")?,
                    hash: hash(row, "hash")?,
                    created_at: time(row, "created_at")?,
                })
            })
            .collect()
    }

    pub(super) async fn delete_definition(
        &self,
        scope: &Scope,
        namespace: &str,
        name: &str,
    ) -> Result<bool, Error> {
        let text = "UPDATE definition SET deleted = true
             WHERE tenant = $1 AND namespace = $2 AND name = $3 AND NOT deleted RETURNING 1 AS gone";
        let values: Vec<Value> = vec![
            scope.tenant().as_uuid().into(),
            namespace.into(),
            name.into(),
        ];
        self.write_one(text, values).await
    }
}

/// A text to be contained, as a LIKE pattern.
fn pattern(text: &str) -> String {
    let mut pattern = String::from("%");
    for letter in text.to_lowercase().chars() {
        if matches!(letter, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern.push('%');
    pattern
}
