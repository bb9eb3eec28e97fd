//! Seeds of the simulation.
//!
//! `AUTERITY_SIMULATION_SEEDS` sets how many; `AUTERITY_SIMULATION_SEED` repeats one.

use auterity_core::testing::Faults;
use auterity_core::testing::simulation::{Report, Simulation};

const SEEDS: u64 = 30;

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

fn execute(seed: u64) -> Report {
    match Simulation::new(seed).execute() {
        Ok(report) => report,
        Err(failure) => {
            println!("{failure}");
            panic!(
                "repeat it: AUTERITY_SIMULATION_SEED={seed} cargo nextest run -p auterity-core -E 'test(=testing::simulation::executions_survive_everything)' --no-capture"
            );
        }
    }
}

#[test]
fn executions_survive_everything() {
    if let Some(seed) = setting("AUTERITY_SIMULATION_SEED") {
        println!("{:?}", execute(seed));
        return;
    }
    let seeds = setting("AUTERITY_SIMULATION_SEEDS").unwrap_or(SEEDS);
    let first = setting("AUTERITY_SIMULATION_FIRST").unwrap_or(0);
    let mut all = Report::default();
    for seed in first..first + seeds {
        let report = execute(seed);
        all.executions += report.executions;
        all.commits += report.commits;
        all.crashes += report.crashes;
        all.freezes += report.freezes;
        all.bodies += report.bodies;
        all.repeated += report.repeated;
    }
    println!("{seeds} seeds: {all:?}");
    // Else the faults have fallen asleep and the test shows nothing.
    assert!(seeds <= all.crashes.into() && 0 < all.freezes && 0 < all.repeated);
}

#[test]
fn a_seed_repeats_itself() {
    for seed in 1_000_003..1_000_009 {
        assert_eq!(execute(seed), execute(seed), "seed {seed}");
    }
}

#[test]
fn without_faults_nothing_is_repeated() {
    let calm = Simulation::new(11).with_faults(Faults::none());
    let report = calm.execute().expect("nothing goes wrong");
    assert_eq!((report.repeated, report.crashes), (0, 0));
}
