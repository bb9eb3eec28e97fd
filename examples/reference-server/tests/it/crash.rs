//! kill -9 at random moments: nothing is lost, nothing is recorded twice.
//!
//! `AUTERITY_CRASH_KILLS` sets how often the server is killed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::Value;

use crate::database::Database;
use crate::server::{Server, User};

const EXECUTIONS: usize = 500;
const KILLS: usize = 50;

const DEFINITION: &str = "document:
  dsl: '1.0.3'
  namespace: test
  name: five
  version: '1.0.0'
do:
- a: { call: echo, with: { n: 1 } }
- b: { wait: { milliseconds: 120 } }
- c: { call: echo, with: { n: 3 } }
- d: { wait: { milliseconds: 80 } }
- e: { call: echo, with: { n: 5 } }
";

fn kills() -> usize {
    std::env::var("AUTERITY_CRASH_KILLS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(KILLS)
}

/// A repeatable sequence of delays, different for every kill.
pub(crate) fn delay(seed: u64, turn: usize) -> Duration {
    let mut mixed = seed ^ (turn as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed ^= mixed >> 27;
    Duration::from_millis(20 + mixed % 400)
}

/// Starts what is not known to be started; stops at the first sign of a dead server.
pub(crate) async fn start_some(server: &Server, user: &User, open: &mut Vec<usize>, most: usize) {
    for _ in 0..most {
        let Some(number) = open.last().copied() else {
            return;
        };
        let key = format!("key-{number}");
        let path = "/workflows/test/five/executions";
        let input = format!("{{\"input\":{{\"n\":{number}}}}}");
        let body = (Some(input.as_str()), Some(key.as_str()));
        match user.call(server, Method::POST, path, body).await {
            Ok((202 | 200, _)) => drop(open.pop()),
            // The database is away: the outcome is unknown, and the key finds it out.
            Ok((503, _)) => return,
            Ok((status, answer)) => panic!("{status}: {answer}"),
            Err(_) => return,
        }
    }
}

async fn survives(database: Option<&str>) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = Server::start(folder.path(), database);
    let mut user = User::sign_up(&server).await;
    user.deploy(&server, DEFINITION).await;
    let kills = kills();
    let seed = u64::from(std::process::id());
    println!("{kills} kills, seed {seed}");
    let mut open: Vec<usize> = (0..EXECUTIONS).collect();
    let each = EXECUTIONS.div_ceil(kills.max(1));
    let mut restarts = Vec::new();
    for turn in 0..kills {
        tokio::select! {
            () = start_some(&server, &user, &mut open, each) => {}
            () = tokio::time::sleep(delay(seed, turn)) => {}
        }
        tokio::time::sleep(delay(seed, turn + kills)).await;
        server.kill();
        let begun = Instant::now();
        server = Server::start(folder.path(), database);
        restarts.push(begun.elapsed());
    }
    while !open.is_empty() {
        start_some(&server, &user, &mut open, EXECUTIONS).await;
    }
    let slowest = restarts.iter().max().copied().unwrap_or_default();
    println!("slowest restart to ready: {} ms", slowest.as_millis());
    verify(&server, &mut user, EXECUTIONS).await;
}

/// Waits for the end of all executions and looks at what each of them recorded.
pub(crate) async fn verify(server: &Server, user: &mut User, executions: usize) {
    let ids = all_ids(server, user).await;
    assert_eq!(ids.len(), executions, "none lost, none started twice");
    for id in &ids {
        user.renew(server).await;
        let history = ended(server, user, id).await;
        let completed = completions(&history);
        assert_eq!(completed.len(), 5, "{history}");
        assert!(
            completed.values().all(|times| *times == 1),
            "recorded twice: {history}"
        );
    }
}

/// Waits for an execution's end and gives its history.
pub(crate) async fn ended(server: &Server, user: &User, id: &str) -> Value {
    let ended = wait_for_end(server, user, id).await;
    assert_eq!(ended["status"], "completed", "{ended}");
    user.get(server, &format!("/executions/{id}/events?limit=200"))
        .await
}

/// Counts how often each activation of a task completed.
pub(crate) fn completions(history: &Value) -> BTreeMap<String, u32> {
    let mut completed = BTreeMap::new();
    let events = history["items"].as_array().expect("a list");
    for (place, event) in events.iter().enumerate() {
        assert_eq!(event["sequence"], place + 1, "no gap in {history}");
        for task in event["tasks"].as_array().expect("a list") {
            if task["state"] == "completed" {
                let path = task["path"].as_str().expect("a path").to_owned();
                *completed.entry(path).or_default() += 1;
            }
        }
    }
    completed
}

async fn all_ids(server: &Server, user: &User) -> BTreeSet<String> {
    let mut ids = BTreeSet::new();
    let mut cursor = String::new();
    loop {
        let page = user
            .get(server, &format!("/executions?limit=100{cursor}"))
            .await;
        for item in page["items"].as_array().expect("a list") {
            ids.insert(item["id"].as_str().expect("an id").to_owned());
        }
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return ids,
        }
    }
}

async fn wait_for_end(server: &Server, user: &User, id: &str) -> Value {
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        let execution = user.get(server, &format!("/executions/{id}")).await;
        let over = ["completed", "faulted", "cancelled"].map(Value::from);
        if over.contains(&execution["status"]) {
            return execution;
        }
        assert!(Instant::now() < deadline, "never ended: {execution}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn executions_survive_kills_on_sqlite() {
    survives(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn executions_survive_kills_on_postgresql() {
    let Ok(url) = std::env::var("AUTERITY_TEST_POSTGRES_URL") else {
        println!("SKIPPED: AUTERITY_TEST_POSTGRES_URL is not set");
        return;
    };
    let database = Database::create("crash", &url).await;
    survives(Some(&database.url)).await;
    database.drop(&url).await;
}
