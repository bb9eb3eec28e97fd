//! The key of a subscription's correlations, by which an event finds the few that it is
//! for among all that wait for its type.

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::interpreter::Filter;

/// What a subscription's correlations are, as numbers that an index can have.
///
/// Two that are equal may still differ in what they stand for, if seldom: whoever finds
/// a subscription by them holds the event against its filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Correlation {
    /// The kind: stands for the expressions that are applied to the event.
    pub by: i64,
    /// Stands for the values that they must give.
    pub to: i64,
}

/// Which correlated subscriptions are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Correlated {
    /// The kind.
    pub by: i64,
    /// What the expressions gave; nothing asks for all of the kind.
    pub to: Option<i64>,
}

impl Correlation {
    /// Gives the key of a filter, if it has correlations.
    #[must_use]
    pub fn of(filter: &Filter) -> Option<Self> {
        let expected = filter.correlate.iter().map(|one| &one.expect);
        Self::met(filter, &expected.collect::<Vec<_>>())
    }

    /// Gives the key that a filter would have if it expected these values.
    #[must_use]
    pub fn met(filter: &Filter, values: &[&Value]) -> Option<Self> {
        if filter.correlate.is_empty() {
            return None;
        }
        let mut by = Sha256::new();
        for one in &filter.correlate {
            part(&mut by, one.from.as_bytes());
        }
        let mut to = Sha256::new();
        for value in values {
            digest(&mut to, value);
        }
        Some(Self {
            by: short(by),
            to: short(to),
        })
    }
}

/// Takes a value so that equal ones give the same, whatever the order of their fields.
fn digest(into: &mut Sha256, value: &Value) {
    match value {
        Value::Object(fields) => {
            into.update(b"{");
            let mut names: Vec<_> = fields.keys().collect();
            names.sort_unstable();
            for name in names {
                part(into, name.as_bytes());
                if let Some(field) = fields.get(name) {
                    digest(into, field);
                }
            }
            into.update(b"}");
        }
        Value::Array(items) => {
            into.update(b"[");
            for item in items {
                digest(into, item);
            }
            into.update(b"]");
        }
        Value::String(text) => {
            into.update(b"\"");
            part(into, text.as_bytes());
        }
        // Zero and its negative are equal and written differently.
        Value::Number(number) if number.is_f64() && number.as_f64() == Some(0.0) => {
            part(into, b"0.0");
        }
        plain => part(into, plain.to_string().as_bytes()),
    }
}

fn part(into: &mut Sha256, bytes: &[u8]) {
    into.update((bytes.len() as u64).to_le_bytes());
    into.update(bytes);
}

fn short(digest: Sha256) -> i64 {
    let mut first = [0; 8];
    first.copy_from_slice(&digest.finalize()[..8]);
    i64::from_le_bytes(first)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::interpreter::FilterCorrelation;

    fn key(from: &str, expect: Value) -> Option<Correlation> {
        Correlation::of(&Filter {
            with: Vec::new(),
            correlate: vec![FilterCorrelation {
                from: from.to_owned(),
                expect,
            }],
        })
    }

    #[test]
    fn equal_values_have_the_same_key() {
        let one = key(".a", json!({"x": 1, "y": [-0.0, "z"]}));
        let other = serde_json::from_str(r#"{"y": [0.0, "z"], "x": 1}"#);
        assert_eq!(one, key(".a", other.expect("it is JSON")));
    }

    #[test]
    fn values_expressions_and_their_borders_are_told_apart() {
        let all = [
            key(".a", json!(1)),
            key(".b", json!(1)),
            key(".a", json!(1.0)),
            key(".a", json!("1")),
            key(".a", json!(["1", "2"])),
            key(".a", json!([["1"], "2"])),
            key(".a", json!(["12"])),
            key(".a", json!({"1": "2"})),
            key(".a", json!(null)),
        ];
        for (place, one) in all.iter().enumerate() {
            assert!(!all[..place].contains(one), "number {place}");
        }
    }

    #[test]
    fn filter_without_correlations_has_no_key() {
        let filter = Filter {
            with: Vec::new(),
            correlate: Vec::new(),
        };
        assert_eq!(None, Correlation::of(&filter));
    }
}
