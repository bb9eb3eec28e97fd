//! Numbers as jq shows them, with integers exact as far as JSON values carry them.

use std::cmp::Ordering;

/// The largest integer below which each one has its own float.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// A number.
#[derive(Debug, Clone, Copy)]
pub(in crate::expression) enum Number {
    Int(i64),
    /// Above `i64::MAX`.
    Large(u64),
    Float(f64),
}

impl Number {
    /// Gives an integer exactly where it fits, else the nearest float.
    pub(in crate::expression) fn from_i128(value: i128) -> Self {
        match (i64::try_from(value), u64::try_from(value)) {
            (Ok(value), _) => Self::Int(value),
            (_, Ok(value)) => Self::Large(value),
            #[expect(clippy::cast_precision_loss, reason = "as jq does beyond 64 bits")]
            _ => Self::Float(value as f64),
        }
    }

    /// Gives the result of a calculation: whole numbers become integers, since jq
    /// shows `4 / 2` as 2.
    pub(in crate::expression) fn from_result(value: f64) -> Self {
        let negative_zero = value == 0.0 && value.is_sign_negative();
        if value.fract() == 0.0 && value.abs() <= EXACT_MAX && !negative_zero {
            #[expect(clippy::cast_possible_truncation, reason = "whole and at most 2^53")]
            let value = value as i64;
            Self::Int(value)
        } else {
            Self::Float(value)
        }
    }

    /// Gives the value, if it was made an integer.
    pub(in crate::expression) fn as_integer(self) -> Option<i128> {
        match self {
            Self::Int(value) => Some(i128::from(value)),
            Self::Large(value) => Some(i128::from(value)),
            Self::Float(_) => None,
        }
    }

    /// Gives the nearest float.
    #[expect(clippy::cast_precision_loss, reason = "the nearest float is meant")]
    pub(in crate::expression) fn as_float(self) -> f64 {
        match self {
            Self::Int(value) => value as f64,
            Self::Large(value) => value as f64,
            Self::Float(value) => value,
        }
    }

    /// Gives the value without its fraction, within the range of `i64`.
    pub(in crate::expression) fn truncate(self) -> i64 {
        match self {
            Self::Int(value) => value,
            Self::Large(_) => i64::MAX,
            #[expect(clippy::cast_possible_truncation, reason = "saturates, as jq does")]
            Self::Float(value) => value as i64,
        }
    }

    /// Orders numbers; one that is not a number is less than every other one.
    pub(in crate::expression) fn compare(self, other: Self) -> Ordering {
        match (self.as_integer(), other.as_integer()) {
            (Some(left), Some(right)) => left.cmp(&right),
            _ => compare_floats(self.as_float(), other.as_float()),
        }
    }
}

fn compare_floats(left: f64, right: f64) -> Ordering {
    match left.partial_cmp(&right) {
        Some(order) => order,
        None if left.is_nan() => Ordering::Less,
        None => Ordering::Greater,
    }
}
