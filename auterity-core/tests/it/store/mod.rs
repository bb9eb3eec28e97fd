//! The stores pass the suite, and do what only each of them can do wrong.

mod faults;
mod postgres;
mod sqlite;

use std::sync::Arc;

use auterity_core::clock::{Entropy, SystemEntropy};
use auterity_core::definition::{ProgramHash, WorkflowRef};
use auterity_core::store::{
    Entry, EventRow, Fence, MemoryStore, Next, Outcome, SeaOptions, SeaStore, Start, Store,
};
use auterity_core::testing::store_suite::CASES;
use auterity_core::{Actor, ExecutionId, Scope, TenantId, WorkerId};
use jiff::{SignedDuration, Timestamp};
use sqlx::ConnectOptions as _;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use uuid::Uuid;

const POSTGRES_VARIABLE: &str = "AUTERITY_TEST_POSTGRES_URL";

/// A store in a place of its own.
pub(crate) struct Place {
    url: String,
    options: SeaOptions,
    /// Goes with the test.
    _folder: Option<tempfile::TempDir>,
}

impl Place {
    pub(crate) fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            url: format!("sqlite://{}", folder.path().join("test.db").display()),
            options: SeaOptions::default(),
            _folder: Some(folder),
        }
    }

    /// A schema of its own, if there is a server.
    pub(crate) fn postgres(test: &str) -> Option<Self> {
        let Ok(url) = std::env::var(POSTGRES_VARIABLE) else {
            println!("SKIPPED: {test} on PostgreSQL, because {POSTGRES_VARIABLE} is not set");
            return None;
        };
        let mut random = [0_u8; 8];
        SystemEntropy.fill(&mut random);
        let schema = format!("test_{:016x}", u64::from_le_bytes(random));
        // The name under which the server lists this test's connections.
        let mark = if url.contains('?') { '&' } else { '?' };
        Some(Self {
            url: format!("{url}{mark}application_name={schema}"),
            options: SeaOptions {
                schema,
                ..SeaOptions::default()
            },
            _folder: None,
        })
    }

    pub(crate) async fn open(&self) -> Arc<SeaStore> {
        let store = SeaStore::open(&self.url, self.options.clone());
        let store = store.await.unwrap();
        store.migrate().await.unwrap();
        store.migrate().await.expect("migrating again is harmless");
        Arc::new(store)
    }

    /// A connection to PostgreSQL beside the store's.
    async fn beside(&self) -> PgConnection {
        let options: PgConnectOptions = self.url.parse().unwrap();
        let options = options
            .application_name("beside")
            .options([("search_path", self.options.schema.as_str())]);
        options.connect().await.unwrap()
    }

    pub(crate) async fn drop_schema(&self) {
        let text = format!("DROP SCHEMA \"{}\" CASCADE", self.options.schema);
        execute(&mut self.beside().await, &text).await;
    }
}

async fn execute(connection: &mut PgConnection, text: &str) {
    let query = sqlx::raw_sql(sqlx::AssertSqlSafe(text.to_owned()));
    query.execute(connection).await.unwrap();
}

fn now() -> Timestamp {
    Timestamp::from_second(1_900_000_000).unwrap()
}

fn tenant() -> TenantId {
    TenantId::from_uuid(Uuid::from_u128(7))
}

fn execution(number: u128) -> ExecutionId {
    ExecutionId::from_uuid(Uuid::from_u128(number))
}

async fn register(store: &dyn Store, name: &str, life: u128, lease: SignedDuration) -> Fence {
    let id = WorkerId::from_uuid(Uuid::from_u128(life));
    store.worker_register(name, id, now(), lease).await.unwrap()
}

async fn worker(store: &dyn Store) -> Fence {
    register(store, "worker", 1, SignedDuration::from_hours(1)).await
}

fn entry(number: u128, sequence: u64, next: Next) -> Entry {
    Entry {
        tenant: tenant(),
        execution: execution(number),
        start: (sequence == 1).then(|| {
            Box::new(Start {
                workflow: WorkflowRef {
                    namespace: "test".to_owned(),
                    name: "order".to_owned(),
                    version: "1.0.0".to_owned(),
                },
                program: ProgramHash::of("order"),
                input: "{}".into(),
                parent: None,
                idempotency_key: None,
                attributes: [("half".to_owned(), (number % 2).to_string())].into(),
                priority: 0,
                gates: Vec::new(),
                at: now(),
            })
        }),
        events: vec![EventRow {
            sequence,
            at: now(),
            kind: "effect.completed",
            payload: "{}".into(),
            records: "[]".into(),
        }],
        snapshot: None,
        subscribe: Vec::new(),
        unsubscribe: Vec::new(),
        human_tasks: Vec::new(),
        consumed: Vec::new(),
        messages: Vec::new(),
        next,
    }
}

fn parked() -> Next {
    Next::Parked {
        due: None,
        waiting_for: None,
    }
}

async fn record(store: &dyn Store, fence: &Fence, entries: &[Entry]) {
    let outcomes = store.journal_append(Some(fence), entries).await.unwrap();
    assert_eq!(vec![Outcome::Recorded; entries.len()], outcomes);
}

async fn journal_length(store: &dyn Store, number: u128) -> usize {
    let scope = Scope::new(tenant(), Actor::Host);
    let rows = store.journal_list(&scope, execution(number), 0, 1_000);
    rows.await.unwrap().len()
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
        let place = Place::sqlite();
        let store = place.open().await;
        case(Arc::<SeaStore>::clone(&store)).await;
        store.close().await;
    }
}

#[tokio::test]
async fn postgres_passes_the_suite() {
    for (name, case) in CASES {
        let Some(place) = Place::postgres("the suite") else {
            return;
        };
        println!("PostgreSQL: {name}");
        let store = place.open().await;
        case(Arc::<SeaStore>::clone(&store)).await;
        store.close().await;
        place.drop_schema().await;
    }
}
