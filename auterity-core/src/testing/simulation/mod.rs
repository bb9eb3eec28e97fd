//! A pool of workers executes generated definitions while everything goes wrong.
//!
//! One thread, one clock, and one sequence of random choices: a seed repeats a
//! simulation exactly. While the faults last, processes crash before and after their
//! commits, freeze longer than their leases and go on as zombies, lose answers and
//! wake-ups, send twice, and see their clocks jump. Then the faults end, and within
//! bounded time every execution must have ended. Checked at the end of each seed:
//!
//! - no execution that was started is lost, and each ends once;
//! - no effect's end is recorded twice, and no task ends twice;
//! - no life does the body of an effect twice, nor after it has recorded its end; so
//!   bodies are repeated at most as often as they were in flight when a life ended;
//! - snapshot and tail give the same as the whole journal, at every place;
//! - the output is the one that an execution without any fault gives.
//!
//! ```
//! use auterity_core::testing::simulation::Simulation;
//!
//! let report = Simulation::new(7).execute().expect("nothing goes wrong");
//! assert!(report.executions > 0);
//! ```

mod check;
mod code;
mod drive;
mod generate;
mod ledger;
mod process;

use std::fmt;

use jiff::{SignedDuration, Timestamp};

use super::Faults;
use super::random::Random;
use super::stage::{Stage, Time};
use crate::engine::Options;

/// A simulation that a seed stands for.
#[derive(Debug, Clone)]
pub struct Simulation {
    seed: u64,
    workers: usize,
    executions: usize,
    faults: Faults,
}

/// What a simulation saw.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Executions that ended, children included.
    pub executions: usize,
    /// Journal batches that were committed.
    pub commits: u64,
    /// Processes that died.
    pub crashes: u32,
    /// Processes that stood still for a while.
    pub freezes: u32,
    /// Bodies of effects that were done.
    pub bodies: usize,
    /// Bodies that were done again.
    pub repeated: usize,
}

/// What was wrong at the end of a simulation.
#[derive(Debug)]
pub struct Failure {
    seed: u64,
    problems: Vec<String>,
}

impl Failure {
    /// Gives the seed that repeats the failure.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "the simulation of seed {} found:", self.seed)?;
        for problem in &self.problems {
            writeln!(out, "- {problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}

impl Simulation {
    /// Takes a seed; three workers and eight executions.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            workers: 3,
            executions: 8,
            faults: Faults::default(),
        }
    }

    /// Sets the number of workers.
    #[must_use]
    pub fn with_workers(mut self, workers: usize) -> Self {
        self.workers = workers.max(1);
        self
    }

    /// Sets the number of executions, without their children.
    #[must_use]
    pub fn with_executions(mut self, executions: usize) -> Self {
        self.executions = executions;
        self
    }

    /// Sets what goes wrong.
    #[must_use]
    pub fn with_faults(mut self, faults: Faults) -> Self {
        self.faults = faults;
        self
    }

    /// Lets it happen: once without faults, to know what comes out, and once with.
    ///
    /// # Errors
    /// Everything that did not hold.
    ///
    /// # Panics
    /// Inside another runtime: call it from a plain `#[test]`.
    pub fn execute(&self) -> Result<Report, Failure> {
        let failure = |problems| Failure {
            seed: self.seed,
            problems,
        };
        let mut random = Random::new(self.seed);
        let plan = drive::Plan::generate(&mut random, self.executions);
        let expected = self.play(&plan, Faults::none(), &random, None);
        let expected = expected.map_err(|mut problems| {
            problems.insert(0, "this was without any fault".to_owned());
            failure(problems)
        })?;
        let faults = self.faults.clone();
        let done = self.play(&plan, faults, &random, Some(&expected));
        done.map(|outcome| outcome.report).map_err(failure)
    }

    fn play(
        &self,
        plan: &drive::Plan,
        faults: Faults,
        random: &Random,
        expected: Option<&drive::Outcome>,
    ) -> Result<drive::Outcome, Vec<String>> {
        let start = Timestamp::UNIX_EPOCH + SignedDuration::from_hours(24 * 21_915);
        Stage::play(start, Time::SkipsToWaiters, async |stage| {
            let mut driver = drive::Driver::new(stage, options(), random.fork(1));
            driver.execute(plan, self.workers, faults, expected).await
        })
    }
}

fn options() -> Options {
    Options {
        park_after: SignedDuration::from_millis(400),
        snapshot_every: 5,
        in_flight_max: 6,
        batch_max: 8,
        ..Options::default()
    }
}
