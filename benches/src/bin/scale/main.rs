//! Measures what grows without bound elsewhere: many schedules that are due on the same
//! second, a million executions that wait, loops and histories without end.
//!
//! See the package's README for what the rows mean.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line program"
)]

mod endless;
mod schedules;
mod waiting;

use std::process::ExitCode;
use std::time::Duration;

use auterity_benches::Failure;
use auterity_benches::load::Window;
use auterity_benches::place::{Kind, Places};
use clap::{Parser, ValueEnum};
use mimalloc::MiMalloc;

/// The reference server's.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Scene {
    /// Schedules that are due on the same second, beside a small tenant.
    Schedules,
    /// Executions that wait: memory, idle load, and how late timers fire.
    Waiting,
    /// A loop of many iterations, an execution with many events: cost and memory.
    Endless,
}

/// Measures many schedules, many waiting executions, and long loops.
#[derive(Debug, Parser)]
#[command(name = "scale")]
struct Arguments {
    #[command(flatten)]
    places: Places,
    /// Measures only these.
    #[arg(long, value_delimiter = ',', value_enum)]
    scene: Vec<Scene>,
    /// Schedules that are due on the same second.
    #[arg(long, default_value_t = 60_000)]
    schedules: u32,
    /// Executions that wait.
    #[arg(long, default_value_t = 1_000_000)]
    waiting: u32,
    /// Iterations of the loop.
    #[arg(long, default_value_t = 100_000)]
    iterations: u32,
    /// Events of the long history.
    #[arg(long, default_value_t = 1_000_000)]
    events: u32,
    /// Seconds of each measurement of the small tenant beside the schedules.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Small numbers: shows that everything works, its figures mean little.
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
            eprintln!("scale: {failure}");
            ExitCode::FAILURE
        }
    }
}

async fn measure(mut arguments: Arguments) -> Result<(), Failure> {
    if arguments.quick {
        arguments.schedules = 3_000;
        arguments.waiting = 10_000;
        arguments.iterations = 5_000;
        arguments.events = 20_000;
        arguments.seconds = 1.0;
    }
    for scene in [Scene::Schedules, Scene::Waiting, Scene::Endless] {
        if !arguments.scene.is_empty() && !arguments.scene.contains(&scene) {
            continue;
        }
        for kind in arguments.places.kinds() {
            eprintln!("scale: {scene:?} on {kind:?}");
            let said = one(&arguments, scene, kind).await?;
            println!("{kind:?}: {said}");
        }
    }
    Ok(())
}

/// Plays one scene on one new database and says what was measured.
async fn one(arguments: &Arguments, scene: Scene, kind: Kind) -> Result<String, Failure> {
    let place = arguments.places.create(kind).await?;
    let store = place.store().await?;
    let said = match scene {
        Scene::Schedules => {
            let measured = Duration::try_from_secs_f64(arguments.seconds)?;
            let window = Window {
                warm: measured / 4,
                measured,
            };
            schedules::play(store, arguments.schedules, window).await?
        }
        Scene::Waiting => waiting::play(store, arguments.waiting).await?,
        Scene::Endless => endless::play(store, arguments.iterations, arguments.events).await?,
    };
    place.remove().await?;
    Ok(said)
}
