//! What jaq asks of a value: making, taking apart and updating it.

use std::rc::Rc;

use jaq_core::box_iter::box_once;
use jaq_core::path::Opt;
use jaq_core::val::{Range, ValX};
use jaq_core::{Exn, ValT};

use super::super::meter;
use super::{Entries, Error, List, Number, Object, Val, ValR, spent_error, text};

type Results<T> = Box<dyn Iterator<Item = Result<T, Error>>>;

impl From<bool> for Val {
    fn from(value: bool) -> Self {
        meter::work(1);
        Self::Bool(value)
    }
}

impl From<isize> for Val {
    fn from(value: isize) -> Self {
        meter::work(1);
        Self::Number(Number::from_i128(value as i128))
    }
}

impl From<usize> for Val {
    fn from(value: usize) -> Self {
        meter::work(1);
        Self::Number(Number::from_i128(value as i128))
    }
}

impl From<f64> for Val {
    fn from(value: f64) -> Self {
        meter::work(1);
        Self::Number(Number::from_result(value))
    }
}

/// jaq makes texts this way from the source and for its own messages only.
impl From<String> for Val {
    fn from(text: String) -> Self {
        Self::new_text(text, true)
    }
}

impl From<Range<Val>> for Val {
    fn from(range: Range<Val>) -> Self {
        let bounds = [("start", range.start), ("end", range.end)];
        let entries = bounds
            .into_iter()
            .filter_map(|(name, bound)| Some((name.into(), bound?)));
        Self::object(entries.collect())
    }
}

/// Stops taking items once the budget is used up.
impl FromIterator<Val> for Val {
    fn from_iter<I: IntoIterator<Item = Val>>(items: I) -> Self {
        let mut taken = Vec::new();
        for item in items {
            meter::work(1);
            if !meter::allocate(super::SLOT_BYTES) {
                break;
            }
            taken.push(item);
        }
        Self::list(taken)
    }
}

impl ValT for Val {
    fn from_num(digits: &str) -> ValR {
        meter::handle(digits.len());
        let number = match (digits.parse::<i64>(), digits.parse::<u64>()) {
            (Ok(value), _) => Number::Int(value),
            (_, Ok(value)) => Number::Large(value),
            _ => match digits.parse() {
                Ok(value) => Number::Float(value),
                Err(_) => return Err(Error::str("not a number")),
            },
        };
        Ok(Self::Number(number))
    }

    fn from_map<I: IntoIterator<Item = (Self, Self)>>(pairs: I) -> ValR {
        let mut entries = Entries::new();
        for (key, value) in pairs {
            if meter::spent().is_some() {
                return Err(spent_error());
            }
            entries.insert(key_of(&key)?, value);
        }
        Ok(Self::object(entries))
    }

    fn key_values(self) -> Results<(Self, Self)> {
        match self {
            Self::List(list) => {
                let item = move |index: usize| {
                    let item = list.items.get(index)?.clone();
                    Some(Ok((Self::from(index), item)))
                };
                Box::new(
                    (0..)
                        .map_while(item)
                        .take_while(|_| meter::spent().is_none()),
                )
            }
            Self::Object(object) => Box::new(
                (0..)
                    .map_while(move |index| {
                        let (key, value) = object.entries.get_index(index)?;
                        Some(Ok((Self::text(&**key), value.clone())))
                    })
                    .take_while(|_| meter::spent().is_none()),
            ),
            other => box_once(Err(Error::typ(other, "iterable (array or object)"))),
        }
    }

    fn values(self) -> Results<Self> {
        match self {
            Self::List(list) => match Rc::try_unwrap(list) {
                Ok(list) => Box::new(list.items.into_iter().map(Ok).take_while(unspent)),
                Err(list) => Box::new(
                    (0..)
                        .map_while(move |index| list.items.get(index).cloned().map(Ok))
                        .take_while(unspent),
                ),
            },
            Self::Object(object) => Box::new(
                (0..)
                    .map_while(move |index| {
                        let (_, value) = object.entries.get_index(index)?;
                        Some(Ok(value.clone()))
                    })
                    .take_while(unspent),
            ),
            other => box_once(Err(Error::typ(other, "iterable (array or object)"))),
        }
    }

    fn index(self, index: &Self) -> ValR {
        self.find(index).map(Option::unwrap_or_default)
    }

    fn range(self, range: Range<&Self>) -> ValR {
        match &self {
            Self::Null => Ok(Self::Null),
            Self::Text(whole) => {
                let (from, to) = text_bounds(&whole.text, &range)?;
                Ok(Self::text(whole.text.get(from..to).unwrap_or_default()))
            }
            Self::List(list) => {
                let (from, to) = bounds(&range, list.items.len())?;
                let items = list.items.get(from..to).unwrap_or_default();
                Ok(items.iter().cloned().collect())
            }
            _ => Err(Error::typ(self, "rangeable (array or string)")),
        }
    }

    fn map_values<'a, I: Iterator<Item = ValX<'a, Self>>>(
        self,
        opt: Opt,
        update: impl Fn(Self) -> I,
    ) -> ValX<'a, Self> {
        match self {
            Self::List(list) => {
                let mut items = Vec::new();
                for item in List::owned(list)?.items {
                    for item in update(item) {
                        items.push(item?);
                        check_spent()?;
                    }
                }
                Ok(Self::list(items))
            }
            Self::Object(object) => {
                let mut entries = Entries::new();
                for (key, value) in Object::owned(object)?.entries {
                    check_spent()?;
                    if let Some(value) = update(value).next() {
                        entries.insert(key, value?);
                    }
                }
                Ok(Self::object(entries))
            }
            other => opt.fail(other, |other| {
                Exn::from(Error::typ(other, "iterable (array or object)"))
            }),
        }
    }

    fn map_index<'a, I: Iterator<Item = ValX<'a, Self>>>(
        self,
        index: &Self,
        opt: Opt,
        update: impl Fn(Self) -> I,
    ) -> ValX<'a, Self> {
        match (self, index) {
            (Self::Null, Self::Text(_) | Self::Number(_)) => match update(Self::Null).next() {
                Some(new) => Ok(around(new?, index)?),
                None => Ok(Self::Null),
            },
            (value @ (Self::Null | Self::List(_) | Self::Text(_)), Self::Object(range)) => {
                let bound = |name| range.entries.get(name);
                value.map_range(bound("start")..bound("end"), opt, update)
            }
            (Self::Object(object), Self::Text(key)) => {
                let mut object = Object::owned(object)?;
                let key: Rc<str> = key.text.as_str().into();
                let old = object.take(&key);
                match update(old.unwrap_or_default()).next() {
                    Some(value) => object.insert(key, value?),
                    None => object.remove(&key),
                }
                meter::admit(object.weight, object.depth);
                Ok(Self::Object(Rc::new(object)))
            }
            (Self::List(list), Self::Number(number)) => {
                let Some(place) = place(*number, list.items.len()) else {
                    let failed = || Exn::from(Error::str("index is before the array's start"));
                    return opt.fail(Self::List(list), |_| failed());
                };
                let mut list = List::owned(list)?;
                let old = list.take(place);
                match update(old.unwrap_or_default()).next() {
                    Some(value) => list.put(place, value?)?,
                    None => list.remove(place),
                }
                meter::admit(list.weight, list.depth);
                Ok(Self::List(Rc::new(list)))
            }
            (value, index) => opt.fail(value, |value| Exn::from(cannot_index(&value, index))),
        }
    }

    fn map_range<'a, I: Iterator<Item = ValX<'a, Self>>>(
        self,
        range: Range<&Self>,
        opt: Opt,
        update: impl Fn(Self) -> I,
    ) -> ValX<'a, Self> {
        match self {
            Self::Null => Self::list(Vec::new()).map_range(range, opt, update),
            Self::List(list) => {
                let (from, to) = match bounds(&range, list.items.len()) {
                    Ok(bounds) => bounds,
                    Err(error) => return opt.fail(Self::List(list), |_| Exn::from(error)),
                };
                let mut items = List::owned(list)?.items;
                let part: Self = items
                    .get(from..to)
                    .unwrap_or_default()
                    .iter()
                    .cloned()
                    .collect();
                let new = match update(part).next().transpose()? {
                    Some(new) => new.as_items()?.to_vec(),
                    None => Vec::new(),
                };
                items.splice(from..to, new);
                Ok(Self::list(items))
            }
            other => opt.fail(other, |other| Exn::from(Error::typ(other, "array"))),
        }
    }

    fn as_bool(&self) -> bool {
        !matches!(self, Self::Null | Self::Bool(false))
    }

    fn into_string(self) -> Self {
        match self {
            Self::Text(_) => self,
            other => Self::text(text(&other)),
        }
    }
}

impl Val {
    /// Gives the value at an index, if there is one.
    pub(in crate::expression) fn find(&self, index: &Self) -> Result<Option<Self>, Error> {
        meter::work(1);
        if meter::spent().is_some() {
            return Err(spent_error());
        }
        Ok(match (self, index) {
            (Self::Null, Self::Null | Self::Text(_) | Self::Number(_) | Self::Object(_)) => None,
            (Self::Object(object), Self::Text(key)) => {
                object.entries.get(key.text.as_str()).cloned()
            }
            (Self::List(list), Self::Number(number)) => {
                place(*number, list.items.len()).and_then(|place| list.items.get(place).cloned())
            }
            (Self::List(list), Self::List(part)) => Some(indices_of_part(&list.items, &part.items)),
            (value @ (Self::List(_) | Self::Text(_)), Self::Object(range)) => {
                let bound = |name| range.entries.get(name);
                Some(value.clone().range(bound("start")..bound("end"))?)
            }
            (value, index) => return Err(cannot_index(value, index)),
        })
    }
}

/// Gives where a part begins inside a list, each time.
pub(in crate::expression) fn indices_of_part(items: &[Val], part: &[Val]) -> Val {
    if part.is_empty() {
        return Val::Null;
    }
    let windows = items.windows(part.len()).enumerate();
    let found = windows
        .take_while(|_| meter::spent().is_none())
        .filter(|(_, window)| *window == part)
        .map(|(index, _)| Val::from(index));
    found.collect()
}

/// Names the types, and the key where the source says it.
fn cannot_index(value: &Val, index: &Val) -> Error {
    let value = value.type_name();
    match index {
        Val::Text(key) if key.public => {
            Error::str(format_args!("cannot index {value} with \"{}\"", key.text))
        }
        other => Error::str(format_args!(
            "cannot index {value} with {}",
            other.type_name()
        )),
    }
}

/// Makes the array or object that has a value at an index.
fn around(value: Val, index: &Val) -> ValR {
    match index {
        Val::Number(number) => match place(*number, 0) {
            Some(place) => {
                let mut list = List::default();
                list.put(place, value)?;
                meter::admit(list.weight, list.depth);
                Ok(Val::List(Rc::new(list)))
            }
            None => Err(Error::str("index is before the array's start")),
        },
        key => Val::from_map([(key.clone(), value)]),
    }
}

fn unspent(_: &ValR) -> bool {
    meter::spent().is_none()
}

fn check_spent<'a>() -> Result<(), Exn<'a, Val>> {
    match meter::spent() {
        None => Ok(()),
        Some(_) => Err(spent_error().into()),
    }
}

fn key_of(key: &Val) -> Result<Rc<str>, Error> {
    match key {
        Val::Text(key) => {
            meter::handle(key.text.len());
            Ok(key.text.as_str().into())
        }
        other => Err(Error::typ(other.clone(), "object key; keys are strings")),
    }
}

/// Gives the place that an index means in an array, which may be past its end.
fn place(index: Number, length: usize) -> Option<usize> {
    let index = match index {
        Number::Float(value) if value.is_nan() => return None,
        Number::Float(value) => Number::Float(value.floor()).truncate(),
        other => other.truncate(),
    };
    match usize::try_from(index) {
        Ok(index) => Some(index),
        Err(_) => length.checked_sub(usize::try_from(index.unsigned_abs()).ok()?),
    }
}

/// Gives a range as positions within `0..=length`.
fn bounds(range: &Range<&Val>, length: usize) -> Result<(usize, usize), Error> {
    let bound = |value: Option<&Val>, absent: usize, round: fn(f64) -> f64| match value {
        None | Some(Val::Null) => Ok(absent),
        Some(Val::Number(number)) => {
            let index = match number {
                Number::Float(value) => Number::Float(round(*value)).truncate(),
                other => other.truncate(),
            };
            Ok(match usize::try_from(index) {
                Ok(index) => index.min(length),
                Err(_) => {
                    let back = usize::try_from(index.unsigned_abs()).unwrap_or(usize::MAX);
                    length.saturating_sub(back)
                }
            })
        }
        Some(other) => Err(Error::typ(other.clone(), "integer")),
    };
    let from = bound(range.start, 0, f64::floor)?;
    let to = bound(range.end, length, f64::ceil)?;
    Ok((from, to.max(from)))
}

/// Gives a range of characters as positions in bytes.
fn text_bounds(text: &str, range: &Range<&Val>) -> Result<(usize, usize), Error> {
    meter::handle(text.len());
    let (from, to) = bounds(range, text.chars().count())?;
    let byte = |character| {
        text.char_indices()
            .nth(character)
            .map_or(text.len(), |(at, _)| at)
    };
    Ok((byte(from), byte(to)))
}

impl jaq_std::ValT for Val {
    fn into_seq<S: FromIterator<Self>>(self) -> Result<S, Self> {
        match self {
            Self::List(list) => Ok(match Rc::try_unwrap(list) {
                Ok(list) => list.items.into_iter().collect(),
                Err(list) => list.items.iter().cloned().collect(),
            }),
            other => Err(other),
        }
    }

    fn is_int(&self) -> bool {
        matches!(self, Self::Number(number) if number.as_integer().is_some())
    }

    fn as_isize(&self) -> Option<isize> {
        match self {
            Self::Number(number) => isize::try_from(number.as_integer()?).ok(),
            _ => None,
        }
    }

    fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(number.as_float()),
            _ => None,
        }
    }

    fn is_utf8_str(&self) -> bool {
        matches!(self, Self::Text(_))
    }

    fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Text(text) => Some(text.text.as_bytes()),
            _ => None,
        }
    }

    fn as_sub_str(&self, part: &[u8]) -> Self {
        Self::text(String::from_utf8_lossy(part))
    }

    fn from_utf8_bytes(bytes: impl AsRef<[u8]> + Send + 'static) -> Self {
        Self::text(String::from_utf8_lossy(bytes.as_ref()))
    }
}
