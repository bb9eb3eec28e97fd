//! The values that jq works on here.
//!
//! Beside JSON's content, arrays and objects know their weight (about their size
//! as text) and depth, though they may share parts: a value of 60 doublings is
//! refused while it is still small in memory. Every operation is metered. The
//! `Display` form shows the type and not the content, because jq puts values
//! into its error messages; see [`Text::public`].

mod access;
mod json;
mod number;
mod operators;
mod order;

use std::fmt;
use std::rc::Rc;

use indexmap::IndexMap;

pub(super) use self::access::indices_of_part;
pub(super) use self::json::{
    copy, copy_members, members_from_json, object_from_json, parse_json, text, to_json,
};
pub(super) use self::number::Number;
pub(super) use self::operators::count_sort;
use super::meter;

/// jq's error over our values.
pub(super) type Error = jaq_core::Error<Val>;
/// A value or jq's error.
pub(super) type ValR = Result<Val, Error>;

/// What an array item is taken to use, in bytes.
const SLOT_BYTES: usize = 48;
/// What an object entry is taken to use, in bytes, without its key's text.
const ENTRY_BYTES: usize = 2 * SLOT_BYTES;
/// The weight of null and the booleans.
const NULL_WEIGHT: u64 = 5;

/// A value.
#[derive(Debug, Default)]
pub(super) enum Val {
    #[default]
    Null,
    Bool(bool),
    Number(Number),
    Text(Rc<Text>),
    List(Rc<List>),
    Object(Rc<Object>),
}

/// A text.
#[derive(Debug, Clone)]
pub(super) struct Text {
    pub(super) text: String,
    /// Whether it stands in the expression's source or is one of jq's own
    /// messages, so that an error may show it.
    pub(super) public: bool,
}

/// An array.
#[derive(Debug, Clone)]
pub(super) struct List {
    items: Vec<Val>,
    weight: u64,
    depth: usize,
}

/// The entries of an object in their order.
pub(super) type Entries = IndexMap<Rc<str>, Val>;

/// An object.
#[derive(Debug, Clone)]
pub(super) struct Object {
    entries: Entries,
    weight: u64,
    depth: usize,
}

impl Default for List {
    fn default() -> Self {
        Self {
            items: Vec::new(),
            weight: 2,
            depth: 1,
        }
    }
}

impl List {
    /// Gives the items.
    pub(super) fn items(&self) -> &[Val] {
        &self.items
    }

    /// Gives the list itself, copied where it is shared.
    fn owned(shared: Rc<Self>) -> Result<Self, Error> {
        match Rc::try_unwrap(shared) {
            Ok(list) => Ok(list),
            Err(list) if meter::allocate(list.items.len().saturating_mul(SLOT_BYTES)) => {
                Ok((*list).clone())
            }
            Err(_) => Err(spent_error()),
        }
    }

    /// Takes the item at a place out, leaving null.
    fn take(&mut self, place: usize) -> Option<Val> {
        let item = std::mem::take(self.items.get_mut(place)?);
        self.weight = self
            .weight
            .saturating_sub(item.weight())
            .saturating_add(NULL_WEIGHT);
        Some(item)
    }

    /// Sets the item at a place, with nulls before it as needed.
    fn put(&mut self, place: usize, item: Val) -> Result<(), Error> {
        let added = place.saturating_add(1).saturating_sub(self.items.len());
        meter::work(added as u64);
        if !meter::allocate(added.saturating_mul(SLOT_BYTES)) {
            return Err(spent_error());
        }
        for _ in 0..added {
            self.push(Val::Null);
        }
        let _null = self.take(place);
        self.weight = self
            .weight
            .saturating_sub(NULL_WEIGHT)
            .saturating_add(item.weight());
        self.depth = self.depth.max(item.depth() + 1);
        if let Some(slot) = self.items.get_mut(place) {
            *slot = item;
        }
        Ok(())
    }

    /// Removes the item at a place, if there is one.
    fn remove(&mut self, place: usize) {
        meter::handle(self.items.len());
        if place < self.items.len() {
            let item = self.items.remove(place);
            self.weight = self.weight.saturating_sub(item.weight() + 1);
        }
    }

    fn push(&mut self, item: Val) {
        self.weight = self.weight.saturating_add(item.weight()).saturating_add(1);
        self.depth = self.depth.max(item.depth() + 1);
        self.items.push(item);
    }

    /// Counts weight and depth again after items were changed.
    fn measure(&mut self) {
        let weights = self
            .items
            .iter()
            .map(|item| item.weight().saturating_add(1));
        self.weight = weights.fold(2, u64::saturating_add);
        self.depth = 1 + self.items.iter().map(Val::depth).max().unwrap_or(0);
        meter::admit(self.weight, self.depth);
    }
}

impl Object {
    /// Gives the entries.
    pub(super) fn entries(&self) -> &Entries {
        &self.entries
    }

    /// Gives the object itself, copied where it is shared.
    fn owned(shared: Rc<Self>) -> Result<Self, Error> {
        match Rc::try_unwrap(shared) {
            Ok(object) => Ok(object),
            Err(object) if meter::allocate(object.entries.len().saturating_mul(ENTRY_BYTES)) => {
                Ok((*object).clone())
            }
            Err(_) => Err(spent_error()),
        }
    }

    /// Takes the value of a key out, leaving null.
    fn take(&mut self, key: &str) -> Option<Val> {
        let value = std::mem::take(self.entries.get_mut(key)?);
        self.weight = self
            .weight
            .saturating_sub(value.weight())
            .saturating_add(NULL_WEIGHT);
        Some(value)
    }

    /// Removes an entry, if there is one; the order of the others stays.
    fn remove(&mut self, key: &str) {
        meter::handle(self.entries.len());
        if let Some(value) = self.entries.shift_remove(key) {
            let removed = value.weight() + key.len() as u64 + 4;
            self.weight = self.weight.saturating_sub(removed);
        }
    }

    /// Adds or replaces an entry.
    fn insert(&mut self, key: Rc<str>, value: Val) {
        let added = value.weight();
        self.depth = self.depth.max(value.depth() + 1);
        let key_weight = key.len() as u64 + 4;
        match self.entries.insert(key, value) {
            Some(old) => self.weight = self.weight.saturating_sub(old.weight()),
            None => self.weight = self.weight.saturating_add(key_weight),
        }
        self.weight = self.weight.saturating_add(added);
    }

    /// Counts weight and depth again after entries were changed.
    fn measure(&mut self) {
        let weigh =
            |(key, value): (&Rc<str>, &Val)| value.weight().saturating_add(key.len() as u64 + 4);
        self.weight = self.entries.iter().map(weigh).fold(2, u64::saturating_add);
        self.depth = 1 + self.entries.values().map(Val::depth).max().unwrap_or(0);
        meter::admit(self.weight, self.depth);
    }
}

impl Val {
    /// Makes a text that an error must not show.
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::new_text(text.into(), false)
    }

    fn new_text(text: String, public: bool) -> Self {
        meter::handle(text.len());
        let text = if meter::allocate(text.len()) {
            text
        } else {
            String::new()
        };
        Self::Text(Rc::new(Text { text, public }))
    }

    /// Makes an array.
    pub(super) fn list(items: Vec<Val>) -> Self {
        meter::work(1 + items.len() as u64);
        let mut list = List {
            items,
            weight: 2,
            depth: 1,
        };
        if !meter::allocate(list.items.len().saturating_mul(SLOT_BYTES)) {
            list.items.clear();
        }
        list.measure();
        Self::List(Rc::new(list))
    }

    /// Makes an object.
    pub(super) fn object(entries: Entries) -> Self {
        meter::work(1 + entries.len() as u64);
        let mut object = Object {
            entries,
            weight: 2,
            depth: 1,
        };
        if !meter::allocate(object.entries.len().saturating_mul(ENTRY_BYTES)) {
            object.entries.clear();
        }
        object.measure();
        Self::Object(Rc::new(object))
    }

    /// Gives jq's word for the type.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "boolean",
            Self::Number(_) => "number",
            Self::Text(_) => "string",
            Self::List(_) => "array",
            Self::Object(_) => "object",
        }
    }

    /// Gives about the size as JSON text, in bytes, shared parts counted each time.
    pub(super) fn weight(&self) -> u64 {
        match self {
            Self::Null | Self::Bool(_) => NULL_WEIGHT,
            Self::Number(_) => 8,
            Self::Text(text) => text.text.len() as u64 + 2,
            Self::List(list) => list.weight,
            Self::Object(object) => object.weight,
        }
    }

    fn depth(&self) -> usize {
        match self {
            Self::List(list) => list.depth,
            Self::Object(object) => object.depth,
            _ => 0,
        }
    }

    /// Gives the text, if it is one.
    pub(super) fn as_text(&self) -> Result<&str, Error> {
        match self {
            Self::Text(text) => Ok(&text.text),
            other => Err(Error::typ(other.clone(), "string")),
        }
    }

    /// Gives the items, if it is an array.
    pub(super) fn as_items(&self) -> Result<&[Val], Error> {
        match self {
            Self::List(list) => Ok(&list.items),
            other => Err(Error::typ(other.clone(), "array")),
        }
    }
}

impl Clone for Val {
    fn clone(&self) -> Self {
        meter::work(1);
        match self {
            Self::Null => Self::Null,
            Self::Bool(value) => Self::Bool(*value),
            Self::Number(number) => Self::Number(*number),
            Self::Text(text) => Self::Text(Rc::clone(text)),
            Self::List(list) => Self::List(Rc::clone(list)),
            Self::Object(object) => Self::Object(Rc::clone(object)),
        }
    }
}

/// Shows the type, or a text that is no data.
impl fmt::Display for Val {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) if text.public => out.write_str(&text.text),
            other => out.write_str(other.type_name()),
        }
    }
}

/// The error of whatever is tried once the budget is used up.
fn spent_error() -> Error {
    Error::new(Val::Null)
}
