//! kill -9 at random moments: nothing is lost, nothing is recorded twice.
//!
//! `AUTERITY_CRASH_KILLS` sets how often the one server is killed;
//! `AUTERITY_CLUSTER_EXECUTIONS` sets how many executions the workers of the cluster
//! share while they are killed and frozen and lose their connections, and
//! `AUTERITY_CLUSTER_KILL_BACKENDS=1` kills PostgreSQL's processes too, which restarts
//! the whole database.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::Value;

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

fn setting(name: &str) -> Option<usize> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// A repeatable sequence of delays, different for every kill.
fn delay(seed: u64, turn: usize) -> Duration {
    let mut mixed = seed ^ (turn as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed ^= mixed >> 27;
    Duration::from_millis(20 + mixed % 400)
}

/// Starts what is not known to be started; stops at the first sign of a dead server.
async fn start_some(server: &Server, user: &User, open: &mut Vec<usize>, most: usize) {
    for _ in 0..most {
        let Some(number) = open.last().copied() else {
            return;
        };
        let key = format!("key-{number}");
        let path = "/workflows/test/five/executions";
        let body = (Some("{\"input\":{}}"), Some(key.as_str()));
        match user.call(server, Method::POST, path, body).await {
            Ok((202 | 200, _)) => drop(open.pop()),
            // The database is away: the outcome is unknown, the key finds it out.
            Ok((503, _)) => return,
            Ok((status, answer)) => panic!("{status}: {answer}"),
            Err(_) => return,
        }
    }
}

async fn survives(database: Option<&str>) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = Server::start(folder.path(), database);
    let user = User::sign_up(&server).await;
    user.deploy(&server, DEFINITION).await;
    let kills = setting("AUTERITY_CRASH_KILLS").unwrap_or(KILLS);
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
    verify(&server, &user, EXECUTIONS).await;
}

async fn verify(server: &Server, user: &User, executions: usize) {
    let ids = all_ids(server, user).await;
    assert_eq!(ids.len(), executions, "none lost, none started twice");
    for id in &ids {
        let ended = wait_for_end(server, user, id).await;
        assert_eq!(ended["status"], "completed", "{ended}");
        assert_eq!(ended["output"]["n"], 5, "{ended}");
        let history = user
            .get(server, &format!("/executions/{id}/events?limit=200"))
            .await;
        let mut completed: BTreeMap<String, u32> = BTreeMap::new();
        for (place, event) in history["items"]
            .as_array()
            .expect("a list")
            .iter()
            .enumerate()
        {
            assert_eq!(event["sequence"], place + 1, "no gap in {history}");
            for task in event["tasks"].as_array().expect("a list") {
                if task["state"] == "completed" {
                    let path = task["path"].as_str().expect("a path").to_owned();
                    *completed.entry(path).or_default() += 1;
                }
            }
        }
        assert_eq!(completed.len(), 5, "{history}");
        assert!(
            completed.values().all(|times| *times == 1),
            "recorded twice: {history}"
        );
    }
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
    let database = Database::create(&url, "crash").await;
    survives(Some(&database.url)).await;
    database.drop(&url).await;
}

const WORKERS: usize = 4;
const CLUSTER_EXECUTIONS: usize = 300;
/// What a lease lasts, and how long its end may take to be seen.
const LEASE: Duration = Duration::from_secs(5);
const TAKE_OVER_WITHIN: Duration = Duration::from_secs(15);

/// One server that answers and the workers behind it.
struct Cluster {
    folder: tempfile::TempDir,
    database: String,
    front: Server,
    workers: Vec<Server>,
    /// Until when each worker stands still.
    frozen: Vec<Option<Instant>>,
    turn: usize,
    seed: u64,
}

impl Cluster {
    fn start(database: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let front = Server::start_as("api", &folder.path().join("front"), Some(database));
        let mut cluster = Self {
            folder,
            database: database.to_owned(),
            front,
            workers: Vec::new(),
            frozen: vec![None; WORKERS],
            turn: 0,
            seed: u64::from(std::process::id()),
        };
        cluster.workers = (0..WORKERS).map(|one| cluster.worker(one)).collect();
        cluster
    }

    fn worker(&self, number: usize) -> Server {
        let data = self.folder.path().join(format!("worker-{number}"));
        Server::start_as("worker", &data, Some(&self.database))
    }

    fn choose(&mut self, below: usize) -> usize {
        self.turn += 1;
        let millis = delay(self.seed, self.turn).as_nanos();
        usize::try_from(millis / 1_000_000).expect("small") % below
    }

    /// Does one bad thing to the workers or to the database.
    async fn disturb(&mut self) {
        let number = self.choose(WORKERS);
        match self.choose(4) {
            0 | 1 => {
                let next = self.replace(number);
                drop(std::mem::replace(&mut self.workers[number], next));
            }
            2 if self.frozen[number].is_none() => {
                self.workers[number].signal("STOP");
                // Some longer than the lease: they come back as zombies.
                let longest = delay(self.seed, self.turn) * 20;
                self.frozen[number] = Some(Instant::now() + longest);
            }
            _ => self.break_connections().await,
        }
    }

    /// Kills a worker and starts it again.
    fn replace(&mut self, number: usize) -> Server {
        self.workers[number].signal("KILL");
        self.frozen[number] = None;
        // Its folder is free only once it is gone.
        self.workers[number].wait();
        self.worker(number)
    }

    fn thaw(&mut self, all: bool) {
        for (worker, until) in self.workers.iter().zip(&mut self.frozen) {
            if until.is_some_and(|until| all || until <= Instant::now()) {
                worker.signal("CONT");
                *until = None;
            }
        }
    }

    /// Ends two of the database's processes that serve this test.
    async fn break_connections(&mut self) {
        let kills = setting("AUTERITY_CLUSTER_KILL_BACKENDS").is_some();
        let chosen = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() \
                      AND pid <> pg_backend_pid() ORDER BY random() LIMIT 2";
        if kills && self.choose(4) == 0 {
            for pid in backends(&self.database, chosen).await {
                drop(
                    std::process::Command::new("kill")
                        .args(["-9", &pid.to_string()])
                        .status(),
                );
            }
        } else {
            let ended = format!("SELECT pg_terminate_backend(pid) FROM ({chosen}) chosen");
            execute(&self.database, &ended).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn executions_survive_a_cluster_that_loses_its_parts() {
    let Ok(url) = std::env::var("AUTERITY_TEST_POSTGRES_URL") else {
        println!("SKIPPED: AUTERITY_TEST_POSTGRES_URL is not set");
        return;
    };
    let database = Database::create(&url, "cluster").await;
    let mut cluster = Cluster::start(&database.url);
    println!("seed {}", cluster.seed);
    let mut user = User::sign_up(&cluster.front).await;
    user.deploy(&cluster.front, DEFINITION).await;
    let executions = setting("AUTERITY_CLUSTER_EXECUTIONS").unwrap_or(CLUSTER_EXECUTIONS);
    let mut open: Vec<usize> = (0..executions).collect();
    let each = (executions / 20).clamp(1, 100);
    while !open.is_empty() {
        start_some(&cluster.front, &user, &mut open, each).await;
        cluster.disturb().await;
        tokio::time::sleep(delay(cluster.seed, cluster.turn)).await;
        cluster.thaw(false);
        user.renew(&cluster.front).await;
    }
    cluster.thaw(true);
    verify(&cluster.front, &user, executions).await;
    let taken_over = take_over(&mut cluster, &user, executions).await;
    println!("{executions} executions; all of a killed worker's had ended after {taken_over:?}");
    assert!(taken_over < LEASE + TAKE_OVER_WITHIN, "{taken_over:?}");
    drop(cluster);
    database.drop(&url).await;
}

/// Kills a worker for good and measures until others have ended all that was open.
async fn take_over(cluster: &mut Cluster, user: &User, before: usize) -> Duration {
    let mut open: Vec<usize> = (before..before + 60).collect();
    while !open.is_empty() {
        start_some(&cluster.front, user, &mut open, 60).await;
    }
    cluster.workers[0].signal("KILL");
    cluster.workers[0].wait();
    let begun = Instant::now();
    for status in ["pending", "running", "waiting"] {
        loop {
            let path = format!("/executions?limit=1&status={status}");
            let page = user.get(&cluster.front, &path).await;
            if page["items"].as_array().is_some_and(Vec::is_empty) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    begun.elapsed()
}

/// A database of the test's own.
struct Database {
    name: String,
    url: String,
}

impl Database {
    async fn create(url: &str, of: &str) -> Self {
        let name = format!("auterity_{of}_{}", std::process::id());
        execute(url, &format!("CREATE DATABASE {name}")).await;
        let (base, query) = url
            .split_once('?')
            .map_or((url, ""), |(base, query)| (base, query));
        let (server, _) = base.rsplit_once('/').expect("a database in the URL");
        let query = if query.is_empty() {
            String::new()
        } else {
            format!("?{query}")
        };
        let url = format!("{server}/{name}{query}");
        Self { name, url }
    }

    async fn drop(self, url: &str) {
        execute(url, &format!("DROP DATABASE {} WITH (FORCE)", self.name)).await;
    }
}

async fn backends(url: &str, text: &'static str) -> Vec<i32> {
    let mut connection = connect(url).await;
    let rows = sqlx::query_scalar(text).fetch_all(&mut connection);
    rows.await.expect("executed")
}

/// Connects, also while the database restarts.
async fn connect(url: &str) -> sqlx::PgConnection {
    use sqlx::Connection;
    let mut tries = 0;
    loop {
        match sqlx::PgConnection::connect(url).await {
            Ok(connection) => return connection,
            Err(error) => {
                tries += 1;
                assert!(tries < 100, "PostgreSQL answers: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn execute(url: &str, text: &str) {
    use sqlx::Executor;
    let mut connection = connect(url).await;
    connection
        .execute(sqlx::AssertSqlSafe(text.to_owned()))
        .await
        .expect("executed");
}
