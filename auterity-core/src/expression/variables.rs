//! The variables that an expression sees.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

/// What a variable stands for.
#[derive(Debug, Clone)]
pub(super) enum Binding {
    /// A value.
    Whole(Arc<Value>),
    /// An object, of which nobody may want more than a member.
    Members(Vec<Member>),
}

/// A member of an object that is not put together yet.
pub(super) type Member = (&'static str, Arc<Value>);

/// Holds variables by name, and the time that `now` gives.
///
/// A variable that nobody set is null. Values are shared, so that building this
/// for each evaluation costs little.
#[derive(Debug, Clone, Default)]
pub struct Variables {
    /// In order of setting; the last of a name counts.
    entries: Vec<(String, Binding)>,
    now: Timestamp,
}

impl Variables {
    /// Makes an empty set whose `now` is the given time.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self {
            entries: Vec::new(),
            now,
        }
    }

    /// Sets a variable, over an earlier one of the same name; the name has no `$`.
    pub fn set(&mut self, name: &str, value: Arc<Value>) -> &mut Self {
        self.entries.push((name.to_owned(), Binding::Whole(value)));
        self
    }

    /// Sets a variable to an object, which is put together only where an expression
    /// asks for all of it.
    pub fn set_members(
        &mut self,
        name: &str,
        members: Vec<(&'static str, Arc<Value>)>,
    ) -> &mut Self {
        self.entries
            .push((name.to_owned(), Binding::Members(members)));
        self
    }

    /// Finds a variable, if it was set.
    pub(super) fn find(&self, name: &str) -> Option<&Binding> {
        let mut latest_first = self.entries.iter().rev();
        let (_, binding) = latest_first.find(|(known, _)| known == name)?;
        Some(binding)
    }

    /// Gives the time that `now` gives.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }
}
