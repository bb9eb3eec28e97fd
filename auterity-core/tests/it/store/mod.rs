//! The stores pass the suite, and do what only each of them can do wrong.

mod postgres;
mod sqlite;

use std::sync::Arc;

use auterity_core::store::{MemoryStore, SeaOptions, SeaStore, Store};
use auterity_core::testing::store_suite::CASES;
use uuid::Uuid;

/// Opens an empty, migrated store.
async fn open(url: &str, options: SeaOptions) -> Arc<SeaStore> {
    let store = SeaStore::open(url, options).await.expect("it opens");
    store.migrate().await.expect("it migrates");
    store.migrate().await.expect("migrating again is harmless");
    Arc::new(store)
}

/// The PostgreSQL server for tests; says loudly when there is none.
fn postgres_url() -> Option<String> {
    let url = std::env::var("AUTERITY_TEST_POSTGRES_URL").ok();
    if url.is_none() {
        println!("SKIPPED: set AUTERITY_TEST_POSTGRES_URL to test on PostgreSQL");
    }
    url
}

/// Options with a schema that no other test has.
fn own_schema() -> SeaOptions {
    SeaOptions {
        schema: format!("test_{}", Uuid::new_v4().simple()),
        ..SeaOptions::default()
    }
}

/// A connection beside the store's.
async fn beside(url: &str, schema: &str) -> sqlx::PgConnection {
    use sqlx::ConnectOptions;
    let options: sqlx::postgres::PgConnectOptions = url.parse().expect("a URL");
    let options = options.options([("search_path", schema)]);
    options.connect().await.expect("it connects")
}

async fn drop_schema(url: &str, schema: &str) {
    let mut connection = beside(url, schema).await;
    let text = format!("DROP SCHEMA \"{schema}\" CASCADE");
    sqlx::raw_sql(sqlx::AssertSqlSafe(text))
        .execute(&mut connection)
        .await
        .expect("the schema goes");
}

#[tokio::test]
async fn memory_passes_the_suite() {
    for (name, case) in CASES {
        println!("memory: {name}");
        case(Arc::new(MemoryStore::new())).await;
    }
}

#[tokio::test]
async fn sqlite_passes_the_suite() {
    for (name, case) in CASES {
        println!("SQLite: {name}");
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite://{}", folder.path().join("test.db").display());
        let store = open(&url, SeaOptions::default()).await;
        case(store.clone()).await;
        store.close().await;
    }
}

#[tokio::test]
async fn postgres_passes_the_suite() {
    let Some(url) = postgres_url() else { return };
    for (name, case) in CASES {
        println!("PostgreSQL: {name}");
        let options = own_schema();
        let schema = options.schema.clone();
        let store = open(&url, options).await;
        case(store.clone()).await;
        store.close().await;
        drop_schema(&url, &schema).await;
    }
}
