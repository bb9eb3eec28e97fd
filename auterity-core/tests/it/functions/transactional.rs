//! Transactional functions: their writes and the journal commit as one.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use auterity_core::engine::Ports;
use auterity_core::functions::{
    Durability, Echo, Functions, Invocation, Registration, TransactionalFunction,
};
use auterity_core::interpreter::{Problem, ProblemKind};
use auterity_core::store::{Status, Transaction};
use jiff::SignedDuration;
use schemars::JsonSchema;
use sea_orm::{ConnectOptions, ConnectionTrait, Database, Statement};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Barrier;

use super::engine_with;
use super::place::Place;
use crate::engine::{Fixture, error, options, output};

/// Executes the statements that it is given, one after the other.
#[derive(Debug, Default)]
struct Executes {
    keys: Arc<Mutex<Vec<String>>>,
    /// Where the first two calls meet after their first statement.
    meeting: Option<Arc<Barrier>>,
    /// Whether errors are ignored.
    careless: bool,
    fails: bool,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct Statements {
    texts: Vec<String>,
}

#[async_trait]
impl TransactionalFunction for Executes {
    type Input = Statements;
    type Output = u64;

    async fn call(
        &self,
        Statements { texts }: Statements,
        invocation: Invocation,
        transaction: &Transaction,
    ) -> Result<u64, Problem> {
        let again = {
            let mut keys = self.keys.lock().expect("no panic");
            keys.push(invocation.key.clone());
            keys.len() > 2
        };
        let mut changed = 0;
        for (place, text) in texts.into_iter().enumerate() {
            let backend = transaction.get_database_backend();
            let executed = transaction
                .execute_raw(Statement::from_string(backend, text))
                .await;
            match executed {
                Ok(executed) => changed += executed.rows_affected(),
                Err(_) if self.careless => {}
                Err(error) => return Err(Problem::failed(error)),
            }
            if let (Some(meeting), 0, false) = (&self.meeting, place, again) {
                meeting.wait().await;
            }
        }
        if self.fails {
            return Err(Problem::new(ProblemKind::Communication, "no"));
        }
        Ok(changed)
    }
}

async fn engine(place: &Place, function: Executes) -> Fixture {
    let registration =
        Registration::transactional("sql", function).timeout(SignedDuration::from_secs(20));
    let ahead = Registration::new("ahead", Echo).durability(Durability::Pipelined);
    let ports = Ports {
        functions: Functions::built_in().register(registration).register(ahead),
        ..Ports::new(place.open().await)
    };
    let table = place.table("counter");
    place
        .execute(&format!(
            "CREATE TABLE {table} (id INTEGER PRIMARY KEY, n INTEGER NOT NULL);
             INSERT INTO {table} VALUES (1, 0), (2, 0)"
        ))
        .await;
    Fixture::with(ports, options()).await
}

fn add(place: &Place, id: u32) -> String {
    format!(
        "UPDATE {} SET n = n + 1 WHERE id = {id}",
        place.table("counter")
    )
}

async fn count(place: &Place, id: u32) -> i64 {
    let table = place.table("counter");
    place
        .number(&format!(
            "SELECT CAST(n AS bigint) FROM {table} WHERE id = {id}"
        ))
        .await
}

/// A workflow that executes the statements of its input.
const SQL: &str = "do:\n- sql: { call: sql, with: { texts: '${ .texts }' } }\n";

#[tokio::test]
async fn writes_commit_with_the_journal_in_every_iteration_and_branch() {
    for place in Place::all("transactional functions") {
        let keys = Arc::default();
        let function = Executes {
            keys: Arc::clone(&keys),
            ..Executes::default()
        };
        let fixture = engine(&place, function).await;
        let rest = "do:
- loop:
    for: { each: item, in: '${ [range(5)] }' }
    do:
    - ahead: { call: ahead, with: { x: 1 } }
    - further: { call: ahead, with: { x: 2 } }
    - add: { call: sql, with: { texts: '${ $workflow.input.texts }' } }
- both:
    fork:
      branches:
      - a: { call: sql, with: { texts: '${ $workflow.input.texts }' } }
      - b: { call: sql, with: { texts: '${ $workflow.input.texts }' } }
      - c: { call: ahead, with: { x: 1 } }
";
        let row = fixture
            .complete(rest, json!({"texts": [add(&place, 1)]}))
            .await;
        assert_eq!(row.status, Status::Completed, "{row:?}");
        assert_eq!(count(&place, 1).await, 7);
        let mut keys = keys.lock().expect("no panic").clone();
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), 7, "each call has a key of its own");
        drop(fixture);
        place.drop().await;
    }
}

#[tokio::test]
async fn problem_takes_the_writes_back_and_is_recorded() {
    for place in Place::all("a failing transactional function") {
        let function = Executes {
            fails: true,
            ..Executes::default()
        };
        let fixture = engine(&place, function).await;
        let row = fixture
            .complete(SQL, json!({"texts": [add(&place, 1)]}))
            .await;
        assert_eq!(error(&row)["detail"], "no");
        assert_eq!(error(&row)["instance"], "/do/0/sql");
        assert_eq!(count(&place, 1).await, 0);
        drop(fixture);
        place.drop().await;
    }
}

#[tokio::test]
async fn success_in_a_failed_transaction_is_an_error() {
    for place in Place::all("a swallowed error of the database") {
        let function = Executes {
            careless: true,
            ..Executes::default()
        };
        let fixture = engine(&place, function).await;
        let doubled = format!("INSERT INTO {} VALUES (1, 1)", place.table("counter"));
        for bad in [&*doubled, "COMMIT", "BEGIN", "SELECT 1; ROLLBACK"] {
            let row = fixture
                .complete(SQL, json!({"texts": [add(&place, 1), bad]}))
                .await;
            let detail = error(&row)["detail"].to_string();
            assert!(detail.contains("taken back"), "{bad}: {detail}");
            assert_eq!(count(&place, 1).await, 0, "{bad}");
        }
        drop(fixture);
        place.drop().await;
    }
}

#[tokio::test]
async fn commit_that_fails_after_the_body_takes_everything_back() {
    for place in Place::all("a commit that fails") {
        let fixture = engine(&place, Executes::default()).await;
        let (child, counter) = (place.table("child"), place.table("counter"));
        place
            .execute(&format!(
                "CREATE TABLE {child} (parent INTEGER NOT NULL
                    REFERENCES {counter} (id) DEFERRABLE INITIALLY DEFERRED)"
            ))
            .await;
        let orphan = format!("INSERT INTO {child} VALUES (77)");
        let row = fixture
            .complete(SQL, json!({"texts": [add(&place, 1), orphan]}))
            .await;
        assert_eq!(row.status, Status::Faulted, "{row:?}");
        let detail = error(&row)["detail"].to_string();
        assert!(detail.contains("taken back"), "{detail}");
        assert_eq!(count(&place, 1).await, 0);
        let row = fixture
            .complete(SQL, json!({"texts": [add(&place, 1)]}))
            .await;
        assert_eq!(output(&row), json!(1), "the next one is not harmed");
        drop(fixture);
        place.drop().await;
    }
}

#[tokio::test]
async fn deadlock_is_repeated_with_the_same_key() {
    for place in Place::all("a deadlock") {
        if !place.is_postgres() {
            // SQLite has one writer, so there is nothing to wait for in a circle.
            continue;
        }
        let keys = Arc::default();
        let function = Executes {
            keys: Arc::clone(&keys),
            meeting: Some(Arc::new(Barrier::new(2))),
            ..Executes::default()
        };
        let fixture = engine(&place, function).await;
        fixture.deploy("subject", SQL).await;
        let (one, two) = (add(&place, 1), add(&place, 2));
        let first = fixture.start("subject", json!({"texts": [one, two]})).await;
        let second = fixture.start("subject", json!({"texts": [two, one]})).await;
        for id in [first, second] {
            assert_eq!(fixture.end(id).await.status, Status::Completed);
        }
        assert_eq!((count(&place, 1).await, count(&place, 2).await), (2, 2));
        let keys = keys.lock().expect("no panic").clone();
        assert_eq!(keys.len(), 3, "one was repeated");
        assert!(keys[..2].contains(&keys[2]), "with its key: {keys:?}");
        drop(fixture);
        place.drop().await;
    }
}

#[tokio::test]
async fn lock_that_another_process_keeps_is_waited_for_again_and_again() {
    for place in Place::all("a lock that is kept") {
        if !place.is_postgres() {
            // A writer of SQLite that keeps the file keeps everybody out, not a row.
            continue;
        }
        let keys: Arc<Mutex<Vec<String>>> = Arc::default();
        let function = Executes {
            keys: Arc::clone(&keys),
            ..Executes::default()
        };
        let fixture = engine(&place, function).await;
        fixture.deploy("subject", SQL).await;
        // As a process does that is frozen in its transaction.
        let mut frozen = ConnectOptions::new(place.url.clone());
        let frozen = Database::connect(frozen.max_connections(1).to_owned()).await;
        let frozen = frozen.expect("it connects");
        for text in ["BEGIN".to_owned(), add(&place, 1)] {
            frozen.execute_unprepared(&text).await.expect("it executes");
        }
        let texts = json!({"texts": [add(&place, 1)]});
        let id = fixture.start("subject", texts).await;
        while keys.lock().expect("no panic").len() < 3 {
            tokio::task::yield_now().await;
        }
        frozen
            .execute_unprepared("COMMIT")
            .await
            .expect("it executes");
        assert_eq!(fixture.end(id).await.status, Status::Completed);
        assert_eq!(count(&place, 1).await, 2);
        let keys = keys.lock().expect("no panic").clone();
        assert!(keys.iter().all(|key| *key == keys[0]), "one key: {keys:?}");
        drop((fixture, frozen));
        place.drop().await;
    }
}

/// Ends its own connection, but only the first time.
fn lose_once(place: &Place) -> String {
    let sequence = place.table("losses");
    format!("CASE WHEN nextval('{sequence}') = 1 THEN pg_terminate_backend(pg_backend_pid()) END")
}

#[tokio::test]
async fn connection_lost_in_the_body_or_in_the_commit_is_repeated_with_the_same_key() {
    for place in Place::all("lost connections") {
        if !place.is_postgres() {
            continue;
        }
        let keys = Arc::default();
        let function = Executes {
            keys: Arc::clone(&keys),
            ..Executes::default()
        };
        let fixture = engine(&place, function).await;
        place
            .execute(&format!("CREATE SEQUENCE {}", place.table("losses")))
            .await;
        let lose = format!("SELECT {}", lose_once(&place));
        let texts = json!({"texts": [add(&place, 1), lose]});
        assert_eq!(output(&fixture.complete(SQL, texts).await), json!(2));
        assert_eq!(count(&place, 1).await, 1);

        let (counter, check) = (place.table("counter"), place.table("lose"));
        place
            .execute(&format!(
                "ALTER SEQUENCE {} RESTART;
                 CREATE FUNCTION {check}() RETURNS trigger LANGUAGE plpgsql AS
                    $$ BEGIN PERFORM {}; RETURN NULL; END $$;
                 CREATE CONSTRAINT TRIGGER lose AFTER UPDATE ON {counter}
                    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION {check}()",
                place.table("losses"),
                lose_once(&place),
            ))
            .await;
        let texts = json!({"texts": [add(&place, 1)]});
        assert_eq!(output(&fixture.complete(SQL, texts).await), json!(1));
        assert_eq!(count(&place, 1).await, 2);
        let keys = keys.lock().expect("no panic").clone();
        assert_eq!(keys.len(), 4, "each was repeated once: {keys:?}");
        assert_eq!((&keys[0], &keys[2]), (&keys[1], &keys[3]));
        drop(fixture);
        place.drop().await;
    }
}

#[tokio::test]
async fn transaction_that_takes_too_long_is_taken_back() {
    for place in Place::all("a slow transaction") {
        let function = Executes {
            meeting: Some(Arc::new(Barrier::new(2))),
            ..Executes::default()
        };
        let registration =
            Registration::transactional("slow", function).timeout(SignedDuration::from_millis(50));
        let fixture = engine(&place, Executes::default()).await;
        drop(fixture);
        let ports = Ports {
            functions: Functions::built_in().register(registration),
            ..Ports::new(place.open().await)
        };
        let fixture = Fixture::with(ports, options()).await;
        let rest = SQL.replace("call: sql", "call: slow");
        let row = fixture
            .complete(&rest, json!({"texts": [add(&place, 1)]}))
            .await;
        assert_eq!(error(&row)["status"], 408, "{row:?}");
        assert_eq!(count(&place, 1).await, 0);
        if !place.is_postgres() {
            let endless = "WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c)
                SELECT count(*) FROM c";
            let row = fixture.complete(&rest, json!({"texts": [endless]})).await;
            assert_eq!(error(&row)["status"], 408, "a statement is cut as well");
        }
        let echo = "do:\n- again: { call: echo, with: { x: 1 } }\n";
        fixture.deploy("other", echo).await;
        let other = fixture.start("other", json!({})).await;
        assert_eq!(
            fixture.end(other).await.status,
            Status::Completed,
            "others go on"
        );
        drop(fixture);
        place.drop().await;
    }
}

#[tokio::test]
async fn store_keeps_values_and_compares_them() {
    let work = "do:
- put: { call: store, with: { action: put, key: orders/1, value: { n: 1 } } }
- two: { call: store, with: { action: put, key: orders/2, value: [2] } }
- other: { call: store, with: { action: put, key: other, value: x } }
- lost: { call: store, with: { action: compare_and_set, key: orders/1, expected: { n: 7 }, value: 8 }, export: { as: '$context + { lost: .}' } }
- won: { call: store, with: { action: compare_and_set, key: orders/1, expected: { n: 1 }, value: { n: 2 } }, export: { as: '$context + { won: .}' } }
- new: { call: store, with: { action: compare_and_set, key: orders/3, value: 3 }, export: { as: '$context + { new: .}' } }
- gone: { call: store, with: { action: delete, key: orders/2 }, export: { as: '$context + { gone: .}' } }
- add: { call: store, with: { action: add, key: total, by: 2 } }
- total: { call: store, with: { action: add, key: total, by: 3 }, export: { as: '$context + { total: .}' } }
- read: { call: store, with: { action: get, key: orders/1 }, export: { as: '$context + { read: .}' } }
- none: { call: store, with: { action: get, key: nothing }, export: { as: '$context + { none: .}' } }
- list: { call: store, with: { action: list, prefix: orders/, limit: 1 }, export: { as: '$context + { list: .}' } }
- rest: { call: store, with: { action: list, prefix: orders/, after: orders/1 }, export: { as: '$context + { rest: .}' } }
- all: { set: '${ $context }' }
";
    let expected: Value = json!({
        "lost": {"changed": false, "value": {"n": 1}},
        "won": {"changed": true},
        "new": {"changed": true},
        "gone": {"changed": true},
        "total": {"changed": true, "value": 5},
        "read": {"found": true, "value": {"n": 2}},
        "none": {"found": false, "value": null},
        "list": {"items": [{"key": "orders/1", "value": {"n": 2}}], "more": true},
        "rest": {"items": [{"key": "orders/3", "value": 3}], "more": false},
    });
    let memory = engine_with(Functions::built_in()).await;
    let row = memory.complete(work, json!({})).await;
    assert_eq!(output(&row), expected);
    for place in Place::all("the store") {
        let fixture = Fixture::with(Ports::new(place.open().await), options()).await;
        let row = fixture.complete(work, json!({})).await;
        assert_eq!(output(&row), expected);
        drop(fixture);
        place.drop().await;
    }
}

#[tokio::test]
async fn store_refuses_what_is_too_large_or_misshapen() {
    let fixture = engine_with(Functions::built_in()).await;
    let refused = [
        json!({"action": "put", "key": "", "value": 1}),
        json!({"action": "put", "key": "k".repeat(600), "value": 1}),
        json!({"action": "put", "key": "k", "value": "v".repeat(300_000)}),
        json!({"action": "list", "limit": 5_000}),
        json!({"action": "fetch", "key": "k"}),
        json!({"key": "k"}),
    ];
    for (place, with) in refused.into_iter().enumerate() {
        let rest = format!("do:\n- s: {{ call: store, with: {with} }}\n");
        let name = format!("refused-{place}");
        fixture.deploy(&name, &rest).await;
        let id = fixture.start(&name, json!({})).await;
        let row = fixture.end(id).await;
        assert_eq!(error(&row)["status"], 400, "{with}");
    }
}
