//! Attributes of events and cases, one column for each name.

use hashbrown::HashMap;

use super::labels::{Labels, NO_LABEL, Refused};
use crate::num::u32_of;

/// What the values of a column are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ValueKind {
    /// Texts.
    Text,
    /// Whole numbers.
    Integer,
    /// Numbers.
    Float,
    /// `true` or `false`.
    Boolean,
    /// Times.
    Time,
}

/// The values of one attribute, as they were written, each different value kept once.
#[derive(Debug, Clone)]
pub struct Column {
    name: String,
    kind: ValueKind,
    values: Labels,
    codes: Codes,
}

/// Which value each row has.
#[derive(Debug, Clone)]
enum Codes {
    /// One entry for each row.
    Dense(Vec<u32>),
    /// The rows that have a value, in order, and their values.
    Sparse(Vec<u32>, Vec<u32>),
}

impl Column {
    /// Gives the attribute's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Gives what the values are.
    #[must_use]
    pub fn kind(&self) -> ValueKind {
        self.kind
    }

    /// Gives the different values.
    #[must_use]
    pub fn values(&self) -> &Labels {
        &self.values
    }

    /// Gives the number of a row's value among [`Self::values`].
    #[must_use]
    pub fn code(&self, row: usize) -> Option<u32> {
        let code = match &self.codes {
            Codes::Dense(codes) => codes.get(row).copied(),
            Codes::Sparse(rows, codes) => {
                let row = u32::try_from(row).ok()?;
                rows.binary_search(&row).ok().map(|at| codes[at])
            }
        };
        code.filter(|&code| code != NO_LABEL)
    }

    /// Gives a row's value as it was written.
    #[must_use]
    pub fn text(&self, row: usize) -> Option<&str> {
        self.code(row).map(|code| self.values.name(code))
    }

    /// Gives the column of other rows: of each entry the row with that number.
    pub(crate) fn select(&self, rows: &[u32]) -> Self {
        let codes = rows
            .iter()
            .map(|&row| self.code(row as usize).unwrap_or(NO_LABEL))
            .collect();
        Self {
            name: self.name.clone(),
            kind: self.kind,
            values: self.values.clone(),
            codes: Codes::Dense(codes).packed(),
        }
    }
}

impl Codes {
    /// The form that takes less memory.
    fn packed(self) -> Self {
        let Self::Dense(codes) = self else {
            return self;
        };
        let present = codes.iter().filter(|&&code| code != NO_LABEL).count();
        if codes.len() <= present * 2 {
            return Self::Dense(codes);
        }
        let rows = (0..u32_of(codes.len())).filter(|&row| codes[row as usize] != NO_LABEL);
        let rows: Vec<u32> = rows.collect();
        let kept = rows.iter().map(|&row| codes[row as usize]).collect();
        Self::Sparse(rows, kept)
    }
}

/// Columns that grow row by row.
#[derive(Debug, Default)]
pub(crate) struct ColumnSet {
    by_name: HashMap<Vec<u8>, usize>,
    columns: Vec<Growing>,
}

#[derive(Debug)]
struct Growing {
    name: String,
    kind: ValueKind,
    values: Labels,
    rows: Vec<u32>,
    codes: Vec<u32>,
}

impl ColumnSet {
    /// The column of a name, made if there is none and fewer than `columns_max`.
    pub(crate) fn column(
        &mut self,
        name: &[u8],
        kind: ValueKind,
        columns_max: usize,
    ) -> Option<usize> {
        if let Some(&column) = self.by_name.get(name) {
            return Some(column);
        }
        if columns_max <= self.columns.len() {
            return None;
        }
        let column = self.columns.len();
        self.by_name.insert(name.to_vec(), column);
        self.columns.push(Growing {
            name: String::from_utf8_lossy(name).into_owned(),
            kind,
            values: Labels::default(),
            rows: Vec::new(),
            codes: Vec::new(),
        });
        Some(column)
    }

    /// Sets the value of a row. Rows come in order; the first value of a row counts.
    pub(crate) fn set(&mut self, column: usize, row: u32, value: &[u8]) -> Result<(), Refused> {
        let column = &mut self.columns[column];
        if column.rows.last().is_some_and(|&last| row <= last) {
            return Ok(());
        }
        let code = column.values.intern(value)?;
        column.rows.push(row);
        column.codes.push(code);
        Ok(())
    }

    /// The finished columns, with the rows in a new order: the row that is `order[i]` now
    /// becomes row `i`.
    pub(crate) fn finish(self, rows: usize, order: Option<&[u32]>) -> Vec<Column> {
        let place: Option<Vec<u32>> = order.map(|order| {
            let mut place = vec![0; order.len()];
            for (to, &from) in order.iter().enumerate() {
                place[from as usize] = u32_of(to);
            }
            place
        });
        let columns = self.columns.into_iter();
        columns
            .map(|growing| Column {
                codes: codes(&growing, rows, place.as_deref()),
                name: growing.name,
                kind: growing.kind,
                values: growing.values,
            })
            .collect()
    }
}

fn codes(growing: &Growing, rows: usize, place: Option<&[u32]>) -> Codes {
    let at = |row: u32| place.map_or(row, |place| place[row as usize]);
    let pairs = growing.rows.iter().zip(&growing.codes);
    if rows <= growing.rows.len() * 2 {
        let mut codes = vec![NO_LABEL; rows];
        for (&row, &code) in pairs {
            codes[at(row) as usize] = code;
        }
        return Codes::Dense(codes);
    }
    let mut placed: Vec<(u32, u32)> = pairs.map(|(&row, &code)| (at(row), code)).collect();
    placed.sort_unstable();
    let (rows, codes) = placed.into_iter().unzip();
    Codes::Sparse(rows, codes)
}

#[cfg(test)]
mod tests {
    use super::{ColumnSet, ValueKind};

    #[test]
    fn values_are_found_again_in_a_new_order_whether_many_or_few_rows_have_one() {
        let mut set = ColumnSet::default();
        let dense = set.column(b"dense", ValueKind::Text, 2).unwrap();
        let sparse = set.column(b"sparse", ValueKind::Integer, 2).unwrap();
        assert_eq!(set.column(b"third", ValueKind::Text, 2), None);
        for row in 0..10 {
            set.set(dense, row, format!("d{row}").as_bytes()).unwrap();
        }
        set.set(sparse, 3, b"33").unwrap();
        set.set(sparse, 3, b"later values do not count").unwrap();
        let order: Vec<u32> = (0..10).rev().collect();
        let columns = set.finish(10, Some(&order));
        assert_eq!(columns[0].text(0), Some("d9"));
        assert_eq!(columns[1].text(6), Some("33"));
        assert_eq!(columns[1].text(3), None);
        assert_eq!(columns[1].select(&[6, 0]).text(0), Some("33"));
        assert_eq!(columns[1].select(&[6, 0]).text(1), None);
    }
}
