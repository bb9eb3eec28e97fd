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
            Self::Dbos => "dbos",
        }
    }

    /// Gives all that can be measured on a store by this program.
    fn of(store: Store) -> &'static [Self] {
        match store {
            Store::Postgres if cfg!(feature = "peers") => {
                &[Self::Raw, Self::Ceiling, Self::Engine, Self::Dbos]
            }
            Store::Postgres | Store::Sqlite => &[Self::Raw, Self::Ceiling, Self::Engine],
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
            for &subject in Subject::of(store) {
                let wanted = choice.subjects.is_empty() || choice.subjects.contains(&subject);
                // More connections than a server takes by default say nothing.
                if wanted && !(subject == Subject::Raw && 64 < in_flight) {
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
