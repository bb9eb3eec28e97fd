//! kill -9 at random moments: a transactional function that counts ends exact.
//!
//! `AUTERITY_COUNTER_KILLS` sets how often its process is killed: 1000 is the long form.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use async_trait::async_trait;
use auterity_core::clock::{Entropy, SeededEntropy};
use auterity_core::engine::{Engine, Handle, Ports, StartRequest};
use auterity_core::functions::{Functions, Invocation, Registration, TransactionalFunction};
use auterity_core::interpreter::Problem;
use auterity_core::store::{SeaOptions, SeaStore, Store, Transaction};
use sea_orm::ConnectionTrait;
use serde_json::json;

use super::place::Place;
use crate::engine::{definition, options, scope};

const KILLS: u64 = 12;
const KILLS_VARIABLE: &str = "AUTERITY_COUNTER_KILLS";
/// Executions that begin in each life of the process, and how often each counts.
const STARTS: u64 = 3;
const COUNTS: u64 = 5;

/// Names the database to the process that is killed.
const CHILD_VARIABLE: &str = "AUTERITY_COUNTER_CHILD";

const LOOP: &str = "do:
- loop:
    for: { each: item, in: '${ [range(5)] }' }
    do:
    - count: { call: count }
";

#[derive(Debug)]
struct Counts {
    table: String,
}

#[async_trait]
impl TransactionalFunction for Counts {
    type Input = serde_json::Map<String, serde_json::Value>;
    type Output = ();

    async fn call(
        &self,
        _: Self::Input,
        _: Invocation,
        transaction: &Transaction,
    ) -> Result<(), Problem> {
        let text = format!("UPDATE {} SET n = n + 1", self.table);
        let counted = transaction.execute_unprepared(&text).await;
        counted.map(drop).map_err(Problem::failed)
    }
}

async fn engine(url: &str, schema: &str, table: String) -> Engine {
    let store = SeaStore::open(
        url,
        SeaOptions {
            schema: schema.to_owned(),
            ..SeaOptions::default()
        },
    );
    let store = std::sync::Arc::new(store.await.expect("it opens"));
    store.migrate().await.expect("the schema is made");
    let counts = Registration::transactional("count", Counts { table });
    let ports = Ports {
        functions: Functions::built_in().register(counts),
        ..Ports::new(store)
    };
    Engine::start(options(), ports).await.expect("it starts")
}

async fn start_round(handle: &Handle, round: u64) -> Vec<auterity_core::ExecutionId> {
    let mut ids = Vec::new();
    for number in 0..STARTS {
        let request = StartRequest {
            idempotency_key: Some(format!("{round}-{number}")),
            input: json!({}),
            ..StartRequest::of("test", "count")
        };
        let started = handle.start(&scope(1), request).await.expect("it starts");
        ids.push(started.id);
    }
    ids
}

/// The process that is killed: this test, started by the one below.
#[tokio::test]
async fn life_that_is_cut_short() {
    let Ok(place) = std::env::var(CHILD_VARIABLE) else {
        return;
    };
    let [url, schema, table, round] = place
        .split('\n')
        .collect::<Vec<_>>()
        .try_into()
        .expect("four parts");
    let engine = engine(url, schema, table.to_owned()).await;
    println!("at work");
    start_round(&engine.handle(), round.parse().expect("a number")).await;
    std::future::pending::<()>().await;
}

fn spawn(place: &Place, round: u64) -> Child {
    let parts = [
        place.url.clone(),
        place.schema.clone(),
        place.table("counter"),
        round.to_string(),
    ];
    let this = std::env::current_exe().expect("a path");
    Command::new(this)
        .args([
            "--exact",
            "functions::killed::life_that_is_cut_short",
            "--nocapture",
        ])
        .env(CHILD_VARIABLE, parts.join("\n"))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts")
}

/// Waits until the child's engine is at work, so that kills do not only hit its start.
fn until_at_work(child: &mut Child) {
    let output = child.stdout.take().expect("it is piped");
    let mut lines = BufReader::new(output).lines();
    let begun = lines.any(|line| line.is_ok_and(|line| line.contains("at work")));
    assert!(begun, "the child came to work");
}

#[tokio::test]
async fn counter_ends_exact_however_often_its_process_is_killed() {
    let kills = std::env::var(KILLS_VARIABLE).ok();
    let kills: u64 = kills.and_then(|text| text.parse().ok()).unwrap_or(KILLS);
    let seed = u64::from(std::process::id());
    println!("{kills} kills, seed {seed}");
    let entropy = SeededEntropy::new(seed);
    for place in Place::all("kills of a transactional function") {
        let first = engine(&place.url, &place.schema, place.table("counter")).await;
        let table = place.table("counter");
        let make =
            format!("CREATE TABLE {table} (n INTEGER NOT NULL); INSERT INTO {table} VALUES (0)");
        place.execute(&make).await;
        let text = definition("count", LOOP);
        first
            .handle()
            .deploy(&scope(1), &text)
            .await
            .expect("deployed");
        drop(first);
        for round in 0..kills {
            let mut child = spawn(&place, round);
            until_at_work(&mut child);
            let mut random = [0_u8; 1];
            entropy.fill(&mut random);
            tokio::time::sleep(Duration::from_millis(u64::from(random[0]) / 2)).await;
            child.kill().expect("it was alive");
            child.wait().expect("it is gone");
        }
        let last = engine(&place.url, &place.schema, place.table("counter")).await;
        let handle = last.handle();
        for round in 0..kills {
            for id in start_round(&handle, round).await {
                let row = handle.wait(&scope(1), id, Duration::from_mins(5)).await;
                let row = row.expect("it is there");
                assert_eq!(row.status.as_str(), "completed", "{row:?}");
            }
        }
        let text = format!("SELECT CAST(n AS bigint) FROM {table}");
        let counted = place.number(&text).await;
        let expected = i64::try_from(kills * STARTS * COUNTS).expect("small");
        assert_eq!(counted, expected, "seed {seed}");
        drop(last);
        place.drop().await;
    }
}
