//! Databases of a test's own, with a table of the host beside the engine's.

use std::sync::Arc;

use auterity_core::clock::{Entropy, SystemEntropy};
use auterity_core::store::{SeaOptions, SeaStore, Store};
use sea_orm::{ConnectionTrait, Database, Statement};

const POSTGRES_VARIABLE: &str = "AUTERITY_TEST_POSTGRES_URL";

/// A place for an engine's tables and a host's.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) url: String,
    pub(super) schema: String,
    folder: Option<Arc<tempfile::TempDir>>,
}

impl Place {
    /// SQLite, and PostgreSQL if there is a server.
    pub(super) fn all(test: &str) -> Vec<Self> {
        let mut random = [0_u8; 8];
        SystemEntropy.fill(&mut random);
        let schema = format!("test_{:016x}", u64::from_le_bytes(random));
        let folder = tempfile::tempdir().expect("a folder");
        let sqlite = Self {
            url: format!("sqlite://{}", folder.path().join("test.db").display()),
            schema: schema.clone(),
            folder: Some(Arc::new(folder)),
        };
        let mut all = vec![sqlite];
        match std::env::var(POSTGRES_VARIABLE) {
            Ok(url) => all.push(Self {
                url,
                schema,
                folder: None,
            }),
            Err(_) => {
                println!("SKIPPED: {test} on PostgreSQL, because {POSTGRES_VARIABLE} is not set");
            }
        }
        all
    }

    pub(super) fn is_postgres(&self) -> bool {
        self.folder.is_none()
    }

    pub(super) async fn open(&self) -> Arc<SeaStore> {
        let options = SeaOptions {
            schema: self.schema.clone(),
            ..SeaOptions::default()
        };
        let store = SeaStore::open(&self.url, options).await.expect("it opens");
        store.migrate().await.expect("the schema is made");
        Arc::new(store)
    }

    /// The name of a table of the host.
    pub(super) fn table(&self, name: &str) -> String {
        if self.is_postgres() {
            format!("\"{}\".{name}", self.schema)
        } else {
            name.to_owned()
        }
    }

    /// Executes statements as the host, beside the engine.
    pub(super) async fn execute(&self, text: &str) {
        let beside = Database::connect(&self.url).await.expect("it connects");
        beside.execute_unprepared(text).await.expect("it executes");
        beside.close().await.expect("it closes");
    }

    /// Reads one number as the host.
    pub(super) async fn number(&self, text: &str) -> i64 {
        let beside = Database::connect(&self.url).await.expect("it connects");
        let statement = Statement::from_string(beside.get_database_backend(), text);
        let row = beside.query_one_raw(statement).await.expect("it answers");
        let number = row.expect("a row").try_get_by_index(0).expect("a number");
        beside.close().await.expect("it closes");
        number
    }

    pub(super) async fn drop(self) {
        if self.is_postgres() {
            self.execute(&format!("DROP SCHEMA \"{}\" CASCADE", self.schema))
                .await;
        }
    }
}
