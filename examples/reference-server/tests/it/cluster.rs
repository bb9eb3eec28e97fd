//! Four workers on one PostgreSQL that are killed, frozen and cut off from it: nothing is
//! lost, nothing is recorded twice, and others take over within the lease.
//!
//! `AUTERITY_CLUSTER_EXECUTIONS` sets how many executions they share, and
//! `AUTERITY_CLUSTER_SEED` repeats a run's choices.

use std::time::{Duration, Instant};

use reqwest::Method;
use sqlx::{Connection, PgConnection};

use crate::crash::{delay, start_some, verify};
use crate::database::Database;
use crate::server::{Server, User};

const WORKERS: usize = 4;
const EXECUTIONS: usize = 400;
/// What a lease lasts, with the time until somebody sees that it has ended.
const LEASE: Duration = Duration::from_secs(6);
/// What a busy machine may add to that.
const SLACK: Duration = Duration::from_secs(9);

/// Counts exactly once, beside what is done at least once.
const DEFINITION: &str = "document:
  dsl: '1.0.3'
  namespace: test
  name: five
  version: '1.0.0'
do:
- a: { call: echo, with: { n: 1 } }
- b: { wait: { milliseconds: 120 } }
- c: { call: store, with: { action: add, key: '${ \"count/\\($workflow.input.n % 50)\" }', by: 1 } }
- d: { wait: { milliseconds: 80 } }
- e: { call: echo, with: { n: 5 } }
";

/// Stays in memory for some seconds, never for long without an event.
const SLOW: &str = "document:
  dsl: '1.0.3'
  namespace: test
  name: slow
  version: '1.0.0'
do:
- again:
    for: { each: n, in: '${ [range(8)] }' }
    do:
    - a: { call: echo, with: { n: '${ $n }' } }
    - b: { wait: { milliseconds: 1200 } }
";

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// One server that answers and the workers behind it.
struct Cluster {
    folder: tempfile::TempDir,
    /// The file of the key that all share.
    key: String,
    database: String,
    front: Server,
    workers: Vec<Server>,
    /// How many lives each place has had.
    lives: Vec<u32>,
    /// Until when each worker stands still.
    frozen: Vec<Option<Instant>>,
    turn: usize,
    seed: u64,
    kills: u32,
    freezes: u32,
    cuts: u32,
}

impl Cluster {
    fn start(database: &str, seed: u64) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let key = folder.path().join("key");
        std::fs::write(&key, "5c".repeat(32)).expect("written");
        let key = key.display().to_string();
        let data = folder.path().join("front");
        let more = ["--role", "api", "--key-file", key.as_str()];
        let front = Server::start_with(&data, Some(database), &more);
        let mut cluster = Self {
            folder,
            key,
            database: database.to_owned(),
            front,
            workers: Vec::new(),
            lives: vec![0; WORKERS],
            frozen: vec![None; WORKERS],
            turn: 0,
            seed,
            kills: 0,
            freezes: 0,
            cuts: 0,
        };
        cluster.workers = (0..WORKERS).map(|one| cluster.worker(one)).collect();
        cluster
    }

    fn name(&self, number: usize) -> String {
        format!("worker-{number}-{}", self.lives[number])
    }

    fn worker(&self, number: usize) -> Server {
        let data = self.folder.path().join(format!("worker-{number}"));
        let name = self.name(number);
        let (key, name) = (self.key.as_str(), name.as_str());
        let more = ["--role", "worker", "--worker-name", name, "--key-file", key];
        Server::start_with(&data, Some(&self.database), &more)
    }

    fn choose(&mut self, below: u64) -> u64 {
        self.turn += 1;
        u64::from(delay(self.seed, self.turn).subsec_millis()) % below
    }

    /// Does one bad thing to a worker or to the database's connections.
    async fn disturb(&mut self) {
        let number = usize::try_from(self.choose(WORKERS as u64)).expect("small");
        match self.choose(4) {
            0 | 1 => {
                // Under another name nobody but the lease's end frees its work.
                self.lives[number] += u32::from(self.choose(2) == 0);
                self.replace(number);
                self.kills += 1;
            }
            2 if self.frozen[number].is_none() => {
                self.workers[number].signal("STOP");
                // Many longer than the lease: those come back as zombies.
                let time = Duration::from_millis(500 + self.choose(400) * 25);
                self.frozen[number] = Some(Instant::now() + time);
                self.freezes += 1;
            }
            _ => {
                self.cut_connections().await;
                self.cuts += 1;
            }
        }
    }

    fn replace(&mut self, number: usize) {
        self.workers[number].signal("KILL");
        self.workers[number].wait();
        self.frozen[number] = None;
        self.workers[number] = self.worker(number);
    }

    fn thaw(&mut self, all: bool) {
        for (worker, until) in self.workers.iter().zip(&mut self.frozen) {
            if until.is_some_and(|until| all || until <= Instant::now()) {
                worker.signal("CONT");
                *until = None;
            }
        }
    }

    /// Ends some of PostgreSQL's processes that serve the cluster.
    async fn cut_connections(&self) {
        let text = "SELECT count(pg_terminate_backend(pid)) FROM (SELECT pid FROM \
                    pg_stat_activity WHERE datname = current_database() AND \
                    pid <> pg_backend_pid() ORDER BY random() LIMIT 4) chosen";
        self.number(text, "").await;
    }

    /// Asks the database for one number.
    async fn number(&self, text: &str, value: &str) -> i64 {
        let connected = PgConnection::connect(&self.database).await;
        let mut connection = connected.expect("PostgreSQL answers");
        let query = sqlx::query_scalar(sqlx::AssertSqlSafe(text.to_owned()));
        let query = if value.is_empty() {
            query
        } else {
            query.bind(value)
        };
        query.fetch_one(&mut connection).await.expect("a number")
    }

    /// Counts the executions that this life of a worker has.
    async fn owned(&self, life: &str) -> i64 {
        let text = "SELECT count(*) FROM auterity_engine.queue WHERE owner::text = $1";
        self.number(text, life).await
    }

    /// Gives the present life of a worker.
    async fn life(&self, number: usize) -> String {
        let connected = PgConnection::connect(&self.database).await;
        let mut connection = connected.expect("PostgreSQL answers");
        let text = "SELECT id::text FROM auterity_engine.worker WHERE name = $1";
        let query = sqlx::query_scalar(text).bind(self.name(number));
        query.fetch_one(&mut connection).await.expect("a worker")
    }

    /// Waits until a life of a worker has executions, then does something to the worker
    /// and gives how long it took until others had all of them.
    async fn taken_over(&self, number: usize, harm: &str) -> (String, Duration) {
        let life = self.life(number).await;
        wait("it has work", async || 2 <= self.owned(&life).await).await;
        self.workers[number].signal(harm);
        let begun = Instant::now();
        wait("others have its work", async || {
            self.owned(&life).await == 0
        })
        .await;
        (life, begun.elapsed())
    }
}

async fn wait(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while !holds().await {
        assert!(Instant::now() < deadline, "never came: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn executions_survive_a_cluster_that_loses_its_parts() {
    let Ok(url) = std::env::var("AUTERITY_TEST_POSTGRES_URL") else {
        println!("SKIPPED: AUTERITY_TEST_POSTGRES_URL is not set");
        return;
    };
    let database = Database::create("cluster", &url).await;
    let seed = setting("AUTERITY_CLUSTER_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    let executions = setting("AUTERITY_CLUSTER_EXECUTIONS");
    let executions = executions.map_or(EXECUTIONS, |many| usize::try_from(many).expect("small"));
    println!("{executions} executions; repeat it: AUTERITY_CLUSTER_SEED={seed}");
    let mut cluster = Cluster::start(&database.url, seed);
    let mut user = User::sign_up(&cluster.front).await;
    user.deploy(&cluster.front, DEFINITION).await;
    user.deploy(&cluster.front, SLOW).await;

    let begun = Instant::now();
    let mut open: Vec<usize> = (0..executions).collect();
    let each = executions.div_ceil(24).clamp(1, 100);
    while !open.is_empty() {
        start_some(&cluster.front, &user, &mut open, each).await;
        cluster.disturb().await;
        tokio::time::sleep(delay(seed, cluster.turn)).await;
        cluster.thaw(false);
        user.renew(&cluster.front).await;
    }
    cluster.thaw(true);
    verify(&cluster.front, &mut user, executions).await;
    let counted = counted(&cluster, &user).await;
    assert_eq!(counted, executions as u64, "exactly once");
    println!(
        "{} kills, {} freezes, {} times cut off; all ended after {:?}",
        cluster.kills,
        cluster.freezes,
        cluster.cuts,
        begun.elapsed()
    );
    dead_and_undead(&mut cluster, &user).await;
    drop(cluster);
    database.drop(&url).await;
}

/// What the executions counted in transactions.
async fn counted(cluster: &Cluster, user: &User) -> u64 {
    let text = "document: { dsl: '1.0.3', namespace: test, name: sum, version: '1.0.0' }
do:
- list: { call: store, with: { action: list, prefix: count/, limit: 100 } }
- sum: { set: { sum: '${ [.items[].value] | add // 0 }' } }
";
    user.deploy(&cluster.front, text).await;
    let path = "/workflows/test/sum/executions?wait=20s";
    let body = (Some("{\"input\":{}}"), Some("the sum"));
    let called = user.call(&cluster.front, Method::POST, path, body).await;
    let (status, answer) = called.expect("answered");
    assert_eq!(status, 200, "{answer}");
    answer["output"]["sum"].as_u64().expect("a number")
}

/// Kills one worker and freezes another: others take their work over within the lease,
/// and what the frozen one still wants to write is refused.
async fn dead_and_undead(cluster: &mut Cluster, user: &User) {
    let path = "/workflows/test/slow/executions";
    let mut ids = Vec::new();
    for number in 0..60 {
        let key = format!("slow-{number}");
        let body = (Some("{\"input\":{}}"), Some(key.as_str()));
        let called = user.call(&cluster.front, Method::POST, path, body).await;
        let (status, answer) = called.expect("answered");
        assert_eq!(status, 202, "{answer}");
        ids.push(answer["id"].as_str().expect("an id").to_owned());
    }
    let (_, killed) = cluster.taken_over(0, "KILL").await;
    let (life, frozen) = cluster.taken_over(1, "STOP").await;
    println!("taken over {killed:?} after a kill, {frozen:?} after a freeze");
    for taken in [killed, frozen] {
        assert!(taken < LEASE + SLACK, "taken over after {taken:?}");
    }
    cluster.workers[1].signal("CONT");
    // It sees that it was thought dead, and is another one from then on.
    wait("it begins anew", async || cluster.life(1).await != life).await;
    for id in ids {
        let history = crate::crash::ended(&cluster.front, user, &id).await;
        let ends = crate::crash::completions(&history);
        // The loop, and two tasks in each of its rounds.
        assert_eq!(ends.len(), 17, "{history}");
        assert!(
            ends.values().all(|times| *times == 1),
            "recorded twice: {history}"
        );
    }
}
