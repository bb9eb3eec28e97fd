//! Definitions: put, fetch, list.

use sea_orm::{ConnectionTrait, DatabaseBackend, QueryResult, Statement, Value};

use super::rows::{definition, get, hash, micros, time, workflow};
use super::{SeaStore, read_error};
use crate::definition::{ProgramHash, WorkflowRef};
use crate::store::precedence::precedence;
use crate::store::{
    DefinitionPut, DefinitionQuery, DefinitionRow, DefinitionSummary, DefinitionVersion, Page,
    check,
};
use crate::{Error, ErrorKind, Scope, TenantId};

/// How often a version is put again when others change it at the same time.
const PUT_ROUNDS_MAX: u32 = 5;

const COLUMNS: &str = "namespace, name, version, hash, title, summary, body, externals, created_at";

impl SeaStore {
    pub(super) async fn put_definition(
        &self,
        scope: &Scope,
        row: DefinitionRow,
    ) -> Result<DefinitionPut, Error> {
        check::definition(&row)?;
        // Three single statements; what another process does between them at worst
        // makes none of them decide, so they are tried again.
        for _ in 0..PUT_ROUNDS_MAX {
            if self.insert_definition(scope, &row).await? {
                return Ok(DefinitionPut::Created);
            }
            let text = "SELECT hash FROM definition
                 WHERE tenant = $1 AND namespace = $2 AND name = $3 AND version = $4 AND NOT deleted";
            let mut key = key(scope, &row.workflow.namespace, &row.workflow.name);
            key.push(row.workflow.version.clone().into());
            let found = self.on_writer(text, key.clone()).await?;
            if let Some(found) = found {
                return Ok(if hash(&found, "hash")? == row.hash {
                    DefinitionPut::Same
                } else {
                    DefinitionPut::Conflict
                });
            }
            // It was there once, with this text, and was deleted.
            let text = "UPDATE definition SET deleted = false, created_at = $6
                 WHERE tenant = $1 AND namespace = $2 AND name = $3 AND version = $4 AND hash = $5
                    AND deleted AND NOT EXISTS (
                        SELECT 1 FROM definition AS other
                        WHERE other.tenant = $1 AND other.namespace = $2 AND other.name = $3
                            AND other.version = $4 AND NOT other.deleted)
                 RETURNING 1 AS done";
            key.push(row.hash.as_bytes().to_vec().into());
            key.push(micros(row.created_at).into());
            if self.on_writer(text, key).await?.is_some() {
                return Ok(DefinitionPut::Created);
            }
        }
        let message = "the workflow is being changed by others all the time; try again";
        Err(Error::new(ErrorKind::Unavailable, message))
    }

    async fn insert_definition(&self, scope: &Scope, row: &DefinitionRow) -> Result<bool, Error> {
        let text = "INSERT INTO definition (tenant, namespace, name, version, version_key, hash,
                                            title, summary, search, body, externals, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
             ON CONFLICT DO NOTHING RETURNING 1 AS done";
        let WorkflowRef {
            namespace,
            name,
            version,
        } = &row.workflow;
        let title = row.title.as_deref().unwrap_or_default();
        let search = [namespace.as_str(), name, title].join("\n").to_lowercase();
        let mut values = key(scope, namespace, name);
        values.extend([
            version.clone().into(),
            precedence(version).into(),
            row.hash.as_bytes().to_vec().into(),
            row.title.clone().into(),
            row.summary.clone().into(),
            search.into(),
            row.text.to_string().into(),
            row.externals.as_deref().map(str::to_owned).into(),
            micros(row.created_at).into(),
        ]);
        Ok(self.on_writer(text, values).await?.is_some())
    }

    /// Executes a statement where writes go; gives its first row.
    async fn on_writer(
        &self,
        text: &str,
        values: Vec<Value>,
    ) -> Result<Option<QueryResult>, Error> {
        let backend = self.read.get_database_backend();
        let statement = Statement::from_sql_and_values(backend, text, values);
        let row = self.write.query_one_raw(statement).await;
        row.map_err(|error| read_error(&error))
    }

    pub(super) async fn fetch_definition(
        &self,
        scope: &Scope,
        namespace: &str,
        name: &str,
        version: Option<&str>,
    ) -> Result<Option<DefinitionRow>, Error> {
        let (choice, value) = match version {
            Some(version) => ("version = $4", version),
            None => ("'' = $4", ""),
        };
        let text = format!(
            "SELECT {COLUMNS} FROM definition
             WHERE tenant = $1 AND namespace = $2 AND name = $3 AND NOT deleted AND {choice}
             ORDER BY version_key DESC LIMIT 1"
        );
        let mut values = key(scope, namespace, name);
        values.push(value.into());
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
        let contains = match self.read.get_database_backend() {
            DatabaseBackend::Postgres => "strpos",
            _ => "instr",
        };
        let text = format!(
            "SELECT namespace, name, version, title, summary, created_at
             FROM (SELECT namespace, name, version, title, summary, created_at, search,
                          row_number() OVER (PARTITION BY namespace, name
                                             ORDER BY version_key DESC) AS place
                   FROM definition WHERE tenant = $1 AND NOT deleted) AS highest
             WHERE place = 1
                AND (namespace > $2 OR (namespace = $2 AND name > $3))
                AND ('' = $4 OR {contains}(search, $4) > 0)
             ORDER BY namespace, name LIMIT $5"
        );
        let (namespace, name) = query.after.clone().unwrap_or_default();
        let wanted = query.text.as_deref().unwrap_or_default().to_lowercase();
        let values: Vec<Value> = vec![
            scope.tenant().as_uuid().into(),
            namespace.into(),
            name.into(),
            wanted.into(),
            (i64::from(query.limit) + 1).into(),
        ];
        let rows = self.all(&text, values).await?;
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
        let rows = self.all(text, key(scope, namespace, name)).await?;
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
        let gone = self.on_writer(text, key(scope, namespace, name)).await?;
        Ok(gone.is_some())
    }
}

/// The values for the places `$1` to `$3` that name a workflow.
fn key(scope: &Scope, namespace: &str, name: &str) -> Vec<Value> {
    vec![
        scope.tenant().as_uuid().into(),
        namespace.into(),
        name.into(),
    ]
}
