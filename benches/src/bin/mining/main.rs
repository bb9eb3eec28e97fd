//! Measures process mining on a generated log beside a peer.
//!
//! Every operation is repeated in rounds in one process, ours and the peer's in turn, and
//! a figure is the median of the rounds. See the package's README for what the rows mean.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line program"
)]

mod generate;
mod ours;
#[cfg(feature = "peers")]
mod peer;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use mimalloc::MiMalloc;

/// The reference server's.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// What can go wrong, in words.
pub(crate) type Failure = Box<dyn std::error::Error>;

/// Measures reading, analysis, discovery and conformance of an event log of sixteen
/// activities that is generated from a fixed seed, beside a peer if built with it.
#[derive(Debug, Parser)]
#[command(name = "mining")]
struct Arguments {
    /// Events of the generated log.
    #[arg(long, default_value_t = 1_000_000)]
    events: usize,
    /// Rounds; a figure is the median of all.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// One round.
    #[arg(long)]
    quick: bool,
    /// Measures this log of XES in place of a generated one.
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// Threads; one by default, so that figures are work and not cores.
    #[arg(long, default_value_t = 1)]
    threads: usize,
}

/// The durations of one operation.
#[derive(Debug)]
pub(crate) struct Row {
    name: &'static str,
    ours: Vec<Duration>,
    peer: Vec<Duration>,
    /// What the operation found, so that it is not left out and can be compared.
    found: String,
}

/// The operations in the order in which they are measured.
#[derive(Debug, Default)]
pub(crate) struct Table(Vec<Row>);

impl Table {
    fn row(&mut self, name: &'static str) -> &mut Row {
        let at = self.0.iter().position(|row| row.name == name);
        let at = at.unwrap_or_else(|| {
            self.0.push(Row {
                name,
                ours: Vec::new(),
                peer: Vec::new(),
                found: String::new(),
            });
            self.0.len() - 1
        });
        &mut self.0[at]
    }

    /// Measures an operation of ours.
    pub(crate) fn ours<T>(
        &mut self,
        name: &'static str,
        found: impl FnOnce(&T) -> String,
        work: impl FnOnce() -> T,
    ) -> T {
        let begin = Instant::now();
        let result = work();
        let took = begin.elapsed();
        let row = self.row(name);
        row.ours.push(took);
        row.found = found(&result);
        result
    }

    /// Measures an operation of the peer's.
    #[cfg(feature = "peers")]
    pub(crate) fn peer<T>(&mut self, name: &'static str, work: impl FnOnce() -> T) -> T {
        let begin = Instant::now();
        let result = work();
        let took = begin.elapsed();
        self.row(name).peer.push(took);
        result
    }

    fn print(&mut self) {
        println!(
            "{:<34} {:>12} {:>12} {:>8}  found",
            "operation", "ours ms", "peer ms", "ratio"
        );
        for row in &mut self.0 {
            let (ours, peer) = (median(&mut row.ours), median(&mut row.peer));
            let text = |it: Option<f64>| it.map_or_else(|| "–".to_owned(), |it| format!("{it:.3}"));
            let ratio = ours
                .zip(peer)
                .map(|(ours, peer)| format!("{:.1}", peer / ours));
            println!(
                "{:<34} {:>12} {:>12} {:>8}  {}",
                row.name,
                text(ours),
                text(peer),
                ratio.unwrap_or_else(|| "–".to_owned()),
                row.found
            );
        }
    }
}

/// The median in milliseconds.
fn median(durations: &mut [Duration]) -> Option<f64> {
    durations.sort_unstable();
    let middle = durations.get(durations.len() / 2)?;
    Some(middle.as_secs_f64() * 1e3)
}

fn main() -> ExitCode {
    match measure(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mining: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(arguments: &Arguments) -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let files = match &arguments.log {
        Some(log) => generate::Files::of_log(log, folder.path())?,
        None => generate::Files::generated(arguments.events, folder.path())?,
    };
    println!(
        "{} events, {} MB as CSV, {} MB as XES; {} threads",
        files.events,
        std::fs::metadata(&files.csv)?.len() / 1_000_000,
        std::fs::metadata(&files.xes)?.len() / 1_000_000,
        arguments.threads
    );
    let pool = rayon::ThreadPoolBuilder::new();
    pool.num_threads(arguments.threads).build_global()?;
    let rounds = if arguments.quick { 1 } else { arguments.rounds };
    let mut table = Table::default();
    for _ in 0..rounds {
        let _net = ours::measure(&files, &mut table)?;
        #[cfg(feature = "peers")]
        peer::measure(&files, &_net, &mut table)?;
    }
    table.print();
    Ok(())
}
