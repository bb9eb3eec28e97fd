//! Writes of schedules: a first statement that decides, and others that go by what it
//! gave back, in one transaction.
//!
//! Rows come as one JSON parameter per statement. PostgreSQL executes all statements as
//! one, SQLite one after the other on its writing connection.

use std::fmt::Write as _;

use sea_orm::{DatabaseBackend, Statement, Value};

use crate::store::sea::{Hot, SeaStore};
use crate::{Error, ScheduleId};

/// What kind of column a member of the JSON rows becomes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Id,
    Number,
    Text,
    Flag,
}

/// Columns by name.
pub(super) type Columns = [(&'static str, Kind)];

/// Statements that belong together; `#done` stands for the ids that the first gave.
#[derive(Debug)]
pub(super) struct Steps {
    pub(super) first: String,
    pub(super) rest: Vec<String>,
    /// JSON texts for the places `$1`, `$2`, ….
    pub(super) values: Vec<String>,
}

/// Gives a table of JSON rows named `r`.
pub(super) fn rows(backend: DatabaseBackend, place: usize, columns: &Columns) -> String {
    let mut text = String::new();
    // Writing into a text cannot fail.
    let _written = match backend {
        DatabaseBackend::Postgres => {
            let columns: Vec<String> = columns
                .iter()
                .map(|(name, kind)| {
                    let kind = match kind {
                        Kind::Id => "uuid",
                        Kind::Number => "bigint",
                        Kind::Text => "text",
                        Kind::Flag => "boolean",
                    };
                    format!("{name} {kind}")
                })
                .collect();
            let columns = columns.join(", ");
            write!(
                text,
                "jsonb_to_recordset(CAST(${place} AS jsonb)) AS r({columns})"
            )
        }
        _ => {
            let columns: Vec<String> = columns
                .iter()
                .map(|(name, kind)| match kind {
                    Kind::Id => format!("unhex(value ->> '{name}') AS {name}"),
                    _ => format!("value ->> '{name}' AS {name}"),
                })
                .collect();
            let columns = columns.join(", ");
            write!(text, "(SELECT {columns} FROM json_each(${place})) AS r")
        }
    }
    .is_ok();
    text
}

/// Gives the names of columns as a list.
pub(super) fn names(columns: &Columns, prefix: &str) -> String {
    let names: Vec<String> = columns
        .iter()
        .map(|(name, _)| format!("{prefix}{name}"))
        .collect();
    names.join(", ")
}

impl SeaStore {
    /// Executes the steps; gives the ids that the first one gave.
    pub(super) async fn execute_steps(&self, steps: Steps) -> Result<Vec<ScheduleId>, Error> {
        match &*self.hot {
            Hot::Sqlite(hot) => {
                let Steps {
                    first,
                    rest,
                    values,
                } = steps;
                let done = format!("SELECT unhex(value) FROM json_each(${})", values.len() + 1);
                let rest = rest
                    .iter()
                    .map(|text| text.replace("#done", &done))
                    .collect();
                hot.steps(first, rest, values).await
            }
            Hot::Postgres(hot) => {
                let mut text = format!("WITH done AS ({})", steps.first);
                for (place, step) in steps.rest.iter().enumerate() {
                    let step = step.replace("#done", "SELECT id FROM done");
                    let _written = write!(text, ", step{place} AS ({step})").is_ok();
                }
                text.push_str(" SELECT id FROM done");
                #[cfg(test)]
                if let Ok(mut asked) = self.asked_hot.lock() {
                    asked.push((text.clone(), steps.values.clone()));
                }
                hot.steps(text, steps.values).await
            }
        }
    }

    /// Makes a statement that writes.
    pub(super) fn writing(&self, text: &str, values: Vec<Value>) -> Statement {
        let backend = self.backend();
        let statement = Statement::from_sql_and_values(backend, text, values);
        #[cfg(test)]
        if let Ok(mut asked) = self.asked.lock() {
            asked.push(statement.clone());
        }
        statement
    }
}
