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
mod tenants;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use auterity_benches::Failure;
use auterity_benches::load::Window;
use auterity_benches::place::{Kind, Place, Places};
use auterity_core::store::Store;
use clap::Parser;
use serde_json::{Value, json};

/// Measures a small tenant's latency alone and beside a tenant with a long queue, and
/// the rate at which that queue is filled.
#[derive(Debug, Parser)]
#[command(name = "fairness")]
struct Arguments {
    #[command(flatten)]
    places: Places,
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
    for round in 1..=arguments.rounds {
        for kind in arguments.places.kinds() {
            eprintln!("fairness: round {round} of {}: {kind:?}", arguments.rounds);
            let place = arguments.places.create(kind).await?;
            let mut row = one(&place, &arguments, window).await?;
            if let Place::Postgres(database) = &place {
                let raw = bulk::rows_per_second(database, window).await?;
                row["rows_per_second"] = json!(raw);
            }
            place.remove().await?;
            println!("{}", text(kind, &row));
        }
    }
    Ok(())
}

/// Measures on one database.
async fn one(place: &Place, arguments: &Arguments, window: Window) -> Result<Value, Failure> {
    let store: Arc<dyn Store> = Arc::new(place.store().await?);
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

fn text(kind: Kind, row: &Value) -> String {
    let of = |name: &str| row[name].as_f64().unwrap_or(f64::NAN);
    format!(
        "{kind:?}: small tenant p50 {:.1} -> {:.1} ms, p99 {:.1} -> {:.1} ms ({:.1} times), \
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
