//! Under which conditions the figures were taken.

use std::fs;
use std::path::Path;

use serde::Serialize;
use sqlx::{Connection, SqliteConnection};

use auterity_benches::Failure;
use auterity_benches::place::Server;

/// The settings of PostgreSQL that decide what a commit costs.
const SETTINGS: [&str; 6] = [
    "fsync",
    "synchronous_commit",
    "full_page_writes",
    "wal_sync_method",
    "shared_buffers",
    "max_connections",
];

/// One condition: a name and what holds.
#[derive(Debug, Serialize)]
pub(crate) struct Condition {
    /// What it is about.
    pub(crate) name: &'static str,
    /// What holds.
    pub(crate) value: String,
}

/// Reads the conditions of this machine.
pub(crate) async fn read(
    server: Option<&Server>,
    directory: &Path,
) -> Result<Vec<Condition>, Failure> {
    let mut conditions = Vec::new();
    let mut add = |name, value| conditions.push(Condition { name, value });
    add(
        "taken at",
        jiff::Timestamp::now()
            .strftime("%Y-%m-%d %H:%M UTC")
            .to_string(),
    );
    let cores = std::thread::available_parallelism()?;
    add(
        "machine",
        format!("{}, {cores} cores, {}", processor(), memory()),
    );
    add("kernel", read_line("/proc/sys/kernel/osrelease"));
    add("load at the start", read_line("/proc/loadavg"));
    add("file system", file_system(directory));
    add("auterity", env!("CARGO_PKG_VERSION").to_owned());
    add(
        "build",
        if cfg!(debug_assertions) {
            "debug: the figures mean nothing"
        } else {
            "release"
        }
        .to_owned(),
    );
    let mut sqlite = SqliteConnection::connect("sqlite::memory:").await?;
    let version: String = sqlx::query_scalar("SELECT sqlite_version()")
        .fetch_one(&mut sqlite)
        .await?;
    add(
        "SQLite",
        format!("{version}, journal_mode=WAL, synchronous=FULL"),
    );
    if let Some(server) = server {
        let mut shown = vec![server.show("server_version").await?];
        for setting in SETTINGS {
            shown.push(format!("{setting}={}", server.show(setting).await?));
        }
        add("PostgreSQL", shown.join(", "));
    }
    if cfg!(feature = "peers") {
        add("dbos", "0.5, its default of 10 connections".to_owned());
    }
    Ok(conditions)
}

fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    model.map_or_else(
        || std::env::consts::ARCH.to_owned(),
        |(_, model)| model.to_owned(),
    )
}

fn memory() -> String {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kibibytes = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:")?.trim().split_once(' '));
    let gibibytes = kibibytes
        .and_then(|(number, _)| number.parse::<u64>().ok())
        .map(|all| all >> 20);
    gibibytes.map_or_else(|| "memory unknown".to_owned(), |all| format!("{all} GiB"))
}

fn read_line(path: &str) -> String {
    fs::read_to_string(path).map_or_else(|_| "unknown".to_owned(), |text| text.trim().to_owned())
}

/// Gives the type of the file system that holds the SQLite files: in memory they
/// would say nothing about durable commits.
fn file_system(directory: &Path) -> String {
    let path = directory
        .canonicalize()
        .unwrap_or_else(|_| directory.to_owned());
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    let mounts = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(1);
        Some((words.next()?, words.next()?))
    });
    let holding = mounts.filter(|(mount, _)| path.starts_with(mount));
    holding
        .max_by_key(|(mount, _)| mount.len())
        .map_or("unknown", |(_, kind)| kind)
        .to_owned()
}
