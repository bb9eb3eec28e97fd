//! Measures many schedules that are due on the same second: how fast they are started,
//! what that does to others, and how much memory it takes.
//!
//! See the package's README for what the rows mean.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line program"
)]

#[path = "../engine/load.rs"]
#[expect(dead_code, reason = "the other program uses more of it")]
mod load;
mod memory;
#[path = "../engine/place.rs"]
#[expect(dead_code, reason = "the other program uses more of it")]
mod place;
mod scene;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use auterity_core::store::{SeaOptions, SeaStore, Store};
use clap::{Parser, ValueEnum};

use self::load::Window;
use self::place::{Directory, Server};
use self::scene::{Crowd, Size};

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

/// Measures schedules that are due on the same second, beside a small tenant's load.
#[derive(Debug, Parser)]
#[command(name = "crowd")]
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
    /// Schedules that are due on the same second.
    #[arg(long, default_value_t = 60_000)]
    schedules: u32,
    /// Tenants that share them.
    #[arg(long, default_value_t = 60)]
    tenants: u32,
    /// Executions that the small tenant keeps in flight.
    #[arg(long, default_value_t = 4)]
    in_flight: usize,
    /// Seconds of each measurement of the small tenant.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// A small crowd: shows that everything works, its figures mean little.
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
            eprintln!("crowd: {failure}");
            ExitCode::FAILURE
        }
    }
}

async fn measure(mut arguments: Arguments) -> Result<(), Failure> {
    if arguments.quick {
        (arguments.schedules, arguments.tenants, arguments.seconds) = (3_000, 6, 1.0);
    }
    let measured = Duration::try_from_secs_f64(arguments.seconds)?;
    let window = Window {
        warm: measured / 4,
        measured,
    };
    let size = Size {
        tenants: arguments.tenants.max(1),
        schedules: arguments.schedules,
        in_flight: arguments.in_flight,
    };
    let server = match &arguments.postgres {
        Some(url) => Some(Server::connect(url).await?),
        None => None,
    };
    let directory = Directory::new(&arguments.directory);
    for place in [Place::Postgres, Place::Sqlite] {
        let wanted = arguments.database.is_empty() || arguments.database.contains(&place);
        if !wanted || (place == Place::Postgres && server.is_none()) {
            continue;
        }
        eprintln!("crowd: {place:?}");
        let crowd = match (place, &server) {
            (Place::Postgres, Some(server)) => {
                let database = server.create("auterity_bench").await?;
                let crowd = one(&database.url(), size, window).await?;
                database.drop().await?;
                crowd
            }
            _ => one(&directory.create()?.url(), size, window).await?,
        };
        println!("{}", text(place, &crowd));
    }
    Ok(())
}

/// Measures on one database.
async fn one(url: &str, size: Size, window: Window) -> Result<Crowd, Failure> {
    let store = SeaStore::open(url, SeaOptions::default()).await?;
    store.migrate().await?;
    scene::play(Arc::new(store), size, window).await
}

fn text(place: Place, crowd: &Crowd) -> String {
    let ms = |time: Duration| time.as_secs_f64() * 1_000.0;
    let (alone, beside) = (&crowd.alone, &crowd.beside);
    format!(
        "{place:?}: {} schedules made in {:.1} s; all executions ended {:.1} s after the worker \
         began ({:.0}/s); memory {:.0} -> at most {:.0} MiB; small tenant p50 {:.1} -> {:.1} ms, \
         p99 {:.1} -> {:.1} ms, {:.0} -> {:.0}/s",
        crowd.schedules,
        crowd.made_in.as_secs_f64(),
        crowd.ended_in.as_secs_f64(),
        f64::from(crowd.schedules) / crowd.ended_in.as_secs_f64(),
        crowd.memory_before,
        crowd.memory_most,
        ms(alone.p50),
        ms(beside.p50),
        ms(alone.p99),
        ms(beside.p99),
        alone.per_second,
        beside.per_second,
    )
}
