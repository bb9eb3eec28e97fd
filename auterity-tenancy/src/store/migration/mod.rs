//! Brings the control tables to the newest version.
//!
//! A runner of our own because it must take a lock first, so that several nodes
//! may start at once, and must keep to one schema; both are a few lines here.

mod m0001_identity;

use auterity_core::store::SchemaStatus;
use jiff::Timestamp;
use sea_orm::{ConnectionTrait, DatabaseTransaction, FromQueryResult, Statement};

use crate::connection::{Backend, ControlDb, database_error};
use crate::error::Error;

struct Migration {
    version: i32,
    name: &'static str,
    /// Statements, with `{uuid}`, `{bytes}` and `{integer}` for the types that the
    /// databases name differently.
    sql: &'static str,
}

/// In order of their versions; applied ones are never changed.
const MIGRATIONS: &[Migration] = &[Migration {
    version: 1,
    name: "identity",
    sql: m0001_identity::SQL,
}];

#[derive(FromQueryResult)]
struct Applied {
    version: Option<i32>,
}

/// Applies what is missing, in one transaction, and gives the number of versions
/// applied. May be called at every start and by several nodes at once.
///
/// # Errors
/// `Unavailable` when the database cannot be reached, `Internal` when it refuses.
///
/// # Cancel safety
/// The migration goes on to its end when the future is dropped.
pub async fn migrate(db: &ControlDb, now: Timestamp) -> Result<usize, Error> {
    let backend = db.backend();
    let schema = db.schema().to_owned();
    let now = super::to_micros(now);
    db.write("control.migrate", move |tx| {
        Box::pin(async move { migrate_in_tx(tx, backend, &schema, now).await })
    })
    .await
}

/// Tells which version of the tables the database has; changes nothing.
///
/// # Errors
/// `Unavailable` when the database cannot be reached, `Internal` when it refuses.
pub async fn schema_status(db: &ControlDb) -> Result<SchemaStatus, Error> {
    let backend = db.backend();
    let schema = db.schema().to_owned();
    db.read("control.schema_status", move |tx| {
        Box::pin(async move { status_in_tx(tx, backend, &schema).await })
    })
    .await
}

async fn status_in_tx(
    tx: &DatabaseTransaction,
    backend: Backend,
    schema: &str,
) -> Result<SchemaStatus, Error> {
    let database = tx.get_database_backend();
    let table = match backend {
        Backend::Sqlite => Statement::from_string(
            database,
            "SELECT 1 AS found FROM sqlite_master WHERE type = 'table' AND name = 'migrations'",
        ),
        Backend::Postgres => Statement::from_sql_and_values(
            database,
            "SELECT 1 AS found FROM pg_tables WHERE schemaname = $1 AND tablename = 'migrations'",
            [schema.into()],
        ),
    };
    let exists = tx.query_one_raw(table).await.map_err(database_error)?;
    let applied = match exists {
        Some(_) => newest_in_tx(tx).await?,
        None => 0,
    };
    let known = MIGRATIONS.last().map_or(0, |newest| newest.version);
    Ok(SchemaStatus {
        applied: applied.unsigned_abs(),
        known: known.unsigned_abs(),
    })
}

/// Gives the newest version that was applied; 0 before the first.
async fn newest_in_tx(tx: &DatabaseTransaction) -> Result<i32, Error> {
    let newest = Statement::from_string(
        tx.get_database_backend(),
        "SELECT CAST(MAX(version) AS INTEGER) AS version FROM migrations",
    );
    let row = Applied::find_by_statement(newest).one(tx).await;
    let row = row.map_err(database_error)?;
    Ok(row.and_then(|row| row.version).unwrap_or(0))
}

async fn migrate_in_tx(
    tx: &DatabaseTransaction,
    backend: Backend,
    schema: &str,
    now: i64,
) -> Result<usize, Error> {
    if backend == Backend::Postgres {
        // Advisory locks are shared by the whole database: the key carries the schema.
        let lock = Statement::from_sql_and_values(
            tx.get_database_backend(),
            "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))",
            [format!("auterity.control.migrate:{schema}").into()],
        );
        tx.query_one_raw(lock).await.map_err(database_error)?;
        // The options allow plain names only.
        execute(tx, &format!("CREATE SCHEMA IF NOT EXISTS \"{schema}\"")).await?;
    }
    execute(
        tx,
        &spell(
            backend,
            "CREATE TABLE IF NOT EXISTS migrations (
                version {integer} PRIMARY KEY, name TEXT NOT NULL, applied_at {integer} NOT NULL)",
        ),
    )
    .await?;
    let applied = newest_in_tx(tx).await?;
    let mut count = 0;
    for migration in MIGRATIONS {
        if migration.version <= applied {
            continue;
        }
        execute(tx, &spell(backend, migration.sql)).await?;
        let row = Statement::from_sql_and_values(
            tx.get_database_backend(),
            "INSERT INTO migrations (version, name, applied_at) VALUES ($1, $2, $3)",
            [migration.version.into(), migration.name.into(), now.into()],
        );
        tx.execute_raw(row).await.map_err(database_error)?;
        tracing::info!(
            version = migration.version,
            name = migration.name,
            "control tables migrated"
        );
        count += 1;
    }
    Ok(count)
}

async fn execute(tx: &DatabaseTransaction, sql: &str) -> Result<(), Error> {
    tx.execute_unprepared(sql)
        .await
        .map(drop)
        .map_err(database_error)
}

fn spell(backend: Backend, sql: &str) -> String {
    let (uuid, bytes, integer) = match backend {
        Backend::Sqlite => ("BLOB", "BLOB", "INTEGER"),
        Backend::Postgres => ("UUID", "BYTEA", "BIGINT"),
    };
    sql.replace("{uuid}", uuid)
        .replace("{bytes}", bytes)
        .replace("{integer}", integer)
}
