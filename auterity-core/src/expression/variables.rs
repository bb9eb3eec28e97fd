//! The variables that an expression sees.

use std::borrow::Cow;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

/// Holds variables by name, in layers, and the time that `now` gives.
///
/// A layer may lie over another one; the innermost value of a name counts. A
/// variable that nobody set is null.
#[derive(Debug, Clone, Default)]
pub struct Variables<'a> {
    outer: Option<&'a Variables<'a>>,
    entries: Vec<(Cow<'a, str>, Held<'a>)>,
    now: Timestamp,
}

#[derive(Debug, Clone)]
enum Held<'a> {
    Lent(&'a Value),
    Shared(Arc<Value>),
}

impl<'a> Variables<'a> {
    /// Makes an empty first layer whose `now` is the Unix epoch.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes a layer over another one, with its `now`.
    #[must_use]
    pub fn over(outer: &'a Variables<'a>) -> Self {
        Self {
            outer: Some(outer),
            entries: Vec::new(),
            now: outer.now,
        }
    }

    /// Sets the time that `now` gives.
    #[must_use]
    pub fn with_now(mut self, now: Timestamp) -> Self {
        self.now = now;
        self
    }

    /// Sets a variable; the name has no `$`.
    pub fn set(&mut self, name: impl Into<Cow<'a, str>>, value: Arc<Value>) -> &mut Self {
        self.put(name.into(), Held::Shared(value))
    }

    /// Sets a variable to a borrowed value.
    pub fn lend(&mut self, name: impl Into<Cow<'a, str>>, value: &'a Value) -> &mut Self {
        self.put(name.into(), Held::Lent(value))
    }

    /// Gives a variable's value, if this layer or one under it has set it.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        let own = self.entries.iter().find(|(known, _)| known == name);
        match own {
            Some((_, Held::Lent(value))) => Some(value),
            Some((_, Held::Shared(value))) => Some(value),
            None => self.outer.and_then(|outer| outer.get(name)),
        }
    }

    /// Gives the time that `now` gives.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }

    fn put(&mut self, name: Cow<'a, str>, held: Held<'a>) -> &mut Self {
        match self.entries.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => *old = held,
            None => self.entries.push((name, held)),
        }
        self
    }
}
