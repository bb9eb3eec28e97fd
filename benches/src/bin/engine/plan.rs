//! What is measured, in which order.

use clap::ValueEnum;
use serde::Serialize;

use crate::Sample;

/// A database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Store {
    /// A PostgreSQL server.
    Postgres,
    /// An SQLite file with synchronous FULL.
    Sqlite,
}

impl Store {
    /// Gives the name to show.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Postgres => "PostgreSQL",
            Self::Sqlite => "SQLite FULL",
        }
    }
}

/// What does the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Subject {
    /// Single rows, one per transaction.
    Raw,
    /// Group commit without an engine.
    Ceiling,
    /// The engine.
    Engine,
    /// The tasks of one execution, each after the commit of the one before.
    Strict,
    /// The tasks of one execution that need not wait for commits.
    Pipelined,
    /// The crate `dbos`.
    Dbos,
}

impl Subject {
    /// Gives the name to show.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Raw => "raw commits R",
            Self::Ceiling => "group commit G",
            Self::Engine => "auterity",
            Self::Strict => "tasks in a row, strict",
            Self::Pipelined => "tasks in a row, pipelined",
            Self::Dbos => "dbos",
        }
    }

    /// All, in the order in which they are measured.
    const ALL: [Self; 6] = [
        Self::Raw,
        Self::Strict,
        Self::Pipelined,
        Self::Ceiling,
        Self::Engine,
        Self::Dbos,
    ];

    /// Tells whether this program can measure it, and whether it would say anything.
    fn is_measurable(self, store: Store, in_flight: usize) -> bool {
        match self {
            // More connections than a server takes by default say nothing.
            Self::Raw => in_flight <= 64,
            Self::Strict | Self::Pipelined => in_flight == 1,
            Self::Ceiling | Self::Engine => true,
            Self::Dbos => store == Store::Postgres && cfg!(feature = "peers"),
        }
    }
}

/// What the caller wants of all that could be measured.
#[derive(Debug)]
pub(crate) struct Choice {
    /// Executions at a time.
    pub(crate) in_flight: Vec<usize>,
    /// Empty: all.
    pub(crate) stores: Vec<Store>,
    /// Empty: all.
    pub(crate) subjects: Vec<Subject>,
}

/// One row of the table and what was measured for it.
#[derive(Debug)]
pub(crate) struct Cell {
    /// On what.
    pub(crate) store: Store,
    /// What.
    pub(crate) subject: Subject,
    /// How many at a time.
    pub(crate) in_flight: usize,
    /// One per round.
    pub(crate) samples: Vec<Sample>,
}

impl Cell {
    /// Names the cell while it is measured.
    pub(crate) fn title(&self) -> String {
        format!(
            "{}, {}, {} in flight",
            self.store.title(),
            self.subject.title(),
            self.in_flight
        )
    }

    /// Gives the median over the rounds of what the samples say.
    pub(crate) fn median(&self, figure: impl Fn(&Sample) -> f64) -> Option<f64> {
        let mut figures: Vec<f64> = self.samples.iter().map(figure).collect();
        figures.sort_unstable_by(f64::total_cmp);
        let middle = figures.len() / 2;
        let upper = *figures.get(middle)?;
        if figures.len() % 2 == 1 {
            return Some(upper);
        }
        Some(f64::midpoint(*figures.get(middle - 1)?, upper))
    }
}

/// Lists the cells in the order of one round.
pub(crate) fn cells(choice: &Choice, has_postgres: bool) -> Vec<Cell> {
    let mut cells = Vec::new();
    for store in [Store::Postgres, Store::Sqlite] {
        let wanted = choice.stores.is_empty() || choice.stores.contains(&store);
        if !wanted || (store == Store::Postgres && !has_postgres) {
            continue;
        }
        for &in_flight in &choice.in_flight {
            for subject in Subject::ALL {
                let wanted = choice.subjects.is_empty() || choice.subjects.contains(&subject);
                if wanted && subject.is_measurable(store, in_flight) {
                    cells.push(Cell {
                        store,
                        subject,
                        in_flight,
                        samples: Vec::new(),
                    });
                }
            }
        }
    }
    cells
}
