//! Which executions are meant: one language for lists, the API and operations on many.
//!
//! ```text
//! workflow:shop/invoice status:faulted,cancelled started>=-7d -attribute.order:"17 b"
//! ```
//!
//! Terms stand side by side, separated by spaces, and all must hold. A term is a field,
//! an operator and a value, or several values separated by commas, of which one must
//! fit. A `-` before the field turns the term round. A value with spaces, commas or
//! quotes stands in quotes, in which `\` goes before `"` and `\`.

mod parse;

use jiff::{SignedDuration, Timestamp};

use super::{ExecutionRow, FaultSignature, Status};
use crate::ExecutionId;

/// The least by which two times differ.
const STEP: SignedDuration = SignedDuration::from_micros(1);

/// Which executions are meant: those for which every term holds, so all without any.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    terms: Vec<Term>,
}

/// One condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Term {
    /// What is asked.
    pub test: Test,
    /// Whether the answer must be no.
    pub negated: bool,
}

/// What is asked about an execution. Of several values one must fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Test {
    /// Its workflow: namespace, and name unless any will do.
    Workflow(Vec<(String, Option<String>)>),
    /// The version of its workflow.
    Version(Vec<String>),
    /// Where it stands.
    Status(Vec<Status>),
    /// What one of its attributes has as value.
    Attribute {
        /// The attribute's name.
        name: String,
        /// The values.
        values: Vec<String>,
    },
    /// Whether it was started later than this.
    StartedAfter(Timestamp),
    /// Whether it was started earlier than this.
    StartedBefore(Timestamp),
    /// Whether it ended, and later than this.
    EndedAfter(Timestamp),
    /// Whether it ended, and earlier than this.
    EndedBefore(Timestamp),
    /// Which execution started it.
    Parent(Vec<ExecutionId>),
    /// Which fault it ended with.
    Fault(Vec<FaultSignature>),
}

/// A place of a text that is no filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterMistake {
    /// The column in characters, counted from 1.
    pub column: u32,
    /// What is wrong there, and what would do.
    pub message: String,
}

impl Filter {
    /// Reads a filter. Ages count back from `now`.
    ///
    /// | field | operators | value |
    /// |---|---|---|
    /// | `workflow` | `:` | `namespace/name`, or `namespace/*` |
    /// | `version` | `:` | a version |
    /// | `status` | `:` | a status |
    /// | `started`, `ended` | `>`, `>=`, `<`, `<=` | a time, a date (its beginning in UTC), or an age such as `-24h` or `-7d` |
    /// | `attribute.NAME` | `:` | a value |
    /// | `parent` | `:` | the id of an execution |
    /// | `fault` | `:` | the signature of a group of faults |
    ///
    /// # Errors
    /// Every mistake, in order of its place; what follows one that makes it unclear
    /// where the next term begins is not read.
    pub fn parse(text: &str, now: Timestamp) -> Result<Self, Vec<FilterMistake>> {
        parse::parse(text, now)
    }

    /// Adds a condition.
    #[must_use]
    pub fn and(mut self, test: Test) -> Self {
        self.terms.push(Term {
            test,
            negated: false,
        });
        self
    }

    /// Adds the conditions of another filter.
    #[must_use]
    pub fn and_all(mut self, other: Self) -> Self {
        self.terms.extend(other.terms);
        self
    }

    /// Gives the conditions.
    #[must_use]
    pub fn terms(&self) -> &[Term] {
        &self.terms
    }

    /// Gives the statuses that an execution may have that is meant; all if the filter
    /// does not say.
    #[must_use]
    pub fn statuses(&self) -> Vec<Status> {
        let fits = |status: &Status| {
            self.terms.iter().all(|term| match &term.test {
                Test::Status(wanted) => wanted.contains(status) != term.negated,
                Test::Fault(_) => term.negated || *status == Status::Faulted,
                _ => true,
            })
        };
        Status::ALL.into_iter().filter(fits).collect()
    }

    /// Tells whether an execution is meant that ended with this fault, if with any.
    #[must_use]
    pub fn holds(&self, row: &ExecutionRow, fault: Option<FaultSignature>) -> bool {
        let mut terms = self.terms.iter();
        terms.all(|term| term.test.holds(row, fault) != term.negated)
    }
}

impl From<Test> for Filter {
    fn from(test: Test) -> Self {
        Self::default().and(test)
    }
}

impl Test {
    fn holds(&self, row: &ExecutionRow, fault: Option<FaultSignature>) -> bool {
        match self {
            Self::Workflow(wanted) => wanted.iter().any(|(namespace, name)| {
                let names = name.as_ref().is_none_or(|name| *name == row.workflow.name);
                *namespace == row.workflow.namespace && names
            }),
            Self::Version(wanted) => wanted.contains(&row.workflow.version),
            Self::Status(wanted) => wanted.contains(&row.status),
            Self::Attribute { name, values } => {
                let value = row.attributes.get(name);
                value.is_some_and(|value| values.contains(value))
            }
            Self::StartedAfter(time) => *time < row.started_at,
            Self::StartedBefore(time) => row.started_at < *time,
            Self::EndedAfter(time) => row.ended_at.is_some_and(|at| *time < at),
            Self::EndedBefore(time) => row.ended_at.is_some_and(|at| at < *time),
            Self::Parent(wanted) => row.parent.is_some_and(|parent| wanted.contains(&parent)),
            Self::Fault(wanted) => fault.is_some_and(|fault| wanted.contains(&fault)),
        }
    }
}
