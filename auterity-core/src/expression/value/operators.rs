//! jq's arithmetic.

use std::collections::BTreeSet;
use std::ops::{Add, Div, Mul, Neg, Rem, Sub};
use std::rc::Rc;

use jaq_core::ops::Math;

use super::super::meter;
use super::{Entries, Error, List, Number, Object, Text, Val, ValR, spent_error};

impl Add for Val {
    type Output = ValR;

    fn add(self, other: Self) -> ValR {
        meter::work(1);
        if meter::spent().is_some() {
            return Err(spent_error());
        }
        match (self, other) {
            (Self::Null, value) | (value, Self::Null) => Ok(value),
            (Self::Number(left), Self::Number(right)) => {
                Ok(calculate(left, right, i128::checked_add, |left, right| {
                    left + right
                }))
            }
            (Self::Text(left), Self::Text(right)) => concatenate(left, &right),
            (Self::List(left), Self::List(right)) => append(left, &right),
            (Self::Object(left), Self::Object(right)) => merge(left, &right),
            (left, right) => Err(Error::math(left, Math::Add, right)),
        }
    }
}

impl Sub for Val {
    type Output = ValR;

    fn sub(self, other: Self) -> ValR {
        match (self, other) {
            (Self::Number(left), Self::Number(right)) => {
                Ok(calculate(left, right, i128::checked_sub, |left, right| {
                    left - right
                }))
            }
            (Self::List(left), Self::List(right)) => {
                count_sort(&right.items)?;
                let rounds = u64::from(right.items.len().max(2).ilog2()) + 1;
                meter::work((left.weight / meter::BYTES_PER_OPERATION + 1) * rounds);
                let removed: BTreeSet<&Self> = right.items.iter().collect();
                let kept = left.items.iter().filter(|item| !removed.contains(item));
                Ok(kept.cloned().collect())
            }
            (left, right) => Err(Error::math(left, Math::Sub, right)),
        }
    }
}

impl Mul for Val {
    type Output = ValR;

    fn mul(self, other: Self) -> ValR {
        match (self, other) {
            (Self::Number(left), Self::Number(right)) => {
                Ok(calculate(left, right, i128::checked_mul, |left, right| {
                    left * right
                }))
            }
            (Self::Text(text), Self::Number(times)) | (Self::Number(times), Self::Text(text)) => {
                repeat(&text.text, times)
            }
            (Self::Object(left), Self::Object(right)) => merge_deep(left, &right),
            (left, right) => Err(Error::math(left, Math::Mul, right)),
        }
    }
}

impl Div for Val {
    type Output = ValR;

    fn div(self, other: Self) -> ValR {
        match (self, other) {
            (Self::Number(_), Self::Number(right)) if right.as_float() == 0.0 => {
                Err(Error::str("cannot divide by zero"))
            }
            (Self::Number(left), Self::Number(right)) => {
                let whole = |left: i128, right: i128| match left.checked_rem(right) {
                    Some(0) => left.checked_div(right),
                    _ => None,
                };
                Ok(calculate(left, right, whole, |left, right| left / right))
            }
            (Self::Text(text), Self::Text(separator)) => Ok(split(&text.text, &separator.text)),
            (left, right) => Err(Error::math(left, Math::Div, right)),
        }
    }
}

impl Rem for Val {
    type Output = ValR;

    fn rem(self, other: Self) -> ValR {
        match (self, other) {
            (Self::Number(left), Self::Number(right)) => {
                let integer = |number: Number| {
                    number
                        .as_integer()
                        .unwrap_or_else(|| i128::from(number.truncate()))
                };
                match integer(left).checked_rem(integer(right)) {
                    Some(rest) => Ok(Self::Number(Number::from_i128(rest))),
                    None => Err(Error::str("cannot divide by zero")),
                }
            }
            (left, right) => Err(Error::math(left, Math::Rem, right)),
        }
    }
}

impl Neg for Val {
    type Output = ValR;

    fn neg(self) -> ValR {
        match self {
            Self::Number(number) => Ok(Self::Number(match number.as_integer() {
                Some(value) => Number::from_i128(-value),
                None => Number::Float(-number.as_float()),
            })),
            other => Err(Error::typ(other, "number")),
        }
    }
}

/// Counts the comparisons of sorting these values.
pub(in crate::expression) fn count_sort(values: &[Val]) -> Result<(), Error> {
    let weight = values.iter().map(Val::weight).fold(0, u64::saturating_add);
    let rounds = u64::from(values.len().max(2).ilog2()) + 1;
    let each = (weight / meter::BYTES_PER_OPERATION).saturating_add(values.len() as u64);
    meter::work(each.saturating_mul(rounds));
    match meter::spent() {
        None => Ok(()),
        Some(_) => Err(spent_error()),
    }
}

/// Calculates exactly with integers where that is possible.
fn calculate(
    left: Number,
    right: Number,
    exact: impl Fn(i128, i128) -> Option<i128>,
    rounded: impl Fn(f64, f64) -> f64,
) -> Val {
    let integers = left.as_integer().zip(right.as_integer());
    Val::Number(
        match integers.and_then(|(left, right)| exact(left, right)) {
            Some(value) => Number::from_i128(value),
            None => Number::from_result(rounded(left.as_float(), right.as_float())),
        },
    )
}

fn concatenate(mut left: Rc<Text>, right: &Text) -> ValR {
    let shared = Rc::get_mut(&mut left).is_none();
    let copied = right.text.len() + if shared { left.text.len() } else { 0 };
    meter::handle(copied);
    if !meter::allocate(copied) {
        return Err(spent_error());
    }
    let text = Rc::make_mut(&mut left);
    text.text.push_str(&right.text);
    text.public &= right.public;
    meter::admit(text.text.len() as u64, 0);
    Ok(Val::Text(left))
}

fn append(mut left: Rc<List>, right: &List) -> ValR {
    let shared = Rc::get_mut(&mut left).is_none();
    let copied = right.items.len() + if shared { left.items.len() } else { 0 };
    if !meter::allocate(copied.saturating_mul(super::SLOT_BYTES)) {
        return Err(spent_error());
    }
    let list = Rc::make_mut(&mut left);
    for item in &right.items {
        list.push(item.clone());
    }
    meter::admit(list.weight, list.depth);
    Ok(Val::List(left))
}

fn merge(mut left: Rc<Object>, right: &Object) -> ValR {
    let shared = Rc::get_mut(&mut left).is_none();
    let copied = right.entries.len() + if shared { left.entries.len() } else { 0 };
    if !meter::allocate(copied.saturating_mul(super::ENTRY_BYTES)) {
        return Err(spent_error());
    }
    let object = Rc::make_mut(&mut left);
    for (key, value) in &right.entries {
        object.insert(Rc::clone(key), value.clone());
    }
    meter::admit(object.weight, object.depth);
    Ok(Val::Object(left))
}

/// Merges as `*` does: objects in objects, everything else replaced.
fn merge_deep(left: Rc<Object>, right: &Object) -> ValR {
    let mut entries: Entries = Object::owned(left)?.entries;
    for (key, value) in &right.entries {
        if meter::spent().is_some() {
            return Err(spent_error());
        }
        let merged = match (entries.get_mut(key).map(std::mem::take), value) {
            (Some(Val::Object(old)), Val::Object(new)) => merge_deep(old, new)?,
            (_, new) => new.clone(),
        };
        entries.insert(Rc::clone(key), merged);
    }
    Ok(Val::object(entries))
}

fn repeat(text: &str, times: Number) -> ValR {
    let times = times.as_float().ceil();
    // The opposite of "greater than zero" covers what is not a number.
    if times.partial_cmp(&0.0) != Some(std::cmp::Ordering::Greater) {
        return Ok(Val::Null);
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "positive, and saturates"
    )]
    let times = times as usize;
    if !meter::allocate(text.len().saturating_mul(times)) {
        return Err(spent_error());
    }
    Ok(Val::text(if text.is_empty() {
        String::new()
    } else {
        text.repeat(times)
    }))
}

fn split(text: &str, separator: &str) -> Val {
    meter::handle(text.len());
    let limited = |_: &&str| meter::spent().is_none();
    if text.is_empty() {
        Val::list(Vec::new())
    } else if separator.is_empty() {
        let characters = text.chars().take_while(|_| meter::spent().is_none());
        characters.map(Val::text).collect()
    } else {
        text.split(separator)
            .take_while(limited)
            .map(Val::text)
            .collect()
    }
}
