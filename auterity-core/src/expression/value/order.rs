//! jq's order of values.

use std::cmp::Ordering;
use std::rc::Rc;

use super::super::meter;
use super::{Object, Val};

impl Val {
    /// Counts a comparison with another value, before it is done.
    fn count_comparison(&self, other: &Self) -> bool {
        meter::work(1 + self.weight().min(other.weight()) / meter::BYTES_PER_OPERATION);
        meter::spent().is_none()
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Null => 0,
            Self::Bool(_) => 1,
            Self::Number(_) => 2,
            Self::Text(_) => 3,
            Self::List(_) => 4,
            Self::Object(_) => 5,
        }
    }

    fn equals(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(left), Self::Bool(right)) => left == right,
            (Self::Number(left), Self::Number(right)) => left.compare(*right) == Ordering::Equal,
            (Self::Text(left), Self::Text(right)) => left.text == right.text,
            (Self::List(left), Self::List(right)) => {
                let pairs = || left.items.iter().zip(&right.items);
                left.items.len() == right.items.len() && pairs().all(|(l, r)| l.equals(r))
            }
            (Self::Object(left), Self::Object(right)) => {
                let matches = |(key, value): (&Rc<str>, &Self)| {
                    right
                        .entries
                        .get(key)
                        .is_some_and(|other| value.equals(other))
                };
                left.entries.len() == right.entries.len() && left.entries.iter().all(matches)
            }
            _ => false,
        }
    }
}

/// Counts and, once the budget is used up, says "different".
impl PartialEq for Val {
    fn eq(&self, other: &Self) -> bool {
        self.count_comparison(other) && self.equals(other)
    }
}

impl Eq for Val {}

/// Counts and, once the budget is used up, says nothing.
#[expect(
    clippy::non_canonical_partial_ord_impl,
    reason = "operators come here and are counted; sorting uses `cmp` and counts beforehand"
)]
impl PartialOrd for Val {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.count_comparison(other).then(|| self.cmp(other))
    }
}

/// Never gives up half way, since sorting needs a consistent order: who sorts
/// counts the comparisons beforehand.
impl Ord for Val {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Bool(left), Self::Bool(right)) => left.cmp(right),
            (Self::Number(left), Self::Number(right)) => left.compare(*right),
            (Self::Text(left), Self::Text(right)) => left.text.cmp(&right.text),
            (Self::List(left), Self::List(right)) => left.items.cmp(&right.items),
            (Self::Object(left), Self::Object(right)) => compare_objects(left, right),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

/// Compares the sorted keys first and then the values in their order.
fn compare_objects(left: &Object, right: &Object) -> Ordering {
    let (left, right) = (sorted(left), sorted(right));
    let keys = left
        .iter()
        .map(|(key, _)| key)
        .cmp(right.iter().map(|(key, _)| key));
    keys.then_with(|| {
        left.iter()
            .map(|(_, value)| value)
            .cmp(right.iter().map(|(_, value)| value))
    })
}

fn sorted(object: &Object) -> Vec<(&Rc<str>, &Val)> {
    let mut entries: Vec<_> = object.entries.iter().collect();
    entries.sort_by_key(|(key, _)| *key);
    entries
}
