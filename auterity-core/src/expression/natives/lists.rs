//! Filters on arrays, and the ones that look for something in a value.

use jaq_core::box_iter::box_once;
use jaq_core::native::{self, bome};
use jaq_core::val::ValX;
use jaq_core::{Bind, Cv, Error, ValXs};

use super::super::meter;
use super::super::value::{Val, ValR, count_sort, indices_of_part};
use super::{Data, Run, simple, with_argument};

pub(super) fn natives() -> Vec<Run> {
    let closure = || [Bind::Fun(())].into();
    vec![
        simple("sort", |cv| {
            bome(cv.1.as_items().and_then(|items| {
                count_sort(items)?;
                let mut items = items.to_vec();
                items.sort();
                Ok(Val::list(items))
            }))
        }),
        ("sort_by", closure(), |cv| {
            box_once(sorted_by(cv).map(|sorted| sorted.into_iter().map(|(_, item)| item).collect()))
        }),
        ("group_by", closure(), |cv| {
            box_once(sorted_by(cv).map(group))
        }),
        ("contains", native::v(1), |cv| {
            with_argument(cv, |whole, part| Ok(Val::from(contains(&whole, &part))))
        }),
        ("has", native::v(1), |cv| {
            with_argument(cv, |value, key| match (&value, &key) {
                (Val::Object(object), Val::Text(key)) => {
                    Ok(Val::from(object.entries().contains_key(key.text.as_str())))
                }
                (Val::List(list), Val::Number(number)) => {
                    let index = usize::try_from(number.truncate());
                    Ok(Val::from(
                        index.is_ok_and(|index| index < list.items().len()),
                    ))
                }
                _ => Err(Error::index(value, key)),
            })
        }),
        ("indices", native::v(1), |cv| {
            with_argument(cv, |value, part| indices(&value, &part))
        }),
        ("bsearch", native::v(1), |cv| {
            with_argument(cv, |value, wanted| {
                let items = value.as_items()?;
                count_sort(std::slice::from_ref(&wanted))?;
                meter::work(wanted.weight() / meter::BYTES_PER_OPERATION * 64 + 64);
                Ok(match items.binary_search(&wanted) {
                    Ok(place) => Val::from(place),
                    Err(place) => (-Val::from(place))?.previous()?,
                })
            })
        }),
    ]
}

impl Val {
    fn previous(self) -> ValR {
        self - Self::from(1_usize)
    }
}

/// Gives the items with what the filter gives for each, in order of that.
fn sorted_by<'a>(mut cv: Cv<'a, Data>) -> ValX<'a, Vec<(Val, Val)>, Val> {
    let (filter, context) = cv.0.pop_fun();
    let items = cv.1.as_items()?.to_vec();
    let mut keys = Vec::with_capacity(items.len());
    for item in &items {
        let outputs: ValXs<'a, Val> = filter.run((context.clone(), item.clone()));
        keys.push(outputs.collect::<ValX<'a, Val>>()?);
    }
    count_sort(&keys)?;
    let mut pairs: Vec<(Val, Val)> = keys.into_iter().zip(items).collect();
    pairs.sort_by(|(left, _), (right, _)| left.cmp(right));
    Ok(pairs)
}

fn group(sorted: Vec<(Val, Val)>) -> Val {
    let mut groups: Vec<Vec<Val>> = Vec::new();
    let mut last: Option<Val> = None;
    for (key, item) in sorted {
        match groups.last_mut().filter(|_| last.as_ref() == Some(&key)) {
            Some(group) => group.push(item),
            None => groups.push(vec![item]),
        }
        last = Some(key);
    }
    groups.into_iter().map(Val::list).collect()
}

fn contains(whole: &Val, part: &Val) -> bool {
    meter::work(1);
    if meter::spent().is_some() {
        return false;
    }
    match (whole, part) {
        (Val::Text(whole), Val::Text(part)) => {
            meter::handle(whole.text.len());
            whole.text.contains(&part.text)
        }
        (Val::List(whole), Val::List(parts)) => {
            let within = |part| whole.items().iter().any(|item| contains(item, part));
            parts.items().iter().all(within)
        }
        (Val::Object(whole), Val::Object(parts)) => {
            let within = |(key, part)| {
                let found = whole.entries().get(key);
                found.is_some_and(|value| contains(value, part))
            };
            parts.entries().iter().all(within)
        }
        _ => whole == part,
    }
}

fn indices(value: &Val, part: &Val) -> ValR {
    match (value, part) {
        (Val::Null, _) => Ok(Val::Null),
        (Val::Text(whole), Val::Text(part)) => Ok(text_indices(&whole.text, &part.text)),
        (Val::List(whole), Val::List(part)) => Ok(indices_of_part(whole.items(), part.items())),
        (Val::List(whole), wanted) => {
            let places = whole.items().iter().enumerate();
            let found = places.filter(|(_, item)| *item == wanted);
            Ok(found.map(|(place, _)| Val::from(place)).collect())
        }
        _ => Err(Error::index(value.clone(), part.clone())),
    }
}

/// Gives where a text begins in another one, counted in characters.
fn text_indices(whole: &str, part: &str) -> Val {
    if part.is_empty() {
        return Val::Null;
    }
    meter::handle(whole.len());
    let places = whole
        .char_indices()
        .enumerate()
        .take_while(|_| meter::spent().is_none());
    let found = places.filter_map(|(place, (start, _))| {
        let rest = whole.get(start..)?;
        if !rest.starts_with(part) {
            return None;
        }
        meter::handle(part.len());
        Some(Val::from(place))
    });
    found.collect()
}
