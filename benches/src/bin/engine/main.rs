//! Measures the durable engine beside the databases' own limits and a peer.
//!
//! Everything is measured in the same process on the same databases, in rounds that
//! interleave what is compared, so that a noisy machine disturbs all alike. See the
//! package's README for what the rows mean.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line program"
)]

mod ceiling;
mod conditions;
mod ours;
#[cfg(feature = "peers")]
mod peer;
mod plan;
mod raw;
mod report;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use auterity_benches::Failure;
use clap::Parser;
use mimalloc::MiMalloc;

use self::plan::Cell;
use auterity_benches::load::{Load, Window};
use auterity_benches::place::{Directory, Server};

/// The reference server's.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// What the plain writers store per row: about the size of an event of the engine.
pub(crate) const BODY: &str =
    r#"{"kind":"effect.completed","task":"/do/0/first","attempt":1,"output":{"number":1}}"#;

/// One measurement of one subject.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    /// How much was done and how fast.
    pub(crate) load: Load,
    /// Transactions that the database committed per unit of work.
    pub(crate) transactions: f64,
}

/// Measures executions of five tasks on PostgreSQL and SQLite beside the raw commit
/// rate of the same database, a bare group commit and, if built with it, a peer.
#[derive(Debug, Parser)]
#[command(name = "engine")]
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
    /// Executions at a time, several with commas.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 64, 512])]
    in_flight: Vec<usize>,
    /// Measures only these databases.
    #[arg(long, value_delimiter = ',', value_enum)]
    database: Vec<plan::Store>,
    /// Measures only these subjects.
    #[arg(long, value_delimiter = ',', value_enum)]
    subject: Vec<plan::Subject>,
    /// Rounds; a figure is the median of all.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// One short round: shows that everything works, its figures mean little.
    #[arg(long)]
    quick: bool,
    /// Prints JSON in place of the table.
    #[arg(long)]
    json: bool,
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
            eprintln!("engine: {failure}");
            ExitCode::FAILURE
        }
    }
}

async fn measure(mut arguments: Arguments) -> Result<(), Failure> {
    if arguments.quick {
        (arguments.rounds, arguments.seconds) = (1, 2.0);
    }
    let measured = Duration::try_from_secs_f64(arguments.seconds)?;
    let window = Window {
        warm: measured / 4,
        measured,
    };
    let server = match &arguments.postgres {
        Some(url) => Some(Server::connect(url).await?),
        None => {
            eprintln!(
                "engine: without --postgres only SQLite is measured; `make bench` starts a server"
            );
            None
        }
    };
    let directory = Directory::new(&arguments.directory);
    let choice = plan::Choice {
        in_flight: arguments.in_flight,
        stores: arguments.database,
        subjects: arguments.subject,
    };
    let mut cells = plan::cells(&choice, server.is_some());
    let conditions = conditions::read(server.as_ref(), &arguments.directory).await?;
    for round in 1..=arguments.rounds {
        for cell in &mut cells {
            eprintln!(
                "engine: round {round} of {}: {}",
                arguments.rounds,
                cell.title()
            );
            let sample = sample(cell, server.as_ref(), &directory, window).await?;
            cell.samples.push(sample);
        }
    }
    let report = report::Report {
        conditions,
        rounds: arguments.rounds,
        seconds: arguments.seconds,
        cells,
    };
    if arguments.json {
        println!("{:#}", report.json());
    } else {
        print!("{}", report.text());
    }
    Ok(())
}

async fn sample(
    cell: &Cell,
    server: Option<&Server>,
    directory: &Directory,
    window: Window,
) -> Result<Sample, Failure> {
    let in_flight = cell.in_flight;
    if cell.store == plan::Store::Sqlite {
        let file = directory.create()?;
        return match cell.subject {
            plan::Subject::Raw => raw::sqlite(&file, in_flight, window).await,
            plan::Subject::Ceiling => ceiling::sqlite(&file, in_flight, window).await,
            plan::Subject::Engine => ours::sqlite(&file, ours::FIVE, in_flight, window).await,
            plan::Subject::Strict => ours::sqlite(&file, ours::STRICT, in_flight, window).await,
            plan::Subject::Pipelined => {
                ours::sqlite(&file, ours::PIPELINED, in_flight, window).await
            }
            plan::Subject::Dbos => Err("dbos knows no SQLite".into()),
        };
    }
    let database = server.ok_or("no server")?.create("auterity_bench").await?;
    let sample = match cell.subject {
        plan::Subject::Raw => raw::postgres(&database, in_flight, window).await,
        plan::Subject::Ceiling => ceiling::postgres(&database, in_flight, window).await,
        plan::Subject::Engine => ours::postgres(&database, ours::FIVE, in_flight, window).await,
        plan::Subject::Strict => ours::postgres(&database, ours::STRICT, in_flight, window).await,
        plan::Subject::Pipelined => {
            ours::postgres(&database, ours::PIPELINED, in_flight, window).await
        }
        #[cfg(feature = "peers")]
        plan::Subject::Dbos => peer::postgres(&database, in_flight, window).await,
        #[cfg(not(feature = "peers"))]
        plan::Subject::Dbos => Err("built without the feature peers".into()),
    };
    database.remove().await?;
    sample
}
