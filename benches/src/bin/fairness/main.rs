//! Measures how a small tenant fares beside one with a long queue, and how fast many
//! executions are put into the queue at once.
//!
//! See the package's README for what the rows mean.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line program"
)]

mod bulk;
#[path = "../engine/load.rs"]
#[expect(dead_code, reason = "the other program uses more of it")]
mod load;
#[path = "../engine/place.rs"]
#[expect(dead_code, reason = "the other program uses more of it")]
mod place;
mod tenants;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use auterity_core::store::{SeaOptions, SeaStore, Store};
use clap::{Parser, ValueEnum};
use serde_json::{Value, json};

use self::load::Window;
use self::place::{Directory, Server};

/// Whatever made a measurement impossible.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Place {
    /// A PostgreSQL server.
    Postgres,
    /// An SQLite file with synchronous FULL.
    Sqlite,
}

/// Measures a small tenant's latency alone and beside a tenant with a long queue, and
/// the rate at which that queue is filled.
#[derive(Debug, Parser)]
#[command(name = "fairness")]
struct Arguments {
    /// A PostgreSQL server on which databases may be created; without it only SQLite
    /// is measured.
    #[arg(
        long,
        env = "AUTERITY_TEST_POSTGRES_URL",
        value_name = "URL",
        hide_env_values = true
    )]
    postgres: Option<String>,
    /// Where the SQLite files go; it should be on the disk that is to be measured.
    #[arg(long, value_name = "PATH", default_value_os_t = std::env::temp_dir())]
    directory: PathBuf,
    /// Measures only these databases.
    #[arg(long, value_delimiter = ',', value_enum)]
    database: Vec<Place>,
    /// Executions that the large tenant queues.
    #[arg(long, default_value_t = 100_000)]
    backlog: usize,
    /// Executions that the small tenant keeps in flight.
    #[arg(long, default_value_t = 4)]
    in_flight: usize,
    /// Rounds; each measures alone and beside anew.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Seconds of each measurement of the small tenant.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// One short round with a short queue: shows that everything works.
    #[arg(long)]
    quick: bool,
}

fn main() -> ExitCode {
    let done = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Failure::from)
        .and_then(|runtime| runtime.block_on(measure(Arguments::parse())));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("fairness: {failure}");
            ExitCode::FAILURE
        }
    }
}

async fn measure(mut arguments: Arguments) -> Result<(), Failure> {
    if arguments.quick {
        (arguments.rounds, arguments.seconds, arguments.backlog) = (1, 2.0, 20_000);
    }
    let measured = Duration::try_from_secs_f64(arguments.seconds)?;
    let window = Window {
        warm: measured / 4,
        measured,
    };
    let server = match &arguments.postgres {
        Some(url) => Some(Server::connect(url).await?),
        None => None,
    };
    let directory = Directory::new(&arguments.directory);
    for round in 1..=arguments.rounds {
        for place in [Place::Postgres, Place::Sqlite] {
            let wanted = arguments.database.is_empty() || arguments.database.contains(&place);
            if !wanted || (place == Place::Postgres && server.is_none()) {
                continue;
            }
            eprintln!("fairness: round {round} of {}: {place:?}", arguments.rounds);
            let row = match (place, &server) {
                (Place::Postgres, Some(server)) => {
                    let database = server.create("auterity_bench").await?;
                    let raw = bulk::rows_per_second(&database, window).await?;
                    let mut row = one(&database.url(), &arguments, window).await?;
                    row["rows_per_second"] = json!(raw);
                    database.drop().await?;
                    row
                }
                _ => one(&directory.create()?.url(), &arguments, window).await?,
            };
            println!("{}", text(place, &row));
        }
    }
    Ok(())
}

/// Measures on one database.
async fn one(url: &str, arguments: &Arguments, window: Window) -> Result<Value, Failure> {
    let store = SeaStore::open(url, SeaOptions::default()).await?;
    store.migrate().await?;
    let store: Arc<dyn Store> = Arc::new(store);
    let alone = tenants::small(&store, arguments.in_flight, window).await?;
    let filled = bulk::fill(&store, arguments.backlog).await?;
    let beside = tenants::beside(&store, arguments.in_flight, window).await?;
    let ms = |time: Duration| time.as_secs_f64() * 1_000.0;
    Ok(json!({
        "alone_p50_ms": ms(alone.p50),
        "alone_p99_ms": ms(alone.p99),
        "beside_p50_ms": ms(beside.small.p50),
        "beside_p99_ms": ms(beside.small.p99),
        "small_alone_per_second": alone.per_second,
        "small_per_second": beside.small.per_second,
        "large_per_second": beside.large_per_second,
        "large_left": beside.left,
        "starts_per_second": filled,
    }))
}

fn text(place: Place, row: &Value) -> String {
    let of = |name: &str| row[name].as_f64().unwrap_or(f64::NAN);
    format!(
        "{place:?}: small tenant p50 {:.1} -> {:.1} ms, p99 {:.1} -> {:.1} ms ({:.1} times), \
         {:.0} -> {:.0}/s; large tenant {:.0}/s, {} still queued; bulk start {:.0}/s of {:.0} rows/s",
        of("alone_p50_ms"),
        of("beside_p50_ms"),
        of("alone_p99_ms"),
        of("beside_p99_ms"),
        of("beside_p99_ms") / of("alone_p99_ms"),
        of("small_alone_per_second"),
        of("small_per_second"),
        of("large_per_second"),
        of("large_left"),
        of("starts_per_second"),
        of("rows_per_second"),
    )
}
